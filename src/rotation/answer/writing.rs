//! What the answers to the operations on a throw-away user mean: for the token, for the user, and for
//! what is said of the endpoint.

use std::collections::BTreeSet;

use super::{Answered, ProbeAnswer};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::{
        decide::{Situation, WRITING, longest},
        event::{Event, ProbeUserEvent},
        probe_user::{Made, ProbeUser, ProbeUserName, UserOp, WritePlan, WriteProof},
        record::Phase,
    },
    token::{ScimUserId, TokenId},
};

/// One request about throw-away users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAct {
    /// One with this name is created.
    Create(ProbeUserName),
    /// The one with this id is read.
    Read(ScimUserId),
    /// One with this name is searched for.
    Search(ProbeUserName),
    /// The whole of one is replaced.
    Replace(ScimUserId, ProbeUserName),
    /// One attribute is changed.
    Patch(ScimUserId),
    /// It is deactivated.
    Deactivate(ScimUserId),
    /// It is deleted.
    Delete(ScimUserId),
}

impl UserAct {
    /// What is tried with it.
    #[must_use]
    pub fn op(&self) -> UserOp {
        match self {
            Self::Create(_) => UserOp::Create,
            Self::Read(_) => UserOp::Read,
            Self::Search(_) => UserOp::Search,
            Self::Replace(..) => UserOp::Replace,
            Self::Patch(_) => UserOp::Patch,
            Self::Deactivate(_) => UserOp::Deactivate,
            Self::Delete(_) => UserOp::Delete,
        }
    }
}

/// What the SCIM endpoint answers to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAnswer {
    /// It was done (2xx), with the users in the answer.
    Done(SeenUsers),
    /// 404.
    NotThere,
    /// The request was refused for what it asked (another 4xx), in words.
    Refused {
        /// The status.
        status: u16,
        /// In words.
        words: String,
    },
    /// The token is not known, or not yet (401).
    Unauthorized,
    /// The token may not do it (403).
    Forbidden,
    /// Nothing was learnt: 429, 5xx, no answer.
    Inconclusive(Fault),
}

/// The users in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenUsers {
    /// They.
    pub users: Vec<SeenUser>,
    /// There are others that the answer does not show.
    pub more: bool,
    /// The answer could not be read.
    pub unreadable: bool,
}

/// One user in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenUser {
    /// Its id.
    pub id: ScimUserId,
    /// Its name.
    pub name: String,
    /// Whether it may log in, where that is shown.
    pub active: Option<bool>,
}

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
            let words = "its name is taken: an earlier create took effect late";
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

/// Where a throw-away user is, after a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// Under these ids.
    There(BTreeSet<ScimUserId>),
    /// Nowhere.
    Nowhere,
    /// That cannot be told from the answers, in words.
    Hidden(String),
    /// It could not be looked for.
    Failed(ProbeAnswer),
}

/// What a search for this name shows. Only users with exactly that name count, whatever the endpoint
/// answers to the filter.
#[must_use]
pub fn sighted(name: &ProbeUserName, answer: UserAnswer) -> Sighting {
    match answer {
        UserAnswer::Done(seen) => {
            let ours = seen.users.into_iter().filter(|user| user.name == name.as_str());
            let ids: BTreeSet<ScimUserId> = ours.map(|user| user.id).collect();
            if !ids.is_empty() {
                Sighting::There(ids)
            } else if seen.unreadable {
                Sighting::Hidden("the answer to the search cannot be read".to_owned())
            } else if seen.more {
                let words =
                    "the search answers with other users than it was asked for, and not with all";
                Sighting::Hidden(words.to_owned())
            } else {
                Sighting::Nowhere
            }
        }
        // No list is no empty list.
        UserAnswer::NotThere => Sighting::Hidden("the search is answered 404".to_owned()),
        UserAnswer::Refused { words, .. } => Sighting::Hidden(words),
        UserAnswer::Forbidden => Sighting::Hidden(
            "the search is answered 403, although the token may read users".to_owned(),
        ),
        UserAnswer::Unauthorized => {
            let doing = "search for a throw-away user";
            Sighting::Failed(ProbeAnswer::Inconclusive(unauthorized(doing)))
        }
        UserAnswer::Inconclusive(fault) => Sighting::Failed(ProbeAnswer::Inconclusive(fault)),
    }
}

/// A token that may read users is not refused as such: some endpoints answer 401 where 403 is meant.
fn unauthorized(doing: impl Into<String>) -> Fault {
    let words = "the SCIM endpoint answers 401, although it lets the token read users";
    Fault::new(doing.into(), Class::Transient, Code::Unauthorized, words)
}

