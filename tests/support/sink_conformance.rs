//! What every sink must do, whatever it is: a new sink gets these tests for a [`Site`].
//!
//! Each property takes a fresh site; [`everything`] runs them all.

mod beside;
mod sink_telling;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use scimitar::{
    clock::ProviderTime,
    error::{Class, Code, Fault},
    sink::{Contents, Delivery, Fence, Marks, Reading, Sink, Staged, Version},
    token::{ConnectionId, ConnectionName, LedgerId, ProviderName, Scope, TokenId, TokenValue},
};

pub use self::beside::{SaysBeside, labels, what_is_said_beside_harms_no_delivery};
use self::sink_telling::*;

/// The middle of every value that the suite delivers: it must show up nowhere else.
pub const CANARY: &str = "canary5ecret";

/// A fresh, empty place, and what has to be done to it behind the sink's back.
#[async_trait]
pub trait Site: Send + Sync {
    /// A sink for the place; each call makes another one, as another process would have it.
    fn open(&self) -> Arc<dyn Sink>;

    /// All that a reader of the place can see, in any stable form.
    async fn visible(&self) -> BTreeSet<String>;

    /// Adds something of somebody else's to what is there and returns what must stay visible;
    /// `None` where the place holds nothing but the token.
    async fn add_foreign(&self) -> Option<String>;

    /// Replaces what is there by something that is no token and no document.
    async fn garble(&self);

    /// The same place, where what others put there may be lost; `None` where the sink knows no such
    /// thing, or never loses anything.
    fn open_overwriting(&self) -> Option<Arc<dyn Sink>> {
        None
    }

    /// Whether the sink tells what its place is in, what a write would lose, and other strings there.
    fn tells(&self) -> bool {
        false
    }

    /// Puts there what somebody else keeps, with `text` in it and nothing under a key of ours, and
    /// returns the key that `text` is under; `None` where the place holds nothing but the token.
    async fn only_others(&self, text: &str) -> Option<String> {
        let _ = text;
        None
    }

    /// Makes the place one that cannot be written to.
    async fn forbid_writing(&self);

    /// Makes the place one that cannot be read.
    async fn forbid_reading(&self);
}

/// A fence that answers as told and counts how often it is asked.
#[derive(Debug)]
pub struct Gate {
    holds: bool,
    asked: AtomicUsize,
}

impl Gate {
    /// Our claim holds.
    pub fn open() -> Self {
        Self { holds: true, asked: AtomicUsize::new(0) }
    }

