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
                    "somebody put {id} into a sink, but the SCIM endpoint answers 401 to what is there: it is not taken over and supersedes nothing"
                ),
            ));
        }
        Proof::Bad if may_be_somewhere(s, replacement) => {
            return Some(note(
                Event::SettledInPart { at: now },
                &format!(
                    "the SCIM endpoint has come to answer 401 to {id}, which some sinks hold: no further sink gets it"
                ),
            ));
        }
        Proof::Bad => {
            return Some(bad(
                s,
                replacement,
                Code::Unauthorized,
                "the SCIM endpoint answers 401 to it for good",
            ));
        }
        Proof::Pending { refused_since, silent_since } => (refused_since, silent_since),
    };
    // What counts is an answer, not the time: it was asked once more after that long.
    let asked = replacement.probe.as_ref().map_or(now, |probe| probe.sent);
    if refused_since.is_some_and(|since| asked - since >= PROPAGATION) {
        return Some(note(
            Event::Proven(Proof::Bad),
            &format!("{id} is still refused after {} s", PROPAGATION.num_seconds()),
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
                "the SCIM endpoint gave no answer that proves it",
            ));
        }
        return Some(note(
            Event::Proven(Proof::Waived),
            &format!(
                "the SCIM endpoint says nothing of {id} and the current token has less than an hour or is gone: it is delivered UNPROVEN"
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
                format!("{id} is not accepted yet; it is asked again"),
            ));
        }
    }
    let what = if replacement.found {
        format!("{id}, which was found in a sink, is proven before it counts")
    } else {
        format!("{id} is proven before any sink gets it")
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
                "the SCIM endpoint gave no answer that proves {id}, which was found in a sink: it supersedes nothing, and the current token is replaced by a new one"
            ),
        ));
    }
    let again = replacement.probe.as_ref().map(|probe| s.on_our_clock(probe.sent + PATIENCE));
    let again = again.filter(|again| *again > s.now && *again - s.now <= PATIENCE);
    let Some(again) = again else {
        let why = format!("{id} is proven before any other sink gets it");
        return Some(step(acts::probe(s, replacement), why));
    };
    Some(rest(
        s,
        Status::Troubled,
        Some(Reason::ProviderUnavailable),
        Some(again),
        format!(
            "somebody put {id} into a sink; the SCIM endpoint gave no answer that proves it, and until it does nothing is changed"
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
        &format!("{detail}: {id} is revoked and no sink changes"),
    )
}

/// One more failed attempt to rotate.
pub(super) fn another_failure(s: &Situation<'_>, fault: Fault) -> Trouble {
    s.failed(s.record.troubles.mint.as_ref(), fault)
}