/// Whether this answer shows the user of that id with exactly that name.
#[must_use]
pub fn shows(name: &ProbeUserName, id: &ScimUserId, answer: &UserAnswer) -> bool {
    match answer {
        UserAnswer::Done(seen) => {
            seen.users.iter().any(|user| user.id == *id && user.name == name.as_str())
        }
        UserAnswer::NotThere
        | UserAnswer::Refused { .. }
        | UserAnswer::Unauthorized
        | UserAnswer::Forbidden
        | UserAnswer::Inconclusive(_) => false,
    }
}

/// How the removal of a throw-away user ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, or was never there, or may still come and is looked for again later.
    Done,
    /// It is there, or cannot be told from others, and could not be deleted.
    Stuck(Fault),
    /// It could not be looked for.
    Failed(ProbeAnswer),
}

/// What the removal of a throw-away user comes to, for the record.
#[must_use]
pub fn removed(s: &Situation<'_>, user: &ProbeUser, removal: &Removal, seen: bool) -> Answered {
    let name = &user.name;
    let done = |event, words: String| Answered::done(Event::ProbeUser(event), words);
    match removal {
        Removal::Done if seen && !user.may_still_come(s.now) => {
            done(ProbeUserEvent::Gone, format!("the throw-away user {name} is deleted"))
        }
        Removal::Done if s.now >= user.settles_at() => {
            let words = format!("the throw-away user {name} is not there and can no longer come");
            done(ProbeUserEvent::Gone, words)
        }
        Removal::Done => {
            let words = format!("the throw-away user {name} is not there; it is looked for again");
            done(ProbeUserEvent::Unseen(s.now), words)
        }
        Removal::Stuck(fault) | Removal::Failed(ProbeAnswer::Inconclusive(fault)) => {
            left(s, user, fault)
        }
        Removal::Failed(ProbeAnswer::Unauthorized | ProbeAnswer::NotScoped) => {
            let words = "the SCIM endpoint answers 401 to the token";
            left(s, user, &stuck(name, Class::Transient, Code::Unauthorized, words))
        }
        // That is no failure.
        Removal::Failed(ProbeAnswer::Accepted) => {
            Answered { event: None, words: String::new(), fault: None }
        }
    }
}

fn left(s: &Situation<'_>, user: &ProbeUser, fault: &Fault) -> Answered {
    let trouble = s.failed(user.trouble.as_ref(), fault.clone());
    let event = ProbeUserEvent::Left(trouble);
    // Nothing else fails because of it.
    Answered { event: Some(Event::ProbeUser(event)), words: fault.to_string(), fault: None }
}

/// A create was refused for certain. An earlier one under the same name may still take effect.
#[must_use]
pub fn not_created(user: Option<&ProbeUser>, now: Timestamp) -> ProbeUserEvent {
    match user {
        Some(user) if user.may_still_come(now) => ProbeUserEvent::Unseen(now),
        Some(_) | None => ProbeUserEvent::Gone,
    }
}

/// That a throw-away user could not be deleted.
#[must_use]
pub fn stuck(name: &ProbeUserName, class: Class, code: Code, words: &str) -> Fault {
    Fault::new(format!("delete the throw-away user {name}"), class, code, words)
}

/// Why a throw-away user that is there could not be deleted; `None`: it was.
#[must_use]
pub fn undeleted(name: &ProbeUserName, answer: UserAnswer) -> Option<Fault> {
    let for_good = |words: &str| Some(stuck(name, Class::Terminal, Code::Invalid, words));
    match answer {
        UserAnswer::Done(_) | UserAnswer::NotThere => None,
        UserAnswer::Refused { words, .. } => for_good(&words),
        UserAnswer::Forbidden => {
            let words =
                "the SCIM endpoint answers 403, although the token has the scope to delete users";
            Some(stuck(name, Class::Terminal, Code::Forbidden, words))
        }
        UserAnswer::Unauthorized => {
            let words = "the SCIM endpoint answers 401 to the token";
            Some(stuck(name, Class::Transient, Code::Unauthorized, words))
        }
        UserAnswer::Inconclusive(fault) => Some(fault),
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
                        "the answer does not show the user under its name".to_owned(),
                    );
                } else {
                    self.proof.worked.insert(op);
                }
                return;
            }
            UserAnswer::NotThere => return self.is_faulty(op, "it answered 404".to_owned()),
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
        let UserAnswer::Done(seen) = answer else { return };
        let ours = seen.users.iter().find(|user| user.name == name.as_str());
        self.proof.loses_active = ours.is_some_and(|user| user.active != Some(false));
    }

    /// How the removal at the end went.
    pub fn ended(&mut self, removal: &Removal, now: Timestamp) {
        self.proof.at = now;
        match removal {
            Removal::Done => {
                self.proof.worked.insert(UserOp::Delete);
            }
            Removal::Stuck(fault) | Removal::Failed(ProbeAnswer::Inconclusive(fault)) => {
                self.is_faulty(UserOp::Delete, fault.detail.clone());
            }
            Removal::Failed(_) => {
                self.is_faulty(UserOp::Delete, "the token is refused".to_owned());
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
