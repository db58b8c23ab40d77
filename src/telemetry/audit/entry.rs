//! What a step's line holds: derived from the event and the records before and after it.

mod found;
mod ids;
mod noteworthy;

use serde::Serialize;

use self::noteworthy::noteworthy;
use crate::{
    clock::Timestamp,
    error::Class,
    place::Version,
    rotation::{
        event::{ConfigEvent, Event, PlaceEvent, ProbeUserEvent, RetiringEvent},
        record::{Phase, Record, SinkState, Trouble},
    },
    token::{
        ConnectionId, ConnectionName, Digest, LedgerId, PlaceKey, ProviderName, Tenant, TokenId,
    },
};

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is about to be done.
    Announced,
    /// It was done.
    Done,
    /// It was not.
    Failed,
    /// Whether it was done is not known.
    Unknown,
    /// It was seen or decided; nothing was called for it.
    Noted,
    /// It was asked for and refused.
    Refused,
    /// The line before was not carried into the ledger.
    NotWrittenDown,
}

/// A line's members, beside those that link it. None holds a token's value; tokens are named by the
/// SHA-256 of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When, by the host's clock: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// What: a name of the ledger's history, or of the log itself.
    pub event: &'static str,
    /// How far it is.
    pub outcome: Outcome,
    /// Whose rotation.
    #[serde(flatten)]
    pub subject: Option<Subject>,
    /// The token that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id_sha256: Option<String>,
    /// The one that it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_token_id_sha256: Option<String>,
    /// All, where it is about several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_ids_sha256: Vec<String>,
    /// Where.
    #[serde(flatten)]
    pub place: Option<Where>,
    /// Transient, ambiguous, terminal or conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<&'static str>,
    /// The SHA-256 of the configuration's files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The same with token ids as they are, for the logs alone.
    #[serde(skip)]
    pub words: String,
}

/// Whose rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    ledger: LedgerId,
    connection: ConnectionName,
    connection_id: ConnectionId,
    tenant: Tenant,
    provider: ProviderName,
    generation: u64,
}

/// A place, and what was done to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Where {
    sink: String,
    location: String,
    /// The state that the write made.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The state that it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_version: Option<String>,
    /// Scimitar did not write that one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replaced_foreign: bool,
}

impl Entry {
    /// A line about the process.
    #[must_use]
    pub fn of_process(event: &'static str, at: Timestamp, why: impl Into<String>) -> Self {
        Self::of_log(event, &milliseconds(at), why)
    }

    /// A line about the log itself, of the same time as another.
    pub(super) fn of_log(event: &'static str, time: &str, why: impl Into<String>) -> Self {
        Self {
            time: time.to_owned(),
            event,
            outcome: Outcome::Noted,
            subject: None,
            token_id_sha256: None,
            previous_token_id_sha256: None,
            token_ids_sha256: Vec::new(),
            place: None,
            error_class: None,
            config_sha256: None,
            why: why.into(),
            words: String::new(),
        }
    }

    /// A line about one token of a connection that is in no event of the ledger: what an operator
    /// asked for, or what a worker did that lost its claim.
    #[must_use]
    pub fn of_token(
        event: &'static str,
        outcome: Outcome,
        record: &Record,
        ledger: &LedgerId,
        id: &TokenId,
        at: Timestamp,
        words: &str,
    ) -> Self {
        Self {
            outcome,
            subject: Some(Subject::of(record, ledger)),
            token_id_sha256: Some(hashed(id)),
            ..Self::of_process(event, at, ids::hidden(words, ids::of(record).chain([id])))
        }
    }

    /// A line about what an operator asked for a whole connection, and was refused.
    #[must_use]
    pub fn refused(
        event: &'static str,
        record: &Record,
        ledger: &LedgerId,
        at: Timestamp,
        words: &str,
    ) -> Self {
        Self {
            outcome: Outcome::Refused,
            subject: Some(Subject::of(record, ledger)),
            ..Self::of_process(event, at, ids::hidden(words, ids::of(record)))
        }
    }

    /// The same about a configuration that was read.
    #[must_use]
    pub fn with_config(self, sha256: &str) -> Self {
        Self { config_sha256: Some(sha256.to_owned()), ..self }
    }

    /// That the line just noted was not carried into the ledger.
    #[must_use]
    pub fn not_written_down(self, at: Timestamp, why: &str) -> Self {
        Self {
            time: milliseconds(at),
            outcome: Outcome::NotWrittenDown,
            why: why.to_owned(),
            ..self
        }
    }
}

impl Where {
    /// The sink's label.
    #[must_use]
    pub fn sink(&self) -> &str {
        &self.sink
    }

    /// Where in it.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }
}

impl Subject {
    /// The generation of the newest token.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn of(record: &Record, ledger: &LedgerId) -> Self {
        Self {
            ledger: ledger.clone(),
            connection: record.name.clone(),
            connection_id: record.key.connection.clone(),
            tenant: record.key.tenant.clone(),
            provider: record.provider.clone(),
            generation: record.generation,
        }
    }
}

