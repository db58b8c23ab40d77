//! `[[discover]]`: one policy for every connection of a provider that matches. Each connection that was
//! found is made into the table that `[[connections]]` would have of it, and is read by the same reader.

mod pattern;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

pub(super) use self::{
    pattern::Pattern,
    template::{NAMES, Unrendered, holds_names, unknown_name},
};
use crate::{
    clock::Timestamp,
    ledger::inventory::Inventory,
    provider::{config::FIRST, connections::Found},
    token::{ConnectionId, ProviderName},
};

/// What providers were last seen to have.
pub type Inventories = BTreeMap<ProviderName, Inventory>;

/// The name that stands for all that match, in what is said of a rule as a whole.
pub(super) const EXAMPLE: &str = "discovered-example";

/// The keys of a rule that are not those of the connections that it makes.
const OWN: [&str; 2] = ["strategy", "name"];

/// The keys of a delivery whose templates are the delivery's own.
const OF_DELIVERIES: [&str; 4] = ["payload", "tags", "labels", "custom_metadata"];

/// For which connections of a provider a policy holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The provider.
    pub provider: ProviderName,
    /// Of these strategies; empty: of any.
    pub strategies: Vec<String>,
    /// With such a name; `None`: with any.
    pub name: Option<Pattern>,
}

impl Rule {
    /// Whether it holds for a connection of its provider.
    #[must_use]
    pub fn holds_for(&self, found: &Found) -> bool {
        (self.strategies.is_empty() || self.strategies.contains(&found.strategy))
            && self.name.as_ref().is_none_or(|name| name.fits(&found.name))
    }
}

/// A connection that a rule matches, and that cannot be rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its provider.
    pub provider: ProviderName,
    /// Its id.
    pub id: ConnectionId,
    /// What it is called at the provider.
    pub name: String,
    /// Why.
    pub why: String,
}

/// One `[[discover]]` and the tables made of it.
pub(super) struct Made<'s> {
    /// What is wrong with it whatever is found.
    pub example: DeTable<'s>,
    /// What was found.
    pub found: Vec<One<'s>>,
}

/// One connection that was found, as a table.
pub(super) struct One<'s> {
    pub since: Timestamp,
    pub provider: ProviderName,
    pub found: Found,
    pub table: DeTable<'s>,
    /// What could not be filled in.
    pub trouble: Option<Unrendered>,
}

/// Makes tables of the rules of one file. `taken` are the connections that earlier rules hold for. What
/// is wrong with a rule is for its reader to say.
pub(super) fn made<'s>(
    document: &DeTable<'s>,
    inventories: &Inventories,
    taken: &mut BTreeSet<(ProviderName, ConnectionId)>,
) -> Vec<Made<'s>> {
    let rules = document.get("discover").and_then(|value| value.get_ref().as_array());
    let rules = rules.into_iter().flatten();
    rules
        .map(|rule| match rule.get_ref().as_table() {
            Some(rule) => of_rule(rule, inventories, taken),
            None => Made { example: DeTable::new(), found: Vec::new() },
        })
        .collect()
}

fn of_rule<'s>(
    table: &DeTable<'s>,
    inventories: &Inventories,
    taken: &mut BTreeSet<(ProviderName, ConnectionId)>,
) -> Made<'s> {
    let id = ConnectionId::try_new(FIRST.ids.example).ok();
    let name = EXAMPLE.to_owned();
    let example = id.map(|id| Found { id, name, strategy: "example".to_owned() });
    let provider = text(table, "provider").unwrap_or_default();
    let example = example.map(|found| one(table, provider, &found).0).unwrap_or_default();
    let mut made = Made { example, found: Vec::new() };
    let known = inventories.iter().find(|(name, _)| name.as_str() == provider);
    if let Some(((provider, inventory), rule)) = known.zip(rule(table)) {
        for (id, member) in &inventory.connections {
            let found = member.found(id);
            if rule.holds_for(&found) && taken.insert((provider.clone(), id.clone())) {
                let (table, trouble) = one(table, provider.as_str(), &found);
                let (provider, since) = (provider.clone(), member.since);
                made.found.push(One { since, provider, found, table, trouble });
            }
        }
    }
    made
}

/// The rule as it stands, without a word on what is wrong with it.
fn rule(table: &DeTable<'_>) -> Option<Rule> {
    let strategies = match table.get("strategy") {
        None => Vec::new(),
        Some(value) => {
            let words = value.get_ref().as_array()?.iter();
            words.map(|word| word.get_ref().as_str().map(str::to_owned)).collect::<Option<_>>()?
        }
    };
    let name = match table.get("name") {
        None => None,
        Some(value) => Some(Pattern::try_new(value.get_ref().as_str()?).ok()?),
    };
    let provider = ProviderName::try_new(text(table, "provider")?).ok()?;
    Some(Rule { provider, strategies, name })
}

fn text<'t>(table: &'t DeTable<'_>, key: &str) -> Option<&'t str> {
    table.get(key)?.get_ref().as_str()
}

/// The table that `[[connections]]` would have of a connection, and what could not be filled in.
fn one<'s>(
    table: &DeTable<'s>,
    provider: &str,
    found: &Found,
) -> (DeTable<'s>, Option<Unrendered>) {
    let mut trouble = None;
    let mut made = DeTable::new();
    for (key, value) in table {
        if !OWN.contains(&key.get_ref().as_ref()) {
            made.insert(key.clone(), value.clone());
        }
    }
    // Whatever is said of them is said of the rule's own name, or of its provider.
    let place = ["name", "provider"].into_iter().find_map(|key| Some(table.get(key)?.span()));
    let place = place.unwrap_or_default();
    let mut set = |key: &'static str, text: &str| {
        let value = DeValue::String(DeString::from(text.to_owned()));
        made.insert(
            Spanned::new(place.clone(), DeString::from(key)),
            Spanned::new(place.clone(), value),
        );
    };
    set("name", &found.name);
    set("connection_id", found.id.as_str());
    let names = |name: &str| match name {
        "connection.name" => Some(found.name.as_str()),
        "connection.id" => Some(found.id.as_str()),
        "connection.strategy" => Some(found.strategy.as_str()),
        "provider" => Some(provider),
        _ => None,
    };
    if let Some(DeValue::Array(places)) = made.get_mut("deliver_to").map(Spanned::get_mut) {
        for place in places.iter_mut() {
            let DeValue::Table(delivery) = place.get_mut() else { continue };
            for (key, value) in delivery.iter_mut() {
                if !OF_DELIVERIES.contains(&key.get_ref().as_ref()) {
                    let filled_in = rendered(value.get_mut(), &names);
                    trouble = trouble.or_else(|| filled_in.err());
                }
            }
        }
    }
    (made, trouble)
}

fn rendered<'v>(
    value: &mut DeValue<'_>,
    names: &impl Fn(&str) -> Option<&'v str>,
) -> Result<(), Unrendered> {
    match value {
        DeValue::String(text) => {
            if let Some(new) = template::render(text, names)? {
                *text = DeString::from(new);
            }
            Ok(())
        }
        DeValue::Array(items) => {
            items.iter_mut().try_for_each(|item| rendered(item.get_mut(), names))
        }
        DeValue::Table(table) => {
            table.iter_mut().try_for_each(|(_, item)| rendered(item.get_mut(), names))
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            Ok(())
        }
    }
}

/// Whether the templates in a key of a delivery are filled in from what was found.
pub(super) fn is_filled_in(key: &str) -> bool {
    !OF_DELIVERIES.contains(&key)
}
