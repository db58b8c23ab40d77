//! What the answers to the operations on a throw-away user mean: for the token, for the user, and for
//! what is said of the endpoint.

use super::{
    ProbeAnswer,
    removal::Removal,
    user::{UserAct, UserAnswer, said, shows, unauthorized},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::{
        decide::{Situation, WRITING, longest},
        event::Event,
        probe_user::{Made, ProbeUserName, UserOp, WritePlan, WriteProof},
        record::Phase,
    },
    token::{ScimUserId, TokenId},
};

/// What followed from a create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// There is a user.
    Made(Made),
    /// There is none: it was refused.
    No(UserAnswer),
    /// There may be one: the answer was lost, or the name is taken.
    Unclear(ProbeAnswer),
}

/// What the answer to a create means. What it shows under another name is not taken for ours; `earlier`:
/// another create of this name may still take effect.
#[must_use]
pub fn user_created(name: &ProbeUserName, earlier: bool, answer: UserAnswer) -> Created {
    match answer {
        UserAnswer::Done(seen) => {
            let ours = seen.users.into_iter().find(|user| user.name == name.as_str());
            Created::Made(ours.map_or(Made::Unnamed, |user| Made::As(user.id)))
        }
        // An earlier create of ours came late: it is deleted, then the proof begins again.
        UserAnswer::Refused { status: 409, .. } if earlier => {
            let words = "the name is taken: an earlier create request took effect late";
            let doing = "create a throw-away user";
            let fault = Fault::new(doing, Class::Transient, Code::Changed, words);
            Created::Unclear(ProbeAnswer::Inconclusive(fault))
        }
        UserAnswer::Inconclusive(fault) => Created::Unclear(ProbeAnswer::Inconclusive(fault)),
        refused @ (UserAnswer::NotThere
        | UserAnswer::Refused { .. }
        | UserAnswer::Unauthorized
        | UserAnswer::Forbidden) => Created::No(refused),
    }
}

/// A proof by writing that is under way.
#[derive(Debug)]
pub struct Writing {
    proof: WriteProof,
    /// What is still to be done with the user.
    ahead: Vec<UserOp>,
    /// A read showed that the user of that id has our name: nobody else is changed.
    is_ours: bool,
    /// What the answers mean for the token; `None` until one says something against it.
    against: Option<ProbeAnswer>,
}

impl Writing {
    /// Nothing is done yet.
    #[must_use]
    pub fn new(token: TokenId, plan: &WritePlan, now: Timestamp) -> Self {
        let between = |op: &&UserOp| !matches!(op, UserOp::Create | UserOp::Delete);
        Self {
            proof: WriteProof::new(token, plan, now),
            ahead: plan.ops.iter().filter(between).rev().copied().collect(),
            is_ours: false,
            against: None,
        }
    }

    /// No user is created, for this reason.
    pub fn skip(&mut self, why: String) {
        self.proof.skipped = Some(why);
    }

    /// The user was created.
    pub fn made(&mut self) {
        self.proof.worked.insert(UserOp::Create);
    }

    /// There is no time for this and what is still to be done with the user; it is deleted.
    pub fn cut(&mut self, next: UserOp) {
        self.proof.untried.insert(next);
        self.proof.untried.extend(self.ahead.drain(..));
    }

    /// What is next done with the user; `None`: it is deleted.
    pub fn next(&mut self, id: &ScimUserId, name: &ProbeUserName) -> Option<UserAct> {
        if self.against.is_some() {
            return None;
        }
        let changes =
            |op: &UserOp| matches!(op, UserOp::Replace | UserOp::Patch | UserOp::Deactivate);
        let mut op = self.ahead.pop()?;
        while changes(&op) && !self.is_ours {
            op = self.ahead.pop()?;
        }
        let id = id.clone();
        Some(match op {
            UserOp::Read => UserAct::Read(id),
            UserOp::Search => UserAct::Search(name.clone()),
            UserOp::Replace => UserAct::Replace(id, name.clone()),
            UserOp::Patch => UserAct::Patch(id),
            UserOp::Deactivate => UserAct::Deactivate(id),
            UserOp::Create | UserOp::Delete => return None,
        })
    }

