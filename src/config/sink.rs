//! `[sinks.NAME]` and `deliver_to`: the places that tokens go to. What a kind of sink says in both it
//! reads itself.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    sink::{self, KINDS, SinkConfig, Spot},
    table::{HttpConfig, Keyring, Set, Table, Value, shown, suggest},
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
    let read = (kind.read)(&table, outer, keyring);
    let findings = table.findings();
    table.finish(&[]);
    read.filter(|_| findings.count() == before)
}

/// Reads `deliver_to`. An entry with mistakes is `None`: it is there, but means nothing yet.
pub(super) fn deliveries<'s>(
    value: &Value<'s>,
    sinks: &Sinks<'_>,
) -> Option<Vec<Set<'s, Option<Placed>>>> {
    let items = value.list("a list of tables such as [{ sink = \"…\", file = \"…\" }]")?;
    let read = |item: &Value<'s>| item.set(delivery(item, sinks));
    Some(items.iter().map(read).collect())
}

fn delivery(item: &Value<'_>, sinks: &Sinks<'_>) -> Option<Placed> {
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
    let (spot, to) = config.value.as_ref()?.deliver(&table);
    let findings = table.findings();
    table.finish(&[]);
    let delivery =
        to.filter(|_| findings.count() == before).map(|to| DeliverTo { sink: sink.clone(), to });
    spot.map(|spot| Placed { delivery, spot })
}
