//! Commands that the running daemon carries out for others on its machine: which ones, how they are
//! asked for ([`client`]), how they are done ([`server`]), and what is answered where no daemon is there
//! ([`alone`]).

pub(super) mod alone;
pub(super) mod client;
pub(super) mod server;

use std::path::{Path, PathBuf};

use super::{output::Failure, process::Interrupt};
use crate::{cli::Command, control::wire::Signal};

/// A configuration file from the root, without links: by it a caller and its daemon know each other.
pub(super) fn whole(file: &Path) -> PathBuf {
    let whole = file.canonicalize().or_else(|_| std::path::absolute(file));
    whole.unwrap_or_else(|_| file.to_owned())
}

/// Whether the daemon does it for others. What it does not do needs none of its secrets, or needs what is
/// on the caller's side.
fn is_served(command: &Command) -> bool {
    match command {
        Command::RotateNow { .. }
        | Command::Once { .. }
        | Command::Plan { .. }
        | Command::Status { watch: false, .. }
        | Command::History { .. }
        | Command::Explain { .. }
        | Command::Tokens { .. }
        | Command::Adopt { .. }
        | Command::Retire { .. }
        | Command::AcceptPlace { .. }
        | Command::AcceptUserGone { .. }
        | Command::Revoke { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Handoff { .. }
        | Command::Discover { .. } => true,
        // The file is the caller's, and may hold secrets.
        Command::AdoptAll { .. }
        // It goes on, and the ledger tells it all.
        | Command::Status { watch: true, .. }
        | Command::Names
        | Command::Check { .. }
        | Command::Run
        | Command::Permissions
        | Command::Healthcheck
        | Command::AuditVerify { .. }
        | Command::Print(_)
        | Command::Import { .. }
        | Command::State(_)
        | Command::Sandbox(_) => false,
    }
}

/// Whether it changes nothing.
fn only_looks(command: &Command) -> bool {
    matches!(
        command,
        Command::Plan { .. }
            | Command::Status { .. }
            | Command::History { .. }
            | Command::Explain { .. }
            | Command::Tokens { .. }
            | Command::Discover { accept: false, .. }
    )
}

/// How a command ended whose answer the daemon was to give.
#[derive(Debug)]
pub(super) enum Asked {
    /// It was done, with this exit status; everything is printed.
    Done(u8),
    /// The daemon was lost on the way.
    Lost(Failure),
    /// The daemon was not asked, or did not take it; nothing was done.
    NotServed(NotServed),
}

/// Why the daemon does not do a command.
#[derive(Debug)]
pub(super) struct NotServed {
    pub(super) absence: Absence,
    /// The same in words.
    pub(super) why: String,
}

/// Whether there is a daemon to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// None can be asked: no socket is configured, or the caller does not want it.
    NoSocket,
    /// None answers at the socket.
    NoAnswer,
    /// One may well be there, and does not do this, or not for this caller.
    Elsewhere,
}

impl Absence {
    pub(super) fn because(self, why: impl Into<String>) -> NotServed {
        NotServed { absence: self, why: why.into() }
    }
}

impl From<Signal> for Interrupt {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Int => Self::Int,
            Signal::Term => Self::Term,
        }
    }
}

impl From<Interrupt> for Signal {
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Int => Self::Int,
            Interrupt::Term => Self::Term,
        }
    }
}
