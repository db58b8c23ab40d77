//! What can happen to a connection.

mod place;
mod probe_user;
mod retiring;
mod scim_config;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub use place::PlaceEvent;
pub use probe_user::ProbeUserEvent;
pub use retiring::RetiringEvent;
pub use scim_config::ConfigEvent;

use super::{
    notice::{Occasion, Try},
    noticed::Noticed,
    observe::{SeenList, SeenSink},
    pause::Pause,
    policy::{Retire, Verify},
    record::{Cause, Decided, Intent, Proof, Trouble, WriteCheck},
    uptake::Uptake,
};
use crate::{
    clock::{ProviderTime, Timestamp},
    place::Place,
    token::{ConnectionName, Digest, HookName, Listed, PlaceKey, ProviderName, TokenId},
};

/// A place of the policy, as the configuration has it now.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfiguredPlace {
    /// The place.
    pub place: Place,
    /// Whether it can be asked.
    pub readable: bool,
    /// When it is asked whether it would take a write.
    pub write_check: WriteCheck,
    /// How long a lost promote may still land.
    pub lingers: Duration,
    /// Whether an earlier state stays there for readers to go back to.
    pub keeps_earlier: bool,
    /// Whether what others put there may be lost, once.
    pub overwrite: bool,
    /// What has to happen there before the client behind it uses what it was given.
    pub uptake: Uptake,
}

/// A token that a sink holds and that this process did not deliver.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenOver {
    /// The token.
    pub token: Listed,
    /// Its generation.
    pub generation: u64,
    /// Live tokens that other places hold instead.
    pub previous: Vec<Listed>,
    /// A live token that only its mark says it replaced.
    pub marked: Option<Listed>,
    /// The record is old or empty: what it says of older tokens is not believed.
    pub rebuilt: bool,
    /// The policy as it is.
    pub retire: Retire,
    /// How it is to be proven before it goes anywhere else or supersedes anything.
    pub verify: Verify,
    /// When.
    pub at: ProviderTime,
    /// When the token was made, as far as can be told.
    pub made: Timestamp,
}

