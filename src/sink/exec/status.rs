//! What exit statuses mean, by `sysexits.h` and the shell's own.

use crate::error::{Class, Code};

/// What a status means.
#[derive(Debug)]
pub(super) struct Meaning {
    pub(super) class: Class,
    pub(super) code: Code,
    /// In words that follow the status.
    pub(super) words: &'static str,
}

/// The meaning of a status that is not 0; `None`: a signal ended it.
pub(super) fn meaning(status: Option<i32>) -> Meaning {
    let (class, code, words) = match status {
        Some(64) => (Class::Terminal, Code::Invalid, " (EX_USAGE): correct `command`"),
        Some(65) => (Class::Terminal, Code::Invalid, " (EX_DATAERR): it does not accept its input"),
        Some(66..=68 | 72 | 73) => {
            (Class::Terminal, Code::Invalid, ": something it needs is missing")
        }
        Some(69) => {
            (Class::Transient, Code::Unavailable, " (EX_UNAVAILABLE): nothing was delivered")
        }
        Some(75) => (Class::Transient, Code::Unavailable, " (EX_TEMPFAIL): nothing was delivered"),
        Some(77) => (Class::Terminal, Code::Forbidden, " (EX_NOPERM): it lacks a permission"),
        Some(78) => (Class::Terminal, Code::Invalid, " (EX_CONFIG): correct its configuration"),
        Some(126 | 127) => {
            (Class::Terminal, Code::Io, ": a command in it cannot be run or does not exist")
        }
        Some(_) | None => {
            (Class::Ambiguous, Code::Unavailable, ": the token may have been delivered")
        }
    };
    Meaning { class, code, words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_promises_nothing_leaves_the_delivery_in_doubt() {
        for (status, class) in [
            (Some(64), Class::Terminal),
            (Some(65), Class::Terminal),
            (Some(69), Class::Transient),
            (Some(75), Class::Transient),
            (Some(77), Class::Terminal),
            (Some(78), Class::Terminal),
            (Some(127), Class::Terminal),
            (Some(1), Class::Ambiguous),
            (Some(70), Class::Ambiguous),
            (Some(74), Class::Ambiguous),
            (None, Class::Ambiguous),
        ] {
            assert_eq!(meaning(status).class, class, "{status:?}");
        }
    }
}