/// What an event is about.
#[derive(Debug)]
pub struct About<'a> {
    outcome: Outcome,
    /// The token.
    pub token: Option<&'a TokenId>,
    several: Vec<&'a TokenId>,
    place: Option<&'a PlaceKey>,
    version: Option<&'a Version>,
    replaced: Option<&'a Version>,
    trouble: Option<&'a Trouble>,
}

/// The line of an event; `None` for one that changes nothing anybody would ask about: a look that
/// found everything as it was, a rest.
#[must_use]
pub fn step(
    event: &Event,
    before: &Record,
    after: &Record,
    ledger: &LedgerId,
    at: Timestamp,
    words: &str,
) -> Option<Entry> {
    if !noteworthy(event, before, after) {
        return None;
    }
    let about = about(event, before);
    let current = before.current.as_ref().map(|current| &current.token.id);
    let shown = ids::of(before).chain(ids::of(after)).chain(about.token);
    let words = if matches!(event, Event::Looked { .. }) {
        found::found(before, after)
    } else {
        words.to_owned()
    };
    let why = ids::hidden(&words, shown);
    Some(Entry {
        time: milliseconds(at),
        event: event.name(),
        outcome: if event.name() == "rested" && after.refused_for().is_some() {
            Outcome::Refused
        } else {
            about.outcome
        },
        subject: Some(Subject::of(after, ledger)),
        token_id_sha256: about.token.map(hashed),
        previous_token_id_sha256: current
            .filter(|current| about.token.is_some_and(|token| token != *current))
            .map(hashed),
        token_ids_sha256: about.several.into_iter().map(hashed).collect(),
        place: about.place.and_then(|key| {
            let sink = after.sinks.get(key).or_else(|| before.sinks.get(key))?;
            let seen = before.sinks.get(key).unwrap_or(sink);
            let foreign = about.replaced.is_some_and(|replaced| is_foreign(replaced, seen, before));
            Some(Where {
                sink: sink.place.sink.to_string(),
                location: sink.place.location.clone(),
                version: about.version.map(|version| version.0.clone()),
                replaced_version: about.replaced.map(|version| version.0.clone()),
                replaced_foreign: foreign,
            })
        }),
        error_class: about.trouble.map(|trouble| trouble.fault.class.as_str()),
        config_sha256: None,
        why,
        words,
    })
}

/// Something is there that is no token of ours, or differs from it.
fn is_foreign(replaced: &Version, sink: &SinkState, before: &Record) -> bool {
    let ours = sink.holds.as_ref().is_some_and(|id| before.knows(id));
    replaced.is_of_something() && (!ours || sink.drift.is_some())
}

/// What an event is about, by the record that it is to change.
#[must_use]
pub fn about<'a>(event: &'a Event, before: &'a Record) -> About<'a> {
    use Outcome::{Announced, Done, Failed, Noted, Unknown};
    let delivering = match &before.phase {
        Phase::Delivering(delivery) => Some(&delivery.token.id),
        Phase::Steady | Phase::Minting(_) => None,
    };
    let current = before.current.as_ref().map(|current| &current.token.id);
    match event {
        Event::Configured { .. } | Event::Looked { .. } | Event::Rested { .. } => of(Noted, None),
        Event::LookFailed(trouble) => About { trouble: Some(trouble), ..of(Failed, None) },
        Event::Condemned(ids) => About { several: ids.iter().collect(), ..of(Noted, None) },
        Event::Paused(_) | Event::Resumed { .. } => of(Noted, None),
        Event::Intended(_) => of(Announced, None),
        Event::Minted { token, .. } => of(Done, Some(&token.id)),
        Event::MintFailed { trouble, .. } => About { trouble: Some(trouble), ..of(Failed, None) },
        Event::MintLost(trouble) => About { trouble: Some(trouble), ..of(Unknown, None) },
        Event::IntentOpened => of(Unknown, None),
        Event::IntentsExpired(_) => of(Noted, None),
        Event::OrphanFound { token, .. } | Event::Retired { token, .. } => {
            of(Noted, Some(&token.id))
        }
        Event::TakenOver(found) => About {
            several: found.previous.iter().chain(&found.marked).map(|token| &token.id).collect(),
            ..of(Noted, Some(&found.token.id))
        },
        Event::ProbeAnnounced { id, .. } => of(Announced, Some(id)),
        Event::Proven(_) => of(Done, delivering),
        Event::ValueKnown { id, .. } => of(Noted, Some(id)),
        Event::Judged { .. } => of(Noted, current),
        Event::WritesChecked { places, .. } => {
            let refused = places.iter().find_map(|(place, it)| Some((place, it.as_ref()?)));
            let outcome = if refused.is_some() { Failed } else { Done };
            let (place, trouble) = refused.unzip();
            About { place, trouble, ..of(outcome, None) }
        }
        Event::Place { place, what } => {
            let sink = before.sinks.get(place);
            About { place: Some(place), ..about_place(what, sink, delivering) }
        }
        Event::Settled { .. } | Event::SettledInPart { .. } => of(Done, delivering),
        Event::GivenUp { trouble, .. } => {
            About { trouble: trouble.as_ref(), ..of(Noted, delivering) }
        }
        Event::CurrentProbed { .. } => of(Done, current),
        Event::CurrentProbeFailed(trouble) => {
            About { trouble: Some(trouble), ..of(Failed, current) }
        }
        Event::Retiring { id, what } => match what {
            RetiringEvent::RevokeAnnounced { .. } => of(Announced, Some(id)),
            RetiringEvent::Revoked { .. } | RetiringEvent::NotFound => of(Done, Some(id)),
            RetiringEvent::RevokeFailed { trouble } => {
                About { trouble: Some(trouble), ..of(Failed, Some(id)) }
            }
            RetiringEvent::Expired => of(Noted, Some(id)),
        },
        Event::FoundRefused(id) => of(Noted, Some(id)),
        Event::ScimConfig(what) => about_config(what),
        Event::ProbeUser(what) => about_user(what, delivering),
        Event::NoticeBegun { .. } => of(Announced, None),
        Event::Notified { .. } => of(Done, None),
        Event::NotifyFailed { trouble, .. } => About { trouble: Some(trouble), ..of(Failed, None) },
        Event::NoticeDropped { .. } => of(Noted, None),
    }
}

