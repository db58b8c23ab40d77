//! Hooks beside the scheduler: they cost the provider nothing, and keep a connection from nobody.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;
use scimitar::{
    clock::Clock,
    error::{Class, Code, Fault},
    hook::{Hook, Hooks, Message},
    ledger::{Claimed, Ledger},
    rotation::{
        notice::{Happening, Notice, Occasion, Subscriber},
        record::{Decided, Record, Status},
        why::Reason,
    },
    token::{Digest, HookName},
};

use super::{
    days, seconds,
    world::{self, World},
};

const LEASE: Duration = Duration::from_secs(60);

fn name() -> HookName {
    HookName::try_new("after").unwrap()
}

/// A hook that takes so long and then ends so; what it was told, and when.
#[derive(Debug)]
struct Scripted {
    name: HookName,
    takes: TimeDelta,
    fails: bool,
    clock: Arc<world::Jumping>,
    told: Mutex<Vec<i64>>,
}

#[async_trait]
impl Hook for Scripted {
    fn name(&self) -> &HookName {
        &self.name
    }

    fn longest(&self) -> Duration {
        self.takes.to_std().unwrap()
    }

    async fn run(&self, _message: &Message) -> Result<(), Fault> {
        self.told.lock().unwrap().push(self.clock.since().num_seconds());
        self.clock.sleep_until(self.clock.now() + self.takes).await;
        if self.fails {
            return Err(Fault::new("run it", Class::Transient, Code::Unavailable, "it fails"));
        }
        Ok(())
    }
}

/// Something that happened to the connection, which its hook was not told yet.
fn untold(record: &mut Record) {
    let happening = Happening {
        occasion: Occasion::Delivered,
        at: world::noon(),
        token: None,
        previous: None,
        expires_at: None,
        generation: 1,
        threshold: None,
        reason: None,
        words: "every sink holds it".to_owned(),
    };
    let id = Digest::of(b"one");
    let waiting =
        vec![Notice { id, number: 1, happening, begun: None, until: None, trouble: None }];
    let hook = Subscriber { on: [Occasion::Delivered].into(), waiting, ..Subscriber::default() };
    record.notices.hooks.insert(name(), hook);
    record.notices.count = 1;
}

/// A daemon with one connection and a hook that has something to be told.
async fn started(takes: TimeDelta, fails: bool) -> (World, Arc<Scripted>, Arc<Hooks>) {
    let mut world = World::new(seconds(0));
    let (name, clock) = (name(), Arc::clone(&world.clock));
    let hook = Arc::new(Scripted { name, takes, fails, clock, told: Mutex::default() });
    let mut hooks = Hooks::default();
    hooks.add([Occasion::Delivered].into(), hook.clone());
    let hooks = Arc::new(hooks);
    world.record_with("one", seconds(600), days(60), untold).await;
    let connection = world.connection_with("one", Arc::clone(&hooks));
    world.start(vec![connection], 4);
    (world, hook, hooks)
}

async fn subscriber(world: &World) -> Subscriber {
    let stored = world.ledger.load(&world::key("one")).await.unwrap().unwrap();
    stored.record.notices.hooks[&name()].clone()
}

#[tokio::test]
async fn a_hook_that_fails_all_day_costs_the_provider_no_list() {
    let (world, hook, _) = started(seconds(1), true).await;
    world.pass(days(1)).await;
    let tries = hook.told.lock().unwrap().len();
    assert!(tries > 24, "{tries} tries");
    // One when it starts, and one an hour.
    let lists = world.visits().len();
    assert!((24..=25).contains(&lists), "{lists} lists");
}

