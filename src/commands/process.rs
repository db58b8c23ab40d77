//! The process itself: what it leaves behind when it dies, and how signals end it.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use chrono::TimeDelta;
use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
    stat::{Mode, umask},
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::voice::Voice;
use crate::clock::Clock;

/// How long after the first signal the process ends, whatever hangs.
const LAST: TimeDelta = TimeDelta::milliseconds(4_800);

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// `SIGINT`.
    Int,
    /// `SIGTERM`.
    Term,
}

impl Interrupt {
    /// 128 and the signal's number, as shells have it.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Int => 130,
            Self::Term => 143,
        }
    }
}

/// Was the process asked to end?
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Cancelled by the first signal: finish or park the step in hand.
    pub token: CancellationToken,
    first: Arc<OnceLock<Interrupt>>,
}

impl Stop {
    /// The signal that asked for it.
    #[must_use]
    pub fn interrupt(&self) -> Option<Interrupt> {
        self.first.get().copied()
    }

    /// Listens from now on. The first signal cancels the token; a second one ends the process at
    /// once, and so does time, where something hangs: the next start picks up what was left.
    /// `Some` status then is that of a process whose good end a signal is.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn listen(
        &self,
        voice: Voice,
        clock: Arc<dyn Clock>,
        status: Option<u8>,
    ) -> io::Result<()> {
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        let stop = self.clone();
        tokio::spawn(async move {
            let first = next(&mut int, &mut term).await;
            voice.note("shutting down after the current step; signal again to exit now");
            stop.note(first);
            let status = tokio::select! {
                second = next(&mut int, &mut term) => second.exit_status(),
                () = clock.sleep_until(clock.now() + LAST) => {
                    voice.note("exiting now, because a service does not answer; the next start continues from here");
                    status.unwrap_or_else(|| first.exit_status())
                }
            };
            std::process::exit(status.into());
        });
        Ok(())
    }

    pub(super) fn note(&self, interrupt: Interrupt) {
        // Only the first one counts.
        let _ = self.first.set(interrupt);
        self.token.cancel();
    }
}

/// Sees to it that no secret outlives the process: files are for their owner alone, and neither a
/// core dump nor another process of the same user gets at its memory.
///
/// # Errors
/// When core dumps can be switched off in neither of the two ways.
pub fn harden() -> io::Result<()> {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let limit = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let dumpable = prctl::set_dumpable(false);
    limit.or(dumpable).map_err(io::Error::from)
}

/// Makes a limit on the size of files an error like a full disk: the signal that would end the
/// process without a word is caught, so that the write fails.
///
/// # Errors
/// When the signal cannot be caught.
pub fn survive_file_limits() -> io::Result<()> {
    // What it was caught for is not asked, and it stays caught.
    signal(SignalKind::from_raw(nix::libc::SIGXFSZ)).map(drop)
}

async fn next(int: &mut Signal, term: &mut Signal) -> Interrupt {
    tokio::select! {
        Some(()) = int.recv() => Interrupt::Int,
        Some(()) = term.recv() => Interrupt::Term,
        // Without a signal driver no signal comes any more.
        else => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_decides() {
        let stop = Stop::default();
        assert_eq!(stop.interrupt(), None);
        stop.note(Interrupt::Term);
        stop.note(Interrupt::Int);
        assert_eq!(stop.interrupt(), Some(Interrupt::Term));
        assert!(stop.token.is_cancelled());
        assert_eq!(Interrupt::Int.exit_status(), 130);
        assert_eq!(Interrupt::Term.exit_status(), 143);
    }
}
