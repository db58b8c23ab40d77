//! What goes wrong at AWS, and what is made of it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use scimitar::{
    clock::{Clock, SystemClock, Timestamp},
    error::{Class, Code, Fault},
    sink::{
        Contents, Sink, Staged,
        aws::{AwsAccount, AwsSink},
    },
};
use serde_json::json;

use super::{
    secrets_manager::{
        Mishap::{
            CutAfter, Foreign, GarbledAfter, LostAfter, LostBefore, Overtaken, Refused,
            RefusedAfter,
        },
        Replica,
    },
    sink_conformance::*,
    site::named,
    strict::StrictSite,
};

pub(crate) async fn site() -> StrictSite {
    StrictSite::new(None).await
}

fn read_fault(outcome: Result<scimitar::sink::Reading, Fault>) -> Fault {
    let fault = outcome.unwrap_err();
    assert!(!format!("{fault} {fault:?}").contains(CANARY), "a value is shown");
    fault
}

/// Whatever is wrong, the class says what follows and the words say the way out.
#[tokio::test]
async fn every_refusal_has_its_class_and_its_way_out() {
    use Class::{Terminal, Transient};
    for (status, kind, class, code, words) in [
        (
            400,
            "ThrottlingException",
            Transient,
            Code::Throttled,
            "answered 400 ThrottlingException",
        ),
        (500, "InternalServiceError", Transient, Code::Unavailable, "InternalServiceError"),
        (503, "ServiceUnavailableException", Transient, Code::Unavailable, "answered 503"),
        (
            400,
            "DecryptionFailure",
            Terminal,
            Code::Forbidden,
            "kms:GenerateDataKey and kms:Decrypt",
        ),
        (400, "EncryptionFailure", Terminal, Code::Forbidden, "check that the key is enabled"),
        (400, "LimitExceededException", Terminal, Code::Invalid, "retrying does not help"),
        (
            400,
            "AccessDeniedException",
            Terminal,
            Code::Forbidden,
            "`scimitar permissions` prints the policy",
        ),
        (
            400,
            "UnrecognizedClientException",
            Terminal,
            Code::Unauthorized,
            "AWS does not know the credentials",
        ),
        (
            403,
            "InvalidSignatureException",
            Terminal,
            Code::Unauthorized,
            "AWS does not know the credentials",
        ),
        (400, "ExpiredTokenException", Transient, Code::Unauthorized, "have expired"),
        (400, "ValidationException", Terminal, Code::Invalid, "answered 400 ValidationException"),
    ] {
        let site = site().await;
        let sink = site.sink();
        let first = promote(&sink, 1).await;
        for call in ["DescribeSecret", "GetSecretValue"] {
            site.aws.world().next(call, Refused(status, kind));
            let fault = read_fault(sink.read().await);
            assert_eq!((fault.class, fault.code), (class, code), "{fault}");
            assert!(fault.detail.contains(words), "{fault}");
        }
        // Nothing that a reader could see hangs on a put under our own label.
        site.aws.world().next("PutSecretValue", Refused(status, kind));
        let fault = sink.promote(&delivery(2), &first, &Gate::open()).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (class, code), "{fault}");
        assert!(!format!("{fault} {fault:?}").contains(CANARY), "the answer quotes the value");
        assert_eq!(site.labelled("AWSCURRENT"), Some(first.0.clone()));
        // Of a move it is not known whether a failing service made it.
        let before = site.secret();
        site.aws.world().next("UpdateSecretVersionStage", Refused(status, kind));
        let fault = sink.promote(&delivery(2), &first, &Gate::open()).await.unwrap_err();
        let class = if status >= 500 { Class::Ambiguous } else { class };
        assert_eq!((fault.class, fault.code), (class, code), "{fault}");
        assert_ne!(site.secret(), before, "it was staged");
        assert_eq!(site.labelled("AWSCURRENT"), Some(first.0));
    }
}

