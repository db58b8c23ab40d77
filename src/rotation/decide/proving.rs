//! Whether the token on its way works: nothing gets it before that is known.

use chrono::TimeDelta;

use super::{
    Decision, Situation, Status, Step, acts, note,
    pressing::{current_works, is_wanted},
    reach::may_be_somewhere,
    rest, step,
};
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        event::Event,
        record::{Cause, Proof, Replacement, Trouble},
        why::Reason,
    },
};

/// How long a new token may be refused before that counts: propagation at the provider.
const PROPAGATION: TimeDelta = TimeDelta::seconds(60);

/// How long an endpoint that says nothing is asked.
pub(super) const PATIENCE: TimeDelta = TimeDelta::minutes(5);

/// The same, when there is little or nothing left of the current token.
pub(super) const LAST_PATIENCE: TimeDelta = TimeDelta::minutes(30);

pub(super) fn next(s: &Situation<'_>, replacement: &Replacement) -> Option<Decision> {
    let id = &replacement.token.id;
    let now = s.provider_now();
    let (refused_since, silent_since) = match replacement.proof {
        Proof::Good | Proof::Waived => return None,
        Proof::Bad if replacement.found => {
            return Some(note(
                Event::GivenUp { cause: Cause::Bad, trouble: None },
                &format!(
                    "{id} was put into a sink outside Scimitar, but the SCIM endpoint answers with 401 to it: Scimitar does not take it over, and it replaces no other token"
                ),
            ));
        }
        Proof::Bad if may_be_somewhere(s, replacement) => {
            return Some(note(
                Event::SettledInPart { at: now },
                &format!(
                    "the SCIM endpoint now answers with 401 to {id}, which some sinks hold: it is not delivered to any other sink"
                ),
            ));
        }
        Proof::Bad => {
            return Some(bad(
                s,
                replacement,
                Code::Unauthorized,
                "the SCIM endpoint keeps answering with 401",
            ));
        }
        Proof::Pending { refused_since, silent_since } => (refused_since, silent_since),
    };
    // What counts is an answer, not the time: it was asked once more after that long.
    let asked = replacement.probe.as_ref().map_or(now, |probe| probe.sent);
    if refused_since.is_some_and(|since| asked - since >= PROPAGATION) {
        return Some(note(
            Event::Proven(Proof::Bad),
            &format!("{id} is still rejected after {} s", PROPAGATION.num_seconds()),
        ));
    }
    if silent_since.is_some_and(|since| now - since >= PATIENCE) {
        // At a first meeting it is the only one there is.
        if replacement.found && s.record.current.is_some() {
            return found_unproven(s, replacement);
        }
        if current_works(s) {
            return Some(bad(
                s,
                replacement,
                Code::Unavailable,
                "the SCIM endpoint did not confirm it",
            ));
        }
        return Some(note(
            Event::Proven(Proof::Waived),
            &format!(
                "the SCIM endpoint gives no answer about {id}, and the current token is gone or has less than an hour left: delivering {id} UNPROVEN"
            ),
        ));
    }
    // Asked again after 1, 2, 4 … 15 s.
    if let (Some(since), Some(probe)) = (refused_since.or(silent_since), &replacement.probe) {
        let pause = (probe.sent - since).max(TimeDelta::seconds(1)).min(TimeDelta::seconds(15));
        let again = s.on_our_clock(probe.sent + pause);
        if again > s.now && again - s.now <= TimeDelta::seconds(15) {
            return Some(step(
                Step::Pause(again),
                format!("{id} is not accepted yet; Scimitar asks again"),
            ));
        }
    }
    let what = if replacement.found {
        format!("{id}, which was found in a sink, is proven before it becomes the current token")
    } else {
        format!("{id} is proven before it is delivered to any sink")
    };
    Some(step(acts::probe(s, replacement), what))
}

/// What was found keeps: it is in a sink. It is asked about again now and then.
fn found_unproven(s: &Situation<'_>, replacement: &Replacement) -> Option<Decision> {
    let id = &replacement.token.id;
    if !current_works(s) || is_wanted(s) {
        return Some(note(
            Event::GivenUp { cause: Cause::Bad, trouble: None },
            &format!(
                "the SCIM endpoint did not confirm {id}, which was found in a sink: it does not become the current token, and a new token replaces the current one"
            ),
        ));
    }
    let again = replacement.probe.as_ref().map(|probe| s.on_our_clock(probe.sent + PATIENCE));
    let again = again.filter(|again| *again > s.now && *again - s.now <= PATIENCE);
    let Some(again) = again else {
        let why = format!("{id} is proven before it is delivered to any other sink");
        return Some(step(acts::probe(s, replacement), why));
    };
    Some(rest(
        s,
        Status::Troubled,
        Some(Reason::ProviderUnavailable),
        Some(again),
        format!(
            "{id} was put into a sink outside Scimitar; the SCIM endpoint has not confirmed it, and until it does nothing is changed"
        ),
    ))
}

/// Gives up a token that cannot be used, with a pause before the next.
pub(super) fn bad(
    s: &Situation<'_>,
    replacement: &Replacement,
    code: Code,
    detail: &str,
) -> Decision {
    let id = &replacement.token.id;
    let class = if code == Code::Unauthorized { Class::Terminal } else { Class::Transient };
    let trouble = another_failure(s, Fault::new(format!("prove {id}"), class, code, detail));
    unusable(replacement, trouble, detail)
}

/// Gives up a token that no sink takes, with a pause before the next.
pub(super) fn untaken(s: &Situation<'_>, replacement: &Replacement, detail: &str) -> Decision {
    let doing = format!("deliver {}", replacement.token.id);
    let fault = Fault::new(doing, Class::Transient, Code::Unavailable, detail);
    unusable(replacement, Trouble { of_sink: true, ..another_failure(s, fault) }, detail)
}

fn unusable(replacement: &Replacement, trouble: Trouble, detail: &str) -> Decision {
    let id = &replacement.token.id;
    note(
        Event::GivenUp { cause: Cause::Bad, trouble: Some(trouble) },
        &format!("{detail}: revoking {id}; no sink is changed"),
    )
}

/// One more failed attempt to rotate.
pub(super) fn another_failure(s: &Situation<'_>, fault: Fault) -> Trouble {
    s.failed(s.record.troubles.mint.as_ref(), fault)
}
