//! Policies that contradict themselves: each is refused with the numbers that would do.

use std::time::Duration;

use super::{
    policy::{Given, Origin, PolicyKeys},
    terms::{Gaps, GivenTerms},
};
use crate::{
    provider::kind::Lives,
    rotation::{
        due::FLOOR,
        policy::{Capabilities, Lead, Mode, ScopePolicy, Verify},
        print,
    },
    table::{
        At, Findings,
        amount::{in_words, percent_in_words},
    },
    token::ProviderName,
};

/// Notes everything in a policy that cannot be meant.
pub(super) fn contradictions(terms: &GivenTerms<'_>, findings: &Findings) {
    if nothing_is_ever_due(terms, findings) {
        return;
    }
    lead_is_half_a_life(terms, findings);
    gap_is_too_long(terms, findings);
    jitter_is_too_long(terms, findings);
    let ages = age_ends_within_overlap(terms, findings);
    if !ages {
        outlasts(terms, &Wait::overlap(terms), findings);
    }
    if let Some(wait) = Wait::at_latest(terms) {
        outlasts(terms, &wait, findings);
        latest_is_before_overlap(terms, findings);
    }
    comes_too_often(terms, findings);
    without_effect(terms, findings);
    life_is_recommended(terms, findings);
}

/// Notes a life that the provider does not give.
pub(super) fn life_is_possible(
    terms: &GivenTerms<'_>,
    provider: &ProviderName,
    lives: Lives,
    findings: &Findings,
) {
    let Some(life) = &terms.lifetime else { return };
    let (word, bound) = match (lives.shortest, lives.longest) {
        (Some(shortest), _) if life.value < shortest => ("at least", shortest),
        (_, Some(longest)) if life.value > longest => ("at most", longest),
        _ => return,
    };
    findings.error(
        terms.place(&[at(life)]),
        format!(
            "{} is not a lifetime that `{provider}` grants",
            said("token_lifetime", &in_words(life.value), life.origin)
        ),
        format!("set token_lifetime to {word} {}", in_words(bound)),
    );
}

/// Notes a life that leaves no room for prints, by which alone a token could be told from others.
pub(super) fn life_tells_tokens_apart(
    terms: &GivenTerms<'_>,
    provider: &ProviderName,
    lives: Lives,
    findings: &Findings,
) {
    let (Some(life), Some(shortest)) = (&terms.lifetime, lives.shortest) else { return };
    let is_given =
        lives.longest.is_none_or(|longest| life.value <= longest) && life.value >= shortest;
    let prints = print::count(life.value, shortest, lives.step);
    if !is_given || !terms.recommends_life || prints >= print::FEWEST {
        return;
    }
    let least = print::least_lifetime(shortest, lives.step);
    let hint = if lives.longest.is_some_and(|longest| least > longest) {
        format!(
            "no lifetime that `{provider}` grants is long enough; check for unmanaged tokens after a \
             failed create"
        )
    } else {
        format!("set token_lifetime to at least {}", in_words(least))
    };
    let steps = if lives.step > Duration::from_secs(1) {
        format!(", in steps of {}", in_words(lives.step))
    } else {
        String::new()
    };
    findings.warning(
        terms.place(&[at(life)]),
        format!(
            "{} leaves no room to give each token a distinct lifetime (`{provider}` grants at least {}{steps}): Scimitar \
             could not recognise a token whose create answer was lost",
            said("token_lifetime", &in_words(life.value), life.origin),
            in_words(shortest),
        ),
        hint,
    );
}

/// Notes that tokens of a provider are to be rotated which can only be watched.
pub(super) fn observed_only<'s>(
    mode: Option<&Given<'s, Mode>>,
    connection: At<'s>,
    provider: &ProviderName,
    why: &str,
    findings: &Findings,
) {
    findings.error(
        mode.and_then(at).unwrap_or(connection),
        format!("the tokens of `{provider}` cannot be rotated: {why}"),
        "write mode = \"observe\" to watch them",
    );
}

