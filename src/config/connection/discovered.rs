//! `[[discover]]`: what is wrong with a rule is an error of the configuration, what is wrong with a
//! connection that was found is that connection's alone.

use std::collections::BTreeMap;

use super::{
    super::discover::{
        Made, NAMES, Pattern, Refused, Rule, Unrendered, holds_names, is_filled_in, unknown_name,
    },
    Identity, Reader,
};
use crate::{
    provider::config::ProviderConfig,
    rotation::policy::Mode,
    sink::Known,
    table::{Made as MadeTable, Table, Value, nearest, shown},
    token::{ConnectionKey, ProviderName},
};

/// How the tables are called in messages.
const TABLE: &str = "[[discover]]";

/// Their keys beside those of [[connections]].
const KEYS: MadeTable = MadeTable { left_out: &["strategy", "name"], added: &["connection_id"] };

impl Identity<'_> {
    /// What labels are tried out with. The names of what was found are nobody's choice here: one that does
    /// not fit into a label is told when it is delivered.
    pub(super) fn known<'a>(&'a self, table: &Table<'_>, owner: Option<&'a str>) -> Known<'a> {
        let owner = Known { owner, ..Known::default() };
        if table.name() == TABLE {
            return owner;
        }
        Known {
            connection: self.name.as_ref().map(|name| name.as_str()),
            connection_id: self.key.as_ref().map(|key| key.connection.as_str()),
            provider: self.provider.as_ref().map(|name| name.as_str()),
            ..owner
        }
    }
}

