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
                    return Err(unsaid(operation, Class::Transient, Code::Unreadable, "no account"));
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
        "there is no such secret, and STS could not be asked which account that was said of: {words}; \
         let STS be reached (`sts_endpoint_url`), or make the secret yourself"
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
    use super::*;

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
