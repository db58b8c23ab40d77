//! Which engine a path is in, as the server says, and the settings of it that would bite.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use vaultrs::api::kv2::requests::{ReadConfigurationRequest, ReadSecretMetadataRequest};

use super::{
    answers::{self, Effect},
    path::below,
    server::VaultServer,
    settings::Checked,
    wire::Raw,
};
use crate::error::{Class, Code, Fault};

/// The kinds of key-value engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// Version 1: one value, no versions, no compare-and-set.
    One,
    /// Version 2.
    Two,
}

/// A mount, and the secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) name: String,
    /// What is left of the path behind the mount.
    pub(super) key: String,
    pub(super) engine: Engine,
}

impl Mount {
    /// What an operator should know of it.
    pub(super) fn caveat(&self) -> Option<String> {
        let Self { name, key, engine } = self;
        let named = key.split_once('/').filter(|(part, _)| matches!(*part, "data" | "metadata"));
        match (engine, named) {
            (Engine::One, _) => Some(format!(
                "{name} is a key-value engine of version 1: it has no compare-and-set, so a write \
                 by somebody else at the same moment can be lost, and no versions to go back to; \
                 version 2 has both"
            )),
            // The API has it there, and who copies a path from it gets a secret of that name.
            (Engine::Two, Some((part, rest))) => Some(format!(
                "the secret is called \"{key}\", with \"{part}/\" in its name: a client that \
                 asks {name} for \"{rest}\" does not find it; if you mean \"{rest}\", remove \"{part}/\" from \
                 `path`"
            )),
            (Engine::Two, None) => None,
        }
    }
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    secret: BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Mounted {
    path: String,
    #[serde(default)]
    accessor: String,
    #[serde(default)]
    uuid: String,
    #[serde(rename = "type")]
    kind: String,
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    version: Option<String>,
}

/// The settings of an engine or of one secret in it.
#[derive(Deserialize)]
struct Limits {
    #[serde(default)]
    max_versions: u64,
    #[serde(default)]
    delete_version_after: String,
    /// OpenBao alone.
    #[serde(default)]
    metadata_cas_required: bool,
}

/// What tells one engine from another that was at the same path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    /// Another one with each engine that is enabled.
    pub(super) id: String,
    /// What people find it by in the server's lists.
    pub(super) accessor: String,
}

/// Asks the server where the path is mounted, and which engine that is.
pub(super) async fn ask(
    server: &Arc<VaultServer>,
    checked: &Checked,
) -> Result<(Mount, Option<Instance>), Fault> {
    let operation = format!("read {}", checked.place.location);
    let asked = checked.mount.as_ref().unwrap_or(&checked.path);
    let call = || Raw::get(format!("sys/internal/ui/mounts/{asked}"));
    let reply = server.send(&operation, Effect::None, call).await?;
    let wrong = |words: String| Fault::new(&operation, Class::Terminal, Code::Invalid, words);
    match reply.status {
        200 => {}
        // The same answer for a mount that is not there and for one that may not be seen.
        403 if answers::errors(&reply).is_some() => {
            let words = format!(
                "nothing is mounted at {asked}, or the token's policies grant nothing below it \
                 ({}); `scimitar permissions` prints what is needed",
                visible(server).await
            );
            return Err(Fault::new(operation, Class::Terminal, Code::Forbidden, words));
        }
        _ => return Err(answers::refused(&operation, &reply, Effect::None)),
    }
    let mounted: Data<Mounted> =
        reply.json().map_err(|words| answers::unreadable(&operation, &words, Effect::None))?;
    let Mounted { path, accessor, uuid, kind, options } = mounted.data;
    let id = if uuid.is_empty() { accessor.clone() } else { uuid };
    let instance = (!id.is_empty()).then_some(Instance { id, accessor });
    let name = path.trim_matches('/').to_owned();
    if !matches!(kind.as_str(), "kv" | "generic") {
        let kind: String = kind.chars().filter(char::is_ascii_graphic).take(40).collect();
        return Err(wrong(format!("{name} is an engine of type {kind}, not a key-value one")));
    }
    if checked.mount.as_ref().is_some_and(|said| *said != name) {
        return Err(wrong(format!("`mount` differs: the server has it at {name}")));
    }
    let key = below(&checked.path, &name)
        .ok_or_else(|| wrong(format!("the path names the mount {name} and no secret in it")))?;
    let engine = match options.and_then(|options| options.version).as_deref() {
        Some("2") => Engine::Two,
        Some("1") | None => Engine::One,
        Some(_) => {
            return Err(wrong(format!("{name} is a key-value engine of an unknown version")));
        }
    };
    Ok((Mount { name, key: key.to_owned(), engine }, instance))
}

/// The mounts that the token can see, in words.
async fn visible(server: &Arc<VaultServer>) -> String {
    let namespace = match &server.settings.namespace {
        Some(name) => format!("in the namespace {name}"),
        None => "without a namespace".to_owned(),
    };
    let call = || Raw::get("sys/internal/ui/mounts".to_owned());
    let reply = server.send("list the mounts", Effect::None, call).await;
    let reply = reply.ok().filter(|reply| reply.status == 200);
    let listed = reply.as_ref().and_then(|reply| reply.json::<Data<Listed>>().ok());
    let (Some(reply), Some(listed)) = (&reply, listed) else {
        return format!("{namespace}; the mounts that it can see could not be listed");
    };
    let names: Vec<&str> =
        listed.data.secret.keys().map(String::as_str).filter(|name| !is_system(name)).collect();
    if names.is_empty() {
        return format!("{namespace}, where the token can see no mount");
    }
    let names = crate::http::quote(&names.join(", "), &reply.hidden());
    format!("{namespace}, where the token can see {names}")
}