/// Each call's answer lost in each way, before and after it was carried out: what is there in the end
/// is one of the two, told apart by a look, and the same call again comes to the end.
#[tokio::test]
async fn a_lost_answer_is_looked_up_and_never_guessed() {
    let ways = [
        LostBefore,
        LostAfter,
        CutAfter,
        GarbledAfter,
        Foreign(502),
        RefusedAfter(500, "InternalServiceError"),
    ];
    for way in ways {
        for (call, staged) in [
            ("PutSecretValue", false),
            ("UpdateSecretVersionStage", false),
            ("PutSecretValue", true),
        ] {
            let site = site().await;
            let first = promote(&site.sink(), 1).await;
            let sink = site.sink();
            site.aws.world().next(call, way.clone());
            if staged {
                let fault = sink.stage(&delivery(2), &Gate::open()).await.unwrap_err();
                assert_eq!(fault.class, Class::Transient, "{way:?} {call}: {fault}");
            } else {
                let done = sink.promote(&delivery(2), &first, &Gate::open()).await;
                let fault = done.unwrap_err();
                let moves = call == "UpdateSecretVersionStage";
                let class = if moves { Class::Ambiguous } else { Class::Transient };
                assert_eq!(fault.class, class, "{way:?} {call}: {fault}");
                assert!(!format!("{fault} {fault:?}").contains(CANARY), "{way:?} {call}");
            }
            let sink = site.sink();
            let seen = sink.read().await.unwrap();
            let held = match &seen.contents {
                Contents::Marked { marks, .. } => marks.generation,
                Contents::Unmarked { .. } | Contents::Empty => panic!("{seen:?}"),
            };
            assert!([1, 2].contains(&held));
            assert_eq!(seen.version == first, held == 1);
            promote(&sink, 2).await;
            let seen = sink.read().await.unwrap();
            assert_holds(&seen, &delivery(2));
            assert!(matches!(seen.staged, Staged::Nothing));
            let versions = site.aws.must("ListSecretVersionIds", &json!({ "SecretId": site.name }));
            let versions = versions["Versions"].as_array().unwrap().len();
            assert_eq!(versions, 2, "{way:?} {call}: no version more than there were values");
        }
    }
}

/// The first version is live at once: the loss of that answer is never taken for "nothing happened".
#[tokio::test]
async fn a_lost_answer_to_a_first_version_is_ambiguous() {
    for way in [LostBefore, LostAfter, GarbledAfter, RefusedAfter(500, "InternalServiceError")] {
        for made in [false, true] {
            let site = site().await;
            let call = if made { "PutSecretValue" } else { "CreateSecret" };
            if made {
                site.aws.must("CreateSecret", &json!({ "Name": site.name }));
            }
            let sink = site.sink();
            let seen = sink.read().await.unwrap();
            site.aws.world().next(call, way.clone());
            let fault = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
            assert_eq!(fault.class, Class::Ambiguous, "{way:?} {call}: {fault}");
            let sink = site.sink();
            let seen = sink.read().await.unwrap();
            if matches!(seen.contents, Contents::Empty) {
                sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap();
            }
            assert_holds(&sink.read().await.unwrap(), &delivery(1));
        }
    }
}

/// Where nothing can have been sent, nothing is ambiguous.
#[tokio::test]
async fn what_was_never_sent_changed_nothing() {
    let site = site().await;
    let first = promote(&site.sink(), 1).await;
    let sink = site.sink();
    sink.read().await.unwrap();
    let StrictSite { aws, .. } = site;
    drop(aws);
    let fault = sink.promote(&delivery(2), &first, &Gate::open()).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unreachable), "{fault}");
    assert!(fault.detail.contains("nothing was sent"), "{fault}");
}

