//! The least rights: with them everything passes, and without any one of them what needs it is
//! refused, before anything is minted where that can be shown.

use std::collections::BTreeSet;

use scimitar::{
    error::{Class, Code},
    sink::{
        Sink,
        aws::{
            Account,
            rights::{Needs, Tagging, policy},
        },
        payload::PayloadTemplate,
    },
};
use serde_json::{Value, json};

use super::{
    moto::{ACCOUNT, Moto, REGION},
    sink_conformance::*,
    site::{MotoSite, named, sink_of, template},
};

/// The policy for what [`live`] does.
fn least(site: &MotoSite, tags: Tagging) -> Value {
    let account = Account {
        expect_role_arn: Some(format!("arn:aws:iam::{ACCOUNT}:role/scimitar")),
        restore: true,
        ..Account::of_region(REGION)
    };
    let names = BTreeSet::from([site.name.clone()]);
    let watched = BTreeSet::new();
    policy(&Needs { account: &account, names, watched, tags, replicas: BTreeSet::new() })
}

fn actions(policy: &Value) -> Vec<String> {
    let actions = policy["Statement"][0]["Action"].as_array().unwrap();
    actions.iter().map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// moto looks at the actions of a policy alone, not at its resources.
async fn allow(site: &MotoSite, actions: &[String]) {
    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
    site.grant(&actions).await;
}

/// A secret's whole life, up to its restoration.
async fn live(site: &MotoSite) -> Result<(), scimitar::error::Fault> {
    let mut settings = site.settings();
    settings.account.restore = true;
    let mut to = named(&site.name);
    to.payload = site.payload.clone();
    let sink = sink_of(settings, to);
    let mut version = sink.read().await?.version;
    for generation in 1..=3 {
        let seen = sink.read().await?;
        sink.prove_writable(&seen).await?;
        if generation > 1 {
            sink.stage(&delivery(generation), &Gate::open()).await?;
        }
        let before = version.clone();
        version = sink.promote(&delivery(generation), &seen.version, &Gate::open()).await?;
        if generation > 1 {
            sink.forget(&delivery(generation - 1).marks.token_id, Some(&before)).await?;
        }
    }
    site.must("DeleteSecret", json!({ "RecoveryWindowInDays": 7 })).await;
    let seen = sink.read().await?;
    sink.prove_writable(&seen).await?;
    sink.promote(&delivery(4), &seen.version, &Gate::open()).await?;
    Ok(())
}

async fn with_and_without(payload: impl Fn() -> Option<PayloadTemplate>, tags: Tagging) {
    let moto: &'static Moto = Box::leak(Box::new(Moto::start().await));
    let site = MotoSite::guarded(moto, payload()).await;
    let least = actions(&least(&site, tags));
    allow(&site, &least).await;
    live(&site).await.unwrap();
    // What AWS offers no proof of: it comes to light with the first delivery.
    let unproven = ["secretsmanager:CreateSecret", "secretsmanager:RestoreSecret"];
    for missing in &least {
        let site = MotoSite::guarded(moto, payload()).await;
        let fewer: Vec<String> =
            least.iter().filter(|action| *action != missing).cloned().collect();
        if !unproven.contains(&missing.as_str()) {
            // The first one with all rights, so that there is something to prove it on.
            allow(&site, &least).await;
            promote(&site.sink(), 1).await;
        }
        allow(&site, &fewer).await;
        if unproven.contains(&missing.as_str()) {
            let fault = live(&site).await.unwrap_err();
            assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Forbidden), "{missing}");
            continue;
        }
        let sink = site.sink();
        let shown = match sink.read().await {
            Ok(seen) => sink.prove_writable(&seen).await,
            Err(fault) => Err(fault),
        };
        let fault = shown.expect_err(missing);
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Forbidden), "{fault}");
        // moto's refusal is in XML, where AWS's own are in JSON.
        assert!(fault.detail.contains("answered 403 AccessDenied"), "{missing}: {fault}");
        assert!(fault.detail.contains(missing.as_str()), "it names what is missing: {fault}");
        assert!(fault.detail.contains("`scimitar permissions` prints the policy"), "{fault}");
    }
}

/// Reading is all that watching needs.
#[tokio::test]
async fn the_rights_to_watch_are_enough_to_read() {
    let moto: &'static Moto = Box::leak(Box::new(Moto::start().await));
    let site = MotoSite::guarded(moto, Some(template(&[("T", "{{ token }}")]))).await;
    let needs = Needs {
        account: &Account::of_region(REGION),
        names: BTreeSet::new(),
        watched: BTreeSet::from([site.name.clone()]),
        tags: Tagging::Never,
        replicas: BTreeSet::new(),
    };
    let watching = actions(&policy(&needs));
    allow(&site, &actions(&least(&site, Tagging::Marks))).await;
    promote(&site.sink(), 1).await;
    allow(&site, &watching).await;
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    assert!(seen.contents.value().is_some());
    let fault = sink.prove_writable(&seen).await.unwrap_err();
    assert_eq!(fault.code, Code::Forbidden, "{fault}");
    for missing in &watching {
        let fewer: Vec<String> =
            watching.iter().filter(|action| *action != missing).cloned().collect();
        allow(&site, &fewer).await;
        let fault = site.sink().read().await.expect_err(missing);
        assert_eq!(fault.code, Code::Forbidden, "{missing}: {fault}");
    }
}

#[tokio::test]
async fn none_of_the_rights_can_be_left_out() {
    with_and_without(|| None, Tagging::Never).await;
}

#[tokio::test]
async fn nor_those_of_tags_where_the_marks_are_there() {
    with_and_without(|| Some(template(&[("T", "{{ token }}")])), Tagging::Marks).await;
}
