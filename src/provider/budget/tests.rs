use async_trait::async_trait;

use super::*;

mod learnt;
mod together;

/// A clock that jumps to whatever is waited for. Only the first of a queue waits for a moment,
/// so that no jump passes over another's.
#[derive(Debug)]
struct Jumping(Mutex<Timestamp>);

impl Jumping {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(start())))
    }

    fn passed(&self) -> Duration {
        (self.now() - start()).to_std().unwrap()
    }

    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

#[async_trait]
impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        tokio::task::yield_now().await;
        let mut now = self.0.lock().unwrap();
        *now = deadline.max(*now);
    }
}

fn start() -> Timestamp {
    "2026-11-22T04:00:00Z".parse().unwrap()
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn budget(clock: &Arc<Jumping>, limit: Option<(f64, u32)>, share: f64) -> Budget {
    let limit = limit.map(|(rate, burst)| RateLimit::try_new(rate, burst).unwrap());
    Budget::new(limit, share, clock.clone())
}

fn seen(limit: i64, remaining: i64, resets_in: u64) -> Seen {
    Seen {
        limit: Some(limit),
        remaining: Some(remaining),
        resets_in: Some(Duration::from_secs(resets_in)),
    }
}

/// How long one request waits, to the millisecond above.
async fn wait(budget: &Budget, clock: &Jumping, urgency: Urgency) -> Duration {
    let before = clock.now();
    drop(budget.take(urgency).await);
    (clock.now() - before).to_std().unwrap()
}

/// Whether it is not ready at once.
async fn waits<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = std::future::ready(()) => true,
    }
}

fn about(waited: Duration, expected: f64) -> bool {
    let waited = waited.as_secs_f64();
    waited >= expected - 1e-6 && waited <= expected + 0.003
}

#[test]
fn limits_that_let_nothing_through_are_refused() {
    for (rate, burst) in [(0.0, 1), (-1.0, 1), (f64::NAN, 1), (f64::INFINITY, 1), (1.0, 0)] {
        assert_eq!(RateLimit::try_new(rate, burst), None, "{rate} {burst}");
    }
}

#[tokio::test]
async fn a_share_of_the_burst_at_once_then_a_share_of_the_rate() {
    let clock = Jumping::new();
    let budget = budget(&clock, Some((16.0, 50)), 0.5);
    for request in 0..25 {
        assert!(about(wait(&budget, &clock, Urgency::Routine).await, 0.0), "{request}");
    }
    for request in 0..40 {
        assert!(about(wait(&budget, &clock, Urgency::Urgent).await, 0.125), "{request}");
    }
}

#[tokio::test]
async fn an_emergency_takes_the_whole_limit_and_the_others_pay_for_it() {
    let clock = Jumping::new();
    let budget = budget(&clock, Some((2.0, 10)), 0.5);
    for request in 0..10 {
        assert!(about(wait(&budget, &clock, Urgency::Emergency).await, 0.0), "{request}");
    }
    assert!(about(wait(&budget, &clock, Urgency::Emergency).await, 0.5));
    // Our share is 5 and 1 a second; 11 were taken, half a second ago the last one but one.
    assert!(about(wait(&budget, &clock, Urgency::Routine).await, 6.5));
}

#[tokio::test]
async fn the_most_urgent_goes_first_then_who_came_first() {
    let clock = Jumping::new();
    let budget = Arc::new(budget(&clock, Some((1.0, 1)), 1.0));
    let held = budget.take(Urgency::Routine).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for (name, urgency) in [
        ("survey 1", Urgency::Routine),
        ("survey 2", Urgency::Routine),
        ("near expiry 1", Urgency::Urgent),
        ("leaked", Urgency::Emergency),
        ("near expiry 2", Urgency::Urgent),
    ] {
        let (budget, order) = (budget.clone(), order.clone());
        tasks.push(async move {
            let permit = budget.take(urgency).await;
            order.lock().unwrap().push(name);
            drop(permit);
        });
    }
    // All stand in the queue before the first may go: the clock is a 429's pause away.
    assert_eq!(held.throttled(Some(seconds(10.0))).pause, seconds(10.0));
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(
        *order.lock().unwrap(),
        ["leaked", "near expiry 1", "near expiry 2", "survey 1", "survey 2"]
    );
}

#[tokio::test]
async fn the_tenants_answers_leave_the_others_their_part() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 0.5);
    budget.take(Urgency::Routine).await.answered(seen(10, 7, 4));
    for _ in 0..2 {
        assert_eq!(wait(&budget, &clock, Urgency::Routine).await, Duration::ZERO);
    }
    // 5 are left, which is the others' half: an emergency may go into it, a survey waits and then
    // asks how things stand.
    assert_eq!(wait(&budget, &clock, Urgency::Emergency).await, Duration::ZERO);
    assert_eq!(wait(&budget, &clock, Urgency::Routine).await, FIRST_PAUSE);
}

#[tokio::test]
async fn before_the_first_answer_one_request_asks() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 1.0);
    let first = budget.take(Urgency::Routine).await;
    let mut second = pin!(budget.take(Urgency::Emergency));
    assert!(waits(&mut second).await);
    first.answered(seen(10, 2, 0));
    let second = second.await;
    let third = budget.take(Urgency::Routine).await;
    // Both that are left are under way.
    assert!(waits(&mut pin!(budget.take(Urgency::Routine))).await);
    drop((second, third));
}