/// Notes a proof by writing that could leave users behind, or could make none.
pub(super) fn writes_without_a_trace(
    keys: &PolicyKeys<'_>,
    capabilities: &Capabilities,
    findings: &Findings,
) {
    let Some(verify) = keys.verify.as_ref().filter(|given| given.value == Verify::Write) else {
        return;
    };
    let (Some(needed), Some(scopes)) = (&capabilities.user_scopes, &keys.scopes) else { return };
    let ScopePolicy::Exactly(granted) = &scopes.value else { return };
    let lacking: Vec<String> =
        needed.lacking(granted).iter().map(|scope| format!("\"{scope}\"")).collect();
    if lacking.is_empty() {
        return;
    }
    let lacking = lacking.join(", ");
    let place = at(verify).or_else(|| at(scopes)).unwrap_or(verify.at);
    findings.error(
        place,
        format!(
            "`verify = \"write\"` creates, finds and deletes a user, and `scopes` does not allow that: it lacks {lacking}"
        ),
        format!("add {lacking} to scopes, or write verify = \"read\""),
    );
}

fn nothing_is_ever_due(terms: &GivenTerms<'_>, findings: &Findings) -> bool {
    let expires = terms.lifetime.is_some() || terms.always_expires;
    let by_expiry = expires && terms.lead.is_some();
    let by_tick = terms.schedule.is_some() && terms.lead.is_none();
    if by_expiry || by_tick || terms.max_age.is_some() {
        return false;
    }
    let message = "under this policy no rotation ever becomes due: the token does not expire";
    let hint = match &terms.lead {
        Some(lead) if terms.schedule.is_some() => format!(
            "with {} the schedule only says when a rotation may start: set token_lifetime or \
             max_age, or remove rotate_before so that every tick is due",
            said("rotate_before", &lead_in_words(terms, lead.value), lead.origin)
        ),
        Some(_) | None if terms.expires => {
            "set token_lifetime = \"30d\", max_age = \"90d\", or a schedule".to_owned()
        }
        Some(_) | None => "set max_age = \"90d\", or a schedule".to_owned(),
    };
    findings.error(terms.at, message, hint);
    true
}

fn lead_is_half_a_life(terms: &GivenTerms<'_>, findings: &Findings) {
    let Some(lead) = &terms.lead else { return };
    let half = terms.lifetime.as_ref().map(|life| life.value / 2);
    let too_long = match lead.value {
        Lead::Share(share) => share.get() >= 0.5,
        Lead::Fixed(lead) => half.is_some_and(|half| lead >= half),
    };
    if too_long {
        let bound = match (lead.value, half) {
            (Lead::Fixed(_), Some(half)) => in_words(half),
            (Lead::Fixed(_) | Lead::Share(_), _) => "50%".to_owned(),
        };
        findings.error(
            terms.place(&[at(lead), terms.lifetime.as_ref().and_then(at)]),
            format!(
                "{} is half of the token's lifetime or more",
                said("rotate_before", &lead_in_words(terms, lead.value), lead.origin)
            ),
            format!("set rotate_before to less than {bound}, or raise token_lifetime"),
        );
    }
}

fn gap_is_too_long(terms: &GivenTerms<'_>, findings: &Findings) {
    let (Some(schedule), Some(life)) = (&terms.schedule, &terms.lifetime) else {
        return;
    };
    let gap = schedule.value.longest;
    let place = terms.place(&[at(schedule), at(life), terms.lead.as_ref().and_then(at)]);
    let leaves = format!("`schedule` leaves up to {} between two ticks", in_words(gap));
    match (&terms.lead, terms.lead_length()) {
        (Some(lead), Some(length)) if gap > length => findings.error(
            place,
            format!(
                "{leaves}, longer than {}",
                said("rotate_before", &lead_in_words(terms, lead.value), lead.origin)
            ),
            format!(
                "let it tick at least every {}, or set rotate_before to at least {} (and \
                 token_lifetime to more than twice that)",
                in_words(length),
                in_words(gap)
            ),
        ),
        (None, _) if gap >= print::shortest_asked(life.value, terms.step) => findings.error(
            place,
            format!(
                "{leaves}: a token with {} would expire before the next",
                said("token_lifetime", &in_words(life.value), life.origin)
            ),
            format!("let it tick more often, or set token_lifetime to well over {}", in_words(gap)),
        ),
        (Some(_) | None, _) => {}
    }
}

