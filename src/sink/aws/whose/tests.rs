//! Whose credentials are used, as a service and an STS of the test tell it.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, future};
use chrono::TimeDelta;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{
    aws_identity::Origin,
    clock::{Clock, Timestamp},
    http::{Endpoint, HttpSettings},
    secret::Secret,
    sink::{
        Fence, Sink,
        aws::{
            AwsSink, AwsTarget,
            describe::There,
            settings::{Account, AccountSettings},
        },
        payload::tests::delivery,
    },
    token::SinkName,
};

#[derive(Debug, Default)]
struct Set(AtomicI64);

#[async_trait]
impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::minutes(self.0.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, _deadline: Timestamp) {
        pending().await
    }
}

/// An STS that knows the keys `A` and `B` by their account, hangs up on `SILENT`, and refuses the
/// others; beside it, a service in which no secret is.
async fn sts() -> (Endpoint, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let noted = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 8192];
            let length = stream.read(&mut bytes).await.unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let (_, key) = text.split_once("Credential=").unwrap();
            let key = key.split('/').next().unwrap().to_owned();
            let absent = text.contains("x-amz-target: secretsmanager.DescribeSecret");
            if !absent {
                noted.lock().unwrap().push(key.clone());
            }
            let account = match key.as_str() {
                "A" => "111122223333",
                "B" => "999900001111",
                _ => "",
            };
            if key == "SILENT" {
                continue;
            }
            let (status, body) = if absent {
                (400, r#"{"__type":"ResourceNotFoundException"}"#.to_owned())
            } else if account.is_empty() {
                let error = "<Code>AccessDenied</Code><Message>no</Message>";
                (403, format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"))
            } else {
                let result = format!(
                    "<Arn>arn:aws-cn:sts::{account}:assumed-role/x/y</Arn>\
                     <Account>{account}</Account>"
                );
                let result = format!("<GetCallerIdentityResult>{result}</GetCallerIdentityResult>");
                (200, format!("<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>"))
            };
            let answer = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (Endpoint::try_new(reqwest::Url::parse(&url).unwrap()).unwrap(), asked)
}

/// An account whose services are there.
fn account(endpoint: Endpoint, clock: Arc<dyn Clock>) -> Arc<AwsAccount> {
    let settings = AccountSettings {
        sink: SinkName::try_new("aws").unwrap(),
        account: Account::of_region("cn-north-1"),
        endpoint: Some(endpoint),
        sts_endpoint: None,
        origin: Origin::Keys { id: "A".to_owned(), key: Secret::new("k".to_owned()) },
        http: HttpSettings {
            ca_file: None,
            proxy: None,
            request_timeout: Duration::from_secs(30),
            user_agent: "scimitar/test".to_owned(),
        },
    };
    AwsAccount::try_new(settings, clock).unwrap()
}

/// Credentials that are renewed, and that change over to another account's.
#[tokio::test]
async fn sts_is_asked_once_for_each_key() {
    let (endpoint, asked) = sts().await;
    let clock = Arc::new(Set::default());
    let account = account(endpoint, clock.clone());
    let own = async |key: &str| {
        let credentials = Credentials::new(key, "k", None, None, "test");
        let found = account.own("read x", &credentials).await.unwrap();
        found.map(|container| container.id)
    };
    let of = |account: &str| Some(format!("aws:aws-cn:{account}:cn-north-1"));
    for _ in 0..3 {
        assert_eq!(own("A").await, of("111122223333"));
    }
    clock.0.store(60 * 24, Ordering::SeqCst);
    assert_eq!(own("A").await, of("111122223333"), "a key stays that of its account");
    assert_eq!(own("B").await, of("999900001111"));
    assert_eq!(own("B").await, of("999900001111"));
    assert_eq!((own("C").await, own("C").await), (None, None));
    assert_eq!(*asked.lock().unwrap(), ["A", "B", "C"]);
    clock.0.fetch_add(61, Ordering::SeqCst);
    assert_eq!(own("C").await, None);
    assert_eq!(asked.lock().unwrap().len(), 4, "a right may be granted by now");
}

/// Gives one key after the other, each for one call.
#[derive(Debug)]
struct Turning(AtomicI64, &'static [&'static str]);

impl ProvideCredentials for Turning {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let turn = usize::try_from(self.0.fetch_add(1, Ordering::SeqCst)).unwrap();
        let key = self.1.get(turn).or_else(|| self.1.last()).unwrap();
        let over = Some(std::time::SystemTime::UNIX_EPOCH);
        future::ProvideCredentials::ready(Ok(Credentials::new(*key, "k", None, over, "test")))
    }
}

/// "No such secret" is said of the account whose credentials signed that question.
#[tokio::test]
async fn credentials_that_change_under_the_question_are_asked_again() {
    let (a, b) = (Ok("111122223333"), Ok("999900001111"));
    let unsettled = Err((Class::Transient, Code::Unreadable));
    for (turns, looks) in [
        (&["A"][..], &[a, a][..]),
        (&["A", "A", "B"], &[a, a, b, b]),
        (&["A", "B", "A", "B", "A"], &[a, unsettled, a]),
    ] {
        let (endpoint, _) = sts().await;
        let account = account(endpoint, Arc::<Set>::default());
        let turning = SharedCredentialsProvider::new(Turning(AtomicI64::new(0), turns));
        assert!(account.credentials.set(turning).is_ok());
        let client = account.client().await.unwrap();
        let calls = Calls { account: &account, client, name: "x", operation: "read x" };
        for expected in looks {
            let seen = look_in(&calls).await.map(|(_, container)| container.unwrap().words);
            let seen = seen.map_err(|fault| (fault.class, fault.code));
            let expected = expected.map(|account| format!("AWS account {account} in cn-north-1"));
            assert_eq!(seen, expected, "{turns:?}");
        }
    }
}

