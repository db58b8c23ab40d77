//! The properties, one function each, over any kind of store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use scimitar::{
    clock::ProviderTime,
    ledger::{
        Claimed, Entry, Ledger, LedgerError, Losses,
        format::{HISTORY, encode},
    },
    token::ConnectionName,
};

use super::{
    Lab,
    sample::{LEASE, entry, granted, key, key_at, minutes, noon, put, record, tenant},
};

pub use super::pieces::{
    looks_that_change_nothing_are_one_line, side_by_side_each_call_has_its_own_answer,
    what_is_written_in_one_piece_is_there_or_not,
};

pub(super) fn is_lost<T>(answer: &Result<T, LedgerError>) -> bool {
    matches!(answer, Err(LedgerError::ClaimLost))
}

#[expect(clippy::unused_async, reason = "as all the others are asked")]
pub async fn all_handles_show_one_id(lab: &Lab) {
    let (one, other) = (lab.process(), lab.process());
    assert_eq!(one.ledger.id(), other.ledger.id());
    assert_eq!(one.ledger.id().as_str().len(), 32);
}

pub async fn versions_are_compare_and_set(lab: &Lab) {
    let ledger = lab.process().ledger;
    let key = key("con_1");
    assert_eq!(ledger.load(&key).await.unwrap(), None);
    let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
    let mut record = record(&key);
    let store = |version, record| {
        let (ledger, claim) = (&ledger, &claim);
        async move { ledger.store(claim, version, &record, &entry("")).await }
    };
    assert!(is_lost(&store(1, record.clone()).await), "there is none yet");
    assert_eq!(store(0, record.clone()).await.unwrap(), 1);
    record.generation = 2;
    assert!(is_lost(&store(0, record.clone()).await), "there is one");
    assert!(is_lost(&store(2, record.clone()).await), "not that far yet");
    assert_eq!(ledger.load(&key).await.unwrap().unwrap().record.generation, 7);
    assert_eq!(store(1, record.clone()).await.unwrap(), 2);
    let found = ledger.load(&key).await.unwrap().unwrap();
    assert_eq!((found.version, found.record), (2, record));
    assert_eq!(ledger.history(&key, 10).await.unwrap().len(), 2, "refused ones leave no line");
}

pub async fn records_come_back_as_they_were(lab: &Lab) {
    let (writer, reader) = (lab.process(), lab.process());
    let mut expected = Vec::new();
    for (text, connection) in [
        (super::sample::STEADY, "con_1"),
        (super::sample::MINTING, "con_2"),
        (super::sample::DELIVERING, "con_3"),
    ] {
        let mut record = scimitar::ledger::format::decode(text).unwrap();
        record.key = key(connection);
        record.warnings.insert("ümlaut 'quoted' \"twice\" \u{0}\n\u{1F980}".to_owned());
        put(&*writer.ledger, &record).await;
        let found = reader.ledger.load(&record.key).await.unwrap().unwrap();
        assert_eq!(encode(&found.record).unwrap(), encode(&record).unwrap());
        expected.push(record);
    }
    let all = reader.ledger.all().await.unwrap();
    let all: Vec<_> = all.into_iter().map(|stored| stored.record).collect();
    assert_eq!(all, expected);
}

pub async fn records_of_other_connections_stay(lab: &Lab) {
    let ledger = lab.process().ledger;
    // The same connection id at another tenant is another connection.
    let keys = [key_at("a.example", "con_1"), key_at("b.example", "con_1"), key("con_2")];
    for key in &keys {
        put(&*ledger, &record(key)).await;
    }
    let claim = granted(&ledger.claim(&keys[0], LEASE).await.unwrap());
    let mut changed = record(&keys[0]);
    changed.generation = 99;
    ledger.store(&claim, 1, &changed, &entry("changed")).await.unwrap();
    for other in &keys[1..] {
        let found = ledger.load(other).await.unwrap().unwrap();
        assert_eq!((found.version, found.record), (1, record(other)));
        assert_eq!(ledger.history(other, 10).await.unwrap(), [entry("put")]);
        assert!(matches!(ledger.claim(other, LEASE).await.unwrap(), Claimed::Yes(..)));
    }
}

