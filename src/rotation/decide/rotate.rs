//! Whether a rotation starts now, and what keeps it from it.

use chrono::TimeDelta;

use super::{
    Decision, Situation, Status, Step, Verdict, Veto, foreign, held, is_hopeless, last_look,
    life_left, minting, note,
    pressing::{CLOSE, answered, presses, presses_at},
    rest, sinks, step, verdict,
};
use crate::{
    clock::{Timestamp, spelled},
    rotation::{
        due::{self, Due},
        event::Event,
        observe::{DEAD_AFTER, FRESH, Held, is_dead},
        policy::{Mode, ScopePolicy, Verify},
        record::{Cause, Missing, Retiring, SinkState},
        view,
        why::Reason,
    },
    token::Scopes,
    words::date,
};

/// How many tokens that nobody got and that could not be taken back there may be before no further
/// one is made: a provider without a limit would take one after the other.
const MOST_LEFT_BEHIND: usize = 3;

/// The next step of a rotation that is to start, or why it may not. `None` when none is to start.
pub(super) fn next(s: &Situation<'_>) -> Option<Decision> {
    let due = sinks::due(s);
    let by_hand = s.request.since().is_some() && !answered(s);
    if s.policy.terms.mode == Mode::Observe || s.ending.is_some() || !(by_hand || is_due(s)) {
        return None;
    }
    if let Some(decision) = held::rotation(s, &due, by_hand) {
        return Some(decision);
    }
    let because = match (by_hand, due.urgent) {
        (true, false) => "an operator asked for it".to_owned(),
        (_, _) => match held::start(s, &due).and_then(|start| start.overruled) {
            Some(overruled) => format!("{}; {overruled}", due.because),
            None => due.because.clone(),
        },
    };
    Some(
        retire_dead(s)
            .or_else(|| held_up(s, &due, by_hand))
            .or_else(|| slot(s, by_hand))
            .or_else(|| overdrawn(s, &due, by_hand))
            .unwrap_or_else(|| start(s, because)),
    )
}

/// Whether one is due by the policy.
pub(super) fn is_due(s: &Situation<'_>) -> bool {
    sinks::due(s).at.is_some_and(|at| at <= s.provider_now())
}

/// So many lost tokens of a tenant brake nothing, whatever part of it they are …
const BRAKE_FEW: usize = 3;

/// … and no more than one in so many.
pub const BRAKE_PART: usize = 10;

/// Failures, the floor, the brake, and what cannot be seen.
fn held_up(s: &Situation<'_>, due: &Due, by_hand: bool) -> Option<Decision> {
    let (connections, lost) = s.observed.losses;
    if !by_hand && lost > BRAKE_FEW && lost * BRAKE_PART > connections {
        return Some(rest(
            s,
            Status::Refused,
            Some(Reason::Brake),
            None,
            format!(
                "{lost} of {connections} connections of {} lost their current token at the same time: find out whether somebody deleted them; no token is created there until the next check shows otherwise, or until `scimitar rotate {}` asks for one",
                s.record.key.tenant, s.record.name
            ),
        ));
    }
    if let Some(floor) = floor(s, due).filter(|_| !by_hand) {
        let (reason, until) = (Some(Reason::Overlap), Some(floor.until));
        let words = format!("due again, although {}", floor.because());
        return Some(rest(s, Status::Waiting, reason, until, words));
    }
    if let Some(until) = s.held_back(s.record.troubles.mint.as_ref()) {
        let trouble = s.record.troubles.mint.as_ref();
        let words = trouble.map(|trouble| trouble.fault.to_string()).unwrap_or_default();
        // Where nothing is due, the call that ends with this is the only one to try.
        let ends = s.request.since().is_some_and(|since| is_hopeless(s, since));
        let ends = by_hand && !is_due(s) && ends;
        let words = if ends {
            format!(
                "{words}; this rotation is not tried again automatically: run the command again once that is mended"
            )
        } else {
            format!("{words}; next try at {}", date(until))
        };
        return Some(rest(s, Status::Troubled, Some(blame(s)), Some(until), words));
    }
    if s.list().is_none() {
        return Some(unseen(s));
    }
    let takes = |sink: &SinkState| {
        unavailable(s, sink).is_none() && foreign::would_be_lost(s, sink).is_none()
    };
    if presses(s) && s.readable().any(takes) {
        return None;
    }
    s.readable().find_map(|sink| unavailable(s, sink)).or_else(|| foreign::in_the_way(s))
}

