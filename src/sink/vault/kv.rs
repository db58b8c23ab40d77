//! Reading and writing a secret in either kind of key-value engine.

use std::sync::Arc;

use serde::Deserialize;
use vaultrs::api::{
    kv1::requests::{GetSecretRequest, SetSecretRequest},
    kv2::requests::ReadSecretRequest,
};
use zeroize::Zeroizing;

use super::{
    answer::Answer,
    answers::{self, Effect},
    marks::{self, Custom},
    mount::{Engine, Mount},
    rights,
    server::VaultServer,
    wire::Raw,
};
use crate::{
    error::{Class, Code, Fault},
    sink::{Version, rules::document::Document},
};

/// The version of a secret that never was.
const ABSENT: &str = "absent";

/// A compare-and-set that cannot match: no secret has been written this often.
const IMPOSSIBLE: u64 = 2_000_000_000;

/// A secret as it was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) version: Version,
    /// What a write has to name (version 2).
    pub(super) number: u64,
    /// What it holds; `None`: definitely nothing.
    pub(super) data: Option<Document>,
    /// The metadata that users may write (version 2).
    pub(super) custom: Custom,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Versioned {
    data: Option<Document>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
    created_time: String,
    #[serde(default)]
    custom_metadata: Option<Custom>,
}

#[derive(Deserialize)]
struct Warned {
    #[serde(rename = "warnings")]
    _warnings: Vec<String>,
}

/// What a write of version 2 made.
pub(super) struct Made {
    pub(super) version: Version,
    pub(super) number: u64,
}

impl Seen {
    fn nothing() -> Self {
        Self {
            version: Version(ABSENT.to_owned()),
            number: 0,
            data: None,
            custom: Custom::default(),
        }
    }

    /// Whether there is not even a deleted version.
    pub(super) fn never_was(&self) -> bool {
        self.version.0 == ABSENT
    }
}

/// Reads the secret.
pub(super) async fn read(
    server: &Arc<VaultServer>,
    operation: &str,
    mount: &Mount,
) -> Result<Seen, Fault> {
    let (name, key) = (&mount.name, &mount.key);
    let reply = match mount.engine {
        Engine::Two => {
            let call =
                || ReadSecretRequest { mount: name.clone(), path: key.clone(), version: None };
            server.send(operation, Effect::None, call).await?
        }
        Engine::One => {
            let call = || GetSecretRequest { mount: name.clone(), path: key.clone() };
            server.send(operation, Effect::None, call).await?
        }
    };
    let unreadable = |words: String| answers::unreadable(operation, &words, Effect::None);
    match (reply.status, mount.engine) {
        (200, Engine::Two) => {
            let found: Data<Versioned> = reply.json().map_err(unreadable)?;
            Ok(seen(found.data))
        }
        (200, Engine::One) => {
            let found: Data<Document> = reply.json().map_err(unreadable)?;
            let version = Version(found.data.digest().as_str().to_owned());
            Ok(Seen { version, number: 0, data: Some(found.data), custom: Custom::default() })
        }
        (404, _) if answers::nothing_there(&reply) => Ok(Seen::nothing()),
        // A version that was deleted is told in the body of a 404, with its number.
        (404, Engine::Two) => match reply.json::<Data<Versioned>>() {
            Ok(found) => Ok(seen(found.data)),
            Err(_) => Err(answers::refused(operation, &reply, Effect::None)),
        },
        // An engine of version 2 says this of every path that is meant for one of version 1.
        (404, Engine::One) if reply.json::<Warned>().is_ok() => {
            let words = "the engine is not (or no longer) version 1";
            Err(Fault::new(operation, Class::Terminal, Code::Invalid, words))
        }
        _ => Err(answers::refused(operation, &reply, Effect::None)),
    }
}

fn seen(found: Versioned) -> Seen {
    let Versioned { data, metadata } = found;
    Seen {
        version: version(&metadata, data.is_some()),
        number: metadata.version,
        data,
        custom: metadata.custom_metadata.unwrap_or_default(),
    }
}

/// The number alone would come again after all of a secret was deleted and written anew.
fn version(metadata: &Metadata, there: bool) -> Version {
    let state = if there { "" } else { " deleted" };
    Version(format!("{} of {}{state}", metadata.version, metadata.created_time))
}

/// Writes version 2 in the place of the version with this number; 0: of none.
///
/// # If the answer is lost
/// The version may be there, now or later; a compare-and-set that comes late is refused once
/// another version is.
pub(super) async fn write_two(
    server: &Arc<VaultServer>,
    operation: &str,
    mount: &Mount,
    number: u64,
    document: &[u8],
) -> Result<Made, Fault> {
    let reply = put_two(server, operation, mount, number, document).await?;
    if reply.status != 200 {
        return Err(answers::refused(operation, &reply, Effect::Writes));
    }
    let made: Data<Metadata> =
        reply.json().map_err(|words| answers::unreadable(operation, &words, Effect::Writes))?;
    Ok(Made { version: version(&made.data, true), number: made.data.version })
}