pub async fn claims_are_exclusive(lab: &Lab) {
    let (one, other) = (lab.process(), lab.process());
    let key = key("con_1");
    let first = granted(&one.ledger.claim(&key, LEASE).await.unwrap());
    assert_eq!(first.key, key);
    lab.pass(Duration::from_secs(20));
    let left = Claimed::Held(Duration::from_secs(40));
    assert_eq!(other.ledger.claim(&key, LEASE).await.unwrap(), left);
    assert_eq!(one.ledger.claim(&key, LEASE).await.unwrap(), left, "not twice for one handle");
    let unlike = super::sample::key("con_2");
    assert!(matches!(other.ledger.claim(&unlike, LEASE).await.unwrap(), Claimed::Yes(..)));
}

pub async fn a_claim_brings_the_record_that_it_covers(lab: &Lab) {
    let (one, other) = (lab.process(), lab.process());
    let key = key("con_1");
    let Claimed::Yes(claim, None) = one.ledger.claim(&key, LEASE).await.unwrap() else {
        panic!("there is no record yet, and nobody has it")
    };
    one.ledger.store(&claim, 0, &record(&key), &entry("first")).await.unwrap();
    one.ledger.store(&claim, 1, &record(&key), &entry("second")).await.unwrap();
    one.ledger.release(&claim).await.unwrap();
    let Claimed::Yes(_, found) = other.ledger.claim(&key, LEASE).await.unwrap() else {
        panic!("it was given back")
    };
    assert_eq!(found, other.ledger.load(&key).await.unwrap());
    assert_eq!(found.unwrap().version, 2);
}

pub async fn claims_end_by_the_lease_clock(lab: &Lab) {
    let (one, other) = (lab.process(), lab.process());
    let key = key("con_1");
    let first = granted(&one.ledger.claim(&key, LEASE).await.unwrap());
    lab.pass(LEASE - Duration::from_millis(1));
    let held = other.ledger.claim(&key, LEASE).await.unwrap();
    assert_eq!(held, Claimed::Held(Duration::from_millis(1)));
    let stored = one.ledger.store(&first, 0, &record(&key), &entry("in time")).await;
    assert_eq!(stored.unwrap(), 1);
    lab.pass(Duration::from_millis(1));
    let second = granted(&other.ledger.claim(&key, LEASE).await.unwrap());
    assert!(second.fence > first.fence);
}

pub async fn renewing_keeps_a_claim(lab: &Lab) {
    let (one, other) = (lab.process(), lab.process());
    let key = key("con_1");
    let claim = granted(&one.ledger.claim(&key, LEASE).await.unwrap());
    for _ in 0..5 {
        lab.pass(LEASE / 2);
        one.ledger.renew(&claim, LEASE).await.unwrap();
    }
    assert_eq!(other.ledger.claim(&key, LEASE).await.unwrap(), Claimed::Held(LEASE));
    one.ledger.store(&claim, 0, &record(&key), &entry("")).await.unwrap();
    // From now, not on top of what was left; so it can also be cut short.
    one.ledger.renew(&claim, Duration::from_secs(1)).await.unwrap();
    let left = Claimed::Held(Duration::from_secs(1));
    assert_eq!(other.ledger.claim(&key, LEASE).await.unwrap(), left);
}

pub async fn an_ended_claim_is_lost_though_nobody_took_it(lab: &Lab) {
    let ledger = lab.process().ledger;
    let key = key("con_1");
    let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
    lab.pass(LEASE);
    assert!(is_lost(&ledger.renew(&claim, LEASE).await));
    assert!(is_lost(&ledger.store(&claim, 0, &record(&key), &entry("")).await));
    assert_eq!(ledger.load(&key).await.unwrap(), None);
    assert_eq!(ledger.history(&key, 1).await.unwrap(), []);
    let again = granted(&ledger.claim(&key, LEASE).await.unwrap());
    assert!(again.fence > claim.fence);
}

