//! The marks of a value on the file that holds it: an extended attribute, which is put on the disk
//! together with the content.
//!
//! Where the file system takes it, the companion need not be on the disk before the file is replaced: a
//! power cut may take the companion, and whichever content is there then has its marks all the same. They
//! name the digest of their value, so that those of a file that others changed, or that an older Scimitar
//! copied to the next one, say nothing.

use std::fs::File;

use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};

use super::companion::Mark;
use crate::{sink::Marks, token::Digest};

/// Where they are.
pub(super) const NAME: &str = "user.scimitar.marks";

/// More than they ever take; a file system that has less room for them says so.
const LONGEST: usize = 4096;

/// Puts them on a file that has no content yet. `false`: the file system, or the file's owner, does not
/// let us.
pub(super) fn put(file: &File, mark: &Mark) -> bool {
    serde_json::to_vec(mark)
        .is_ok_and(|bytes| fsetxattr(file, NAME, &bytes, XattrFlags::empty()).is_ok())
}

/// The marks on a file, if they are those of this value.
pub(super) fn marks_of(file: &File, value: &Digest) -> Option<Marks> {
    let mut bytes = [0; LONGEST];
    let length = fgetxattr(file, NAME, &mut bytes[..]).ok()?;
    let mark: Mark = serde_json::from_slice(bytes.get(..length)?).ok()?;
    mark.is_of(value).then(|| mark.marks())
}
