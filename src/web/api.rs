//! `/api/v1/connections`: the document that `status --output json` prints.

use std::sync::Arc;

use axum::{body::Body, http::StatusCode, response::Response};
use serde_json::json;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_util::io::ReaderStream;

use super::{AHEAD, Site, with_type};
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

const JSON: &str = "application/json";

/// The rows of all connections, in the order of the files. They are sent as they are made, so that
/// very many are never held at once.
pub(super) async fn answer(site: &Arc<Site>) -> Response {
    let now = site.engine.clock.now();
    let connections = site.live.connections();
    // Whether the ledger answers is known before the answer begins.
    let first = match connections.first() {
        None => Ok(None),
        Some(connection) => site.row(connection, now).await.map(Some),
    };
    let watches = site.live.watched();
    let watched = WatchedRow::all(&watches, site.engine.ledger.as_ref(), now).await;
    let (first, watched) = match (first, watched) {
        (Ok(first), Ok(watched)) => (first, watched),
        (Err(error), _) | (_, Err(error)) => return failed(&error, now),
    };
    let (writer, reader) = tokio::io::duplex(AHEAD);
    let site = Arc::clone(site);
    tokio::spawn(async move {
        // A reader that went away ends it; one that gets no end knows that something is missing.
        if let Err(error) = site.send(writer, &connections, first, &watched, now).await {
            tracing::debug!(error = %error, "the rows were not read to their end");
        }
    });
    with_type(StatusCode::OK, JSON, Body::from_stream(ReaderStream::new(reader)))
}

fn failed(error: &LedgerError, now: Timestamp) -> Response {
    let document = json!({
        "schema": SCHEMA,
        "started_at": rfc3339(now),
        "finished_at": rfc3339(now),
        "exit_status": 1,
        "error": { "class": "ledger", "message": chain(error), "problems": [] },
        "results": [],
    });
    with_type(StatusCode::SERVICE_UNAVAILABLE, JSON, format!("{document}\n"))
}

impl Site {
    /// How a connection stands.
    async fn row(&self, connection: &Connection, now: Timestamp) -> Result<Row, LedgerError> {
        let policy = &connection.policy;
        let stored = self.engine.ledger.load(&policy.key).await?;
        let record = stored.as_ref().map(|stored| &stored.record);
        let ledger = self.engine.ledger.as_ref();
        Ok(stored_status::looked_up(ledger, policy, record, now).await?.1)
    }

    async fn send(
        &self,
        mut to: DuplexStream,
        connections: &[Arc<Connection>],
        first: Option<Row>,
        watched: &[WatchedRow],
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let at = rfc3339(now);
        let head = format!(
            r#"{{"schema":{SCHEMA},"started_at":"{at}","finished_at":"{at}","exit_status":0,"error":null,"results":["#
        );
        to.write_all(head.as_bytes()).await?;
        if let Some(first) = first {
            to.write_all(&serde_json::to_vec(&first)?).await?;
        }
        for connection in connections.iter().skip(1) {
            let row = self.row(connection, now).await?;
            to.write_all(b",").await?;
            to.write_all(&serde_json::to_vec(&row)?).await?;
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