pub async fn an_old_claim_is_fenced_off(lab: &Lab) {
    let (one, other) = (lab.process(), lab.process());
    let key = key("con_1");
    let old = granted(&one.ledger.claim(&key, LEASE).await.unwrap());
    lab.pass(LEASE);
    let new = granted(&other.ledger.claim(&key, LEASE).await.unwrap());
    other.ledger.store(&new, 0, &record(&key), &entry("new")).await.unwrap();
    assert!(is_lost(&one.ledger.store(&old, 1, &record(&key), &entry("old")).await));
    assert!(is_lost(&one.ledger.renew(&old, LEASE).await));
    // Another's claim is no more ours for knowing its number.
    assert!(is_lost(&one.ledger.store(&new, 1, &record(&key), &entry("old")).await));
    // Giving back what is gone takes nothing from whoever has it now.
    one.ledger.release(&old).await.unwrap();
    one.ledger.release(&new).await.unwrap();
    other.ledger.store(&new, 1, &record(&key), &entry("new")).await.unwrap();
    // The same holds between two claims of one handle.
    other.ledger.release(&new).await.unwrap();
    let newer = granted(&other.ledger.claim(&key, LEASE).await.unwrap());
    assert!(newer.fence > new.fence);
    assert!(is_lost(&other.ledger.store(&new, 2, &record(&key), &entry("old")).await));
    other.ledger.store(&newer, 2, &record(&key), &entry("new")).await.unwrap();
    let words: Vec<_> = other.ledger.history(&key, 9).await.unwrap();
    assert!(words.iter().all(|line| line.words == "new"));
}

pub async fn a_claim_covers_its_own_connection_only(lab: &Lab) {
    let ledger = lab.process().ledger;
    let claim = granted(&ledger.claim(&key("con_1"), LEASE).await.unwrap());
    let other = record(&key("con_2"));
    assert!(is_lost(&ledger.store(&claim, 0, &other, &entry("")).await));
    assert_eq!(ledger.all().await.unwrap(), []);
}

pub async fn a_released_claim_is_free(lab: &Lab) {
    let (one, other) = (lab.process(), lab.process());
    let key = key("con_1");
    let first = granted(&one.ledger.claim(&key, LEASE).await.unwrap());
    one.ledger.release(&first).await.unwrap();
    one.ledger.release(&first).await.unwrap();
    assert!(is_lost(&one.ledger.renew(&first, LEASE).await));
    assert!(is_lost(&one.ledger.store(&first, 0, &record(&key), &entry("")).await));
    let second = granted(&other.ledger.claim(&key, LEASE).await.unwrap());
    assert!(second.fence > first.fence, "fence numbers never go back");
}

pub async fn a_dead_holders_claim_is_free_at_once(lab: &Lab) {
    let (one, other, third) = (lab.process(), lab.process(), lab.process());
    let key = key("con_1");
    let first = granted(&one.ledger.claim(&key, LEASE).await.unwrap());
    let bystander =
        granted(&third.ledger.claim(&super::sample::key("con_2"), LEASE).await.unwrap());
    assert!(matches!(other.ledger.claim(&key, LEASE).await.unwrap(), Claimed::Held(_)));
    one.die();
    let second = granted(&other.ledger.claim(&key, LEASE).await.unwrap());
    assert!(second.fence > first.fence);
    third.ledger.renew(&bystander, LEASE).await.unwrap();
    let held = other.ledger.claim(&bystander.key, LEASE).await.unwrap();
    assert_eq!(held, Claimed::Held(LEASE));
}

/// The same where nothing tells a dead holder from a slow one.
pub async fn a_dead_holders_claim_ends_with_its_lease(lab: &Lab) {
    let (one, other) = (lab.process(), lab.process());
    let key = key("con_1");
    put(&*other.ledger, &record(&key)).await;
    let first = granted(&one.ledger.claim(&key, LEASE).await.unwrap());
    one.die();
    lab.pass(LEASE - Duration::from_secs(1));
    let left = Claimed::Held(Duration::from_secs(1));
    assert_eq!(other.ledger.claim(&key, LEASE).await.unwrap(), left);
    lab.pass(Duration::from_secs(1));
    let second = granted(&other.ledger.claim(&key, LEASE).await.unwrap());
    assert!(second.fence > first.fence);
}

