//! How a watched token stands.

use chrono::TimeDelta;

use super::{Concern, concern::URGENT_AT_MOST};
use crate::{
    clock::Timestamp,
    rotation::watch::{Watch, WatchRecord},
    words::date,
};

/// How a watched token stands: by the date that was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchStatus {
    /// What somebody should do about it, if anything.
    pub concern: Option<Concern>,
    /// The same in words, with the way out.
    pub why: String,
    /// Somebody has to do something now.
    pub needs_person: bool,
    /// That its name is a connection's, and which hooks were not told of it.
    pub warnings: Vec<String>,
}

impl WatchStatus {
    /// By the configuration, and by what the ledger knows of its hooks.
    #[must_use]
    pub fn of(watch: &Watch, record: Option<&WatchRecord>, now: Timestamp) -> Self {
        let concern = concern(watch, now);
        let state = match concern {
            None => "not due for renewal yet".to_owned(),
            Some(Concern::Expired) => {
                format!("expired at {}", date(watch.expires_at))
            }
            Some(_) => format!("expires at {}: renew it", date(watch.expires_at)),
        };
        let renewal = Some(watch.renewal()).filter(|words| !words.is_empty());
        let way_out = concern
            .map(|_| format!("then change `expires_at` of {} in the configuration", watch.name));
        let parts: Vec<String> = [Some(state), renewal, way_out].into_iter().flatten().collect();
        let untold = record.into_iter().flat_map(WatchRecord::warnings);
        Self {
            concern,
            why: parts.join("; "),
            needs_person: concern.is_some() || watch.shadowed,
            warnings: watch.shadowed().into_iter().chain(untold).collect(),
        }
    }

    /// In one word.
    #[must_use]
    pub fn standing(&self) -> &'static str {
        self.concern.map_or("valid", Concern::as_str)
    }
}

/// From the longest `notify_before` on somebody should renew it; nobody else does.
fn concern(watch: &Watch, now: Timestamp) -> Option<Concern> {
    let left = watch.expires_at - now;
    if left <= TimeDelta::zero() {
        return Some(Concern::Expired);
    }
    let notice = watch.notice().and_then(|notice| TimeDelta::from_std(notice).ok())?;
    if left <= notice.min(URGENT_AT_MOST) {
        Some(Concern::AboutToExpire)
    } else {
        (left <= notice).then_some(Concern::ExpiresSoon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::fixture::{now, watch};

    #[test]
    fn it_stands_by_its_date_and_its_longest_notice() {
        let of = |watch: &Watch| WatchStatus::of(watch, None, now());
        for (days, standing, needs_person) in [
            (15, "valid", false),
            (14, "expires_soon", true),
            (2, "expires_soon", true),
            (1, "about_to_expire", true),
            (0, "expired", true),
            (-400, "expired", true),
        ] {
            let status = of(&watch(days));
            assert_eq!(
                (status.standing(), status.needs_person),
                (standing, needs_person),
                "{days}"
            );
            let way_out = "https://admin.example.com/scim#tokens";
            assert!(status.why.contains(way_out), "{}", status.why);
            assert_eq!(status.why.contains("then change `expires_at`"), needs_person, "{days}");
        }
        // A short notice is never a day too early.
        let hour = std::time::Duration::from_secs(3_600);
        let short = |minutes| Watch {
            expires_at: now() + TimeDelta::minutes(minutes),
            notify_before: [hour].into(),
            ..watch(0)
        };
        assert_eq!(of(&short(61)).standing(), "valid");
        assert_eq!(of(&short(60)).standing(), "about_to_expire");
        let never = Watch { notify_before: Default::default(), ..short(1) };
        assert_eq!(of(&never).standing(), "valid");
        let over = Watch { expires_at: now(), ..never };
        assert_eq!(of(&over).standing(), "expired");
    }
}