/// Engines that every server has, and that hold no secrets of users.
fn is_system(name: &str) -> bool {
    matches!(name, "sys/" | "identity/")
}

/// Refuses an engine that would take a delivered token away by itself.
pub(super) async fn check_limits(
    server: &Arc<VaultServer>,
    checked: &Checked,
    mount: &Mount,
) -> Result<(), Fault> {
    let operation = format!("read the settings of {}/config", mount.name);
    let call = || ReadConfigurationRequest { mount: mount.name.clone() };
    let reply = server.send(&operation, Effect::None, call).await?;
    let engine = match reply.status {
        200 => limits(&operation, &reply)?,
        _ => return Err(granting(answers::refused(&operation, &reply, Effect::None))),
    };
    let operation = format!("read the settings of {}/metadata/{}", mount.name, mount.key);
    let call = || ReadSecretMetadataRequest { mount: mount.name.clone(), path: mount.key.clone() };
    let reply = server.send(&operation, Effect::None, call).await?;
    let secret = match reply.status {
        200 => Some(limits(&operation, &reply)?),
        _ if answers::nothing_there(&reply) => None,
        _ => return Err(granting(answers::refused(&operation, &reply, Effect::None))),
    };
    biting(&engine, secret.as_ref(), !checked.keys.hold_marks())
        .map_err(|words| Fault::new(&checked.place.location, Class::Terminal, Code::Invalid, words))
        .map_err(|fault| Fault { operation: format!("deliver to {}", fault.operation), ..fault })
}

fn granting(mut fault: Fault) -> Fault {
    if fault.code == Code::Forbidden {
        fault.detail.push_str("; grant \"read\" on it: a setting there can delete tokens");
    }
    fault
}

fn limits(operation: &str, reply: &crate::http::Reply) -> Result<Limits, Fault> {
    let limits: Data<Limits> =
        reply.json().map_err(|words| answers::unreadable(operation, &words, Effect::None))?;
    Ok(limits.data)
}

/// What is set so that a token would not stay.
fn biting(engine: &Limits, secret: Option<&Limits>, marks_beside: bool) -> Result<(), String> {
    for (whose, limits) in [("the engine's", Some(engine)), ("the secret's", secret)] {
        let Some(limits) = limits else { continue };
        if deletes(&limits.delete_version_after) {
            return Err(format!(
                "{whose} delete_version_after would delete the token automatically while it is in use; \
                 set it to 0s, or name a path in another mount"
            ));
        }
        if limits.metadata_cas_required && marks_beside {
            return Err(format!(
                "{whose} metadata_cas_required is set, and with `payload` the marks go to \
                 custom_metadata, which Scimitar writes without check-and-set; leave `payload` out or lift \
                 the setting"
            ));
        }
    }
    let kept = match secret.map_or(0, |secret| secret.max_versions) {
        0 => engine.max_versions,
        own => own,
    };
    if kept == 1 {
        return Err("max_versions = 1 destroys the previous token with the write of the new one, \
                    while it is still in use; allow at least 2"
            .to_owned());
    }
    Ok(())
}

/// Whether a duration is one at all: `0s`, nothing and negative ones mean never.
fn deletes(after: &str) -> bool {
    !after.starts_with('-') && after.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_versions: u64, after: &str) -> Limits {
        Limits {
            max_versions,
            delete_version_after: after.to_owned(),
            metadata_cas_required: false,
        }
    }

    #[test]
    fn a_path_that_was_copied_from_the_api_is_told() {
        let caveat = |engine, key: &str| {
            Mount { name: "secret".to_owned(), key: key.to_owned(), engine }.caveat()
        };
        for fine in ["scim/initech", "data", "database", "scim/data", "metadata-of-us"] {
            assert_eq!(caveat(Engine::Two, fine), None, "{fine}");
        }
        let said = caveat(Engine::Two, "data/scim/initech").unwrap();
        assert!(
            said.contains("a client that asks secret for \"scim/initech\" does not find"),
            "{said}"
        );
        assert!(caveat(Engine::Two, "metadata/x").is_some());
        assert!(caveat(Engine::One, "data/x").unwrap().contains("version 1"));
    }

    #[test]
    fn settings_that_take_a_token_away_are_refused() {
        let fine = || limits(0, "0s");
        assert_eq!(biting(&fine(), None, true), Ok(()));
        assert_eq!(biting(&limits(1, "0s"), Some(&limits(5, "0s")), true), Ok(()));
        assert_eq!(biting(&limits(2, ""), Some(&limits(0, "-1s")), true), Ok(()));
        for (engine, secret) in [
            (limits(0, "768h0m0s"), None),
            (fine(), Some(limits(0, "30m0s"))),
            (limits(1, "0s"), None),
            (limits(1, "0s"), Some(fine())),
            (fine(), Some(limits(1, "0s"))),
        ] {
            assert!(biting(&engine, secret.as_ref(), false).is_err());
        }
        let guarded = Limits { metadata_cas_required: true, ..fine() };
        assert_eq!(biting(&guarded, None, false), Ok(()));
        assert!(biting(&guarded, None, true).is_err());
    }
}
