//! Which account and region a secret is in, also where there is none: "no such secret" in another
//! account is no empty place.

use scimitar::{
    aws_identity::Origin,
    error::{Class, Code},
    secret::Secret,
    sink::{Container, Contents, Reading, Sink},
};
use serde_json::json;

use super::{
    moto::{self, ACCOUNT},
    secrets_manager::{
        self,
        Mishap::{LostBefore, Moved, Refused},
    },
    sink_conformance::*,
    site::{MotoSite, named, sink_of},
    strict::StrictSite,
};

const OTHER: &str = "999900001111";

fn account(account: &str) -> Container {
    Container {
        id: format!("aws:aws:{account}:eu-central-1"),
        words: format!("AWS account {account} in eu-central-1"),
        strict: true,
    }
}

fn is_empty(seen: &Reading) -> bool {
    matches!(seen.contents, Contents::Empty)
}

/// STS is asked where there is no ARN, once for the credentials, and never on each look.
#[tokio::test]
async fn a_secret_is_in_the_account_and_region_of_its_arn() {
    let site = StrictSite::new(None).await;
    let ours = account(secrets_manager::ACCOUNT);
    let sink = site.sink();
    for _ in 0..3 {
        let seen = sink.read().await.unwrap();
        assert!(is_empty(&seen) && seen.container.as_ref() == Some(&ours), "{seen:?}");
        sink.prove_writable(&seen).await.unwrap();
    }
    assert_eq!(site.aws.count("GetCallerIdentity"), 1);
    promote(&sink, 1).await;
    for sink in [sink, site.sink()] {
        assert_eq!(sink.read().await.unwrap().container.as_ref(), Some(&ours));
    }
    assert_eq!(site.aws.count("GetCallerIdentity"), 1, "an ARN says it");
    // Another process, with credentials of another account.
    {
        let mut world = site.aws.world();
        world.account = OTHER.to_owned();
        world.secrets.clear();
    }
    let seen = site.sink().read().await.unwrap();
    assert!(is_empty(&seen) && seen.container == Some(account(OTHER)), "{seen:?}");
}

/// A secret that is to be restored, and one that has no value, have an ARN as well.
#[tokio::test]
async fn what_holds_nothing_is_in_an_account_too() {
    let site = MotoSite::new(moto::shared().await, None);
    site.must("CreateSecret", json!({ "Name": site.name })).await;
    let seen = site.sink().read().await.unwrap();
    assert!(is_empty(&seen) && seen.container == Some(account(ACCOUNT)), "{seen:?}");
    promote(&site.sink(), 1).await;
    site.must("DeleteSecret", json!({ "RecoveryWindowInDays": 7 })).await;
    let mut settings = site.settings();
    settings.account.restore = true;
    let seen = sink_of(settings, named(&site.name)).read().await.unwrap();
    assert!(!is_empty(&seen) && seen.container == Some(account(ACCOUNT)), "{seen:?}");
}

/// The ambient credentials are those of another account: the same name is another place there.
#[tokio::test]
async fn another_accounts_credentials_are_told_apart() {
    let site = MotoSite::new(moto::shared().await, None);
    promote(&site.sink(), 1).await;
    assert_eq!(site.sink().read().await.unwrap().container, Some(account(ACCOUNT)));
    let keys = site.moto.elsewhere(OTHER).await;
    let mut settings = site.settings();
    settings.origin = Origin::Keys { id: keys.id, key: Secret::new(keys.key) };
    let seen = sink_of(settings.clone(), named(&site.name)).read().await.unwrap();
    assert!(is_empty(&seen) && seen.container == Some(account(OTHER)), "{seen:?}");
    // And another region.
    settings.account.region = "us-east-1".to_owned();
    let seen = sink_of(settings, named(&site.name)).read().await.unwrap();
    let words = format!("AWS account {OTHER} in us-east-1");
    assert_eq!(seen.container.map(|container| container.words), Some(words));
}