    /// Our claim is gone.
    pub fn shut() -> Self {
        Self { holds: false, asked: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Fence for Gate {
    async fn check(&self) -> Result<(), Fault> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.holds {
            return Ok(());
        }
        Err(Fault::new("keep the claim", Class::Terminal, Code::ClaimLost, "another has it"))
    }
}

/// A parcel of connection `con_ours` from ledger `ledger1`.
pub fn delivery(generation: u64) -> Delivery {
    Delivery {
        value: TokenValue::try_new(format!("tok_{generation}.{CANARY}{generation}\"$\\'<&>"))
            .unwrap(),
        marks: Marks {
            token_id: TokenId::try_new(format!("tok_{generation}")).unwrap(),
            previous_token_id: (generation > 1)
                .then(|| TokenId::try_new(format!("tok_{}", generation - 1)).unwrap()),
            generation,
            ledger: LedgerId::try_new("ledger1").unwrap(),
            connection_id: ConnectionId::try_new("con_ours").unwrap(),
        },
        connection: ConnectionName::try_new("initech").unwrap(),
        provider: ProviderName::try_new("acme").unwrap(),
        scim_endpoint: "https://acme.example.com/scim/v2/connections/con_ours".to_owned(),
        scopes: ["get:users", "post:users"].map(|scope| Scope::try_new(scope).unwrap()).into(),
        created_at: ProviderTime::parse("2026-11-22T04:00:00Z").unwrap(),
        // With and without, so that a document loses the member again.
        expires_at: generation
            .is_multiple_of(2)
            .then(|| ProviderTime::parse("2026-12-22T04:00:00Z").unwrap()),
        owner: Some("identity team".to_owned()),
    }
}

/// One of connection `con_other`, which replaces none of ours.
pub fn of_another(generation: u64) -> Delivery {
    let mut delivery = delivery(generation);
    delivery.marks.connection_id = ConnectionId::try_new("con_other").unwrap();
    delivery.marks.previous_token_id = None;
    delivery
}

/// Runs every property, each on a site of its own.
pub async fn everything<S: Site + 'static>(fresh: impl AsyncFn() -> S) {
    all_but_fencing(&fresh).await;
    of_two_writers_one_wins(&fresh().await).await;
}

/// The same for a service that cannot tell two writers at one moment apart.
pub async fn all_but_fencing<S: Site + 'static>(fresh: &impl AsyncFn() -> S) {
    what_is_promoted_is_read_back(&fresh().await).await;
    a_stale_version_changes_nothing(&fresh().await).await;
    a_replay_is_harmless(&fresh().await).await;
    a_lost_fence_changes_nothing(&fresh().await).await;
    what_others_keep_there_stays(&fresh().await).await;
    the_token_of_another_connection_stays(&fresh().await).await;
    an_older_generation_never_wins(&fresh().await).await;
    another_ledgers_generation_is_no_bar(&fresh().await).await;
    what_cannot_be_understood_is_not_empty(&fresh().await).await;
    what_cannot_be_read_is_a_fault(&fresh().await).await;
    what_a_place_is_in_stays_the_same(&fresh().await).await;
    what_a_write_would_lose_is_told(&fresh().await).await;
    a_token_under_another_key_is_found(&fresh().await).await;
    a_proof_leaves_no_trace(&fresh().await).await;
    a_proof_fails_where_a_write_would(&fresh().await).await;
    a_remembered_place_survives_the_ledger(&fresh().await).await;
    no_value_shows(&fresh().await).await;
    what_is_staged_is_read_back_and_seen_by_nobody(&fresh().await).await;
    the_last_that_is_staged_counts(&fresh().await).await;
    what_was_staged_is_promoted(&fresh().await).await;
    what_may_not_be_promoted_is_not_staged(&fresh().await).await;
    what_works_no_more_is_forgotten(&fresh().await).await;
}

/// Empty, delivered, read back; and again over what is there.
pub async fn what_is_promoted_is_read_back(site: &impl Site) {
    let sink = site.open();
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Empty), "{seen:?}");
    let mut version = seen.version;
    for generation in 1..=3 {
        let delivery = delivery(generation);
        let gate = Gate::open();
        let made = sink.promote(&delivery, &version, &gate).await.unwrap();
        assert!(gate.asked.load(Ordering::SeqCst) >= 1, "the fence is asked before a write");
        assert_ne!(made, version);
        let seen = site.open().read().await.unwrap();
        assert_eq!(seen.version, made, "what promote returns is what the next read sees");
        assert_holds(&seen, &delivery);
        version = made;
    }
}

/// A compare-and-set that lost is a conflict, whatever was expected.
pub async fn a_stale_version_changes_nothing(site: &impl Site) {
    let sink = site.open();
    let empty = sink.read().await.unwrap().version;
    let first = promote(&*sink, 1).await;
    for stale in [empty, Version("no such version".to_owned())] {
        let before = site.visible().await;
        let refused = sink.promote(&delivery(2), &stale, &Gate::open()).await.unwrap_err();
        assert_eq!((refused.class, refused.code), (Class::Conflict, Code::Changed), "{refused}");
        assert_eq!(site.visible().await, before);
    }
    assert_eq!(sink.read().await.unwrap().version, first);
}

/// The same parcel again, after an answer was lost.
pub async fn a_replay_is_harmless(site: &impl Site) {
    let sink = site.open();
    promote(&*sink, 1).await;
    promote(&*sink, 2).await;
    promote(&*sink, 2).await;
    assert_holds(&sink.read().await.unwrap(), &delivery(2));
}

/// A worker whose claim is gone touches nothing.
pub async fn a_lost_fence_changes_nothing(site: &impl Site) {
    let sink = site.open();
    let seen = sink.read().await.unwrap();
    let refused = sink.promote(&delivery(1), &seen.version, &Gate::shut()).await.unwrap_err();
    assert_eq!(refused.code, Code::ClaimLost);
    assert!(matches!(sink.read().await.unwrap().contents, Contents::Empty));
    let version = promote(&*sink, 1).await;
    let before = site.visible().await;
    let refused = sink.promote(&delivery(2), &version, &Gate::shut()).await.unwrap_err();
    assert_eq!(refused.code, Code::ClaimLost);
    assert_eq!(site.visible().await, before);
    assert_holds(&sink.read().await.unwrap(), &delivery(1));
}

