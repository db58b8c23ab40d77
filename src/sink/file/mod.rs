//! The file sink: a token in a file, replaced atomically under a lock.
//!
//! Beside `NAME` it keeps `.NAME.scimitar.lock`, and `.NAME.scimitar.json` with the marks where
//! the file has no room for them (`raw`, templates). A write is: lock, read, compare with the
//! state that was expected, look at the marks, ask the fence, then a temporary file with its
//! owner and mode before its content, fsync, the companion likewise, both renames, fsync of the folder,
//! which all share who wait for it. The companion is not waited for where the file itself has the marks
//! (`attribute`): then two files are not made durable for one.
//!
//! The lock is waited for only as long as a write takes. Who holds it for longer may be stopped, and
//! a thread that waits for it could not be given up; a place that another worker is writing to is a
//! transient fault, for reads too, and the next try reads what that one left.

mod attribute;
mod companion;
mod config;
mod container;
mod env;
mod folder;
mod json;
mod looks;
mod schema;
mod settings;
mod shape;
mod temporary;
mod together;
mod trouble;
mod write;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use nix::fcntl::OFlag;

use self::{
    companion::Companion,
    folder::{Folder, LARGEST, ResolvedPath},
    settings::Checked,
    trouble::Trouble,
};
pub use self::{
    config::{FileConfig, KIND},
    settings::FileTarget,
    shape::Format,
};
use crate::{
    error::{Class, Code, Fault},
    sink::{
        Container, Contents, Delivery, Fence, Loss, Marks, Place, Reading, Sink, Version,
        WriteCheck, rules::marks::understood,
    },
    token::{Digest, SinkName},
};

/// The version of a file that is not there.
const ABSENT: &str = Version::ABSENT;

/// The version of a file whose folder is not there.
const MISSING: &str = Version::MISSING;

/// How often a file is read again while somebody replaces it.
const MOST_READS: usize = 4;

/// One file that one connection is delivered to.
#[derive(Clone, Debug)]
pub struct FileSink {
    checked: Arc<Checked>,
    /// What the last look said that the next delivery takes away.
    loses: Arc<Mutex<Option<String>>>,
    /// What the file was in when it was last read.
    read_in: Arc<Mutex<Option<Container>>>,
}

impl FileSink {
    /// Checks a delivery to a directory. Nothing on the disk is looked at or changed.
    ///
    /// # Errors
    /// [`Code::Invalid`] when the file would leave the directory, the mode would give the token
    /// away, or the payload does not fit the format.
    pub fn try_new(sink: &SinkName, directory: &Path, target: FileTarget) -> Result<Self, Fault> {
        Ok(Self {
            checked: Arc::new(target.checked(sink, directory)?),
            loses: Arc::default(),
            read_in: Arc::default(),
        })
    }

    /// The sink of a place that the ledger remembers; it is where it was, whatever the
    /// configuration says of it today.
    ///
    /// # Errors
    /// When what is remembered cannot be used.
    pub fn reopen(place: &Place) -> Result<Self, Fault> {
        let (directory, target) = FileTarget::remembered(place)?;
        Self::try_new(&place.sink, &directory, target)
    }

    /// Runs `work`, which blocks, off the asynchronous threads.
    async fn off_thread<T: Send + 'static>(
        &self,
        verb: &str,
        work: impl FnOnce(&Checked) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Fault> {
        let operation = format!("{verb} {}", self.checked.path.display());
        let checked = Arc::clone(&self.checked);
        match tokio::task::spawn_blocking(move || work(&checked)).await {
            Ok(done) => done.map_err(|trouble| trouble.during(&operation)),
            // It panicked or the process is ending; a write may have got any far.
            Err(_) => Err(Fault::new(
                operation,
                Class::Ambiguous,
                Code::Unavailable,
                "the work was not finished",
            )),
        }
    }
}

#[async_trait]
impl Sink for FileSink {
    fn place(&self) -> &Place {
        &self.checked.place
    }

    fn readable(&self) -> bool {
        true
    }

