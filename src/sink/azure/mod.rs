//! The sink for Azure Key Vault: a token as keys of a JSON object, or as plain text.
//!
//! Each write is a version more, and readers get the newest one. The API has no compare-and-set, and the
//! newest version is what readers get also when it is disabled, so nothing can be staged there. A write is
//! fenced from here: it is read right before, and read back. Of two writers at one moment the later one
//! wins, and the other is told. A version and its tags are written in one request, so that there is never
//! one without the other.
//!
//! The calls are made by hand over the project's own client: Microsoft's crates log in with a certificate
//! only by OpenSSL, beside a client and a pipeline of their own, for six calls.

#[cfg(feature = "azure_key_vault")]
mod answers;
#[cfg(feature = "azure_key_vault")]
mod calls;
#[cfg(feature = "azure_key_vault")]
mod config;
#[cfg(feature = "azure_key_vault")]
mod place;
#[cfg(feature = "azure_key_vault")]
mod rights;
mod schema;
#[cfg(feature = "azure_key_vault")]
mod settings;

#[cfg(feature = "azure_key_vault")]
pub use self::{
    config::AzureConfig,
    place::AzureSink,
    settings::{AzureTarget, Vault, VaultSettings},
};
use super::Kind;

/// The kind.
pub static KIND: Kind = Kind {
    name: "azure_key_vault",
    places: "azure",
    location: "secret_name",
    schema: schema::sink,
    delivery_schema: schema::target,
    #[cfg(feature = "azure_key_vault")]
    read: |table, outer, keyring| Some(std::sync::Arc::new(config::sink(table, outer, keyring)?)),
    #[cfg(not(feature = "azure_key_vault"))]
    read: |_, _, _| None,
    absent: if cfg!(feature = "azure_key_vault") { None } else { Some("azure_key_vault") },
    store: None,
    reopen: None,
};
