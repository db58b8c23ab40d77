//! What was just seen of the world: the other half of what a decision rests on.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::scim_config::SeenConfig;
use crate::{
    clock::{ProviderClock, ProviderTime, Timestamp},
    error::Fault,
    place::{Container, Marks, Version},
    token::{Digest, Listed, Listing, PlaceKey, TokenId},
};

/// How old an observation may be when something irreversible rests on it.
pub const FRESH: TimeDelta = TimeDelta::seconds(30);

/// How long after its expiry a token counts as dead.
pub const DEAD_AFTER: TimeDelta = TimeDelta::minutes(5);

/// How long after it was made a token may be absent from a list that lags.
pub(super) const LAG: TimeDelta = TimeDelta::seconds(60);

/// What one worker has seen since its last side effect.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The provider's list, or why there is none. `None`: not asked yet.
    pub list: Option<Result<SeenList, Fault>>,
    /// What each place was seen to hold. Absent: not asked yet.
    pub sinks: BTreeMap<PlaceKey, SeenSink>,
    /// The token whose value is in this worker's memory.
    pub in_hand: Option<TokenId>,
    /// The SCIM configuration, or why it could not be read. `None`: not asked yet.
    pub scim_config: Option<Result<SeenConfig, Fault>>,
    /// When every sink was last shown writable and the SCIM endpoint there.
    pub preflight: Option<Timestamp>,
    /// The list is older than our last side effect: no DELETE rests on it.
    pub list_is_old: bool,
    /// So are these reads.
    pub old_places: BTreeSet<PlaceKey>,
    /// The SCIM endpoint accepted this token's value, as a place holds it, at this moment.
    pub vouched: Option<(TokenId, Timestamp)>,
    /// Connections of the tenant with a current token, and those that lost it.
    pub losses: (usize, usize),
    /// Since when a call with a time of its own tries: what only a person could have mended before
    /// that is tried at once.
    pub tries_since: Option<Timestamp>,
}

/// A complete list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenList {
    /// When it was asked for.
    pub asked: Timestamp,
    /// When it came.
    pub at: Timestamp,
    /// What the provider's clock showed then.
    pub provider_time: ProviderTime,
    /// What it showed.
    pub tokens: Vec<Listed>,
}

impl SeenList {
    /// A list that came. Where the provider does not say its time, the host's is taken for it.
    #[must_use]
    pub fn new(asked: Timestamp, at: Timestamp, listing: Listing) -> Self {
        let unsaid = || ProviderClock::default().to_provider(at);
        let provider_time = listing.provider_time.unwrap_or_else(unsaid);
        Self { asked, at, provider_time, tokens: listing.tokens }
    }

    /// The token with this id.
    #[must_use]
    pub fn get(&self, id: &TokenId) -> Option<&Listed> {
        self.tokens.iter().find(|token| token.id == *id)
    }

    /// The provider's clock, as this list showed it: no later than it is, however long the answer took.
    #[must_use]
    pub fn clock(&self) -> ProviderClock {
        ProviderClock::seen(self.provider_time, self.at)
    }

    /// The same, but no earlier than it is: the time that it shows was written after it was asked for. A
    /// clock that was set meanwhile shows nothing.
    #[must_use]
    pub fn latest_clock(&self) -> ProviderClock {
        ProviderClock::seen(self.provider_time, self.asked.min(self.at))
    }
}

/// One read of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenSink {
    /// When.
    pub at: Timestamp,
    /// What it held.
    pub held: Held,
    /// What it kept beside that.
    pub staging: Staging,
    /// What the place is in, where that can be told.
    pub container: Option<Container>,
    /// What a promote would take away from whoever put it there.
    pub loss: Loss,
    /// Listed tokens of this connection under keys that Scimitar does not write, or inside what
    /// others wrote.
    pub elsewhere: Vec<OtherKey>,
    /// The value is the very one that was minted or proven, by its digest.
    pub is_genuine: bool,
    /// Readers get nothing that works, and a write takes nothing away: there is no value at all, or
    /// one that names a token whose value is known and is not that.
    pub is_false: bool,
    /// The digest of the value there, whatever that is.
    pub value: Option<Digest>,
    /// The generation that a mark of this connection there names, whatever it is worth: a sink lets
    /// nothing be written over a later one.
    pub generation: u64,
}

/// A key that Scimitar does not write, and the token of this connection there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherKey {
    /// The key; one below it with dots. Empty where all of the content is one text.
    pub key: String,
    /// What a payload has in front of the token to write it there; `None` where no payload can.
    pub before: Option<&'static str>,
    /// The token.
    pub id: TokenId,
}

