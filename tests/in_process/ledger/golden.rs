//! What earlier versions wrote stays readable. A file here is never changed once released: a new
//! schema gets new files, and `format` and `schema` get a step that reads the old ones.

use scimitar::{
    clock::SystemEntropy,
    ledger::{Claimed, Ledger, Losses, format, sqlite::SqliteLedger},
    rotation::record::Status,
};
use serde_json::Value;

use super::{
    run,
    sample::{self, LEASE, entry, granted, key_at, minutes, tenant},
};

const LEDGER_V1: &str = include_str!("../golden/ledger-v1.sql");

const STEADY_V2: &str = include_str!("../golden/record-v2-steady.json");
const REFUSED_V2: &str = include_str!("../golden/record-v2-refused.json");

/// Written again, as JSON.
fn written(text: &str) -> Value {
    let record = format::decode(text).unwrap();
    serde_json::from_str(&format::encode(&record).unwrap()).unwrap()
}

#[test]
fn records_of_schema_2_are_read_whole_and_written_as_they_were() {
    for text in [STEADY_V2, REFUSED_V2] {
        assert_eq!(written(text), serde_json::from_str::<Value>(text).unwrap());
    }
}

#[test]
fn records_of_schema_1_are_read_whole() {
    for text in [sample::STEADY, sample::MINTING, sample::DELIVERING, sample::NOTICES] {
        let mut golden: Value = serde_json::from_str(text).unwrap();
        let mut written = written(text);
        let refusal = golden.as_object_mut().unwrap().remove("refusal").unwrap();
        let decided = written.as_object_mut().unwrap().remove("decided").unwrap();
        if !refusal.is_null() {
            for member in ["reason", "words", "since", "until"] {
                assert_eq!(decided[member], refusal[member], "{member}");
            }
        }
        golden["schema"] = 2.into();
        assert_eq!(written, golden);
    }
}

#[test]
fn what_failed_in_a_record_of_schema_1_is_known_to_have_failed() {
    let mut older: Value = serde_json::from_str(sample::STEADY).unwrap();
    older["refusal"] = Value::Null;
    let decided = format::decode(&older.to_string()).unwrap().decided.unwrap();
    assert_eq!(decided.status, Status::Troubled);
    assert!(decided.words.contains("answered"), "{decided:?}");
    older["troubles"] = serde_json::json!({});
    for sink in older["sinks"].as_object_mut().unwrap().values_mut() {
        sink["trouble"] = Value::Null;
    }
    assert_eq!(format::decode(&older.to_string()).unwrap().decided, None);
}

#[test]
fn a_ledger_of_version_1_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(LEDGER_V1).unwrap();

    run(async {
        let refused = SqliteLedger::open_read_only(&path).unwrap_err().to_string();
        assert!(refused.contains("the next run upgrades it"), "{refused}");
        let ledger = SqliteLedger::open(&path, &SystemEntropy).unwrap();
        let looker = SqliteLedger::open_read_only(&path).unwrap().unwrap();
        for ledger in [&looker, &ledger] {
            assert_eq!(ledger.id().as_str(), "00112233445566778899aabbccddeeff");
            let all = ledger.all().await.unwrap();
            let versions: Vec<u64> = all.iter().map(|stored| stored.version).collect();
            assert_eq!(versions, [41, 3]);
            assert_eq!(all[0].record, format::decode(sample::STEADY).unwrap());
        }
        let key = key_at("acme.eu.auth0.com", "con_0123456789abcdef");
        let wake_at = ledger.load(&key).await.unwrap().unwrap().record.wake_at.unwrap();
        assert_eq!(ledger.due(wake_at - minutes(1), 9).await.unwrap(), []);
        assert_eq!(ledger.due(wake_at, 9).await.unwrap(), std::slice::from_ref(&key));
        let steady = ledger.load(&key).await.unwrap().unwrap().record;
        let next = ledger.next_rotations(9).await.unwrap();
        assert_eq!(next, [(steady.next_rotation.unwrap(), key.clone())]);
        let since = wake_at - minutes(30 * 24 * 60);
        let losses = ledger.losses(&tenant("acme.eu.auth0.com"), since).await.unwrap();
        assert_eq!(losses, Losses { connections: 1, lost: 0 }, "when it was lost is not on record");
        let events: Vec<_> = ledger.history(&key, 9).await.unwrap();
        let events: Vec<_> = events.iter().map(|line| line.event.as_str()).collect();
        assert_eq!(events, ["refused", "delivered"]);

        let claimed = ledger.claim(&key, LEASE).await.unwrap();
        assert!(matches!(claimed, Claimed::Yes(..)), "the boot that it was claimed in is over");
        let claim = granted(&claimed);
        assert_eq!(claim.fence, 18);
        let record = ledger.load(&key).await.unwrap().unwrap().record;
        assert_eq!(ledger.store(&claim, 41, &record, &entry("")).await.unwrap(), 42);
    });
}
