//! The connections of a tenant, as the last complete list showed them: what `[[discover]]` goes by while
//! the provider cannot be asked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, provider::connections::Found, token::ConnectionId, words::date};

/// So many may vanish at once, whatever their share.
const FEW: usize = 3;

/// One in so many may vanish at once.
const ONE_IN: usize = 10;

/// What a tenant has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// When the list was read that this is.
    pub at: Timestamp,
    /// What it showed.
    pub connections: BTreeMap<ConnectionId, Member>,
    /// A newer list that would let too many go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// What it is called at the provider; any text.
    pub name: String,
    /// Its strategy.
    pub strategy: String,
    /// Since when it is known: of two that want one place, the older one has it.
    pub since: Timestamp,
}

impl Member {
    /// The same as a list shows it.
    #[must_use]
    pub fn found(&self, id: &ConnectionId) -> Found {
        Found { id: id.clone(), name: self.name.clone(), strategy: self.strategy.clone() }
    }
}

/// A list that waits for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Since when lists are held.
    pub since: Timestamp,
    /// When the newest of them was read.
    pub at: Timestamp,
    /// How many connections it would let go: it does not show them, or as something that no policy holds
    /// for.
    pub gone: usize,
    /// Of how many.
    pub of: usize,
}

impl Held {
    /// As a sentence, with the way out.
    #[must_use]
    pub fn words(&self, provider: &str) -> String {
        format!(
            "{} of the {} connections discovered at {provider} are missing from its list, or no \
             [[discover]] matches them any more, since {}: Scimitar adds and removes no connection there until an \
             operator decides. `scimitar discover {provider}` shows them. If this is correct, accept the \
             list: `scimitar discover {provider} --accept`",
            self.gone,
            self.of,
            date(self.since)
        )
    }
}

/// Whose a connection of a tenant is, that several providers of a configuration can stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A rule of the provider that was listed holds for it.
    Ours,
    /// Only a rule of another provider does: it is for that one's list to let it go.
    Anothers,
    /// No rule does.
    Nobodys,
}

