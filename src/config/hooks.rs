//! `[[hooks]]`: who is told what happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;

use crate::{
    error::system_words,
    hook::{SigningKey, trust::untrusted},
    rotation::notice::{OCCASIONS, Occasion},
    table::{
        At, Keyring, SecretRef, Secrets, Table, Value, amount::SECOND, is_loopback, secret, shown,
        url,
    },
    token::HookName,
};

/// How long a hook may take where it does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// No hook may take longer: its connection's next step would wait for it.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(300);

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookConfig {
    /// Its label; unique.
    pub name: HookName,
    /// What it is told of; never empty.
    pub on: BTreeSet<Occasion>,
    /// What is run or called.
    pub call: HookCall,
    /// How long that may take.
    pub timeout: Duration,
}

/// What is run or called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookCall {
    /// A program.
    Exec {
        /// Absolute.
        program: PathBuf,
        /// As they are; no shell reads them.
        arguments: Vec<String>,
    },
    /// A POST.
    Webhook {
        /// `https`, or `http` to this machine.
        url: Url,
        /// A signing key.
        secret: SecretRef,
    },
}

/// Reads `[[hooks]]`.
pub(super) fn hooks(root: &Table<'_>, keyring: Keyring<'_>) -> Vec<HookConfig> {
    let Some(value) = root.get("hooks") else {
        return Vec::new();
    };
    if value.is_table() {
        value.refuse(
            "`hooks` is one table, not a list of them",
            "write [[hooks]] with two brackets",
        );
        return Vec::new();
    }
    let mut names = BTreeMap::new();
    let items = value.list("a list of tables").unwrap_or_default();
    let tables = items.iter().filter_map(|item| item.table("[[hooks]]"));
    tables.filter_map(|table| hook(table, keyring, &mut names)).collect()
}

fn hook<'s>(
    table: Table<'s>,
    keyring: Keyring<'_>,
    names: &mut BTreeMap<HookName, At<'s>>,
) -> Option<HookConfig> {
    let findings = table.findings();
    let on = table.require("on", "[\"delivered\", \"failed\"]").and_then(|value| occasions(&value));
    let exec = table.get("exec");
    let webhook = table.get("webhook");
    let at = exec.or(webhook).map_or_else(|| table.at(), |value| value.at);
    let call = match (exec, webhook) {
        (Some(exec), None) => program(&exec, keyring.secrets),
        (None, Some(webhook)) => address(&webhook, keyring),
        (Some(_), Some(second)) => {
            findings.error(
                second.key_at,
                "a hook runs a program or calls a webhook, not both",
                "write one [[hooks]] for each",
            );
            None
        }
        (None, None) => {
            findings.error(
                table.at(),
                "[[hooks]] does not say what is to be run",
                "write exec = [\"/usr/local/bin/after-rotation\"], or webhook = { url = \"https://…\", secret = { … } }",
            );
            None
        }
    };
    let timeout = match table.get("timeout") {
        Some(value) => value.duration(SECOND..=LONGEST_TIMEOUT),
        None => Some(DEFAULT_TIMEOUT),
    };
    let name = match table.get("name") {
        Some(value) => named(&value).map(|name| (name, value.at)),
        None => call.as_ref().and_then(|call| derived(call, at, &table)).map(|name| (name, at)),
    };
    table.finish(&[]);
    let (name, at) = name?;
    if names.insert(name.clone(), at).is_some() {
        findings.error(
            at,
            format!("there is another hook with the name \"{}\"", shown(name.as_str())),
            "give each its own: name = \"…\"; it is the label in metrics and logs",
        );
        return None;
    }
    Some(HookConfig { name, on: on?, call: call?, timeout: timeout? })
}

fn occasions(value: &Value<'_>) -> Option<BTreeSet<Occasion>> {
    let words = OCCASIONS.map(|occasion| (occasion.as_str(), occasion));
    let mut on = BTreeSet::new();
    let items = value.list("a list such as [\"delivered\", \"failed\"]")?;
    if items.is_empty() {
        value.refuse(
            "`on` is empty: the hook would never run",
            "leave the hook out, or name an event",
        );
    }
    for item in &items {
        let occasion = item.word(&words)?;
        if !on.insert(occasion) {
            item.refuse(format!("\"{}\" is there twice", occasion.as_str()), "leave one out");
        }
    }
    (!items.is_empty()).then_some(on)
}

