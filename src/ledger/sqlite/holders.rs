//! Who holds claims, and who of them is dead.
//!
//! Each ledger handle that claims keeps a file of its own in `<database>.holders/` locked for as
//! long as it lives. The kernel frees the lock with the process, however that ends, and shows it
//! to every process on the machine, whatever its pid namespace: a holder whose file can be
//! locked, or is not there, is dead.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The folder of holders' files.
#[derive(Clone, Debug)]
pub(super) struct Holders {
    folder: PathBuf,
}

/// One handle's own file. Dropping it removes the file, and with it every claim.
#[derive(Debug)]
pub(super) struct Holder {
    id: String,
    path: PathBuf,
    file: Option<File>,
}

impl Holders {
    /// The folder beside a database, made when it is missing, for the owner of `like`.
    pub(super) fn beside(database: &Path, like: &Path) -> io::Result<Self> {
        let folder = folder_beside(database);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => hand_over(&folder, like)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(Self { folder })
    }

    /// Waits for the folder's own lock: under it databases are set up, files made and swept.
    pub(super) fn guard(&self) -> io::Result<File> {
        let folder = File::open(&self.folder)?;
        folder.lock()?;
        Ok(folder)
    }

    /// Removes what dead holders left. What cannot be removed harms nobody.
    pub(super) fn sweep(&self, _guard: &File) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let ours = path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| is_id(name.trim_start_matches('.')));
            if ours && is_free(&path) {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    /// Whether the holder of a claim may still act on it. A dead one's file is removed.
    pub(super) fn is_alive(&self, id: &str) -> bool {
        // A name that we did not make is not looked up; its lease will end.
        if !is_id(id) {
            return true;
        }
        let path = self.folder.join(id);
        if !is_free(&path) {
            return true;
        }
        let _ = fs::remove_file(&path);
        false
    }

    /// A holder that has no file yet.
    pub(super) fn holder(&self, id: String) -> Holder {
        Holder { path: self.folder.join(&id), id, file: None }
    }
}

impl Holder {
    /// The name that its claims bear.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Makes sure that the file is there and locked. One that somebody removed is made anew:
    /// without it, every claim would be free for the taking.
    pub(super) fn stand(&mut self, holders: &Holders, database: &Path) -> io::Result<()> {
        if let Some(file) = &self.file
            && file.metadata()?.nlink() > 0
        {
            return Ok(());
        }
        if !holders.folder.is_dir() {
            Holders::beside(database, database)?;
        }
        let _guard = holders.guard()?;
        // Locked first and named then, so that nobody ever sees a living holder's file unlocked.
        let unnamed = holders.folder.join(format!(".{}", self.id));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&unnamed)?;
        file.try_lock().map_err(io::Error::from)?;
        hand_over(&unnamed, database)?;
        fs::rename(&unnamed, &self.path)?;
        self.file = Some(file);
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Before the lock goes with the file; a leftover is swept by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where the files of a database's holders are.
pub(super) fn folder_beside(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(".holders");
    PathBuf::from(name)
}

/// Gives what the superuser makes to the owner of the database or its folder, so that a one-shot
/// run as root does not lock out the daemon.
pub(super) fn hand_over(path: &Path, like: &Path) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let wanted = fs::metadata(like)?;
    let found = fs::symlink_metadata(path)?;
    if (found.uid(), found.gid()) == (wanted.uid(), wanted.gid()) {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(wanted.uid()), Some(wanted.gid()))
}

/// Whether nobody holds the file. What cannot be told (another user's file) counts as held.
fn is_free(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        },
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn is_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff";

    fn folder() -> (tempfile::TempDir, PathBuf, Holders) {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("ledger.db");
        fs::write(&database, "").unwrap();
        let holders = Holders::beside(&database, &database).unwrap();
        (folder, database, holders)
    }

    #[test]
    fn a_holder_lives_as_long_as_its_lock() {
        let (_folder, database, holders) = folder();
        assert!(!holders.is_alive(ID), "never stood");
        let mut holder = holders.holder(ID.to_owned());
        holder.stand(&holders, &database).unwrap();
        assert!(holders.is_alive(ID));
        assert!(holders.is_alive("../../etc/passwd"), "not looked up");
        drop(holder);
        assert!(!holders.is_alive(ID));
        assert_eq!(fs::read_dir(&holders.folder).unwrap().count(), 0);
    }

    #[test]
    fn what_the_dead_leave_is_swept_and_the_living_stay() {
        let (_folder, database, holders) = folder();
        let mut holder = holders.holder(ID.to_owned());
        holder.stand(&holders, &database).unwrap();
        let dead = "f".repeat(32);
        fs::write(holders.folder.join(&dead), "").unwrap();
        fs::write(holders.folder.join(format!(".{dead}")), "").unwrap();
        fs::write(holders.folder.join("README"), "").unwrap();
        assert!(!holders.is_alive(&dead));
        holders.sweep(&holders.guard().unwrap()).unwrap();
        let mut left: Vec<_> = fs::read_dir(&holders.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [ID, "README"]);
    }

    #[test]
    fn a_file_that_was_removed_is_made_anew() {
        let (_folder, database, holders) = folder();
        let mut holder = holders.holder(ID.to_owned());
        holder.stand(&holders, &database).unwrap();
        fs::remove_dir_all(&holders.folder).unwrap();
        assert!(!holders.is_alive(ID));
        holder.stand(&holders, &database).unwrap();
        assert!(holders.is_alive(ID));
    }
}
