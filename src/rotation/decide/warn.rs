//! What draws attention without stopping anything.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::{
    Situation, foreign, held,
    pressing::{cut_off, is_wanted},
    retire, sinks,
};
use crate::{
    error::Class,
    rotation::{
        hold,
        policy::{Mode, Verify},
        print,
        probe_user::{Made, ProbeUser},
        record::{Phase, Record, Work},
        scim_config::ACTIVE,
        view,
    },
    token::{Listed, Scope, TokenId},
    words::date,
};

/// How a warning of a failure begins that does not end without a person, …
const NEEDS_ATTENTION: &str = "needs attention: ";

/// … and one of a SCIM configuration that could not be read.
const NOT_COMPARED: &str = "the SCIM configuration could not be compared: ";

/// The warnings of a record that still hold: a call that was not denied any more takes the warning of
/// the denial with it, whether or not it came to a rest since.
pub fn still_hold(record: &Record) -> impl Iterator<Item = &String> {
    record.warnings.iter().filter(|warning| {
        let unread = record.scim.as_ref().and_then(|scim| scim.unread.as_ref());
        if let Some(fault) = warning.strip_prefix(NEEDS_ATTENTION) {
            record.troubles.iter().any(|(_, trouble)| trouble.fault.to_string() == fault)
        } else if let Some(fault) = warning.strip_prefix(NOT_COMPARED) {
            unread.is_some_and(|trouble| trouble.fault.to_string() == fault)
        } else {
            true
        }
    })
}

/// Each in a sentence.
pub(super) fn warnings(s: &Situation<'_>) -> BTreeSet<String> {
    let mut warnings = BTreeSet::new();
    // Where something could be done about it, that is what is waited for.
    if s.policy.terms.mode == Mode::Observe {
        warnings.extend(cut_off(s));
    }
    let listed = s.record.survey.iter().flat_map(|survey| &survey.tokens);
    let listed: BTreeMap<&TokenId, &Listed> = listed.map(|token| (&token.id, token)).collect();
    for (id, unmanaged) in &s.record.unmanaged {
        let token = listed.get(id);
        let called = token.and_then(|token| token.name.as_ref());
        let called = called.map_or_else(String::new, |name| format!(" (called {name})"));
        let used = token.and_then(|token| token.last_used_at);
        let command = format!("`scimitar revoke {} --token-id {id}`", s.record.name);
        let probable = match (unmanaged.probably_ours, used) {
            (true, None) => format!(
                " (probably an orphan of this Scimitar, which cannot be proven; {command} revokes it)"
            ),
            // An orphan is one that nobody has the value of.
            (true, Some(at)) => format!(
                " (it looks like one that Scimitar created, but it was used at {}, so somebody has it: find out who before you revoke it with {command})",
                date(at)
            ),
            (false, _) => String::new(),
        };
        warnings.insert(format!("{id}{called} is an unmanaged token{probable}"));
    }
    if s.record.names_changed {
        warnings.insert(
            "the provider does not keep token names: an orphan of this Scimitar cannot be recognised with certainty".to_owned(),
        );
    }
    for sink in s.record.places() {
        for (id, residue) in &sink.residue {
            if let Some(trouble) = &residue.trouble {
                let location = &sink.place.location;
                warnings.insert(format!(
                    "{location} still refers to {id}, which no longer works: {}",
                    trouble.fault
                ));
            }
        }
        if let Some(drift) = &sink.drift {
            warnings.insert(format!(
                "{}: {} since {}",
                sink.place.location,
                drift.what,
                date(drift.since)
            ));
        }
    }
    // A rotation that is due is refused for it in the same words.
    if s.policy.terms.mode == Mode::Rotate && !is_wanted(s) {
        warnings.extend(s.readable().filter_map(|sink| foreign::is_elsewhere(s, sink)));
    }
    if let Some(scim) = &s.record.scim {
        let unread = scim.unread.as_ref();
        warnings.extend(unread.map(|trouble| format!("{NOT_COMPARED}{}", trouble.fault)));
        if scim.loses_active {
            warnings.insert(format!(
                "the SCIM configuration does not map `{ACTIVE}`: deactivated users keep access; add it to the mapping"
            ));
        }
    }
    warnings.extend(of_writing(s));
    if let Some(words) = retire::not_used(s) {
        warnings.insert(words);
    }
    if let Some(words) = granted_otherwise(s) {
        warnings.insert(words);
    }
    for retiring in &s.record.retiring {
        if let Some(used) = view::still_used(s.record, retiring) {
            warnings.insert(format!(
                "previous_still_used: {} was used at {}, long after every sink had the new token: a client was not updated, or somebody else has the previous token",
                retiring.token.id,
                date(used)
            ));
        }
    }
    if s.shown_clock().skew().abs() > TimeDelta::seconds(60) {
        let seconds = s.shown_clock().skew().num_seconds();
        warnings.insert(if seconds > 0 {
            format!("the local clock is {seconds} s behind the provider's clock: set it by NTP")
        } else {
            format!(
                "the local clock is {} s ahead of the provider's clock: set it by NTP",
                -seconds
            )
        });
    }
    for (work, trouble) in s.record.troubles.iter() {
        if trouble.fault.class != Class::Terminal {
            continue;
        }
        let held = || held::start(s, &sinks::due(s)).is_some_and(|start| start.hold.is_some());
        let over = s.record.phase == Phase::Steady && (!is_wanted(s) || held());
        warnings.insert(if work == Work::Mint && over {
            // Asked for by a person, or held back since, it is not tried again now: nothing that is looked at
            // meanwhile shows whether it is mended.
            format!(
                "the last rotation failed at {}: {}; `scimitar check --online` tells whether it would succeed now, `scimitar rotate {}` tries again",
                date(trouble.at),
                trouble.fault,
                s.record.name
            )
        } else {
            format!("{NEEDS_ATTENTION}{}", trouble.fault)
        });
    }
    warnings
}

