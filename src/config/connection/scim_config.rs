//! `[connections.scim_configuration]`: read by the provider's kind, where that has such a thing.

use super::Reader;
use crate::{rotation::scim_config::WantedConfig, table::Table, token::ProviderName};

impl Reader<'_> {
    /// What the connection's SCIM configuration is to be: its provider's folder reads that.
    pub(super) fn scim_config(
        &self,
        table: &Table<'_>,
        provider: Option<&ProviderName>,
    ) -> Option<WantedConfig> {
        let value = table.get("scim_configuration")?;
        let Some(configuration) = self.config(provider)?.configuration() else {
            let provider = provider.map(ProviderName::as_str).unwrap_or_default();
            value.refuse(
                format!(
                    "`scim_configuration` has no effect here: the connections of `{provider}` have no \
                     SCIM configuration that can be set"
                ),
                "leave it out",
            );
            return None;
        };
        let table = value.table("[connections.scim_configuration]")?;
        let wanted = (configuration.read)(&table);
        table.finish(&[]);
        wanted
    }
}
