//! What the operating system refused, in the crate's classes and in words with the way out.

use nix::errno::Errno;

use crate::error::{Class, Code, Fault};
use crate::sink::rules::Refused;

/// A failure that does not say yet what was being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) class: Class,
    pub(super) code: Code,
    pub(super) detail: String,
}

/// Full disks and quotas end without anybody touching Scimitar.
const NO_SPACE: [Errno; 3] = [Errno::ENOSPC, Errno::EDQUOT, Errno::EFBIG];

/// What stays as it is until a person changes it.
const FOR_GOOD: [Errno; 12] = [
    Errno::EACCES,
    Errno::EPERM,
    Errno::EROFS,
    Errno::ELOOP,
    Errno::ENOTDIR,
    Errno::EISDIR,
    Errno::EBUSY,
    Errno::ENAMETOOLONG,
    Errno::EXDEV,
    Errno::EINVAL,
    Errno::EOPNOTSUPP,
    Errno::ENXIO,
];

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self { class: refused.class, code: refused.code, detail: refused.words }
    }
}

impl Trouble {
    /// Something that a person has to change.
    pub(super) fn terminal(detail: impl Into<String>) -> Self {
        Self { class: Class::Terminal, code: Code::Io, detail: detail.into() }
    }

    /// Somebody else wrote in between.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self { class: Class::Conflict, code: Code::Changed, detail: detail.into() }
    }

    /// A write would take away what others put there: why, in words that follow "cannot be parsed".
    pub(super) fn foreign(why: &str) -> Self {
        Self {
            class: Class::Terminal,
            code: Code::ForeignContent,
            detail: format!(
                "its content cannot be parsed ({why}), so content of others would be lost; correct it, move it away, or set overwrite = true on this delivery"
            ),
        }
    }

    /// The system's refusal of `what`, such as "open /run/scimitar".
    pub(super) fn os(what: &str, errno: Errno) -> Self {
        let (class, hint) = if NO_SPACE.contains(&errno) {
            (Class::Transient, "; free some space or raise the limit")
        } else if FOR_GOOD.contains(&errno) {
            (Class::Terminal, way_out(errno))
        } else {
            (Class::Transient, "")
        };
        Self {
            class,
            code: Code::Io,
            detail: format!("{what}: {} ({errno:?}){hint}", errno.desc()),
        }
    }

    /// The same for an error of the standard library.
    pub(super) fn io(what: &str, problem: &std::io::Error) -> Self {
        match problem.raw_os_error() {
            Some(number) => Self::os(what, Errno::from_raw(number)),
            None => Self {
                class: Class::Transient,
                code: Code::Io,
                detail: format!("{what}: {problem}"),
            },
        }
    }

    /// The write may have happened.
    pub(super) fn ambiguous(mut self) -> Self {
        self.class = Class::Ambiguous;
        self
    }

    /// Says what was being done, as in "write /run/scimitar/initech.token".
    pub(super) fn during(self, operation: &str) -> Fault {
        Fault::new(operation, self.class, self.code, self.detail)
    }
}

fn way_out(errno: Errno) -> &'static str {
    if [Errno::EACCES, Errno::EPERM].contains(&errno) {
        "; give the user that runs Scimitar permission to do that, or name another directory"
    } else if errno == Errno::EROFS {
        "; in a systemd unit, ReadWritePaths= or RuntimeDirectory= opens a path"
    } else if errno == Errno::EBUSY {
        "; a mount point cannot be replaced: mount the directory, not the single file"
    } else if errno == Errno::ENOTDIR {
        "; something else stands where the directory should be: move it away, or name another directory"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_retried_and_a_missing_right_needs_a_person() {
        assert_eq!(Trouble::os("w", Errno::ENOSPC).class, Class::Transient);
        assert_eq!(Trouble::os("w", Errno::EIO).class, Class::Transient);
        for errno in [Errno::EACCES, Errno::EPERM, Errno::EROFS, Errno::ENOTDIR] {
            let trouble = Trouble::os("open /x", errno);
            assert_eq!(trouble.class, Class::Terminal);
            assert!(trouble.detail.starts_with("open /x: ") && trouble.detail.contains("; "));
        }
    }
}
