//! How a throw-away user is found and deleted: what the answers mean for it, and for the record.

use std::collections::BTreeSet;

use super::{
    Answered, ProbeAnswer,
    user::{UserAnswer, said, shows, unauthorized},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::{
        decide::Situation,
        event::{Event, ProbeUserEvent},
        probe_user::{Made, ProbeUser, ProbeUserName},
    },
    token::ScimUserId,
};

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
                Sighting::Hidden("the answer to the search could not be read".to_owned())
            } else if seen.more {
                let words =
                    "the search returned only a part of the users, and not the one searched for";
                Sighting::Hidden(words.to_owned())
            } else {
                Sighting::Nowhere
            }
        }
        // No list is no empty list.
        UserAnswer::NotThere => Sighting::Hidden("the search was answered with 404".to_owned()),
        UserAnswer::Refused { words, .. } => Sighting::Hidden(words),
        UserAnswer::Forbidden => Sighting::Hidden(
            "the search was answered with 403, although the token may read users".to_owned(),
        ),
        UserAnswer::Unauthorized => {
            let doing = "search for a throw-away user";
            Sighting::Failed(ProbeAnswer::Inconclusive(unauthorized(doing)))
        }
        UserAnswer::Inconclusive(fault) => Sighting::Failed(ProbeAnswer::Inconclusive(fault)),
    }
}

/// Where a user of a known id is: by a read of it that did not show it, and by a search. Endpoints may hide
/// who is inactive: one that was once shown under its id and its name is there until a DELETE of it is
/// answered.
#[must_use]
pub fn found(user: &ProbeUser, read: &UserAnswer, searched: Sighting) -> Sighting {
    let Some(id) = user.made.id() else { return searched };
    if matches!(searched, Sighting::There(_)) {
        return searched;
    }
    if let UserAnswer::Done(seen) = read
        && seen.users.iter().any(|other| other.id == *id)
    {
        return Sighting::Hidden("the endpoint shows another user name under its id".to_owned());
    }
    let is_away = matches!(searched, Sighting::Failed(_)) && *read != UserAnswer::NotThere;
    if let Made::Shown(id) = &user.made
        && !is_away
    {
        return Sighting::There(BTreeSet::from([id.clone()]));
    }
    match read {
        UserAnswer::NotThere => searched,
        UserAnswer::Done(seen) if !seen.unreadable => searched,
        UserAnswer::Done(_) => {
            Sighting::Hidden("the answer to reading it could not be parsed".to_owned())
        }
        UserAnswer::Inconclusive(fault) => {
            Sighting::Failed(ProbeAnswer::Inconclusive(fault.clone()))
        }
        UserAnswer::Unauthorized | UserAnswer::Forbidden | UserAnswer::Refused { .. } => {
            Sighting::Hidden(format!("when it was read, {}", said(read)))
        }
    }
}

/// How the removal of a throw-away user ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A DELETE of it was accepted, or found nothing more to delete.
    Deleted,
    /// It is not there, and nothing was sent: it never was, or may still come.
    Absent,
    /// It is there, or cannot be told from others, or may be there, and could not be deleted.
    Stuck(Fault),
    /// It could not be looked for.
    Failed(ProbeAnswer),
}

/// What the removal of a throw-away user comes to, for the record.
#[must_use]
pub fn removed(s: &Situation<'_>, user: &ProbeUser, removal: &Removal) -> Answered {
    let name = &user.name;
    let done = |event, words: String| Answered::done(Event::ProbeUser(event), words);
    match removal {
        Removal::Deleted if !user.may_still_come(s.now) => {
            done(ProbeUserEvent::Gone, format!("the throw-away user {name} is deleted"))
        }
        Removal::Absent if s.now >= user.settles_at() => {
            let words =
                format!("the throw-away user {name} does not exist and can no longer appear");
            done(ProbeUserEvent::Gone, words)
        }
        Removal::Deleted | Removal::Absent => {
            let words =
                format!("the throw-away user {name} was not found; Scimitar will search again");
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

/// What it means that a user is nowhere to be seen. One that was certainly created does not go by time alone.
#[must_use]
pub fn nowhere(user: &ProbeUser, now: Timestamp) -> Removal {
    let may_be_late = now < user.settles_at();
    match user.made {
        Made::Perhaps => Removal::Absent,
        Made::As(_) if may_be_late => Removal::Absent,
        Made::As(_) | Made::Shown(_) | Made::Unnamed => {
            let words = "the user was created, but no user with its name can be found";
            Removal::Stuck(stuck(&user.name, Class::Terminal, Code::Changed, words))
        }
    }
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

/// Why a user whose DELETE was accepted is not known to be gone, by a read of it; `None`: it is.
#[must_use]
pub fn remains(name: &ProbeUserName, id: &ScimUserId, read: &UserAnswer) -> Option<Fault> {
    if shows(name, id, read) {
        let words = "the SCIM endpoint accepted the DELETE, but still shows the user";
        return Some(stuck(name, Class::Transient, Code::Unavailable, words));
    }
    let words = match read {
        UserAnswer::NotThere => return None,
        UserAnswer::Done(seen) if !seen.unreadable => return None,
        UserAnswer::Done(_)
        | UserAnswer::Refused { .. }
        | UserAnswer::Unauthorized
        | UserAnswer::Forbidden
        | UserAnswer::Inconclusive(_) => format!(
            "the SCIM endpoint accepted the DELETE, but it is not known whether the user is gone: when it \
             was read afterwards, {}",
            said(read)
        ),
    };
    Some(stuck(name, Class::Transient, Code::Unavailable, &words))
}