/// A name that points at another connection now does not overwrite the other one's token.
pub async fn the_token_of_another_connection_stays(site: &impl Site) {
    let sink = site.open();
    let version = promote(&*sink, 1).await;
    let mut other = of_another(2);
    other.marks.ledger = LedgerId::try_new("ledger2").unwrap();
    let before = site.visible().await;
    let refused = sink.promote(&other, &version, &Gate::open()).await.unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::Terminal, Code::ForeignOwner), "{refused}");
    assert!(refused.detail.contains("con_ours"), "it says whose it is: {refused}");
    assert_eq!(site.visible().await, before);
    // Beside the token that ours replaces, such a mark is what others made of it.
    let mut ours = other;
    ours.marks.previous_token_id = Some(delivery(1).marks.token_id);
    sink.promote(&ours, &version, &Gate::open()).await.unwrap();
}

/// A record that is older than the sink does not take the sink back.
pub async fn an_older_generation_never_wins(site: &impl Site) {
    let sink = site.open();
    let version = promote(&*sink, 5).await;
    let refused = sink.promote(&delivery(4), &version, &Gate::open()).await.unwrap_err();
    assert_eq!(refused.class, Class::Conflict, "{refused}");
    assert_holds(&sink.read().await.unwrap(), &delivery(5));
}

/// Generations of different ledgers are not compared here: who may write is decided before.
pub async fn another_ledgers_generation_is_no_bar(site: &impl Site) {
    let sink = site.open();
    let version = promote(&*sink, 5).await;
    let mut rebuilt = delivery(4);
    rebuilt.marks.ledger = LedgerId::try_new("ledger2").unwrap();
    sink.promote(&rebuilt, &version, &Gate::open()).await.unwrap();
    assert_holds(&sink.read().await.unwrap(), &rebuilt);
}

/// A missing right or answer is a fault, never "empty".
pub async fn what_cannot_be_read_is_a_fault(site: &impl Site) {
    let sink = site.open();
    promote(&*sink, 1).await;
    site.forbid_reading().await;
    let fault = sink.read().await.unwrap_err();
    assert_ne!(fault.class, Class::Ambiguous, "a read changes nothing");
    assert!(!fault.detail.is_empty() && !fault.to_string().contains(CANARY));
}

/// Neither on an empty place nor over a token.
pub async fn a_proof_leaves_no_trace(site: &impl Site) {
    let sink = site.open();
    for generation in 1..=2 {
        let seen = sink.read().await.unwrap();
        let before = site.visible().await;
        sink.prove_writable(&seen).await.unwrap();
        assert_eq!(site.visible().await, before);
        assert_eq!(sink.read().await.unwrap().version, seen.version);
        promote(&*sink, generation).await;
    }
}

/// What would fail after the mint is found out before it.
pub async fn a_proof_fails_where_a_write_would(site: &impl Site) {
    let sink = site.open();
    promote(&*sink, 1).await;
    let seen = sink.read().await.unwrap();
    site.forbid_writing().await;
    let before = site.visible().await;
    let refused = sink.prove_writable(&seen).await.unwrap_err();
    let failed = sink.promote(&delivery(2), &seen.version, &Gate::open()).await.unwrap_err();
    assert_eq!((refused.class, refused.code), (failed.class, failed.code), "{refused} / {failed}");
    assert_ne!(failed.class, Class::Ambiguous, "it is known that nothing was written");
    assert_eq!(site.visible().await, before);
}

/// Two workers with the same view of the place, at once, many times.
pub async fn of_two_writers_one_wins(site: &(impl Site + ?Sized)) {
    let mut version = site.open().read().await.unwrap().version;
    for round in 1..=20 {
        let contenders = [2 * round, 2 * round + 1].map(|generation| {
            let (sink, expected) = (site.open(), version.clone());
            tokio::spawn(async move {
                let done = sink.promote(&delivery(generation), &expected, &Gate::open()).await;
                (generation, done)
            })
        });
        let mut won = Vec::new();
        for contender in contenders {
            let (generation, done) = contender.await.unwrap();
            match done {
                Ok(made) => won.push((generation, made)),
                Err(fault) => assert!(
                    [Class::Conflict, Class::Transient].contains(&fault.class),
                    "the loser knows that it wrote nothing: {fault}"
                ),
            }
        }
        assert_eq!(won.len(), 1, "round {round}: {won:?}");
        let (generation, made) = won.remove(0);
        let seen = site.open().read().await.unwrap();
        assert_eq!(seen.version, made);
        assert_holds(&seen, &delivery(generation));
        version = made;
    }
}

