//! What is said of a token on its way out: why, and what it waits for.

use super::super::words::{is_past, moment, relative};
use crate::{
    clock::Timestamp,
    rotation::{
        awaited::Awaited,
        hold,
        policy::{Mode, Policy},
        record::{Cause, Record, Retiring},
        view,
        why::Reason,
    },
};

pub(super) fn leaving(
    policy: &Policy,
    record: &Record,
    retiring: &Retiring,
    now: Timestamp,
) -> String {
    let id = &retiring.token.id;
    let cause = match retiring.cause {
        Cause::Superseded => "superseded",
        Cause::Orphan => "created by Scimitar, its value is lost and no sink has it",
        Cause::Bad => "created by Scimitar, rejected by the SCIM endpoint",
        Cause::GivenUp => "created by Scimitar, abandoned before any sink had it",
        Cause::Asked | Cause::Forced => "requested by an operator",
        Cause::Unmanaged => "unmanaged, and the policy retires such tokens",
        Cause::Dead => "expired, and its slot is needed",
        Cause::Lingering => "deleted before, but still listed",
    };
    let used = view::retiring_use(record, retiring).map_or_else(
        || "no recorded use".to_owned(),
        |at| format!("last used {}", relative(at, now)),
    );
    let is_previous = matches!(retiring.cause, Cause::Superseded);
    let being_deleted =
        if retiring.state.announced_at().is_some() { " It is being deleted." } else { "" };
    if !is_previous || record.condemned.contains(id) || !being_deleted.is_empty() {
        let what = if is_previous { "The previous token" } else { "Token" };
        return format!("{what} {id} will be revoked: {cause}; {used}.{being_deleted}");
    }
    format!(
        "The previous token {id} is superseded and still valid; {used}. {}",
        waits(policy, record, retiring, now)
    )
}

/// What a previous token waits for before it is revoked.
fn waits(policy: &Policy, record: &Record, retiring: &Retiring, now: Timestamp) -> String {
    if policy.terms.mode == Mode::Observe {
        return "It is not revoked with mode = \"observe\".".to_owned();
    }
    if retiring.on_evidence && !policy.capabilities.last_used {
        return "It is kept until an operator revokes it: the provider does not report when tokens were used."
            .to_owned();
    }
    let evidence = Awaited::of(record, retiring).map(|awaited| once(&awaited, now));
    let behind =
        |mark| evidence.as_ref().map(|words| format!("{mark} {words}")).unwrap_or_default();
    let ends = view::overlap_ends(retiring).map(|end| end + view::GRAIN);
    let told = match ends {
        None => {
            let begins = "Its overlap begins when every sink has the new token";
            format!("{begins}; it will be revoked after that{}", behind(","))
        }
        Some(end) if is_past(end, now) => {
            format!("Its overlap ended at {}; it will be revoked{}", moment(end, now), behind(""))
        }
        Some(end) if evidence.is_none() => {
            format!("It will be revoked when its overlap ends at {}", moment(end, now))
        }
        Some(end) => {
            let ends = moment(end, now);
            format!("Its overlap ends at {ends}; it will be revoked after that{}", behind(","))
        }
    };
    let there = record.believed_clock().to_provider(now);
    let earliest = ends.map_or(there, |end| end.max(there));
    let held = hold::held_at(policy, record, earliest).map(|(free, hold)| {
        let (what, at) = match (hold.reason, &record.pause) {
            _ if free != hold.until => ("the pause and the freeze end", moment(free, now)),
            // It was asked for by our clock.
            (Reason::Paused, Some(pause)) => ("the pause ends", moment(pause.until, now)),
            _ => ("the freeze ends", moment(free, now)),
        };
        format!("; not before {what} at {at}")
    });
    format!("{told}{}.", held.unwrap_or_default())
}

/// What the policy asks for beside the overlap, and how long it waits for that at most.
fn once(awaited: &Awaited, now: Timestamp) -> String {
    let latest = match awaited.latest {
        Some(at) => format!("by {} at the latest", moment(at, now)),
        None if awaited.latest_is_unset => {
            "however long that takes (`revoke_at_latest` is not set)".to_owned()
        }
        None => "however long that takes".to_owned(),
    };
    format!("once {}, {latest}", awaited.words())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;

    use super::*;
    use crate::rotation::{
        fixture::{self, now},
        freeze::{Freeze, LocalSpan},
        pause::Pause,
    };

    fn told(policy: &Policy, record: &Record) -> String {
        leaving(policy, record, &record.retiring[0], now())
    }

    #[test]
    fn what_a_previous_token_waits_for_is_one_sentence() {
        let ends = "Its overlap ends at 2026-11-22 04:01 UTC (in 60 s); it will be revoked after that, \
            once the new token has been used, ";
        for (after_use, at_latest, expected) in [
            (
                false,
                None,
                "It will be revoked when its overlap ends at 2026-11-22 04:01 UTC (in 60 s).",
            ),
            (
                true,
                None,
                &format!("{ends}however long that takes (`revoke_at_latest` is not set)."),
            ),
            (
                true,
                Some(Duration::from_secs(7_200)),
                &format!("{ends}by 2026-11-22 05:59 UTC (in 2 h) at the latest."),
            ),
        ] {
            let mut record = fixture::rotated();
            record.retiring[0].retire.after_use = after_use;
            record.retiring[0].retire.at_latest = at_latest;
            let told = told(&fixture::policy(), &record);
            assert!(told.starts_with("The previous token tok_old is superseded"), "{told}");
            assert!(told.ends_with(expected), "{told}");
        }
    }

    #[test]
    fn a_pause_and_a_freeze_hold_a_revocation_back() {
        let mut record = fixture::rotated();
        record.retiring[0].retire.after_use = false;
        let until = now() + TimeDelta::hours(2);
        let (by, reason) = ("alice".to_owned(), "CHG-1".to_owned());
        record.pause = Some(Pause { since: now(), until, by, reason });
        let mut policy = fixture::policy();
        let pause = told(&policy, &record);
        let ends = "ends at 2026-11-22 04:01 UTC (in 60 s); not before";
        assert!(pause.contains(&format!("{ends} the pause ends at 2026-11-22 06:00")), "{pause}");
        let span = LocalSpan::parse("2026-11-22T05:00/2026-11-22T09:00").unwrap();
        policy.terms.freeze = Freeze::new(&[span], chrono_tz::Tz::UTC);
        let both = told(&policy, &record);
        let until_nine = " the pause and the freeze end at 2026-11-22 09:00";
        assert!(both.contains(&format!("{ends}{until_nine}")), "{both}");
        record.pause = None;
        let before = told(&policy, &record);
        assert!(!before.contains("not before"), "the overlap ends before the freeze: {before}");
        record.retiring[0].retire.overlap += Duration::from_secs(3_600);
        let frozen = told(&policy, &record);
        assert!(frozen.contains("; not before the freeze ends at 2026-11-22 09:00"), "{frozen}");
    }

    #[test]
    fn what_is_kept_in_any_case_is_not_said_to_go() {
        let (mut policy, mut record) = (fixture::policy(), fixture::rotated());
        record.retiring[0].on_evidence = true;
        policy.capabilities.last_used = true;
        let used = told(&policy, &record);
        assert!(used.ends_with(", however long that takes."), "{used}");
        policy.capabilities.last_used = false;
        let unseen = told(&policy, &record);
        assert!(unseen.contains("It is kept until an operator revokes it"), "{unseen}");
        policy.terms.mode = Mode::Observe;
        let observed = told(&policy, &record);
        assert!(observed.ends_with("It is not revoked with mode = \"observe\"."), "{observed}");
    }
}