/// Ticks that are spread further than to the next one, or so far that a rotation comes too late.
fn jitter_is_too_long(terms: &GivenTerms<'_>, findings: &Findings) {
    let (Some(schedule), Some(jitter)) = (&terms.schedule, &terms.jitter) else { return };
    let place = terms.place(&[at(jitter), at(schedule)]);
    let this = said("jitter", &in_words(jitter.value), jitter.origin);
    let Gaps { longest, shortest } = schedule.value;
    if jitter.value >= shortest {
        findings.error(
            place,
            format!(
                "{this} is not shorter than the shortest time between two ticks of `schedule` ({})",
                in_words(shortest)
            ),
            format!("set jitter to less than {}", in_words(shortest)),
        );
        return;
    }
    let Some((lead, length)) = terms.lead.as_ref().zip(terms.lead_length()) else { return };
    // A gap that is too long by itself is reported for itself.
    if longest <= length && longest.saturating_add(jitter.value) > length {
        findings.error(
            place,
            format!(
                "{this} and the longest time between two ticks ({}) are together longer than {}",
                in_words(longest),
                said("rotate_before", &lead_in_words(terms, lead.value), lead.origin)
            ),
            format!("set jitter to at most {}, or raise rotate_before", in_words(length - longest)),
        );
    }
}

fn age_ends_within_overlap(terms: &GivenTerms<'_>, findings: &Findings) -> bool {
    let Some(age) = &terms.max_age else {
        return false;
    };
    let overlap = &terms.overlap;
    if age.value > overlap.value {
        return false;
    }
    findings.error(
        terms.place(&[at(age), at(overlap)]),
        format!(
            "{} is not longer than {}",
            said("max_age", &in_words(age.value), age.origin),
            said("overlap", &in_words(overlap.value), overlap.origin)
        ),
        format!(
            "set max_age to more than {}, or overlap to less than {}",
            in_words(overlap.value),
            in_words(age.value)
        ),
    );
    true
}

/// A time for which an older token stays beside the new one.
struct Wait<'s> {
    key: &'static str,
    given: Given<'s, Duration>,
}

impl<'s> Wait<'s> {
    fn overlap(terms: &GivenTerms<'s>) -> Self {
        Self { key: "overlap", given: terms.overlap.clone() }
    }

    fn at_latest(terms: &GivenTerms<'s>) -> Option<Self> {
        let given = terms.at_latest.clone()?;
        Some(Self { key: "revoke_at_latest", given })
    }
}

/// With two slots, the older token must be gone before the next rotation needs its slot.
fn outlasts(terms: &GivenTerms<'_>, wait: &Wait<'_>, findings: &Findings) {
    let Wait { key, given } = wait;
    let this = said(key, &in_words(given.value), given.origin);
    if let (Some(lead), Some(length)) = (&terms.lead, terms.lead_length())
        && given.value > length
    {
        let lead_at = at(lead);
        let life_at = terms.lifetime.as_ref().and_then(at);
        findings.error(
            terms.place(&[at(given), lead_at, life_at]),
            format!(
                "{this} is longer than {}",
                said("rotate_before", &lead_in_words(terms, lead.value), lead.origin)
            ),
            format!(
                "set {key} to at most {}, or raise rotate_before or token_lifetime",
                in_words(length)
            ),
        );
        return;
    }
    let Some(shortest) = terms.shortest_between_rotations() else {
        return;
    };
    if given.value > shortest {
        let others = [
            terms.schedule.as_ref().and_then(at),
            terms.max_age.as_ref().and_then(at),
            terms.lead.as_ref().and_then(at),
        ];
        let mut places = vec![at(given)];
        places.extend(others);
        findings.error(
            terms.place(&places),
            format!(
                "{this} is longer than the shortest time between two rotations ({})",
                in_words(shortest)
            ),
            format!("set {key} to at most {}, or rotate less often", in_words(shortest)),
        );
    }
}

/// A policy by which a token is due again before the next one may be created.
fn comes_too_often(terms: &GivenTerms<'_>, findings: &Findings) {
    let floor = FLOOR.to_std().unwrap_or_default();
    let Some(shortest) = terms.shortest_between_rotations().filter(|time| *time < floor) else {
        return;
    };
    let places = [
        terms.lead.as_ref().and_then(at),
        terms.lifetime.as_ref().and_then(at),
        terms.max_age.as_ref().and_then(at),
        terms.schedule.as_ref().and_then(at),
    ];
    findings.warning(
        terms.place(&places),
        format!(
            "a token is due {} after it was created, and a connection gets at most one new token in {}: \
             rotations will be late",
            in_words(shortest),
            in_words(floor)
        ),
        format!("make that at least {}, by token_lifetime, max_age or schedule", in_words(floor)),
    );
}

fn latest_is_before_overlap(terms: &GivenTerms<'_>, findings: &Findings) {
    let (Some(latest), overlap) = (&terms.at_latest, &terms.overlap) else {
        return;
    };
    if latest.value < overlap.value {
        findings.error(
            terms.place(&[at(latest), at(overlap)]),
            format!(
                "{} is shorter than {}, which always applies",
                said("revoke_at_latest", &in_words(latest.value), latest.origin),
                said("overlap", &in_words(overlap.value), overlap.origin)
            ),
            format!(
                "set revoke_at_latest to at least {}, or lower overlap",
                in_words(overlap.value)
            ),
        );
    }
}

