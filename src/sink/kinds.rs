//! The kinds of sink that there are.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Kind, Place, Service, aws, azure, entra, exec, file, gcp, handoff, kind::Opened, kubernetes,
    okta, ssm, vault,
};
use crate::{
    error::{Class, Code, Fault},
    token::SinkName,
};

/// Every kind of sink. One more is a folder beside this file, and a line here.
pub static KINDS: [&Kind; 11] = [
    &file::KIND,
    &vault::KIND,
    &aws::KIND,
    &kubernetes::KIND,
    &exec::KIND,
    &ssm::KIND,
    &gcp::KIND,
    &handoff::KIND,
    &entra::KIND,
    &azure::KIND,
    &okta::KIND,
];

/// What runs behind each `[sinks.NAME]`.
pub type Services = BTreeMap<SinkName, Arc<dyn Service>>;

/// Opens a place that left the policy. Where its kind needs what runs behind a `[sinks.NAME]`, that
/// is its own, or any other of the kind that leads there: who moves to a new server may have given
/// the old one another name. `None` where none of the kind is configured.
///
/// # Errors
/// When what is remembered is of no kind that this version has, or cannot be used.
#[must_use]
pub fn reopen(services: &Services, place: &Place) -> Option<Opened> {
    let Some(kind) = KINDS.iter().find(|kind| place.kind() == Some(kind.places)) else {
        return Some(Err(of_no_kind(place)));
    };
    if kind.absent.is_some() {
        return Some(Err(Fault::new(
            format!("reopen {}", place.location),
            Class::Terminal,
            Code::Invalid,
            format!("{}: use {SHIPPED}", without(kind)),
        )));
    }
    if let Some(reopen) = kind.reopen {
        return Some(reopen(place));
    }
    let of_kind = |service: &&Arc<dyn Service>| service.kind().name == kind.name;
    let own = services.get(&place.sink).filter(of_kind).map(|service| service.reopen(place));
    if matches!(own, Some(Ok(_))) {
        return own;
    }
    let others = services.values().filter(of_kind).map(|service| service.reopen(place));
    others.into_iter().find(Result::is_ok).or(own)
}

/// What has every kind of sink in it.
pub(crate) const SHIPPED: &str =
    "the program as it is shipped (release, package, image), which has every kind of sink";

/// That this build does not have a kind in it, in words.
pub(crate) fn without(kind: &Kind) -> String {
    let feature = kind.absent.unwrap_or(kind.name);
    format!(
        "this build of scimitar has no sink of type \"{}\" (built without the cargo feature {feature})",
        kind.name
    )
}

fn of_no_kind(place: &Place) -> Fault {
    let known: Vec<_> = KINDS.iter().map(|kind| kind.places).collect();
    let words = format!(
        "the ledger's record of it has a kind of sink that this version does not have ({}): run the \
         version that delivered to it",
        known.join(", ")
    );
    let operation = format!("reopen {}", place.location);
    Fault::new(operation, Class::Terminal, Code::Invalid, words)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::Url;

    use super::*;
    use crate::{
        clock::{SystemClock, SystemEntropy},
        http::{Endpoint, HttpSettings},
        secret::{Secret, SecretSource},
        sink::{
            Sink,
            vault::{Auth, Method, ServerSettings, VaultServer, VaultSink, VaultTarget},
        },
        token::PlaceKey,
    };

    fn server(sink: &str, address: &str) -> Arc<VaultServer> {
        let settings = ServerSettings {
            sink: SinkName::try_new(sink).unwrap(),
            address: Endpoint::try_new(Url::parse(address).unwrap()).unwrap(),
            namespace: None,
            auth: Auth {
                method: Method::Token(SecretSource::new(|| Ok(Secret::new("t".to_owned())))),
                mount: "token".to_owned(),
                namespace: None,
            },
            http: HttpSettings {
                ca_file: None,
                proxy: None,
                request_timeout: Duration::from_secs(1),
                user_agent: "scimitar".to_owned(),
            },
            identity: None,
        };
        VaultServer::try_new(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap()
    }

    fn services(servers: &[(&str, &str)]) -> Services {
        let service = |(name, address): &(&str, &str)| {
            let service: Arc<dyn Service> = Arc::new(server(name, address));
            (SinkName::try_new(*name).unwrap(), service)
        };
        servers.iter().map(service).collect()
    }

    fn place() -> Place {
        let target = VaultTarget {
            path: "secret/a".to_owned(),
            mount: None,
            payload: None,
            overwrite: false,
            custom_metadata: Default::default(),
        };
        let old = server("vault", "http://127.0.0.1:1");
        VaultSink::try_new(&old, target).unwrap().place().clone()
    }

    #[test]
    fn a_server_that_was_moved_away_from_is_found_by_any_name() {
        let place = place();
        let reopened = |servers: &[(&str, &str)]| {
            let reopened = reopen(&services(servers), &place)?.ok()?;
            Some(reopened.place().key.clone())
        };
        let (new, renamed) = (("vault", "http://127.0.0.1:2"), ("before", "http://127.0.0.1:1"));
        assert_eq!(reopened(&[new, renamed]), Some(place.key.clone()));
        assert_eq!(reopened(&[new]), None, "it is not looked for where it never was");
        assert!(reopen(&services(&[]), &place).is_none());
    }

    #[test]
    fn a_place_of_a_kind_that_is_not_known_is_taken_for_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        let location = file.to_str().unwrap().to_owned();
        let of_key = |kind: &str| Place {
            key: PlaceKey::new(kind, &location),
            location: location.clone(),
            delivery: serde_json::json!({ "file": "x", "format": "raw" }).into(),
            ..place()
        };
        assert!(reopen(&Services::new(), &of_key("file")).unwrap().is_ok());
        for unknown in ["", "keyring", "File", "vault2"] {
            let fault = reopen(&Services::new(), &of_key(unknown)).unwrap().unwrap_err();
            assert_eq!(fault.code, Code::Invalid);
            assert!(
                fault.detail.contains("kind of sink that this version does not have"),
                "{fault}"
            );
        }
    }

    #[test]
    fn kinds_differ_in_what_tells_them_apart() {
        let all = |of: fn(&Kind) -> &str| KINDS.iter().map(|kind| of(kind)).collect::<Vec<_>>();
        for words in [all(|kind| kind.name), all(|kind| kind.places), all(|kind| kind.location)] {
            let mut unique = words.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), words.len(), "{words:?}");
        }
        // What ledgers hold.
        assert_eq!(
            all(|kind| kind.places),
            [
                "file",
                "vault",
                "aws",
                "kubernetes",
                "exec",
                "aws_ssm",
                "gcp",
                "handoff",
                "entra",
                "azure",
                "okta"
            ]
        );
    }
}
