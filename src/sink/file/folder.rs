//! The folder that a token's file is in: opened once, trusted once, and used by descriptor from
//! then on, so that swapping a path component cannot redirect a write.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::{File, Metadata},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, openat, readlinkat},
    sys::stat::{Mode, mkdirat},
    unistd::{Uid, UnlinkatFlags, geteuid, unlinkat},
};
use rustix::fs::{CWD, OFlags, ResolveFlags, openat2};
use zeroize::Zeroizing;

use super::{together, together::synced, trouble::Trouble};
use crate::{
    clock::{Entropy, SystemEntropy},
    error::Class,
};

/// The largest file that is read as a whole; no file of tokens comes near it.
pub(super) const LARGEST: u64 = 1 << 20;

/// As many symbolic links as Linux follows in one path.
const MOST_LINKS: usize = 40;

/// A folder, by descriptor.
#[derive(Debug)]
pub(super) struct Folder {
    /// Good for `*at` calls and `fstat`; no right to list the folder is needed for it.
    pub(super) dir: File,
    path: PathBuf,
}

/// The result of following a path.
#[derive(Debug)]
pub(super) enum ResolvedPath {
    /// The folder exists.
    There(Folder),
    /// It does not: the deepest folder that exists, and the names that are missing below it.
    Missing(Folder, VecDeque<OsString>),
}

impl Folder {
    /// Follows an absolute path. A symbolic link is followed only when root or our own user made it:
    /// anybody else's could lead anywhere, at any time.
    pub(super) fn find(path: &Path) -> Result<ResolvedPath, Trouble> {
        match Self::without_links(path) {
            Some(folder) => Ok(ResolvedPath::There(folder)),
            None => Self::step_by_step(path),
        }
    }