/// Notes that older tokens are revoked by time alone, although the provider tells whether they are
/// used; `true` when it was noted.
pub(super) fn by_time_alone(
    after_use: Option<&Given<'_, bool>>,
    when_idle: bool,
    findings: &Findings,
) -> bool {
    let Some(said) = after_use.filter(|given| !given.value && !when_idle) else { return false };
    findings.warning(
        said.at,
        "`revoke_after_use = false` without `revoke_when_idle`: previous tokens are revoked by time \
         alone, even while a client still uses them",
        "leave it out if the provider reports when tokens were used, or set revoke_when_idle",
    );
    true
}

/// Notes that a person's word alone would let the older token go, although the provider tells whether
/// the newer one is used.
pub(super) fn on_a_word_alone(after_use: Option<&Given<'_, bool>>, findings: &Findings) {
    if let Some(said) = after_use.filter(|given| !given.value) {
        findings.error(
            said.at,
            "`revoke_after_use = false` with a hand-off: the previous token would be revoked on a \
             person's confirmation, before any use of the new one was seen",
            "leave it out: the provider reports when the new token is first used, and the previous one \
             is kept until then",
        );
    }
}

/// Without a life that is asked for, a token whose create was lost cannot be told from a colleague's.
fn life_is_recommended(terms: &GivenTerms<'_>, findings: &Findings) {
    if terms.expires && terms.lifetime.is_none() && terms.recommends_life {
        findings.warning(
            terms.at,
            "without `token_lifetime` Scimitar cannot recognise a token whose create answer was lost: \
             it occupies its slot until somebody revokes it",
            "set token_lifetime = \"90d\": Scimitar recognises it by its exact lifetime",
        );
    }
}

/// What the connection itself says in vain; in `[defaults]` it may be meant for others.
fn without_effect(terms: &GivenTerms<'_>, findings: &Findings) {
    if let Some(latest) = own(terms.at_latest.as_ref())
        && !terms.after_use
        && terms.when_idle.is_none()
    {
        findings.warning(
            latest,
            "`revoke_at_latest` has no effect: no usage condition is configured",
            "set revoke_after_use or revoke_when_idle, or leave it out",
        );
    }
    let (jitter, window) = (own(terms.jitter.as_ref()), own(terms.window.as_ref()));
    let zone = own(terms.has_timezone.as_ref()).filter(|_| !terms.has_freeze);
    for (key, place) in [("timezone", zone), ("jitter", jitter), ("window", window)] {
        if let Some(place) = place.filter(|_| terms.schedule.is_none()) {
            findings.warning(
                place,
                format!("`{key}` has no effect without `schedule`"),
                "set a schedule, or leave it out",
            );
        }
    }
    if let Some(lead) = own(terms.lead.as_ref())
        && terms.lifetime.is_none()
        && !terms.always_expires
    {
        findings.warning(
            lead,
            "`rotate_before` has no effect on tokens without `token_lifetime`: they do not expire",
            "set token_lifetime, or leave it out",
        );
    }
}

/// Where the connection itself says it.
pub(super) fn at<'s, T>(given: &Given<'s, T>) -> Option<At<'s>> {
    match given.origin {
        Origin::Own => Some(given.at),
        Origin::Defaults | Origin::Builtin => None,
    }
}

fn own<'s, T>(given: Option<&Given<'s, T>>) -> Option<At<'s>> {
    given.and_then(at)
}

/// A key with its value, and who said it.
pub(super) fn said(key: &str, value: &str, origin: Origin) -> String {
    match origin {
        Origin::Own => format!("`{key}` ({value})"),
        Origin::Defaults => format!("`{key}` ({value}, from [defaults])"),
        Origin::Builtin => format!("`{key}` ({value}, the default)"),
    }
}

pub(super) fn lead_in_words(terms: &GivenTerms<'_>, lead: Lead) -> String {
    match (lead, &terms.lifetime) {
        (Lead::Fixed(lead), _) => in_words(lead),
        (Lead::Share(share), None) => percent_in_words(share),
        (Lead::Share(share), Some(life)) => format!(
            "{} of {}: {}",
            percent_in_words(share),
            in_words(life.value),
            in_words(share.of(life.value))
        ),
    }
}
