//! As the first process of a container: reaping what others leave to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use chrono::TimeDelta;
use nix::{
    sys::wait::{Id, WaitPidFlag, waitid},
    unistd::Pid,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    child::children::{self, Process, processes},
    clock::Clock,
};

/// A child of our own process group may be one that a library of ours started: within twice this
/// time whoever waits for it has had its status.
const OWN_WAIT: TimeDelta = TimeDelta::seconds(2);

/// Reaps, from now on, what others leave to this process when it is PID 1, as the first process of
/// a container is: what a hook put into the background is nobody else's once the hook has ended,
/// and would stay in the table of processes. Elsewhere nothing is done.
///
/// # Errors
/// When the signal cannot be listened to.
pub fn reap(clock: Arc<dyn Clock>) -> io::Result<()> {
    if std::process::id() != 1 {
        return Ok(());
    }
    let mut ended = signal(SignalKind::child())?;
    // What was there before us is none of ours.
    let inherited: BTreeSet<i32> = of_this_process().into_iter().map(|child| child.pid).collect();
    tokio::spawn(async move {
        // How often each that may be ours was seen to have ended, a while apart.
        let mut seen: BTreeMap<i32, u32> = BTreeMap::new();
        let mut again = false;
        loop {
            let left = children::unlike_own(|is_own| {
                let dead = of_this_process().into_iter().filter(|child| child.has_ended);
                let (mut left, group) = (BTreeMap::new(), nix::unistd::getpgrp().as_raw());
                for child in dead.filter(|child| !is_own(child.pid)) {
                    let strange = child.group != group || inherited.contains(&child.pid);
                    let times = seen.get(&child.pid).map_or(1, |times| times + u32::from(again));
                    // Twice: a machine that was suspended in one of the two pauses proves nothing.
                    if strange || times > 2 {
                        // One that is gone now needs nothing any more.
                        let _ = waitid(
                            Id::Pid(Pid::from_raw(child.pid)),
                            WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG,
                        );
                    } else {
                        left.insert(child.pid, times);
                    }
                }
                left
            });
            seen = left;
            let pause = async {
                if seen.is_empty() {
                    std::future::pending::<()>().await;
                }
                clock.sleep_until(clock.now() + OWN_WAIT).await;
            };
            again = tokio::select! {
                came = ended.recv() => if came.is_some() { false } else { return },
                () = pause => true,
            };
        }
    });
    Ok(())
}

/// The children of this process.
fn of_this_process() -> Vec<Process> {
    let own = i32::try_from(std::process::id()).unwrap_or(1);
    processes().filter(|process| process.parent == own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_while_it_runs_and_when_it_has_ended() {
        let mut program = std::process::Command::new("/bin/cat");
        let mut child = program.stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let found = || of_this_process().into_iter().find(|child| child.pid == pid);
        let running = found().unwrap();
        assert!(!running.has_ended);
        assert_eq!(running.group, nix::unistd::getpgrp().as_raw());
        drop(child.stdin.take());
        let id = Id::Pid(Pid::from_raw(pid));
        waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        assert!(found().unwrap().has_ended);
        child.wait().unwrap();
        assert!(found().is_none());
    }
}
