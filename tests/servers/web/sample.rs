//! Records in every state that a page has to show.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;
use scimitar::{
    error::{Class, Code, Fault},
    rotation::{
        policy::Retire,
        record::{
            Cause, Current, Decided, Drift, Missing, Phase, Proof, Record, Replacement, Retiring,
            RetiringState, SinkState, Status, Survey, Trouble, UnmanagedToken,
        },
        why::Reason,
    },
    sink::{Place, Version},
    token::{
        ConnectionId, ConnectionKey, ConnectionName, Listed, PlaceKey, ProviderName, SinkName,
        Tenant, TokenId,
    },
};

use super::site::{now, there};

pub(crate) fn id(text: &str) -> TokenId {
    TokenId::try_new(text).unwrap()
}

pub(crate) fn empty(name: &str) -> Record {
    let key = ConnectionKey {
        tenant: Tenant::try_new("acme.eu.auth0.com").unwrap(),
        connection: ConnectionId::try_new(format!("con_{name}")).unwrap(),
    };
    let name = ConnectionName::try_new(name).unwrap();
    Record::new(key, name, ProviderName::try_new("acme").unwrap())
}

/// Made `days` ago for `life` days, used an hour ago.
pub(crate) fn token(text: &str, days: i64, life: Option<i64>) -> Listed {
    let created_at = there() - TimeDelta::days(days) - TimeDelta::minutes(7);
    Listed {
        id: id(text),
        created_at,
        valid_until: life.map(|life| created_at + TimeDelta::days(life)),
        last_used_at: Some(there() - TimeDelta::hours(1)),
        scopes: BTreeSet::new(),
        name: None,
    }
}

fn retire() -> Retire {
    Retire {
        overlap: Duration::from_secs(3 * 86_400),
        after_use: false,
        when_idle: None,
        at_latest: None,
    }
}

pub(crate) fn sink(record: &mut Record, label: &str, location: &str, holds: Option<&str>) {
    let key = PlaceKey::new(label, location);
    let place = Place {
        key: key.clone(),
        sink: SinkName::try_new(label).unwrap(),
        location: location.to_owned(),
        delivery: serde_json::Value::Null.into(),
    };
    let state = SinkState {
        holds: holds.map(id),
        version: holds.map(|_| Version("7".to_owned())),
        ..SinkState::new(place, true)
    };
    record.sinks.insert(key, state);
}

/// All is well: `age` days of `life` are over, and the rotation is 10 days before the end.
pub(crate) fn quiet(name: &str, age: i64, life: i64) -> Record {
    let mut record = empty(name);
    let token_id = format!("tok_{name}_1");
    let token = token(&token_id, age, Some(life));
    // Its two clocks are one.
    let clock = record.provider_clock();
    record.next_rotation = token.valid_until.map(|at| clock.to_host(at - TimeDelta::days(10)));
    record.current = Some(Current {
        delivered_at: Some(token.created_at),
        first_use: None,
        probe: None,
        began: clock.to_host(token.created_at),
        retire: retire(),
        asked: None,
        token,
    });
    sink(&mut record, "vault", &format!("secret/scim/{name}"), Some(&token_id));
    sink(&mut record, "disk", &format!("/run/scimitar/{name}.token"), Some(&token_id));
    decided(&mut record, Status::Idle, None, "nothing is due", None);
    record
}

/// As a pass writes it down when it rests.
fn decided(
    record: &mut Record,
    status: Status,
    reason: Option<Reason>,
    words: &str,
    until: Option<scimitar::clock::Timestamp>,
) {
    let (words, since) = (words.to_owned(), now() - TimeDelta::hours(2));
    record.decided = Some(Decided { status, reason, words, since, until });
}

/// The same of what failed.
fn troubled(record: &mut Record, reason: Reason, trouble: &Trouble) {
    let words = trouble.fault.to_string();
    decided(record, Status::Troubled, Some(reason), &words, Some(trouble.retry_at));
}

/// Rotated yesterday: the older token is in its overlap.
pub(crate) fn retiring(name: &str) -> Record {
    let mut record = quiet(name, 1, 30);
    let mut older = token(&format!("tok_{name}_0"), 21, Some(30));
    older.last_used_at = Some(there() - TimeDelta::days(2));
    record.retiring.push(Retiring {
        token: older,
        cause: Cause::Superseded,
        retire: retire(),
        superseded_at: Some(there() - TimeDelta::days(1)),
        state: RetiringState::Waiting,
        on_evidence: false,
        probe: None,
    });
    let words = "the overlap of the older token is not over (overlap = 3d)";
    decided(&mut record, Status::Waiting, Some(Reason::Overlap), words, None);
    record
}

/// Does not expire, rotated by age.
pub(crate) fn endless(name: &str) -> Record {
    let mut record = quiet(name, 40, 90);
    record.current.as_mut().unwrap().token.valid_until = None;
    record.next_rotation = Some(now() + TimeDelta::days(50));
    record
}

