//! `[connections.scim_configuration]`: what a connection's SCIM configuration is to be.

use serde_json::{Value as Schema, json};

use crate::{
    provider::kind::Configuration,
    rotation::scim_config::{ACTIVE, Mapped, Mapping, ScimConfig, WantedConfig},
    table::{
        Table, Value,
        shape::{self, any_of_these, list, switch, text},
        shown,
    },
};

/// How it is read and described.
pub(super) const CONFIGURATION: Configuration = Configuration { read, schema };

const EXAMPLE: &str = "mapping = [{ auth0 = \"preferred_username\", scim = \"userName\" }, …], or ensure = true alone \
     for Auth0's default mapping";

/// Either `ensure`, or the other two keys: what is not of the one or the other is unknown.
fn read(table: &Table<'_>) -> Option<WantedConfig> {
    if table.values().any(|(key, _)| key == "ensure") {
        let ensure = table.get("ensure")?;
        if !ensure.boolean()? {
            ensure.refuse(
                "`ensure` can only be true",
                "leave the whole table out to ignore the SCIM configuration",
            );
            return None;
        }
        return Some(WantedConfig::Default);
    }
    let attribute = table.get("user_id_attribute");
    let mapping = table.get("mapping");
    for (key, value) in [("user_id_attribute", attribute), ("mapping", mapping)] {
        if value.is_none() {
            let message = format!("`{key}` is missing in {}", table.name());
            let hint = format!("write user_id_attribute = \"externalId\" and {EXAMPLE}");
            table.findings().error(table.at(), message, hint);
        }
    }
    let user_id_attribute = attribute.and_then(|value| value.string());
    let pairs = mapping.and_then(|value| pairs(&value));
    let config = ScimConfig { user_id_attribute: user_id_attribute?.to_owned(), mapping: pairs? };
    if let Some(value) = mapping.filter(|_| !config.maps_active()) {
        table.findings().warning(
            value.at,
            format!("`mapping` does not map `{ACTIVE}`: deactivated users keep access"),
            "add { auth0 = \"blocked\", scim = \"active\" }, as Auth0's default mapping has it",
        );
    }
    Some(WantedConfig::Exactly(config))
}

fn pairs(value: &Value<'_>) -> Option<Mapping> {
    let items = value.list("a list of { auth0, scim }")?;
    if items.is_empty() {
        value.refuse("`mapping` is empty: no user could be created", format!("write {EXAMPLE}"));
        return None;
    }
    let (mut mapping, mut whole) = (Mapping::new(), true);
    for item in items {
        let pair = item.table("`mapping`").and_then(|table| {
            let user = table.require("auth0", "\"preferred_username\"");
            let scim = table.require("scim", "\"userName\"");
            let user = user.and_then(|value| value.string());
            let scim = scim.and_then(|value| value.string());
            table.finish(&[]);
            Some(Mapped { scim: scim?.to_owned(), user: user?.to_owned() })
        });
        let Some(pair) = pair else {
            whole = false;
            continue;
        };
        let named = shown(&pair.scim).to_string();
        if !mapping.insert(pair) {
            item.refuse(format!("`mapping` lists this pair of `{named}` twice"), "leave one out");
            whole = false;
        }
    }
    whole.then_some(mapping)
}

/// The table, as JSON Schema.
fn schema() -> Schema {
    const ENSURE: &str =
        "The connection must have a SCIM configuration, with Auth0's default mapping.";
    const ATTRIBUTE: &str = "The attribute by which a user is recognised.";
    const MAPPING: &str = "Which SCIM attribute is mapped to which attribute of the user; the order \
                           does not matter.";
    let pair = shape::table("One attribute.")
        .must("auth0", text("The attribute of the user.", "preferred_username"))
        .must("scim", text("The SCIM attribute.", "userName"))
        .build();
    let mut mapping = list(MAPPING, &pair);
    mapping["minItems"] = json!(1);
    let mut ensure = switch(ENSURE);
    ensure["const"] = json!(true);
    let by_default = shape::table("Auth0's default mapping.").must("ensure", ensure).build();
    let whole = shape::table("A mapping.")
        .must("user_id_attribute", text(ATTRIBUTE, "externalId"))
        .must("mapping", mapping)
        .build();
    any_of_these(
        "The connection's SCIM configuration: created when it is missing, compared at each check, and replaced if \
         it differs and on_drift = \"restore\". Default: ignored.",
        &[by_default, whole],
    )
}
