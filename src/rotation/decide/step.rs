//! What a decision is.

use std::collections::BTreeSet;

use crate::{
    clock::{ProviderTime, Timestamp},
    place::{Container, Marks, Version},
    rotation::{
        decided::Status,
        event::{Event, PlaceEvent},
        intent::Intent,
        notice::Notice,
        probe_user::WritePlan,
        scim_config::ConfigChange,
        why::Reason,
    },
    token::{HookName, PlaceKey, Scopes, TokenId},
};

/// What is to be done next, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What.
    pub step: Step,
    /// Why, in words.
    pub why: String,
}

/// One step, with all that it acts on: the worker carries it out, writes down what was answered, and
/// asks again.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// List the tokens, read places.
    Look {
        /// Whether to list.
        list: bool,
        /// Which places to read.
        places: BTreeSet<PlaceKey>,
        /// Which to ask besides whether they would take a write.
        writes: CheckWrites,
    },
    /// Read the SCIM configuration.
    Inspect,
    /// Announce this change of the SCIM configuration and make it.
    Configure(Box<ConfigChange>),
    /// Write this down.
    Note(Box<Event>),
    /// Show every sink writable and the SCIM endpoint there.
    Preflight {
        /// Else one sink that can be asked is enough.
        all: bool,
        /// What the SCIM endpoint may say against it.
        endpoint: Veto,
    },
    /// Write this intent down and create the token that it asks for.
    Mint(Box<Intent>),
    /// Send a token to the SCIM endpoint.
    Probe(Inquiry),
    /// Delete the throw-away user that a proof left behind.
    RemoveUser {
        /// With this token.
        id: TokenId,
        /// When the first request is sent.
        sent: ProviderTime,
        /// Until when the last one may still arrive.
        arrives_by: ProviderTime,
    },
    /// Keep a token in a place, beside what its readers get.
    Stage(Box<Stage>),
    /// Make a place hold a token.
    Promote(Box<Promote>),
    /// Take away what leads to a token that is gone.
    Forget(Forget),
    /// Ask the client behind a place whether it uses the token there.
    AskClient(AskClient),
    /// Delete a token: the last look was just had.
    Revoke(Revoke),
    /// Tell a hook what happened.
    Notify {
        /// The hook.
        hook: HookName,
        /// What it is told.
        notice: Box<Notice>,
    },
    /// Keep the value in memory and ask again at this moment.
    Pause(Timestamp),
    /// Nothing is to be done now.
    Rest(Rest),
}

impl Step {
    /// The step in one word: the label of its duration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Look { .. } => "look",
            Self::Inspect => "inspect",
            Self::Configure(_) => "configure",
            Self::Note(_) => "note",
            Self::Preflight { .. } => "preflight",
            Self::Mint(_) => "mint",
            Self::Probe(_) => "probe",
            Self::RemoveUser { .. } => "remove_user",
            Self::Stage(_) => "stage",
            Self::Promote(_) => "promote",
            Self::Forget(_) => "forget",
            Self::AskClient(_) => "ask_client",
            Self::Revoke(_) => "revoke",
            Self::Notify { .. } => "notify",
            Self::Pause(_) => "pause",
            Self::Rest(_) => "rest",
        }
    }

    /// The step as people see it while it goes on; `None` where it takes no time.
    #[must_use]
    pub fn words(&self, why: &str) -> Option<String> {
        match self {
            Self::Look { .. } => Some("checking the provider and every sink".to_owned()),
            Self::Preflight { .. } => Some(
                "checking that every sink is writable and that the SCIM endpoint exists".to_owned(),
            ),
            Self::Mint(intent) => {
                Some(format!("creating a replacement, because {}", intent.because))
            }
            Self::Inspect => Some("reading the SCIM configuration".to_owned()),
            Self::Configure(_)
            | Self::Probe(_)
            | Self::RemoveUser { .. }
            | Self::Stage(_)
            | Self::Promote(_)
            | Self::Forget(_)
            | Self::AskClient(_)
            | Self::Notify { .. } => Some(why.to_owned()),
            Self::Revoke(Revoke { id, .. }) => Some(format!("revoking {id}: {why}")),
            Self::Note(_) | Self::Pause(_) | Self::Rest(_) => None,
        }
    }
}

