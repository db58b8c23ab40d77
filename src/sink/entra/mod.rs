//! The sink that is a SCIM client: the credentials of a provisioning job of Microsoft Entra ID, by Microsoft
//! Graph.
//!
//! Graph never shows a token that it was given, so the place cannot be read back. What the job does with it
//! can be asked: the previous token stays until the job has begun a cycle after it got the new one, and that
//! cycle succeeded.

mod answers;
mod calls;
mod config;
mod job;
mod place;
mod rights;
mod schema;
mod settings;

pub use self::{
    config::{EntraConfig, KIND},
    place::EntraSink,
    settings::{EntraTarget, Graph, GraphSettings},
};
