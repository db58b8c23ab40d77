//! By what a token of ours is recognised without its value: its name where tokens have names, else
//! the print, a life by whose last digits it differs from all others.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;

use super::record::Intent;
use crate::{
    clock::ProviderTime,
    token::{ConnectionName, Listed, TokenName},
};

/// What every name of ours begins with.
const NAMES: &str = "scimitar";

/// How far a granted life may be off the life asked for.
pub const TOLERANCE: u64 = 2;

/// The distance between two prints at least, more than twice [`TOLERANCE`].
const STEP: u64 = 5;

/// How much earlier than the list's clock (whole seconds in a `Date` header) a token made after
/// it may claim to be created.
const DATE_RESOLUTION: TimeDelta = TimeDelta::seconds(1);

/// The same where a print speaks for it: the machine that answers may be ahead of the one that
/// notes the time.
const MACHINES_APART: TimeDelta = TimeDelta::minutes(2);

/// How many prints there are at least where one is to tell a new token from the current and the
/// previous one.
pub const FEWEST: u64 = 3;

/// The prints that a policy leaves room for: `lifetime − distance·k`, k in 1 ‥ `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prints {
    lifetime: u64,
    distance: u64,
    count: u64,
}

impl Prints {
    /// Of lives in whole multiples of `step`: what is granted is then what was asked for. They cost a
    /// twentieth of the life at most, and a 500th where that leaves [`Prints::USUAL`].
    fn of(lifetime: Duration, step: Duration) -> Self {
        let step = step.as_secs().max(1);
        let distance = STEP.next_multiple_of(step);
        let lifetime = lifetime.as_secs() - lifetime.as_secs() % step;
        let usual = (lifetime / (500 * distance)).clamp(Self::USUAL, 1000);
        Self { lifetime, distance, count: usual.min(lifetime / (20 * distance)) }
    }

    /// So many where the life is short.
    const USUAL: u64 = 8;

    fn life(self, k: u64) -> Option<u64> {
        self.lifetime.checked_sub(self.distance * k)
    }
}

/// How many prints there are for a lifetime, of lives in whole multiples of `step` and not under
/// `shortest`.
#[must_use]
pub fn count(lifetime: Duration, shortest: Duration, step: Duration) -> u64 {
    let prints = Prints::of(lifetime, step);
    let room = prints.lifetime.saturating_sub(shortest.as_secs()) / prints.distance;
    prints.count.min(room)
}

/// The shortest lifetime that there are [`FEWEST`] prints for.
#[must_use]
pub fn least_lifetime(shortest: Duration, step: Duration) -> Duration {
    let distance = Prints::of(shortest, step).distance;
    let least = (shortest.as_secs() + FEWEST * distance).max(20 * FEWEST * distance);
    Duration::from_secs(least.next_multiple_of(step.as_secs().max(1)))
}

/// The shortest life that a print asks for where `lifetime` is configured.
#[must_use]
pub fn shortest_asked(lifetime: Duration, step: Duration) -> Duration {
    let prints = Prints::of(lifetime, step);
    Duration::from_secs(prints.life(prints.count).unwrap_or_default())
}

/// The life to ask for where there is no print: the lifetime in whole multiples of `step`, unless that
/// is under `shortest`.
#[must_use]
pub fn unprinted(lifetime: Duration, shortest: Duration, step: Duration) -> Duration {
    let whole = Duration::from_secs(Prints::of(lifetime, step).lifetime);
    if whole < shortest { lifetime } else { whole }
}

/// Chooses the life to ask for: `lifetime − 5·k` seconds, k in 1 ‥ clamp(lifetime / 2500 s, 8, 1000),
/// not under `shortest`, and not a life that is in `taken`. Where lives are coarser (`step`), the
/// distance is a multiple of that. `bits` is the randomness.
///
/// `None` where the lifetime is too short for any, or every one is taken: the life is then asked
/// for as it is, and only the moment of its creation speaks for the token.
#[must_use]
pub fn choose(
    lifetime: Duration,
    shortest: Duration,
    step: Duration,
    taken: &BTreeSet<u64>,
    bits: u64,
) -> Option<Duration> {
    let prints = Prints::of(lifetime, step);
    let first = bits.checked_rem(prints.count)?;
    (0..prints.count)
        .filter_map(|i| prints.life(1 + (first + i) % prints.count))
        .filter(|life| *life >= shortest.as_secs())
        .find(|life| taken.iter().all(|other| other.abs_diff(*life) > 2 * TOLERANCE))
        .map(Duration::from_secs)
}

/// Chooses the name to ask for: `scimitar/CONNECTION/NONCE`, not one that is in `taken`. `bits` is
/// the randomness.
///
/// `None` only if it could not be a name, which a connection's own name leaves room for.
#[must_use]
pub fn name(
    connection: &ConnectionName,
    taken: &BTreeSet<&TokenName>,
    bits: u64,
) -> Option<TokenName> {
    (0..=taken.len() as u64)
        .filter_map(|i| {
            let nonce = bits.wrapping_add(i);
            TokenName::try_new(format!("{NAMES}/{connection}/{nonce:016x}")).ok()
        })
        .find(|name| !taken.contains(name))
}

