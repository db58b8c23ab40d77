//! The rights that the calls of a log-in and of a secret need, as a policy has to grant them.
//!
//! What `scimitar permissions` prints and what `check --online` asks the server for is this list,
//! so that the two cannot differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};

use rustify::enums::RequestMethod;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    answers::{self, Effect},
    auth::Keeping,
    mount::{Engine, Mount},
    path::below,
    server::VaultServer,
    settings::VaultTarget,
    wire::Raw,
};
use crate::{
    error::{Class, Code, Fault},
    rotation::policy::Mode,
};

/// Where a token asks what it may do.
const ASKING: &str = "sys/capabilities-self";

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The path, in the namespace of the sink.
    pub path: String,
    /// The capabilities on it, sorted.
    pub capabilities: Vec<&'static str>,
    /// What they are for.
    pub why: &'static str,
}

/// Rules for one secret, where they depend on what only the server knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alternative {
    /// What the secret is, as in "an engine of version 1 at secret".
    pub when: String,
    /// The rules in that case.
    pub rules: Vec<Rule>,
}

/// All that the policy of a sink's log-in has to grant, and nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VaultPolicy {
    /// The rules, with every engine taken for one of version 2.
    pub rules: Vec<Rule>,
    /// Those that replace the rules below a mount if it is one of version 1.
    pub alternatives: Vec<Alternative>,
    /// What could not be known, and what no policy can say exactly.
    pub notes: Vec<String>,
}

/// The policy that the deliveries to one sink need. Nothing is asked of the server: where the
/// configuration does not name the mount, the first part of the path is taken for it, and said so.
///
/// `inside`: the way from the namespace of the log-in, where the policy lies, to that of the secrets.
#[must_use]
pub fn policy(keeping: Keeping, inside: &str, deliveries: &[(&VaultTarget, Mode)]) -> VaultPolicy {
    let mut rules = Rules::default();
    let mut ones: BTreeMap<String, Rules> = BTreeMap::new();
    let mut notes = BTreeSet::new();
    for (target, mode) in deliveries {
        let guessed = target.path.split('/').next().unwrap_or_default();
        let name = target.mount.as_deref().unwrap_or(guessed);
        let key = below(&target.path, name).unwrap_or_default();
        let of = |engine| Mount { name: name.to_owned(), key: key.to_owned(), engine };
        let beside = target.payload.is_some() || !target.custom_metadata.is_empty();
        rules.secret(inside, &of(Engine::Two), beside, *mode);
        let one = ones.entry(name.to_owned()).or_default();
        one.secret(inside, &of(Engine::One), beside, *mode);
        if target.mount.is_none() {
            notes.insert(format!(
                "the mount is assumed to be {name}, the first part of the path; if the server has \
                 it elsewhere, write mount = \"…\" in `deliver_to` and run this again"
            ));
        }
        notes.extend(inexact(&target.path).map(str::to_owned));
    }
    rules.session(keeping);
    let alternatives = ones.into_iter().map(|(name, rules)| Alternative {
        when: format!("an engine of version 1 at {name}"),
        rules: rules.0,
    });
    VaultPolicy {
        rules: rules.0,
        alternatives: alternatives.collect(),
        notes: notes.into_iter().collect(),
    }
}

/// The policy that reading these secrets needs besides; the first part of each path is taken for the
/// mount.
#[must_use]
pub(super) fn reading<'p>(inside: &str, paths: impl Iterator<Item = &'p str>) -> VaultPolicy {
    const WHY: &str = "a secret that Scimitar logs in to a provider with";
    let (mut rules, mut ones, mut notes) = (Rules::default(), Rules::default(), BTreeSet::new());
    for path in paths {
        let (mount, key) = path.split_once('/').unwrap_or((path, ""));
        rules.add(format!("{inside}{mount}/data/{key}"), &["read"], WHY);
        ones.add(format!("{inside}{mount}/{key}"), &["read"], WHY);
        notes.insert(format!("the mount is assumed to be {mount}, the first part of the path"));
        notes.extend(inexact(path).map(str::to_owned));
    }
    let when = "engines of version 1".to_owned();
    VaultPolicy {
        rules: rules.0,
        alternatives: vec![Alternative { when, rules: ones.0 }],
        notes: notes.into_iter().collect(),
    }
}

