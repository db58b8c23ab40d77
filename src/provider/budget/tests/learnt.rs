//! Many callers at a tenant that they know nothing of but what its answers say. Time passes only
//! when all of them wait.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Wake, Waker},
};

use super::*;

mod mute;

/// How long a request and its answer are under way together.
const LATENCY: Duration = Duration::from_millis(40);

/// As many connections are worked on at once.
const WORKERS: usize = 16;

/// A clock that stands still while anybody has something to do, and then goes to the next moment
/// that somebody waits for.
#[derive(Debug)]
struct Simulated {
    now: Mutex<Timestamp>,
    awaited: Mutex<BTreeSet<Timestamp>>,
}

impl Simulated {
    fn new() -> Arc<Self> {
        // Begins in the middle of a second: resets are said in whole ones.
        let now = Mutex::new(start() + TimeDelta::milliseconds(350));
        Arc::new(Self { now, awaited: Mutex::default() })
    }

    /// Runs these to their end.
    fn run(&self, tasks: Vec<Task>) {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut tasks: Vec<_> = tasks.into_iter().collect();
        while !tasks.is_empty() {
            tasks.retain_mut(|task| {
                task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            });
            if !woken.0.swap(false, Ordering::SeqCst) && !tasks.is_empty() {
                let next = self.awaited.lock().unwrap().pop_first();
                let mut now = self.now.lock().unwrap();
                *now = next.expect("somebody waits for ever").max(*now);
            }
        }
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Whether anybody was woken.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for Simulated {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        poll_fn(|_| {
            if self.now() >= deadline {
                return Poll::Ready(());
            }
            self.awaited.lock().unwrap().insert(deadline);
            Poll::Pending
        })
        .await;
    }
}

/// What a tenant means by its moment of reset.
#[derive(Clone, Copy, Debug)]
enum Reset {
    OneMore,
    FullAgain,
}

/// A token bucket that says what Auth0 says.
#[derive(Clone, Debug)]
struct Tenant {
    rate: f64,
    burst: f64,
    reset: Reset,
    /// Its answers say nothing of the limit.
    mute: bool,
    left: f64,
    at: Timestamp,
    accepted: u32,
    refused: u32,
    /// The least that was left to others.
    least: f64,
}

impl Tenant {
    fn new(rate: f64, burst: u32, reset: Reset) -> Self {
        let burst = f64::from(burst);
        let (at, left) = (start(), burst);
        Self { rate, burst, reset, mute: false, left, at, accepted: 0, refused: 0, least: burst }
    }

    /// The answer to one more request, and whether it is a 429.
    fn ask(&mut self, now: Timestamp) -> (bool, Seen) {
        let passed = (now - self.at).to_std().unwrap().as_secs_f64();
        self.left = (self.left + passed * self.rate).min(self.burst);
        self.at = now;
        let accepted = self.left >= 1.0;
        if accepted {
            self.left -= 1.0;
            self.accepted += 1;
            self.least = self.least.min(self.left);
        } else {
            self.refused += 1;
        }
        if self.mute {
            return (accepted, Seen::default());
        }
        let wanted = match self.reset {
            Reset::OneMore => 1.0,
            Reset::FullAgain => self.burst,
        };
        let wait = ((wanted - self.left).max(0.0) / self.rate).ceil();
        let seen = Seen {
            limit: Some(self.burst as i64),
            remaining: Some(self.left.floor() as i64),
            resets_in: Some(seconds(wait)),
        };
        (accepted, seen)
    }
}

/// Sends one request, again after each 429.
async fn request(budget: &Budget, clock: &Simulated, tenant: &Mutex<Tenant>) {
    let half = TimeDelta::from_std(LATENCY / 2).unwrap();
    loop {
        let permit = budget.take(Urgency::Routine).await;
        clock.sleep_until(clock.now() + half).await;
        let (accepted, seen) = tenant.lock().unwrap().ask(clock.now());
        clock.sleep_until(clock.now() + half).await;
        if accepted {
            permit.answered(seen);
            return;
        }
        let _ = permit.throttled(seen.resets_in.map(|wait| wait.max(FIRST_PAUSE)));
    }
}

/// A tenant, and Scimitar's budget there.
#[derive(Clone)]
struct Scene {
    clock: Arc<Simulated>,
    tenant: Arc<Mutex<Tenant>>,
    budget: Arc<Budget>,
}

impl Scene {
    fn new(tenant: Tenant, share: f64) -> Self {
        let clock = Simulated::new();
        let budget = Arc::new(Budget::new(None, share, clock.clone()));
        Self { clock, tenant: Arc::new(Mutex::new(tenant)), budget }
    }

