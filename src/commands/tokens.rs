//! `tokens`: every token that the ledger knows, with the watched ones: the inventory.

use super::{
    output::{Answer, Failure},
    select::Asked,
    session::Session,
    text::columns,
};
use crate::{
    app::{self, Use},
    clock::Clock,
    engine::token_row::TokenRow,
};

const HEAD: [&str; 8] =
    ["CONNECTION", "ROLE", "TOKEN", "AGE", "EXPIRES", "LAST USED", "SEEN", "HELD BY"];

impl Session<'_> {
    /// Reads the ledger alone: it works while every service is away.
    pub(super) async fn tokens(&self, asked: &Asked) -> Result<Answer, Failure> {
        let ledger = app::open_ledger(&self.config.state, Use::Look, &self.env).await?;
        let now = self.clock.now();
        let (mut rows, mut unseen) = (Vec::new(), Vec::new());
        for policy in self.policies().filter(|policy| asked.connections.contains(&policy.name)) {
            match ledger.load(&policy.key).await? {
                Some(stored) => rows.extend(TokenRow::of(&policy, &stored.record, now)),
                None => unseen.push(policy.name.to_string()),
            }
        }
        rows.extend(asked.watches.iter().map(|watch| TokenRow::of_watched(watch, now)));
        if !unseen.is_empty() {
            self.voice.note(&format!(
                "not checked yet, so none of their tokens is known: {}; run `scimitar --once` or start the \
                 daemon",
                unseen.join(", ")
            ));
        }
        let text = table(&rows);
        Ok(Answer { tokens: Some(rows), ..Answer::shown(Vec::new(), text) })
    }
}

fn table(rows: &[TokenRow]) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let lines: Vec<[String; 8]> = rows
        .iter()
        .map(|row| {
            let held = row.sinks.iter().map(|held| format!("{} {}", held.sink, held.location));
            let owner = row.owner.as_ref().map(|owner| format!("owner: {owner}"));
            let held: Vec<String> = held.chain(owner).collect();
            let held = (!held.is_empty()).then(|| held.join(", "));
            [
                row.connection.to_string(),
                row.role.to_owned(),
                row.token_id.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                known(&row.told.age),
                row.told.expires.clone().unwrap_or_else(|| "never".to_owned()),
                known(&row.told.used),
                known(&row.told.seen),
                known(&held),
            ]
        })
        .collect();
    columns(HEAD, &lines).concat()
}
