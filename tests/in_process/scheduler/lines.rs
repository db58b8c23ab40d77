//! What the daemon's log says of services that are down: few lines, and all that a person needs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use scimitar::{
    engine::worker::{Connection, Engine, Patience, RotationRequest},
    error::{Class, Code, Fault},
    place::{Place, Version},
    sink::{Contents, Delivery, Fence, Reading, Sink},
    telemetry::{logs::Format, metrics::Metrics},
    token::{PlaceKey, SinkName},
};

use super::{
    days,
    heard::Heard,
    seconds, sound,
    world::{World, noon},
};

/// A sink that is down or up as the test says.
#[derive(Debug)]
struct Switched {
    place: Place,
    down: Arc<AtomicBool>,
}

impl Switched {
    fn answer<T>(&self, what: T) -> Result<T, Fault> {
        if self.down.load(Ordering::SeqCst) {
            let detail = "connection refused";
            return Err(Fault::new("read it", Class::Transient, Code::Unreachable, detail));
        }
        Ok(what)
    }
}

#[async_trait]
impl Sink for Switched {
    fn place(&self) -> &Place {
        &self.place
    }

    fn readable(&self) -> bool {
        true
    }

    fn lingers(&self) -> Duration {
        Duration::ZERO
    }

    async fn read(&self) -> Result<Reading, Fault> {
        self.answer(Reading::new(Version("v1".to_owned()), Contents::Empty))
    }

    async fn prove_writable(&self, _seen: &Reading) -> Result<(), Fault> {
        self.answer(())
    }

    async fn promote(
        &self,
        _parcel: &Delivery,
        _expected: &Version,
        _fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        self.answer(Version("v2".to_owned()))
    }
}

fn delivered_to(world: &World, name: &str, down: &Arc<AtomicBool>) -> Arc<Connection> {
    let mut connection = Connection::clone(&*world.connection(name));
    let place = Place {
        key: PlaceKey::new("vault", name),
        sink: SinkName::try_new("vault").unwrap(),
        location: format!("secret/{name}"),
        delivery: serde_json::Value::Null.into(),
    };
    let sink: Arc<dyn Sink> = Arc::new(Switched { place, down: Arc::clone(down) });
    connection.places = Arc::new(vec![sink]);
    Arc::new(connection)
}

/// Forty connections and a dead OpenBao: 261 lines in the first 100 s, until there was one for the sink.
#[tokio::test]
async fn a_sink_that_is_down_is_a_few_lines_however_many_wait() {
    let (heard, _guard) = Heard::listen_as(Format::Json, 0);
    let mut world = World::new(seconds(0));
    let down = Arc::new(AtomicBool::new(true));
    let mut connections = Vec::new();
    for number in 0..40 {
        let name = format!("cust-{number:02}");
        world.record_with(&name, seconds(0), days(60), sound).await;
        connections.push(delivered_to(&world, &name, &down));
    }
    world.start(connections, 16);
    world.pass(seconds(100)).await;
    let lines = heard.lines();
    assert!(lines.len() <= 10, "{} lines: {lines:#?}", lines.len());
    let [first, still] = lines.as_slice() else { panic!("two lines: {lines:#?}") };
    for (line, words) in
        [(first, "sink vault unreachable: "), (still, "sink vault unreachable for 1m: ")]
    {
        let message = line["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{words}connection refused; 40 ")), "{message}");
        assert!(message.contains("connections wait; retrying"), "{message}");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["sink"], "vault");
        assert_eq!(line["error.type"], "unreachable");
        assert_eq!(line["connections"], 40);
        assert!(line["attempt"].as_u64().unwrap() >= 40, "{line}");
        let retry_at = line["retry_at"].as_str().unwrap();
        assert!(scimitar::clock::parse_timestamp(retry_at).unwrap() > noon());
    }
    let metrics = scimitar::engine::scrape::text::<Arc<Connection>>(&world.engine, &[], &[]);
    let metrics = metrics.await.unwrap().concat();
    assert!(metrics.contains("scimitar_sink_up{sink=\"vault\"} 0\n"), "{metrics}");
    let counted =
        "scimitar_sink_requests_total{code=\"unreachable\",operation=\"read\",sink=\"vault\"}";
    assert!(metrics.contains(counted), "{metrics}");
    // In a day, with the reminders.
    world.pass(days(1)).await;
    assert!(heard.lines().len() <= 30, "{:#?}", heard.lines());
    // It comes back, and each of them is well again.
    let before = heard.lines().len();
    down.store(false, Ordering::SeqCst);
    world.pass(days(1)).await;
    let lines = heard.lines().split_off(before);
    let back: Vec<_> = lines.iter().filter(|line| line["sink"] == "vault").collect();
    let [back] = back.as_slice() else { panic!("one line: {lines:#?}") };
    let message = back["message"].as_str().unwrap();
    assert!(
        message.starts_with("sink vault is back after 24h; 40 connections catch up"),
        "{message}"
    );
    assert_eq!(back["level"], "INFO");
    let recovered = |line: &&serde_json::Value| line.to_string().contains("recovered");
    assert_eq!(lines.iter().find(recovered), None, "nothing is told twice");
    let metrics = scimitar::engine::scrape::text::<Arc<Connection>>(&world.engine, &[], &[]);
    let metrics = metrics.await.unwrap().concat();
    assert!(metrics.contains("scimitar_sink_up{sink=\"vault\"} 1\n"), "{metrics}");
}

