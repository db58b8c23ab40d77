//! From the configuration to accounts of AWS and the secrets there.

use std::{collections::BTreeMap, sync::Arc};

use reqwest::Url;

use super::{
    output::{Failure, FailureClass},
    wiring::http_settings,
};
use crate::{
    clock::Clock,
    config::{AwsSinkConfig, Config, Environment, SinkConfig},
    error::{Fault, chain},
    http::Endpoint,
    sink::{
        aws::{AccountSettings, AwsAccount, AwsSettings, AwsSink, Origin, Role},
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
pub fn accounts(
    config: &Config,
    env: &Arc<dyn Environment>,
    clock: &Arc<dyn Clock>,
) -> Result<Accounts, Failure> {
    let mut accounts = Accounts::new();
    for (name, sink) in &config.sinks {
        let SinkConfig::Aws(aws) = sink else { continue };
        let account = AwsAccount::try_new(settings(name, aws, config, env)?, clock.clone())
            .map_err(|fault| Failure::new(FailureClass::System, fault.to_string()))?;
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
    config: &Config,
    env: &Arc<dyn Environment>,
) -> Result<AccountSettings, Failure> {
    Ok(AccountSettings {
        sink: name.clone(),
        region: aws.region.clone(),
        endpoint: endpoint(aws.endpoint_url.as_ref())?,
        sts_endpoint: endpoint(aws.sts_endpoint_url.as_ref())?,
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
        http: http_settings(&aws.http, config, env)?,
    })
}

pub(super) fn endpoint(url: Option<&Url>) -> Result<Option<Endpoint>, Failure> {
    let endpoint = url.map(|url| Endpoint::try_new(url.clone())).transpose();
    endpoint.map_err(|error| Failure::new(FailureClass::System, chain(&error)))
}
