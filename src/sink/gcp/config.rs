//! `[sinks.NAME]` of type `gcp_secret_manager`, and what `deliver_to` says of a secret there.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Url;
use serde_json::json;

use super::{
    GcpSink, KIND, credentials,
    login::Origin,
    rights::{self, Needs},
    settings::{
        GcpTarget, LABELS, Project, ProjectSettings, check_alias, check_id, check_location,
        check_project, location_of,
    },
};
use crate::{
    http::Endpoint,
    kind::{self, BuildError, Grant, Parts},
    rotation::policy::Mode,
    sink::{
        Kind, Place, Service,
        entry::{labels, overwrite, payload},
        kind::{Known, Opened, SinkConfig, Spot, Target},
    },
    table::{
        HttpConfig, Keyring, SecretRef, Secrets, Table, Value, guarded, http::http,
        secret::reference, url,
    },
    token::SinkName,
};

/// Where the metadata server is (Google's documentation "About VM metadata").
const METADATA: &str = "169.254.169.254";

/// The variable by which Google's own tools are told another place.
const METADATA_HOST: &str = "GCE_METADATA_HOST";

/// A project, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcpConfig {
    /// The project's ID.
    pub project: String,
    /// The region of regional secrets.
    pub location: Option<String>,
    /// The address of the service, if not that of the location.
    pub endpoint_url: Option<Url>,
    /// A file of credentials; `None`: the metadata server says who we are.
    pub credentials: Option<SecretRef>,
    /// Whether a secret that is not there is made.
    pub create: bool,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
}

impl GcpConfig {
    fn place(&self, target: &GcpTarget) -> String {
        let endpoint = self.endpoint_url.as_ref().and_then(|url| kind::endpoint(url).ok());
        location_of(endpoint.as_ref(), &self.project, self.location.as_deref(), &target.secret_id)
    }
}

impl SinkConfig for GcpConfig {
    fn deliver(&self, entry: &Table<'_>, known: &Known<'_>) -> (Option<Spot>, Option<Target>) {
        let target = target(entry, known);
        let place =
            |target: &GcpTarget| Spot::Named(format!("{}:{}", KIND.places, self.place(target)));
        (target.as_ref().map(place), target.map(Target::new))
    }

    fn grant(&self, name: &SinkName, deliveries: &[(&Target, Mode)]) -> Option<Grant> {
        let mut needs = Needs { create: self.create, ..Needs::default() };
        for (target, mode) in deliveries {
            let Ok(to) = target.of_kind::<GcpTarget>() else { continue };
            let secret = to.secret_id.clone();
            match mode {
                Mode::Rotate => {
                    let patches = to.alias.is_some() || to.payload.is_some() || to.raw;
                    let patches = patches || !to.labels.is_empty();
                    needs.secrets.insert(secret, patches);
                }
                Mode::Observe => {
                    needs.watched.insert(secret);
                }
            }
        }
        Some(Grant {
            table: format!("sinks.{name}"),
            kind: KIND.name,
            at: self.project.clone(),
            namespace: None,
            to: "a custom role on each secret, for the service account or federated identity that is used",
            policy: rights::roles(&needs, &self.project, self.location.as_deref()),
            rights: json!({ "gcp": rights::permissions(&needs) }),
        })
    }

    fn reads_files_once(&self) -> bool {
        self.http.names_files()
    }

    fn build(&self, name: &SinkName, parts: &Parts) -> Result<Arc<dyn Service>, BuildError> {
        let origin = match &self.credentials {
            Some(source) => Origin::Credentials(parts.secret(source)),
            None => Origin::Metadata(metadata(parts)?),
        };
        let settings = ProjectSettings {
            sink: name.clone(),
            project: self.project.clone(),
            location: self.location.clone(),
            endpoint: self.endpoint_url.as_ref().map(kind::endpoint).transpose()?,
            origin,
            create: self.create,
            http: parts.http_settings(&self.http)?,
        };
        let project = Project::try_new(settings, Arc::clone(&parts.clock));
        Ok(Arc::new(project.map_err(BuildError::new)?))
    }
}

