//! What a lost answer means: the class that decides what is done about it.

use crate::{
    error::{Class, Code, Fault},
    http::{Sent, Unanswered},
};

/// Whether a call changes what readers get: then the loss of its answer leaves that open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sink) enum Effect {
    /// Nothing is changed, or the call can be made again whatever came of it.
    None,
    /// What readers get is.
    Writes,
}

impl Effect {
    /// The class of a call whose answer was lost.
    pub(in crate::sink) fn lost(self) -> Class {
        match self {
            Self::None => Class::Transient,
            Self::Writes => Class::Ambiguous,
        }
    }

    /// A call that got no answer.
    pub(in crate::sink) fn unanswered(self, operation: &str, lost: Unanswered) -> Fault {
        let class = match (lost.code, lost.sent) {
            (Code::Invalid, _) => Class::Terminal,
            (_, Sent::Perhaps) => self.lost(),
            (_, Sent::No) => Class::Transient,
        };
        Fault::new(operation, class, lost.code, lost.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_leaves_a_write_in_doubt_and_no_read() {
        for (sent, code, effect, class) in [
            (Sent::Perhaps, Code::Timeout, Effect::Writes, Class::Ambiguous),
            (Sent::Perhaps, Code::Timeout, Effect::None, Class::Transient),
            (Sent::No, Code::Timeout, Effect::Writes, Class::Transient),
            (Sent::No, Code::Invalid, Effect::Writes, Class::Terminal),
        ] {
            let lost = Unanswered { sent, code, detail: "late".to_owned() };
            let fault = effect.unanswered("write x", lost);
            assert_eq!(fault.class, class, "{sent:?} {effect:?}");
        }
    }
}