/// The time for which a connection gets no further token by itself.
pub(super) struct Floor {
    /// When the last rotation began.
    last: Timestamp,
    /// How far apart two are, at least.
    apart: TimeDelta,
    /// When the next may begin.
    pub(super) until: Timestamp,
}

impl Floor {
    /// Why, as in "although …".
    pub(super) fn because(&self) -> String {
        format!(
            "a token was created at {}: a connection gets at most one new token in {}",
            date(self.last),
            spelled(self.apart.to_std().unwrap_or_default())
        )
    }
}

/// What keeps the next rotation apart from the last one.
pub(super) fn floor(s: &Situation<'_>, due: &Due) -> Option<Floor> {
    let last = s.record.last_rotation.as_ref().filter(|_| !due.urgent)?.began;
    let apart =
        TimeDelta::from_std(s.policy.terms.retire.overlap).unwrap_or_default().max(due::FLOOR);
    // No floor makes an outage, or keeps one going.
    let presses_at = presses_at(s).map(|at| s.on_our_clock(at));
    let until = presses_at.map_or(last + apart, |at| at.min(last + apart));
    // A clock that was set back does not make it any longer.
    (last..until).contains(&s.now).then_some(Floor { last, apart, until })
}

/// Why a rotation that began now could not be finished at this place.
fn unavailable(s: &Situation<'_>, sink: &SinkState) -> Option<Decision> {
    let trouble = sink.trouble.as_ref();
    let (until, words) = match s.held(&sink.place.key) {
        // What could not be written a moment ago could not be finished now.
        Some(Held::Nothing(_) | Held::Token { .. } | Held::Unknown(_)) => {
            let until = s.held_back(trouble)?;
            let words = format!(
                "{}; no token is created before the next try at {}",
                trouble?.fault,
                date(until)
            );
            (Some(until), words)
        }
        Some(Held::Unreadable(_)) | None => {
            let fault = trouble
                .map_or_else(|| sink.place.location.clone(), |trouble| trouble.fault.to_string());
            let words = format!("no token is created before every sink has been read: {fault}");
            (trouble.map(|trouble| trouble.retry_at), words)
        }
    };
    if s.has_moved(sink) {
        let words = trouble.map_or(words, |trouble| trouble.fault.to_string());
        let until = trouble.map(|trouble| trouble.retry_at);
        return Some(rest(s, Status::Refused, Some(Reason::PlaceChanged), until, words));
    }
    Some(rest(s, Status::Troubled, Some(Reason::SinkUnavailable), until, words))
}

/// Whether no place holds the current token, whatever is there instead: the wait for an older one in
/// the slot would have no end, since that one stays until every place has a newer one.
fn nobody_has_current(s: &Situation<'_>) -> bool {
    let Some(current) = &s.record.current else { return false };
    let id = &current.token.id;
    s.record.places().all(|sink| match s.held(&sink.place.key) {
        Some(Held::Unreadable(_)) => false,
        Some(held @ (Held::Nothing(_) | Held::Token { .. } | Held::Unknown(_))) => {
            held.id() != Some(id)
        }
        None => !sink.readable && sink.holds.as_ref() != Some(id),
    })
}

/// Whose failure keeps the next attempt waiting.
fn blame(s: &Situation<'_>) -> Reason {
    let trouble = s.record.troubles.mint.as_ref();
    trouble.map_or(Reason::Backoff, |trouble| view::blame(s.record, trouble))
}

/// A rest because the provider could not be listed.
pub(super) fn unseen(s: &Situation<'_>) -> Decision {
    let Some(trouble) = &s.record.troubles.look else {
        let words = "the provider's tokens could not be listed";
        return rest(s, Status::Troubled, Some(Reason::ProviderUnavailable), None, words);
    };
    let (reason, fault) = view::unlisted(s.record, &trouble.fault);
    rest(s, Status::Troubled, Some(reason), Some(trouble.retry_at), fault.to_string())
}

