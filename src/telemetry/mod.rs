//! What operators see of a running Scimitar: metrics and logs.

pub mod metrics;
