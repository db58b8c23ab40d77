//! A moment as the page shows it.

use serde::Serialize;

use crate::{
    clock::{Timestamp, Told, rfc3339},
    words::{date, date_seen, relative},
};

/// A moment: how far away, for machines, for people, and for those who point at it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Moment {
    pub(super) near: String,
    exact: String,
    pub(super) clock: String,
    title: String,
}

impl Moment {
    pub(super) fn of(at: impl Told, now: Timestamp) -> Self {
        Self {
            near: relative(at, now),
            exact: rfc3339(at),
            clock: date_seen(at, now),
            title: date(at),
        }
    }
}
