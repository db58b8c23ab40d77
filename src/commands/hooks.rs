//! From the configuration to hooks.

use std::sync::Arc;

use super::{
    output::{Failure, FailureClass},
    vaults::referred,
    wiring,
};
use crate::{
    clock::Clock,
    config::{Config, Environment, HookCall},
    hook::{Exec, ExecSettings, Hook, Hooks, Webhook, WebhookSettings},
    http::Endpoint,
};

/// Builds all that are configured; none is run yet.
///
/// # Errors
/// When certificates, a proxy or an address are of no use.
pub(super) fn wired(
    config: &Config,
    env: &Arc<dyn Environment>,
    clock: &Arc<dyn Clock>,
) -> Result<Hooks, Failure> {
    let mut hooks = Hooks::default();
    for hook in &config.hooks {
        let name = hook.name.clone();
        let wired: Arc<dyn Hook> = match &hook.call {
            HookCall::Exec { program, arguments } => Arc::new(Exec::new(ExecSettings {
                name,
                program: program.clone(),
                arguments: arguments.clone(),
                timeout: hook.timeout,
            })),
            HookCall::Webhook { url, secret } => {
                let url = Endpoint::try_new(url.clone()).map_err(|error| {
                    Failure::new(FailureClass::Configuration, format!("hook {name}: {error}"))
                })?;
                let secret = referred(secret, env);
                let settings = WebhookSettings { name, url, secret, timeout: hook.timeout };
                let http = wiring::http(&config.http, config, env)?;
                Arc::new(Webhook::new(settings, http, clock.clone()))
            }
        };
        hooks.add(hook.on.clone(), wired);
    }
    Ok(hooks)
}
