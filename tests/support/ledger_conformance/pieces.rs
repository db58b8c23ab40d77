//! The properties of what is written together.

use std::sync::Arc;

use scimitar::ledger::{Claimed, Durability, Entry, Then, Writing};

use super::{
    Lab,
    properties::is_lost,
    sample::{LEASE, entry, granted, key, noon, put, record},
};

pub async fn what_is_written_in_one_piece_is_there_or_not(lab: &Lab) {
    let (one, other) = (lab.process(), lab.process());
    let key = key("con_1");
    let claim = granted(&one.ledger.claim(&key, LEASE).await.unwrap());
    let writing = |version, durability, then| Writing {
        version,
        record: Arc::new(record(&key)),
        entries: vec![entry("first"), entry("second")],
        durability,
        then,
    };
    let keep = Then::Renew(LEASE);
    let wrong = one.ledger.write(&claim, writing(7, Durability::Now, keep)).await;
    assert!(is_lost(&wrong), "not the version that is there");
    assert_eq!(one.ledger.history(&key, 9).await.unwrap(), [], "refused ones leave no line");
    lab.pass(LEASE / 2);
    let version = one.ledger.write(&claim, writing(0, Durability::Soon, keep)).await.unwrap();
    assert_eq!(other.ledger.claim(&key, LEASE).await.unwrap(), Claimed::Held(LEASE));
    one.ledger.settle().await.unwrap();
    let version = one.ledger.write(&claim, writing(version, Durability::Now, Then::Release)).await;
    let Claimed::Yes(next, Some(found)) = other.ledger.claim(&key, LEASE).await.unwrap() else {
        panic!("it was given back with the last write")
    };
    assert_eq!(found.version, version.unwrap());
    assert_eq!(found.record, record(&key));
    let words = ["second", "first", "second", "first"].map(entry);
    assert_eq!(other.ledger.history(&key, 9).await.unwrap(), words);
    let late = one.ledger.write(&claim, writing(found.version, Durability::Now, keep)).await;
    assert!(is_lost(&late), "it was given back");
    assert!(next.fence > claim.fence);
}

/// Many calls at once, and every third one of them is refused.
pub async fn side_by_side_each_call_has_its_own_answer(lab: &Lab) {
    let process = lab.process();
    let tasks: Vec<_> = (0..60)
        .map(|number| {
            let ledger = Arc::clone(&process.ledger);
            tokio::spawn(async move {
                let key = key(&format!("con_{number}"));
                let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
                let version = u64::from(number % 3 == 0);
                let stored = ledger.store(&claim, version, &record(&key), &entry("put")).await;
                assert_eq!(is_lost(&stored), version == 1, "{number}: {stored:?}");
                let found = ledger.load(&key).await.unwrap();
                assert_eq!(found.is_some(), version == 0, "{number}");
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(process.ledger.all().await.unwrap().len(), 40);
}

pub async fn looks_that_change_nothing_are_one_line(lab: &Lab) {
    let ledger = lab.process().ledger;
    let (key, other) = (key("con_1"), key("con_2"));
    let claim = granted(&ledger.claim(&key, LEASE).await.unwrap());
    let kept = record(&key);
    let after = |number: i64| noon() + chrono::TimeDelta::minutes(number);
    let mut version = 0;
    for line in [entry("rotated"), Entry::checked(after(1))] {
        version = ledger.store(&claim, version, &kept, &line).await.unwrap();
    }
    for number in 2..12 {
        let line = Entry::checked(after(number));
        version = ledger.store(&claim, version, &kept, &line).await.unwrap();
    }
    // Of another connection it counts none.
    put(&*ledger, &record(&other)).await;
    let counted = Entry { words: "checked 11 times".to_owned(), ..Entry::checked(after(1)) };
    let lines = ledger.history(&key, 9).await.unwrap();
    assert_eq!(lines, [counted.clone(), entry("rotated")], "since the first of them");
    for line in [entry("revoked"), Entry::checked(after(20))] {
        version = ledger.store(&claim, version, &kept, &line).await.unwrap();
    }
    let lines = ledger.history(&key, 9).await.unwrap();
    let again = Entry::checked(after(20));
    assert_eq!(lines, [again, entry("revoked"), counted, entry("rotated")]);
    assert_eq!(ledger.history(&other, 9).await.unwrap(), [entry("put")]);
}
