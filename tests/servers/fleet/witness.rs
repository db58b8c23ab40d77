//! What truly became of each token, by the tenant's own books.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
};

use chrono::TimeDelta;
use scimitar::clock::{Timestamp, parse_timestamp};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::site::Sources;

/// The books remember the dead for an hour; this is more often.
const EVERY: TimeDelta = TimeDelta::seconds(20);

/// A token's life.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Life {
    pub(crate) connection: String,
    pub(crate) made: Timestamp,
    pub(crate) revoked: Option<Timestamp>,
}

/// Every token that there ever was, by its id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) lives: BTreeMap<String, Life>,
    /// How many births and deaths the tenant counts.
    counted: u64,
}

impl Books {
    /// Reads what the tenant holds now.
    pub(crate) fn read(&mut self, sources: &Sources) {
        let text = fs::read_to_string(&sources.tenant).unwrap();
        let (_, state) = text.split_once('\n').unwrap();
        let state: Value = serde_json::from_str(state).unwrap();
        self.counted = state["sequence"].as_u64().unwrap();
        for (connection, held) in state["connections"].as_object().unwrap() {
            for token in held["tokens"].as_array().unwrap() {
                let life = Life {
                    connection: connection.clone(),
                    made: moment(&token["created_at"]).unwrap(),
                    revoked: moment(&token["died"][0]),
                };
                self.lives.insert(token["id"].as_str().unwrap().to_owned(), life);
            }
        }
    }

    /// That no token came and went without having been seen.
    pub(crate) fn assert_complete(&self) {
        let deaths = self.lives.values().filter(|life| life.revoked.is_some()).count();
        assert_eq!(self.counted, u64::try_from(self.lives.len() + deaths).unwrap());
    }

    /// The tokens of a connection that are in force.
    pub(crate) fn in_force(&self, connection: &str) -> Vec<&str> {
        let ours = self.lives.iter().filter(|(_, life)| life.connection == connection);
        ours.filter(|(_, life)| life.revoked.is_none()).map(|(id, _)| id.as_str()).collect()
    }
}

fn moment(value: &Value) -> Option<Timestamp> {
    parse_timestamp(value.as_str()?)
}

/// Reads the books again and again until `stop`.
pub(crate) async fn witness(
    sources: Arc<Sources>,
    books: Arc<Mutex<Books>>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        books.lock().unwrap().read(&sources);
        sources.clock.pass(EVERY).await;
    }
}
