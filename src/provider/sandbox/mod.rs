//! `type = "sandbox"`: the embedded sandbox, reached over HTTP like the provider that it behaves as.

mod config;

pub(super) use self::config::KIND;
pub use self::config::{Face, SandboxConfig};