/// What the last proof by writing found, why there is none, and a user that it left.
fn of_writing(s: &Situation<'_>) -> Vec<String> {
    let mut warnings: Vec<String> = user_left(s).into_iter().collect();
    let name = &s.record.name;
    if let Some(proof) = &s.record.write_proof {
        if proof.loses_active {
            let shown = if proof.hides_active {
                "then showed the user without `active`, neither true nor false: it cannot be seen whether deactivated users keep access"
            } else {
                "still showed the user as active: deactivated users may keep access"
            };
            warnings.push(format!(
                "deactivation_lost: the SCIM endpoint accepted the deactivation of a user and {shown}. Check the SCIM mapping of `{ACTIVE}`; the next rotation checks again (`scimitar rotate {name}`)"
            ));
        }
        if !proof.untried.is_empty() {
            let untried: Vec<&str> = proof.untried.iter().map(|op| op.as_str()).collect();
            warnings.push(format!(
                "verify = \"write\": {} was delivered before {} could be tried, because the run timed out (--timeout); the next rotation tries them",
                proof.token,
                untried.join(", ")
            ));
        }
        if let Some(why) = &proof.skipped {
            warnings.push(format!("{} was proven only by reading: {why}", proof.token));
        }
        warnings.extend(proof.faulty.iter().map(|(op, words)| {
            format!("verify = \"write\": the operation {op} on a user failed: {words}")
        }));
    }
    let scopes = s
        .policy
        .capabilities
        .user_scopes
        .as_ref()
        .filter(|_| s.policy.terms.verify == Verify::Write);
    if let (Some(scopes), Some(current)) = (scopes, &s.record.current) {
        let lacking = scopes.lacking(&current.token.scopes);
        let lacking: Vec<&str> = lacking.into_iter().map(Scope::as_str).collect();
        if !lacking.is_empty() {
            warnings.push(format!(
                "{} can only be proven by reading, not by writing: it lacks the scope {}, without which the throw-away user could be left behind",
                current.token.id,
                lacking.join(", ")
            ));
        }
    }
    warnings
}

/// What is said of one whose removal fails, or is held back for so long that somebody should know.
fn user_left(s: &Situation<'_>) -> Option<String> {
    let user = s.record.probe_user.as_ref()?;
    let long = user.needs_person(s.now);
    let held = removal_held_back(s);
    let ProbeUser { name, made, .. } = user;
    let words = match (&user.trouble, held) {
        (Some(trouble), None) => format!("still exists: {}; Scimitar tries again", trouble.fault),
        (Some(trouble), Some(held)) => format!("still exists: {}; {held}", trouble.fault),
        (None, held) if long => {
            let still = if *made == Made::Perhaps { "may still exist" } else { "still exists" };
            let held = held.unwrap_or_else(|| "the next run searches for it".to_owned());
            format!("{still}: {held}")
        }
        (None, _) => return None,
    };
    let connection = &s.record.name;
    let ends = if long {
        format!("; once you have deleted it, run `scimitar adopt {connection} --user-gone {name}`")
    } else {
        String::new()
    };
    Some(format!("probe_user_left: the throw-away user {name} {words}{ends}"))
}

/// Why it is not deleted, whatever it was answered before.
fn removal_held_back(s: &Situation<'_>) -> Option<String> {
    if s.policy.terms.mode == Mode::Observe {
        return Some("it is not deleted while mode = \"observe\"".to_owned());
    }
    if let Some(hold) = hold::in_force(s.policy, s.record, s.provider_now()).next() {
        return Some(format!("it cannot be deleted now: {}", hold.words));
    }
    let current = &s.record.current.as_ref()?.token;
    let scopes = s.policy.capabilities.user_scopes.as_ref()?;
    let needed = [&scopes.read, &scopes.delete].into_iter();
    let lacking: Vec<&str> =
        needed.filter(|scope| !current.scopes.contains(*scope)).map(Scope::as_str).collect();
    (!lacking.is_empty()).then(|| {
        format!(
            "it cannot be deleted with {}, which has no scope {}",
            current.id,
            lacking.join(", ")
        )
    })
}

/// The provider gave the current token another life or other scopes than were asked for. Nothing
/// is done about that: the next one would come out the same.
fn granted_otherwise(s: &Situation<'_>) -> Option<String> {
    let current = s.record.current.as_ref()?;
    let (token, asked) = (&current.token, current.asked.as_ref()?);
    let spelled_out = |life: Option<u64>| {
        life.map_or_else(|| "no expiry".to_owned(), |life| format!("a lifetime of {life} s"))
    };
    let (wanted, granted) = (asked.life.map(|life| life.as_secs()), print::granted(token));
    let off = match (wanted, granted) {
        (Some(wanted), Some(granted)) => wanted.abs_diff(granted) > 60,
        (wanted, granted) => wanted.is_some() != granted.is_some(),
    };
    if off {
        return Some(format!(
            "{} was requested with {} and granted {}: check what the provider allows",
            token.id,
            spelled_out(wanted),
            spelled_out(granted)
        ));
    }
    (s.policy.capabilities.scopes && asked.scopes != token.scopes).then(|| {
        format!(
            "{} was granted different scopes than requested: check what the provider allows",
            token.id
        )
    })
}
