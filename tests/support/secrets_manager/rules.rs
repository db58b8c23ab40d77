//! What AWS's API reference says of each call, and no more than that.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Secret, Version, World};

/// An exception and its words.
pub(super) type Refused = (&'static str, String);

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";
const PARAMETER: &str = "InvalidParameterException";
const REQUEST: &str = "InvalidRequestException";
const NOT_FOUND: &str = "ResourceNotFoundException";
const EXISTS: &str = "ResourceExistsException";

/// The most labels that a version has.
const LABELS: usize = 20;

/// The most tags that a secret has.
const TAGS: usize = 50;

pub(super) fn carry_out(
    world: &mut World,
    region: &str,
    call: &str,
    body: &Value,
) -> Result<Value, Refused> {
    if call == "CreateSecret" {
        return create(world, body);
    }
    let name = text(body, "SecretId").unwrap_or_default();
    let account = world.account.clone();
    let missing = || (NOT_FOUND, "Secrets Manager can't find the specified secret.".to_owned());
    let secret = world.secrets.get_mut(&name).ok_or_else(missing)?;
    if region != "eu-central-1" {
        return in_replica(secret, &name, region, call).ok_or_else(missing)?;
    }
    let allowed_when_deleted =
        ["DescribeSecret", "RestoreSecret", "ListSecretVersionIds"].contains(&call);
    if secret.deleted && !allowed_when_deleted {
        let words =
            "You can't perform this operation on the secret because it was marked for deletion.";
        return Err((REQUEST, words.to_owned()));
    }
    match call {
        "DescribeSecret" => Ok(describe(secret, &name, &account)),
        "GetSecretValue" => get(secret, &name, body),
        "PutSecretValue" => put(secret, &name, body),
        "UpdateSecretVersionStage" => stage(secret, &name, body),
        "TagResource" => {
            tag(secret, body)?;
            Ok(json!({}))
        }
        "UntagResource" => {
            let keys = body["TagKeys"].as_array().cloned().unwrap_or_default();
            secret.tags.retain(|key, _| !keys.contains(&json!(key)));
            Ok(json!({}))
        }
        "DeleteSecret" => {
            secret.deleted = true;
            Ok(json!({ "Name": name }))
        }
        "RestoreSecret" => {
            secret.deleted = false;
            Ok(json!({ "Name": name }))
        }
        "ListSecretVersionIds" => {
            let versions: Vec<Value> = secret
                .versions
                .iter()
                .map(|(id, version)| json!({ "VersionId": id, "VersionStages": version.labels }))
                .collect();
            Ok(json!({ "Versions": versions }))
        }
        other => panic!("{other} is never called"),
    }
}

/// Somebody else puts a value there.
pub(super) fn overtake(world: &mut World, name: &str, text: &str) {
    let id = format!("0{}", uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, text.as_bytes()));
    let secret = world.secrets.entry(name.to_owned()).or_default();
    let version = Version { string: Some(text.to_owned()), ..Version::default() };
    secret.versions.insert(id.clone(), version);
    attach(secret, CURRENT, &id);
    sweep(secret);
}

fn text(body: &Value, key: &str) -> Option<String> {
    body[key].as_str().map(str::to_owned)
}

fn create(world: &mut World, body: &Value) -> Result<Value, Refused> {
    let name = text(body, "Name").unwrap_or_default();
    let legal = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    if name.is_empty() || name.len() > 512 || !name.chars().all(legal) {
        return Err(("ValidationException", "Invalid name. Must be a valid name".to_owned()));
    }
    let value = value(body)?;
    if let Some(secret) = world.secrets.get(&name) {
        if secret.deleted {
            let words = "You can't create this secret because a secret with this name is already scheduled for deletion.";
            return Err((REQUEST, words.to_owned()));
        }
        let id = text(body, "ClientRequestToken").unwrap_or_default();
        let same = secret.versions.get(&id).zip(value.as_ref());
        return match same {
            Some((there, value)) if same_value(there, value) => {
                Ok(json!({ "Name": name, "VersionId": id }))
            }
            Some(_) | None => Err((
                EXISTS,
                format!("The operation failed because the secret {name} already exists."),
            )),
        };
    }
    let mut secret = Secret::default();
    tag(&mut secret, body)?;
    let mut made = json!({ "Name": name });
    if let Some(mut version) = value {
        let id = token(body)?;
        version.labels = BTreeSet::from([CURRENT.to_owned()]);
        secret.versions.insert(id.clone(), version);
        made["VersionId"] = json!(id);
    }
    world.secrets.insert(name, secret);
    Ok(made)
}