/// Attends to the connections in another process, which knows only what the ledger does; as `--once` does,
/// it tries again when the pause after the last failure is over.
fn elsewhere(world: &World, connections: &[Arc<Connection>]) {
    let other = Engine {
        ledger: Arc::new(world.ledger.another()),
        metrics: Metrics::try_new().unwrap(),
        pool: Default::default(),
        services: Default::default(),
        ..world.engine.clone()
    };
    for connection in connections {
        let (other, connection) = (other.clone(), Arc::clone(connection));
        let until = Some(world.engine.clock.now() + seconds(900));
        let patience = Patience { wait: false, until, stop: world.stop.clone() };
        tokio::spawn(async move {
            other.attend(&connection, &RotationRequest::Due, &patience).await;
        });
    }
}

/// Two replicas on one ledger: the other one finds the sink well again.
#[tokio::test]
async fn an_outage_that_another_replica_sees_end_ends_here_too() {
    let (heard, _guard) = Heard::listen_as(Format::Json, 0);
    let mut world = World::new(seconds(0));
    let down = Arc::new(AtomicBool::new(true));
    let mut connections = Vec::new();
    for number in 0..3 {
        let name = format!("cust-{number:02}");
        world.record_with(&name, seconds(0), days(60), sound).await;
        connections.push(delivered_to(&world, &name, &down));
    }
    world.start(connections.clone(), 16);
    world.pass(seconds(100)).await;
    down.store(false, Ordering::SeqCst);
    elsewhere(&world, &connections);
    world.pass(seconds(600)).await;
    let lines = heard.lines();
    let back = |line: &&serde_json::Value| line.to_string().contains("sink vault is back after ");
    assert_eq!(lines.iter().filter(back).count(), 1, "told once: {lines:#?}");
    let metrics = scimitar::engine::scrape::text::<Arc<Connection>>(&world.engine, &[], &[]);
    let metrics = metrics.await.unwrap().concat();
    assert!(metrics.contains("scimitar_sink_up{sink=\"vault\"} 1\n"), "{metrics}");
}

/// The same of a provider: nothing is due here for an hour once the other replica has listed.
#[tokio::test]
async fn a_provider_that_another_replica_lists_is_back_here_too() {
    let (heard, _guard) = Heard::listen_as(Format::Json, 0);
    let mut world = World::new(seconds(0));
    world.record_with("cust", seconds(0), days(60), sound).await;
    // It answers 503 for what it does not know.
    let known = std::mem::take(&mut *world.provider.tokens.lock().unwrap());
    let connection = world.connection("cust");
    world.start(vec![Arc::clone(&connection)], 4);
    world.pass(seconds(100)).await;
    assert_eq!(world.told.last().troubled, 1);
    *world.provider.tokens.lock().unwrap() = known;
    elsewhere(&world, &[connection]);
    world.pass(seconds(900)).await;
    let lines = heard.lines();
    let back =
        |line: &&serde_json::Value| line.to_string().contains("provider acme is back after ");
    assert_eq!(lines.iter().filter(back).count(), 1, "told once: {lines:#?}");
}

/// The provider of the scheduler's world answers 503 for a connection that it does not know.
#[tokio::test]
async fn a_provider_that_is_down_is_told_by_its_name() {
    let (heard, _guard) = Heard::listen_as(Format::Json, 0);
    let mut world = World::new(seconds(0));
    let connections = (0..40).map(|number| world.connection(&format!("cust-{number:02}")));
    let connections = connections.collect();
    world.start(connections, 16);
    world.pass(seconds(100)).await;
    let lines = heard.lines();
    let [first, _] = lines.as_slice() else { panic!("two lines: {lines:#?}") };
    let message = first["message"].as_str().unwrap();
    assert!(message.starts_with("provider acme failing: 503; 40 connections wait;"), "{message}");
    assert_eq!((&first["provider"], &first["error.type"]), (&"acme".into(), &"unavailable".into()));
}