async fn put_two(
    server: &Arc<VaultServer>,
    operation: &str,
    mount: &Mount,
    number: u64,
    document: &[u8],
) -> Result<Arc<Answer>, Fault> {
    let head = format!("{{\"options\":{{\"cas\":{number}}},\"data\":");
    let mut body = Zeroizing::new(Vec::with_capacity(head.len() + document.len() + 1));
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(document);
    body.push(b'}');
    let path = format!("{}/data/{}", mount.name, mount.key);
    let call = || Raw::post(path.clone(), body.clone());
    server.send(operation, Effect::Writes, call).await
}

/// Asks for a write that cannot happen: whoever may write is told that the version is another,
/// whoever may not is told that.
pub(super) async fn prove_two(
    server: &Arc<VaultServer>,
    operation: &str,
    mount: &Mount,
) -> Result<(), Fault> {
    let reply =
        put_two(server, operation, mount, IMPOSSIBLE, b"{}").await.map_err(Fault::settled)?;
    if answers::lost_the_race(&reply) {
        return Ok(());
    }
    if reply.status == 200 {
        let words = "an invalid write was accepted: this is not a version 2 engine";
        return Err(Fault::new(operation, Class::Terminal, Code::Invalid, words));
    }
    Err(answers::refused(operation, &reply, Effect::None).settled())
}

/// Puts marks into the custom metadata, beside those that are there.
///
/// # If the answer is lost
/// They may be there; by themselves they mean nothing.
pub(super) async fn announce(
    server: &Arc<VaultServer>,
    operation: &str,
    mount: &Mount,
    patch: &Zeroizing<Vec<u8>>,
) -> Result<(), Fault> {
    let reply = patch_metadata(server, operation, mount, patch).await?;
    match reply.status {
        200 | 204 => Ok(()),
        _ => Err(answers::refused(operation, &reply, Effect::None).settled()),
    }
}

/// Shows that [`announce`] would be allowed, by a patch that no server accepts.
pub(super) async fn prove_announcing(
    server: &Arc<VaultServer>,
    operation: &str,
    mount: &Mount,
) -> Result<(), Fault> {
    let reply = patch_metadata(server, operation, mount, &marks::unacceptable()).await?;
    match reply.status {
        400 if answers::errors(&reply).is_some() => Ok(()),
        404 if answers::nothing_there(&reply) => Ok(()),
        _ => {
            let mut fault = answers::refused(operation, &reply, Effect::None).settled();
            if fault.code == Code::Forbidden {
                fault.detail.push_str("; grant \"patch\" on the metadata, or leave `payload` out");
            }
            Err(fault)
        }
    }
}

async fn patch_metadata(
    server: &Arc<VaultServer>,
    operation: &str,
    mount: &Mount,
    patch: &Zeroizing<Vec<u8>>,
) -> Result<Arc<Answer>, Fault> {
    let path = format!("{}/metadata/{}", mount.name, mount.key);
    let call = || Raw::merge_patch(path.clone(), patch.clone());
    server.send(operation, Effect::None, call).await
}

/// Writes version 1: whatever is there is replaced.
///
/// # If the answer is lost
/// It may be there, now or later, over whatever is there then.
pub(super) async fn write_one(
    server: &Arc<VaultServer>,
    operation: &str,
    mount: &Mount,
    document: &[u8],
) -> Result<(), Fault> {
    let call = || SetSecretRequest {
        mount: mount.name.clone(),
        path: mount.key.clone(),
        data: document.to_vec(),
    };
    let reply = server.send(operation, Effect::Writes, call).await?;
    match reply.status {
        200 | 204 => Ok(()),
        _ => Err(answers::refused(operation, &reply, Effect::Writes)),
    }
}

/// Asks which rights the token has: version 1 knows no write that changes nothing.
pub(super) async fn prove_one(
    server: &Arc<VaultServer>,
    operation: &str,
    mount: &Mount,
    there: bool,
) -> Result<(), Fault> {
    let path = format!("{}{}/{}", server.settings.inside(), mount.name, mount.key);
    let granted = rights::granted(server, operation, &[&path]).await?;
    let wanted = if there { "update" } else { "create" };
    let may = granted.get(&path).cloned().unwrap_or_default();
    match rights::lacking(&may, &[wanted]).first() {
        None => Ok(()),
        Some(right) => Err(rights::forbidden(operation, right)),
    }
}