/// Where a create was refused for want of a slot, a token that expired long ago is in its way.
fn retire_dead(s: &Situation<'_>) -> Option<Decision> {
    let now = s.provider_now();
    if s.record.slot_denied {
        let dead = s.list()?.tokens.iter().find(|token| {
            is_dead(token, now)
                && !s.record.retiring.iter().any(|retiring| retiring.token.id == token.id)
        });
        if let Some(token) = dead {
            let why = format!(
                "a create was rejected because no slot was free, and {} has expired",
                token.id
            );
            let event = Event::Retired {
                token: token.clone(),
                cause: Cause::Dead,
                retire: s.policy.terms.retire.clone(),
                at: now,
            };
            return Some(note(event, &why));
        }
    }
    None
}

/// Whether there is a slot; if not, who holds it and what frees it.
fn slot(s: &Situation<'_>, by_hand: bool) -> Option<Decision> {
    if s.has_slot() {
        return None;
    }
    let listed = |retiring: &&Retiring| s.is_live(&retiring.token.id);
    if let Some(retiring) = s.record.retiring.iter().find(listed) {
        // What dies by itself frees its slot, whatever is waited for.
        let dies = retiring.token.valid_until.map(|until| s.on_our_clock(until + DEAD_AFTER));
        if sinks::value_is_lost(s) || nobody_has_current(s) {
            let (name, id) = (&s.record.name, &retiring.token.id);
            let by_itself = dies.map(|at| {
                format!("; or wait until {}, when {id} has expired and its slot is free", date(at))
            });
            return Some(rest(
                s,
                Status::Refused,
                Some(Reason::PreviousInUse),
                dies,
                format!(
                    "{}, and the previous token {id} occupies the slot that its replacement needs: put the value back into a sink, or `scimitar revoke {name} --token-id {id} --force` frees the slot (clients that still use {id} have no access until the replacement is delivered){}",
                    sinks::lost_because(s),
                    by_itself.unwrap_or_default()
                ),
            ));
        }
        let (words, until) = match verdict(s, retiring) {
            Verdict::Wait { words, until, .. } => {
                (words, until.map(|at| s.on_our_clock(at)).into_iter().chain(dies).min())
            }
            Verdict::Ready(words) => {
                let blocked = last_look::pass(s, retiring).err().map(|blocked| blocked.words);
                let stays = blocked.unwrap_or_else(|| "it could not be revoked yet".to_owned());
                (format!("{words}, but {stays}"), None)
            }
        };
        let status = if by_hand { Status::Refused } else { Status::Waiting };
        return Some(rest(
            s,
            status,
            Some(Reason::PreviousInUse),
            until,
            format!("the previous token occupies the slot that a rotation needs: {words}"),
        ));
    }
    Some(no_slot(s))
}

/// Both slots hold tokens, and one of them is nobody's.
pub(super) fn no_slot(s: &Situation<'_>) -> Decision {
    let name = &s.record.name;
    let Some((id, unmanaged)) = s.record.unmanaged.iter().find(|(id, _)| s.is_live(id)) else {
        return rest(
            s,
            Status::Refused,
            Some(Reason::NoFreeSlot),
            None,
            format!(
                "the provider allows no further token for this connection, and Scimitar may revoke none of the existing ones: `scimitar tokens {name}` lists them; delete one that nobody uses, at the provider or with `scimitar revoke {name} --token-id ID`"
            ),
        );
    };
    let token = s.live().find(|token| token.id == *id);
    let made =
        token.map_or_else(String::new, |token| format!(", created at {}", date(token.created_at)));
    let used = token
        .and_then(|token| token.last_used_at)
        .map_or_else(|| "no recorded use".to_owned(), |at| format!("last used at {}", date(at)));
    let unused = token.is_none_or(|token| token.last_used_at.is_none());
    let probable = if unmanaged.probably_ours && unused {
        "; it is probably an orphan of this Scimitar, which cannot be proven"
    } else {
        ""
    };
    // Without a current token nothing would ever supersede it.
    let or_retire = if s.record.current.is_some() {
        format!(
            ", `scimitar adopt {name} --token-id {id} --retire` lets Scimitar retire it according to the policy"
        )
    } else {
        String::new()
    };
    rest(
        s,
        Status::Refused,
        Some(Reason::UnmanagedToken),
        None,
        format!(
            "unmanaged token {id} ({used}{made}) occupies the slot that a rotation needs{probable}: `scimitar revoke {name} --token-id {id}` revokes it{or_retire}"
        ),
    )
}

