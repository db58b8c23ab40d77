//! Which account and region a secret is in; where there is none, in which one it would be made.

use std::{sync::PoisonError, time::Duration};

use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};

use super::{
    account::AwsAccount,
    answers::Effect,
    calls::Calls,
    describe::{ATTEMPTS, Seen, look, unsettled},
    settings::account_in,
    signing::Known,
};
use crate::{
    aws_identity::partition,
    error::{Class, Code, Fault},
    place::Container,
};

/// How long STS may take to answer. Less than a read may take: one that is given up leaves no failure
/// to share.
const PATIENCE: Duration = Duration::from_secs(10);

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
            let own = calls.account.own(calls.operation, &signing).await;
            return match own {
                Ok(container) => Ok((seen, container)),
                Err(fault) => Err(unsaid(&seen, fault)),
            };
        }
        // It is not known which of the two were used.
    }
    Err(unsettled(calls, "the credentials changed during every read of the secret"))
}

/// What a parameter is in, by its ARN (AWS's list of resource types of Systems Manager).
pub(in crate::sink) fn parameter_in(arn: &str) -> Option<Container> {
    let parts: Vec<&str> = arn.split(':').collect();
    match parts.as_slice() {
        ["arn", partition, "ssm", region, account, resource]
            if resource.starts_with("parameter/")
                && [partition, region, account].iter().all(|part| !part.is_empty()) =>
        {
            Some(container(partition, account, region))
        }
        _ => None,
    }
}

impl AwsAccount {
    /// What would be made with the credentials of this moment is in; `None`: STS refuses to say.
    pub(in crate::sink) async fn whose(&self, operation: &str) -> Result<Option<Container>, Fault> {
        let credentials = self.keys(operation).await?;
        self.own(operation, &credentials).await
    }

    fn signing(&self) -> Option<Credentials> {
        self.signing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a secret of these credentials is in. STS is asked once for each key; those who wait for
    /// its answer share it, also where it fails.
    async fn own(
        &self,
        operation: &str,
        credentials: &Credentials,
    ) -> Result<Option<Container>, Fault> {
        let region = &self.settings.account.region;
        if let Some(role) = &self.settings.account.role {
            let partition = partition_in(&role.arn, region);
            return Ok(account_in(&role.arn).map(|account| container(partition, account, region)));
        }
        let key = credentials.access_key_id();
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        if let Some(known) = known.as_ref().filter(|known| known.holds(key, now)) {
            let found = known.found.clone();
            return found.map_err(|fault| Fault { operation: operation.to_owned(), ..fault });
        }
        let found = self.ask(operation, credentials).await;
        let at = self.clock.now();
        *known = Some(Known { key: key.to_owned(), found: found.clone(), at });
        found
    }

    /// How STS is asked with these credentials.
    fn patient(&self, credentials: &Credentials) -> SdkConfig {
        let timeouts = TimeoutConfig::builder().operation_timeout(PATIENCE).build();
        let config = self.sts_config(SharedCredentialsProvider::new(credentials.clone()));
        config.into_builder().timeout_config(timeouts).build()
    }

    async fn ask(
        &self,
        operation: &str,
        credentials: &Credentials,
    ) -> Result<Option<Container>, Fault> {
        let region = &self.settings.account.region;
        let config = self.patient(credentials);
        match aws_sdk_sts::Client::new(&config).get_caller_identity().send().await {
            Ok(identity) => {
                let account = identity.account().filter(|account| !account.is_empty());
                let Some(account) = account else {
                    let words = "the answer names no account";
                    return Err(Fault::new(operation, Class::Transient, Code::Unreadable, words));
                };
                let partition = partition_in(identity.arn().unwrap_or_default(), region);
                Ok(Some(container(partition, account, region)))
            }
            Err(error) => {
                let fault = self.refused(operation, &error, Effect::None, &[]).fault;
                if fault.code == Code::Forbidden { Ok(None) } else { Err(fault) }
            }
        }
    }
}

/// That STS could not be asked, beside what was seen of the secret.
fn unsaid(seen: &Seen, fault: Fault) -> Fault {
    let (seen, way_out) = match seen {
        Seen::Absent => ("there is no such secret", ", or create the secret yourself"),
        Seen::Deleted { .. } => ("the secret is scheduled for deletion and has no ARN", ""),
        Seen::There(_) => ("the secret has no ARN that names its account", ""),
    };
    let detail = format!(
        "{seen}, but STS could not be asked which account these credentials belong to: {}; set \
         `sts_endpoint_url` to an address where STS is reachable{way_out}",
        fault.detail
    );
    Fault { detail, ..fault }
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
mod tests;
