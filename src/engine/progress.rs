//! What people see of a rotation while it goes on.

use std::fmt;

use crate::{rotation::decide::Step, token::ConnectionName};

/// Is told what is being done; never a secret.
pub trait Progress: fmt::Debug + Send + Sync {
    /// A connection's present step, as a fragment: "minting a replacement".
    fn step(&self, connection: &ConnectionName, words: &str);

    /// Nothing more is done for the connection in this call; `words` say how it ended.
    fn done(&self, connection: &ConnectionName, words: &str);
}

/// Shows nothing: the daemon, whose log says it all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _connection: &ConnectionName, _words: &str) {}

    fn done(&self, _connection: &ConnectionName, _words: &str) {}
}

/// A step in one word: the label of its duration.
pub(super) fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Look { .. } => "look",
        Step::Note(_) => "note",
        Step::Preflight { .. } => "preflight",
        Step::Mint { .. } => "mint",
        Step::Probe | Step::AskHeld(_) => "probe",
        Step::Stage(_) => "stage",
        Step::Promote(_) => "promote",
        Step::Forget { .. } => "forget",
        Step::Revoke(_) => "revoke",
        Step::Notify { .. } => "notify",
        Step::Pause(_) => "pause",
        Step::Rest(_) => "rest",
    }
}

/// A step as people see it while it goes on.
pub(super) fn step_words(step: &Step, why: &str) -> Option<String> {
    match step {
        Step::Look { .. } => Some("looking at the provider and at every sink".to_owned()),
        Step::Preflight { .. } => {
            Some("showing that every sink is writable and the SCIM endpoint there".to_owned())
        }
        Step::Mint { because, .. } => Some(format!("minting a replacement, because {because}")),
        Step::Probe
        | Step::AskHeld(_)
        | Step::Stage(_)
        | Step::Promote(_)
        | Step::Forget { .. }
        | Step::Notify { .. }
        | Step::Pause(_) => Some(why.to_owned()),
        Step::Revoke(id) => Some(format!("revoking {id}: {why}")),
        Step::Note(_) | Step::Rest(_) => None,
    }
}