/// Why no policy can name this path alone.
fn inexact(path: &str) -> Option<&'static str> {
    if path.split('/').any(|part| part == "+") {
        return Some(
            "a part of a path is \"+\", which a policy reads as any part: the policy grants more than \
             is needed; use another path for that secret",
        );
    }
    (path.contains("{{") || path.contains("${")).then_some(
        "a path holds {{ or ${, which a policy reads as a template: the policy grants something \
         else; use another path for that secret",
    )
}

#[derive(Debug, Default)]
struct Rules(Vec<Rule>);

impl Rules {
    fn add(&mut self, path: String, capabilities: &[&'static str], why: &'static str) {
        let known = self.0.iter_mut().find(|rule| rule.path == path);
        match known {
            Some(rule) => {
                rule.capabilities.extend(capabilities);
                rule.capabilities.sort_unstable();
                rule.capabilities.dedup();
            }
            None => self.0.push(Rule { path, capabilities: capabilities.to_vec(), why }),
        }
    }

    /// What reading, writing and proving a secret asks for. Its mount is told to every token that
    /// has any right below it.
    fn secret(&mut self, inside: &str, mount: &Mount, beside: bool, mode: Mode) {
        const SECRET: [&str; 3] = ["create", "read", "update"];
        let Mount { name, key, engine } = mount;
        let name = format!("{inside}{name}");
        if mode == Mode::Observe {
            let path = match engine {
                Engine::One => format!("{name}/{key}"),
                Engine::Two => format!("{name}/data/{key}"),
            };
            self.add(path, &["read"], "the secret, which is only watched");
            return;
        }
        match engine {
            Engine::One => {
                self.add(format!("{name}/{key}"), &SECRET, "the secret");
                self.add(ASKING.to_owned(), &["update"], "asks whether the secret may be written");
            }
            Engine::Two => {
                self.add(format!("{name}/data/{key}"), &SECRET, "the secret");
                let (metadata, why): (&[_], _) = if beside {
                    (&["patch", "read"], "its settings, and what is written beside the payload")
                } else {
                    (&["read"], "its settings: some would delete a token in use")
                };
                self.add(format!("{name}/metadata/{key}"), metadata, why);
                let why = "the engine's settings: some would delete a token in use";
                self.add(format!("{name}/config"), &["read"], why);
            }
        }
    }

    /// What a log-in does with its own token.
    fn session(&mut self, keeping: Keeping) {
        self.add(
            ASKING.to_owned(),
            &["update"],
            "`check --online` asks which of these are granted",
        );
        let renewed = "auth/token/renew-self".to_owned();
        self.add(renewed, &["update"], "renews the log-in before it ends");
        match keeping {
            Keeping::Given => {
                let looked = "auth/token/lookup-self".to_owned();
                self.add(looked, &["read"], "asks how long the token lives");
            }
            Keeping::Own => {
                let back = "auth/token/revoke-self".to_owned();
                self.add(back, &["update"], "revokes the log-in's token at the end");
            }
        }
    }
}

impl Rule {
    /// The rule as a policy has it.
    #[must_use]
    pub fn hcl(&self) -> String {
        let Self { path, capabilities, why } = self;
        // JSON's text is HCL's, but for templates, which `inexact` tells of.
        let path = json!(path);
        format!("path {path} {{\n  # {why}\n  capabilities = {capabilities:?}\n}}\n")
    }
}

impl VaultPolicy {
    /// The whole as HCL, for `vault policy write` or `bao policy write`.
    #[must_use]
    pub fn hcl(&self) -> String {
        let mut text: String = self.notes.iter().map(|note| format!("# NOTE: {note}\n")).collect();
        for rule in &self.rules {
            text.push_str(&rule.hcl());
        }
        for Alternative { when, rules } in &self.alternatives {
            let there: Vec<&Rule> = rules.iter().filter(|rule| !self.has(&rule.path)).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "# If the server has {when}, use these instead of the rules below that mount:"
            );
            for line in there.iter().flat_map(|rule| lines(rule)) {
                let _ = writeln!(text, "#   {line}");
            }
        }
        text
    }

    fn has(&self, path: &str) -> bool {
        self.rules.iter().any(|rule| rule.path == path)
    }
}

fn lines(rule: &Rule) -> Vec<String> {
    rule.hcl().lines().map(str::to_owned).collect()
}

#[derive(Deserialize)]
struct Data {
    data: BTreeMap<String, serde_json::Value>,
}

