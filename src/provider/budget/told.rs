//! Which 429s are worth a warning: the first one, then one at longer and longer intervals.

use std::time::Duration;

use super::{RateLimit, Span, Throttled};
use crate::{clock::Timestamp, token::ProviderName};

/// The first interval; each is twice as long as the one before.
const FIRST: Duration = Duration::from_secs(60);

/// The longest interval. After as long without a 429 the next one is the first again.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What was said of a tenant's 429s.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The last interval that began with a warning, and how long it is.
    silent: Option<(Span, Duration)>,
    /// An hour from the last 429 on.
    recent: Option<Span>,
}

impl Told {
    /// Notes a 429 and answers whether it is worth a warning.
    pub(super) fn is_due(&mut self, now: Timestamp) -> bool {
        let lasts = self.recent.is_some_and(|recent| recent.holds(now));
        self.recent = Some(Span::new(now, LONGEST));
        let length = match self.silent.filter(|_| lasts) {
            Some((silent, _)) if silent.holds(now) => return false,
            Some((_, length)) => (length * 2).min(LONGEST),
            None => FIRST,
        };
        self.silent = Some((Span::new(now, length), length));
        true
    }
}

/// Says that a tenant answered 429. `limit`: its `rate_limit`, where one is configured.
pub(in crate::provider) fn say(
    provider: &ProviderName,
    Throttled { pause, is_due }: Throttled,
    limit: Option<RateLimit>,
) {
    let duration_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    let seconds = pause.as_secs_f64().ceil();
    if !is_due {
        tracing::debug!(provider = %provider, duration_ms, "{provider} answered 429 again");
        return;
    }
    let cause = match limit {
        Some(_) => "rate_limit or share may be too high, or other clients use up the limit",
        None => "Scimitar slows down",
    };
    tracing::warn!(
        provider = %provider,
        duration_ms,
        "{provider} answered 429: no request for {seconds} s; {cause}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_then_reminders_at_longer_intervals() {
        let start: Timestamp = "2026-11-22T04:00:00Z".parse().unwrap();
        let mut told = Told::default();
        let mut due = |seconds: u64| told.is_due(start + Duration::from_secs(seconds));
        let said: Vec<_> = (0..4 * 3600).filter(|second| due(*second)).collect();
        assert_eq!(said, [0, 60, 180, 420, 900, 1860, 3780, 7380, 10980]);
        assert!(due(5 * 3600 + 1), "an hour passed without any");
        assert!(!due(5 * 3600 + 60) && due(5 * 3600 + 61));
        assert!(due(10), "the clock was set back");
    }
}
