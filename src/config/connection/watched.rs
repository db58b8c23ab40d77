//! `[[watch]]`: tokens that no provider is asked about.

use super::Reader;
use crate::{
    config::policy::notice,
    rotation::{policy::USUAL_NOTICE, watch::Watch},
    table::{At, Table, Value, page},
    token::ConnectionName,
    words::date,
};

/// How the tables are called in messages.
const TABLE: &str = "[[watch]]";

impl<'s> Reader<'s> {
    /// Reads the `[[watch]]` of one file.
    pub(in super::super) fn watches(&mut self, root: &Table<'s>) {
        let Some(value) = root.get("watch") else {
            return;
        };
        if value.is_table() {
            value.refuse(
                "`watch` is one table, not a list of them",
                "write [[watch]] with two brackets",
            );
            return;
        }
        for item in value.list("a list of tables").unwrap_or_default() {
            if let Some(table) = item.table(TABLE) {
                self.watch(table);
            }
        }
    }

    /// Names of connections and watched tokens are labels of one kind. Says whether it is free.
    ///
    /// A connection that is discovered is rotated, whoever else has its name: where that is a watched token,
    /// this one is to be renamed.
    pub(super) fn take_name(&mut self, name: &ConnectionName, at: At<'s>) -> bool {
        let is_watched = || self.watches.iter().any(|watch| watch.name == *name);
        if let Some(first) = self.names.get(name).copied()
            && let Some(shadowed) = &mut self.shadowed
            && !shadowed.contains_key(name)
            && is_watched()
        {
            shadowed.insert(name.clone(), first);
            self.names.insert(name.clone(), at);
            return true;
        }
        if let Some(first) = self.names.get(name) {
            self.findings.error(
                at,
                format!("the connection name `{name}` is used twice"),
                format!("first at {first:?}; names are the labels in metrics and results"),
            );
            return false;
        }
        self.names.insert(name.clone(), at);
        true
    }

    fn watch(&mut self, table: Table<'s>) {
        let before = self.findings.count();
        let named = table.require("name", "\"initech-sso\"");
        let name = named.and_then(|value| chosen(&value));
        let expiry = table.require("expires_at", "2027-03-01");
        let expires_at = expiry.and_then(|value| value.moment());
        let owner = table.get("owner").and_then(|value| value.line("\"identity team\""));
        let note = table.get("note").and_then(|value| value.line("\"tell #identity before\""));
        let link = table.get("link").and_then(|value| {
            page(&value, "write the address of the page where the token is renewed")
        });
        let asked = notice(&table).or_else(|| self.defaults.notify_before.clone());
        let at = named.map_or_else(|| table.at(), |value| value.at);
        table.finish(&[]);
        let free = name.as_ref().is_none_or(|name| self.take_name(name, at));
        let (Some(name), Some(expires_at)) = (name, expires_at) else { return };
        if !free || self.findings.count() > before {
            return;
        }
        if let Some(value) = expiry.filter(|_| expires_at <= self.now) {
            let message = format!("{name} expired at {} (`expires_at`)", date(expires_at));
            let hint = "renew the token and write its new date, or remove the [[watch]]";
            self.findings.warning(value.at, message, hint);
        }
        let usual = || USUAL_NOTICE.into_iter().collect();
        let notify_before = asked.map_or_else(usual, |given| given.value);
        let shadowed = false;
        self.watches.push(Watch { name, expires_at, owner, note, link, notify_before, shadowed });
    }

    /// Notes the watched tokens whose names connections that were discovered have.
    pub(super) fn note_shadowed(&mut self) {
        for (name, at) in self.shadowed.take().unwrap_or_default() {
            if !self.connections.iter().any(|connection| connection.name == name) {
                continue;
            }
            for watch in self.watches.iter_mut().filter(|watch| watch.name == name) {
                watch.shadowed = true;
                let message = format!("{name} is also the name of a discovered connection");
                self.findings.warning(at, message, "give the [[watch]] another name");
            }
        }
    }
}

/// The name of a connection, or of a watched token.
pub(super) fn chosen(value: &Value<'_>) -> Option<ConnectionName> {
    let name = ConnectionName::try_chosen(value.string()?);
    name.map_err(|error| value.refuse(format!("`name`: {error}"), "choose another")).ok()
}