impl Inventory {
    /// What is known after a complete list of a provider. Too many of its own connections let go at once
    /// hold the list, unless an operator has `accepted` it. One that is shown under another name or
    /// strategy, for which no rule holds, is let go as one that is missing.
    #[must_use]
    pub fn after(
        previous: Option<&Self>,
        found: &[Found],
        now: Timestamp,
        accepted: bool,
        whose: impl Fn(&Found) -> Whose,
    ) -> Self {
        let connections: BTreeMap<ConnectionId, Member> = found
            .iter()
            .map(|one| {
                let known = previous.and_then(|previous| previous.connections.get(&one.id));
                let since = known.map_or(now, |known| known.since);
                let member =
                    Member { name: one.name.clone(), strategy: one.strategy.clone(), since };
                (one.id.clone(), member)
            })
            .collect();
        let mut fresh = Self { at: now, connections, held: None };
        let Some(previous) = previous else { return fresh };
        let mut of = 0;
        let mut gone = 0;
        for (id, member) in &previous.connections {
            let now = fresh.connections.get(id).map(|now| now.found(id));
            let stays = now.is_some_and(|now| whose(&now) != Whose::Nobodys);
            match whose(&member.found(id)) {
                Whose::Ours => {
                    of += 1;
                    gone += usize::from(!stays);
                }
                Whose::Anothers if !stays => {
                    fresh.connections.insert(id.clone(), member.clone());
                }
                Whose::Anothers | Whose::Nobodys => {}
            }
        }
        if accepted || gone <= FEW || gone * ONE_IN <= of {
            return fresh;
        }
        let since = previous.held.map_or(now, |held| held.since);
        Self { held: Some(Held { since, at: now, gone, of }), ..previous.clone() }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::clock::parse_timestamp;

    fn at(minute: i64) -> Timestamp {
        parse_timestamp("2026-11-22T04:00:00Z").unwrap() + TimeDelta::minutes(minute)
    }

    fn found(ids: std::ops::Range<usize>) -> Vec<Found> {
        ids.map(|nth| Found {
            id: ConnectionId::try_new(format!("c-{nth}")).unwrap(),
            name: format!("cust-{nth}"),
            strategy: "okta".to_owned(),
        })
        .collect()
    }

    #[test]
    fn what_is_new_is_taken_and_what_is_gone_is_let_go() {
        let first = Inventory::after(None, &found(0..40), at(0), false, |_| Whose::Ours);
        assert_eq!((first.connections.len(), first.held), (40, None));
        // Four of forty are a tenth, and no more.
        let next = Inventory::after(Some(&first), &found(4..50), at(1), false, |_| Whose::Ours);
        assert_eq!((next.connections.len(), next.held, next.at), (46, None, at(1)));
        let since = |id: &str| next.connections[&ConnectionId::try_new(id).unwrap()].since;
        assert_eq!((since("c-4"), since("c-45")), (at(0), at(1)));
    }

    #[test]
    fn a_list_that_lets_too_many_go_is_held() {
        let first = Inventory::after(None, &found(0..39), at(0), false, |_| Whose::Ours);
        let held = Inventory::after(Some(&first), &found(4..50), at(1), false, |_| Whose::Ours);
        assert_eq!(held.held, Some(Held { since: at(1), at: at(1), gone: 4, of: 39 }));
        assert_eq!((&held.connections, held.at), (&first.connections, at(0)));
        // It stays held, since then, until it is whole again or an operator takes it.
        let still = Inventory::after(Some(&held), &[], at(2), false, |_| Whose::Ours);
        assert_eq!(still.held, Some(Held { since: at(1), at: at(2), gone: 39, of: 39 }));
        let back = Inventory::after(Some(&still), &found(0..39), at(3), false, |_| Whose::Ours);
        assert_eq!((back.held, back.connections.len()), (None, 39));
        let taken = Inventory::after(Some(&still), &found(4..6), at(3), true, |_| Whose::Ours);
        assert_eq!((taken.held, taken.connections.len()), (None, 2));
    }

    #[test]
    fn few_may_vanish_whatever_their_share() {
        let first = Inventory::after(None, &found(0..3), at(0), false, |_| Whose::Ours);
        let empty = Inventory::after(Some(&first), &[], at(1), false, |_| Whose::Ours);
        assert_eq!((empty.held, empty.connections.len()), (None, 0));
        // What no policy holds for does not count.
        let first = Inventory::after(None, &found(0..9), at(0), false, |_| Whose::Ours);
        let one_is_ours = |one: &Found| {
            if one.name == "cust-1" { Whose::Ours } else { Whose::Nobodys }
        };
        let other = Inventory::after(Some(&first), &[], at(1), false, one_is_ours);
        assert_eq!((other.held, other.connections.len()), (None, 0));
    }

    /// Two providers of one tenant, each with rules of its own, keep one inventory: the list of one lets
    /// nothing of the other go, so that the other's own list is still held.
    #[test]
    fn the_list_of_one_provider_lets_nothing_of_another_go() {
        let first = Inventory::after(None, &found(0..20), at(0), false, |_| Whose::Ours);
        let halves = |ours: bool| {
            move |one: &Found| {
                let in_first = one.name.len() < "cust-10".len();
                if in_first == ours { Whose::Ours } else { Whose::Anothers }
            }
        };
        let next = Inventory::after(Some(&first), &found(0..10), at(1), false, halves(true));
        assert_eq!((next.held, next.connections.len()), (None, 20));
        let held = Inventory::after(Some(&next), &found(0..10), at(2), false, halves(false));
        assert_eq!(held.held, Some(Held { since: at(2), at: at(2), gone: 10, of: 10 }));
    }

    /// A tenant that is renamed loses them as one that is emptied does.
    #[test]
    fn what_no_policy_holds_for_any_more_is_let_go() {
        let whose = |one: &Found| {
            let fits = one.name.starts_with("cust-") && one.strategy == "okta";
            if fits { Whose::Ours } else { Whose::Nobodys }
        };
        let first = Inventory::after(None, &found(0..39), at(0), false, whose);
        let changed = |change: fn(&mut Found)| {
            let mut list = found(0..39);
            list.iter_mut().take(4).for_each(change);
            Inventory::after(Some(&first), &list, at(1), false, whose)
        };
        let held = Some(Held { since: at(1), at: at(1), gone: 4, of: 39 });
        assert_eq!(changed(|one| one.name.insert_str(0, "old-")).held, held);
        let strategy = changed(|one| "oidc".clone_into(&mut one.strategy));
        assert_eq!((strategy.held, strategy.connections), (held, first.connections.clone()));
        // One for which a policy holds under its new name, too, stays.
        let renamed = changed(|one| one.name.push_str("-new"));
        assert_eq!(renamed.held, None);
        let of =
            |inventory: &Inventory| inventory.connections.values().next().unwrap().name.clone();
        assert_eq!((of(&first), of(&renamed)), ("cust-0".to_owned(), "cust-0-new".to_owned()));
    }
}
