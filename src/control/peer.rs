//! Who is at the other end of the control socket, and whether they may use it.

use std::{ffi::CString, fs, io};

use nix::unistd::{Gid, Uid, getgrouplist};
use tokio::net::UnixStream;

use crate::telemetry::audit::actor::user_name;

/// The process at the other end, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// That user's first group.
    pub gid: u32,
    /// Its number; 0 where it cannot be seen from here.
    pub pid: u32,
}

impl Peer {
    /// Who connected (`SO_PEERCRED`).
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
        Ok(Self { uid: credentials.uid(), gid: credentials.gid(), pid })
    }

    /// Whether it may use a socket of this user and group: root, the user itself, and the members of the
    /// group. The socket's mode says the same; this holds where somebody changed that.
    #[must_use]
    pub fn may_use(&self, owner: Uid, group: Gid) -> bool {
        let uid = Uid::from_raw(self.uid);
        uid.is_root() || uid == owner || self.gid == group.as_raw() || self.is_member(group)
    }

    fn is_member(&self, group: Gid) -> bool {
        self.process_groups().contains(&group.as_raw()) || self.listed_groups().contains(&group)
    }

    /// The groups that the process has, where `/proc` shows it.
    fn process_groups(&self) -> Vec<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let mut lines = status.lines();
        // A number is given to another process once its own is gone: it has to be the same user's.
        let mut field = |name: &str| {
            lines.find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        let (uids, groups) = (field("Uid:"), field("Groups:"));
        let is_users = uids.split_whitespace().nth(1).and_then(|uid| uid.parse().ok());
        if is_users != Some(self.uid) {
            return Vec::new();
        }
        groups.split_whitespace().filter_map(|group| group.parse().ok()).collect()
    }

    /// The groups that the machine lists for the user.
    fn listed_groups(&self) -> Vec<Gid> {
        user_name(Uid::from_raw(self.uid))
            .and_then(|name| CString::new(name).ok())
            .and_then(|name| getgrouplist(&name, Gid::from_raw(self.gid)).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: u32 = 3_999_999_999;

    #[test]
    fn root_the_owner_and_the_group_may_use_it_and_nobody_else() {
        let (owner, group) = (Uid::from_raw(3_000_000_001), Gid::from_raw(3_000_000_002));
        let peer = |uid, gid| Peer { uid, gid, pid: 0 };
        assert!(peer(0, 0).may_use(owner, group));
        assert!(peer(owner.as_raw(), STRANGER).may_use(owner, group));
        assert!(peer(STRANGER, group.as_raw()).may_use(owner, group));
        assert!(!peer(STRANGER, STRANGER).may_use(owner, group));
        assert!(!peer(STRANGER, 0).may_use(owner, group), "root's group is not root");
    }

    #[test]
    fn groups_are_those_of_the_process_of_that_user_only() {
        let uid = Uid::effective().as_raw();
        let me = Peer { uid, gid: STRANGER, pid: std::process::id() };
        let own = nix::unistd::getgroups().unwrap();
        let seen = me.process_groups();
        assert!(own.iter().all(|group| seen.contains(&group.as_raw())), "{seen:?}");
        let other = Peer { uid: STRANGER, ..me };
        assert_eq!(other.process_groups(), [0u32; 0], "the number was given to another user's");
    }

    #[tokio::test]
    async fn the_kernel_says_who_connected() {
        let (here, _there) = UnixStream::pair().unwrap();
        let peer = Peer::of(&here).unwrap();
        assert_eq!((peer.uid, peer.pid), (Uid::effective().as_raw(), std::process::id()));
    }
}