fn program(value: &Value<'_>, secrets: Secrets) -> Option<HookCall> {
    const HOW: &str = "write exec = [\"/path/of/program\", \"argument\", …]; no shell reads it";
    if value.as_str().is_some() {
        value.refuse("`exec` must be a list: the program and its arguments", HOW);
        return None;
    }
    let items = value.list("a list: the program and its arguments")?;
    let Some((first, rest)) = items.split_first() else {
        value.refuse("`exec` is empty", HOW);
        return None;
    };
    let path = first.path()?;
    let arguments = rest.iter().map(argument).collect::<Option<Vec<_>>>();
    if let Some((trouble, hint)) = unusable(&path) {
        first.refuse(format!("`exec`: {} {trouble}", path.display()), hint);
        return None;
    }
    if let Some(found) = untrusted(&path) {
        let words = format!("`exec`: {}", found.trouble);
        if found.of_this_account && secrets != Secrets::Needed {
            let hint = format!("{}, or check it as the user that scimitar runs as", found.hint);
            value.findings().warning(first.at, words, hint);
        } else {
            first.refuse(words, found.hint);
            return None;
        }
    }
    Some(HookCall::Exec { program: path, arguments: arguments? })
}

/// An argument may be empty.
fn argument(value: &Value<'_>) -> Option<String> {
    let text = match value.as_str() {
        Some("") => "",
        Some(_) | None => value.string()?,
    };
    if text.contains('\0') {
        value.refuse("an argument cannot hold a NUL", "leave it out");
        return None;
    }
    Some(text.to_owned())
}

fn unusable(path: &Path) -> Option<(String, String)> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            let hint = "the program is named by its path, absolute or from this file's folder; \
                        nothing is looked for in $PATH";
            return Some((format!("cannot be used: {}", system_words(&error)), hint.to_owned()));
        }
    };
    if !metadata.is_file() {
        Some(("is not a file".to_owned(), "name a program".to_owned()))
    } else if metadata.permissions().mode() & 0o111 == 0 {
        Some(("cannot be executed".to_owned(), format!("chmod +x {}", path.display())))
    } else {
        None
    }
}

fn address(value: &Value<'_>, keyring: Keyring<'_>) -> Option<HookCall> {
    let table = value.table("`webhook`")?;
    let url = table.require("url", "\"https://hooks.example.com/scimitar\"").and_then(|value| {
        let url = url(&value, "\"https://hooks.example.com/scimitar\"")?;
        let here = url.scheme() == "http" && is_loopback(&url);
        if url.scheme() != "https" && !here {
            value.refuse(
                "`url` must begin with https://",
                "plain http is allowed to this machine alone, such as http://127.0.0.1:8080/",
            );
            return None;
        }
        Some(url)
    });
    let secret = table.require("secret", "{ file = \"/etc/scimitar/webhook-secret\" }");
    let secret = secret.and_then(|value| {
        secret::reference(&value, keyring, |secret| {
            SigningKey::try_new(secret).map(drop).map_err(|_| {
                "the secret is not whsec_ and 24 to 64 bytes in base64; \
                 printf 'whsec_%s' \"$(openssl rand -base64 32)\" makes one"
            })
        })
    });
    table.finish(&[]);
    Some(HookCall::Webhook { url: url?, secret: secret? })
}

fn named(value: &Value<'_>) -> Option<HookName> {
    let name = HookName::try_new(value.string()?);
    name.map_err(|error| value.refuse(format!("`name`: {error}"), "choose another")).ok()
}

fn derived(call: &HookCall, at: At<'_>, table: &Table<'_>) -> Option<HookName> {
    let text = match call {
        HookCall::Exec { program, .. } => program.file_name().and_then(|name| name.to_str()),
        HookCall::Webhook { url, .. } => url.host_str(),
    };
    let name = HookName::try_new(text.unwrap_or_default());
    let refuse = |error: crate::token::NotAName| {
        let message = format!("no name for this hook can be taken from what it runs: {error}");
        table.findings().error(at, message, "give it one: name = \"…\"");
    };
    name.map_err(refuse).ok()
}
