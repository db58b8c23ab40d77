//! What must be true once everything is mended, and what must have been true all the time.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use scimitar::clock::{Timestamp, parse_timestamp};
use serde_json::Value;

use super::{
    consumer::kept_for,
    site::{Connection, Fleet, Sources},
    witness::Books,
};

/// What was found out about the whole.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Tokens that were ever made.
    pub(crate) made: usize,
    /// Tokens that were delivered: so many rotations were carried to their end.
    pub(crate) delivered: usize,
    /// The generations of all connections: each counts its rotations.
    pub(crate) generations: u64,
    /// The shortest time for which a token stayed valid after Vault had the next one.
    pub(crate) shortest: Option<TimeDelta>,
    /// What must not be.
    pub(crate) findings: Vec<String>,
}

/// What is not yet as it has to be in the end: nothing, once the fleet has settled.
pub(crate) async fn unsettled(fleet: &Fleet, books: &Books) -> Vec<String> {
    let mut found = Vec::new();
    let claims = "SELECT count(*) FROM scimitar.claims WHERE holder IS NOT NULL";
    let claimed = fleet.server.number(&fleet.database, claims).await;
    if claimed > 0 {
        found.push(format!("{claimed} are claimed"));
    }
    let records = records(fleet).await;
    for connection in &fleet.sources.connections {
        let name = &connection.name;
        let Some(record) = records.get(&connection.id) else {
            found.push(format!("{name} has no record"));
            continue;
        };
        let current = record["current"]["token"]["id"].as_str().unwrap_or("none");
        let in_force = books.in_force(&connection.id);
        if in_force != [current] {
            found.push(format!("{name}: {in_force:?} are in force, {current} is meant to be"));
        }
        let at_rest = record["phase"] == "steady" && record["older"] == Value::Array(Vec::new());
        if !at_rest {
            found.push(format!("{name}: {} {}", record["phase"], record["older"]));
        }
        let (vault, aws) =
            (fleet.sources.vault(connection, None).await, fleet.sources.aws(connection).await);
        for (place, held) in [("Vault", vault), ("AWS", aws)] {
            if held["token_id"] != current {
                found.push(format!("{name}: {place} holds {}, not {current}", held["token_id"]));
            }
            let value = held["token"].as_str().unwrap_or_default();
            if !fleet.sources.accepts(connection, value).await {
                found.push(format!("{name}: what {place} holds is refused"));
            }
        }
    }
    found
}

/// The record of each connection, by its id.
async fn records(fleet: &Fleet) -> BTreeMap<String, Value> {
    let client = fleet.server.connect(&fleet.database).await.unwrap();
    let query = "SELECT connection, document FROM scimitar.records";
    let rows = client.query_typed(query, &[]).await.unwrap();
    let rows = rows.iter().map(|row| {
        let document = serde_json::from_str(row.get(1)).unwrap();
        (row.get(0), document)
    });
    rows.collect()
}

/// Looks back over the whole time. The fleet has settled.
pub(crate) async fn account(fleet: &Fleet, books: &Books) -> Account {
    books.assert_complete();
    let mut account = Account { made: books.lives.len(), ..Account::default() };
    let records = records(fleet).await;
    for connection in &fleet.sources.connections {
        let versions = versions(&fleet.sources, connection).await;
        let delivered: BTreeSet<&str> = versions.iter().map(|(id, _)| id.as_str()).collect();
        account.delivered += delivered.len();
        for id in &delivered {
            let life = books.lives.get(*id).filter(|life| life.connection == connection.id);
            let Some(life) = life else {
                account.findings.push(format!("{}: {id} was never made", connection.name));
                continue;
            };
            let last = versions.iter().rposition(|(other, _)| other == id).unwrap();
            let next = versions.get(last + 1).map(|(_, at)| *at);
            let Some(revoked) = life.revoked else { continue };
            let stayed = next.map(|next| revoked - next);
            account.shortest = account.shortest.into_iter().chain(stayed).min();
            if stayed.is_none_or(|stayed| stayed < kept_for()) {
                account.findings.push(format!(
                    "{}: {id} was revoked at {revoked}, and Vault had the next one at {next:?}",
                    connection.name
                ));
            }
        }
        // Whoever was given a token finds what it replaced by its number. Those that were given up before
        // they were delivered have had one as well, and the last of them may be the highest.
        let generation = records[&connection.id]["generation"].as_u64().unwrap();
        account.generations += generation;
        let held = fleet.sources.vault(connection, None).await;
        let written = held["generation"].as_str().and_then(|text| text.parse::<u64>().ok());
        let least = u64::try_from(delivered.len()).unwrap();
        if written.is_none_or(|written| written < least || written > generation) {
            account.findings.push(format!(
                "{}: {least} were delivered, {generation} made; Vault holds number {}",
                connection.name, held["generation"]
            ));
        }
    }
    // Nobody ever had those that no place got, and none of them is left.
    let ours = |connection: &str| records.contains_key(connection);
    let lost = books.lives.values().filter(|life| ours(&life.connection)).count();
    if lost != account.made {
        account
            .findings
            .push(format!("{} tokens are of no connection of ours", account.made - lost));
    }
    account
}

/// The token in each version of a connection's secret, and since when it was there.
async fn versions(sources: &Sources, connection: &Connection) -> Vec<(String, Timestamp)> {
    let path = format!("{}/metadata/{}", sources.mount, connection.name);
    let metadata = sources.bao.must("GET", &path, Value::Null).await;
    let metadata = metadata["data"]["versions"].as_object().unwrap();
    let mut versions: Vec<(u64, Timestamp)> = Vec::new();
    for (number, version) in metadata {
        let made = parse_timestamp(version["created_time"].as_str().unwrap()).unwrap();
        versions.push((number.parse().unwrap(), sources.clock.at(made)));
    }
    versions.sort_unstable();
    let mut held = Vec::new();
    for (number, made) in versions {
        let secret = sources.vault(connection, Some(number)).await;
        held.push((secret["token_id"].as_str().unwrap().to_owned(), made));
    }
    held
}

/// Everything that is written down in the ledger.
pub(crate) async fn ledger(fleet: &Fleet) -> String {
    let client = fleet.server.connect(&fleet.database).await.unwrap();
    let tables = ["meta", "records", "claims", "events", "inventories", "watched", "limits"];
    let mut all = String::new();
    for table in tables {
        let query = format!("SELECT to_jsonb(it)::text FROM scimitar.{table} AS it");
        for row in client.query_typed(&query, &[]).await.unwrap() {
            all += row.get::<_, &str>(0);
            all.push('\n');
        }
    }
    all
}

/// A part of a secret that a text holds: each is sixteen hexadecimal digits of what the tenant drew.
pub(crate) fn leaked(text: &str, secrets: &BTreeSet<String>) -> Option<String> {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let mut runs = text.as_bytes().split(|byte| !is_hex(byte)).filter(|run| run.len() >= 16);
    runs.find_map(|run| {
        let mut parts = run.windows(16).map(|part| String::from_utf8_lossy(part).into_owned());
        parts.find(|part| secrets.contains(part))
    })
}
