//! What the daemon's log says of a failure that is one connection's own.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use scimitar::{
    clock::parse_timestamp,
    engine::worker::Connection,
    error::{Class, Code, Fault},
    place::{Place, Version},
    sink::{Delivery, Fence, Reading, Sink},
    telemetry::logs::Format,
    token::{PlaceKey, SinkName},
};
use serde_json::Value;

use super::{
    days,
    heard::Heard,
    seconds, sound,
    world::{World, noon},
};

/// A place that may not be read.
#[derive(Debug)]
struct Closed(Place);

impl Closed {
    fn refused<T>(&self) -> Result<T, Fault> {
        let operation = format!("read {}", self.0.location);
        Err(Fault::new(operation, Class::Transient, Code::Forbidden, "permission denied"))
    }
}

#[async_trait]
impl Sink for Closed {
    fn place(&self) -> &Place {
        &self.0
    }

    fn readable(&self) -> bool {
        true
    }

    fn lingers(&self) -> Duration {
        Duration::ZERO
    }

    async fn read(&self) -> Result<Reading, Fault> {
        self.refused()
    }

    async fn prove_writable(&self, _seen: &Reading) -> Result<(), Fault> {
        self.refused()
    }

    async fn promote(
        &self,
        _parcel: &Delivery,
        _expected: &Version,
        _fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        self.refused()
    }
}

#[tokio::test]
async fn a_failure_of_one_place_names_it_and_the_next_try() {
    let (heard, _guard) = Heard::listen_as(Format::Json, 0);
    let mut world = World::new(seconds(0));
    world.record_with("cust", seconds(0), days(60), sound).await;
    let mut connection = Connection::clone(&*world.connection("cust"));
    let place = Place {
        key: PlaceKey::new("vault", "cust"),
        sink: SinkName::try_new("vault").unwrap(),
        location: "secret/cust".to_owned(),
        delivery: Value::Null.into(),
    };
    let sink: Arc<dyn Sink> = Arc::new(Closed(place));
    connection.places = Arc::new(vec![sink]);
    world.start(vec![Arc::new(connection)], 4);
    world.pass(seconds(1_000)).await;
    let lines = heard.lines();
    let failing: Vec<&Value> = lines
        .iter()
        .filter(|line| line["connection"] == "cust" && line["level"] == "WARN")
        .collect();
    assert!((2..=5).contains(&failing.len()), "begun, and reminders: {lines:#?}");
    for line in &failing {
        assert!(line["message"].as_str().unwrap().starts_with("cust: failing"), "{line}");
        assert_eq!((&line["sink"], &line["location"]), (&"vault".into(), &"secret/cust".into()));
        assert_eq!(line["error.type"], "forbidden", "{line}");
        assert!(line["attempt"].as_u64().unwrap() > 0, "{line}");
        assert!(parse_timestamp(line["retry_at"].as_str().unwrap()).unwrap() > noon(), "{line}");
    }
    let attempts: Vec<u64> = failing.iter().map(|line| line["attempt"].as_u64().unwrap()).collect();
    assert!(attempts.is_sorted() && attempts.first() < attempts.last(), "{attempts:?}");
    let lasts = failing.last().unwrap();
    assert!(lasts["message"].as_str().unwrap().starts_with("cust: failing for "), "{lasts}");
}
