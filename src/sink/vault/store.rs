//! Secrets that are kept for others: `{ vault = "secret/scimitar#client_secret", sink = "vault" }`.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    kv, mount,
    path::check_path,
    rights::{self, VaultPolicy},
    server::VaultServer,
    settings::VaultTarget,
};
use crate::{
    error::{Class, Code, Fault},
    kind::SecretStore,
    secret::Secret,
    sink::{payload::Labels, rules::document::Keyed},
    table::StoreWord,
};

/// How such a secret is referred to.
pub(super) const STORE: StoreWord =
    StoreWord { word: "vault", example: "secret/scimitar#client_secret", check };

fn check(location: &str) -> Result<(), String> {
    let (path, key) =
        split(location).ok_or("needs the secret's key after a `#`, as in \"…#key\"")?;
    if key.is_empty() {
        return Err("has no key after the `#`".to_owned());
    }
    check_path(path).map_err(str::to_owned)
}

fn split(location: &str) -> Option<(&str, &str)> {
    location.split_once('#')
}

/// What the policy has to grant where these are read.
pub(super) fn policy(inside: &str, locations: &[&str]) -> VaultPolicy {
    rights::reading(inside, locations.iter().filter_map(|location| Some(split(location)?.0)))
}

/// The secrets of a server.
#[derive(Debug)]
pub(super) struct VaultStore(pub(super) Arc<VaultServer>);

#[async_trait]
impl SecretStore for VaultStore {
    async fn secret(&self, location: &str) -> Result<Secret, Fault> {
        let server = &self.0;
        let (path, key) = split(location).unwrap_or((location, ""));
        let target = VaultTarget {
            path: path.to_owned(),
            mount: None,
            payload: None,
            overwrite: false,
            custom_metadata: Labels::default(),
        };
        let checked = target.checked(&server.settings)?;
        let operation = format!("read \"{key}\" of {}", checked.place.location);
        let (mount, _) = mount::ask(server, &checked).await?;
        let seen = kv::read(server, &operation, &mount).await?;
        let missing = |words: &str| Fault::new(&operation, Class::Terminal, Code::Invalid, words);
        let document =
            seen.data.ok_or_else(|| missing("there is no such secret, or it was deleted"))?;
        let text =
            document.text(key).ok_or_else(|| missing("the secret has no string under that key"))?;
        if text.trim().is_empty() {
            return Err(missing("the string under that key is empty"));
        }
        Ok(Secret::new(text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_path_and_a_key() {
        assert_eq!(check("secret/scimitar#client_secret"), Ok(()));
        assert_eq!(check("secret/a#b#c"), Ok(()), "a key may hold one");
        for (location, words) in
            [("secret/scimitar", "after a `#`"), ("secret/a#", "no key"), ("/a/../b#c", "")]
        {
            assert!(check(location).unwrap_err().contains(words), "{location}");
        }
    }

    #[test]
    fn only_reading_is_granted() {
        let hcl = policy("", &["secret/scimitar#a", "secret/scimitar#b"]).hcl();
        assert!(hcl.contains("path \"secret/data/scimitar\" {"), "{hcl}");
        assert!(hcl.contains("capabilities = [\"read\"]"), "{hcl}");
        assert!(!hcl.contains("update") && !hcl.contains("create"), "{hcl}");
        assert_eq!(hcl.matches("secret/data/scimitar").count(), 1, "{hcl}");
    }
}
