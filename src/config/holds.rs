//! Windows and freezes that contradict the rest of a policy: each is refused with the numbers that would
//! do.

use std::time::Duration;

use super::{
    checks::{at, lead_in_words, said},
    policy::Origin,
    terms::GivenTerms,
};
use crate::{
    rotation::hold,
    table::{Findings, amount::in_words},
    words::date,
};

/// Notes everything in them that cannot be meant.
pub(super) fn contradictions(terms: &GivenTerms<'_>, findings: &Findings) {
    window_is_too_short(terms, findings);
    window_is_too_long(terms, findings);
    freeze_is_too_long(terms, findings);
}

/// A window that never closes.
fn window_is_too_long(terms: &GivenTerms<'_>, findings: &Findings) {
    if let (Some(window), Some(schedule)) = (&terms.window, &terms.schedule)
        && window.value >= schedule.value.longest
        && let Some(place) = at(window)
    {
        findings.warning(
            place,
            format!(
                "`window` has no effect: it is as long as the longest time between two ticks of \
                 `schedule` ({})",
                in_words(schedule.value.longest)
            ),
            format!("set it to less than {}, or leave it out", in_words(schedule.value.longest)),
        );
    }
}

/// A window that is over before a connection's own moment in it comes.
fn window_is_too_short(terms: &GivenTerms<'_>, findings: &Findings) {
    let (Some(_), Some(window), Some(jitter)) = (&terms.schedule, &terms.window, &terms.jitter)
    else {
        return;
    };
    if jitter.value >= window.value {
        findings.error(
            terms.place(&[at(window), at(jitter)]),
            format!(
                "{} is not longer than {}: connections would miss their windows",
                said("window", &in_words(window.value), window.origin),
                said("jitter", &in_words(jitter.value), jitter.origin)
            ),
            format!(
                "set window to more than {}, or jitter to less than {}",
                in_words(jitter.value),
                in_words(window.value)
            ),
        );
    }
}

/// A freeze in which a token would run out: it would be rotated in it all the same.
fn freeze_is_too_long(terms: &GivenTerms<'_>, findings: &Findings) {
    let (Some(freeze), Some(life)) = (&terms.freeze, &terms.lifetime) else { return };
    let span = freeze.value;
    let long = (span.until - span.from).to_std().unwrap_or_default();
    // Behind it the next window is waited for.
    let windows = terms.schedule.as_ref().filter(|_| terms.window.is_some());
    let wait = long.saturating_add(windows.map_or(Duration::ZERO, |given| given.value.longest));
    let reserve = hold::reserve_of(life.value);
    let place = terms.place(&[at(freeze), at(life), terms.lead.as_ref().and_then(at)]);
    let message = |than: &str| {
        format!(
            "the `freeze` from {} until {} ({}{}) is too long for {than}: a token could expire during it, and \
             is then rotated anyway",
            date(span.from),
            date(span.until),
            in_words(long),
            match (windows.is_some(), freeze.origin) {
                (true, Origin::Defaults) => ", then the next window; from [defaults]",
                (true, _) => ", then the next window",
                (false, Origin::Defaults) => ", from [defaults]",
                (false, _) => "",
            }
        )
    };
    match (&terms.lead, terms.lead_length()) {
        (Some(lead), Some(length)) if wait.saturating_add(reserve) > length => findings.error(
            place,
            message(&said("rotate_before", &lead_in_words(terms, lead.value), lead.origin)),
            format!(
                "shorten it, set rotate_before to at least {} (and token_lifetime to more than twice \
                 that), or write freeze = [] for this connection",
                in_words(wait.saturating_add(reserve))
            ),
        ),
        (None, _) => {
            let gap = terms.schedule.as_ref().map_or(Duration::ZERO, |given| given.value.longest);
            let longest = gap.saturating_add(wait).saturating_add(reserve);
            if longest > life.value {
                findings.error(
                    place,
                    message(&said("token_lifetime", &in_words(life.value), life.origin)),
                    format!("shorten it, or set token_lifetime to more than {}", in_words(longest)),
                );
            }
        }
        (Some(_), _) => {}
    }
}
