//! From the configuration to hooks.

use std::sync::Arc;

use super::AppError;
use crate::{
    config::{Config, HookCall},
    hook::{Exec, ExecSettings, Hook, Hooks, Webhook, WebhookSettings},
    kind::Parts,
};

/// Builds all that are configured; none is run yet.
///
/// # Errors
/// When certificates, a proxy or an address are of no use.
pub(super) fn wired(config: &Config, parts: &Parts) -> Result<Hooks, AppError> {
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
            HookCall::Webhook(post) => {
                let post = post.map(|secret| parts.credential(secret));
                let settings = WebhookSettings { name, post, timeout: hook.timeout };
                let http = parts.client(&config.http)?;
                Arc::new(Webhook::new(settings, http, parts.clock.clone()))
            }
        };
        hooks.add(hook.on.clone(), wired);
    }
    Ok(hooks)
}