/// A proof in the middle of somebody's write moves nothing of theirs.
#[tokio::test]
async fn a_proof_moves_nothing_of_anybodys() {
    for call in ["PutSecretValue", "UpdateSecretVersionStage"] {
        let site = site().await;
        let sink = site.sink();
        promote(&sink, 1).await;
        let seen = sink.read().await.unwrap();
        site.aws.world().next(call, Overtaken("{}"));
        // Whether it is allowed is another matter: the version may be gone by now.
        let _ = sink.prove_writable(&seen).await;
        let current = site.aws.must("GetSecretValue", &json!({ "SecretId": site.name }));
        assert_eq!(current["SecretString"], "{}", "{call}");
        let moved = site.aws.world().asked.iter().any(|asked| {
            asked.call == "UpdateSecretVersionStage" && asked.body["VersionStage"] == "AWSCURRENT"
        });
        assert!(!moved);
        let puts = site.aws.world().asked.clone();
        let mut puts = puts.iter().filter(|asked| asked.call == "PutSecretValue");
        assert!(puts.all(|put| put.body["VersionStages"] == json!(["SCIMITAR_PROOF"])));
    }
}

/// A label that a proof left behind when it was cut off is taken along by the next.
#[tokio::test]
async fn a_proof_that_was_cut_off_is_cleaned_up_by_the_next() {
    let site = site().await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let seen = sink.read().await.unwrap();
    site.aws.world().next("UpdateSecretVersionStage", LostAfter);
    let fault = sink.prove_writable(&seen).await.unwrap_err();
    assert_eq!(fault.class, Class::Transient, "{fault}");
    assert!(site.labelled("SCIMITAR_PROOF").is_some());
    promote(&sink, 2).await;
    let seen = sink.read().await.unwrap();
    sink.prove_writable(&seen).await.unwrap();
    assert_eq!(site.labelled("SCIMITAR_PROOF"), None);
}

#[tokio::test]
async fn every_region_is_asked_itself() {
    let site = site().await;
    let sink = site.sink();
    let first = promote(&sink, 1).await;
    let replica = |status: &str, message: &str, behind: Option<String>| Replica {
        status: status.to_owned(),
        message: message.to_owned(),
        behind,
    };
    let second = promote(&sink, 2).await;
    for (replica, words) in [
        (replica("InProgress", "", None), Some("us-east-1 is InProgress")),
        (
            replica("Failed", "KMS key not found", None),
            Some("us-east-1 is Failed: KMS key not found"),
        ),
        (replica("InSync", "", Some(first.0.clone())), Some("does not have the current version")),
        (replica("InSync", "", None), None),
    ] {
        site.replica("us-east-1", replica);
        match (sink.read().await, words) {
            (Ok(seen), None) => assert_eq!(seen.version, second),
            (Err(fault), Some(words)) => {
                assert_eq!(fault.class, Class::Transient, "{fault}");
                assert!(fault.detail.contains(words), "{fault}");
            }
            (outcome, words) => panic!("{outcome:?}, not {words:?}"),
        }
    }
    let asked = site.aws.world().asked.clone();
    assert!(asked.iter().any(|asked| asked.region == "us-east-1"));
    assert!(
        asked.iter().all(|asked| asked.region != "us-east-1" || asked.call == "DescribeSecret")
    );
    // What is not there yet does not stand in the way of a write; but delivered it is only when every
    // region has it, and then a read says so.
    site.replica("us-east-1", replica("InProgress", "", None));
    let lag = sink.promote(&delivery(3), &second, &Gate::open()).await.unwrap_err();
    assert_eq!(lag.class, Class::Ambiguous, "{lag}");
    assert!(lag.detail.contains("us-east-1 is InProgress"), "{lag}");
    assert_eq!(read_fault(sink.read().await).class, Class::Transient, "and is no confirmation");
    site.replica("us-east-1", replica("InSync", "", None));
    assert_holds(&sink.read().await.unwrap(), &delivery(3));
}

#[tokio::test]
async fn what_is_managed_by_aws_is_not_touched() {
    let site = site().await;
    let sink = site.sink();
    let first = promote(&sink, 1).await;
    let before = site.secret();
    site.aws.world().secrets.get_mut(&site.name).unwrap().kind = Some("MongoDB".to_owned());
    let fault = read_fault(sink.read().await);
    assert_eq!(fault.class, Class::Terminal);
    assert!(fault.detail.contains("managed external one of type MongoDB"), "{fault}");
    sink.promote(&delivery(2), &first, &Gate::open()).await.unwrap_err();
    site.aws.world().secrets.get_mut(&site.name).unwrap().kind = None;
    assert_eq!(site.secret(), before);
}

