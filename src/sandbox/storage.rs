//! Where the tenant lives: in memory, or in a folder that several processes share.
//!
//! In a folder every request takes an exclusive lock, reads what another process has written
//! since, applies itself and writes the whole state back by rename. It is not synced to disk: a
//! power cut may take a sandbox's last moments, a killed process cannot.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::state::State;
use crate::clock::Entropy;

/// The first word of a state file: what it is, and in which format.
const MAGIC: &str = "scimitar-sandbox-1";

/// The state, its home, and the lock between requests.
#[derive(Clone, Debug)]
pub(super) struct Storage(Arc<Mutex<Stored>>);

#[derive(Debug)]
struct Stored {
    state: State,
    folder: Option<Folder>,
}

struct Folder {
    path: PathBuf,
    entropy: Arc<dyn Entropy>,
    /// What a tenant starts with.
    first: Box<dyn Fn(&mut State) + Send + Sync>,
    /// The header of the file that `state` was read from or written to.
    version: Option<Version>,
}

/// Tells one content of the file from every other: a random number drawn when the file was
/// first written, and one that counts the writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    lineage: u64,
    generation: u64,
}

impl Storage {
    /// A state that ends with the process.
    pub(super) fn in_memory(state: State) -> Self {
        Self(Arc::new(Mutex::new(Stored { state, folder: None })))
    }

    /// The state in a folder, begun with `first` whenever there is none.
    ///
    /// # Errors
    /// When the folder cannot be made, read or written, or holds something else.
    pub(super) fn in_folder(
        path: &Path,
        entropy: Arc<dyn Entropy>,
        first: impl Fn(&mut State) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let mut held = Stored {
            state: State::default(),
            folder: Some(Folder {
                path: path.to_owned(),
                entropy,
                first: Box::new(first),
                version: None,
            }),
        };
        held.locked(|_| ())?;
        Ok(Self(Arc::new(Mutex::new(held))))
    }

    /// Applies a change as one transaction: nobody sees half of it.
    ///
    /// # Errors
    /// When the folder cannot be read or written; then nothing has changed.
    pub(super) async fn transact<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut State) -> R + Send + 'static,
    ) -> io::Result<R> {
        let in_folder = self.with_held(|held| held.folder.is_some());
        if !in_folder {
            return Ok(self.with_held(|held| change(&mut held.state)));
        }
        let storage = self.clone();
        tokio::task::spawn_blocking(move || storage.with_held(|held| held.locked(change)))
            .await
            .map_err(io::Error::other)?
    }

    /// [`State::sequence`] at this moment.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn sequence(&self) -> io::Result<u64> {
        self.with_held(|held| held.locked(|state| state.sequence))
    }

    fn with_held<R>(&self, act: impl FnOnce(&mut Stored) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Stored {
    fn locked<R>(&mut self, change: impl FnOnce(&mut State) -> R) -> io::Result<R> {
        let Some(folder) = &mut self.folder else {
            return Ok(change(&mut self.state));
        };
        let lock = private().read(true).write(true).open(folder.path.join("lock"))?;
        lock.lock()?;
        if let Some(state) = folder.read_if_newer()? {
            self.state = state;
        }
        let answer = change(&mut self.state);
        if self.state.changed {
            // Until it is stored, what is in memory never happened: the next request would have
            // to read the file again.
            let version = folder.version.take();
            folder.version = Some(folder.write(&self.state, version)?);
            self.state.changed = false;
        }
        Ok(answer)
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Folder").field(&self.path).finish()
    }
}

impl Folder {
    fn read_if_newer(&mut self) -> io::Result<Option<State>> {
        let file = match File::open(self.path.join("state.json")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut state = State { changed: true, ..State::default() };
                (self.first)(&mut state);
                self.version = None;
                return Ok(Some(state));
            }
            Err(error) => return Err(error),
        };
        let mut reader = BufReader::new(file);
        let mut header = String::new();
        reader.by_ref().take(256).read_line(&mut header)?;
        let version = Version::parse(&header).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} is not the state of a sandbox of this version; name another folder or \
                     remove the file to start over",
                    self.path.join("state.json").display()
                ),
            )
        })?;
        if self.version == Some(version) {
            return Ok(None);
        }
        let state = serde_json::from_reader(reader)?;
        self.version = Some(version);
        Ok(Some(state))
    }

    fn write(&self, state: &State, over: Option<Version>) -> io::Result<Version> {
        let next = match over {
            Some(version) => Version { generation: version.generation + 1, ..version },
            None => Version { lineage: self.entropy.bits(), generation: 0 },
        };
        let temporary = self.path.join("state.json.new");
        let mut text = format!("{MAGIC} {} {}\n", next.lineage, next.generation).into_bytes();
        serde_json::to_writer(&mut text, state)?;
        let mut file = private().write(true).truncate(true).open(&temporary)?;
        file.write_all(&text)?;
        fs::rename(&temporary, self.path.join("state.json"))?;
        Ok(next)
    }
}

impl Version {
    fn parse(header: &str) -> Option<Self> {
        let mut words = header.split_whitespace();
        if words.next()? != MAGIC {
            return None;
        }
        Some(Self { lineage: words.next()?.parse().ok()?, generation: words.next()?.parse().ok()? })
    }
}

/// Opens or makes files that only their owner can read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::clock::SystemEntropy;

    fn begun_by(path: &Path, sequence: u64) -> Storage {
        let first = move |state: &mut State| state.sequence = sequence;
        Storage::in_folder(path, Arc::new(SystemEntropy), first).unwrap()
    }

    fn bump(state: &mut State) -> u64 {
        state.tick()
    }

    #[tokio::test]
    async fn two_servers_see_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tenant");
        let one = begun_by(&path, 100);
        let two = begun_by(&path, 200);
        for round in 0..5 {
            assert_eq!(one.transact(bump).await.unwrap(), 100 + round * 2 + 1);
            assert_eq!(two.transact(bump).await.unwrap(), 100 + round * 2 + 2);
        }
        assert_eq!(one.sequence().unwrap(), 110);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("state.json")), 0o600);
        // Whoever finds the file gone begins anew, and the other one follows.
        fs::remove_file(path.join("state.json")).unwrap();
        assert_eq!(two.transact(bump).await.unwrap(), 201);
        assert_eq!(one.transact(bump).await.unwrap(), 202);
    }

    #[tokio::test]
    async fn what_could_not_be_stored_did_not_happen() {
        let folder = tempfile::tempdir().unwrap();
        let storage = begun_by(folder.path(), 0);
        // A folder in the way of the temporary file makes every write fail.
        fs::create_dir(folder.path().join("state.json.new")).unwrap();
        storage.transact(bump).await.unwrap_err();
        fs::remove_dir(folder.path().join("state.json.new")).unwrap();
        assert_eq!(storage.transact(bump).await.unwrap(), 1);
    }

    #[test]
    fn a_foreign_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("state.json"), "{}\n").unwrap();
        let error = Storage::in_folder(folder.path(), Arc::new(SystemEntropy), |_| ()).unwrap_err();
        assert!(error.to_string().contains("not the state of a sandbox"), "{error}");
    }
}
