//! `check --online`: every right that a rotation needs, proven before anything is minted.

use std::collections::BTreeMap;

use super::{
    output::{Row, RowError},
    wiring::House,
};
use crate::{
    engine::{
        report::{Outcome, Report},
        worker::Connection,
    },
    sink::{Contents, Reading, Version},
    token::ProviderName,
};

/// Logs in to every provider, asks every SCIM endpoint, reads every sink and shows it writable.
pub async fn rows(house: &House) -> Vec<Row> {
    let mut missing: BTreeMap<ProviderName, Vec<String>> = BTreeMap::new();
    for (name, provider) in &house.providers {
        let of_provider =
            house.connections.iter().filter(|connection| connection.policy.provider == *name);
        let ids: Vec<_> =
            of_provider.map(|connection| connection.policy.key.connection.clone()).collect();
        let found = match provider.prove(&ids).await {
            Ok(rights) => rights
                .into_iter()
                .filter_map(|right| Some(format!("{}: {}", right.name, right.missing?)))
                .collect(),
            Err(fault) => vec![fault.to_string()],
        };
        missing.insert(name.clone(), found);
    }
    let mut rows = Vec::new();
    for connection in &house.connections {
        let mut lacks = missing.get(&connection.policy.provider).cloned().unwrap_or_default();
        lacks.extend(of_connection(connection).await);
        let mut row = row(connection, &lacks);
        row.warnings.extend(connection.sinks.iter().filter_map(|sink| sink.caveat()));
        rows.push(row);
    }
    rows
}

/// One line a connection, and under it what is missing.
#[must_use]
pub fn text(rows: &[Row]) -> String {
    rows.iter()
        .map(|row| {
            let words = row.why.replace("; ", "\n    ");
            let mark = if row.error.is_some() { "missing:\n    " } else { "" };
            let warnings: Vec<_> =
                row.warnings.iter().map(|warning| format!("    warning: {warning}\n")).collect();
            format!("{}: {mark}{words}\n{}", row.connection, warnings.concat())
        })
        .collect()
}

async fn of_connection(connection: &Connection) -> Vec<String> {
    let mut lacks = Vec::new();
    let endpoint = connection.provider.scim_endpoint(&connection.policy.key.connection);
    if let Err(fault) = connection.probe.anonymous(&endpoint).await {
        lacks.push(fault.to_string());
    }
    for sink in &connection.sinks {
        let unasked = Reading {
            version: Version("unasked".to_owned()),
            contents: Contents::Unmarked { value: None },
        };
        let reading = if sink.readable() { sink.read().await } else { Ok(unasked) };
        let shown = match reading {
            Ok(reading) => sink.prove_writable(&reading).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = shown {
            lacks.push(fault.to_string());
        }
    }
    lacks
}

fn row(connection: &Connection, lacks: &[String]) -> Row {
    let policy = &connection.policy;
    let report = Report {
        outcome: if lacks.is_empty() { Outcome::Unchanged } else { Outcome::Failed },
        reason: None,
        why: if lacks.is_empty() {
            "every right that a rotation needs is there".to_owned()
        } else {
            lacks.join("; ")
        },
        record: None,
        fault: None,
    };
    let mut row = Row::from_report(&policy.name, &policy.key.connection, &policy.provider, &report);
    row.error =
        (!lacks.is_empty()).then(|| RowError { class: "terminal", message: lacks.join("; ") });
    row
}
