//! What every table of the configuration is read with: keys with their places in the file, values of
//! a few shapes, references to secrets, and the JSON Schema of the same shapes. Providers and sinks
//! read their own tables with it; [`crate::config`] reads the rest.

pub(crate) mod amount;
mod findings;
pub(crate) mod http;
mod problem;
mod read;
pub(crate) mod secret;
pub(crate) mod shape;
pub(crate) mod source;
mod url;

pub(crate) use self::{
    findings::Findings,
    problem::{nearest, shown, suggest},
    read::{Set, Table, Value, too_long},
    secret::Keyring,
    source::At,
    url::{guarded, is_loopback, url},
};
pub use self::{
    http::{HttpConfig, ProxyConfig},
    problem::{Problem, Problems},
    secret::{Environment, ProcessEnvironment, SecretError, SecretRef, Secrets},
};