/// Where the metadata server is, as Google's own tools find it.
fn metadata(parts: &Parts) -> Result<Endpoint, BuildError> {
    let told = parts.env.var(METADATA_HOST).and_then(|host| host.into_string().ok());
    let host = told.filter(|host| !host.is_empty()).unwrap_or_else(|| METADATA.to_owned());
    let failed = |words: String| BuildError::new(format!("{METADATA_HOST}: {words}"));
    let url =
        Url::parse(&format!("http://{host}")).map_err(|_| failed("it is not a host".into()))?;
    Endpoint::of_this_host(url).map_err(|error| failed(error.to_string()))
}

#[async_trait]
impl Service for Arc<Project> {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn open(&self, target: &Target) -> Opened {
        let target: &GcpTarget = target.of_kind()?;
        Ok(Arc::new(GcpSink::try_new(self, target.clone())?))
    }

    fn reopen(&self, place: &Place) -> Opened {
        Ok(Arc::new(GcpSink::reopen(self, place)?))
    }
}

/// Reads the rest of a `[sinks.NAME]`.
pub(super) fn sink(
    table: &Table<'_>,
    outer: &HttpConfig,
    keyring: Keyring<'_>,
) -> Option<GcpConfig> {
    let before = table.findings().count();
    let project = table
        .require("project", "\"acme-identity\"")
        .and_then(|value| named(&value, check_project, "gcloud projects list shows it"));
    let location = table
        .get("location")
        .and_then(|value| named(&value, check_location, "write one such as \"europe-west3\""));
    let endpoint_url = table.get("endpoint_url").and_then(|value| endpoint(&value));
    let credentials = table.get("credentials").and_then(|value| {
        let read = reference(&value, keyring, |_| Ok(()))?;
        check(&value, &read, keyring);
        Some(read)
    });
    let create = table.get("create").and_then(|value| value.boolean());
    let own = http(table, keyring);
    let project = project?;
    (table.findings().count() == before).then(|| GcpConfig {
        project,
        location,
        endpoint_url,
        credentials,
        create: create.unwrap_or(true),
        http: own.or(outer),
    })
}

/// What is wrong with credentials that can be read: an error, wherever they are asked for.
fn check(value: &Value<'_>, source: &SecretRef, keyring: Keyring<'_>) {
    if keyring.secrets == Secrets::Unneeded {
        return;
    }
    let Ok(text) = source.read(keyring.env) else { return };
    if let Err(words) = credentials::read(&text) {
        let message = format!("`credentials` cannot be used: {words}");
        value.refuse(message, format!("they were read from {source}"));
    }
}

fn endpoint(value: &Value<'_>) -> Option<Url> {
    let url = url(value, "\"https://secretmanager.example.com\"")?;
    let refuse = |words: String| {
        value.refuse(
            format!("`{}` {words}", value.key()),
            "name only the endpoint; leave it out for Google's own",
        );
    };
    guarded(&url, "tokens").map_err(refuse).ok()?;
    Some(url)
}

/// Reads what `deliver_to` says of a secret.
fn target(table: &Table<'_>, known: &Known<'_>) -> Option<GcpTarget> {
    let example = "write an ID such as \"scim-initech\"";
    let secret_id = table
        .require("secret_id", "\"scim-initech\"")
        .and_then(|value| named(&value, check_id, example));
    let alias = table
        .get("alias")
        .map(|value| named(&value, check_alias, "write an alias such as \"scim\""));
    let raw = table.get("format").and_then(|value| value.word(&[("json", false), ("raw", true)]));
    let raw = raw.unwrap_or(false);
    let bare = raw.then_some("remove one of the two");
    let payload = table.get("payload").and_then(|value| payload(&value, bare, false));
    let overwrite = overwrite(table);
    let labels = labels(table, &LABELS, known);
    let alias = match alias {
        Some(alias) => Some(alias?),
        None => None,
    };
    Some(GcpTarget { secret_id: secret_id?, alias, payload, raw, overwrite, labels })
}

/// A text that passes a check.
fn named(
    value: &Value<'_>,
    check: fn(&str) -> Result<(), &'static str>,
    hint: &str,
) -> Option<String> {
    let text = value.string()?;
    if let Err(words) = check(text) {
        value.refuse(format!("`{}` {words}", value.key()), hint);
        return None;
    }
    Some(text.to_owned())
}
