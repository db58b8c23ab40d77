//! Who could change a program that is run: its file, each folder and each link on the way to it.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use nix::{errno::Errno, unistd::geteuid};

use crate::error::system_words;

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// Others may write.
const OTHERS: u32 = 0o002;

/// In such a folder they may only remove what is theirs.
const STICKY: u32 = 0o1000;

/// Why a program is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrusted {
    /// What is wrong with it, or with what is on the way to it.
    pub trouble: String,
    /// What to do about it.
    pub hint: String,
    /// Whether the account that asks is a part of it: another one may be allowed to run it.
    pub of_this_account: bool,
}

/// Whether another account than root and ours could put another program there. `None`: none could.
#[must_use]
pub fn untrusted(program: &Path) -> Option<Untrusted> {
    match walk(program) {
        Ok(found) => found,
        // What is not there is not run; whoever starts it says so.
        Err((_, error)) if error.kind() == io::ErrorKind::NotFound => None,
        Err((path, error)) => Some(Untrusted {
            trouble: format!("{} cannot be inspected: {}", path.display(), system_words(&error)),
            hint: "give the account that runs scimitar access to the folders above it".to_owned(),
            of_this_account: true,
        }),
    }
}

fn walk(program: &Path) -> Result<Option<Untrusted>, (PathBuf, io::Error)> {
    let mut at = PathBuf::from("/");
    let mut links = 0;
    let mut ahead = Vec::new();
    put_ahead(&mut ahead, program);
    loop {
        let meta = fs::symlink_metadata(&at).map_err(|error| (at.clone(), error))?;
        if let Some(found) = judged(&at, &meta) {
            return Ok(Some(found));
        }
        if meta.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err((at, Errno::ELOOP.into()));
            }
            let target = fs::read_link(&at).map_err(|error| (at.clone(), error))?;
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            put_ahead(&mut ahead, &target);
        }
        match ahead.pop() {
            None => return Ok(None),
            Some(part) if part == ".." => {
                at.pop();
            }
            Some(part) => at.push(part),
        }
    }
}

/// The parts of a path, the first one last; the root is where a walk begins.
fn put_ahead(ahead: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    ahead.extend(parts);
}

fn judged(path: &Path, meta: &fs::Metadata) -> Option<Untrusted> {
    let shown = path.display();
    let mode = meta.mode() & 0o7777;
    // A link has no mode of its own.
    let open = !meta.is_symlink() && mode & OTHERS != 0;
    if open && !(meta.is_dir() && mode & STICKY != 0) {
        return Some(Untrusted {
            trouble: format!("{shown} can be changed by every user (mode {mode:04o})"),
            hint: format!("restrict access to it: chmod o-w {shown}"),
            of_this_account: false,
        });
    }
    let (owner, ours) = (meta.uid(), geteuid().as_raw());
    (owner != 0 && owner != ours).then(|| Untrusted {
        trouble: format!(
            "{shown} belongs to user {owner}, who is neither root nor the account that runs \
             scimitar (user {ours})"
        ),
        hint: format!("give it to root: chown root {shown}"),
        of_this_account: true,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    use super::*;

    fn trouble(program: &Path) -> Option<String> {
        untrusted(program).map(|found| found.trouble)
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_program_that_others_can_change_is_found_wherever_that_is() {
        assert_eq!(trouble(Path::new("/bin/sh")), None);
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (outer, inner) = (folder.join("outer"), folder.join("outer/inner"));
        fs::create_dir_all(&inner).unwrap();
        let program = inner.join("after");
        fs::write(&program, "").unwrap();
        for path in [&outer, &inner, &program] {
            mode(path, 0o755);
        }
        assert_eq!(trouble(&program), None);
        for (path, open) in [(&outer, 0o757), (&inner, 0o777), (&program, 0o757)] {
            mode(path, open);
            let words =
                format!("{} can be changed by every user (mode {open:04o})", path.display());
            assert_eq!(trouble(&program), Some(words));
            mode(path, 0o755);
        }
        // Others cannot take what is not theirs out of such a folder.
        mode(&outer, 0o1777);
        assert_eq!(trouble(&program), None);
        // A link is followed, and what it leads through is looked at.
        let link = folder.join("link");
        symlink("outer/../outer/inner/after", &link).unwrap();
        assert_eq!(trouble(&link), None);
        mode(&inner, 0o777);
        assert!(trouble(&link).is_some_and(|words| words.contains("outer/inner can be changed")));
        let turning = folder.join("turning");
        symlink("turning", &turning).unwrap();
        assert!(trouble(&turning).is_some_and(|words| words.contains("cannot be inspected")));
        assert_eq!(trouble(&folder.join("gone")), None, "nobody can change what is not there");
    }

    #[test]
    fn a_program_of_another_account_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let program = folder.join("after");
        fs::write(&program, "").unwrap();
        assert_eq!(trouble(&program), None);
        if !geteuid().is_root() {
            // Only the superuser can give files away; the rule for the owner is shown above.
            return;
        }
        let link = folder.join("link");
        symlink("after", &link).unwrap();
        lchown(&link, Some(12_345), None).unwrap();
        let found = untrusted(&link).unwrap();
        assert!(found.trouble.contains("link belongs to user 12345"), "{found:?}");
        assert!(found.of_this_account && found.hint.starts_with("give it to root"), "{found:?}");
        std::os::unix::fs::chown(&program, Some(12_345), None).unwrap();
        assert!(
            trouble(&program).is_some_and(|words| words.contains("after belongs to user 12345"))
        );
    }
}
