//! What a folder is in: the file system, by which a place is known again.

use std::{os::unix::fs::MetadataExt, path::Path};

use nix::sys::{
    stat::{major, minor},
    statfs::fstatfs,
};

use super::{folder::Folder, settings::Checked, trouble::Trouble};
use crate::sink::{Container, Version, rules::elsewhere_now};

/// The numbers of file systems as linux/magic.h and their own headers have them.
const KINDS: [(u32, &str); 17] = [
    (0x0000_EF53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683E, "btrfs"),
    (0x2FC1_2FC1, "zfs"),
    (0xF2F5_2010, "f2fs"),
    (0xCA45_1A4E, "bcachefs"),
    (0x7371_7368, "squashfs"),
    (0x6573_5546, "fuse"),
    (0x0000_6969, "nfs"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb3"),
    (0x00C3_6400, "ceph"),
    (0x0102_1997, "9p"),
    (0x0000_4D44, "vfat"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58F6, "ramfs"),
    (0x794C_7630, "overlay"),
];

/// Those that start out empty with the machine, the service or the container: any of them at the same
/// path is the same place, and another device number says nothing.
const VOLATILE: [&str; 3] = ["tmpfs", "ramfs", "overlay"];

/// Of these also a folder within them: what made it is gone with what was in it.
const MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// Of a folder that is there.
pub(super) fn of(folder: &Folder, checked: &Checked) -> Result<Container, Trouble> {
    let what = format!("ask for the file system of {}", checked.folder.display());
    let system = fstatfs(&folder.dir).map_err(|errno| Trouble::os(&what, errno))?;
    // The number is 32 bits in each of the widths that C libraries give it.
    let kind = name(system.filesystem_type().0 as u32);
    Ok(named(&kind, folder.meta()?.dev(), &checked.folder))
}

/// Of a folder that is not there, by the `deepest` one above it: in memory it went with the machine,
/// the service or the pod and is made again; elsewhere it is no place that a token was delivered to.
pub(super) fn missing(deepest: &Folder, checked: &Checked) -> Result<Container, Trouble> {
    let above = of(deepest, checked)?;
    Ok(if MEMORY.contains(&above.id.as_str()) {
        above
    } else {
        Container {
            id: Version::MISSING.to_owned(),
            words: format!("the missing folder {}", checked.folder.display()),
            strict: true,
        }
    })
}

/// Refuses a place that is in something else than when it was read: a mount that came or went. A
/// folder that was missing may come in any.
pub(super) fn expect(read_in: Option<&Container>, now: &Container) -> Result<(), Trouble> {
    let read = read_in.filter(|read| !read.is_missing());
    // What a folder is in can always be told.
    let moved = read.and_then(|read| elsewhere_now(read, Some(now), "its path now leads to", ""));
    moved.map_or(Ok(()), |words| Err(Trouble::conflict(format!("{words}; nothing was written"))))
}

fn name(magic: u32) -> String {
    let known = KINDS.iter().find(|(number, _)| *number == magic);
    known.map_or_else(|| format!("file system {magic:#x}"), |(_, name)| (*name).to_owned())
}

fn named(kind: &str, device: u64, folder: &Path) -> Container {
    let shown = folder.display();
    let (id, words) = if VOLATILE.contains(&kind) {
        (kind.to_owned(), format!("the folder {shown} ({kind})"))
    } else {
        let device = format!("{}:{}", major(device), minor(device));
        (format!("{kind} {device}"), format!("the folder {shown} ({kind}, device {device})"))
    };
    Container { id, words, strict: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_known_by_its_device_and_memory_by_being_memory() {
        let of = |kind, device| named(kind, device, Path::new("/x"));
        let (one, other) = (0x801, 0x802);
        assert_eq!(of("ext4", one).words, "the folder /x (ext4, device 8:1)");
        assert_ne!(of("ext4", one).id, of("ext4", other).id);
        assert_ne!(of("ext4", one).id, of("xfs", one).id);
        assert_eq!(of("tmpfs", one).words, "the folder /x (tmpfs)");
        for kind in VOLATILE {
            assert_eq!(of(kind, one).id, of(kind, other).id);
            assert_ne!(of(kind, one).id, of("ext4", one).id);
        }
        assert!(!of("ext4", one).strict);
        assert_eq!((name(0x0102_1994), name(7)), ("tmpfs".into(), "file system 0x7".into()));
    }
}