/// Whatever labels are on it, what readers get is left alone.
#[tokio::test]
async fn what_is_current_is_never_forgotten() {
    let site = site().await;
    let sink = site.sink();
    let first = promote(&sink, 1).await;
    let body = json!({ "SecretId": site.name, "VersionStage": "SCIMITAR_PENDING",
        "MoveToVersionId": first.0 });
    site.aws.must("UpdateSecretVersionStage", &body);
    let before = site.secret();
    sink.forget(&delivery(1).marks.token_id, Some(&first)).await.unwrap();
    assert_eq!(site.secret(), before);
    let seen = sink.read().await.unwrap();
    assert!(matches!(seen.staged, Staged::Nothing), "it is no second copy");
    // The next delivery takes the label along.
    promote(&sink, 2).await;
    assert_eq!(site.labelled("SCIMITAR_PENDING"), None);
}

/// The service is of many machines, and one of them may not know of our write yet.
#[tokio::test]
async fn an_answer_from_before_our_own_write_is_no_answer() {
    let site = site().await;
    let clock = Arc::new(Hand(Mutex::new(SystemClock.now())));
    let account = AwsAccount::try_new(site.settings(), clock.clone()).unwrap();
    let sink = AwsSink::try_new(&account, named(&site.name)).unwrap();
    let first = promote(&sink, 1).await;
    let second = promote(&sink, 2).await;
    let body = json!({ "SecretId": site.name, "VersionStage": "AWSCURRENT",
        "RemoveFromVersionId": second.0, "MoveToVersionId": first.0 });
    site.aws.must("UpdateSecretVersionStage", &body);
    let fault = read_fault(sink.read().await);
    assert_eq!(fault.class, Class::Transient, "{fault}");
    assert!(fault.detail.contains("older than Scimitar's last write"), "{fault}");
    // It stays so: then somebody went back by hand.
    *clock.0.lock().unwrap() += TimeDelta::seconds(31);
    assert_eq!(sink.read().await.unwrap().version, first);
}

/// A clock that is set by hand.
#[derive(Debug)]
struct Hand(Mutex<Timestamp>);

#[async_trait]
impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep_until(&self, _: Timestamp) {}
}

/// A host may be slow to renew what it gives; but not for ever.
#[tokio::test]
async fn expired_credentials_are_waited_for_and_then_need_a_person() {
    let site = site().await;
    let clock = Arc::new(Hand(Mutex::new(SystemClock.now())));
    let account = AwsAccount::try_new(site.settings(), clock.clone()).unwrap();
    let sink = AwsSink::try_new(&account, named(&site.name)).unwrap();
    let ask = async |minutes: i64, expired: bool| {
        *clock.0.lock().unwrap() += TimeDelta::minutes(minutes);
        if expired {
            site.aws.world().next("DescribeSecret", Refused(400, "ExpiredTokenException"));
        }
        sink.read().await.map_err(|fault| fault.class)
    };
    assert_eq!(ask(0, true).await.unwrap_err(), Class::Transient);
    assert_eq!(ask(14, true).await.unwrap_err(), Class::Transient);
    assert_eq!(ask(1, true).await.unwrap_err(), Class::Terminal);
    assert!(ask(0, false).await.is_ok());
    assert_eq!(ask(0, true).await.unwrap_err(), Class::Transient, "counted anew");
}

/// Nothing is sent twice in one call: whether it is made again is decided above.
#[tokio::test]
async fn the_sdk_repeats_nothing() {
    let site = site().await;
    let sink = site.sink();
    let first = promote(&sink, 1).await;
    for kind in ["ThrottlingException", "InternalServiceError", "LimitExceededException"] {
        let puts = site.aws.count("PutSecretValue");
        site.aws.world().next("PutSecretValue", Refused(500, kind));
        sink.promote(&delivery(2), &first, &Gate::open()).await.unwrap_err();
        assert_eq!(site.aws.count("PutSecretValue"), puts + 1, "{kind}");
    }
}
