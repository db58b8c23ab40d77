//! A project and a secret in it as they are configured, checked before they are used.

use std::sync::Arc;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::{KIND, login::Login, login::Origin};
use crate::{
    clock::Clock,
    error::{Class, Code, Fault},
    http::{Endpoint, Http, HttpSettings},
    sink::{
        Container, Place, Remembered,
        payload::{Labels, Limits, PayloadTemplate},
        rules::{Keys, form::Form, invalid, not_remembered, remembered},
    },
    token::{PlaceKey, SinkName},
};

/// The longest ID of a secret, and the longest alias of a version (Google's API reference, `secrets`).
const LONGEST_ID: usize = 255;
const LONGEST_ALIAS: usize = 63;

/// The longest ID of a project that lies below a domain.
const LONGEST_PROJECT: usize = 63;

/// `[sinks.NAME]` of type `gcp_secret_manager`, as it runs.
#[derive(Clone, Debug)]
pub struct ProjectSettings {
    /// The sink's label.
    pub sink: SinkName,
    /// The project's ID.
    pub project: String,
    /// The region of regional secrets.
    pub location: Option<String>,
    /// The address of the service, if not that of the location.
    pub endpoint: Option<Endpoint>,
    /// Who we are there.
    pub origin: Origin,
    /// Whether a secret that is not there is made.
    pub create: bool,
    /// How to reach it.
    pub http: HttpSettings,
}

/// A project, shared by all places in it: one set of connections, and one log-in.
#[derive(Debug)]
pub struct Project {
    pub(super) settings: ProjectSettings,
    pub(super) http: Http,
    pub(super) login: Login,
    pub(super) clock: Arc<dyn Clock>,
}

impl Project {
    /// A project; nothing is asked of it yet.
    ///
    /// # Errors
    /// When a setting is of no use.
    pub fn try_new(settings: ProjectSettings, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Fault> {
        let http = Http::try_new(settings.http.clone()).map_err(|error| {
            let what = format!("reach the project of [sinks.{}]", settings.sink);
            Fault::new(what, Class::Terminal, Code::Invalid, error.to_string())
        })?;
        let login = Login::new(settings.origin.clone(), http.clone(), Arc::clone(&clock));
        Ok(Arc::new(Self { settings, http, login, clock }))
    }
}

/// What a secret there is called, whichever sink names it. A server on this machine is not Google's; an
/// endpoint of a network of one's own is.
pub(super) fn location_of(
    endpoint: Option<&Endpoint>,
    project: &str,
    location: Option<&str>,
    secret: &str,
) -> String {
    let host = endpoint.filter(|endpoint| endpoint.is_loopback()).map(Endpoint::host);
    let parts = [host.as_deref(), Some(project), location, Some(secret)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}

impl ProjectSettings {
    fn location(&self, secret: &str) -> String {
        location_of(self.endpoint.as_ref(), &self.project, self.location.as_deref(), secret)
    }

    /// Where the service is.
    pub(super) fn base(&self) -> Result<Endpoint, String> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(endpoint.clone());
        }
        let host = match &self.location {
            None => "https://secretmanager.googleapis.com".to_owned(),
            Some(location) => format!("https://secretmanager.{location}.rep.googleapis.com"),
        };
        let url = Url::parse(&host).map_err(|_| "the location names no host".to_owned())?;
        Endpoint::try_new(url).map_err(|error| error.to_string())
    }

    /// The path of what secrets there are in.
    pub(super) fn parent(&self) -> Vec<&str> {
        let mut path = vec!["v1", "projects", self.project.as_str()];
        if let Some(location) = &self.location {
            path.extend(["locations", location.as_str()]);
        }
        path
    }

    /// What secrets there are in. IDs of projects are never given to another one, also when a project is
    /// deleted (Google's documentation "Creating and managing projects").
    pub(super) fn container(&self) -> Container {
        let id = match &self.location {
            None => format!("projects/{}", self.project),
            Some(location) => format!("projects/{}/locations/{location}", self.project),
        };
        Container { words: format!("the Google Cloud {id}"), id, strict: true }
    }
}

/// The labels that a delivery may put there: a resource takes 64 (Google's API reference of Secret).
pub(super) static LABELS: Limits = Limits {
    key: "labels",
    most: 60,
    // Said of a secret that Scimitar makes.
    reserved: &[MANAGED_BY],
    check_key: |key| match is_of_a_label(key) && key.starts_with(char::is_alphabetic) {
        true => Ok(()),
        false => Err(
            "is not a valid label key: 1 to 63 lower-case letters, digits, _ and -, a letter in front",
        ),
    },
    check_value: |value| match is_of_a_label(value) {
        true => Ok(()),
        false => Err("is not a valid label value: up to 63 lower-case letters, digits, _ and -"),
    },
    way_out: "use filters, such as {{ connection | lower | replace(\".\", \"-\") }}",
};

/// The label of the secrets that Scimitar makes.
pub(super) const MANAGED_BY: &str = "managed-by";

