//! Who did it: the process, and the user behind it.

use std::{fmt, fs};

use nix::unistd::{Uid, User};
use serde::Serialize;

/// What kind of process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The daemon.
    Daemon,
    /// A one-shot: by a timer or by hand.
    OneShot,
    /// A person's decision: `adopt`, `revoke`, `--compromised`.
    Operator,
}

/// A process that notes steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// What kind.
    kind: Kind,
    /// The command, as it is typed.
    command: &'static str,
    /// Whose process it is.
    uid: u32,
    /// That user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Who logged in, where the kernel knows: `sudo` and `su` do not change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    login_uid: Option<u32>,
    /// That user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    login_user: Option<String>,
    /// The process.
    pid: u32,
    /// The daemon that did it for that process, over the control socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon_pid: Option<u32>,
    /// The machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Scimitar's version.
    version: &'static str,
}

impl Actor {
    /// This process.
    #[must_use]
    pub fn this_process(kind: Kind, command: &'static str) -> Self {
        Self::new(kind, command, Who::new(Uid::effective(), login_uid("self"), std::process::id()))
    }

    /// Another process on this machine, for which this one does it.
    #[must_use]
    pub fn other_process(kind: Kind, command: &'static str, who: &Who) -> Self {
        let daemon_pid = Some(std::process::id());
        Self { daemon_pid, ..Self::new(kind, command, who.clone()) }
    }

    fn new(kind: Kind, command: &'static str, who: Who) -> Self {
        let Who { uid, user, login_uid, login_user, pid } = who;
        Self {
            kind,
            command,
            uid,
            user,
            login_uid,
            login_user,
            pid,
            daemon_pid: None,
            host: line("/proc/sys/kernel/hostname"),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A process and the user behind it, by names as well. The list of users may be in files, or on a server
/// that does not answer: who cannot wait asks on another thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    uid: u32,
    user: Option<String>,
    login_uid: Option<u32>,
    login_user: Option<String>,
    pid: u32,
}

impl Who {
    /// Another process on this machine.
    #[must_use]
    pub fn of(uid: u32, pid: u32) -> Self {
        Self::new(Uid::from_raw(uid), login_uid_of(uid, pid), pid)
    }

    fn new(uid: Uid, login_uid: Option<u32>, pid: u32) -> Self {
        let login_user = login_uid.and_then(|login| user_name(Uid::from_raw(login)));
        Self { uid: uid.as_raw(), user: user_name(uid), login_uid, login_user, pid }
    }

    /// The person: who logged in, else whose process it is.
    #[must_use]
    pub fn person(&self) -> String {
        let (uid, name) = match self.login_uid {
            Some(login) => (login, &self.login_user),
            None => (self.uid, &self.user),
        };
        name.clone().unwrap_or_else(|| format!("uid {uid}"))
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uid, pid, .. } = self;
        match &self.user {
            Some(name) => write!(f, "{name} (uid {uid}, pid {pid})"),
            None => write!(f, "uid {uid} (pid {pid})"),
        }
    }
}

/// The person behind this process, as far as the machine can tell: who logged in, else whose process it
/// is.
#[must_use]
pub fn person() -> String {
    named(login_uid("self").map_or_else(Uid::effective, Uid::from_raw))
}

fn named(uid: Uid) -> String {
    user_name(uid).unwrap_or_else(|| format!("uid {uid}"))
}

/// The name of a user; `None` where the machine has none for it.
#[must_use]
pub fn user_name(uid: Uid) -> Option<String> {
    User::from_uid(uid).ok().flatten().map(|user| user.name)
}

/// The kernel's audit subsystem keeps it; 2³² − 1 stands for "nobody logged in".
fn login_uid(process: &str) -> Option<u32> {
    line(&format!("/proc/{process}/loginuid"))?.parse().ok().filter(|uid| *uid != u32::MAX)
}

/// Of another process, if it is still that user's: its number may have been given to another one.
fn login_uid_of(uid: u32, pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let effective: u32 = uids.split_whitespace().nth(1)?.parse().ok()?;
    if effective == uid { login_uid(&pid.to_string()) } else { None }
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