/// What another holder acts on is no work for this one; what nobody acts on any more is.
pub async fn what_others_act_on_is_not_due(lab: &Lab) {
    let (one, other) = (lab.process(), lab.process());
    let keys = [key("con_1"), key("con_2"), key_at("other.example", "con_1")];
    for key in &keys {
        let mut record = record(key);
        record.wake_at = Some(noon());
        put(&*one.ledger, &record).await;
    }
    let claim = granted(&one.ledger.claim(&keys[0], LEASE).await.unwrap());
    for (ledger, due) in [(&one.ledger, &keys[..]), (&other.ledger, &keys[1..])] {
        assert_eq!(ledger.due(noon(), 9).await.unwrap(), due);
        assert_eq!(ledger.due_of_each(noon(), 1).await.unwrap().len(), 2);
    }
    assert_eq!(other.ledger.due(noon(), 1).await.unwrap(), keys[1..2]);
    one.ledger.release(&claim).await.unwrap();
    assert_eq!(other.ledger.due(noon(), 9).await.unwrap(), keys);
    granted(&one.ledger.claim(&keys[0], LEASE).await.unwrap());
    lab.pass(LEASE);
    assert_eq!(other.ledger.due(noon(), 9).await.unwrap(), keys);
}

pub async fn what_is_due_comes_most_urgent_first(lab: &Lab) {
    let ledger = lab.process().ledger;
    let now = noon();
    for (connection, wake_at, life_left) in [
        ("never_expires", Some(now), None),
        ("a_day_left", Some(now), Some(24 * 60)),
        ("an_hour_left", Some(now - minutes(1)), Some(60)),
        ("expired", Some(now - minutes(5)), Some(-60)),
        ("not_yet", Some(now + minutes(1)), Some(1)),
        ("asleep", None, Some(1)),
        ("never_expires_longer", Some(now - minutes(9)), None),
    ] {
        let mut record = record(&key(connection));
        record.wake_at = wake_at;
        if let Some(current) = &mut record.current {
            current.token.valid_until =
                life_left.map(|left| ProviderTime::told(now) + minutes(left));
        }
        put(&*ledger, &record).await;
    }
    let all = [
        key("expired"),
        key("an_hour_left"),
        key("a_day_left"),
        key("never_expires_longer"),
        key("never_expires"),
    ];
    assert_eq!(ledger.due(now, 100).await.unwrap(), all);
    assert_eq!(ledger.due(now, 2).await.unwrap(), all[..2]);
    assert_eq!(ledger.due(now, 0).await.unwrap(), []);
    let earlier = ledger.due(now - minutes(4), 100).await.unwrap();
    assert_eq!(earlier, [key("expired"), key("never_expires_longer")]);
    // However many are due at one tenant, each tenant shows its own.
    let unmanaged = key_at("other.example", "less_urgent");
    let mut other = record(&unmanaged);
    other.wake_at = Some(now);
    if let Some(current) = &mut other.current {
        current.token.valid_until = Some(ProviderTime::told(now) + minutes(100 * 24 * 60));
    }
    put(&*ledger, &other).await;
    let of_each = ledger.due_of_each(now, 2).await.unwrap();
    assert_eq!(of_each, [key("expired"), key("an_hour_left"), unmanaged.clone()]);
    assert_eq!(ledger.due_of_each(now, 100).await.unwrap().len(), 6);
    assert_eq!(ledger.due_of_each(now - minutes(20), 100).await.unwrap(), []);
    other.wake_at = None;
    let version = ledger.load(&unmanaged).await.unwrap().unwrap().version;
    let claim = granted(&ledger.claim(&unmanaged, LEASE).await.unwrap());
    ledger.store(&claim, version, &other, &entry("asleep")).await.unwrap();
    assert_eq!(ledger.due(now + minutes(1), 1).await.unwrap(), [key("expired")]);
    assert_eq!(ledger.due(now + minutes(1), usize::MAX).await.unwrap().len(), 6);
    assert_eq!(ledger.next_wake(now - minutes(10)).await.unwrap(), Some(now - minutes(9)));
    assert_eq!(ledger.next_wake(now).await.unwrap(), Some(now + minutes(1)));
    assert_eq!(ledger.next_wake(now + minutes(1)).await.unwrap(), None);
}

