mod body;
mod exec;
mod webhook;

use chrono::TimeDelta;

use super::*;
use crate::{
    rotation::{
        fixture,
        notice::{Happening, Notice},
    },
    token::Digest,
};

fn name() -> HookName {
    HookName::try_new("after-rotation").unwrap()
}

/// `tok_2` replaced `tok_1`.
fn message() -> Message {
    let happening = Happening {
        occasion: Occasion::Delivered,
        at: fixture::now(),
        token: Some(fixture::id("tok_2")),
        previous: Some(fixture::id("tok_1")),
        expires_at: Some(fixture::there() + TimeDelta::days(30)),
        generation: 7,
        threshold: None,
        reason: None,
        words: "every sink holds tok_2".to_owned(),
    };
    let id = Digest::of(b"one");
    let notice = Notice { id, number: 3, happening, begun: None, until: None, trouble: None };
    Message::new(&fixture::empty(), &notice)
}

#[derive(Debug)]
struct Scripted(HookName, Mutex<Vec<Code>>);

#[async_trait]
impl Hook for Scripted {
    fn name(&self) -> &HookName {
        &self.0
    }

    fn longest(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run(&self, _message: &Message) -> Result<(), Fault> {
        match self.1.lock().unwrap().pop() {
            Some(code) => Err(fault(&self.0, Class::Transient, code, "scripted")),
            None => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_hook_that_hangs_is_tried_one_at_a_time() {
    let script = vec![Code::Timeout; 4];
    let mut hooks = Hooks::default();
    hooks.add(BTreeSet::new(), Arc::new(Scripted(name(), Mutex::new(script))));
    let (message, name, now) = (message(), name(), fixture::now());
    let begun = async |at: TimeDelta| hooks.run(&name, &message, now + at).await.begun;
    for _ in 0..3 {
        assert!(begun(TimeDelta::zero()).await);
    }
    let refused = hooks.run(&name, &message, now).await;
    assert!(!refused.begun);
    let fault = refused.outcome.unwrap_err();
    assert_eq!(fault.retry_after, Some(Duration::from_secs(60)), "{fault}");
    // The one that is let through hangs as well: then it takes longer.
    assert!(begun(TimeDelta::seconds(60)).await);
    assert!(!begun(TimeDelta::seconds(60)).await);
    assert!(!begun(TimeDelta::seconds(179)).await);
    assert!(begun(TimeDelta::seconds(180)).await, "this one succeeds");
    assert!(begun(TimeDelta::seconds(180)).await);
}

#[tokio::test]
async fn a_hook_that_fails_quickly_is_no_burden() {
    let script = vec![Code::Unavailable; 10];
    let mut hooks = Hooks::default();
    hooks.add(BTreeSet::new(), Arc::new(Scripted(name(), Mutex::new(script))));
    for _ in 0..10 {
        let ran = hooks.run(&name(), &message(), fixture::now()).await;
        assert!(ran.begun && ran.outcome.is_err());
    }
    assert!(hooks.run(&name(), &message(), fixture::now()).await.outcome.is_ok());
}

/// It has no provider, and nothing that an endpoint has to be told of one.
#[test]
fn the_event_of_a_watched_token_has_its_name_alone() {
    let (notice, name) = (message().notice, fixture::watch(1).name);
    let event = Message::of_watched(&name, &notice);
    let told = event.cloud_event();
    assert_eq!(told["source"], "/scimitar/watch/initech-sso");
    assert_eq!(told["type"], "scimitar.watch.delivered");
    assert_eq!(
        (&told["subject"], &told["data"]["connection"]),
        (&"initech-sso".into(), &"initech-sso".into())
    );
    for absent in ["connection_id", "provider", "tenant"] {
        assert_eq!(told["data"][absent], serde_json::Value::Null, "{absent}");
    }
    let variables: Vec<String> = event.variables().into_iter().map(|(name, _)| name).collect();
    assert!(variables.contains(&"SCIMITAR_CONNECTION".to_owned()), "{variables:?}");
    assert!(!variables.contains(&"SCIMITAR_PROVIDER".to_owned()), "{variables:?}");
}

#[test]
fn the_event_is_a_cloud_event_with_names_and_ids() {
    let event = message().cloud_event();
    let expected = serde_json::json!({
        "specversion": "1.0",
        "id": Digest::of(b"one").as_str(),
        "source": "/scimitar/acme.eu.auth0.com/con_0123456789abcdef",
        "type": "scimitar.connection.delivered",
        "subject": fixture::empty().name,
        "time": "2026-11-22T04:00:00.000Z",
        "datacontenttype": "application/json",
        "data": {
            "schema": 1,
            "event": "delivered",
            "connection": fixture::empty().name,
            "connection_id": fixture::empty().key.connection,
            "provider": fixture::empty().provider,
            "tenant": fixture::empty().key.tenant,
            "number": 3,
            "generation": 7,
            "token_id": "tok_2",
            "previous_token_id": "tok_1",
            "expires_at": "2026-12-22T04:00:00Z",
            "threshold": null,
            "reason": null,
            "why": "every sink holds tok_2",
        },
    });
    assert_eq!(event, expected);
}
