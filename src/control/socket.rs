//! The socket's file: made where nobody else can put another one in its place, and removed at the end.

use std::{
    fs::{self, File, Permissions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::{Gid, Uid};
use tokio::{
    net::{UnixListener, UnixStream},
    time::timeout,
};

use crate::error::system_words;

/// Owner and group may connect.
const MODE: u32 = 0o660;

/// A folder that is made for it: others may see that there is a socket.
const FOLDER_MODE: u32 = 0o755;

/// How long a process that may be serving there is waited for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// The control socket, while it is open. Its file goes with it.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the file, so that no other one is ever removed.
    file: (u64, u64),
    group: Gid,
}

impl Socket {
    /// Makes it. What a process that died left behind is replaced; anything else is left alone.
    ///
    /// # Errors
    /// In words, with the way out.
    pub async fn open(path: &Path) -> Result<Self, String> {
        let refused = |error: &io::Error| {
            format!("{} cannot be opened: {}", path.display(), system_words(error))
        };
        let folder = path.parent().unwrap_or_else(|| Path::new("/"));
        // Held until the socket is there, so that two daemons do not replace each other's.
        let _lock = checked(folder)?;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(refused(&error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(format!(
                    "{} is not a socket: remove it, or name another path",
                    path.display()
                ));
            }
            Ok(_) if answers(path).await => {
                return Err(format!(
                    "another process serves {}: give each daemon its own `socket` in [control]",
                    path.display()
                ));
            }
            // It does not follow links.
            Ok(_) => fs::remove_file(path).map_err(|error| refused(&error))?,
        }
        // Until it is given to the group, the umask keeps it for its owner.
        let listener = UnixListener::bind(path).map_err(|error| refused(&error))?;
        let made = fs::symlink_metadata(path).map_err(|error| refused(&error))?;
        let file = (made.dev(), made.ino());
        let socket = Self { listener, path: path.to_owned(), file, group: made.gid().into() };
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(|error| refused(&error))?;
        Ok(socket)
    }

    /// Who connects next.
    ///
    /// # Errors
    /// When the system refuses (too many open files).
    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose members may use it.
    #[must_use]
    pub fn group(&self) -> Gid {
        self.group
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.file);
        if ours {
            // It is of no use any more, and the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The folder, locked: made if it is not there; nobody but its owner and root can change what is in it.
fn checked(folder: &Path) -> Result<File, String> {
    let refused = |error: &io::Error| {
        format!("the folder {} cannot be used: {}", folder.display(), system_words(error))
    };
    match fs::create_dir(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))
            .map_err(|error| refused(&error))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(&error)),
    }
    let found = fs::symlink_metadata(folder).map_err(|error| refused(&error))?;
    if !found.is_dir() {
        return Err(format!("{} is not a folder", folder.display()));
    }
    let owner = Uid::from_raw(found.uid());
    if !owner.is_root() && owner != Uid::effective() {
        return Err(format!(
            "the folder {} belongs to another user (uid {owner}): name one that belongs to the daemon's \
             user or root",
            folder.display()
        ));
    }
    let (shared, sticky) = (found.mode() & 0o022 != 0, found.mode() & 0o1000 != 0);
    if shared && !sticky {
        return Err(format!(
            "other users can write to the folder {} (mode {:04o}) and could put their own socket there: \
             name a folder in it that the daemon makes, as {}/control/control.sock",
            folder.display(),
            found.mode() & 0o7777,
            folder.display()
        ));
    }
    let lock = File::open(folder).map_err(|error| refused(&error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err(format!("another process is opening a socket in {}: try again", folder.display()))
        }
        Err(TryLockError::Error(error)) => Err(refused(&error)),
    }
}

/// Whether a process serves it. One that is too busy to be reached counts as one.
async fn answers(path: &Path) -> bool {
    match timeout(ANSWERS_WITHIN, UnixStream::connect(path)).await {
        Ok(Err(error)) => {
            !matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound)
        }
        Ok(Ok(_)) | Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[tokio::test]
    async fn it_is_for_owner_and_group_and_goes_with_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/control.sock");
        let socket = Socket::open(&path).await.unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o660, 0o755));
        assert_eq!(socket.group(), nix::unistd::getegid());
        let second = Socket::open(&path).await.unwrap_err();
        assert!(second.starts_with("another process serves"), "{second}");
        assert!(UnixStream::connect(&path).await.is_ok(), "the first one still serves");
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_daemon_left_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        // Dropping a listener leaves its file.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = Socket::open(&path).await.unwrap();
        // Somebody else's file in its place is not removed.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        drop(socket);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let refused = Socket::open(&path).await.unwrap_err();
        assert!(refused.contains("is not a socket"), "{refused}");
        fs::remove_file(&path).unwrap();
        let target = folder.path().join("target");
        symlink(&target, &path).unwrap();
        let refused = Socket::open(&path).await.unwrap_err();
        assert!(refused.contains("is not a socket"), "a link is not followed: {refused}");
        assert!(!target.exists());
    }

    #[tokio::test]
    async fn a_folder_that_others_can_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        for (mode, fits) in [(0o777, false), (0o775, false), (0o1777, true), (0o755, true)] {
            fs::set_permissions(&open, Permissions::from_mode(mode)).unwrap();
            let opened = Socket::open(&open.join("control.sock")).await;
            assert_eq!(opened.is_ok(), fits, "{mode:o}: {:?}", opened.err());
        }
        let link = folder.path().join("link");
        symlink(&open, &link).unwrap();
        let refused = Socket::open(&link.join("control.sock")).await.unwrap_err();
        assert!(refused.contains("is not a folder"), "{refused}");
        let long = folder.path().join("x".repeat(120));
        let refused = Socket::open(&long).await.unwrap_err();
        assert!(refused.contains("cannot be opened"), "{refused}");
    }
}