    /// So many connections with four requests each, as many at once as there are workers: how long
    /// it takes until all is done, these others too.
    fn rotate(&self, connections: usize, others: Vec<Task>) -> f64 {
        let began = self.clock.now();
        let workers = Arc::new(tokio::sync::Semaphore::new(WORKERS));
        let rotation = || -> Task {
            let (scene, workers) = (self.clone(), workers.clone());
            Box::pin(async move {
                let _worker = workers.acquire().await.unwrap();
                for _ in 0..4 {
                    request(&scene.budget, &scene.clock, &scene.tenant).await;
                }
            })
        };
        self.clock.run((0..connections).map(|_| rotation()).chain(others).collect());
        (self.clock.now() - began).as_seconds_f64()
    }
}

/// The same at a tenant of its own: how long, and how that was left.
fn learnt(connections: usize, tenant: Tenant, share: f64) -> (f64, Tenant) {
    let scene = Scene::new(tenant, share);
    let took = scene.rotate(connections, Vec::new());
    let tenant = scene.tenant.lock().unwrap().clone();
    (took, tenant)
}

#[test]
fn twenty_connections_at_once_take_as_long_as_one_by_one() {
    for reset in [Reset::OneMore, Reset::FullAgain] {
        for share in [0.5, 1.0] {
            let (took, tenant) = learnt(20, Tenant::new(2.0, 2, reset), share);
            let figures = format!("{reset:?}, share {share}: {took} s, {tenant:?}");
            assert_eq!((tenant.accepted, tenant.refused), (80, 0), "{figures}");
            // 80 requests, two of them at once: 39 s.
            assert!((35.1..=42.9).contains(&took), "{figures}");
        }
    }
}

#[test]
fn thirty_rotations_learn_the_pace_from_headers_alone() {
    for reset in [Reset::OneMore, Reset::FullAgain] {
        for share in [0.5, 1.0] {
            let (took, tenant) = learnt(30, Tenant::new(5.0, 10, reset), share);
            // Our part of the burst at once, then as fast as they come back.
            let ideal = (120.0 - 10.0 * share) / 5.0;
            let figures = format!("{reset:?}, share {share}: {took} s of {ideal} s, {tenant:?}");
            assert_eq!((tenant.accepted, tenant.refused), (120, 0), "{figures}");
            assert!(took <= ideal * 1.1, "{figures}");
        }
    }
}

#[test]
fn the_others_part_stays_there_for_them() {
    for (rate, burst) in [(2.0, 10), (5.0, 10), (16.0, 50), (0.8, 5)] {
        for reset in [Reset::OneMore, Reset::FullAgain] {
            let (_, tenant) = learnt(20, Tenant::new(rate, burst, reset), 0.5);
            // To find out the pace takes one of theirs, once.
            assert!(tenant.least >= f64::from(burst) / 2.0 - 1.0, "{tenant:?}");
            assert_eq!(tenant.refused, 0, "{tenant:?}");
        }
    }
}

#[test]
fn a_limit_that_was_lowered_is_learnt_again() {
    for reset in [Reset::OneMore, Reset::FullAgain] {
        let scene = Scene::new(Tenant::new(16.0, 10, reset), 1.0);
        scene.rotate(40, Vec::new());
        scene.tenant.lock().unwrap().rate = 2.0;
        let took = scene.rotate(20, Vec::new());
        let tenant = scene.tenant.lock().unwrap();
        // The pace is halved with each of them.
        assert!(tenant.refused <= 3, "{took} s, {tenant:?}");
        assert!(took <= 44.0, "{took} s, {tenant:?}");
    }
}

#[test]
fn others_who_come_and_go_are_made_room_for() {
    for reset in [Reset::OneMore, Reset::FullAgain] {
        let scene = Scene::new(Tenant::new(5.0, 10, reset), 0.5);
        let (clock, tenant) = (scene.clock.clone(), scene.tenant.clone());
        let refused = Arc::new(Mutex::new(0));
        let theirs = refused.clone();
        // Four of five a second for fifteen seconds.
        let others: Task = Box::pin(async move {
            for _ in 0..60 {
                clock.sleep_until(clock.now() + TimeDelta::milliseconds(250)).await;
                let (accepted, _) = tenant.lock().unwrap().ask(clock.now());
                *theirs.lock().unwrap() += u32::from(!accepted);
            }
        });
        let took = scene.rotate(20, vec![others]);
        assert_eq!(*refused.lock().unwrap(), 0, "refused to the others");
        assert_eq!(scene.tenant.lock().unwrap().refused, 0, "{took} s");
        // 140 requests, of which 5 at once: 27 s.
        assert!(took <= 33.0, "{took} s");
    }
}