    /// The folder, if there is no link on the way to it and the kernel can say so (Linux 5.6).
    fn without_links(path: &Path) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mode = rustix::fs::Mode::empty();
        let dir = openat2(CWD, path, flags, mode, ResolveFlags::NO_SYMLINKS);
        let dir = dir.ok().filter(|_| path.is_absolute())?;
        Some(Self { dir: dir.into(), path: path.components().collect() })
    }

    /// The same, one component at a time.
    fn step_by_step(path: &Path) -> Result<ResolvedPath, Trouble> {
        let root = || {
            nix::fcntl::open(
                "/",
                OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
                Mode::empty(),
            )
            .map(File::from)
            .map_err(|errno| Trouble::os("open /", errno))
        };
        let mut here = Self { dir: root()?, path: PathBuf::from("/") };
        let mut left: VecDeque<OsString> = components(path);
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            let path = here.path.join(&name);
            let what = format!("open the directory {}", path.display());
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let next = match openat(&here.dir, name.as_os_str(), flags, Mode::empty()) {
                Ok(next) => File::from(next),
                Err(Errno::ENOENT) => {
                    left.push_front(name);
                    return Ok(ResolvedPath::Missing(here, left));
                }
                Err(errno) => return Err(Trouble::os(&what, errno)),
            };
            let meta = next.metadata().map_err(|problem| Trouble::io(&what, &problem))?;
            if meta.is_dir() {
                here = Self { dir: next, path };
            } else if meta.is_symlink() {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Trouble::os(&what, Errno::ELOOP));
                }
                if !is_ours_or_roots(meta.uid()) {
                    return Err(Trouble::terminal(format!(
                        "{} is a symbolic link made by {}, who could point it elsewhere at any \
                         time; name the directory itself",
                        path.display(),
                        user(meta.uid()),
                    )));
                }
                let target = readlinkat(&next, "").map_err(|errno| Trouble::os(&what, errno))?;
                let target = PathBuf::from(target);
                if target.is_absolute() {
                    here = Self { dir: root()?, path: PathBuf::from("/") };
                }
                for component in components(&target).into_iter().rev() {
                    left.push_front(component);
                }
            } else {
                return Err(Trouble::os(&what, Errno::ENOTDIR));
            }
        }
        Ok(ResolvedPath::There(here))
    }

    /// Makes the missing folders, each with mode 0700.
    pub(super) fn make(self, missing: VecDeque<OsString>) -> Result<Self, Trouble> {
        let mut here = self;
        for name in missing {
            here = here.make_one(&name)?;
        }
        Ok(here)
    }

    fn make_one(&self, name: &OsStr) -> Result<Self, Trouble> {
        let path = self.path.join(name);
        let what = format!("make the directory {}", path.display());
        match mkdirat(&self.dir, name, Mode::S_IRWXU) {
            // Another worker's; it is looked at before it is trusted, as any other.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(Trouble::os(&what, errno)),
        }
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = openat(&self.dir, name, flags, Mode::empty())
            .map_err(|errno| Trouble::os(&what, errno))?;
        match self.sync() {
            // A folder that may be written but not listed cannot be synced; a power cut then costs
            // an empty folder.
            Err(trouble) if trouble.class == Class::Terminal => {}
            other => other?,
        }
        Ok(Self { dir: dir.into(), path })
    }

    /// Makes a folder that nobody else knows, for a trial; see [`Folder::remove_trial`].
    pub(super) fn make_trial(&self) -> Result<(Self, OsString), Trouble> {
        let name = OsString::from(format!(".scimitar.tmp-{:016x}", SystemEntropy.bits()));
        Ok((self.make_one(&name)?, name))
    }

    /// Removes what [`Folder::make_trial`] made.
    pub(super) fn remove_trial(&self, name: &OsStr) -> Result<(), Trouble> {
        unlinkat(&self.dir, name, UnlinkatFlags::RemoveDir).map_err(|errno| {
            Trouble::os(&format!("remove {}", self.path.join(name).display()), errno)
        })
    }

    /// Refuses a folder in which other users could put things in the place of ours.
    pub(super) fn trusted(&self) -> Result<(), Trouble> {
        let meta = self.meta()?;
        match distrust(meta.uid(), meta.mode(), geteuid()) {
            None => Ok(()),
            Some(why) => {
                Err(Trouble::terminal(format!("the directory {} {why}", self.path.display())))
            }
        }
    }

    /// Whether `path` leads to this very folder, still.
    pub(super) fn is_at(&self, path: &Path) -> Result<bool, Trouble> {
        let identity = |meta: &Metadata| (meta.dev(), meta.ino());
        match Self::find(path)? {
            ResolvedPath::There(now) => Ok(identity(&now.meta()?) == identity(&self.meta()?)),
            ResolvedPath::Missing(..) => Ok(false),
        }
    }

    /// Owner and mode.
    pub(super) fn meta(&self) -> Result<Metadata, Trouble> {
        let what = format!("look at {}", self.path.display());
        self.dir.metadata().map_err(|problem| Trouble::io(&what, &problem))
    }

    /// The path by which it was found, symbolic links resolved.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes renames and new names in it durable.
    pub(super) fn sync(&self) -> Result<(), Trouble> {
        let what = format!("sync the directory {}", self.path.display());
        let (folder, meta) = (self.syncable()?, self.meta()?);
        together::written((meta.dev(), meta.ino()), || match synced(&folder) {
            // Some file systems have nothing to sync in a directory and say so.
            Err(problem) if problem.raw_os_error() == Some(Errno::EINVAL as i32) => Ok(()),
            other => other.map_err(|problem| Trouble::io(&what, &problem)),
        })
    }

    /// Its handle for that. Whoever gets it has the right to.
    pub(super) fn syncable(&self) -> Result<File, Trouble> {
        let what = format!("sync the directory {}", self.path.display());
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(&self.dir, ".", flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| Trouble::os(&what, errno))
    }

    /// Opens a regular file in it; `None` when there is none. A symbolic link is refused with
    /// what it points to, and a pipe or device is not waited for.
    pub(super) fn open(&self, name: &str, flags: OFlag) -> Result<Option<File>, Trouble> {
        let path = self.path.join(name);
        let what = format!("open {}", path.display());
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&self.dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => {
                return Err(match readlinkat(&self.dir, name) {
                    Ok(target) => Trouble::terminal(format!(
                        "{} is a symbolic link to {}, and Scimitar does not follow links there; \
                         name that file itself, or remove the link",
                        path.display(),
                        Path::new(&target).display(),
                    )),
                    Err(_) => Trouble::os(&what, errno),
                });
            }
        };
        let meta = file.metadata().map_err(|problem| Trouble::io(&what, &problem))?;
        if !meta.is_file() {
            return Err(Trouble::terminal(format!(
                "{} is not a regular file; name another one, or move it away",
                path.display()
            )));
        }
        Ok(Some(file))
    }

    /// Reads a file of at most [`LARGEST`] bytes; of a larger one, one byte more than that.
    pub(super) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        let Some(file) = self.open(name, OFlag::O_RDONLY)? else {
            return Ok(None);
        };
        let what = format!("read {}", self.path.join(name).display());
        let length = file.metadata().map_or(0, |meta| meta.len()).min(LARGEST);
        // One piece from the start: growing would leave copies behind.
        let room = usize::try_from(length).unwrap_or(0) + 64;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        file.take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|problem| Trouble::io(&what, &problem))?;
        Ok(Some(bytes))
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        })
        .collect()
}

