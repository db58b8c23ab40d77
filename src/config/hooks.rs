//! `[[hooks]]`: who is told what happened.

mod webhook;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use self::webhook::webhook;
use crate::{
    hook::{Address, Post},
    rotation::notice::{OCCASIONS, Occasion},
    table::{
        At, Keyring, SecretRef, Secrets, Table, Value,
        amount::SECOND,
        program::{argument, command},
        shown,
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
    Webhook(Box<Post<SecretRef>>),
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
    let posted = table.get("webhook");
    let at = exec.or(posted).map_or_else(|| table.at(), |value| value.at);
    let call = match (exec, posted) {
        (Some(exec), None) => program(&exec, keyring.secrets),
        (None, Some(posted)) => webhook(&posted, keyring),
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
                "[[hooks]] does not say what to run",
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
            item.refuse(format!("\"{}\" is listed twice", occasion.as_str()), "leave one out");
        }
    }
    (!items.is_empty()).then_some(on)
}

fn program(value: &Value<'_>, secrets: Secrets) -> Option<HookCall> {
    let (program, arguments) =
        command(value, secrets, "exec = [\"/path/of/program\", \"argument\", …]")?;
    let arguments = arguments.iter().map(argument).collect::<Option<Vec<_>>>()?;
    Some(HookCall::Exec { program, arguments })
}

fn named(value: &Value<'_>) -> Option<HookName> {
    let name = HookName::try_new(value.string()?);
    name.map_err(|error| value.refuse(format!("`name`: {error}"), "choose another")).ok()
}

fn derived(call: &HookCall, at: At<'_>, table: &Table<'_>) -> Option<HookName> {
    let text = match call {
        HookCall::Exec { program, .. } => program.file_name().and_then(|name| name.to_str()),
        HookCall::Webhook(post) => match &post.url {
            Address::Plain(endpoint) => endpoint.url().host_str(),
            Address::Kept(_) => {
                table.findings().error(
                    at,
                    "a hook whose URL is a secret needs a name",
                    "write name = \"…\"; it is the label in metrics and logs",
                );
                return None;
            }
        },
    };
    let name = HookName::try_new(text.unwrap_or_default());
    let refuse = |error: crate::token::NotAName| {
        let message = format!("no name for this hook can be derived from what it runs: {error}");
        table.findings().error(at, message, "give it one: name = \"…\"");
    };
    name.map_err(refuse).ok()
}
