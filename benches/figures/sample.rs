//! A connection in the middle of its life: policy, record, and what a look at it shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context;
use chrono::TimeDelta;
use scimitar::{
    clock::{ProviderTime, Timestamp, parse_timestamp},
    place::{Marks, Place, Version},
    provider::auth0,
    rotation::{
        observe::{Held, Observed, SeenList, SeenSink},
        policy::{Lead, Policy, Retire, ScopePolicy, Share, Terms, Verify},
        record::{
            Cause, Current, Phase, Proof, Record, Replacement, Retiring, RetiringState, Rotation,
            SinkState, Survey,
        },
        schedule::Schedule,
    },
    token::{
        ConnectionId, ConnectionKey, ConnectionName, LedgerId, Listed, PlaceKey, ProviderName,
        Scope, Scopes, SinkName, Tenant, TokenId,
    },
};

/// Everything that a decision rests on.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) policy: Policy,
    pub(crate) record: Record,
    pub(crate) observed: Observed,
    pub(crate) now: Timestamp,
    pub(crate) ledger: LedgerId,
}

impl Sample {
    /// Steady: one token, ten days old, in one file, as just seen.
    pub(crate) fn steady(number: usize) -> anyhow::Result<Self> {
        let now = parse_timestamp("2026-11-22T04:00:00Z").context("a time")?;
        let key = ConnectionKey {
            tenant: Tenant::try_new("bench.eu.auth0.com")?,
            connection: ConnectionId::try_new(format!("con_{number:016}"))?,
        };
        let name = ConnectionName::try_new(format!("customer-{number:06}"))?;
        let provider = ProviderName::try_new("tenant")?;
        let ledger = LedgerId::try_new("00112233445566778899aabbccddeeff")?;
        let (made, there) = (now - TimeDelta::days(10), ProviderTime::told(now));
        let token = token("tok_current000000000", there - TimeDelta::days(10))?;
        let mut record = Record::new(key.clone(), name.clone(), provider.clone());
        let second = TimeDelta::seconds(1);
        record.generation = 3;
        record.generation_seen = 3;
        record.current = Some(Current {
            token: token.clone(),
            delivered_at: Some(token.created_at + second),
            first_use: None,
            probe: None,
            began: made,
            retire: retire(),
            asked: None,
        });
        let place = PlaceKey::new("file", &format!("/run/scimitar/{number:06}.token"));
        let version = Version("8d969eef6ecad3c29a3a629280e686cf".to_owned());
        record.sinks.insert(
            place.clone(),
            SinkState {
                holds: Some(token.id.clone()),
                version: Some(version.clone()),
                since: Some(made + second),
                ..SinkState::new(
                    Place {
                        key: place.clone(),
                        sink: SinkName::try_new("disk")?,
                        location: format!("/run/scimitar/{number:06}.token"),
                        delivery: serde_json::json!({
                            "file": format!("{number:06}.token"), "format": "raw", "mode": 384
                        })
                        .into(),
                    },
                    true,
                )
            },
        );
        record.survey = Some(Survey { at: now, skew_ms: 0, tokens: vec![token.clone()] });
        record.last_rotation =
            Some(Rotation { began: made, finished: made + second, id: token.id.clone() });
        record.wake_at = Some(now + TimeDelta::hours(1));
        record.next_rotation = Some(now + TimeDelta::days(10));
        let marks = Marks {
            token_id: token.id.clone(),
            previous_token_id: None,
            generation: 3,
            ledger: ledger.clone(),
            connection_id: key.connection.clone(),
        };
        let held = Held::Token { id: token.id.clone(), marks: Some(marks), version };
        let observed = Observed {
            list: Some(Ok(SeenList {
                asked: now,
                at: now,
                provider_time: there,
                tokens: vec![token],
            })),
            sinks: BTreeMap::from([(place, SeenSink::new(now, held))]),
            losses: (1000, 0),
            ..Observed::default()
        };
        Ok(Self { policy: policy(key, name, provider)?, record, observed, now, ledger })
    }

    /// The same with a rotation window every weekday night in Berlin.
    pub(crate) fn with_a_schedule() -> anyhow::Result<Self> {
        let mut sample = Self::steady(1)?;
        sample.policy.terms.schedule = Some(Schedule::parse("0 3 * * Mon-Fri", "Europe/Berlin")?);
        Ok(sample)
    }

    /// The token replaced an older one an hour ago, which waits for its overlap and evidence.
    pub(crate) fn with_an_older() -> anyhow::Result<Self> {
        let mut sample = Self::steady(1)?;
        let older =
            token("tok_older00000000000", ProviderTime::told(sample.now) - TimeDelta::days(20))?;
        sample.record.retiring.push(Retiring {
            token: older.clone(),
            cause: Cause::Superseded,
            retire: retire(),
            superseded_at: Some(ProviderTime::told(sample.now) - TimeDelta::hours(1)),
            state: RetiringState::Waiting,
            on_evidence: false,
            probe: None,
        });
        sample.list(older);
        Ok(sample)
    }

    /// A replacement was made and proven, and is in hand; the file still holds the older one.
    pub(crate) fn delivering() -> anyhow::Result<Self> {
        let mut sample = Self::steady(1)?;
        let new = token("tok_new0000000000000", ProviderTime::told(sample.now))?;
        sample.record.phase = Phase::Delivering(Box::new(Replacement {
            token: new.clone(),
            generation: 4,
            began: sample.now,
            retire: retire(),
            verify: Verify::Read,
            probe: None,
            proof: Proof::Good,
            found: false,
            asked: None,
            value_was_lost: false,
            handed_out: false,
            rebuilt: false,
            previous: Vec::new(),
        }));
        sample.observed.in_hand = Some(new.id.clone());
        sample.list(new);
        Ok(sample)
    }

    /// The list shows one more token.
    fn list(&mut self, token: Listed) {
        if let Some(Ok(list)) = &mut self.observed.list {
            list.tokens.push(token.clone());
        }
        if let Some(survey) = &mut self.record.survey {
            survey.tokens.push(token);
        }
    }
}

fn policy(
    key: ConnectionKey,
    name: ConnectionName,
    provider: ProviderName,
) -> anyhow::Result<Policy> {
    Ok(Policy {
        name,
        provider,
        key,
        capabilities: auth0::capabilities().into(),
        survey_interval: Duration::from_secs(3600),
        terms: Terms {
            scopes: ScopePolicy::Exactly(scopes()?),
            token_lifetime: Some(Duration::from_secs(30 * 86_400)),
            rotate_before: Some(Lead::Share(Share::try_new(0.33).context("a share")?)),
            max_age: Some(Duration::from_secs(90 * 86_400)),
            retire: retire(),
            ..Terms::default()
        }
        .into(),
    })
}

fn retire() -> Retire {
    Retire {
        overlap: Duration::from_secs(86_400),
        after_use: true,
        when_idle: Some(Duration::from_secs(7200)),
        at_latest: None,
    }
}

fn token(id: &str, created_at: ProviderTime) -> anyhow::Result<Listed> {
    Ok(Listed {
        id: TokenId::try_new(id)?,
        created_at,
        valid_until: Some(created_at + TimeDelta::days(30)),
        last_used_at: Some(created_at + TimeDelta::hours(1)),
        scopes: scopes()?,
        name: None,
    })
}

fn scopes() -> anyhow::Result<Scopes> {
    let names = ["get:users", "post:users", "put:users", "patch:users", "delete:users"];
    let scopes: Result<BTreeSet<Scope>, _> = names.into_iter().map(Scope::try_new).collect();
    Ok(scopes?)
}