/// The place is plain data without a value in it.
pub async fn a_remembered_place_survives_the_ledger(site: &impl Site) {
    let sink = site.open();
    promote(&*sink, 1).await;
    let stored = serde_json::to_string(sink.place()).unwrap();
    assert!(!stored.contains(CANARY));
    let back: scimitar::sink::Place = serde_json::from_str(&stored).unwrap();
    assert_eq!(&back, sink.place());
    assert_eq!(site.open().place(), sink.place(), "the same place is the same key");
}

/// Nothing of a value in `Debug` or in a fault's words.
pub async fn no_value_shows(site: &impl Site) {
    let sink = site.open();
    let mut shown = Vec::new();
    let version = promote(&*sink, 1).await;
    shown.push(format!("{sink:?} {version:?} {:?}", delivery(1)));
    shown.push(format!("{:?}", sink.read().await.unwrap()));
    let stale = Version("stale".to_owned());
    let wrong = [(delivery(2), &stale), (of_another(2), &version), (delivery(0), &version)];
    for (delivery, expected) in wrong {
        let fault = sink.promote(&delivery, expected, &Gate::open()).await.unwrap_err();
        shown.push(format!("{fault} {fault:?} {}", serde_json::to_string(&fault).unwrap()));
    }
    let seen = sink.read().await.unwrap();
    site.forbid_writing().await;
    let fault = sink.prove_writable(&seen).await.unwrap_err();
    shown.push(format!("{fault} {fault:?}"));
    for text in shown {
        assert!(!text.contains(CANARY), "{}", text.replace(CANARY, "[the value]"));
    }
}

/// A sink that holds generation 1, where something can be staged beside it.
async fn staging(site: &impl Site) -> Option<(Arc<dyn Sink>, Version)> {
    let sink = site.open();
    let version = promote(&*sink, 1).await;
    let staged = sink.read().await.unwrap().staged;
    match staged {
        Staged::Impossible => None,
        Staged::Nothing => Some((sink, version)),
        Staged::Token { marks, .. } => panic!("{marks:?} is staged, and nothing was"),
    }
}

/// It can be read back by whoever comes next, and is no delivery.
pub async fn what_is_staged_is_read_back_and_seen_by_nobody(site: &impl Site) {
    let Some((sink, version)) = staging(site).await else { return };
    let before = site.visible().await;
    for _ in 0..2 {
        let gate = Gate::open();
        sink.stage(&delivery(2), &gate).await.unwrap();
        assert!(gate.asked.load(Ordering::SeqCst) >= 1, "the fence is asked before a write");
        let seen = site.open().read().await.unwrap();
        assert_eq!(seen.version, version);
        assert_holds(&seen, &delivery(1));
        assert_staged(&seen, &delivery(2));
        assert_eq!(site.visible().await, before, "no reader sees it");
    }
    let shown = format!("{:?} {sink:?}", sink.read().await.unwrap());
    assert!(!shown.contains(CANARY), "{}", shown.replace(CANARY, "[the value]"));
}

/// Of two that are staged, one after the other; and one with another content.
pub async fn the_last_that_is_staged_counts(site: &impl Site) {
    let Some((sink, _)) = staging(site).await else { return };
    let mut moved = delivery(3);
    moved.scim_endpoint = "https://acme.example.com/scim/v2/moved".to_owned();
    for delivery in [&delivery(2), &delivery(3), &moved, &delivery(3)] {
        sink.stage(delivery, &Gate::open()).await.unwrap();
        let seen = sink.read().await.unwrap();
        assert_staged(&seen, delivery);
        assert_holds(&seen, &self::delivery(1));
    }
}

