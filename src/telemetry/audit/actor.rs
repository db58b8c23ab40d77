//! Who did it: the process, and the user behind it.

use std::fs;

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
        let uid = Uid::effective();
        let login_uid = login_uid();
        Self {
            kind,
            command,
            uid: uid.as_raw(),
            user: name(uid),
            login_uid,
            login_user: login_uid.and_then(|login| name(Uid::from_raw(login))),
            pid: std::process::id(),
            host: line("/proc/sys/kernel/hostname"),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// The person behind this process, as far as the machine can tell: who logged in, else whose process it
/// is.
#[must_use]
pub fn person() -> String {
    let uid = login_uid().map_or_else(Uid::effective, Uid::from_raw);
    name(uid).unwrap_or_else(|| format!("uid {uid}"))
}

/// `None` for a user that the machine has no name for.
fn name(uid: Uid) -> Option<String> {
    User::from_uid(uid).ok().flatten().map(|user| user.name)
}

/// The kernel's audit subsystem keeps it; 2³² − 1 stands for "nobody logged in".
fn login_uid() -> Option<u32> {
    line("/proc/self/loginuid")?.parse().ok().filter(|uid| *uid != u32::MAX)
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
