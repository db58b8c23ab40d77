//! Nobody waits for a stranger: tenants that do not answer, or only much later, or whose SCIM
//! endpoint is down, and sinks that hang, beside connections that have nothing to do with them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;
use reqwest::Url;
use scimitar::{
    clock::Clock,
    engine::worker::Connection,
    error::{Class, Code, Fault},
    place::{Place, Version},
    probe::{ProbeAnswer, ScimProbe, UserAct, UserAnswer},
    provider::{Call, Provider, Revoked, Right, kind::Needs},
    rotation::{
        backoff::mix,
        policy::{Capabilities, ScopePolicy},
        why::Reason,
    },
    sink::{Contents, Delivery, Fence, Reading, Sink},
    token::{
        ConnectionId, Listing, MintRequest, Minted, PlaceKey, Scope, SinkName, Tenant, TokenId,
        TokenValue,
    },
};

use super::{
    days, seconds,
    world::{Jumping, Visit, World},
};

/// How a tenant fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fares {
    /// Every request waits in the tenant's budget, for an hour.
    Throttled,
    /// Nothing is ever answered.
    Silent,
    /// Lists are answered; the SCIM endpoint is not, until the request's time-out.
    EndpointDown,
}

const ALL: [Fares; 3] = [Fares::Throttled, Fares::Silent, Fares::EndpointDown];

/// A tenant in trouble. Who asks it is noted.
#[derive(Debug)]
struct Stranger {
    fares: Fares,
    clock: Arc<Jumping>,
    lists: Arc<dyn Provider>,
    asked: Mutex<usize>,
}

fn away(code: Code) -> Fault {
    Fault::new("ask", Class::Transient, code, "no answer")
}

#[async_trait]
impl Provider for Stranger {
    fn capabilities(&self) -> Capabilities {
        self.lists.capabilities()
    }

    fn scim_endpoint(&self, connection: &ConnectionId) -> Url {
        self.lists.scim_endpoint(connection)
    }

    fn id_in(&self, value: &TokenValue) -> Option<TokenId> {
        self.lists.id_in(value)
    }

    async fn list(&self, call: Call<'_>) -> Result<Listing, Fault> {
        *self.asked.lock().unwrap() += 1;
        match self.fares {
            Fares::Throttled => {
                self.clock.sleep_until(self.clock.now() + TimeDelta::hours(1)).await;
                Err(away(Code::Throttled))
            }
            Fares::Silent => std::future::pending().await,
            Fares::EndpointDown => self.lists.list(call).await,
        }
    }

    async fn create(&self, _call: Call<'_>, _request: &MintRequest) -> Result<Minted, Fault> {
        Err(away(Code::Unavailable))
    }

    async fn revoke(&self, _call: Call<'_>, _id: &TokenId) -> Result<Revoked, Fault> {
        Err(away(Code::Unavailable))
    }

    async fn prove(
        &self,
        _connections: &[ConnectionId],
        _needs: Needs,
    ) -> Result<Vec<Right>, Fault> {
        Err(away(Code::Unavailable))
    }
}

#[derive(Debug)]
struct Down(Arc<Jumping>);

