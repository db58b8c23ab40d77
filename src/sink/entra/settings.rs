//! A tenant's Graph and an application in it as they are configured, checked before they are used.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::{Clock, Entropy},
    error::{Class, Code, Fault},
    http::{Endpoint, Http, HttpSettings},
    sink::{
        Place, Remembered,
        azure_identity::{Authority, Identity, Login},
        rules::{invalid, remembered},
    },
    token::{PlaceKey, SinkName},
};

/// The kind in a [`PlaceKey`].
pub(super) const KIND: &str = "entra";

/// `[sinks.NAME]` of type `entra`, as it runs.
#[derive(Clone, Debug)]
pub struct GraphSettings {
    /// The sink's label.
    pub sink: SinkName,
    /// Microsoft Graph.
    pub graph: Endpoint,
    /// Where log-ins are.
    pub authority: Authority,
    /// Who we are there.
    pub identity: Identity,
    /// How to reach it.
    pub http: HttpSettings,
}

/// Microsoft Graph, shared by all places in it: one set of connections, and one log-in.
#[derive(Debug)]
pub struct Graph {
    pub(super) settings: GraphSettings,
    pub(super) http: Http,
    pub(super) login: Login,
    pub(super) clock: Arc<dyn Clock>,
}

impl Graph {
    /// Nothing is asked of it yet.
    ///
    /// # Errors
    /// When a setting is of no use.
    pub fn try_new(
        settings: GraphSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, Fault> {
        let http = Http::try_new(settings.http.clone()).map_err(|error| {
            let what = format!("reach Microsoft Graph for [sinks.{}]", settings.sink);
            Fault::new(what, Class::Terminal, Code::Invalid, error.to_string())
        })?;
        let (authority, identity) = (settings.authority.clone(), settings.identity.clone());
        let login = Login::new(authority, identity, http.clone(), Arc::clone(&clock), entropy);
        Ok(Arc::new(Self { settings, http, login, clock }))
    }
}

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntraTarget {
    /// The object id of the application's service principal.
    pub service_principal: String,
    /// The id of its provisioning job; where it is left out, the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Of which template that job is; where it is left out, of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What follows the SCIM endpoint in the address that the job is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub append: Option<String>,
}

/// What a place is called, whichever sink names it. All jobs of a service principal have the same
/// credentials.
pub(super) fn location(service_principal: &str) -> String {
    format!("Entra service principal {}", service_principal.to_ascii_lowercase())
}

impl EntraTarget {
    /// The delivery to a remembered place.
    pub(super) fn remembered(place: &Place) -> Result<Self, Fault> {
        remembered(place)
    }

    /// Checks everything that can be checked without asking.
    pub(super) fn placed(&self, settings: &GraphSettings) -> Result<Place, Fault> {
        let operation = format!("use {} in [sinks.{}]", self.service_principal, settings.sink);
        let delivery =
            Remembered::of(self).map_err(|problem| invalid(&operation, problem.to_string()))?;
        let location = location(&self.service_principal);
        let key = PlaceKey::new(KIND, &self.service_principal.to_ascii_lowercase());
        Ok(Place { key, sink: settings.sink.clone(), location, delivery })
    }
}
