//! Who we are to Microsoft: the log-in that every sink of theirs has, and how it is configured.

mod auth;
mod clouds;
mod login;
mod schema;

pub use self::login::{Authority, Identity};
pub(super) use self::{
    auth::{Auth, auth},
    clouds::Cloud,
    login::Login,
    schema::auth as auth_schema,
};