/// The version's id, which is said by the caller.
fn token(body: &Value) -> Result<String, Refused> {
    let id = text(body, "ClientRequestToken").unwrap_or_default();
    if (32..=64).contains(&id.len()) {
        return Ok(id);
    }
    Err((PARAMETER, "ClientRequestToken must be 32-64 characters long.".to_owned()))
}

fn value(body: &Value) -> Result<Option<Version>, Refused> {
    let (string, binary) = (text(body, "SecretString"), text(body, "SecretBinary"));
    let length = string.as_ref().or(binary.as_ref()).map(String::len);
    match (&string, &binary, length) {
        (Some(_), Some(_), _) => {
            Err((PARAMETER, "You can't specify both a binary secret value and a string".to_owned()))
        }
        (_, _, Some(length)) if length > 65_536 => Err((
            "ValidationException",
            "Member must have length less than or equal to 65536".to_owned(),
        )),
        (None, None, _) => Ok(None),
        (_, _, _) => Ok(Some(Version { string, binary, labels: BTreeSet::new() })),
    }
}

fn same_value(one: &Version, other: &Version) -> bool {
    one.string == other.string && one.binary == other.binary
}

fn put(secret: &mut Secret, name: &str, body: &Value) -> Result<Value, Refused> {
    let id = token(body)?;
    let nothing =
        || (PARAMETER, "You must provide either SecretString or SecretBinary.".to_owned());
    let version = value(body)?.ok_or_else(nothing)?;
    let mut labels: Vec<String> = match body["VersionStages"].as_array() {
        Some(labels) => labels.iter().map(|label| label.as_str().unwrap().to_owned()).collect(),
        None => vec![CURRENT.to_owned()],
    };
    if let Some(there) = secret.versions.get(&id) {
        if !same_value(there, &version) {
            let words = format!(
                "You can't use ClientRequestToken {id} because that value is already in use for a version of secret {name}."
            );
            return Err((EXISTS, words));
        }
        // "The request is ignored": labels as well.
        return Ok(json!({ "Name": name, "VersionId": id, "VersionStages": there.labels }));
    }
    if labels.len() > LABELS {
        return Err(("LimitExceededException", "too many labels".to_owned()));
    }
    if secret.versions.is_empty() && !labels.iter().any(|label| label == CURRENT) {
        labels.push(CURRENT.to_owned());
    }
    secret.versions.insert(id.clone(), version);
    for label in &labels {
        attach(secret, label, &id);
    }
    sweep(secret);
    Ok(json!({ "Name": name, "VersionId": id, "VersionStages": labels }))
}

fn labelled(secret: &Secret, label: &str) -> Option<String> {
    let found = secret.versions.iter().find(|(_, version)| version.labels.contains(label));
    found.map(|(id, _)| id.clone())
}

/// A label is on one version at most, and `AWSPREVIOUS` follows `AWSCURRENT`.
fn attach(secret: &mut Secret, label: &str, to: &str) {
    let from = labelled(secret, label);
    for version in secret.versions.values_mut() {
        version.labels.remove(label);
    }
    secret.versions.get_mut(to).unwrap().labels.insert(label.to_owned());
    if label == CURRENT
        && let Some(from) = from.filter(|from| from != to)
    {
        for version in secret.versions.values_mut() {
            version.labels.remove(PREVIOUS);
        }
        secret.versions.get_mut(&from).unwrap().labels.insert(PREVIOUS.to_owned());
    }
}

/// A version without labels may be deleted at any time: here it is at once.
fn sweep(secret: &mut Secret) {
    secret.versions.retain(|_, version| !version.labels.is_empty());
}

