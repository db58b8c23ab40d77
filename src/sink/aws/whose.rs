//! Which account and region a secret is in; where there is none, in which one it would be made.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, SharedCredentialsProvider, future},
};
use chrono::TimeDelta;

use super::{
    account::AwsAccount,
    answers::Effect,
    calls::Calls,
    look::{ATTEMPTS, Seen, look, unsettled},
    partition::partition,
    settings::account_in,
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    place::Container,
};

/// How long a refusal of STS to say whose credentials these are is believed.
const DENIED: TimeDelta = TimeDelta::hours(1);

/// The credentials that the region's client signs with.
pub(super) type Signing = Arc<Mutex<Option<Credentials>>>;

/// What is known of the credentials with one key.
pub(super) struct Known {
    key: String,
    /// `None`: STS refuses to say.
    container: Option<Container>,
    at: Timestamp,
}

/// Credentials of another provider, of which the last ones are kept.
pub(super) struct Noted {
    pub(super) inner: SharedCredentialsProvider,
    pub(super) signing: Signing,
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Noted")
    }
}

impl Noted {
    fn note(&self, credentials: &Credentials) {
        *self.signing.lock().unwrap_or_else(PoisonError::into_inner) = Some(credentials.clone());
    }

    async fn load(&self) -> provider::Result {
        let credentials = self.inner.provide_credentials().await?;
        self.note(&credentials);
        Ok(credentials)
    }
}

impl ProvideCredentials for Noted {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        let credentials = self.inner.fallback_on_interrupt()?;
        self.note(&credentials);
        Some(credentials)
    }
}

/// Looks at the secret, and tells what it is in: by its ARN where it is there. Where it is not, "no
/// such secret" is only worth as much as it is known whose account that was said of. `None`: STS
/// refuses to say.
pub(super) async fn look_in(calls: &Calls<'_>) -> Result<(Seen, Option<Container>), Fault> {
    for _ in 0..ATTEMPTS {
        let before = calls.account.signing();
        let seen = look(calls).await?;
        if let Some(container) = seen.arn().and_then(of_arn) {
            return Ok((seen, Some(container)));
        }
        let Some(signing) = calls.account.signing() else { break };
        let same = |before: Credentials| before.access_key_id() == signing.access_key_id();
        if before.is_none_or(same) {
            let container = calls.account.own(calls.operation, &signing).await?;
            return Ok((seen, container));
        }
        // It is not known which of the two were used.
    }
    Err(unsettled(calls, "the credentials changed each time that the secret was asked for"))
}

impl AwsAccount {
    fn signing(&self) -> Option<Credentials> {
        self.signing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a secret of these credentials is in. STS is asked once for each key.
    async fn own(
        &self,
        operation: &str,
        credentials: &Credentials,
    ) -> Result<Option<Container>, Fault> {
        let region = &self.settings.region;
        if let Some(role) = &self.settings.role {
            let partition = partition_in(&role.arn, region);
            return Ok(account_in(&role.arn).map(|account| container(partition, account, region)));
        }
        let (key, now) = (credentials.access_key_id(), self.clock.now());
        // One asks, and the others wait for what comes of it.
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && known.key == key
            && (known.container.is_some() || now - known.at < DENIED)
        {
            return Ok(known.container.clone());
        }
        let config = self.sts_config(SharedCredentialsProvider::new(credentials.clone()));
        let answer = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await;
        let found = match answer {
            Ok(identity) => {
                let account = identity.account().filter(|account| !account.is_empty());
                let Some(account) = account else {
                    return Err(unsaid(
                        operation,
                        Class::Transient,
                        Code::Unreadable,
                        "no account",
                    ));
                };
                let partition = partition_in(identity.arn().unwrap_or_default(), region);
                Some(container(partition, account, region))
            }
            Err(error) => {
                let fault = self.refused(operation, &error, Effect::None, &[]).fault;
                if fault.code != Code::Forbidden {
                    let unsaid = unsaid(operation, fault.class, fault.code, &fault.detail);
                    return Err(unsaid.retry_after(fault.retry_after));
                }
                None
            }
        };
        *known = Some(Known { key: key.to_owned(), container: found.clone(), at: now });
        Ok(found)
    }
}

fn unsaid(operation: &str, class: Class, code: Code, words: &str) -> Fault {
    let detail = format!(
        "there is no such secret, but STS could not be asked which account these credentials belong \
         to: {words}; set `sts_endpoint_url` so that STS can be reached, or create the secret yourself"
    );
    Fault::new(operation, class, code, detail)
}

/// What a secret with this ARN is in.
fn of_arn(arn: &str) -> Option<Container> {
    let parts: Vec<&str> = arn.split(':').collect();
    match parts.as_slice() {
        ["arn", partition, "secretsmanager", region, account, "secret", _, ..]
            if [partition, region, account].iter().all(|part| !part.is_empty()) =>
        {
            Some(container(partition, account, region))
        }
        _ => None,
    }
}

fn partition_in<'a>(arn: &'a str, region: &str) -> &'a str {
    let said = arn.split(':').nth(1).filter(|partition| !partition.is_empty());
    said.unwrap_or_else(|| partition(region))
}

fn container(partition: &str, account: &str, region: &str) -> Container {
    Container {
        id: format!("aws:{partition}:{account}:{region}"),
        words: format!("AWS account {account} in {region}"),
        strict: true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use async_trait::async_trait;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::{
        clock::Clock,
        http::{Endpoint, HttpSettings},
        secret::Secret,
        sink::aws::settings::{AccountSettings, Origin},
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
            std::future::pending().await
        }
    }

    /// An STS that knows the keys `A` and `B` by their account, and refuses the others; beside it, a
    /// service in which no secret is.
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
                    let result =
                        format!("<GetCallerIdentityResult>{result}</GetCallerIdentityResult>");
                    (
                        200,
                        format!("<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>"),
                    )
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
    fn account(endpoint: Endpoint, clock: Arc<Set>) -> Arc<AwsAccount> {
        let settings = AccountSettings {
            sink: SinkName::try_new("aws").unwrap(),
            region: "cn-north-1".to_owned(),
            endpoint: Some(endpoint),
            sts_endpoint: None,
            origin: Origin::Keys { id: "A".to_owned(), key: Secret::new("k".to_owned()) },
            role: None,
            expect_role_arn: None,
            kms_key_id: None,
            tags: std::collections::BTreeMap::new(),
            create: true,
            restore: false,
            http: HttpSettings {
                ca_file: None,
                proxy: None,
                request_timeout: std::time::Duration::from_secs(10),
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
            let account = account(endpoint, Arc::default());
            let turning = SharedCredentialsProvider::new(Turning(AtomicI64::new(0), turns));
            assert!(account.credentials.set(turning).is_ok());
            let client = account.client().await.unwrap();
            let calls = Calls { account: &account, client, name: "x", operation: "read x" };
            for expected in looks {
                let seen = look_in(&calls).await.map(|(_, container)| container.unwrap().words);
                let seen = seen.map_err(|fault| (fault.class, fault.code));
                let expected =
                    expected.map(|account| format!("AWS account {account} in cn-north-1"));
                assert_eq!(seen, expected, "{turns:?}");
            }
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
}
