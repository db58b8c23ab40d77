//! When a rotation may start: cron expressions in an IANA time zone, read as crontab reads them.

use crate::clock::Timestamp;

/// A validated cron expression in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {}

impl Schedule {
    /// The first tick after `after`.
    #[must_use]
    pub fn next_after(&self, _after: Timestamp) -> Option<Timestamp> {
        None
    }
}
