//! What the ledger asks of the machine: the lease clock, and what kind of file system it is on.

use std::{fmt, fs, io, path::Path, sync::Arc, time::Duration};

use nix::time::{ClockId, clock_gettime};

/// The clock that leases are measured by: time since boot, suspend included, and which boot.
/// Setting the wall clock moves no lease; a lease of another boot is over.
#[derive(Clone)]
pub struct LeaseClock {
    boot_id: String,
    since_boot: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl LeaseClock {
    /// The machine's own: `CLOCK_BOOTTIME`, and the kernel's `boot_id`.
    ///
    /// # Errors
    /// When the kernel shows neither (`/proc` is not mounted).
    pub fn host() -> io::Result<Self> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        clock_gettime(ClockId::CLOCK_BOOTTIME)?;
        Ok(Self::new(boot_id.trim(), || {
            // It was there a moment ago, and the call has no other way to fail. Zero ends no
            // other's lease; ours are still fenced.
            clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
        }))
    }

    /// A clock for simulations.
    pub fn new(boot_id: &str, since_boot: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self { boot_id: boot_id.to_owned(), since_boot: Arc::new(since_boot) }
    }

    /// Which boot.
    pub(super) fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Milliseconds since then.
    pub(super) fn now_ms(&self) -> i64 {
        milliseconds((self.since_boot)())
    }
}

impl fmt::Debug for LeaseClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseClock").field("boot_id", &self.boot_id).finish_non_exhaustive()
    }
}

/// As SQLite stores it; longer than 292 million years is that.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Refuses a folder that several machines can have mounted at once: neither SQLite's locks nor
/// ours reach across, and two machines would rotate the same tokens.
///
/// # Errors
/// The refusal in words.
pub(super) fn refuse_network(folder: &Path) -> Result<(), String> {
    let magic = nix::sys::statfs::statfs(folder)
        .map_err(|errno| format!("its file system cannot be inspected: {}", errno.desc()))?
        .filesystem_type();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // The magic is 32 bits in each of the widths that C libraries give it.
    match network(magic.0 as u32, &mounts, folder) {
        None => Ok(()),
        Some(kind) => Err(format!(
            "it is on a network file system ({kind}), where locks do not work between \
             machines: put it on a local disk, or use postgres:// for several machines"
        )),
    }
}

/// Why a ledger cannot be kept in a folder whatever the rights there, which root's rights do not show;
/// asked without changing anything.
///
/// # Errors
/// The reason in words.
pub fn can_hold_a_ledger(folder: &Path) -> Result<(), String> {
    // linux/magic.h: no file can be made in these, or none that holds anything.
    const KERNEL: [(u32, &str); 14] = [
        (0x9FA0, "proc"),
        (0x6265_6572, "sysfs"),
        (0x6462_6720, "debugfs"),
        (0x7472_6163, "tracefs"),
        (0x7363_6673, "securityfs"),
        (0x0027_E0EB, "cgroup"),
        (0x6367_7270, "cgroup2"),
        (0xCAFE_4A11, "bpf"),
        (0x6265_6570, "configfs"),
        (0x1CD1, "devpts"),
        (0xF97C_FF8C, "selinuxfs"),
        (0x6165_676C, "pstore"),
        (0xDE5E_81E4, "efivarfs"),
        (0x4249_4E4D, "binfmt_misc"),
    ];
    let asked = nix::sys::statfs::statfs(folder)
        .map_err(|errno| format!("its file system cannot be inspected: {}", errno.desc()))?;
    let magic = asked.filesystem_type().0 as u32;
    if let Some((_, kind)) = KERNEL.iter().find(|(known, _)| *known == magic) {
        return Err(format!(
            "it is on {kind}, a kernel file system that stores no files: put it on a local disk"
        ));
    }
    refuse_network(folder)
}

/// The kind, when it is one that several machines share.
fn network(magic: u32, mounts: &str, folder: &Path) -> Option<String> {
    // linux/magic.h, and the file systems' own headers.
    const SHARED: [(u32, &str); 14] = [
        (0x6969, "nfs"),
        (0xFF53_4D42, "cifs"),
        (0xFE53_4D42, "smb3"),
        (0x517B, "smb"),
        (0x5346_414F, "afs"),
        (0x6B41_4653, "kafs"),
        (0x7375_7245, "coda"),
        (0x564C, "ncp"),
        (0x00C3_6400, "ceph"),
        (0x0BD0_0BD0, "lustre"),
        (0x0116_1970, "gfs2"),
        (0x7461_636F, "ocfs2"),
        (0x4750_4653, "gpfs"),
        (0x1983_0326, "beegfs"),
    ];
    const FUSE: u32 = 0x6573_5546;
    // FUSE is many things. These keep their data on this machine; of the others nobody knows.
    const LOCAL: [&str; 9] = [
        "fuseblk",
        "fuse.fuse-overlayfs",
        "fuse.mergerfs",
        "fuse.bindfs",
        "fuse.gocryptfs",
        "fuse.encfs",
        "fuse.ntfs-3g",
        "fuse.zfs",
        // A virtual machine's own view of its host's folder.
        "virtiofs",
    ];
    if magic == FUSE {
        let kind = mounted_kind(mounts, folder).unwrap_or("fuse");
        return (!LOCAL.contains(&kind)).then(|| kind.to_owned());
    }
    SHARED.iter().find(|(known, _)| *known == magic).map(|(_, kind)| (*kind).to_owned())
}

/// The type of the file system that `folder` is on, by `/proc/self/mountinfo` (proc(5)): mount
/// point in the fifth field, type in the first one after ` - `.
fn mounted_kind<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    mounts
        .lines()
        .filter_map(|line| {
            let (mount, kind) = line.split_once(" - ")?;
            let point = mount.split(' ').nth(4)?.replace("\\040", " ");
            let kind = kind.split(' ').next()?;
            folder.starts_with(&point).then_some((point.len(), kind))
        })
        // Of two mounts on one point the later one is seen.
        .max_by_key(|(depth, _)| *depth)
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_machines_share_is_refused_and_what_is_local_is_not() {
        let mounts = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:40 / /srv/my\\040files rw - fuse.sshfs me@there: rw
31 21 0:41 / /srv/pool rw - fuse.mergerfs pool rw
32 31 0:42 / /srv/pool/far rw - fuse.s3fs bucket rw
";
        let kind = |magic, folder: &str| network(magic, mounts, Path::new(folder));
        assert_eq!(kind(0xEF53, "/var/lib/scimitar"), None);
        assert_eq!(kind(0x0102_1994, "/run"), None);
        assert_eq!(kind(0x6969, "/home").as_deref(), Some("nfs"));
        assert_eq!(kind(0xFF53_4D42, "/mnt").as_deref(), Some("cifs"));
        let fuse = 0x6573_5546;
        assert_eq!(kind(fuse, "/srv/my files/x").as_deref(), Some("fuse.sshfs"));
        assert_eq!(kind(fuse, "/srv/pool/x"), None);
        assert_eq!(kind(fuse, "/srv/pool/far").as_deref(), Some("fuse.s3fs"));
        assert_eq!(network(fuse, "", Path::new("/srv")).as_deref(), Some("fuse"));
    }

    #[test]
    fn the_hosts_lease_clock_runs() {
        let clock = LeaseClock::host().unwrap();
        let first = clock.now_ms();
        assert!(first > 0);
        assert!(clock.now_ms() >= first);
        assert_eq!(clock.boot_id().len(), 36);
    }
}
