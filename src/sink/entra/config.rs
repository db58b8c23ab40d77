//! The kind `entra`: `[sinks.NAME]`, and what `deliver_to` says of an application.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Url;

use super::{
    EntraSink, rights, schema,
    settings::{EntraTarget, Graph, GraphSettings, KIND as PLACES},
};
use crate::{
    kind::{BuildError, Grant, Parts},
    rotation::policy::Mode,
    sink::{
        Kind, Place, Service,
        azure_identity::{Auth, Cloud, auth},
        kind::{Known, Opened, SinkConfig, Spot, Target},
    },
    table::{HttpConfig, Keyring, Table, Value, address, http::http},
    token::SinkName,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "entra",
    places: PLACES,
    location: "service_principal",
    schema: schema::sink,
    delivery_schema: schema::target,
    read: |table, outer, keyring| Some(Arc::new(sink(table, outer, keyring)?)),
    absent: None,
    store: None,
    reopen: None,
};

/// Microsoft Graph of a tenant, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntraConfig {
    auth: Auth,
    cloud: Cloud,
    /// Where Graph is, when not where the cloud has it.
    pub graph_url: Option<Url>,
    /// Where log-ins are, when not where the cloud has them.
    pub authority: Option<Url>,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
}

impl SinkConfig for EntraConfig {
    fn deliver(&self, entry: &Table<'_>, _known: &Known<'_>) -> (Option<Spot>, Option<Target>) {
        let target = target(entry);
        let place = |target: &EntraTarget| {
            Spot::Named(format!("{PLACES}:{}", target.service_principal.to_ascii_lowercase()))
        };
        (target.as_ref().map(place), target.map(Target::new))
    }

    fn grant(&self, name: &SinkName, deliveries: &[(&Target, Mode)]) -> Option<Grant> {
        let delivered = deliveries.iter().filter(|(_, mode)| *mode == Mode::Rotate);
        let targets = delivered.filter_map(|(to, _)| to.of_kind::<EntraTarget>().ok());
        let principals: Vec<&str> = targets.map(|to| &*to.service_principal).collect();
        let watches = deliveries.iter().any(|(_, mode)| *mode == Mode::Observe);
        let (graph, _) =
            self.cloud.graph_of(self.graph_url.as_ref(), self.authority.as_ref()).ok()?;
        Some(Grant {
            table: format!("sinks.{name}"),
            kind: KIND.name,
            at: graph.host(),
            namespace: None,
            to: "the application or identity that `auth` names",
            policy: rights::policy(&principals, watches),
            rights: rights::rights(&principals, watches),
        })
    }

    fn readable(&self) -> bool {
        false
    }

    fn reads_files_once(&self) -> bool {
        self.http.names_files()
    }

    fn build(&self, name: &SinkName, parts: &Parts) -> Result<Arc<dyn Service>, BuildError> {
        let (graph, authority) =
            self.cloud.graph_of(self.graph_url.as_ref(), self.authority.as_ref())?;
        let settings = GraphSettings {
            sink: name.clone(),
            graph,
            authority,
            identity: self.auth.identity(parts)?,
            http: parts.http_settings(&self.http)?,
        };
        let (clock, entropy) = (Arc::clone(&parts.clock), Arc::clone(&parts.entropy));
        let graph = Graph::try_new(settings, clock, entropy);
        Ok(Arc::new(graph.map_err(BuildError::new)?))
    }
}

#[async_trait]
impl Service for Arc<Graph> {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn open(&self, target: &Target) -> Opened {
        let target: &EntraTarget = target.of_kind()?;
        Ok(Arc::new(EntraSink::try_new(self, target.clone())?))
    }

    fn reopen(&self, place: &Place) -> Opened {
        Ok(Arc::new(EntraSink::reopen(self, place)?))
    }
}

/// Reads the rest of a `[sinks.NAME]`.
fn sink(table: &Table<'_>, outer: &HttpConfig, keyring: Keyring<'_>) -> Option<EntraConfig> {
    let before = table.findings().count();
    let auth = table
        .require("auth", "{ method = \"workload_identity\" }")
        .and_then(|value| auth(&value, keyring));
    let cloud = table.get("cloud").and_then(|value| value.word(&Cloud::WORDS));
    let graph = "\"https://graph.microsoft.com\"";
    let graph_url = table.get("graph_url").and_then(|value| address(&value, graph));
    let login = "\"https://login.microsoftonline.com\"";
    let authority = table.get("authority").and_then(|value| address(&value, login));
    let own = http(table, keyring);
    let auth = auth?;
    (table.findings().count() == before).then(|| EntraConfig {
        auth,
        cloud: cloud.unwrap_or(Cloud::Global),
        graph_url,
        authority,
        http: own.or(outer),
    })
}

/// Reads what `deliver_to` says of an application.
fn target(table: &Table<'_>) -> Option<EntraTarget> {
    const ID: &str = "\"00000000-0000-0000-0000-000000000000\"";
    let before = table.findings().count();
    let principal = table.require("service_principal", ID).and_then(|value| id(&value));
    let job = table.get("job").and_then(|value| id(&value));
    let template = table.get("template").and_then(|value| id(&value));
    let append = table.get("append").and_then(|value| query(&value));
    let service_principal = principal.filter(|_| table.findings().count() == before)?;
    Some(EntraTarget { service_principal, job, template, append })
}

fn id(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.is_empty() || text == "." || text == ".." || !text.bytes().all(fits) {
        value.refuse(
            format!("`{}` may hold letters, digits and . _ - only", value.key()),
            "copy it from Entra or Microsoft Graph",
        );
        return None;
    }
    Some(text.to_owned())
}

fn query(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let begins = text.len() > 1 && text.starts_with('?');
    if !begins || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
        value.refuse(
            "`append` must be a query, with the question mark in front",
            "write append = \"?aadOptscim062020\", or leave it out",
        );
        return None;
    }
    Some(text.to_owned())
}
