//! Secrets that a sink's store keeps for others.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use super::{Value, shown, suggest};
use crate::token::SinkName;

/// How a kind of sink keeps secrets for others.
#[derive(Clone, Copy, Debug)]
pub struct StoreWord {
    /// The key of a reference.
    pub word: &'static str,
    /// A location, as it is written behind that key.
    pub example: &'static str,
    /// What is wrong with a location, in words behind "the location".
    pub check: fn(&str) -> Result<(), String>,
}

/// The sinks that can keep secrets, by what the configuration says of them.
#[derive(Debug, Default)]
pub(crate) struct KnownStores {
    /// Of every kind that can.
    pub words: Vec<StoreWord>,
    /// Each sink's word; `None` for one whose kind keeps none.
    pub sinks: BTreeMap<String, Option<&'static str>>,
    /// Those that are referred to.
    pub named: RefCell<BTreeSet<StoredSecret>>,
}

/// A secret that a sink's store keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredSecret {
    /// Which `[sinks.NAME]`.
    pub sink: SinkName,
    /// Where in it, in the words of its kind.
    pub location: String,
}

impl KnownStores {
    /// Reads a reference; `None` when something is wrong with it, which is noted. Whether the secret is
    /// there only the store knows: `check --online` logs in with it.
    pub(super) fn read(
        &self,
        word: &StoreWord,
        location: &Value<'_>,
        sink: &Value<'_>,
    ) -> Option<StoredSecret> {
        let name = sink.string()?;
        let text = location.string()?;
        let Some(of) = self.sinks.get(name) else {
            let known = self.sinks.keys().map(String::as_str);
            let hint = suggest(name, known, "the sinks of this configuration are");
            sink.refuse(format!("there is no sink `{}`", shown(name)), hint);
            return None;
        };
        if *of != Some(word.word) {
            let hint = match of {
                Some(other) => format!("write {other} = \"…\" for that sink"),
                None => "that type of sink cannot supply secrets".to_owned(),
            };
            let name = shown(name);
            sink.refuse(format!("`{}` cannot be read from the sink `{name}`", word.word), hint);
            return None;
        }
        if let Err(words) = (word.check)(text) {
            location.refuse(
                format!("`{}`: the location {words}", word.word),
                format!("write {} = \"{}\"", word.word, word.example),
            );
            return None;
        }
        // The name of a sink that is in the table of sinks is one.
        let stored =
            StoredSecret { sink: SinkName::try_new(name).ok()?, location: text.to_owned() };
        self.named.borrow_mut().insert(stored.clone());
        Some(stored)
    }
}
