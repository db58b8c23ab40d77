//! What a decision is.

use std::collections::BTreeSet;

use crate::{
    clock::Timestamp,
    rotation::{decided::Standing, event::Event, why::Reason},
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

/// One step. The worker carries it out and asks again.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// List the tokens, read places.
    Look {
        /// Whether to list.
        list: bool,
        /// Which places to read.
        places: BTreeSet<PlaceKey>,
    },
    /// Write this down.
    Note(Box<Event>),
    /// Show every sink writable and the SCIM endpoint there.
    Preflight {
        /// Else one sink that can be asked is enough.
        all: bool,
        /// What the SCIM endpoint may say against it.
        endpoint: Veto,
    },
    /// Write an intent down and create a token.
    Mint {
        /// With these scopes.
        scopes: Scopes,
        /// Because of this.
        because: String,
        /// The value of the current token was lost by other means than our own writes.
        value_was_lost: bool,
    },
    /// Send the new token to the SCIM endpoint.
    Probe,
    /// Send the token that this place holds to the SCIM endpoint.
    AskHeld(PlaceKey),
    /// Keep the token in hand in this place, beside what its readers get.
    Stage(PlaceKey),
    /// Make this place hold the token in hand.
    Promote(PlaceKey),
    /// Take away what leads to a token that is gone.
    Forget {
        /// From this place.
        place: PlaceKey,
        /// The token.
        id: TokenId,
    },
    /// Delete a token: the last look was just had.
    Revoke(TokenId),
    /// Tell a hook what happened.
    Notify {
        /// The hook.
        hook: HookName,
        /// Which notice.
        number: u64,
    },
    /// Keep the value in memory and ask again at this moment.
    Pause(Timestamp),
    /// Nothing is to be done now.
    Rest(Rest),
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
    pub standing: Standing,
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
