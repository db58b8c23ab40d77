//! The least that an account must be allowed, as permissions of IAM.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use serde_json::{Value, json};

use super::settings::Checked;
use crate::rotation::policy::Mode;

const READ: [&str; 3] =
    ["secretmanager.secrets.get", "secretmanager.versions.access", "secretmanager.versions.get"];
const ADD: &str = "secretmanager.versions.add";
const UPDATE: &str = "secretmanager.secrets.update";
const DESTROY: &str = "secretmanager.versions.destroy";
const CREATE: &str = "secretmanager.secrets.create";

/// What a role is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The secrets that are delivered to, and whether the head of each is changed beside its versions.
    pub secrets: BTreeMap<String, bool>,
    /// The secrets that are only watched.
    pub watched: BTreeSet<String>,
    /// Whether secrets are made.
    pub create: bool,
}

/// Whether annotations or an alias are written.
pub(super) fn patches(checked: &Checked) -> bool {
    checked.alias.is_some() || checked.form.marks_in_tags()
}

impl Needs {
    /// Whether a secret may have to be made.
    fn makes(&self) -> bool {
        self.create && !self.secrets.is_empty()
    }

    /// Whether the head of any secret is changed.
    fn patches(&self) -> bool {
        self.secrets.values().any(|patches| *patches)
    }
}

/// What a write needs.
pub(super) fn writing(patches: bool) -> Vec<&'static str> {
    [Some(ADD), patches.then_some(UPDATE)].into_iter().flatten().collect()
}

/// All that the mode needs on a secret that is there.
pub(super) fn on_a_secret(patches: bool, mode: Mode) -> Vec<&'static str> {
    match mode {
        Mode::Rotate => READ.into_iter().chain(writing(patches)).chain([DESTROY]).collect(),
        Mode::Observe => READ.to_vec(),
    }
}

/// The permissions of the roles, and that to make secrets, which only the project can grant.
#[must_use]
pub fn permissions(needs: &Needs) -> Value {
    let mut permissions = json!({});
    if !needs.secrets.is_empty() {
        permissions = json!({
            "secrets": needs.secrets.keys().collect::<Vec<_>>(),
            "on_each_secret": on_a_secret(needs.patches(), Mode::Rotate),
            "on_the_project": needs.makes().then_some(CREATE).into_iter().collect::<Vec<_>>(),
        });
    }
    if !needs.watched.is_empty() {
        permissions["watched"] = json!(needs.watched);
        permissions["on_each_watched"] = json!(READ);
    }
    permissions
}

/// The same as the files that `gcloud iam roles create` takes, with the bindings beside.
pub(super) fn roles(needs: &Needs, project: &str, location: Option<&str>) -> String {
    let mut text = String::new();
    let mut role = |name: &str, permissions: &[&str]| {
        let listed: String = permissions.iter().map(|one| format!("- {one}\n")).collect();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# gcloud iam roles create {name} --project={project} --file=ROLE.yaml\n\
             title: Scimitar\nstage: GA\nincludedPermissions:\n{listed}"
        );
    };
    if !needs.secrets.is_empty() {
        role("scimitar", &on_a_secret(needs.patches(), Mode::Rotate));
    }
    if !needs.watched.is_empty() {
        role("scimitar_watch", &READ);
    }
    if needs.makes() {
        role("scimitar_create", &[CREATE]);
    }
    let region = location.map(|location| format!(" --location={location}")).unwrap_or_default();
    let delivered = needs.secrets.keys().map(|secret| (secret, "scimitar"));
    let watched = needs.watched.iter().map(|secret| (secret, "scimitar_watch"));
    for (secret, role) in delivered.chain(watched) {
        let _ = writeln!(
            text,
            "# gcloud secrets add-iam-policy-binding {secret} --project={project}{region} \
             --member=serviceAccount:EMAIL --role=projects/{project}/roles/{role}"
        );
    }
    if needs.makes() {
        let _ = writeln!(
            text,
            "# A secret that is not there yet has no policy of its own: bind scimitar and scimitar_create on the project\n\
             # (gcloud projects add-iam-policy-binding), or make the secrets beforehand, without a\n\
             # version, and set create = false."
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_asked_for_than_is_used() {
        let secrets = [("scim-initech".to_owned(), false)].into();
        let least = Needs { secrets, ..Needs::default() };
        let text = roles(&least, "acme-identity", Some("europe-west3"));
        assert!(text.contains("- secretmanager.versions.add\n"), "{text}");
        assert!(
            text.contains("binding scim-initech --project=acme-identity --location=europe-west3")
        );
        assert!(!text.contains(UPDATE) && !text.contains(CREATE), "{text}");
        assert_eq!(permissions(&least)["on_each_secret"].as_array().unwrap().len(), 5);
        let secrets = [("a".to_owned(), true)].into();
        let more = Needs { secrets, create: true, ..Needs::default() };
        let text = roles(&more, "acme-identity", None);
        assert!(text.contains(UPDATE) && text.contains(CREATE), "{text}");
        assert_eq!(permissions(&more)["on_the_project"], json!([CREATE]));
    }

    #[test]
    fn what_is_only_watched_is_only_read() {
        let watched = ["seen".to_owned()].into();
        let only = Needs { watched, create: true, ..Needs::default() };
        let text = roles(&only, "acme", None);
        assert!(
            text.contains("binding seen ") && text.contains("roles/scimitar_watch\n"),
            "{text}"
        );
        for right in [ADD, UPDATE, DESTROY, CREATE] {
            assert!(!text.contains(right), "{right}: {text}");
        }
        assert_eq!(permissions(&only), json!({ "watched": ["seen"], "on_each_watched": READ }));
        let both = Needs { secrets: [("a".to_owned(), false)].into(), ..only };
        let text = roles(&both, "acme", None);
        assert!(
            text.contains("roles/scimitar\n") && text.contains("roles/scimitar_watch\n"),
            "{text}"
        );
        assert_eq!(permissions(&both)["secrets"], json!(["a"]));
        assert_eq!(permissions(&both)["watched"], json!(["seen"]));
    }
}
