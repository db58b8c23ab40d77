//! Describes a secret: whether it exists, its labels, tags and replicas, and its current value.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::types::StatusType;

use super::calls::{CURRENT, Calls, PENDING, labels};
use crate::{
    error::{Class, Code, Fault},
    http::quote,
    sink::{
        Version,
        rules::{secret_version::SecretVersion, tags::Tags},
    },
};

/// How often a value is asked for that moves away under the question.
pub(super) const ATTEMPTS: usize = 3;

/// How the version of a secret that is to be restored begins: what follows is the version that it
/// had.
const DELETED: &str = "deleted:";

/// What there is.
pub(super) enum Seen {
    /// No such secret.
    Absent,
    /// One that is scheduled for deletion and may be restored; its value cannot be seen.
    Deleted {
        /// The version that it had.
        current: Option<String>,
        /// Its ARN.
        arn: Option<String>,
    },
    /// A secret.
    There(Box<There>),
}

/// A secret.
pub(super) struct There {
    pub(super) arn: Option<String>,
    /// Which versions have which label.
    pub(super) labels: BTreeMap<String, Vec<String>>,
    pub(super) tags: Tags,
    pub(super) replicas: Vec<Replica>,
    /// What readers get; none in a secret that never had a version.
    pub(super) current: Option<SecretVersion>,
}

/// A copy in another region.
pub(super) struct Replica {
    pub(super) region: String,
    /// Whether it is in sync, or what it says instead.
    pub(super) trouble: Option<String>,
}

impl Seen {
    /// The state that compare-and-set writes name.
    pub(super) fn version(&self) -> Version {
        let text = match self {
            Self::Absent => Version::ABSENT.to_owned(),
            Self::Deleted { current, .. } => {
                format!("{DELETED}{}", current.as_deref().unwrap_or_default())
            }
            Self::There(there) => match &there.current {
                Some(held) => held.id.clone(),
                None => Version::ABSENT.to_owned(),
            },
        };
        Version(text)
    }

    /// The secret's ARN, where there is a secret.
    pub(super) fn arn(&self) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::Deleted { arn, .. } => arn.as_deref(),
            Self::There(there) => there.arn.as_deref(),
        }
    }
}

/// Whether a state is that of a secret which was to be restored, and of which version.
pub(super) fn was_deleted(version: &Version) -> Option<&str> {
    version.0.strip_prefix(DELETED)
}

impl There {
    /// The version that has a label.
    pub(super) fn labelled(&self, label: &str) -> Option<&str> {
        self.labels.get(label)?.first().map(String::as_str)
    }

    /// Whether a version has a label.
    pub(super) fn has(&self, id: &str, label: &str) -> bool {
        self.labels.get(label).is_some_and(|versions| versions.iter().any(|there| there == id))
    }
}

/// Looks at the secret and at the value that readers get.
pub(super) async fn look(calls: &Calls<'_>) -> Result<Seen, Fault> {
    for _ in 0..ATTEMPTS {
        let Some(described) = calls.describe().await? else { return Ok(Seen::Absent) };
        usable(calls, &described)?;
        let labels = labels(&described);
        let current = one(calls, &labels, CURRENT)?;
        if described.deleted_date.is_some() {
            return deleted(calls, current, described.arn);
        }
        let mut there = There {
            tags: tags(&described),
            replicas: replicas(&described),
            labels,
            current: None,
            arn: described.arn,
        };
        let Some(id) = current else { return Ok(Seen::There(Box::new(there))) };
        if let Some(body) = calls.get(&id, CURRENT).await? {
            there.current = Some(SecretVersion::of(id, body));
            return Ok(Seen::There(Box::new(there)));
        }
    }
    Err(unsettled(calls, "the current version changed during every read"))
}

/// The value that is staged, where there is one beside what readers get.
pub(super) async fn staged(
    calls: &Calls<'_>,
    there: &There,
) -> Result<Option<SecretVersion>, Fault> {
    let Some(id) = one(calls, &there.labels, PENDING)? else { return Ok(None) };
    if there.current.as_ref().is_some_and(|held| held.id == id) {
        return Ok(None);
    }
    // Gone in between, it is staged no more.
    Ok(calls.get(&id, PENDING).await?.map(|body| SecretVersion::of(id, body)))
}

/// The version with this ID, if it has the label.
pub(super) async fn version_labelled(
    calls: &Calls<'_>,
    id: &str,
    label: &str,
) -> Result<Option<SecretVersion>, Fault> {
    Ok(calls.get(id, label).await?.map(|body| SecretVersion::of(id.to_owned(), body)))
}