/// Whether too many tokens were made in vain and are still there. Who is without a token that works,
/// or will be soon, is not kept from one by that.
fn overdrawn(s: &Situation<'_>, due: &Due, by_hand: bool) -> Option<Decision> {
    if by_hand || due.urgent || presses(s) {
        return None;
    }
    let left = |retiring: &&Retiring| retiring.cause.is_orphan() && s.is_live(&retiring.token.id);
    let ids: Vec<&str> =
        s.record.retiring.iter().filter(left).map(|retiring| retiring.token.id.as_str()).collect();
    if ids.len() < MOST_LEFT_BEHIND {
        return None;
    }
    let trouble = s.record.troubles.revoke.as_ref();
    let why = trouble.map(|trouble| format!(": {}", trouble.fault)).unwrap_or_default();
    Some(rest(
        s,
        Status::Troubled,
        Some(Reason::ProviderUnavailable),
        trouble.map(|trouble| trouble.retry_at),
        format!(
            "{} were created for this connection, reached no sink and could not be revoked{why}; no further token is created until they are revoked, unless `scimitar rotate {}` asks for one",
            ids.join(", "),
            s.record.name
        ),
    ))
}

fn start(s: &Situation<'_>, because: String) -> Decision {
    let scopes: Scopes = match &s.policy.terms.scopes {
        ScopePolicy::Exactly(scopes) => scopes.clone(),
        ScopePolicy::Inherit => s
            .record
            .current
            .as_ref()
            .map(|current| current.token.scopes.clone())
            .unwrap_or_default(),
        ScopePolicy::InheritOrDefault => s.record.current.as_ref().map_or_else(
            || s.policy.capabilities.default_scopes.clone(),
            |current| current.token.scopes.clone(),
        ),
    };
    if scopes.is_empty() && s.policy.capabilities.scopes {
        return rest(
            s,
            Status::Refused,
            Some(Reason::NoScopes),
            None,
            "scopes = \"inherit\" takes the current token's scopes, and there is no current token: name the scopes in the policy, or leave scopes out to use the provider's default",
        );
    }
    let Some(list) = s.list() else { return unseen(s) };
    let shown = |at: Timestamp| (s.now - at).abs() <= FRESH;
    if !s.observed.preflight.is_some_and(shown) {
        let all = !presses(s);
        let which = if all { "every sink is" } else { "at least one sink is" };
        let endpoint = veto(s);
        let there = if endpoint == Veto::None { "" } else { " and that the SCIM endpoint exists" };
        return step(
            Step::Preflight { all, endpoint },
            format!("{because}; first check that {which} writable{there}"),
        );
    }
    let value_was_lost = s.record.current.is_some() && sinks::value_is_lost(s);
    let intent = minting::intent(s, list, scopes, because.clone(), value_was_lost);
    step(Step::Mint(Box::new(intent)), because)
}

/// How much the SCIM endpoint may hold up now. It proves nothing where nothing is verified, it may be
/// down for an hour without keeping a month-old token from its replacement, and at the end of a life
/// any replacement is better than none.
fn veto(s: &Situation<'_>) -> Veto {
    if s.policy.terms.verify == Verify::Off {
        return Veto::None;
    }
    let Some(current) = &s.record.current else { return Veto::Silence };
    if s.record.missing.as_ref().is_some_and(Missing::proves_gone) || sinks::value_is_lost(s) {
        return Veto::None;
    }
    let Some(left) = life_left(s.record, s.provider_now()) else { return Veto::Silence };
    let token = &current.token;
    let life = token.valid_until.map_or(left, |until| until - token.created_at);
    // A short life has a short end.
    let end = CLOSE.min(life / 6);
    if left <= end {
        Veto::None
    } else if left <= TimeDelta::days(1).min(life / 10).max(end) {
        Veto::Refusal
    } else {
        Veto::Silence
    }
}