impl OtherKey {
    /// Where it stands, in words that follow "holds it".
    #[must_use]
    pub fn place(&self) -> String {
        match &*self.key {
            "" => "in its text".to_owned(),
            key => format!("under the key {key}"),
        }
    }
}

impl SeenSink {
    /// A read that showed this and nothing beside it.
    #[must_use]
    pub fn new(at: Timestamp, held: Held) -> Self {
        let generation = match &held {
            Held::Token { marks: Some(marks), .. } => marks.generation,
            Held::Token { marks: None, .. }
            | Held::Nothing(_)
            | Held::Unknown(_)
            | Held::Unreadable(_) => 0,
        };
        Self {
            at,
            held,
            staging: Staging::Impossible,
            container: None,
            loss: Loss::Nothing,
            elsewhere: Vec::new(),
            is_genuine: false,
            is_false: false,
            value: None,
            generation,
        }
    }
}

/// What a promote would take away from whoever put it there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: what Scimitar does not own is kept.
    #[default]
    Nothing,
    /// What stands where the token goes.
    Value,
    /// All of it, because it cannot be parsed: why, in words.
    Unparsed(String),
}

/// What a place was seen to keep beside what its readers get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Staging {
    /// Nothing can be kept there, as it is.
    #[default]
    Impossible,
    /// Nothing of ours is.
    Free,
    /// A token of this connection.
    Holds(TokenId),
}

/// What a place was seen to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Definitely nothing.
    Nothing(Version),
    /// A token.
    Token {
        /// Its id, from believed marks or from the value itself.
        id: TokenId,
        /// The marks, where they are believed.
        marks: Option<Marks>,
        /// The state.
        version: Version,
    },
    /// Something that nothing can be said of. Never "nothing".
    Unknown(Version),
    /// It could not be read.
    Unreadable(Fault),
}

impl Held {
    /// The token's id, where one is known.
    #[must_use]
    pub fn id(&self) -> Option<&TokenId> {
        match self {
            Self::Token { id, .. } => Some(id),
            Self::Nothing(_) | Self::Unknown(_) | Self::Unreadable(_) => None,
        }
    }

    /// The state that was seen, where one was.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        match self {
            Self::Token { version, .. } | Self::Nothing(version) | Self::Unknown(version) => {
                Some(version)
            }
            Self::Unreadable(_) => None,
        }
    }
}

impl Observed {
    /// A side effect was tried: what was seen before it is no last look.
    pub fn acted(&mut self) {
        self.list_is_old = true;
        self.old_places = self.sinks.keys().cloned().collect();
    }

    /// Until when all that a decision of now rests on is no older than [`FRESH`]. What could not be
    /// read, or was read longer ago, was decided on as that, and does not count.
    #[must_use]
    pub fn fresh_until(&self, list: &SeenList, now: Timestamp) -> Timestamp {
        let is_read = |seen: &&SeenSink| {
            !matches!(seen.held, Held::Unreadable(_)) && (now - seen.at).abs() <= FRESH
        };
        let read = self.sinks.values().filter(is_read).map(|seen| seen.at);
        read.fold(list.at.min(now), Timestamp::min) + FRESH
    }

    /// One read of a place, if it was no longer ago than [`FRESH`].
    #[must_use]
    pub fn seen(&self, place: &PlaceKey, now: Timestamp) -> Option<&SeenSink> {
        self.sinks.get(place).filter(|seen| (now - seen.at).abs() <= FRESH)
    }

    /// The list, if one came and it is no older than [`FRESH`].
    #[must_use]
    pub fn fresh_list(&self, now: Timestamp) -> Option<&SeenList> {
        let list = self.list.as_ref()?.as_ref().ok()?;
        ((now - list.at).abs() <= FRESH).then_some(list)
    }

    /// What a place was seen to keep beside that, if it was no longer ago than [`FRESH`].
    #[must_use]
    pub fn staging(&self, place: &PlaceKey, now: Timestamp) -> &Staging {
        self.seen(place, now).map_or(&Staging::Impossible, |seen| &seen.staging)
    }

    /// What a place was seen to hold, if that was no longer ago than [`FRESH`].
    #[must_use]
    pub fn fresh_sink(&self, place: &PlaceKey, now: Timestamp) -> Option<&Held> {
        self.seen(place, now).map(|seen| &seen.held)
    }
}

/// Whether a token is dead: it counts in no slot, whoever made it.
#[must_use]
pub fn is_dead(token: &Listed, provider_now: ProviderTime) -> bool {
    token.valid_until.is_some_and(|until| until + DEAD_AFTER <= provider_now)
}
