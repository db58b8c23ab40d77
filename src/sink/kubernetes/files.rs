//! The files that a kubeconfig names, and those of a pod's service account. They are read for every
//! request, so none of them may hold it up.

use std::{io::Read, path::Path};

use zeroize::Zeroizing;

use crate::{error::system_words, secret::Secret, table::file};

/// More than any token, key or bundle of certificates has.
const LARGEST: u64 = 1024 * 1024;

/// Reads one.
///
/// # Errors
/// In words that hold nothing of it; its name is for whoever asks to say.
pub(super) fn read(path: &Path) -> Result<Secret, String> {
    let opened = file::open(path).map_err(|error| system_words(&error))?;
    let (file, metadata) = opened.ok_or("it is not a regular file")?;
    if metadata.len() > LARGEST {
        return Err("it is larger than 1 MiB".to_owned());
    }
    // One that grows meanwhile is read no further; with all the room that it takes, no copy is left behind.
    let room = usize::try_from(metadata.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(1)));
    let read = file.take(metadata.len()).read_to_end(&mut bytes);
    read.map_err(|error| system_words(&error))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_has_no_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("token"), "one").unwrap();
        assert_eq!(read(&at("token")).unwrap().expose(), "one");
        std::os::unix::fs::symlink("token", at("link")).unwrap();
        assert_eq!(read(&at("link")).unwrap().expose(), "one", "as Kubernetes mounts it");
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(at("large"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
        std::fs::write(at("binary"), [0xff]).unwrap();
        for (file, words) in [
            (at("pipe"), "not a regular file"),
            ("/dev/zero".into(), "not a regular file"),
            (folder.path().to_owned(), "not a regular file"),
            (at("large"), "larger than 1 MiB"),
            (at("binary"), "not UTF-8 text"),
            (at("gone"), "No such file"),
        ] {
            let said = read(&file).unwrap_err();
            assert!(said.contains(words), "{}: {said}", file.display());
        }
    }
}