#[derive(Debug)]
struct Open;

#[async_trait]
impl Fence for Open {
    async fn check(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// "No such secret" in an account that is known is not that in one that cannot be told.
#[tokio::test]
async fn an_account_that_cannot_be_told_any_more_is_another_one() {
    let (endpoint, asked) = sts().await;
    let account = account(endpoint, Arc::<Set>::default());
    let turning = SharedCredentialsProvider::new(Turning(AtomicI64::new(0), &["A", "C"]));
    assert!(account.credentials.set(turning).is_ok());
    let to = AwsTarget {
        name: "x".to_owned(),
        description: None,
        payload: None,
        raw: false,
        overwrite: false,
        tags: Default::default(),
    };
    let sink = AwsSink::try_new(&account, to).unwrap();
    let seen = sink.read().await.unwrap();
    assert_eq!(seen.container.as_ref().unwrap().words, "AWS account 111122223333 in cn-north-1");
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    let write = sink.promote(&delivery(false), &seen.version, &Open).await.unwrap_err();
    for fault in [proof, write] {
        assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{fault}");
        let words = "STS no longer returns which account";
        assert!(fault.detail.contains(words), "{fault}");
        assert!(fault.detail.contains("111122223333"), "{fault}");
    }
    assert_eq!(*asked.lock().unwrap(), ["A", "C"]);
    // Read again, that is what is known, and said as a caveat.
    let seen = sink.read().await.unwrap();
    assert_eq!(seen.container, None);
    assert!(sink.caveat().unwrap().contains("sts:GetCallerIdentity"));
    let write = sink.promote(&delivery(false), &seen.version, &Open).await.unwrap_err();
    assert!(!write.detail.contains("STS no longer returns"), "{write}");
}

/// Those who wait share a failure, and it is kept for half a minute: each of the secrets of an account
/// would wait for an STS that is out of reach, one after the other.
#[tokio::test]
async fn a_failure_of_sts_is_shared_and_kept_for_a_while() {
    let (endpoint, asked) = sts().await;
    let clock = Arc::new(Set::default());
    let account = account(endpoint, clock.clone());
    let credentials = Credentials::new("SILENT", "k", None, None, "test");
    let own = async |operation: &str| account.own(operation, &credentials).await.unwrap_err();
    let (one, two) = tokio::join!(own("read x"), own("read y"));
    for (fault, operation) in [(one, "read x"), (two, "read y"), (own("read z").await, "read z")] {
        assert_eq!((fault.class, fault.operation.as_str()), (Class::Transient, operation));
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
    clock.0.fetch_add(1, Ordering::SeqCst);
    own("read x").await;
    assert_eq!(asked.lock().unwrap().len(), 2);
}

/// A read is given up after 15 s, and no failure would be kept of its question.
#[tokio::test]
async fn sts_has_ten_seconds_to_answer() {
    let (endpoint, _) = sts().await;
    let account = account(endpoint, Arc::<Set>::default());
    let config = account.patient(&Credentials::new("A", "k", None, None, "test"));
    let within = config.timeout_config().and_then(TimeoutConfig::operation_timeout);
    assert_eq!(within, Some(Duration::from_secs(10)));
}

/// What is missing is told as it was seen.
#[test]
fn what_was_seen_is_what_is_told() {
    let fault = Fault::new("read x", Class::Transient, Code::Timeout, "no answer");
    let there = There {
        arn: None,
        labels: std::collections::BTreeMap::new(),
        tags: std::collections::BTreeMap::new(),
        replicas: Vec::new(),
        current: None,
    };
    let unsaid = |seen: Seen| unsaid(&seen, fault.clone()).detail;
    let absent = unsaid(Seen::Absent);
    assert!(absent.starts_with("there is no such secret, but STS"), "{absent}");
    assert!(absent.contains("no answer") && absent.contains("create the secret"), "{absent}");
    for (seen, words) in [
        (Seen::Deleted { current: None, arn: None }, "the secret is scheduled for deletion"),
        (Seen::There(Box::new(there)), "the secret has no ARN that names its account"),
    ] {
        let told = unsaid(seen);
        assert!(told.starts_with(words), "{told}");
        assert!(!told.contains("no such secret") && !told.contains("create the"), "{told}");
    }
}

#[test]
fn an_arn_says_what_a_secret_is_in() {
    let arn = "arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:scim/a-a1B2c3";
    let found = of_arn(arn).unwrap();
    assert_eq!(found.id, "aws:aws-cn:111122223333:cn-north-1");
    assert_eq!(found.words, "AWS account 111122223333 in cn-north-1");
    assert!(found.strict);
    for other in [
        "",
        "scim/a",
        "arn:aws:secretsmanager:eu-central-1::secret:a",
        "arn:aws:iam::111122223333:role/a",
    ] {
        assert_eq!(of_arn(other), None, "{other}");
    }
}

#[test]
fn a_partition_is_that_of_the_arn_and_else_of_the_region() {
    assert_eq!(partition_in("arn:aws-us-gov:sts::1:x", "eu-central-1"), "aws-us-gov");
    assert_eq!(partition_in("", "cn-north-1"), "aws-cn");
}
