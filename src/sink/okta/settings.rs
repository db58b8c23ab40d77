//! An org and an application in it as they are configured, checked before they are used.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::login::{Identity, Login};
use crate::{
    clock::{Clock, Entropy},
    error::{Class, Code, Fault},
    http::{Endpoint, Http, HttpSettings},
    sink::{
        Place, Remembered,
        rules::{invalid, remembered},
    },
    token::{PlaceKey, SinkName},
};

/// The kind in a [`PlaceKey`].
pub(super) const KIND: &str = "okta";

/// `[sinks.NAME]` of type `okta`, as it runs.
#[derive(Clone, Debug)]
pub struct OrgSettings {
    /// The sink's label.
    pub sink: SinkName,
    /// The org's address.
    pub org: Endpoint,
    /// Who we are there.
    pub identity: Identity,
    /// How to reach it.
    pub http: HttpSettings,
}

/// An org, shared by all places in it: one set of connections, and one log-in.
#[derive(Debug)]
pub struct Org {
    pub(super) settings: OrgSettings,
    pub(super) http: Http,
    pub(super) login: Login,
}

impl Org {
    /// Nothing is asked of it yet.
    ///
    /// # Errors
    /// When a setting is of no use.
    pub fn try_new(
        settings: OrgSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, Fault> {
        let http = Http::try_new(settings.http.clone()).map_err(|error| {
            let what = format!("reach {} for [sinks.{}]", settings.org.host(), settings.sink);
            Fault::new(what, Class::Terminal, Code::Invalid, error.to_string())
        })?;
        let (org, identity) = (settings.org.clone(), settings.identity.clone());
        let login = Login::new(org, identity, http.clone(), clock, entropy);
        Ok(Arc::new(Self { settings, http, login }))
    }
}

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OktaTarget {
    /// The application's ID.
    pub app_id: String,
    /// The SCIM endpoint that its connection calls, where that has an address of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
}

impl OktaTarget {
    /// The delivery to a remembered place.
    pub(super) fn remembered(place: &Place) -> Result<Self, Fault> {
        remembered(place)
    }

    /// Checks everything that can be checked without asking.
    pub(super) fn placed(&self, settings: &OrgSettings) -> Result<Place, Fault> {
        let operation = format!("use {} in [sinks.{}]", self.app_id, settings.sink);
        let delivery =
            Remembered::of(self).map_err(|problem| invalid(&operation, problem.to_string()))?;
        let location = format!("Okta application {}", self.app_id);
        let key = PlaceKey::new(KIND, &self.app_id);
        Ok(Place { key, sink: settings.sink.clone(), location, delivery })
    }
}
