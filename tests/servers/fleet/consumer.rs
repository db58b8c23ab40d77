//! Whoever uses the tokens: reads one now and again and uses it, at once and for a while after.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use chrono::TimeDelta;
use scimitar::clock::{Clock, Timestamp};
use scimitar_test_support::rng::Rng;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::site::{OVERLAP, Sources};

/// A token that was read may be used for so long: as long as a program keeps it that reads often enough for
/// the overlap. The rest of the overlap is for what tells the replicas the time: `Date`, in whole seconds,
/// some real milliseconds late.
pub(crate) fn kept_for() -> TimeDelta {
    OVERLAP * 3 / 5
}

/// Between two looks, outside.
const EVERY: TimeDelta = TimeDelta::milliseconds(350);

/// What the consumers have seen.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Tokens that were used, and accepted.
    pub(crate) accepted: u64,
    /// Those that were refused although they were used in time.
    pub(crate) refused: Vec<String>,
    /// The first token that was ever read of each connection.
    pub(crate) first: BTreeMap<String, String>,
    /// Whether another one was read of a connection later.
    pub(crate) replaced: bool,
}

/// A token in somebody's hands.
struct Kept {
    connection: usize,
    value: String,
    read: Timestamp,
    use_at: Timestamp,
}

/// Reads and uses tokens until `stop`.
pub(crate) async fn consume(
    sources: Arc<Sources>,
    mut rng: Rng,
    heard: Arc<Mutex<Heard>>,
    stop: CancellationToken,
) {
    let mut kept = VecDeque::new();
    while !stop.is_cancelled() {
        let number = rng.index(sources.connections.len());
        let connection = &sources.connections[number];
        let read = sources.clock.now();
        // The second place is slow to ask, and holds the same.
        let found = if rng.one_in(5) {
            sources.aws(connection).await
        } else {
            sources.vault(connection, None).await
        };
        if let Value::String(value) = &found["token"] {
            {
                let mut heard = heard.lock().unwrap();
                let first = heard.first.entry(connection.name.clone());
                let is_another = first.or_insert_with(|| value.clone()) != value;
                heard.replaced |= is_another;
            }
            let now = Kept { connection: number, value: value.clone(), read, use_at: read };
            use_it(&sources, &now, &heard).await;
            let later = TimeDelta::milliseconds(rng.below(kept_for().num_milliseconds()));
            kept.push_back(Kept { use_at: read + later, ..now });
        }
        for _ in 0..kept.len() {
            let Some(one) = kept.pop_front() else { break };
            if one.use_at <= sources.clock.now() {
                use_it(&sources, &one, &heard).await;
            } else {
                kept.push_back(one);
            }
        }
        sources.clock.pass(EVERY).await;
    }
}

async fn use_it(sources: &Sources, kept: &Kept, heard: &Mutex<Heard>) {
    let connection = &sources.connections[kept.connection];
    let accepted = sources.accepts(connection, &kept.value).await;
    let held = sources.clock.now() - kept.read;
    let mut heard = heard.lock().unwrap();
    if accepted {
        heard.accepted += 1;
    } else if held <= kept_for() {
        // One that took longer, because this process did not get to it, has no right to it.
        let id = kept.value.split_once('.').map_or("?", |(id, _)| id);
        heard.refused.push(format!(
            "{}: {id}, read {} s before at {}",
            connection.name,
            held.num_seconds(),
            kept.read
        ));
    }
}
