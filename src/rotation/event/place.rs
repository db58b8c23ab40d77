//! What can happen to one place of a connection.

use crate::{
    clock::{ProviderTime, Timestamp},
    place::{Container, Version},
    rotation::{record::Trouble, uptake::Account},
    token::TokenId,
};

/// Something that happened to one place, or is about to and is written down first.
#[derive(Clone, Debug, PartialEq)]
pub enum PlaceEvent {
    /// An operator says that the place is where it is seen to be now.
    Accepted {
        /// What it is in.
        container: Container,
    },
    /// A delivery is about to be kept there beside what its readers get.
    StageBegun {
        /// The token.
        id: TokenId,
    },
    /// It is kept there.
    Staged {
        /// The token.
        id: TokenId,
    },
    /// It is not, or that is not known.
    StageFailed {
        /// How.
        trouble: Trouble,
    },
    /// Nothing there leads to a token any more that is gone.
    Forgotten {
        /// The token.
        id: TokenId,
    },
    /// Something may still lead there.
    ForgetFailed {
        /// The token.
        id: TokenId,
        /// How.
        trouble: Trouble,
    },
    /// A delivery is about to be sent there.
    PromoteBegun {
        /// The token.
        id: TokenId,
        /// When.
        at: Timestamp,
        /// The state that it is to replace, where one was seen.
        replaces: Option<Version>,
        /// What the place is in, where that can be told.
        container: Option<Container>,
    },
    /// A promote failed, or its answer was lost.
    PromoteFailed {
        /// How.
        trouble: Trouble,
        /// It certainly had no effect.
        certain: bool,
    },
    /// A person says that the client behind the place has the token.
    HandedOver {
        /// The token.
        id: TokenId,
        /// When.
        at: Timestamp,
        /// The same moment at the provider.
        provider: ProviderTime,
        /// Who.
        by: String,
    },
    /// The client behind the place was asked whether it uses the token there.
    ClientAsked {
        /// The token.
        id: TokenId,
        /// When.
        at: Timestamp,
        /// What it says.
        account: Account,
    },
    /// It could not be asked.
    ClientSilent {
        /// How.
        trouble: Trouble,
    },
    /// The place has the token.
    Delivered {
        /// The token.
        id: TokenId,
        /// The state that the write made.
        version: Version,
        /// When.
        at: Timestamp,
        /// The same moment there.
        provider: ProviderTime,
        /// What the place is in, where that was made for this delivery.
        container: Option<Container>,
    },
}

impl PlaceEvent {
    /// The event's name, in logs and history.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "place_accepted",
            Self::StageBegun { .. } => "stage_begun",
            Self::Staged { .. } => "staged",
            Self::StageFailed { .. } => "stage_failed",
            Self::Forgotten { .. } => "forgotten",
            Self::ForgetFailed { .. } => "forget_failed",
            Self::PromoteBegun { .. } => "promote_begun",
            Self::PromoteFailed { .. } => "promote_failed",
            Self::HandedOver { .. } => "handed_over",
            Self::ClientAsked { .. } => "client_asked",
            Self::ClientSilent { .. } => "client_silent",
            Self::Delivered { .. } => "delivered",
        }
    }
}