/// What the token may do on these paths, in the server's words. It is asked where the log-in is, and
/// the paths are as seen from there.
pub(super) async fn granted(
    server: &Arc<VaultServer>,
    operation: &str,
    paths: &[&str],
) -> Result<BTreeMap<String, BTreeSet<String>>, Fault> {
    let body = Zeroizing::new(json!({ "paths": paths }).to_string().into_bytes());
    let call =
        || Raw { method: RequestMethod::POST, path: ASKING.to_owned(), body: Some(body.clone()) };
    let namespace = server.settings.login_namespace();
    let reply = server.send_within(namespace, operation, Effect::None, call).await?;
    if reply.status != 200 {
        let mut fault = answers::refused(operation, &reply, Effect::None);
        if fault.code == Code::Forbidden {
            let words = "; grant \"update\" on sys/capabilities-self, which the policy \"default\" \
                         has: without it, it is not known what else is missing";
            fault.detail.push_str(words);
        }
        return Err(fault);
    }
    let answer: Data =
        reply.json().map_err(|words| answers::unreadable(operation, &words, Effect::None))?;
    let words = |value: &serde_json::Value| -> BTreeSet<String> {
        let listed = value.as_array().into_iter().flatten();
        listed.filter_map(|word| Some(word.as_str()?.to_owned())).collect()
    };
    Ok(answer.data.iter().map(|(path, listed)| (path.clone(), words(listed))).collect())
}

/// Which of the rights that the mode needs are not granted: each in words, with how to grant it.
pub(super) async fn missing(
    server: &Arc<VaultServer>,
    operation: &str,
    mount: &Mount,
    beside: bool,
    mode: Mode,
) -> Result<Vec<String>, Fault> {
    let mut rules = Rules::default();
    rules.secret(&server.settings.inside(), mount, beside, mode);
    rules.session(server.settings.auth.method.keeping());
    let paths: Vec<&str> = rules.0.iter().map(|rule| rule.path.as_str()).collect();
    let granted = granted(server, operation, &paths).await?;
    let nothing = BTreeSet::new();
    Ok(rules
        .0
        .iter()
        .filter_map(|rule| {
            let may = granted.get(&rule.path).unwrap_or(&nothing);
            let lacks = lacking(may, &rule.capabilities);
            (!lacks.is_empty()).then(|| {
                let Rule { path, why, .. } = rule;
                let lacks = lacks.join("\", \"");
                format!(
                    "the token's policies do not grant \"{lacks}\" on {path} ({why}); \
                     `scimitar permissions` prints the policy"
                )
            })
        })
        .collect())
}

/// What is needed and not granted.
pub(super) fn lacking<'n>(may: &BTreeSet<String>, needed: &[&'n str]) -> Vec<&'n str> {
    if may.contains("root") {
        return Vec::new();
    }
    let denied = may.contains("deny");
    needed.iter().copied().filter(|right| denied || !may.contains(*right)).collect()
}