/// That every region has what the primary one has, and not only says so.
pub(super) async fn in_every_region(calls: &Calls<'_>, there: &There) -> Result<(), Fault> {
    let Some(held) = &there.current else { return Ok(()) };
    for replica in &there.replicas {
        let region = &replica.region;
        let lag = |words: String| {
            Fault::new(
                calls.operation,
                Class::Transient,
                Code::Unavailable,
                format!("the replica in {region} {words}"),
            )
        };
        if let Some(trouble) = &replica.trouble {
            return Err(lag(trouble.clone()));
        }
        let client = calls.account.client_in(region).await;
        let described = calls.describe_by(&client).await.map_err(|fault| Fault {
            detail: format!("of the replica in {region}: {}", fault.detail),
            ..fault
        })?;
        let Some(described) = described else {
            return Err(lag("is reported as in sync, but does not exist".to_owned()));
        };
        let labels = labels(&described);
        let current = labels.get(CURRENT).is_some_and(|versions| versions.contains(&held.id));
        if !current {
            return Err(lag("does not have the current version yet".to_owned()));
        }
    }
    Ok(())
}

/// That nobody else rotates it, and that it can be written.
fn usable(calls: &Calls<'_>, described: &DescribeSecretOutput) -> Result<(), Fault> {
    let name = calls.name;
    let refused =
        |words: String| Err(Fault::new(calls.operation, Class::Terminal, Code::Invalid, words));
    let service = described.owning_service.as_deref().filter(|service| !service.is_empty());
    if let Some(service) = service {
        return refused(format!(
            "the secret is managed by {}, which writes it; use another name for this delivery",
            quote(service, &[])
        ));
    }
    let kind = described.r#type.as_deref().filter(|kind| !kind.is_empty());
    if let Some(kind) = kind {
        return refused(format!(
            "the secret is a managed external one of type {}, which AWS writes; use another name \
             for this delivery",
            quote(kind, &[])
        ));
    }
    if described.rotation_enabled == Some(true) {
        return refused(format!(
            "AWS rotates this secret automatically, and two rotators would overwrite each other; turn off AWS's rotation: \
             aws secretsmanager cancel-rotate-secret --secret-id {name}"
        ));
    }
    let home = described.primary_region.as_deref();
    let here = calls.account.settings.account.region.as_str();
    if let Some(home) = home.filter(|home| *home != here) {
        return refused(format!(
            "the secret in {here} is a replica of the one in {home}, and only the primary can be written: \
             region = \"{home}\""
        ));
    }
    Ok(())
}

fn deleted(calls: &Calls<'_>, current: Option<String>, arn: Option<String>) -> Result<Seen, Fault> {
    if calls.account.settings.account.restore {
        return Ok(Seen::Deleted { current, arn });
    }
    let words = format!(
        "the secret is scheduled for deletion; if it is still needed, cancel the deletion (aws \
         secretsmanager restore-secret --secret-id {}), or let Scimitar do so: restore = true in \
         [sinks.{}]",
        calls.name, calls.account.settings.sink
    );
    Err(Fault::new(calls.operation, Class::Terminal, Code::Invalid, words))
}

/// The one version with a label. That there are two is nothing that AWS does.
fn one(
    calls: &Calls<'_>,
    labels: &BTreeMap<String, Vec<String>>,
    label: &str,
) -> Result<Option<String>, Fault> {
    match labels.get(label).map(Vec::as_slice) {
        None | Some([]) => Ok(None),
        Some([id]) => Ok(Some(id.clone())),
        Some(_) => Err(unsettled(calls, "more than one version has the same label")),
    }
}

pub(super) fn unsettled(calls: &Calls<'_>, words: &str) -> Fault {
    Fault::new(calls.operation, Class::Transient, Code::Unreadable, words)
}

pub(super) fn tags(described: &DescribeSecretOutput) -> Tags {
    let tags = described.tags.iter().flatten();
    tags.filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()))).collect()
}

fn replicas(described: &DescribeSecretOutput) -> Vec<Replica> {
    let replicas = described.replication_status.iter().flatten();
    replicas
        .map(|replica| {
            let status = replica.status.as_ref().map_or("unknown", StatusType::as_str);
            let message = quote(replica.status_message.as_deref().unwrap_or_default(), &[]);
            let message = if message.is_empty() { String::new() } else { format!(": {message}") };
            Replica {
                region: replica.region.clone().unwrap_or_default(),
                trouble: (status != "InSync").then(|| format!("is {status}{message}")),
            }
        })
        .collect()
}
