//! `/api/v1/connections`: the document that `status --output json` prints, of all connections, of those
//! that an address asks for, or of one.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{StatusCode, Uri},
    response::Response,
};
use serde_json::json;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_util::io::ReaderStream;

use super::{AHEAD, Site, query::Wanted, with_type};
use crate::{
    clock::{Timestamp, rfc3339},
    engine::{
        row::{Row, SCHEMA},
        stored_status,
        watched_row::WatchedRow,
        worker::Connection,
    },
    error::chain,
    ledger::LedgerError,
};

/// How many rows are made at once.
const AT_ONCE: usize = 250;

/// The kind of every answer here.
pub(super) const JSON: &str = "application/json";

/// What the answers look like.
pub(super) const OPENAPI: &str = include_str!("../../docs/openapi.json");

/// The rows of the connections asked for, in the order of the files unless another is asked for. They
/// are sent as they are made, so that very many are never held at once.
pub(super) async fn answer(site: &Arc<Site>, uri: &Uri) -> Response {
    let now = site.engine.clock.now();
    let wanted = match Wanted::strictly(uri) {
        Ok(wanted) => wanted,
        Err(words) => return refused(StatusCode::BAD_REQUEST, &words, now),
    };
    let connections = match site.chosen(&wanted).await {
        Ok(connections) => connections,
        Err(error) => return failed(&error, now),
    };
    // Whether the ledger answers is known before the answer begins.
    let first = site.rows(connections.get(..AT_ONCE).unwrap_or(&connections), now).await;
    let watches = site.live.watched();
    let watched = WatchedRow::all(&watches, site.engine.ledger.as_ref(), now).await;
    let (first, mut watched) = match (first, watched) {
        (Ok(first), Ok(watched)) => (first, watched),
        (Err(error), _) | (_, Err(error)) => return failed(&error, now),
    };
    if !wanted.is_everything() {
        watched.clear();
    }
    let (writer, reader) = tokio::io::duplex(AHEAD);
    let site = Arc::clone(site);
    tokio::spawn(async move {
        // A reader that went away ends it; one that gets no end knows that something is missing.
        if let Err(error) = site.send(writer, &connections, first, &watched, now).await {
            tracing::debug!(error = %error, "not all rows could be read");
        }
    });
    with_type(StatusCode::OK, JSON, Body::from_stream(ReaderStream::new(reader)))
}

/// The row of the connection with this name.
pub(super) async fn one(site: &Site, name: &str) -> Response {
    let now = site.engine.clock.now();
    let Some(connection) = site.connection(name) else {
        let words = format!("no connection named \"{name}\"");
        return refused(StatusCode::NOT_FOUND, &words, now);
    };
    match site.rows(&[connection], now).await {
        Ok(rows) => {
            let at = rfc3339(now);
            let document = json!({
                "schema": SCHEMA,
                "started_at": at,
                "finished_at": at,
                "exit_status": 0,
                "error": null,
                "results": rows,
            });
            with_type(StatusCode::OK, JSON, format!("{document}\n"))
        }
        Err(error) => failed(&error, now),
    }
}

fn failed(error: &LedgerError, now: Timestamp) -> Response {
    without_rows(StatusCode::SERVICE_UNAVAILABLE, 1, "ledger", &chain(error), now)
}

fn refused(status: StatusCode, words: &str, now: Timestamp) -> Response {
    without_rows(status, 2, "usage", words, now)
}

fn without_rows(
    status: StatusCode,
    exit_status: u8,
    class: &str,
    message: &str,
    now: Timestamp,
) -> Response {
    let document = json!({
        "schema": SCHEMA,
        "started_at": rfc3339(now),
        "finished_at": rfc3339(now),
        "exit_status": exit_status,
        "error": { "class": class, "message": message, "problems": [] },
        "results": [],
    });
    with_type(status, JSON, format!("{document}\n"))
}

impl Site {
    /// The connections asked for.
    async fn chosen(&self, wanted: &Wanted) -> Result<Vec<Arc<Connection>>, LedgerError> {
        if wanted.is_everything() {
            return Ok(self.live.connections().to_vec());
        }
        let overview = self.overview().await?;
        let found = wanted.of_overview(&overview).into_iter();
        Ok(found.filter_map(|entry| overview.connections.get(entry.index).cloned()).collect())
    }

    /// How these connections stand.
    async fn rows(
        &self,
        connections: &[Arc<Connection>],
        now: Timestamp,
    ) -> Result<Vec<Row>, LedgerError> {
        let ledger = self.engine.ledger.as_ref();
        let keys: Vec<_> = connections.iter().map(|connection| &connection.policy.key).collect();
        let stored = ledger.load_many(&keys).await?;
        let mut rows = Vec::with_capacity(connections.len());
        for (connection, stored) in connections.iter().zip(stored) {
            let (policy, record) = (&connection.policy, stored.as_ref().map(|it| &it.record));
            rows.push(stored_status::looked_up(ledger, policy, record, now).await?.1);
        }
        Ok(rows)
    }

    async fn send(
        &self,
        mut to: DuplexStream,
        connections: &[Arc<Connection>],
        first: Vec<Row>,
        watched: &[WatchedRow],
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let at = rfc3339(now);
        let head = format!(
            r#"{{"schema":{SCHEMA},"started_at":"{at}","finished_at":"{at}","exit_status":0,"error":null,"results":["#
        );
        to.write_all(head.as_bytes()).await?;
        let mut rows = first;
        let mut rest = connections.chunks(AT_ONCE).skip(1);
        let mut follows = false;
        loop {
            for row in &rows {
                if std::mem::replace(&mut follows, true) {
                    to.write_all(b",").await?;
                }
                to.write_all(&serde_json::to_vec(row)?).await?;
            }
            let Some(next) = rest.next() else { break };
            rows = self.rows(next, now).await?;
        }
        to.write_all(b"]").await?;
        if !watched.is_empty() {
            to.write_all(br#","watched":"#).await?;
            to.write_all(&serde_json::to_vec(watched)?).await?;
        }
        to.write_all(b"}\n").await?;
        Ok(())
    }
}