#[tokio::test]
async fn a_tenant_that_says_nothing_of_a_limit_is_not_held_to_one() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 0.5);
    // Two at once, and one more for every eight that were answered.
    for _ in 0..400 {
        budget.take(Urgency::Routine).await.answered(Seen::default());
    }
    let mut held = Vec::new();
    for _ in 0..50 {
        held.push(budget.take(Urgency::Routine).await);
    }
    assert_eq!(clock.passed(), Duration::ZERO);
}

#[tokio::test]
async fn a_request_that_hangs_does_not_stop_the_others() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 1.0);
    let _hangs = budget.take(Urgency::Routine).await;
    assert_eq!(wait(&budget, &clock, Urgency::Routine).await, seconds(5.0));
}

#[tokio::test]
async fn requests_under_way_are_not_in_what_an_answer_says() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 1.0);
    budget.take(Urgency::Routine).await.answered(seen(10, 5, 3));
    let first = budget.take(Urgency::Routine).await;
    let _second = budget.take(Urgency::Routine).await;
    // Others took some. One of the two that are left is the second's, or was before it.
    first.answered(seen(10, 2, 3));
    let _third = budget.take(Urgency::Routine).await;
    assert!(waits(&mut pin!(budget.take(Urgency::Emergency))).await);
}

#[tokio::test]
async fn one_request_is_free_at_the_reset_in_both_of_its_meanings() {
    for resets_in in [1, 7] {
        let clock = Jumping::new();
        let budget = budget(&clock, None, 1.0);
        budget.take(Urgency::Routine).await.answered(seen(10, 0, resets_in));
        let waited = wait(&budget, &clock, Urgency::Routine).await;
        assert_eq!(waited, Duration::from_secs(resets_in));
    }
}

#[tokio::test]
async fn a_reset_that_never_comes_is_not_believed() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 1.0);
    budget.take(Urgency::Routine).await.answered(seen(10, 0, 1_000_000));
    assert_eq!(wait(&budget, &clock, Urgency::Routine).await, LONGEST_RESET);
}

#[tokio::test]
async fn a_429_holds_everybody_back_and_then_one_tries() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 1.0);
    let first = budget.take(Urgency::Routine).await;
    assert_eq!(first.throttled(Some(seconds(7.0))).pause, seconds(7.0));
    let before = clock.passed();
    let tries = budget.take(Urgency::Emergency).await;
    assert_eq!(clock.passed() - before, seconds(7.0));
    let mut second = pin!(budget.take(Urgency::Emergency));
    assert!(waits(&mut second).await, "the second waits for the first one's answer");
    tries.answered(Seen::default());
    drop(second.await);
}

#[tokio::test]
async fn a_request_that_hangs_after_a_429_does_not_stop_the_others() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 1.0);
    budget.take(Urgency::Routine).await.answered(Seen::default());
    let throttled = budget.take(Urgency::Routine).await;
    let _hangs = budget.take(Urgency::Routine).await;
    assert_eq!(throttled.throttled(Some(seconds(2.0))).pause, seconds(2.0));
    let waited = wait(&budget, &clock, Urgency::Emergency).await;
    assert_eq!(waited, seconds(5.0), "so long its answer is waited for");
}

#[tokio::test]
async fn a_pause_beyond_the_patience_is_told_and_not_waited_for() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 1.0);
    let first = budget.take(Urgency::Routine).await;
    let patience = seconds(10.0);
    let mut waiting = pin!(budget.take_unless_closed(Urgency::Routine, patience));
    assert!(waits(&mut waiting).await);
    assert_eq!(first.throttled(Some(seconds(3600.0))).pause, seconds(3600.0));
    assert_eq!(waiting.await.unwrap_err(), Closed { pause: seconds(3600.0) });
    clock.advance(seconds(3600.0 - 5.0));
    drop(budget.take_unless_closed(Urgency::Routine, patience).await.unwrap());
    assert_eq!(clock.passed(), seconds(3600.0));
}

#[tokio::test]
async fn pauses_that_nobody_named_double_and_end() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 1.0);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        pauses.push(budget.take(Urgency::Routine).await.throttled(None).pause.as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 8, 8, 8, 8, 8]);
    budget.take(Urgency::Routine).await.answered(Seen::default());
    let burst = [
        budget.take(Urgency::Routine).await,
        budget.take(Urgency::Routine).await,
        budget.take(Urgency::Routine).await,
    ];
    let asked = [None, Some(seconds(30.0)), None];
    let pauses: Vec<_> =
        burst.into_iter().zip(asked).map(|(permit, asked)| permit.throttled(asked).pause).collect();
    // A second 429 to the same burst is no further strike, and shortens nothing.
    assert_eq!(pauses, [FIRST_PAUSE, seconds(30.0), seconds(30.0)]);
}

#[tokio::test]
async fn who_gives_up_leaves_the_queue() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 1.0);
    let _ = budget.take(Urgency::Routine).await.throttled(Some(seconds(5.0)));
    assert!(waits(&mut pin!(budget.take(Urgency::Emergency))).await, "the pause was not kept");
    assert_eq!(wait(&budget, &clock, Urgency::Routine).await, seconds(5.0));
}

#[tokio::test]
async fn a_clock_set_back_ends_a_pause_and_fills_nothing() {
    let clock = Jumping::new();
    let budget = budget(&clock, Some((1.0, 1)), 1.0);
    let _ = budget.take(Urgency::Routine).await.throttled(Some(seconds(600.0)));
    *clock.0.lock().unwrap() -= seconds(3600.0);
    assert!(about(wait(&budget, &clock, Urgency::Routine).await, 1.0));
    clock.advance(seconds(0.5));
    assert!(about(wait(&budget, &clock, Urgency::Routine).await, 0.5));
}
