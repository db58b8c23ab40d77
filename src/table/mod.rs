//! What every table of the configuration is read with: keys with their places in the file, values of
//! a few shapes, references to secrets, and the JSON Schema of the same shapes. Providers and sinks
//! read their own tables with it; [`crate::config`] reads the rest.

pub(crate) mod amount;
pub(crate) mod file;
mod findings;
pub(crate) mod http;
mod problem;
pub(crate) mod program;
mod read;
pub(crate) mod secret;
pub(crate) mod shape;
pub(crate) mod source;
pub(crate) mod stored;
mod url;

pub(crate) use self::{
    findings::Findings,
    problem::{nearest, shown, suggest},
    read::{Made, Set, Table, Value, too_long},
    secret::Keyring,
    source::At,
    url::{address, guarded, page, url},
};
pub use self::{
    http::{HttpConfig, ProxyConfig},
    problem::{Problem, Problems},
    secret::{Environment, ProcessEnvironment, SecretError, SecretRef, Secrets},
    stored::{StoreWord, StoredSecret},
};
