//! What operators see of a running Scimitar: metrics, logs and the audit log.

pub mod audit;
pub mod logs;
pub mod metrics;
pub mod textfile;