#[async_trait]
impl ScimProbe for Down {
    fn longest(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn anonymous(&self, _endpoint: &Url) -> Result<(), Fault> {
        self.0.sleep_until(self.0.now() + seconds(30)).await;
        Err(away(Code::Timeout))
    }

    async fn read(&self, _endpoint: &Url, _token: &TokenValue) -> ProbeAnswer {
        self.0.sleep_until(self.0.now() + seconds(30)).await;
        ProbeAnswer::Inconclusive(away(Code::Timeout))
    }

    async fn user(&self, _endpoint: &Url, _token: &TokenValue, _act: &UserAct) -> UserAnswer {
        UserAnswer::Inconclusive(away(Code::Timeout))
    }
}

/// A connection of another tenant.
async fn stranger(world: &World, fares: Fares, number: usize) -> Arc<Connection> {
    let tenant = Tenant::try_new(format!("{fares:?}.example").to_lowercase()).unwrap();
    let name = format!("{fares:?}{number:02}").to_lowercase();
    let mut connection = Connection::clone(&*world.connection(&name));
    let mut policy = (*connection.policy).clone();
    policy.key.tenant = tenant.clone();
    policy.terms.scopes = ScopePolicy::Exactly([Scope::try_new("get:users").unwrap()].into());
    connection.policy = Arc::new(policy);
    connection.provider = Arc::new(Stranger {
        fares,
        clock: Arc::clone(&world.clock),
        lists: world.provider.clone(),
        asked: Mutex::default(),
    });
    connection.probe = Arc::new(Down(Arc::clone(&world.clock)));
    // All of them have been due for long, and are more urgent than anybody else.
    let of_tenant = |record: &mut scimitar::rotation::record::Record| record.key.tenant = tenant;
    world.record_with(&name, -seconds(600), days(1), of_tenant).await;
    Arc::new(connection)
}

/// When the connections of a healthy tenant, due after so many seconds each, are attended to in 70
/// minutes, with so many workers, beside so many connections of tenants in trouble.
async fn healthy(limit: usize, due: &[i64], troubled: &[(Fares, usize)]) -> Vec<Visit> {
    let mut world = World::new(seconds(5));
    let mut connections = Vec::new();
    for (number, due) in due.iter().enumerate() {
        let name = format!("healthy{number:02}");
        world.record(&name, seconds(*due), days(60)).await;
        connections.push(world.connection(&name));
    }
    for (fares, count) in troubled {
        for number in 0..*count {
            connections.push(stranger(&world, *fares, number).await);
        }
    }
    world.start(connections, limit);
    world.pass(seconds(70 * 60)).await;
    let mut visits = world.visits();
    visits.retain(|visit| visit.name.starts_with("con_healthy"));
    visits
}

#[tokio::test]
async fn a_healthy_tenant_is_never_served_later_than_if_alone() {
    let due: Vec<i64> = (0..10).map(|number| 300 * number).collect();
    for limit in [1, 3] {
        let alone = healthy(limit, &due, &[]).await;
        assert!(alone.len() >= 20, "{alone:?}");
        let troubled = ALL.map(|fares| (fares, 3 * limit + 2));
        assert_eq!(healthy(limit, &due, &troubled).await, alone, "with {limit} workers");
    }
}

/// The same for neighbourhoods that are drawn: how many workers, which tenants are in which trouble
/// with how many connections, and when the healthy one's are due.
#[tokio::test]
async fn in_no_neighbourhood_is_a_healthy_tenant_later_than_alone() {
    for seed in 0..10_u64 {
        let mut drawn = seed << 32;
        let mut draw = |below: u64| {
            drawn += 1;
            mix(drawn) % below
        };
        let limit = 1 + usize::try_from(draw(5)).unwrap();
        let due: Vec<i64> =
            (0..=draw(12)).map(|_| i64::try_from(draw(3_600)).unwrap() - 300).collect();
        let most = 4 * u64::try_from(limit).unwrap() + 2;
        let troubled = ALL.map(|fares| (fares, usize::try_from(draw(most)).unwrap()));
        let alone = healthy(limit, &due, &[]).await;
        assert!(alone.len() >= due.len(), "seed {seed}: {alone:?}");
        let beside = healthy(limit, &due, &troubled).await;
        assert_eq!(beside, alone, "seed {seed}: {limit} workers, {troubled:?}");
    }
}

#[tokio::test]
async fn many_due_at_a_silent_tenant_do_not_delay_another_tenant() {
    let mut world = World::new(seconds(0));
    let mut connections = Vec::new();
    for number in 0..60 {
        connections.push(stranger(&world, Fares::Silent, number).await);
    }
    world.record("mine", seconds(100), days(60)).await;
    connections.push(world.connection("mine"));
    world.start(connections, 2);
    world.pass(seconds(1)).await;
    assert_eq!(world.visited(), ["con_mine"], "as everything after a start");
    // Its survey comes an hour later.
    world.pass(seconds(3_500)).await;
    assert_eq!(world.visited(), [""; 0]);
    world.pass(seconds(101)).await;
    assert_eq!(world.visited(), ["con_mine"]);
}

#[tokio::test]
async fn a_tenant_that_never_answers_fails_and_is_retried_later() {
    let mut world = World::new(seconds(0));
    let silent = stranger(&world, Fares::Silent, 0).await;
    let key = silent.policy.key.clone();
    world.start(vec![silent], 2);
    world.pass(seconds(62)).await;
    let stored = scimitar::ledger::Ledger::load(&*world.ledger, &key).await.unwrap().unwrap();
    let trouble = stored.record.troubles.look.unwrap();
    assert_eq!(trouble.fault.code, Code::Throttled);
    assert!(trouble.fault.to_string().contains("no answer within 60 s"), "{}", trouble.fault);
}

/// A sink that never answers, or at once.
#[derive(Debug)]
struct Place1 {
    place: Place,
    hangs: bool,
}

#[async_trait]
impl Sink for Place1 {
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
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Ok(Reading::new(Version("v1".to_owned()), Contents::Empty))
    }