fn is_of_a_label(text: &str) -> bool {
    let plain = |c: char| (c.is_alphanumeric() && !c.is_uppercase()) || c == '_' || c == '-';
    (1..=63).contains(&text.chars().count()) && text.len() <= 128 && text.chars().all(plain)
}

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GcpTarget {
    /// The secret's ID.
    pub secret_id: String,
    /// The version alias that readers ask for; `None`: they ask for `latest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// What replaces the default payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadTemplate>,
    /// Whether the secret's value is the token alone; never with `payload`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// Whether what others put there may be lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
    /// What is said in labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// Settings that passed every check.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) place: Place,
    pub(super) secret: String,
    pub(super) alias: Option<String>,
    pub(super) form: Form,
    pub(super) overwrite: bool,
    pub(super) labels: Labels,
}

/// Why a text cannot be a project's ID.
///
/// # Errors
/// In words that fit behind the key's name.
pub(super) fn check_project(text: &str) -> Result<(), &'static str> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is a project's number; write the project's ID");
    }
    let inside =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
    let fits = (6..=LONGEST_PROJECT).contains(&text.len())
        && text.bytes().all(inside)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    if fits {
        Ok(())
    } else {
        Err("cannot be a project's ID: 6 to 63 lower-case letters, digits and -")
    }
}

/// Why a text cannot be a region: `europe-west3`.
///
/// # Errors
/// In words that fit behind the key's name.
pub(super) fn check_location(text: &str) -> Result<(), &'static str> {
    let name = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = text.len() - name.len();
    let fits = (1..=2).contains(&digits)
        && name.contains('-')
        && name
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase()));
    if fits { Ok(()) } else { Err("is not a region") }
}

/// Why a text cannot be a secret's ID.
///
/// # Errors
/// In words that fit behind the key's name.
pub(super) fn check_id(text: &str) -> Result<(), &'static str> {
    let fits = (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(is_word);
    if fits { Ok(()) } else { Err("must have 1 to 255 letters, digits, - and _") }
}

/// Why a text cannot be a version's alias.
///
/// # Errors
/// In words that fit behind the key's name.
pub(super) fn check_alias(text: &str) -> Result<(), &'static str> {
    if text.eq_ignore_ascii_case("latest") {
        return Err("is the default without an alias: leave it out, or choose another alias");
    }
    let fits = text.len() <= LONGEST_ALIAS
        && text.bytes().all(is_word)
        && text.starts_with(|c: char| c.is_ascii_alphabetic());
    if fits {
        Ok(())
    } else {
        Err("must begin with a letter and have at most 63 letters, digits, - and _")
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl GcpTarget {
    /// The delivery to a remembered place, if it is in this project.
    pub(super) fn remembered(settings: &ProjectSettings, place: &Place) -> Result<Self, Fault> {
        let target: Self = remembered(place)?;
        if PlaceKey::new(KIND.places, &settings.location(&target.secret_id)) != place.key {
            let words =
                format!("is in another project or region than [sinks.{}] names now", place.sink);
            return Err(not_remembered(place, &words));
        }
        Ok(target)
    }

    /// Checks everything that can be checked without asking.
    pub(super) fn checked(self, settings: &ProjectSettings) -> Result<Checked, Fault> {
        let operation = format!("use {} in [sinks.{}]", self.secret_id, settings.sink);
        let failed = |words: String| invalid(&operation, words);
        check_id(&self.secret_id).map_err(|words| failed(format!("the ID {words}")))?;
        if let Some(alias) = &self.alias {
            check_alias(alias).map_err(|words| failed(format!("the alias {words}")))?;
        }
        if self.raw && self.payload.is_some() {
            return Err(failed("`payload` needs keys, and `format = \"raw\"` has none".to_owned()));
        }
        let location = settings.location(&self.secret_id);
        let place = Place {
            key: PlaceKey::new(KIND.places, &location),
            sink: settings.sink.clone(),
            location,
            delivery: Remembered::of(&self).map_err(|problem| failed(problem.to_string()))?,
        };
        let Self { secret_id: secret, alias, payload, raw, overwrite, labels } = self;
        let form = if raw { Form::Raw } else { Form::Keys(Keys::new(payload)) };
        Ok(Checked { place, secret, alias, form, overwrite, labels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_google_takes() {
        for (name, fits) in [
            ("acme-identity", true),
            ("example.com:identity", true),
            ("acme1", false),
            ("123456789012", false),
            ("Acme-identity", false),
            ("acme-identity-", false),
        ] {
            assert_eq!(check_project(name).is_ok(), fits, "{name}");
        }
        for (name, fits) in [
            ("europe-west3", true),
            ("northamerica-northeast1", true),
            ("africa-south12", true),
            ("europe", false),
            ("europe-west", false),
            ("europe1", false),
            ("-west3", false),
            ("europe-west3.evil.example", false),
        ] {
            assert_eq!(check_location(name).is_ok(), fits, "{name}");
        }
        let long = "x".repeat(256);
        for (name, fits) in [("scim_initech-1", true), ("", false), ("a/b", false), (&long, false)]
        {
            assert_eq!(check_id(name).is_ok(), fits, "{name}");
        }
        for (name, fits) in [("scim", true), ("latest", false), ("1", false), ("a.b", false)] {
            assert_eq!(check_alias(name).is_ok(), fits, "{name}");
        }
    }
}