/// The fault of a right that is not there.
pub(super) fn forbidden(operation: &str, right: &str) -> Fault {
    let words = format!(
        "the token's policies do not grant \"{right}\" on it; `scimitar permissions` prints the policy that is needed"
    );
    Fault::new(operation, Class::Terminal, Code::Forbidden, words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::payload::PayloadTemplate;

    fn target(path: &str, mount: Option<&str>, payload: bool) -> VaultTarget {
        VaultTarget {
            path: path.to_owned(),
            mount: mount.map(str::to_owned),
            payload: payload.then(|| {
                let source = [("T".to_owned(), "{{ token }}".to_owned())];
                PayloadTemplate::parse(&source.into()).unwrap()
            }),
            overwrite: false,
            custom_metadata: Default::default(),
        }
    }

    fn shown(policy: &VaultPolicy) -> Vec<String> {
        let rules = policy.rules.iter();
        rules.map(|rule| format!("{} {}", rule.path, rule.capabilities.join(" "))).collect()
    }

    #[test]
    fn a_policy_names_each_path_once_and_nothing_else() {
        let deliveries = [
            target("secret/scim/a", Some("secret"), false),
            target("secret/scim/b", Some("secret"), true),
        ];
        let rotated = deliveries.each_ref().map(|to| (to, Mode::Rotate));
        let policy = policy(Keeping::Own, "", &rotated);
        assert_eq!(
            shown(&policy),
            [
                "secret/data/scim/a create read update",
                "secret/metadata/scim/a read",
                "secret/config read",
                "secret/data/scim/b create read update",
                "secret/metadata/scim/b patch read",
                "sys/capabilities-self update",
                "auth/token/renew-self update",
                "auth/token/revoke-self update",
            ]
        );
        assert_eq!(policy.notes, [""; 0]);
        // A policy lies in the namespace of the log-in, and names the way down.
        let below = super::policy(Keeping::Own, "team/", &rotated[..1]);
        let paths: Vec<&str> = below.rules.iter().map(|rule| rule.path.as_str()).collect();
        assert_eq!(paths[0], "team/secret/data/scim/a");
        assert_eq!(paths[2], "team/secret/config");
        assert!(paths.contains(&"auth/token/renew-self"));
    }

    #[test]
    fn what_is_only_watched_is_only_read() {
        let [watched, rotated] = ["a", "b"].map(|key| target(key, Some(""), true));
        let watched = VaultTarget { path: "secret/a".to_owned(), mount: None, ..watched };
        let rotated = VaultTarget { path: "secret/b".to_owned(), mount: None, ..rotated };
        let both = [(&watched, Mode::Observe), (&rotated, Mode::Rotate)];
        let policy = policy(Keeping::Own, "", &both);
        let of_a = |shown: &[String]| -> Vec<String> {
            shown.iter().filter(|rule| rule.contains("/a ")).cloned().collect()
        };
        assert_eq!(of_a(&shown(&policy)), ["secret/data/a read"]);
        let one = VaultPolicy {
            rules: policy.alternatives[0].rules.clone(),
            alternatives: Vec::new(),
            notes: Vec::new(),
        };
        assert_eq!(of_a(&shown(&one)), ["secret/a read"]);
        // A secret that is both is rotated.
        let twice =
            super::policy(Keeping::Own, "", &[(&rotated, Mode::Observe), (&rotated, Mode::Rotate)]);
        assert_eq!(shown(&twice)[0], "secret/data/b create read update");
    }

    #[test]
    fn what_depends_on_the_server_is_a_comment_in_the_policy() {
        let text =
            policy(Keeping::Given, "", &[(&target("secret/x", None, false), Mode::Rotate)]).hcl();
        assert_eq!(
            text,
            r#"# NOTE: the mount is assumed to be secret, the first part of the path; if the server has it elsewhere, write mount = "…" in `deliver_to` and run this again
path "secret/data/x" {
  # the secret
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/x" {
  # its settings: some would delete a token in use
  capabilities = ["read"]
}
path "secret/config" {
  # the engine's settings: some would delete a token in use
  capabilities = ["read"]
}
path "sys/capabilities-self" {
  # `check --online` asks which of these are granted
  capabilities = ["update"]
}
path "auth/token/renew-self" {
  # renews the log-in before it ends
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  # asks how long the token lives
  capabilities = ["read"]
}
# If the server has an engine of version 1 at secret, use these instead of the rules below that mount:
#   path "secret/x" {
#     # the secret
#     capabilities = ["create", "read", "update"]
#   }
"#
        );
    }

    #[test]
    fn what_a_policy_would_take_for_a_pattern_is_said() {
        for path in ["secret/+/x", "secret/{{a}}", "secret/${a}"] {
            let policy =
                policy(Keeping::Own, "", &[(&target(path, Some("secret"), false), Mode::Rotate)]);
            assert_eq!(policy.notes.len(), 1, "{path}");
            assert!(policy.hcl().starts_with("# NOTE: a p"), "{path}");
        }
        let odd = target("secret/a\"b", Some("secret"), false);
        let quoted = policy(Keeping::Own, "", &[(&odd, Mode::Rotate)]);
        assert!(quoted.hcl().contains(r#"path "secret/data/a\"b" {"#));
    }

    #[test]
    fn what_is_denied_or_not_named_is_lacking() {
        let may = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let needed = ["create", "update"];
        assert_eq!(lacking(&may(&["root"]), &needed), [""; 0]);
        assert_eq!(lacking(&may(&["update", "create", "list"]), &needed), [""; 0]);
        assert_eq!(lacking(&may(&["update"]), &needed), ["create"]);
        assert_eq!(lacking(&may(&["deny"]), &needed), needed);
    }
}