pub async fn pages_and_next_rotations_leave_nobody_out(lab: &Lab) {
    let ledger = lab.process().ledger;
    assert_eq!(ledger.page(None, 10).await.unwrap(), []);
    let keys: Vec<_> = (0..7)
        .flat_map(|number| {
            ["acme.example", "globex.example"].map(|at| key_at(at, &format!("con_{number}")))
        })
        .collect();
    for (number, key) in keys.iter().enumerate() {
        let mut record = record(key);
        let later = i64::try_from(keys.len() - number).unwrap();
        record.next_rotation = (number % 3 > 0).then(|| noon() + minutes(later));
        put(&*ledger, &record).await;
    }
    for size in [1, 3, 14, 20] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = ledger.page(after.as_ref(), size).await.unwrap();
            assert!(page.len() <= size);
            let Some(last) = page.last() else { break };
            after = Some(last.record.key.clone());
            seen.extend(page.into_iter().map(|stored| stored.record.key));
        }
        let mut all = keys.clone();
        all.sort();
        assert_eq!(seen, all, "in pages of {size}");
    }
    let soonest = ledger.next_rotations(2).await.unwrap();
    let last = keys.len() - 1;
    assert_eq!(
        soonest,
        [(noon() + minutes(1), keys[last].clone()), (noon() + minutes(3), keys[last - 2].clone())]
    );
    assert_eq!(ledger.next_rotations(usize::MAX).await.unwrap().len(), 9);
}

pub async fn history_is_newest_first_and_bounded(lab: &Lab) {
    let ledger = lab.process().ledger;
    let key = key("con_1");
    let other = super::sample::key("con_2");
    put(&*ledger, &record(&other)).await;
    let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
    let record = record(&key);
    let line = |number: usize| Entry {
        at: noon() + chrono::TimeDelta::microseconds(i64::try_from(number).unwrap()),
        event: "looked".to_owned(),
        words: number.to_string(),
    };
    for number in 0..HISTORY + 5 {
        let version = u64::try_from(number).unwrap();
        ledger.store(&claim, version, &record, &line(number)).await.unwrap();
    }
    let newest = ledger.history(&key, 3).await.unwrap();
    assert_eq!(newest, [line(HISTORY + 4), line(HISTORY + 3), line(HISTORY + 2)]);
    let all = ledger.history(&key, usize::MAX).await.unwrap();
    assert_eq!(all.len(), HISTORY);
    assert_eq!(all.last(), Some(&line(5)));
    assert_eq!(ledger.history(&other, 9).await.unwrap(), [entry("put")]);
    assert_eq!(ledger.history(&super::sample::key("con_3"), 9).await.unwrap(), []);
}