pub(crate) fn failed(name: &str, class: Class) -> Record {
    let mut record = quiet(name, 28, 30);
    let (code, detail) = if class == Class::Terminal {
        (
            Code::Forbidden,
            "acme.eu.auth0.com answered 403 insufficient_scope: grant create:scim_token to the application",
        )
    } else {
        (Code::Unavailable, "acme.eu.auth0.com answered 503")
    };
    let trouble = Trouble {
        count: 4,
        since: now() - TimeDelta::hours(9),
        fault: Fault::new(
            format!("create a token for {}", record.key.connection),
            class,
            code,
            detail,
        ),
        at: now() - TimeDelta::minutes(2),
        retry_at: now() + TimeDelta::minutes(12),
        of_sink: false,
    };
    troubled(&mut record, Reason::ProviderUnavailable, &trouble);
    record.troubles.mint = Some(trouble);
    record
}

/// Somebody made a token by hand, in the slot that the next rotation needs.
pub(crate) fn refused(name: &str) -> Record {
    let mut record = quiet(name, 15, 30);
    let unmanaged = token(&format!("tok_{name}_theirs"), 2, Some(365));
    record.unmanaged.insert(
        unmanaged.id.clone(),
        UnmanagedToken { first_seen: there() - TimeDelta::days(2), probably_ours: false },
    );
    record.decided = Some(Decided {
        status: Status::Refused,
        reason: Some(Reason::UnmanagedToken),
        words: format!("unmanaged token {} occupies the slot that a rotation needs", unmanaged.id),
        since: now() - TimeDelta::days(2),
        until: None,
    });
    let current = record.current.as_ref().unwrap().token.clone();
    record.survey = Some(Survey {
        at: now() - TimeDelta::minutes(3),
        skew_ms: 0,
        tokens: vec![current, unmanaged],
    });
    record
}

pub(crate) fn drifted(name: &str) -> Record {
    let mut record = quiet(name, 5, 30);
    let sink = record.sinks.values_mut().next_back().unwrap();
    sink.holds = Some(id("tok_other"));
    sink.drift = Some(Drift {
        what: "it holds tok_other, which nobody here delivered".to_owned(),
        since: now() - TimeDelta::hours(5),
    });
    record
}

pub(crate) fn expired(name: &str) -> Record {
    failed_look(quiet(name, 33, 30))
}

fn failed_look(mut record: Record) -> Record {
    let trouble = Trouble {
        count: 40,
        since: now() - TimeDelta::days(12),
        fault: Fault::new(
            "list the tokens of con_x",
            Class::Terminal,
            Code::Unauthorized,
            "the client secret was refused (401): give it a new one",
        ),
        at: now() - TimeDelta::minutes(30),
        retry_at: now() + TimeDelta::minutes(30),
        of_sink: false,
    };
    troubled(&mut record, Reason::ProviderUnavailable, &trouble);
    record.troubles.look = Some(trouble);
    record
}

/// A new token is on its way.
pub(crate) fn delivering(name: &str) -> Record {
    let mut record = quiet(name, 21, 30);
    record.phase = Phase::Delivering(Box::new(Replacement {
        token: token(&format!("tok_{name}_2"), 0, Some(30)),
        generation: 3,
        began: now() - TimeDelta::minutes(8),
        retire: retire(),
        verify: scimitar::rotation::policy::Verify::Read,
        probe: None,
        proof: Proof::Good,
        found: false,
        asked: None,
        value_was_lost: false,
        handed_out: false,
        rebuilt: false,
        previous: Vec::new(),
    }));
    record
}

/// One of each.
pub(crate) fn gallery() -> Vec<Record> {
    let mut never = empty("newcomer-saml");
    never.wake_at = None;
    vec![
        quiet("initech-okta", 6, 30),
        retiring("umbrella-entra"),
        failed("hooli-okta", Class::Transient),
        failed("globex-okta", Class::Terminal),
        refused("stark-industries-production-eu-central"),
        drifted("wayne-okta"),
        delivering("tyrell-waad"),
        endless("warehouse-dbt"),
        expired("cyberdyne-okta"),
        quiet("soylent-samlp", 12, 90),
        never,
    ]
}

/// Somebody deleted its token at the provider two hours ago, and both slots are taken.
pub(crate) fn gone(name: &str) -> Record {
    let mut record = quiet(name, 6, 30);
    let first = there() - TimeDelta::hours(2);
    let last = first + TimeDelta::minutes(1);
    record.missing = Some(Missing { first, last, refused: true });
    let words = format!(
        "tok_{name}_1 no longer exists at the provider: clients that use it are locked out; both slots \
         are taken"
    );
    decided(&mut record, Status::Refused, Some(Reason::UnmanagedToken), &words, None);
    record
}

/// It left the configuration in its overlap.
pub(crate) fn left() -> Record {
    retiring("oscorp-okta")
}