fn is_ours_or_roots(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

/// Why a folder cannot be trusted to hold a secret, in words that go on from its name.
fn distrust(owner: u32, mode: u32, ours: Uid) -> Option<String> {
    if owner != 0 && owner != ours.as_raw() {
        return Some(format!(
            "belongs to {owner}, while scimitar runs as {ours}: run it as that user (`sudo -u \
             {account} scimitar …`), or, if the daemon runs as {ours}, give the directory to {ours}",
            account = name_of(owner).unwrap_or_else(|| format!("'#{owner}'")),
            owner = user(owner),
            ours = user(ours.as_raw()),
        ));
    }
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        return Some(
            "is writable by every user, who could replace its content; remove that permission \
             (chmod o-w), set the sticky bit (chmod +t), or name a directory of its own below it"
                .to_owned(),
        );
    }
    None
}

fn user(uid: u32) -> String {
    name_of(uid).unwrap_or_else(|| format!("user {uid}"))
}

fn name_of(uid: u32) -> Option<String> {
    nix::unistd::User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn folders_of_others_and_open_ones_are_distrusted() {
        let ours = Uid::from_raw(1000);
        assert_eq!(distrust(0, 0o755, ours), None);
        assert_eq!(distrust(1000, 0o770, ours), None);
        assert_eq!(distrust(0, 0o1777, ours), None);
        assert!(distrust(1001, 0o700, ours).unwrap().contains("user 1001"));
        assert!(distrust(0, 0o777, ours).unwrap().contains("chmod +t"));
        assert!(distrust(1000, 0o702, ours).is_some());
    }

    pub(in crate::sink::file) fn folder(path: &Path) -> Folder {
        match Folder::find(path).unwrap() {
            ResolvedPath::There(folder) => folder,
            ResolvedPath::Missing(..) => panic!("{} is missing", path.display()),
        }
    }

    #[test]
    fn a_directory_of_somebody_else_says_who_is_who() {
        let (root, nobody) = (Uid::from_raw(0), Uid::from_raw(4_000_001));
        assert_eq!(distrust(0, 0o755, nobody), None);
        assert_eq!(distrust(nobody.as_raw(), 0o700, nobody), None);
        assert_eq!(
            distrust(nobody.as_raw(), 0o700, root).unwrap(),
            "belongs to user 4000001, while scimitar runs as root: run it as that user (`sudo -u \
             '#4000001' scimitar …`), or, if the daemon runs as root, give the directory to root"
        );
    }

    #[test]
    fn links_are_followed_to_folders_and_loops_end() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("../a/b", dir.path().join("a/link")).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("absolute")).unwrap();
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        let direct = folder(&dir.path().join("a/b"));
        let by_steps = |path: &Path| match Folder::step_by_step(path).unwrap() {
            ResolvedPath::There(folder) => folder.path,
            ResolvedPath::Missing(..) => panic!("{} is missing", path.display()),
        };
        assert_eq!(direct.path(), by_steps(&dir.path().join("a/b")), "at once or by steps");
        assert!(direct.is_at(&dir.path().join("absolute/a/link")).unwrap());
        assert!(!direct.is_at(dir.path()).unwrap());
        let looping = Folder::find(&dir.path().join("loop/x")).unwrap_err();
        assert!(looping.detail.contains("ELOOP"), "{looping:?}");
    }
}