    async fn prove_writable(&self, _seen: &Reading) -> Result<(), Fault> {
        Ok(())
    }

    async fn promote(
        &self,
        _parcel: &Delivery,
        _expected: &Version,
        _fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        Ok(Version("v2".to_owned()))
    }
}

fn delivered_to(world: &World, name: &str, sink: &str, hangs: bool) -> Arc<Connection> {
    let mut connection = Connection::clone(&*world.connection(name));
    let place = Place {
        key: PlaceKey::new(sink, name),
        sink: SinkName::try_new(sink).unwrap(),
        location: format!("{sink}/{name}"),
        delivery: serde_json::Value::Null.into(),
    };
    connection.places = Arc::new(vec![Arc::new(Place1 { place, hangs }) as Arc<dyn Sink>]);
    Arc::new(connection)
}

#[tokio::test]
async fn a_sink_that_hangs_delays_no_delivery_to_another_sink() {
    let mut world = World::new(seconds(0));
    let mut connections = Vec::new();
    for number in 0..40 {
        let name = format!("hangs{number:02}");
        world.record(&name, -seconds(60), days(1)).await;
        connections.push(delivered_to(&world, &name, "hung", true));
    }
    for number in 0..6 {
        let name = format!("works{number:02}");
        world.record(&name, -seconds(60), days(60)).await;
        connections.push(delivered_to(&world, &name, "fine", false));
    }
    world.start(connections, 4);
    world.pass(seconds(5)).await;
    let visits = world.visits();
    let works: BTreeSet<_> =
        visits.iter().map(|visit| &visit.name).filter(|name| name.contains("works")).collect();
    assert_eq!(works.len(), 6, "{visits:?}");
    let hung = visits.len() - visits.iter().filter(|visit| visit.name.contains("works")).count();
    assert!(hung <= 8, "no more than its workers wait for one sink: {hung}");
}

#[tokio::test]
async fn a_call_ends_in_time_whatever_does_not_answer() {
    for fares in ALL {
        let world = World::new(seconds(0));
        let connection = stranger(&world, fares, 0).await;
        let call = world.once(connection, seconds(10));
        world.pass(seconds(9)).await;
        assert!(!call.is_finished(), "{fares:?}");
        world.pass(seconds(5)).await;
        assert!(call.is_finished(), "{fares:?}");
        let report = call.await.unwrap();
        assert_eq!(report.reason, Some(Reason::Timeout), "{fares:?}: {report:?}");
        // A signal comes while it waits.
        let world = World::new(seconds(0));
        let connection = stranger(&world, fares, 0).await;
        let call = world.once(connection, days(1));
        world.pass(seconds(3)).await;
        world.stop.cancel();
        world.pass(seconds(5)).await;
        assert!(call.is_finished(), "{fares:?}");
        let report = call.await.unwrap();
        assert_eq!(report.reason, Some(Reason::Interrupted), "{fares:?}: {report:?}");
    }
}

#[tokio::test]
async fn a_daemon_stops_in_time_whatever_does_not_answer() {
    let mut world = World::new(seconds(0));
    let mut connections = Vec::new();
    for number in 0..10 {
        for fares in ALL {
            connections.push(stranger(&world, fares, number).await);
        }
    }
    world.start(connections, 4);
    world.pass(seconds(2)).await;
    assert!(world.told.last().running >= 8, "{:?}", world.told.last());
    world.stop.cancel();
    world.pass(seconds(5)).await;
    let doing = world.told.last();
    assert!(doing.stopping && doing.running == 0, "{doing:?}");
}
