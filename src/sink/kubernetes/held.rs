//! A Secret as the API shows it, and the changes that a delivery makes to it.

use std::collections::BTreeMap;

use aws_smithy_types::base64;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{marks, settings::MANAGED_BY};
use crate::{
    http::Reply,
    secret::Secret,
    sink::{
        Contents, Elsewhere, Marks,
        payload::{Said, Wiped},
        rules::{Keys, document::Keyed, elsewhere},
    },
    token::Digest,
};

/// The most that all values of a Secret may have together (`MaxSecretSize` of the API's core types).
const LARGEST: usize = 1024 * 1024;

/// Secrets that controllers of Kubernetes itself fill: what others write there goes again.
const OF_KUBERNETES: [&str; 2] =
    ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    data: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, rename = "type")]
    of_type: Option<String>,
    #[serde(default)]
    immutable: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    // A Secret that was only tried out has none.
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
    #[serde(default)]
    owner_references: Option<Vec<Owner>>,
}

#[derive(Deserialize)]
struct Owner {
    kind: String,
    name: String,
    #[serde(default)]
    controller: Option<bool>,
}

/// A Secret that is there.
pub(super) struct Held {
    /// Which state of it this is; compared, and nothing else (API concepts, "Resource versions").
    pub(super) version: String,
    /// Whether its content can never change.
    immutable: bool,
    /// Whether it is going.
    deleted: bool,
    of_type: String,
    /// Who else writes it.
    pub(super) controller: Option<String>,
    annotations: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
    data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// Reads the API's answer to a read.
///
/// # Errors
/// In words that quote nothing of it.
pub(super) fn read(reply: &Reply) -> Result<Held, String> {
    let held = answered(reply)?;
    if held.version.is_empty() {
        return Err("the Secret in the answer has no resourceVersion".to_owned());
    }
    Ok(held)
}

/// Reads the API's answer to a write: the Secret as it is now, or would be.
///
/// # Errors
/// In words that quote nothing of it.
pub(super) fn answered(reply: &Reply) -> Result<Held, String> {
    let object: Object = reply.json()?;
    if object.kind != "Secret" {
        return Err("the answer is not a Secret".to_owned());
    }
    let mut data = BTreeMap::new();
    for (key, text) in object.data.unwrap_or_default() {
        let bytes = base64::decode(text.unwrap_or_default())
            .map_err(|_| "the answer holds data that is not in base64".to_owned())?;
        data.insert(key, Zeroizing::new(bytes));
    }
    let metadata = object.metadata;
    let owners = metadata.owner_references.unwrap_or_default().into_iter();
    let controller = owners
        .filter(|owner| owner.controller == Some(true))
        .map(|owner| format!("{} {}", owner.kind, owner.name))
        .next();
    Ok(Held {
        version: metadata.resource_version,
        immutable: object.immutable == Some(true),
        deleted: metadata.deletion_timestamp.is_some(),
        of_type: object.of_type.unwrap_or_default(),
        controller,
        annotations: metadata.annotations.unwrap_or_default(),
        labels: metadata.labels.unwrap_or_default(),
        data,
    })
}

impl Keyed for Held {
    /// Without the line end that an editor or `echo` leaves.
    fn text(&self, key: &str) -> Option<Wiped> {
        let text = std::str::from_utf8(self.data.get(key)?).ok()?;
        Some(Wiped::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn holds(&self, owned: impl Fn(&str) -> bool) -> bool {
        self.data.iter().any(|(key, bytes)| owned(key) && !bytes.trim_ascii().is_empty())
    }

    fn elsewhere(&self, owned: impl Fn(&str) -> bool) -> Vec<Elsewhere> {
        let mut found = Vec::new();
        for (key, bytes) in self.data.iter().filter(|(key, _)| !owned(key)) {
            match std::str::from_utf8(bytes) {
                Ok(text) => elsewhere::in_text(key, text, &mut found),
                Err(_) => found.extend(
                    elsewhere::in_no_form(bytes)
                        .into_iter()
                        .map(|one| Elsewhere { key: key.clone(), ..one }),
                ),
            }
        }
        found
    }
}

/// Why a Secret is never written, and whether that passes.
pub(super) enum Barred {
    /// A person has to do something.
    ForGood(String),
    /// It is being deleted, and not gone yet.
    Going,
}

impl Held {
    /// What it is of a token. One without any data holds nothing, whoever made it.
    pub(super) fn understand(&self, keys: &Keys) -> Contents {
        if self.data.is_empty() {
            return Contents::Empty;
        }
        keys.understand(self, |value| marks::of_value(&self.annotations, value))
    }

    /// Why nothing can be written there.
    pub(super) fn barred(&self) -> Option<Barred> {
        if self.deleted {
            return Some(Barred::Going);
        }
        if self.immutable {
            return Some(Barred::ForGood(
                "it is immutable, and Kubernetes does not allow changes to it: delete it once no \
                 reader needs it, or deliver to another Secret"
                    .to_owned(),
            ));
        }
        OF_KUBERNETES.contains(&self.of_type.as_str()).then(|| {
            Barred::ForGood(format!(
                "it is of type {}, which Kubernetes fills; deliver to another Secret",
                self.of_type
            ))
        })
    }

    /// The merge patch (RFC 7396) that puts this there and touches nothing of others; `None` where it
    /// is there already.
    pub(super) fn patch(&self, keys: &Keys, ours: &Ours<'_>) -> Option<Value> {
        let same = |(key, text): (&String, &Secret)| {
            self.data.get(key).is_some_and(|held| held.as_slice() == text.expose().as_bytes())
        };
        let gone: Vec<&String> =
            self.data.keys().filter(|key| keys.own(key) && !ours.data.contains_key(*key)).collect();
        let noted = ours.annotation();
        let marked = self.annotations.get(marks::KEY) == noted.as_ref();
        let labels = ours.labels(&self.labels);
        if marked && labels.is_empty() && gone.is_empty() && ours.data.iter().all(same) {
            return None;
        }
        let mut data = ours.encoded();
        data.extend(gone.into_iter().map(|key| (key.clone(), Value::Null)));
        let mut metadata = Map::from_iter([("resourceVersion".to_owned(), json!(self.version))]);
        if !marked {
            metadata.insert("annotations".to_owned(), json!({ marks::KEY: noted }));
        }
        if !labels.is_empty() {
            metadata.insert("labels".to_owned(), Value::Object(labels));
        }
        Some(json!({ "metadata": metadata, "data": data }))
    }

    /// Under which of our keys it holds something else than what was written; `None`: it is as written.
    pub(super) fn differs<'o>(&self, ours: &'o Ours<'_>) -> Option<&'o str> {
        let other = |(key, text): &(&String, &Secret)| {
            self.data.get(*key).is_none_or(|held| held.as_slice() != text.expose().as_bytes())
        };
        let marks =
            ours.annotation().filter(|noted| self.annotations.get(marks::KEY) != Some(noted));
        let key = ours.data.iter().find(other).map(|(key, _)| key.as_str());
        key.or_else(|| marks.map(|_| marks::KEY))
    }

    /// How many bytes its values would have with these.
    fn with(&self, keys: &Keys, ours: &Ours<'_>) -> usize {
        let kept = self.data.iter().filter(|(key, _)| !keys.own(key));
        kept.map(|(_, bytes)| bytes.len()).sum::<usize>() + ours.size()
    }
}

/// Refuses what is more than a Secret can hold, in words.
pub(super) fn check_size(held: Option<&Held>, keys: &Keys, ours: &Ours<'_>) -> Result<(), String> {
    let size = held.map_or_else(|| ours.size(), |held| held.with(keys, ours));
    if size <= LARGEST {
        return Ok(());
    }
    Err(format!(
        "it would hold {size} bytes with this token, and a Secret holds at most 1 MiB: deliver to a \
         separate Secret"
    ))
}

/// What a delivery writes.
pub(super) struct Ours<'a> {
    pub(super) data: BTreeMap<String, Secret>,
    /// The marks and the digest of their value, where they are kept beside it.
    pub(super) marks: Option<(&'a Marks, Digest)>,
    /// What is said in labels.
    pub(super) said: Said,
}

impl Ours<'_> {
    fn size(&self) -> usize {
        self.data.values().map(|text| text.expose().len()).sum()
    }

    fn annotation(&self) -> Option<String> {
        let (marks, digest) = self.marks.as_ref()?;
        Some(marks::text(marks, digest))
    }

    /// The members of a merge patch that make labels what they are to be.
    fn labels(&self, there: &BTreeMap<String, String>) -> Map<String, Value> {
        let new = self.said.new_in(there).into_iter().map(|(key, text)| (key, Value::String(text)));
        new.chain(self.said.gone_from(there).into_iter().map(|key| (key, Value::Null))).collect()
    }

    fn encoded(&self) -> Map<String, Value> {
        let encode = |(key, text): (&String, &Secret)| {
            (key.clone(), Value::String(base64::encode(text.expose())))
        };
        self.data.iter().map(encode).collect()
    }

    /// A Secret that is to be made.
    pub(super) fn object(&self, namespace: &str, name: &str) -> Value {
        let mut metadata = json!({
            "name": name,
            "namespace": namespace,
            "labels": { MANAGED_BY: "scimitar" },
        });
        for (key, text) in &self.said.put {
            metadata["labels"][key] = json!(text);
        }
        if let Some(noted) = self.annotation() {
            metadata["annotations"] = json!({ marks::KEY: noted });
        }
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "Opaque",
            "data": self.encoded(),
        })
    }
}
