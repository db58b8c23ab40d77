//! The least that an account must be allowed, as RBAC has it, and what of it is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{http::Reply, rotation::policy::Mode};

/// What is done to the Secrets that are there.
const VERBS: [&str; 2] = ["get", "patch"];

/// What is done to Secrets that are only watched.
const WATCHING: [&str; 1] = ["get"];

/// The Secrets of each namespace.
pub(super) type Secrets = BTreeMap<String, Wanted>;

/// The names of the Secrets of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Those that are delivered to.
    pub(super) delivered: BTreeSet<String>,
    /// Those that are only watched.
    pub(super) watched: BTreeSet<String>,
}

impl Wanted {
    /// Each set of names that is not empty, with what is done to them.
    fn verbs(&self) -> impl Iterator<Item = (&BTreeSet<String>, &'static [&'static str])> {
        let all: [(_, &[&str]); 2] = [(&self.delivered, &VERBS), (&self.watched, &WATCHING)];
        all.into_iter().filter(|(names, _)| !names.is_empty())
    }

    /// Whether a Secret may have to be made.
    fn creates(&self, create: bool) -> bool {
        create && !self.delivered.is_empty()
    }
}

/// The Roles that allow just this, one for each namespace.
pub(super) fn roles(secrets: &Secrets, create: bool) -> Vec<Value> {
    let role = |(namespace, wanted): (&String, &Wanted)| {
        let of_secrets = |(names, verbs): (&BTreeSet<String>, &[&str])| {
            json!({ "apiGroups": [""], "resources": ["secrets"], "resourceNames": names,
                    "verbs": verbs })
        };
        let mut rules: Vec<Value> = wanted.verbs().map(of_secrets).collect();
        rules.push(
            json!({ "apiGroups": [""], "resources": ["namespaces"], "resourceNames": [namespace],
                    "verbs": ["get"] }),
        );
        if wanted.creates(create) {
            rules.push(json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["create"] }));
        }
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": { "name": "scimitar", "namespace": namespace },
            "rules": rules,
        })
    };
    secrets.iter().map(role).collect()
}

/// The same as YAML, for `kubectl apply`.
pub(super) fn yaml(secrets: &Secrets, create: bool) -> String {
    let mut text = String::new();
    for (nth, (namespace, wanted)) in secrets.iter().enumerate() {
        if nth > 0 {
            text.push_str("---\n");
        }
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: scimitar\n  \
             namespace: \"{namespace}\"\nrules:\n"
        );
        for (names, verbs) in wanted.verbs() {
            let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
            let _ = write!(
                text,
                "- apiGroups: [\"\"]\n  resources: [\"secrets\"]\n  resourceNames: [{}]\n  \
                 verbs: {verbs:?}\n",
                names.join(", ")
            );
        }
        let _ = write!(
            text,
            "# To notice that another cluster answers at the same address.\n\
             - apiGroups: [\"\"]\n  resources: [\"namespaces\"]\n  resourceNames: [\"{namespace}\"]\n  \
             verbs: [\"get\"]\n"
        );
        if wanted.creates(create) {
            text.push_str(
                "# RBAC cannot limit \"create\" to names: it allows every new Secret of the namespace. To do\n\
                 # without it, make the Secrets beforehand, empty, and set create = false.\n\
                 - apiGroups: [\"\"]\n  resources: [\"secrets\"]\n  verbs: [\"create\"]\n",
            );
        }
    }
    text
}

/// The verbs that the mode needs: a rotation, this one or a later, or only reading.
pub(super) fn verbs(create: bool, mode: Mode) -> impl Iterator<Item = &'static str> {
    let (verbs, create): (&[_], _) = match mode {
        Mode::Rotate => (&VERBS, create),
        Mode::Observe => (&WATCHING, false),
    };
    verbs.iter().copied().chain(create.then_some("create"))
}

/// What asks the API whether we may do this to a Secret (`authorization.k8s.io/v1`).
pub(super) fn review(namespace: &str, name: &str, verb: &str) -> Value {
    let mut attributes =
        json!({ "namespace": namespace, "verb": verb, "group": "", "resource": "secrets" });
    if verb != "create" {
        attributes["name"] = json!(name);
    }
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes },
    })
}

/// Its answer.
pub(super) fn allowed(reply: &Reply) -> Option<bool> {
    #[derive(Deserialize)]
    struct Review {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        allowed: bool,
    }
    let review = reply.json::<Review>().ok().filter(|_| reply.status == 201)?;
    Some(review.status.allowed)
}

/// That a verb is not granted, and what to do about it.
pub(super) fn lacking(namespace: &str, verb: &str) -> String {
    let way_out = if verb == "create" {
        "Scimitar could not create a deleted Secret again: grant it, or set create = false"
    } else {
        "grant it (`scimitar permissions` prints the role)"
    };
    format!("the verb {verb} on its Secret in the namespace {namespace} is not granted; {way_out}")
}

#[cfg(test)]
mod tests {
    use super::{super::yaml as reader, *};

    fn secrets() -> Secrets {
        let wanted = |delivered: &[&str], watched: &[&str]| {
            let [delivered, watched] = [delivered, watched]
                .map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            Wanted { delivered, watched }
        };
        [
            ("team-a".to_owned(), wanted(&["globex", "initech"], &["umbrella"])),
            ("no".to_owned(), wanted(&["x"], &[])),
            ("seen".to_owned(), wanted(&[], &["y", "z"])),
        ]
        .into()
    }

    /// What people apply is what the document says.
    #[test]
    fn the_yaml_is_the_roles() {
        for create in [true, false] {
            let text = yaml(&secrets(), create);
            let read: Vec<Value> =
                text.split("---\n").map(|one| reader::parse(one).unwrap()).collect();
            assert_eq!(read, roles(&secrets(), create));
            assert_eq!(text.matches("cannot limit \"create\"").count(), usize::from(create) * 2);
        }
    }

    #[test]
    fn what_is_only_watched_is_only_read() {
        let roles = roles(&secrets(), true);
        let seen = roles.iter().find(|role| role["metadata"]["namespace"] == "seen").unwrap();
        let verbs: Vec<&Value> =
            seen["rules"].as_array().unwrap().iter().map(|rule| &rule["verbs"]).collect();
        assert_eq!(verbs, [&json!(["get"]), &json!(["get"])]);
        assert_eq!(verbs_of(true, Mode::Observe), ["get"]);
        assert_eq!(verbs_of(true, Mode::Rotate), ["get", "patch", "create"]);
    }

    fn verbs_of(create: bool, mode: Mode) -> Vec<&'static str> {
        verbs(create, mode).collect()
    }
}
