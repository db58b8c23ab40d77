//! What `discover` shows: every connection that a provider has, and what becomes of it.

use std::fmt::Write;

use serde::Serialize;

use crate::{
    app::discover::{Surveyed, discovering},
    config::{
        Config, ConnectionConfig,
        discover::{Inventories, Refused},
    },
    provider::connections::Found,
    table::shown,
    token::{ConnectionId, ConnectionName, ProviderName},
};

/// A connection that a provider has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Discovered {
    /// Its provider.
    pub provider: ProviderName,
    /// What it is rotated as; `None`: it is not rotated.
    pub connection: Option<ConnectionName>,
    /// Its id.
    pub connection_id: ConnectionId,
    /// What it is called at the provider; any text.
    pub name: String,
    /// Its strategy; any text.
    pub strategy: String,
    /// What becomes of it.
    pub state: State,
    /// Why it is refused, if it is.
    pub refused: Option<String>,
    /// What a list that is held shows it as, where no `[[discover]]` matches that.
    pub shown_as: Option<ShownAs>,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was listed before.
    Known,
    /// It was not listed before.
    New,
    /// It was not listed before, and is not added while the list is held.
    Held,
    /// No `[[discover]]` matches it.
    Unmatched,
    /// A list that is held does not show it any more.
    Missing,
    /// A list that is held shows it as something that no `[[discover]]` matches.
    Changed,
}

/// A name and a strategy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownAs {
    /// The name.
    pub name: String,
    /// The strategy.
    pub strategy: String,
}

/// Every connection of the providers that `asked` names. `remembered` is what was known before.
pub(super) fn rows(
    config: &Config,
    asked: &Config,
    surveyed: &Surveyed,
    remembered: &Inventories,
) -> Vec<Discovered> {
    let mut rows = Vec::new();
    for (name, provider) in discovering(asked) {
        let Some(inventory) = surveyed.inventories.get(name) else { continue };
        let waiting = surveyed.waiting.get(name);
        let before = remembered.get(name);
        for (id, member) in &inventory.connections {
            let of = |one: &&ConnectionConfig| {
                one.key.connection == *id && one.key.tenant == *provider.tenant()
            };
            let connection = config.connections.iter().find(of).map(|one| one.name.clone());
            let refused = |one: &&Refused| one.id == *id && one.provider == *name;
            let refused = config.refused.iter().find(refused).map(|one| one.why.clone());
            let refused = refused.filter(|_| connection.is_none());
            let found = member.found(id);
            let counts = |one: &Found| config.holds_for(name, one);
            let list = waiting.filter(|_| counts(&found));
            let lost = list.and_then(|list| lost(list, id, counts));
            let is_known = before.is_some_and(|before| before.connections.contains_key(id));
            let state = match &lost {
                Some((state, _)) => *state,
                None if connection.is_none() && refused.is_none() => State::Unmatched,
                None if is_known => State::Known,
                None => State::New,
            };
            let shown_as = lost.and_then(|(_, shown_as)| shown_as);
            rows.push(Discovered { connection, state, refused, shown_as, ..row(name, found) });
        }
        let new = |one: &&Found| !inventory.connections.contains_key(&one.id);
        for one in waiting.into_iter().flatten().filter(new) {
            rows.push(row(name, one.clone()));
        }
    }
    rows
}

/// A connection that is not added.
fn row(provider: &ProviderName, Found { id, name, strategy }: Found) -> Discovered {
    Discovered {
        provider: provider.clone(),
        connection: None,
        connection_id: id,
        name,
        strategy,
        state: State::Held,
        refused: None,
        shown_as: None,
    }
}

/// How a list that waits for an operator would let a connection go, if it would.
fn lost(
    list: &[Found],
    id: &ConnectionId,
    counts: impl Fn(&Found) -> bool,
) -> Option<(State, Option<ShownAs>)> {
    match list.iter().find(|one| one.id == *id) {
        None => Some((State::Missing, None)),
        Some(one) if counts(one) => None,
        Some(Found { name, strategy, .. }) => {
            let shown_as = ShownAs { name: name.clone(), strategy: strategy.clone() };
            Some((State::Changed, Some(shown_as)))
        }
    }
}

/// A line each. A provider may call a connection anything.
pub(super) fn text(rows: &[Discovered]) -> String {
    let mut text = String::new();
    for row in rows {
        let becomes = match (&row.connection, &row.refused, row.state) {
            (_, _, State::Held) => "new; not added until an operator accepts the list".to_owned(),
            (Some(name), _, _) => format!("rotated as {name}"),
            (None, Some(_), _) => "refused".to_owned(),
            (None, None, _) => "no [[discover]] matches".to_owned(),
        };
        let lost = match (&row.shown_as, row.state) {
            (Some(ShownAs { name, strategy }), _) => format!(
                "; no [[discover]] matches what the list shows: {}  {}",
                shown(name),
                shown(strategy)
            ),
            (None, State::Missing) => "; missing from the list".to_owned(),
            (None, _) => String::new(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}  {}  {}  {becomes}{lost}",
            row.connection_id,
            shown(&row.name),
            shown(&row.strategy)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_may_call_a_connection_anything() {
        let id = ConnectionId::try_new("c-1").unwrap();
        let found = |name: &str, strategy: &str| {
            let (name, strategy) = (name.to_owned(), strategy.to_owned());
            Found { id: id.clone(), name, strategy }
        };
        let provider = ProviderName::try_new("acme").unwrap();
        let line = |found: Found| text(&[row(&provider, found)]);
        assert!(line(found("cust-1", "okta")).starts_with("c-1  cust-1  okta  new; not added"));
        let odd = line(found("a\nb", "ok\u{1b}[31m\nta"));
        assert!(!odd.trim_end().contains(char::is_control), "{odd:?}");
        let list = [found("a\nb", "x\ny")];
        let (state, shown_as) = lost(&list, &id, |_| false).unwrap();
        let changed = Discovered { state, shown_as, ..row(&provider, found("a", "x")) };
        let odd = text(&[changed]);
        assert!(odd.contains("matches what the list shows"), "{odd:?}");
        assert!(!odd.trim_end().contains(char::is_control), "{odd:?}");
        assert_eq!(lost(&list, &id, |_| true), None);
        assert_eq!(lost(&[], &id, |_| true), Some((State::Missing, None)));
    }
}