fn stage(secret: &mut Secret, name: &str, body: &Value) -> Result<Value, Refused> {
    let label = text(body, "VersionStage").unwrap_or_default();
    let (from, to) = (text(body, "RemoveFromVersionId"), text(body, "MoveToVersionId"));
    for id in [&from, &to].into_iter().flatten() {
        if !secret.versions.contains_key(id) {
            return Err((PARAMETER, format!("Not a valid version: {id}")));
        }
    }
    let there = labelled(secret, &label);
    match (&from, &there) {
        (Some(from), Some(there)) if from == there => {}
        (Some(from), _) => {
            let words = format!("Staging label {label} is not attached to version {from}");
            return Err((PARAMETER, words));
        }
        (None, Some(there)) if to.as_ref() != Some(there) => {
            let words = format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently attached to version {there}, so you must explicitly reference that version in RemoveFromVersionId."
            );
            return Err((PARAMETER, words));
        }
        (None, _) => {}
    }
    match &to {
        Some(to) => attach(secret, &label, to),
        None if label == CURRENT => {
            let words = "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.";
            return Err((PARAMETER, words.to_owned()));
        }
        None => {
            for version in secret.versions.values_mut() {
                version.labels.remove(&label);
            }
        }
    }
    sweep(secret);
    Ok(json!({ "Name": name }))
}

fn get(secret: &Secret, name: &str, body: &Value) -> Result<Value, Refused> {
    let (id, label) = (text(body, "VersionId"), text(body, "VersionStage"));
    let wanted = label.clone().or_else(|| id.is_none().then(|| CURRENT.to_owned()));
    let id = id.or_else(|| labelled(secret, wanted.as_deref()?));
    let found = id.and_then(|id| secret.versions.get(&id).map(|version| (id, version)));
    let Some((id, version)) = found else {
        let words = "Secrets Manager can't find the specified secret value for that version";
        return Err((NOT_FOUND, words.to_owned()));
    };
    if label.is_some_and(|label| !version.labels.contains(&label)) {
        let words = "You provided a VersionStage that is not associated to the provided VersionId.";
        return Err((REQUEST, words.to_owned()));
    }
    Ok(json!({
        "Name": name, "VersionId": id, "VersionStages": version.labels,
        "SecretString": version.string, "SecretBinary": version.binary,
    }))
}

fn describe(secret: &Secret, name: &str, account: &str) -> Value {
    let versions: Map<String, Value> =
        secret.versions.iter().map(|(id, version)| (id.clone(), json!(version.labels))).collect();
    let tags: Vec<Value> =
        secret.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    let replicas: Vec<Value> = secret
        .replicas
        .iter()
        .map(|(region, replica)| {
            json!({ "Region": region, "Status": replica.status, "StatusMessage": replica.message })
        })
        .collect();
    json!({
        "ARN": format!("arn:aws:secretsmanager:eu-central-1:{account}:secret:{name}-a1B2c3"),
        "Name": name, "VersionIdsToStages": versions, "Tags": tags,
        "RotationEnabled": secret.rotates, "OwningService": secret.owner, "Type": secret.kind,
        "DeletedDate": secret.deleted.then_some(1_795_345_097),
        "ReplicationStatus": replicas,
    })
}

/// A replica is read, and nothing else.
fn in_replica(
    secret: &Secret,
    name: &str,
    region: &str,
    call: &str,
) -> Option<Result<Value, Refused>> {
    let replica = secret.replicas.get(region)?;
    if call != "DescribeSecret" {
        let words = "Operation not permitted on a replica secret. Call must be made in primary secret's region.";
        return Some(Err((REQUEST, words.to_owned())));
    }
    let current = replica.behind.clone().or_else(|| labelled(secret, CURRENT))?;
    Some(Ok(json!({
        "Name": name, "PrimaryRegion": "eu-central-1",
        "VersionIdsToStages": { current: [CURRENT] },
    })))
}

fn tag(secret: &mut Secret, body: &Value) -> Result<(), Refused> {
    let tags = body["Tags"].as_array().cloned().unwrap_or_default();
    for tag in tags {
        let (key, value) =
            (text(&tag, "Key").unwrap_or_default(), text(&tag, "Value").unwrap_or_default());
        let legal =
            |text: &str| text.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c));
        let fits = (1..=128).contains(&key.len()) && value.len() <= 256;
        if key.starts_with("aws:") || !fits || !legal(&key) || !legal(&value) {
            return Err((PARAMETER, format!("{key} is no tag")));
        }
        secret.tags.insert(key, value);
    }
    if secret.tags.len() > TAGS {
        return Err(("LimitExceededException", "too many tags".to_owned()));
    }
    Ok(())
}
