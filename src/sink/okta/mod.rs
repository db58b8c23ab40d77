//! The sink that is a SCIM client: the provisioning connection of an application in Okta, by Okta's own API.
//!
//! Okta never shows a token that it was given, so the place cannot be read back; and it does not say whether
//! it used one. The connection takes up a token as it is given it ([`Uptake::AtOnce`](crate::sink::Uptake)),
//! so the previous token goes by what its provider tells of its use, as with any place that is only written.
//!
//! The API sets the token of two kinds of application only. Of any other it may answer 200 all the same and
//! keep nothing, so the application is looked at before each write, and an answer that does not say that the
//! connection is in use is a failure.

mod answers;
mod application;
mod calls;
mod config;
mod login;
mod place;
mod rights;
mod schema;
mod settings;

pub use self::{
    config::{KIND, OktaConfig},
    login::Identity,
    place::OktaSink,
    settings::{OktaTarget, Org, OrgSettings},
};