/// Staged before or not, the same is what readers get in the end, and nothing stays staged.
pub async fn what_was_staged_is_promoted(site: &impl Site) {
    let Some((sink, version)) = staging(site).await else { return };
    sink.stage(&delivery(2), &Gate::open()).await.unwrap();
    let made = site.open().promote(&delivery(2), &version, &Gate::open()).await.unwrap();
    let seen = sink.read().await.unwrap();
    assert_eq!(seen.version, made);
    assert_holds(&seen, &delivery(2));
    assert!(matches!(seen.staged, Staged::Nothing), "{:?}", seen.staged);
    // What is staged is no licence: another one is promoted past it.
    sink.stage(&delivery(3), &Gate::open()).await.unwrap();
    let made = sink.promote(&delivery(4), &made, &Gate::open()).await.unwrap();
    let seen = site.open().read().await.unwrap();
    assert_eq!(seen.version, made);
    assert_holds(&seen, &delivery(4));
}

/// Not without a claim, not over another connection's token, not under a newer generation.
pub async fn what_may_not_be_promoted_is_not_staged(site: &impl Site) {
    let Some((sink, _)) = staging(site).await else { return };
    let refused = sink.stage(&delivery(2), &Gate::shut()).await.unwrap_err();
    assert_eq!(refused.code, Code::ClaimLost);
    let refused = sink.stage(&of_another(2), &Gate::open()).await.unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::Terminal, Code::ForeignOwner), "{refused}");
    let refused = sink.stage(&delivery(0), &Gate::open()).await.unwrap_err();
    assert_eq!(refused.class, Class::Conflict, "{refused}");
    assert!(!format!("{refused} {refused:?}").contains(CANARY));
    assert!(matches!(sink.read().await.unwrap().staged, Staged::Nothing));
}

/// Nothing leads back to a revoked token; what readers get is never touched.
pub async fn what_works_no_more_is_forgotten(site: &impl Site) {
    let Some((sink, first)) = staging(site).await else { return };
    let id = |generation| delivery(generation).marks.token_id;
    sink.stage(&delivery(2), &Gate::open()).await.unwrap();
    sink.forget(&id(1), Some(&first)).await.unwrap();
    let seen = sink.read().await.unwrap();
    assert_holds(&seen, &delivery(1));
    assert_staged(&seen, &delivery(2));
    for _ in 0..2 {
        sink.forget(&id(2), None).await.unwrap();
        let seen = sink.read().await.unwrap();
        assert!(matches!(seen.staged, Staged::Nothing), "{:?}", seen.staged);
        assert_eq!(seen.version, first);
    }
    let second = promote(&*sink, 2).await;
    let mut with_both = site.visible().await;
    for _ in 0..2 {
        sink.forget(&id(1), Some(&first)).await.unwrap();
        let seen = sink.read().await.unwrap();
        assert_eq!(seen.version, second);
        assert_holds(&seen, &delivery(2));
        if sink.keeps_earlier() {
            let visible = site.visible().await;
            assert_ne!(visible, with_both, "the older one can be gone back to");
            assert!(!visible.iter().any(|text| text.contains(&format!("{CANARY}1"))));
            with_both = BTreeSet::new();
        }
    }
    sink.forget(&id(2), Some(&second)).await.unwrap();
    assert_holds(&sink.read().await.unwrap(), &delivery(2));
}

/// Promotes over whatever is there now.
pub async fn promote(sink: &dyn Sink, generation: u64) -> Version {
    let seen = sink.read().await.unwrap();
    sink.promote(&delivery(generation), &seen.version, &Gate::open()).await.unwrap()
}

/// Requires the parcel's value and marks beside what readers get.
pub fn assert_staged(seen: &Reading, delivery: &Delivery) {
    match &seen.staged {
        Staged::Token { marks, value } => {
            assert_eq!(marks, &delivery.marks);
            assert!(value.expose() == delivery.value.expose(), "another value");
        }
        Staged::Impossible | Staged::Nothing => panic!("{:?} is not staged", delivery.marks),
    }
}

/// Requires the parcel's value and marks.
pub fn assert_holds(seen: &Reading, delivery: &Delivery) {
    match &seen.contents {
        Contents::Marked { marks, value } => {
            assert_eq!(marks, &delivery.marks);
            assert!(value.expose() == delivery.value.expose(), "another value");
        }
        Contents::Empty => panic!("empty, not {:?}", delivery.marks),
        Contents::Unmarked { value } => {
            panic!("unmarked (a value: {}), not {:?}", value.is_some(), delivery.marks)
        }
    }
}
