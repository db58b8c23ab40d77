//! Who we are to AWS: credentials from where its own tools find them, the way to its services, and
//! the request by which somebody else can ask it who we are.

mod credentials;
mod host;
mod identity;
mod partition;
mod table;
mod wire;

pub(crate) use self::{
    credentials::{cause, credentials},
    host::{found, timeouts},
    partition::host,
    table::{REGION, endpoint, region},
    wire::Wire,
};
pub use self::{
    host::Origin,
    identity::{AwsIdentity, SignedIdentity, Sts},
    partition::partition,
};