/// Something that happened, or is about to and is written down first.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The configuration was read.
    Configured {
        /// The connection's label.
        name: ConnectionName,
        /// Its provider's label.
        provider: ProviderName,
        /// Its places.
        places: Vec<ConfiguredPlace>,
        /// Places that left the policy and cannot be asked any more.
        unreachable: BTreeSet<PlaceKey>,
        /// Its hooks, and what each wants to be told of.
        hooks: BTreeMap<HookName, BTreeSet<Occasion>>,
        /// Whether its SCIM configuration is looked after.
        scim_config: bool,
    },
    /// The provider was listed, places were read, or both.
    Looked {
        /// The list, if one came.
        list: Option<SeenList>,
        /// What places held.
        sinks: BTreeMap<PlaceKey, SeenSink>,
        /// The failures to read places.
        troubles: BTreeMap<PlaceKey, Trouble>,
    },
    /// The provider could not be listed.
    LookFailed(Trouble),
    /// An operator declared the tokens in use leaked.
    Condemned(BTreeSet<TokenId>),
    /// An operator paused the connection.
    Paused(Pause),
    /// A pause is over, by itself or because an operator said so.
    Resumed {
        /// When.
        at: Timestamp,
    },
    /// A token is about to be asked for.
    Intended(Intent),
    /// A token was made.
    Minted {
        /// The token.
        token: Listed,
        /// The policy for what it will replace.
        retire: Retire,
        /// How it is to be proven.
        verify: Verify,
        /// SHA-256 of its value.
        digest: Option<Digest>,
    },
    /// The create, or what had to be shown before it, failed without effect.
    MintFailed {
        /// How.
        trouble: Trouble,
        /// The provider said that there is no slot.
        no_slot: bool,
    },
    /// Whether the create happened is not known.
    MintLost(Trouble),
    /// A create was announced by a worker that is gone.
    IntentOpened,
    /// Open intents grew too old.
    IntentsExpired(ProviderTime),
    /// A listed token is the late or lost effect of a create of ours.
    OrphanFound {
        /// The token.
        token: Listed,
        /// The intent that made it.
        intent: Timestamp,
        /// The policy as it is.
        retire: Retire,
    },
    /// A sink holds a live token that somebody else put there, or that an older ledger of ours did.
    TakenOver(Box<TakenOver>),
    /// A token is about to be sent to the SCIM endpoint.
    ProbeAnnounced {
        /// The replacement or the current token.
        id: TokenId,
        /// When.
        sent: ProviderTime,
        /// Until when it may still arrive.
        arrives_by: ProviderTime,
    },
    /// What is known of the new token after a probe.
    Proven(Proof),
    /// A value that was found is the one that the SCIM endpoint accepts for its token.
    ValueKnown {
        /// The token.
        id: TokenId,
        /// SHA-256 of the value.
        digest: Digest,
    },
    /// The current token has come not to satisfy the policy, or to satisfy it.
    Judged {
        /// Since when it has not.
        unsatisfied_since: Option<ProviderTime>,
    },
    /// Places were asked whether they would take a write, while none was to be made.
    WritesChecked {
        /// When, if all were asked.
        all_at: Option<Timestamp>,
        /// What each said: `None`, or why it would not.
        places: BTreeMap<PlaceKey, Option<Trouble>>,
    },
    /// Something happened to one place.
    Place {
        /// The place.
        place: PlaceKey,
        /// What.
        what: PlaceEvent,
    },
    /// Every place has the new token.
    Settled {
        /// When.
        at: ProviderTime,
        /// When.
        host: Timestamp,
    },
    /// Some places have the new token and the others must not hold up its own replacement.
    SettledInPart {
        /// When.
        at: ProviderTime,
    },
    /// The token on its way will not be delivered.
    GivenUp {
        /// Why it goes.
        cause: Cause,
        /// What went wrong, where that delays the next attempt.
        trouble: Option<Trouble>,
    },
    /// The current token's value was sent to the SCIM endpoint, because a list did not show it.
    CurrentProbed {
        /// It was refused (or nobody has the value).
        refused: bool,
    },
    /// That could not be asked.
    CurrentProbeFailed(Trouble),
    /// The SCIM endpoint refuses a token that somebody else put into a sink.
    FoundRefused(TokenId),
    /// A token nobody needs any more is retired: a stranger's, a dead one's, an operator's wish.
    Retired {
        /// The token.
        token: Listed,
        /// Why.
        cause: Cause,
        /// The policy as it is.
        retire: Retire,
        /// When.
        at: ProviderTime,
    },
    /// Something happened to a token on its way out.
    Retiring {
        /// The token.
        id: TokenId,
        /// What.
        what: RetiringEvent,
    },
    /// Something happened to the SCIM configuration.
    ScimConfig(ConfigEvent),
    /// Something happened to a throw-away user.
    ProbeUser(ProbeUserEvent),
    /// A hook is about to be run, or takes long.
    NoticeBegun {
        /// The hook.
        hook: HookName,
        /// Which notice.
        number: u64,
        /// The try.
        begun: Try,
    },
    /// A hook was told.
    Notified {
        /// The hook.
        hook: HookName,
        /// Which notice.
        number: u64,
        /// When.
        at: Timestamp,
    },
    /// A hook was not told, or that is not known.
    NotifyFailed {
        /// The hook.
        hook: HookName,
        /// Which notice.
        number: u64,
        /// How.
        trouble: Trouble,
    },
    /// A hook that failed too long will not be told.
    NoticeDropped {
        /// The hook.
        hook: HookName,
        /// Which notice.
        number: u64,
    },
    /// Nothing is to be done now.
    Rested {
        /// When.
        at: Timestamp,
        /// When something is.
        wake_at: Option<Timestamp>,
        /// The same without what only a hook waits for.
        work_at: Option<Timestamp>,
        /// When the next rotation starts.
        next_rotation: Option<Timestamp>,
        /// What the pass came to; `None`: as it was.
        decided: Option<Decided>,
        /// What draws attention.
        warnings: BTreeSet<String>,
        /// What hooks are told of once; `None`: the pass did not find out.
        noticed: Option<Box<Noticed>>,
    },
}

impl Event {
    /// The event's name, in logs and history.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Configured { .. } => "configured",
            Self::Looked { .. } => "looked",
            Self::LookFailed(_) => "look_failed",
            Self::Condemned(_) => "condemned",
            Self::Paused(_) => "paused",
            Self::Resumed { .. } => "resumed",
            Self::Intended(_) => "intended",
            Self::Minted { .. } => "minted",
            Self::MintFailed { .. } => "mint_failed",
            Self::MintLost(_) => "mint_lost",
            Self::IntentOpened => "intent_opened",
            Self::IntentsExpired(_) => "intents_expired",
            Self::OrphanFound { .. } => "orphan_found",
            Self::TakenOver(_) => "taken_over",
            Self::ProbeAnnounced { .. } => "probe_announced",
            Self::Proven(_) => "proven",
            Self::ValueKnown { .. } => "value_known",
            Self::Judged { .. } => "judged",
            Self::WritesChecked { .. } => "writes_checked",
            Self::Place { what, .. } => what.name(),
            Self::Settled { .. } => "settled",
            Self::SettledInPart { .. } => "settled_in_part",
            Self::GivenUp { .. } => "given_up",
            Self::CurrentProbed { .. } => "current_asked",
            Self::CurrentProbeFailed(_) => "current_ask_failed",
            Self::FoundRefused(_) => "found_refused",
            Self::Retired { .. } => "retired",
            Self::Retiring { what, .. } => what.name(),
            Self::ScimConfig(what) => what.name(),
            Self::ProbeUser(what) => what.name(),
            Self::NoticeBegun { .. } => "notice_begun",
            Self::Notified { .. } => "notified",
            Self::NotifyFailed { .. } => "notify_failed",
            Self::NoticeDropped { .. } => "notice_dropped",
            Self::Rested { .. } => "rested",
        }
    }
}
