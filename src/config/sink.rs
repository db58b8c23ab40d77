//! `[sinks.NAME]` and `deliver_to`: the places that tokens go to. What a kind of sink says in both it
//! reads itself.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use crate::{
    sink::{self, KINDS, Known, SinkConfig, Spot},
    table::{HttpConfig, Keyring, Set, Table, Value, shown, stored::KnownStores, suggest},
    token::SinkName,
};

/// One entry of `deliver_to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverTo {
    /// The sink.
    pub sink: SinkName,
    /// Where in it, and how.
    pub to: sink::Target,
}

/// All sinks that are declared; `None` for those with mistakes of their own.
pub(super) type Sinks<'s> = BTreeMap<SinkName, Set<'s, Option<Arc<dyn SinkConfig>>>>;

/// A delivery with the place that it means.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// `None` where the entry has other mistakes: what it takes it takes all the same.
    pub delivery: Option<DeliverTo>,
    pub spot: Spot,
}

/// Reads `[sinks]`.
pub(super) fn sinks<'s>(root: &Table<'s>, outer: &HttpConfig, keyring: Keyring<'_>) -> Sinks<'s> {
    let table = root.get("sinks").and_then(|value| value.table("[sinks]"));
    let mut sinks = Sinks::new();
    for (name, value) in table.iter().flat_map(Table::values) {
        match SinkName::try_new(name) {
            Ok(name) => {
                let set = Set { value: sink(&name, &value, outer, keyring), at: value.key_at };
                sinks.insert(name, set);
            }
            Err(error) => value.findings().plain_error(value.key_at, error.to_string()),
        }
    }
    sinks
}

/// The sinks that can keep secrets, before anything of them is read: a provider may refer to them.
pub(super) fn stores(root: &Table<'_>) -> KnownStores {
    let words = KINDS.iter().filter_map(|kind| kind.store).collect();
    let table = root.get("sinks").filter(Value::is_table).and_then(|value| value.table("[sinks]"));
    let word_of = |value: &Value<'_>| {
        let table = value.is_table().then(|| value.table("")).flatten()?;
        let (_, word) = table.values().find(|(key, _)| *key == "type")?;
        let kind = KINDS.iter().find(|kind| Some(kind.name) == word.as_str())?;
        kind.store.map(|store| store.word)
    };
    let sinks = table.iter().flat_map(Table::values);
    let sinks = sinks.map(|(name, value)| (name.to_owned(), word_of(&value))).collect();
    KnownStores { words, sinks, named: RefCell::default() }
}

fn sink(
    name: &SinkName,
    value: &Value<'_>,
    outer: &HttpConfig,
    keyring: Keyring<'_>,
) -> Option<Arc<dyn SinkConfig>> {
    let table = value.table(format!("[sinks.{}]", shown(name.as_str())))?;
    let before = table.findings().count();
    let named = table.require("type", "\"file\"")?;
    let word = named.string()?;
    let Some(kind) = KINDS.iter().find(|kind| kind.name == word) else {
        named.refuse(
            format!("there is no sink of type \"{}\"", shown(word)),
            suggest(word, KINDS.map(|kind| kind.name), "the types are"),
        );
        return None;
    };
    if let Some(feature) = kind.absent {
        named.refuse(
            sink::without(kind),
            format!("use {}, or build it with: cargo build --features {feature}", sink::SHIPPED),
        );
        return None;
    }
    let read = (kind.read)(&table, outer, keyring);
    let findings = table.findings();
    table.finish(&[]);
    read.filter(|_| findings.count() == before)
}

/// Reads `deliver_to`. An entry with mistakes is `None`: it is there, but means nothing yet.
pub(super) fn deliveries<'s>(
    value: &Value<'s>,
    sinks: &Sinks<'_>,
    known: &Known<'_>,
) -> Option<Vec<Set<'s, Option<Placed>>>> {
    let items = value.list("a list of tables such as [{ sink = \"…\", file = \"…\" }]")?;
    let read = |item: &Value<'s>| item.set(delivery(item, sinks, known));
    Some(items.iter().map(read).collect())
}

/// Whether none of these places can be asked what it holds.
pub(super) fn none_is_readable(placed: &[DeliverTo], sinks: &Sinks<'_>) -> bool {
    let readable = |to: &DeliverTo| {
        let sink = sinks.get(&to.sink).and_then(|set| set.value.as_ref());
        sink.is_none_or(|sink| sink.readable())
    };
    !placed.is_empty() && !placed.iter().any(readable)
}

/// Whether a person takes the token on from one of these places.
pub(super) fn some_are_by_person(placed: &[DeliverTo], sinks: &Sinks<'_>) -> bool {
    placed.iter().any(|to| {
        let sink = sinks.get(&to.sink).and_then(|set| set.value.as_ref());
        sink.is_some_and(|sink| sink.by_person())
    })
}

fn delivery(item: &Value<'_>, sinks: &Sinks<'_>, known: &Known<'_>) -> Option<Placed> {
    let table = item.table("`deliver_to`")?;
    let before = table.findings().count();
    let named = table.require("sink", "\"…\"")?;
    let name = named.string()?;
    let found = sinks.iter().find(|(sink, _)| sink.as_str() == name);
    let Some((sink, config)) = found else {
        named.refuse(
            format!("there is no sink `{}`", shown(name)),
            suggest(
                name,
                sinks.keys().map(SinkName::as_str),
                "the sinks of this configuration are",
            ),
        );
        return None;
    };
    let (spot, to) = config.value.as_ref()?.deliver(&table, known);
    let findings = table.findings();
    table.finish(&[]);
    let delivery =
        to.filter(|_| findings.count() == before).map(|to| DeliverTo { sink: sink.clone(), to });
    spot.map(|spot| Placed { delivery, spot })
}