/// Whether a token is called as those that this connection asks for, whoever wrote that down.
#[must_use]
pub fn bears_name_of(token: &Listed, connection: &ConnectionName) -> bool {
    token.name.as_ref().is_some_and(|name| {
        let nonce = name
            .as_str()
            .strip_prefix(NAMES)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.strip_prefix(connection.as_str()))
            .and_then(|rest| rest.strip_prefix('/'));
        nonce.is_some_and(|nonce| {
            nonce.len() == 16 && nonce.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    })
}

/// The names that a new one must differ from.
#[must_use]
pub fn names_taken<'a>(
    tokens: impl Iterator<Item = &'a Listed>,
    intents: impl Iterator<Item = &'a Intent>,
) -> BTreeSet<&'a TokenName> {
    let listed = tokens.filter_map(|token| token.name.as_ref());
    listed.chain(intents.filter_map(|intent| intent.name.as_ref())).collect()
}

/// A listed token's granted life in seconds.
#[must_use]
pub fn granted(token: &Listed) -> Option<u64> {
    let life = (token.valid_until? - token.created_at).to_std().ok()?;
    Some(life.as_secs() + u64::from(life.subsec_millis() >= 500))
}

/// Whether an intent's create can have made a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// It bears the intent's name or print.
    Ours,
    /// All fits but the proof: a probable orphan.
    Probable,
    /// It was not made by this create.
    No,
}

/// How exactly a provider keeps what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fidelity {
    /// By how many seconds lives were off at most; beyond [`TOLERANCE`] the print is not trusted.
    pub life_off: u64,
    /// Whether names came back as they were asked for.
    pub names: bool,
}

/// Compares an unknown token with an open intent.
#[must_use]
pub fn likeness(token: &Listed, intent: &Intent, fidelity: Fidelity) -> Likeness {
    if let Some(asked) = &intent.name {
        return likeness_by_name(token, intent, asked, fidelity.names);
    }
    let off = fidelity.life_off;
    let printed = intent.is_printed() && off <= TOLERANCE;
    let early = if printed { MACHINES_APART } else { DATE_RESOLUTION };
    let possible = !intent.known.contains(&token.id)
        && token.created_at >= intent.listed_at - early
        && token.scopes == intent.scopes
        && token.last_used_at.is_none();
    if !possible {
        return Likeness::No;
    }
    let life_fits = match (intent.life, granted(token)) {
        (Some(asked), Some(granted)) => asked.as_secs().abs_diff(granted) <= off.max(TOLERANCE),
        (None, None) => true,
        // A provider that grants no end at all was seen to be off by any number.
        (Some(_), None) => off == u64::MAX,
        (None, Some(_)) => false,
    };
    if printed {
        return if life_fits { Likeness::Ours } else { Likeness::No };
    }
    // Without a print that can be trusted only the moment speaks for it, and a colleague may have
    // made one at the same moment: nothing is revoked on that.
    let in_window = token.created_at <= intent.answered_by;
    if in_window || life_fits { Likeness::Probable } else { Likeness::No }
}

/// The name was written down before the call and nobody else knew it: whoever bears it was made by
/// that call, whenever it says that it was. One that was used is in somebody's hands all the same.
fn likeness_by_name(token: &Listed, intent: &Intent, asked: &TokenName, trusted: bool) -> Likeness {
    let unused = token.last_used_at.is_none();
    let named = token.name.as_ref() == Some(asked);
    let in_window = token.created_at >= intent.listed_at - DATE_RESOLUTION
        && token.created_at <= intent.answered_by;
    if intent.known.contains(&token.id) {
        return Likeness::No;
    }
    match (named, unused) {
        (true, true) => Likeness::Ours,
        (true, false) => Likeness::Probable,
        // Where names are changed on the way, the moment is left, and it proves nothing alone.
        (false, true) if !trusted && in_window => Likeness::Probable,
        (false, _) => Likeness::No,
    }
}

/// The lives that a new print must differ from.
#[must_use]
pub fn taken<'a>(
    tokens: impl Iterator<Item = &'a Listed>,
    intents: impl Iterator<Item = &'a Intent>,
) -> BTreeSet<u64> {
    tokens
        .filter_map(granted)
        .chain(intents.filter_map(|intent| intent.life.map(|life| life.as_secs())))
        .collect()
}