/// Which places are asked whether they would take a write, while none is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckWrites {
    /// Which.
    pub places: BTreeSet<PlaceKey>,
    /// With these the turn of all is over.
    pub all: bool,
}

/// A token that is sent to the SCIM endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// The token.
    pub id: TokenId,
    /// What it is to the connection.
    pub about: About,
    /// When it is sent.
    pub sent: ProviderTime,
    /// Until when it may still arrive.
    pub arrives_by: ProviderTime,
}

/// What a token that is sent to the SCIM endpoint is to the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The one on its way to the sinks.
    OnItsWay {
        /// Somebody else put it into a sink.
        found: bool,
        /// It is also proven by writing.
        write: Option<Box<WritePlan>>,
    },
    /// The current one, as a place holds it.
    Current {
        /// Where.
        location: String,
    },
    /// One that somebody else put into a place.
    Found {
        /// Where.
        location: String,
    },
}

/// A token that a place is to keep beside what its readers get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The place.
    pub place: PlaceKey,
    /// The same, for people.
    pub location: String,
    /// What goes there beside the value.
    pub metadata: Metadata,
}

impl Stage {
    /// Written down before it is kept there.
    #[must_use]
    pub fn begun(&self) -> Event {
        let id = self.metadata.id().clone();
        Event::Place { place: self.place.clone(), what: PlaceEvent::StageBegun { id } }
    }
}

/// A token that a place is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promote {
    /// The place.
    pub place: PlaceKey,
    /// The same, for people.
    pub location: String,
    /// The state that it replaces; `None` where the place cannot be asked.
    pub expected: Option<Version>,
    /// What the place is in, where that can be told.
    pub container: Option<Container>,
    /// What goes there beside the value.
    pub metadata: Metadata,
}

impl Promote {
    /// Written down before it is sent.
    #[must_use]
    pub fn begun(&self, at: Timestamp) -> Event {
        let what = PlaceEvent::PromoteBegun {
            id: self.metadata.id().clone(),
            at,
            replaces: self.expected.clone(),
            container: self.container.clone(),
        };
        Event::Place { place: self.place.clone(), what }
    }
}

/// What is delivered with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The marks.
    pub marks: Marks,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: ProviderTime,
    /// When it stops working.
    pub expires_at: Option<ProviderTime>,
}

impl Metadata {
    /// The token.
    #[must_use]
    pub fn id(&self) -> &TokenId {
        &self.marks.token_id
    }
}

/// What leads to a token that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forget {
    /// The place.
    pub place: PlaceKey,
    /// The same, for people.
    pub location: String,
    /// The token.
    pub id: TokenId,
    /// The state in which it was what readers got.
    pub earlier: Option<Version>,
}

/// A client that is asked whether it uses the token that its place was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskClient {
    /// The place.
    pub place: PlaceKey,
    /// The same, for people.
    pub location: String,
    /// The token.
    pub id: TokenId,
    /// What the delivery made of the place.
    pub delivered: Version,
}

/// A token that is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoke {
    /// The token.
    pub id: TokenId,
    /// Until when the look that it rests on is fresh: nothing is sent after that.
    pub seen: Timestamp,
    /// When a client last used it, where that was a moment ago.
    pub in_use: Option<ProviderTime>,
}

/// What an anonymous answer of the SCIM endpoint may hold up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Veto {
    /// Nothing: it is not asked.
    None,
    /// A mint, when it answers that it is none (anything but 401, 403, 5xx and silence).
    Refusal,
    /// The same, and when nothing can be learnt.
    Silence,
}

/// Why nothing is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// How things stand.
    pub status: Status,
    /// The word for it.
    pub reason: Option<Reason>,
    /// When that changes by itself, or when to look again.
    pub until: Option<Timestamp>,
    /// When the next rotation starts.
    pub next_rotation: Option<Timestamp>,
    /// What draws attention.
    pub warnings: BTreeSet<String>,
    /// Only hooks were waited for, and nobody else was asked anything: the connection stands as it did.
    pub hooks_only: bool,
}