    /// What an operation was answered. A refusal of what was asked is a fault of the endpoint or of its
    /// mapping and is said; only what says something of the token speaks against that.
    pub fn took(&mut self, op: UserOp, name: &ProbeUserName, answer: UserAnswer) {
        let against = match answer {
            UserAnswer::Done(seen) => {
                let shown = seen.users.iter().any(|user| user.name == name.as_str());
                if matches!(op, UserOp::Read | UserOp::Search) && !shown {
                    self.is_faulty(
                        op,
                        "the answer does not contain the user under that name".to_owned(),
                    );
                } else if op != UserOp::Deactivate {
                    // What becomes of a deactivation, the read that follows tells.
                    self.proof.worked.insert(op);
                }
                return;
            }
            UserAnswer::NotThere => return self.is_faulty(op, "it answered with 404".to_owned()),
            UserAnswer::Refused { words, .. } => return self.is_faulty(op, words),
            UserAnswer::Unauthorized => {
                let doing = format!("{op} a throw-away user");
                ProbeAnswer::Inconclusive(unauthorized(doing))
            }
            UserAnswer::Forbidden => ProbeAnswer::Inconclusive(Fault::new(
                format!("{op} a throw-away user"),
                Class::Transient,
                Code::Forbidden,
                "the SCIM endpoint answers 403, although the token has the scope for it",
            )),
            UserAnswer::Inconclusive(fault) => ProbeAnswer::Inconclusive(fault),
        };
        self.against = Some(against);
    }

    /// What the first read of the user showed: only one with our name under that very id is changed.
    pub fn seen(&mut self, name: &ProbeUserName, id: &ScimUserId, answer: &UserAnswer) {
        self.is_ours = shows(name, id, answer);
    }

    /// What the user is like after it was deactivated.
    pub fn read_back(&mut self, name: &ProbeUserName, answer: &UserAnswer) {
        let seen = match answer {
            UserAnswer::Done(seen) => seen,
            // Some endpoints show nobody who is inactive.
            UserAnswer::NotThere => {
                self.proof.worked.insert(UserOp::Deactivate);
                return;
            }
            UserAnswer::Refused { .. }
            | UserAnswer::Unauthorized
            | UserAnswer::Forbidden
            | UserAnswer::Inconclusive(_) => return self.not_read_back(&said(answer)),
        };
        match seen.users.iter().find(|user| user.name == name.as_str()).map(|user| user.active) {
            Some(Some(false)) => {
                self.proof.worked.insert(UserOp::Deactivate);
            }
            Some(active) => {
                self.proof.loses_active = true;
                self.proof.hides_active = active.is_none();
            }
            None => self.not_read_back("it did not show the user under that name"),
        }
    }

    fn not_read_back(&mut self, said: &str) {
        let words =
            format!("it is not known whether it took effect: when it was read afterwards, {said}");
        self.is_faulty(UserOp::Deactivate, words);
    }

    /// How the removal at the end went.
    pub fn ended(&mut self, removal: &Removal, now: Timestamp) {
        self.proof.at = now;
        match removal {
            Removal::Deleted => {
                self.proof.worked.insert(UserOp::Delete);
            }
            Removal::Absent => {
                let words = "the user no longer existed, although no DELETE was sent";
                self.is_faulty(UserOp::Delete, words.to_owned());
            }
            Removal::Stuck(fault) | Removal::Failed(ProbeAnswer::Inconclusive(fault)) => {
                self.is_faulty(UserOp::Delete, fault.detail.clone());
            }
            Removal::Failed(_) => {
                self.is_faulty(UserOp::Delete, "the token was rejected".to_owned());
            }
        }
    }

    /// What the whole means for the token, and what is kept of it: a try that shows nothing is made again.
    #[must_use]
    pub fn finish(self) -> (ProbeAnswer, Option<WriteProof>) {
        match self.against {
            Some(against) => (against, None),
            None => (ProbeAnswer::Accepted, Some(self.proof)),
        }
    }

    /// What refused a create means: nothing was made.
    pub fn refused(&mut self, name: &ProbeUserName, answer: UserAnswer) {
        self.took(UserOp::Create, name, answer);
    }

    fn is_faulty(&mut self, op: UserOp, words: String) {
        self.proof.faulty.insert(op, words);
    }
}

/// What of the use of a token has to be announced before a further request of a proof by writing is
/// sent; `None`: what was announced covers it.
#[must_use]
pub fn announced(s: &Situation<'_>, id: &TokenId) -> Option<Event> {
    let on_its_way = match &s.record.phase {
        Phase::Delivering(replacement) if replacement.token.id == *id => replacement.probe.as_ref(),
        Phase::Delivering(_) | Phase::Steady | Phase::Minting(_) => None,
    };
    let current = s.record.current.as_ref().filter(|current| current.token.id == *id);
    let probe = on_its_way.or_else(|| current?.probe.as_ref());
    let (sent, longest) = (s.provider_now(), longest(s));
    let covered = probe.is_some_and(|probe| probe.arrives_by >= sent + longest);
    let arrives_by = sent + longest + WRITING;
    (!covered).then(|| Event::ProbeAnnounced { id: id.clone(), sent, arrives_by })
}

#[cfg(test)]
mod tests;