/// How long an open intent is kept: an effect that comes this late is still known as ours.
#[must_use]
pub fn kept_until(intent: &Intent) -> ProviderTime {
    let kept = if intent.is_marked() { TimeDelta::days(7) } else { TimeDelta::days(1) };
    intent.listed_at + kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    proptest! {
        #[test]
        fn a_print_in_coarse_lives_is_granted_to_the_second(
            hours in 3_u64..20_000,
            step in 1_u64..90,
            bits: u64,
        ) {
            let (lifetime, step) = (Duration::from_secs(hours * 3600), Duration::from_secs(step));
            let life = choose(lifetime, SECOND, step, &BTreeSet::new(), bits).unwrap().as_secs();
            prop_assert_eq!(life % step.as_secs(), 0);
            let lifetime = lifetime.as_secs();
            prop_assert!(life < lifetime && lifetime - life <= lifetime / 20 + step.as_secs());
            let taken = BTreeSet::from([life]);
            let other = choose(Duration::from_secs(lifetime), SECOND, step, &taken, bits).unwrap();
            prop_assert!(other.as_secs().abs_diff(life) >= step.as_secs().max(5));
        }

        #[test]
        fn a_print_is_below_the_lifetime_and_differs_from_all_others(
            lifetime in 960_u64..100_000_000,
            bits: u64,
            others in proptest::collection::btree_set(901_u64..10_000, 0..2),
        ) {
            let (lifetime, shortest) = (Duration::from_secs(lifetime), Duration::from_secs(901));
            let life = choose(lifetime, shortest, SECOND, &others, bits).unwrap().as_secs();
            let lifetime = lifetime.as_secs();
            prop_assert!(life >= 901 && life < lifetime);
            prop_assert!(lifetime - life <= 5000);
            prop_assert!(others.iter().all(|other| other.abs_diff(life) > 4));
        }
    }

    #[test]
    fn a_name_is_the_connections_own_and_differs_from_all_others() {
        let connection = ConnectionName::try_new("initech/okta").unwrap();
        let first = name(&connection, &BTreeSet::new(), 0xfe).unwrap();
        assert_eq!(first.as_str(), "scimitar/initech/okta/00000000000000fe");
        let second = name(&connection, &BTreeSet::from([&first]), 0xfe).unwrap();
        assert_eq!(second.as_str(), "scimitar/initech/okta/00000000000000ff");
        let last = TokenName::try_new("scimitar/initech/okta/ffffffffffffffff").unwrap();
        let around = name(&connection, &BTreeSet::from([&last]), u64::MAX).unwrap();
        assert_eq!(around.as_str(), "scimitar/initech/okta/0000000000000000");
    }

    #[test]
    fn only_a_name_of_this_connection_in_full_speaks_for_a_token() {
        let connection = ConnectionName::try_new("initech").unwrap();
        let bears = |name: &str| {
            let token = Listed {
                name: TokenName::try_new(name).ok(),
                ..crate::rotation::fixture::token("tok_1", 0)
            };
            bears_name_of(&token, &connection)
        };
        assert!(bears("scimitar/initech/00000000000000fe"));
        for other in [
            "scimitar/initech/fe",
            "scimitar/initech/00000000000000FE",
            "scimitar/initech/00000000000000fe ",
            "scimitar/initech-2/00000000000000fe",
            "scimitar/initech/x/00000000000000fe",
            "Scimitar/initech/00000000000000fe",
            "okta-scim",
            "",
        ] {
            assert!(!bears(other), "{other:?}");
        }
    }

    #[test]
    fn the_shortest_lifetimes_have_room_for_no_print() {
        let choose = |lifetime| {
            let shortest = Duration::from_secs(901);
            choose(Duration::from_secs(lifetime), shortest, SECOND, &BTreeSet::new(), 7)
        };
        assert_eq!((choose(901), choose(905)), (None, None));
        assert_eq!(choose(906), Some(Duration::from_secs(901)));
    }

    #[test]
    fn lives_in_minutes_leave_room_for_prints_in_minutes() {
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        // Confluent Cloud gives no life under thirty days.
        assert_eq!(count(90 * day, 30 * day, minute), 259);
        assert_eq!(count(30 * day, 30 * day, minute), 0);
        assert_eq!(choose(30 * day, 30 * day, minute, &BTreeSet::new(), 7), None);
        assert_eq!(count(30 * day + 2 * minute, 30 * day, minute), 2);
        for (shortest, step) in [(30 * day, minute), (day, day), (901 * SECOND, SECOND)] {
            let least = least_lifetime(shortest, step);
            assert!(count(least, shortest, step) >= FEWEST, "{least:?}");
            assert!(count(least - step, shortest, step) < FEWEST, "{least:?}");
        }
        // A life that is off by less than a step is asked for as it will be granted.
        let odd = 90 * day + Duration::from_secs(59);
        assert_eq!(unprinted(odd, 30 * day, minute), 90 * day);
        assert_eq!(unprinted(odd, odd, minute), odd);
        // No print costs more than a twentieth of the life.
        assert_eq!(count(90 * day, day, day), 4);
        assert_eq!(choose(19 * day, day, day, &BTreeSet::new(), 0), None);
    }
}
