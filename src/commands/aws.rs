//! From the configuration to accounts of AWS and the secrets there.

use std::{collections::BTreeMap, sync::Arc};

use super::output::Failure;
use crate::{
    aws_identity::Origin,
    config::{AwsSinkConfig, Config, SinkConfig},
    error::Fault,
    kind::{BuildError, Parts, endpoint},
    sink::{
        aws::{AccountSettings, AwsAccount, AwsSettings, AwsSink, Role},
        payload::PayloadTemplate,
    },
    token::SinkName,
};

/// The accounts of a configuration, by the sinks that name them.
pub type Accounts = BTreeMap<SinkName, Arc<AwsAccount>>;

/// Builds all that are configured; nothing is asked of them yet.
///
/// # Errors
/// When certificates or a proxy are of no use.
pub fn accounts(config: &Config, parts: &Parts) -> Result<Accounts, Failure> {
    let mut accounts = Accounts::new();
    for (name, sink) in &config.sinks {
        let SinkConfig::Aws(aws) = sink else { continue };
        let account = AwsAccount::try_new(settings(name, aws, parts)?, parts.clock.clone())
            .map_err(BuildError::new)?;
        accounts.insert(name.clone(), account);
    }
    Ok(accounts)
}

/// The sink of a delivery.
///
/// # Errors
/// When the name cannot be one of a secret.
pub fn sink(
    account: &Arc<AwsAccount>,
    delivery: &crate::config::AwsDelivery,
    payload: Option<PayloadTemplate>,
) -> Result<AwsSink, Fault> {
    let settings = AwsSettings {
        name: delivery.name.clone(),
        description: delivery.description.clone(),
        payload,
        raw: delivery.raw,
        overwrite: delivery.overwrite,
    };
    AwsSink::try_new(account, settings)
}

fn settings(
    name: &SinkName,
    aws: &AwsSinkConfig,
    parts: &Parts,
) -> Result<AccountSettings, BuildError> {
    Ok(AccountSettings {
        sink: name.clone(),
        region: aws.region.clone(),
        endpoint: aws.endpoint_url.as_ref().map(endpoint).transpose()?,
        sts_endpoint: aws.sts_endpoint_url.as_ref().map(endpoint).transpose()?,
        origin: Origin::Chain,
        role: aws.assume_role_arn.clone().map(|arn| Role {
            arn,
            external_id: aws.external_id.clone(),
            session_tags: aws.session_tags.clone(),
        }),
        expect_role_arn: aws.expect_role_arn.clone(),
        kms_key_id: aws.kms_key_id.clone(),
        tags: aws.tags.clone(),
        create: aws.create,
        restore: aws.restore,
        http: parts.http_settings(&aws.http)?,
    })
}