impl<'s> Reader<'s> {
    /// Reads the `[[discover]]` of one file. `made` is what was made of them, one behind the other.
    pub(in super::super) fn rules(&mut self, root: &Table<'s>, made: &'s [Made<'s>]) {
        let Some(value) = root.get("discover") else {
            return;
        };
        if value.is_table() {
            value.refuse(
                "`discover` is one table, not a list of them",
                "write [[discover]] with two brackets",
            );
            return;
        }
        let items = value.list("a list of tables").unwrap_or_default();
        for (item, made) in items.into_iter().zip(made) {
            if let Some(table) = item.table(TABLE) {
                self.rule(&table, made);
            }
        }
    }

    fn rule(&mut self, table: &Table<'s>, made: &'s Made<'s>) {
        let before = self.findings.count();
        let at = table.at();
        let provider = table.get("provider");
        let named = provider.and_then(|value| self.known(value.as_str()?));
        let config = self.config(named.as_ref());
        let unlistable = config.and_then(ProviderConfig::unlistable);
        if let (Some(value), Some(name), Some(why)) = (provider, &named, unlistable) {
            value.refuse(
                format!("the connections of `{name}` cannot be discovered: {why}"),
                "write each under [[connections]]",
            );
            return;
        }
        let strategies = table.get("strategy").map(|value| strategies(&value, config));
        let name = table.get("name").map(|value| pattern(&value));
        if let Some(value) = table.get("connection_id") {
            value.refuse(
                "`connection_id` has no effect here: a [[discover]] finds connections",
                "leave it out, or write one connection under [[connections]]",
            );
        } else {
            if let Some(value) = table.get("deliver_to") {
                templates(&value);
            }
            // All else is as it would be in [[connections]].
            self.only_an_example = true;
            self.connection(Table::made(&made.example, TABLE, at, self.findings, KEYS));
            self.only_an_example = false;
        }
        if let Some(provider) = named.filter(|_| self.findings.count() == before) {
            let mode = table.get("mode").and_then(|value| value.as_str());
            let by_default = self.defaults.mode.as_ref().map(|given| given.value);
            let watches =
                mode.map_or_else(|| by_default == Some(Mode::Observe), |word| word == "observe");
            if !watches {
                self.rotates_found.insert(provider.clone());
            }
            self.rules.push(Rule {
                provider,
                strategies: strategies.unwrap_or_default(),
                name: name.flatten(),
            });
            self.made.push((at, made));
        }
    }

    fn known(&self, text: &str) -> Option<ProviderName> {
        self.providers.keys().find(|name| name.as_str() == text).cloned()
    }

    /// Reads the connections that were found, once all that are written down were read: those win. Of
    /// two that want one name or one place, the one that is known for longer has it.
    pub(in super::super) fn discovered(&mut self) {
        if self.findings.count() > 0 {
            return;
        }
        let made = std::mem::take(&mut self.made);
        let mut all: Vec<_> =
            made.iter().flat_map(|(at, made)| made.found.iter().map(|one| (*at, one))).collect();
        all.sort_by(|(_, one), (_, other)| {
            (one.since, &one.provider, &one.found.id).cmp(&(
                other.since,
                &other.provider,
                &other.found.id,
            ))
        });
        self.shadowed = Some(BTreeMap::new());
        for (at, one) in all {
            let Some(config) = self.config(Some(&one.provider)) else { continue };
            let key =
                ConnectionKey { tenant: config.tenant().clone(), connection: one.found.id.clone() };
            if self.keys.contains_key(&key) {
                continue;
            }
            let why = match &one.trouble {
                Some(trouble) => vec![unrendered(trouble)],
                None => {
                    let mark = self.findings.mark();
                    self.connection(Table::made(&one.table, TABLE, at, self.findings, KEYS));
                    let problems = self.findings.take_since(mark);
                    let words = problems.into_iter().map(|problem| match problem.hint {
                        Some(hint) => format!("{} ({hint})", problem.message),
                        None => problem.message,
                    });
                    words.collect()
                }
            };
            if !why.is_empty() {
                self.refused.push(Refused {
                    provider: one.provider.clone(),
                    id: one.found.id.clone(),
                    name: shown(&one.found.name).to_string(),
                    why: why.join("; "),
                });
            }
        }
        self.note_shadowed();
    }
}

fn unrendered(trouble: &Unrendered) -> String {
    match trouble {
        Unrendered::Unsafe { name } => format!(
            "its {name} cannot be part of a path: only letters, digits, `.`, `_` and `-` are allowed, not \
             `.` or `-` first and no two dots (write it under [[connections]], with its own deliver_to)"
        ),
        // The rule is refused as a whole then.
        Unrendered::Unknown(_) => "its templates cannot be filled in".to_owned(),
    }
}

fn strategies(value: &Value<'_>, config: Option<&ProviderConfig>) -> Vec<String> {
    const EXAMPLE: &str = "write strategy = [\"okta\"], or leave it out for all of them";
    let items = value.list("a list of strategies").unwrap_or_default();
    if items.is_empty() {
        value.refuse("`strategy` is empty: nothing would ever match", EXAMPLE);
    }
    let known = config.map(ProviderConfig::strategies).unwrap_or_default();
    let mut words = Vec::new();
    for item in items {
        let Some(word) = item.string() else { continue };
        if !known.is_empty() && !known.contains(&word) {
            let hint = match nearest(word, known.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("the strategies with SCIM are {}", known.join(", ")),
            };
            let message = format!("no connection with SCIM has the strategy \"{}\"", shown(word));
            value.findings().warning(item.at, message, hint);
        }
        words.push(word.to_owned());
    }
    words
}

fn pattern(value: &Value<'_>) -> Option<Pattern> {
    let text = value.string()?;
    Pattern::try_new(text)
        .map_err(|why| {
            value.refuse(
                format!("`name` is not a regular expression: {why}"),
                "write name = \"^cust-\" for all names that begin with cust-",
            );
        })
        .ok()
}

/// Refuses names that are not known, and warns of places that would be one for all.
fn templates(value: &Value<'_>) {
    let tables = |item: &Value<'_>| item.is_table();
    let items = value.list("a list of tables").unwrap_or_default();
    for item in items.into_iter().filter(tables) {
        let Some(table) = item.table("`deliver_to`") else { continue };
        let (mut own, mut unknown) = (false, false);
        for (key, part) in table.values().filter(|(key, _)| is_filled_in(key)) {
            for text in texts(&part.data()) {
                own |= holds_names(&text);
                let Some(name) = unknown_name(&text) else { continue };
                unknown = true;
                let names = NAMES.map(|name| format!("{{{{ {name} }}}}")).join(", ");
                part.refuse(
                    format!("`{}` has an unknown template: {}", shown(key), shown(&name)),
                    format!("the names in a [[discover]] are {names}"),
                );
            }
        }
        if !own && !unknown {
            value.findings().warning(
                item.at,
                "every connection that matches would be delivered to this one place: the first is \
                 rotated, the others are refused",
                "put {{ connection.name }} or {{ connection.id }} into it",
            );
        }
    }
}

/// All strings in a value.
fn texts(data: &serde_json::Value) -> Vec<String> {
    match data {
        serde_json::Value::String(text) => vec![text.clone()],
        serde_json::Value::Array(items) => items.iter().flat_map(texts).collect(),
        serde_json::Value::Object(members) => members.values().flat_map(texts).collect(),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {
            Vec::new()
        }
    }
}