pub async fn losses_are_counted_by_tenant(lab: &Lab) {
    let ledger = lab.process().ledger;
    let still_valid = |key: &scimitar::token::ConnectionKey| {
        let mut record = record(key);
        if let Some(current) = &mut record.current {
            current.token.valid_until = None;
        }
        record
    };
    // What had expired before it was missed is no loss.
    put(&*ledger, &record(&key("expired"))).await;
    let mut lost = still_valid(&key("lost"));
    assert!(lost.has_lost_current());
    put(&*ledger, &lost).await;
    let mut suspected = record(&key("suspected"));
    if let Some(missing) = &mut suspected.missing {
        missing.last = missing.first;
    }
    put(&*ledger, &suspected).await;
    let mut well = record(&key("well"));
    well.missing = None;
    put(&*ledger, &well).await;
    let mut none = record(&key("none"));
    none.current = None;
    put(&*ledger, &none).await;
    put(&*ledger, &still_valid(&key_at("other.example", "lost"))).await;
    let count = |connections, lost| Losses { connections, lost };
    let at = lost.lost_at().unwrap();
    let losses = async |name, since| ledger.losses(&tenant(name), since).await.unwrap();
    assert_eq!(losses("acme.example", at).await, count(4, 1));
    assert_eq!(
        losses("acme.example", at + chrono::TimeDelta::milliseconds(1)).await,
        count(4, 0),
        "long ago"
    );
    assert_eq!(losses("other.example", at).await, count(1, 1));
    assert_eq!(losses("nobody.example", at).await, count(0, 0));
    lost.missing = None;
    let claim = granted(&ledger.claim(&lost.key, LEASE).await.unwrap());
    ledger.store(&claim, 1, &lost, &entry("back")).await.unwrap();
    assert_eq!(losses("acme.example", at).await, count(4, 0));
}

pub async fn a_connection_is_found_at_another_tenant_by_id_and_name(lab: &Lab) {
    let ledger = lab.process().ledger;
    let moved = record(&key_at("old.example", "con_1"));
    let mut namesake = record(&key_at("old.example", "con_2"));
    namesake.name = ConnectionName::try_new("another").unwrap();
    for record in [&moved, &namesake, &record(&key("con_3"))] {
        put(&*ledger, record).await;
    }
    let elsewhere = async |key| ledger.elsewhere(&key, &moved.name).await.unwrap();
    assert_eq!(elsewhere(key("con_1")).await.as_ref(), Some(&moved));
    assert_eq!(elsewhere(key_at("old.example", "con_1")).await, None, "it is at home");
    assert_eq!(elsewhere(key("con_2")).await, None, "another name");
    assert_eq!(elsewhere(key("con_3")).await, None, "known here only");
}

/// Eight processes fight for one connection, and each that has it adds one to its generation.
pub async fn two_never_hold_one_claim(lab: &Lab) {
    const EACH: usize = 25;
    let inside = Arc::new(AtomicUsize::new(0));
    let newest = Arc::new(AtomicU64::new(0));
    let key = key("con_1");
    let mut first = record(&key);
    first.generation = 0;
    put(&*lab.process().ledger, &first).await;
    let processes: Vec<_> = (0..8).map(|_| lab.process()).collect();
    let tasks: Vec<_> = processes
        .iter()
        .map(|process| {
            let ledger = Arc::clone(&process.ledger);
            let (inside, newest, key) = (Arc::clone(&inside), Arc::clone(&newest), key.clone());
            tokio::spawn(async move { fight(&*ledger, &key, EACH, &inside, &newest).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let found = processes[0].ledger.load(&key).await.unwrap().unwrap();
    assert_eq!(found.record.generation, 8 * EACH as u64, "no write was lost");
    assert_eq!(found.version, 1 + 8 * EACH as u64);
}

async fn fight(
    ledger: &dyn Ledger,
    key: &scimitar::token::ConnectionKey,
    times: usize,
    inside: &AtomicUsize,
    newest: &AtomicU64,
) {
    let mut won = 0;
    while won < times {
        let Claimed::Yes(claim, stored) = ledger.claim(key, LEASE).await.unwrap() else {
            tokio::task::yield_now().await;
            continue;
        };
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "somebody else has it too");
        assert!(newest.fetch_max(claim.fence, Ordering::SeqCst) < claim.fence);
        let mut stored = stored.unwrap();
        stored.record.generation += 1;
        tokio::task::yield_now().await;
        let written = ledger.store(&claim, stored.version, &stored.record, &entry("won")).await;
        assert_eq!(written.unwrap(), stored.version + 1);
        inside.fetch_sub(1, Ordering::SeqCst);
        ledger.release(&claim).await.unwrap();
        won += 1;
    }
}