/// What may not be asked is said; what is away says nothing of the place.
#[tokio::test]
async fn without_an_answer_of_sts_nothing_is_empty() {
    let site = StrictSite::new(None).await;
    let sink = site.sink();
    site.aws.world().next("GetCallerIdentity", Refused(403, "AccessDenied"));
    for _ in 0..2 {
        let seen = sink.read().await.unwrap();
        assert!(is_empty(&seen) && seen.container.is_none(), "{seen:?}");
        assert!(sink.caveat().unwrap().contains("sts:GetCallerIdentity"));
    }
    assert_eq!(site.aws.count("GetCallerIdentity"), 1, "a refusal is not asked for on each look");
    for way in [Refused(503, "ServiceUnavailable"), LostBefore] {
        let sink = site.sink();
        site.aws.world().next("GetCallerIdentity", way);
        let fault = sink.read().await.unwrap_err();
        assert_eq!(fault.class, Class::Transient, "{fault}");
        for words in ["there is no such secret", "which account", "sts_endpoint_url"] {
            assert!(fault.detail.contains(words), "{fault}");
        }
        // The secrets of an account share the failure for a while.
        let asked = site.aws.count("GetCallerIdentity");
        assert_eq!(sink.read().await.unwrap_err(), fault);
        assert_eq!(site.aws.count("GetCallerIdentity"), asked);
        let sink = site.sink();
        assert_eq!(sink.read().await.unwrap().container, Some(account(secrets_manager::ACCOUNT)));
        assert!(!sink.caveat().unwrap().contains("sts:"));
    }
}

/// The credentials change between a look and the write that rests on it.
#[tokio::test]
async fn what_was_read_in_one_account_is_not_written_in_another() {
    let site = StrictSite::new(None).await;
    let sink = site.sink();
    let first = promote(&sink, 1).await;
    sink.read().await.unwrap();
    site.aws.world().account = OTHER.to_owned();
    let before = site.secret();
    let staged = sink.stage(&delivery(2), &Gate::open()).await.unwrap_err();
    let written = sink.promote(&delivery(2), &first, &Gate::open()).await.unwrap_err();
    for fault in [staged, written] {
        assert_eq!((fault.class, fault.code), (Class::Conflict, Code::PlaceChanged), "{fault}");
        for words in [account(secrets_manager::ACCOUNT).words, account(OTHER).words] {
            assert!(fault.detail.contains(&words), "{fault}");
        }
    }
    assert_eq!(site.secret(), before);
}

/// The credentials change with the write itself: where it went is asked, and nothing is taken for
/// delivered.
#[tokio::test]
async fn a_write_that_went_to_another_account_is_no_delivery() {
    for (call, delivered) in [("CreateSecret", 0), ("UpdateSecretVersionStage", 1)] {
        let site = StrictSite::new(None).await;
        let sink = site.sink();
        if delivered > 0 {
            promote(&sink, delivered).await;
        }
        let seen = sink.read().await.unwrap();
        site.aws.world().next(call, Moved(OTHER));
        let written = sink.promote(&delivery(2), &seen.version, &Gate::open()).await.unwrap_err();
        assert_eq!(
            (written.class, written.code),
            (Class::Ambiguous, Code::PlaceChanged),
            "{written}"
        );
        for words in [account(secrets_manager::ACCOUNT).words, account(OTHER).words] {
            assert!(written.detail.contains(&words), "{written}");
        }
        assert!(!written.detail.contains("nothing was written"), "{written}");
    }
}

/// What AWS warns of concerns those who look for it later: it is said while another name can still
/// be chosen.
#[tokio::test]
async fn a_name_ending_like_an_arn_is_warned_of_before_creation() {
    let mut site = StrictSite::new(None).await;
    site.name = "acme-secret".to_owned();
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    sink.prove_writable(&seen).await.unwrap();
    assert!(sink.caveat().unwrap().contains("ends in a hyphen and six characters"));
    promote(&sink, 1).await;
    assert_holds(&sink.read().await.unwrap(), &delivery(1));
    assert_eq!(sink.caveat(), None, "it is there");
    let mut settings = site.settings();
    settings.account.create = false;
    site.aws.world().secrets.clear();
    let sink = site.sink_with(settings);
    sink.read().await.unwrap();
    assert_eq!(sink.caveat(), None, "it is not made");
}
