//! The sink for Google Cloud's Secret Manager: a token as keys of a JSON object, or as plain text.
//!
//! Each write is a version more. Readers get the latest one, or the one that an alias leads to:
//!
//! - `latest` moves with the request that adds a version, and that request takes no condition. So the
//!   write is fenced from here: it is read right before, and the number that is answered must be the one
//!   after that which was read. Of two writers at one moment the later one wins, and both are told.
//! - An alias is moved by a request that names the secret's `etag`, and is refused when the secret was
//!   changed since it was read. That is a compare-and-set; and until then the version is staged.
//!
//! The calls are made by hand over the project's own client: Google's crate brings its own HTTP and log-in
//! stack of more than thirty crates for nine calls.

#[cfg(feature = "gcp_secret_manager")]
mod answers;
#[cfg(feature = "gcp_secret_manager")]
mod calls;
#[cfg(feature = "gcp_secret_manager")]
mod config;
#[cfg(feature = "gcp_secret_manager")]
mod crc32c;
#[cfg(feature = "gcp_secret_manager")]
mod credentials;
#[cfg(feature = "gcp_secret_manager")]
mod deliver;
#[cfg(feature = "gcp_secret_manager")]
mod login;
#[cfg(feature = "gcp_secret_manager")]
mod place;
#[cfg(feature = "gcp_secret_manager")]
mod rights;
mod schema;
#[cfg(feature = "gcp_secret_manager")]
mod settings;

#[cfg(feature = "gcp_secret_manager")]
pub use self::{
    config::GcpConfig,
    login::Origin,
    place::GcpSink,
    rights::{Needs, permissions},
    settings::{GcpTarget, Project, ProjectSettings},
};
use super::Kind;

/// The kind.
pub static KIND: Kind = Kind {
    name: "gcp_secret_manager",
    places: "gcp",
    location: "secret_id",
    schema: schema::sink,
    delivery_schema: schema::target,
    #[cfg(feature = "gcp_secret_manager")]
    read: |table, outer, keyring| Some(std::sync::Arc::new(config::sink(table, outer, keyring)?)),
    #[cfg(not(feature = "gcp_secret_manager"))]
    read: |_, _, _| None,
    absent: if cfg!(feature = "gcp_secret_manager") { None } else { Some("gcp_secret_manager") },
    store: None,
    reopen: None,
};
