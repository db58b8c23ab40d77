//! What operators see of a running Scimitar: metrics and logs.

pub mod logs;
pub mod metrics;
pub mod textfile;