#[tokio::test]
async fn a_slow_hook_keeps_the_connection_from_nobody() {
    let (world, hook, hooks) = started(seconds(200), false).await;
    world.pass(seconds(2)).await;
    assert_eq!(*hook.told.lock().unwrap(), [0]);
    let call = world.revoke(world.connection_with("one", hooks));
    world.pass(seconds(2)).await;
    assert!(!call.is_finished(), "a quick one is waited for");
    world.pass(seconds(3)).await;
    assert!(call.is_finished(), "after 7 of 200 seconds");
    assert!(call.await.unwrap().unwrap_err().to_string().contains("tok_2"));
    // The other process leaves it to the one that began it.
    world.pass(seconds(190)).await;
    assert_eq!(hook.told.lock().unwrap().len(), 1);
    assert!(subscriber(&world).await.waiting[0].begun.is_some());
    world.pass(seconds(5)).await;
    let told = subscriber(&world).await;
    assert!(told.waiting.is_empty() && told.last.unwrap().fault.is_none());
    let claimed = world.ledger.another().claim(&world::key("one"), LEASE).await.unwrap();
    assert!(matches!(claimed, Claimed::Yes(..)), "it was given free again");
}

#[tokio::test]
async fn the_result_of_a_slow_hook_waits_for_the_connections_holder() {
    let (world, _, _) = started(seconds(30), false).await;
    world.pass(seconds(10)).await;
    let other = world.ledger.another();
    let Claimed::Yes(claim, _) = other.claim(&world::key("one"), LEASE).await.unwrap() else {
        panic!("it is free")
    };
    world.pass(seconds(40)).await;
    assert_eq!(subscriber(&world).await.waiting.len(), 1);
    other.release(&claim).await.unwrap();
    world.pass(seconds(1)).await;
    assert!(subscriber(&world).await.waiting.is_empty());
    assert_eq!(world.visited(), ["con_one"], "nothing is looked at again because it was slow");
    // Whoever never gives it back makes it be told again: at least once, not at most once.
    let (world, hook, _) = started(seconds(30), false).await;
    world.pass(seconds(10)).await;
    let held = world.ledger.another().claim(&world::key("one"), LEASE * 3).await.unwrap();
    assert!(matches!(held, Claimed::Yes(..)));
    world.pass(seconds(300)).await;
    assert_eq!(hook.told.lock().unwrap().len(), 2);
    assert!(subscriber(&world).await.waiting.is_empty());
}

#[tokio::test]
async fn a_slow_hook_changes_nothing_of_how_a_call_ends() {
    let world = World::new(seconds(0));
    let (name, clock) = (name(), Arc::clone(&world.clock));
    let hook = Scripted { name, takes: seconds(90), fails: false, clock, told: Mutex::default() };
    let mut hooks = Hooks::default();
    hooks.add([Occasion::Delivered].into(), Arc::new(hook));
    let hooks = Arc::new(hooks);
    world.record_with("one", seconds(600), days(60), untold).await;
    let quick = world.connection("one");
    let expected = world.once(quick, days(1)).await.unwrap();
    world.record_with("two", seconds(600), days(60), untold).await;
    // Cut off by the call's own time, and unable to write that down for as long as it lasts.
    let call = world.once(world.connection_with("two", hooks), seconds(20));
    world.pass(seconds(10)).await;
    let held = world.ledger.another().claim(&world::key("two"), LEASE).await.unwrap();
    assert!(matches!(held, Claimed::Yes(..)));
    world.pass(seconds(13)).await;
    assert!(call.is_finished(), "it ends in time");
    let report = call.await.unwrap();
    assert_eq!((report.outcome, report.reason), (expected.outcome, expected.reason));
}

#[tokio::test]
async fn a_call_that_was_cut_off_leaves_a_refusal_as_it_was() {
    let world = World::new(seconds(0));
    let refusal = Decided {
        status: Status::Refused,
        reason: Some(Reason::Brake),
        words: "an operator decides".to_owned(),
        since: world::noon(),
        until: None,
    };
    let refused = |record: &mut Record| record.decided = Some(refusal.clone());
    world.record_with("one", seconds(600), days(60), refused).await;
    let call = world.once(world.connection("one"), seconds(0));
    world.pass(seconds(1)).await;
    let report = call.await.unwrap();
    assert_eq!(report.reason, Some(Reason::Timeout), "{report:?}");
    assert_eq!(report.record.unwrap().decided, Some(refusal));
}