    fn caveat(&self) -> Option<String> {
        self.loses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn overwrites(&self) -> bool {
        self.checked.overwrite
    }

    /// The lock ends with the process that holds it, and a rename happens or does not.
    fn lingers(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    async fn read(&self) -> Result<Reading, Fault> {
        let (reading, loses) = self.off_thread("read", read).await.map_err(Fault::settled)?;
        *self.loses.lock().unwrap_or_else(PoisonError::into_inner) = loses;
        let read_in = reading.container.clone();
        *self.read_in.lock().unwrap_or_else(PoisonError::into_inner) = read_in;
        Ok(reading)
    }

    fn write_check(&self) -> WriteCheck {
        WriteCheck::Each
    }

    async fn prove_writable(&self, seen: &Reading) -> Result<(), Fault> {
        let (version, read_in) = (seen.version.clone(), seen.container.clone());
        let prove = move |checked: &Checked| write::prove(checked, &version, read_in.as_ref());
        self.off_thread("check the permission to write", prove).await
    }

    /// Makes the delivery what the file holds.
    ///
    /// # If the answer is lost
    /// The file holds the old content or the new, never a part; both have their marks.
    async fn promote(
        &self,
        delivery: &Delivery,
        expected: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let ours = delivery.marks.clone();
        let expected = expected.clone();
        let read_in = self.read_in.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let hold =
            move |checked: &Checked| write::hold(checked, &ours, &expected, read_in.as_ref());
        // The file itself is not touched before the fence.
        let locked = self.off_thread("write", hold).await.map_err(Fault::settled)?;
        fence.check().await?;
        let delivery = delivery.clone();
        self.off_thread("write", move |checked| write::replace(checked, &locked, &delivery)).await
    }
}

/// Reads the file and its companion as they were at one moment. While somebody holds the lock,
/// nothing can be said of what the file holds: a writer that stands still may go on at any time.
/// Beside it: what the next delivery takes away from the file.
fn read(checked: &Checked) -> Result<(Reading, Option<String>), Trouble> {
    let folder = match Folder::find(&checked.folder)? {
        ResolvedPath::There(folder) => folder,
        ResolvedPath::Missing(deepest, _) => {
            let reading = Reading::new(Version(MISSING.to_owned()), Contents::Empty);
            let container = Some(container::missing(&deepest, checked)?);
            return Ok((Reading { container, ..reading }, None));
        }
    };
    write::nobody_writes(&folder, checked)?;
    let container = Some(container::of(&folder, checked)?);
    let reading = settled(|| read_in(&folder, checked))?;
    Ok((Reading { container, ..reading }, looks::loses(&folder, checked)?))
}

/// Reads until the answer is of one moment: file and companion are two files, and one without a
/// mark that fits may have been replaced in between.
fn settled(mut read: impl FnMut() -> Result<Reading, Trouble>) -> Result<Reading, Trouble> {
    let mut reading = read()?;
    for _ in 1..MOST_READS {
        if !matches!(reading.contents, Contents::Unmarked { .. }) {
            break;
        }
        let again = read()?;
        let same = again.version == reading.version;
        reading = again;
        if same {
            break;
        }
    }
    Ok(reading)
}

fn nothing() -> Reading {
    Reading::new(Version(ABSENT.to_owned()), Contents::Empty)
}

fn read_in(folder: &Folder, checked: &Checked) -> Result<Reading, Trouble> {
    match folder.read(&checked.name)? {
        None => Ok(nothing()),
        Some(bytes) => understand(folder, checked, &bytes),
    }
}

/// What a file's bytes mean, with the companion's help.
fn understand(folder: &Folder, checked: &Checked, bytes: &[u8]) -> Result<Reading, Trouble> {
    let version = version_of(bytes);
    if too_large(bytes) {
        let loss = Loss::Unparsed("it is larger than 1 MiB".to_owned());
        return Ok(Reading { loss, ..Reading::new(version, Contents::Unmarked { value: None }) });
    }
    let said = checked.shape.decode(bytes);
    let companion = match (&said.value, &said.marks) {
        (Some(_), None) => companion(folder, checked)?,
        (Some(_), Some(_)) | (None, _) => Companion::default(),
    };
    let contents = understood(said.value, said.marks, |value| {
        companion.marks_of(value).or_else(|| marks_on(folder, checked, value))
    });
    let (loss, elsewhere) = (said.loss, said.elsewhere);
    Ok(Reading { loss, elsewhere, ..Reading::new(version, contents) })
}

/// The marks on the file that is there, if they are those of this value.
fn marks_on(folder: &Folder, checked: &Checked, value: &Digest) -> Option<Marks> {
    let file = folder.open(&checked.name, OFlag::O_RDONLY).ok().flatten()?;
    attribute::marks_of(&file, value)
}

fn companion(folder: &Folder, checked: &Checked) -> Result<Companion, Trouble> {
    let bytes = folder.read(&checked.companion_name())?;
    Ok(bytes.map_or_else(Companion::default, |bytes| Companion::parse(&bytes)))
}

fn version_of(bytes: &[u8]) -> Version {
    Version(Digest::of(bytes).as_str().to_owned())
}

fn too_large(bytes: &[u8]) -> bool {
    u64::try_from(bytes.len()).map_or(true, |length| length > LARGEST)
}

#[cfg(test)]
mod tests;
