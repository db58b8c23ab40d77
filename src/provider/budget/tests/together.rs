//! Several replicas on one account.

use super::*;

/// The account as a ledger keeps it, by the clock of the test.
#[derive(Debug)]
struct Account {
    clock: Arc<Jumping>,
    /// When our share and the whole limit are full again, and until when everybody pauses.
    kept: Mutex<(Timestamp, Timestamp, Timestamp)>,
    is_away: Mutex<bool>,
}

impl Account {
    fn new(clock: &Arc<Jumping>) -> Arc<Self> {
        let kept = Mutex::new((start(), start(), start()));
        Arc::new(Self { clock: Arc::clone(clock), kept, is_away: Mutex::new(false) })
    }

    fn budget(self: &Arc<Self>, limit: Option<(f64, u32)>, share: f64) -> Budget {
        let limit = limit.map(|(rate, burst)| RateLimit::try_new(rate, burst).unwrap());
        let tenant = Tenant::try_new("acme.eu.auth0.com").unwrap();
        Budget::shared(limit, share, self.clock.clone(), tenant, Arc::<Self>::clone(self))
    }
}

#[async_trait]
impl SharedLimit for Account {
    async fn take_turns(&self, _: &Tenant, wanted: Wanted) -> Result<Turns, String> {
        tokio::task::yield_now().await;
        if *self.is_away.lock().unwrap() {
            return Err("it is away".to_owned());
        }
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap();
        let left = |at: Timestamp| (at - now).to_std().unwrap_or_default();
        let turns = Turns { ours: left(kept.0), whole: left(kept.1), pause: left(kept.2) };
        let taken = |limit: RateLimit| seconds(f64::from(wanted.turns) / limit.per_second);
        kept.0 = kept.0.max(now) + taken(wanted.ours);
        kept.1 = kept.1.max(now) + taken(wanted.whole);
        Ok(turns)
    }

    async fn pause(&self, _: &Tenant, pause: Duration) -> Result<(), String> {
        let mut kept = self.kept.lock().unwrap();
        kept.2 = kept.2.max(self.clock.now() + pause);
        Ok(())
    }
}

#[tokio::test]
async fn three_replicas_together_keep_to_one_share_and_use_it_up() {
    let clock = Jumping::new();
    let account = Account::new(&clock);
    let replicas: Vec<_> = (0..3).map(|_| account.budget(Some((16.0, 50)), 0.5)).collect();
    let mut sent = Vec::new();
    for request in 0..120 {
        drop(replicas[request % 3].take(Urgency::Routine).await);
        sent.push(clock.passed().as_secs_f64());
    }
    for (number, at) in sent.iter().enumerate() {
        // A burst of 25, then 8 a second.
        let allowed = 25.0 + at * 8.0;
        assert!(number as f64 + 1.0 <= allowed + 0.05, "{number} at {at}");
    }
    // As fast as one alone would be, but for the turns that are taken ahead.
    let last = sent.last().unwrap();
    assert!(*last <= 95.0 / 8.0 * 1.03, "{last}");
}

#[tokio::test]
async fn an_emergency_goes_beyond_the_share_that_others_used_up() {
    let clock = Jumping::new();
    let account = Account::new(&clock);
    let (one, other) = (account.budget(Some((2.0, 10)), 0.5), account.budget(Some((2.0, 10)), 0.5));
    for _ in 0..5 {
        drop(one.take(Urgency::Routine).await);
    }
    for _ in 0..5 {
        assert!(about(wait(&other, &clock, Urgency::Emergency).await, 0.0));
    }
    // Now the whole limit is used up.
    assert!(about(wait(&one, &clock, Urgency::Emergency).await, 0.5));
}

#[tokio::test]
async fn a_pause_that_one_is_told_holds_for_all() {
    for limit in [Some((1000.0, 1000)), None] {
        let clock = Jumping::new();
        let account = Account::new(&clock);
        let (one, other) = (account.budget(limit, 1.0), account.budget(limit, 1.0));
        let throttled = one.take(Urgency::Routine).await.throttled(Some(seconds(7.0)));
        one.pause_all(throttled.pause).await;
        assert!(about(wait(&other, &clock, Urgency::Emergency).await, 7.0), "{limit:?}");
    }
}

#[tokio::test]
async fn without_the_account_each_goes_by_what_it_sees() {
    let clock = Jumping::new();
    let account = Account::new(&clock);
    let budget = account.budget(Some((2.0, 4)), 0.5);
    *account.is_away.lock().unwrap() = true;
    for _ in 0..2 {
        assert!(about(wait(&budget, &clock, Urgency::Routine).await, 0.0));
    }
    // Its own bucket still holds.
    assert!(about(wait(&budget, &clock, Urgency::Routine).await, 1.0));
    *account.is_away.lock().unwrap() = false;
    clock.advance(seconds(60.0));
    drop(budget.take(Urgency::Routine).await);
    assert!(account.kept.lock().unwrap().0 > start(), "it is asked again");
}

#[tokio::test]
async fn who_stops_asking_keeps_nobody_waiting() {
    let clock = Jumping::new();
    let account = Account::new(&clock);
    let budget = account.budget(Some((1.0, 2)), 1.0);
    // Polled until the account is being asked, then dropped.
    assert!(waits(&mut Box::pin(budget.take(Urgency::Routine))).await);
    assert!(about(wait(&budget, &clock, Urgency::Routine).await, 0.0));
}
