//! What is fed to everything that reads input from outside: by libFuzzer (`fuzz/run`), and each file of
//! the corpus in every run of the tests.
//!
//! A target must end, whatever it is fed: soon, without a panic, and without more memory than a small
//! multiple of its input and of what the services may answer.

mod files;
mod replay;
mod served;
mod sinks;
mod text;
mod wire;

pub use replay::replay;

/// Something that reads input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The folder of its corpus.
    pub name: &'static str,
    /// Reads it.
    pub feed: fn(&[u8]),
}

const fn target(name: &'static str, feed: fn(&[u8])) -> Target {
    Target { name, feed }
}

/// All of them.
pub const TARGETS: [Target; 28] = [
    target("arguments", text::arguments),
    target("audit", files::audit),
    target("companion", files::companion),
    target("config", files::config),
    target("control", served::control),
    target("hook-body", files::hook_body),
    target("import", files::import),
    target("kubeconfig", files::kubeconfig),
    target("ledger", files::ledger),
    target("pattern", text::pattern),
    target("pem", text::pem),
    target("provider-auth0", wire::auth0),
    target("provider-dbt-cloud", wire::dbt_cloud),
    target("provider-http", wire::http),
    target("record", text::record),
    target("sandbox", served::sandbox),
    target("schedule", text::schedule),
    target("scim", wire::scim),
    target("sink-aws", sinks::aws),
    target("sink-azure", sinks::azure),
    target("sink-entra", sinks::entra),
    target("sink-gcp", sinks::gcp),
    target("sink-kubernetes", sinks::kubernetes),
    target("sink-okta", sinks::okta),
    target("sink-ssm", sinks::ssm),
    target("sink-vault", sinks::vault),
    target("template", text::template),
    target("web", served::web),
];