/// What an event of one place is about, by what was known of that place.
fn about_place<'a>(
    event: &'a PlaceEvent,
    before: Option<&'a SinkState>,
    delivering: Option<&'a TokenId>,
) -> About<'a> {
    use Outcome::{Announced, Done, Failed, Noted, Unknown};
    let begun = before.and_then(|sink| sink.begun.as_ref());
    let replaced = begun.and_then(|begun| begun.replaces.as_ref());
    match event {
        PlaceEvent::Accepted { .. } => of(Noted, None),
        PlaceEvent::StageBegun { id } => of(Announced, Some(id)),
        PlaceEvent::Staged { id } | PlaceEvent::Forgotten { id } => of(Done, Some(id)),
        PlaceEvent::StageFailed { trouble } => {
            About { trouble: Some(trouble), ..of(Failed, delivering) }
        }
        PlaceEvent::ForgetFailed { id, trouble } => {
            About { trouble: Some(trouble), ..of(Failed, Some(id)) }
        }
        PlaceEvent::PromoteBegun { id, replaces, .. } => {
            About { replaced: replaces.as_ref(), ..of(Announced, Some(id)) }
        }
        PlaceEvent::PromoteFailed { trouble, certain } => {
            let outcome = if *certain { Failed } else { Unknown };
            let id = begun.map(|begun| &begun.id);
            About { replaced, trouble: Some(trouble), ..of(outcome, id) }
        }
        PlaceEvent::HandedOver { id, .. } | PlaceEvent::ClientAsked { id, .. } => {
            of(Noted, Some(id))
        }
        PlaceEvent::ClientSilent { trouble } => {
            About { trouble: Some(trouble), ..of(Failed, None) }
        }
        PlaceEvent::Delivered { id, version, .. } => {
            About { version: Some(version), replaced, ..of(Done, Some(id)) }
        }
    }
}

/// What an event of the SCIM configuration is about: the difference is in the words.
fn about_config(event: &ConfigEvent) -> About<'_> {
    use Outcome::{Announced, Done, Failed, Noted, Unknown};
    let failed = |outcome, trouble| About { trouble: Some(trouble), ..of(outcome, None) };
    match event {
        ConfigEvent::Seen { .. } => of(Noted, None),
        ConfigEvent::Announced { .. } => of(Announced, None),
        ConfigEvent::Changed { .. } => of(Done, None),
        ConfigEvent::Unread(trouble) => failed(Failed, trouble),
        ConfigEvent::Refused(trouble) if trouble.fault.class == Class::Ambiguous => {
            failed(Unknown, trouble)
        }
        ConfigEvent::Refused(trouble) => failed(Failed, trouble),
    }
}

/// What an event of a throw-away user is about: its name and what was found are in the words.
fn about_user<'a>(event: &'a ProbeUserEvent, delivering: Option<&'a TokenId>) -> About<'a> {
    use Outcome::{Announced, Done, Failed, Noted};
    match event {
        ProbeUserEvent::Announced { .. } => of(Announced, delivering),
        ProbeUserEvent::Made(_) | ProbeUserEvent::Gone | ProbeUserEvent::Proved(_) => {
            of(Done, delivering)
        }
        ProbeUserEvent::Unseen(_) => of(Noted, delivering),
        ProbeUserEvent::Left(trouble) => About { trouble: Some(trouble), ..of(Failed, delivering) },
    }
}

fn of<'a>(outcome: Outcome, token: Option<&'a TokenId>) -> About<'a> {
    About {
        outcome,
        token,
        several: Vec::new(),
        place: None,
        version: None,
        replaced: None,
        trouble: None,
    }
}

/// A token's name in the audit log.
#[must_use]
pub fn hashed(id: &TokenId) -> String {
    Digest::of(id.as_str().as_bytes()).as_str().to_owned()
}

fn milliseconds(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
