//! A provisioning job as Graph describes it (its resource type `synchronizationJob`), and what that says of
//! the token that it was given.

use chrono::TimeDelta;
use serde::Deserialize;

use crate::{
    clock::{Timestamp, parse_timestamp},
    http::quote,
    rotation::uptake::Account,
    words::date,
};

/// One job.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) id: String,
    #[serde(default)]
    pub(super) template_id: Option<String>,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    quarantine: Option<Quarantine>,
    #[serde(default)]
    last_execution: Option<Execution>,
    #[serde(default)]
    last_successful_execution: Option<Execution>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Quarantine {
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    current_began: Option<String>,
    #[serde(default)]
    next_attempt: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Execution {
    #[serde(default)]
    time_began: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    error: Option<Failure>,
}

#[derive(Clone, Debug, Deserialize)]
struct Failure {
    #[serde(default)]
    code: Option<String>,
}

/// A cycle that began no later than this after the token was given may have begun before: the moments are told by
/// different clocks.
const APART: TimeDelta = TimeDelta::minutes(2);

impl Execution {
    fn began(&self) -> Option<Timestamp> {
        parse_timestamp(self.time_began.as_deref()?)
    }
}

impl Job {
    /// Whether Entra has stopped trying, but for an attempt now and then.
    pub(super) fn is_in_quarantine(&self) -> bool {
        self.status.quarantine.is_some() || self.is("Quarantine")
    }

    /// Whether an administrator has stopped it.
    pub(super) fn is_paused(&self) -> bool {
        self.is("Paused")
    }

    fn is(&self, code: &str) -> bool {
        self.status.code.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(code))
    }

    /// What it says of a token that it was given at that moment, by the same clock.
    pub(super) fn account(&self, given: Timestamp) -> Account {
        let status = &self.status;
        if self.is_in_quarantine() {
            return Account::Stopped(quarantined(status.quarantine.as_ref()));
        }
        let succeeded = status.last_successful_execution.as_ref().and_then(Execution::began);
        if succeeded.is_some_and(|began| began > given + APART) {
            return Account::Uses;
        }
        if self.is_paused() {
            let words = "the provisioning job is paused: no users are provisioned until an \
                         administrator starts it";
            return Account::Waits(words.to_owned());
        }
        let failed = status.last_execution.as_ref().filter(|last| {
            let after = last.began().is_some_and(|began| began > given);
            after && last.state.as_deref() == Some("Failed")
        });
        let last = succeeded.map_or_else(
            || "none has succeeded yet".to_owned(),
            |began| format!("the last that succeeded began at {}", date(began)),
        );
        Account::Waits(match failed {
            Some(failed) => format!(
                "its last provisioning cycle failed ({}); {last}",
                reason(failed.error.as_ref())
            ),
            None => format!(
                "no provisioning cycle has succeeded since it received the token; {last}; cycles run every \
                 20 to 40 minutes"
            ),
        })
    }
}

fn quarantined(quarantine: Option<&Quarantine>) -> String {
    let text = |text: Option<&String>| text.map(|text| quote(text, &[]));
    let reason = text(quarantine.and_then(|it| it.reason.as_ref()));
    let time = |told: Option<&String>| {
        let at = told.and_then(|told| parse_timestamp(told)).map(date);
        at.or_else(|| text(told))
    };
    let since = time(quarantine.and_then(|it| it.current_began.as_ref()));
    let next = time(quarantine.and_then(|it| it.next_attempt.as_ref()));
    let part = |before: &str, text: Option<String>| {
        text.map_or_else(String::new, |text| format!("{before}{text}"))
    };
    format!(
        "the provisioning job is in quarantine{}{}{}: no users are provisioned, and leavers keep their access",
        part(" since ", since),
        part(", reason ", reason),
        part(", its next attempt is at ", next),
    )
}

/// The code alone: the words may quote a request, and with it the token.
fn reason(failure: Option<&Failure>) -> String {
    let code = failure.and_then(|it| it.code.as_ref());
    code.map_or_else(|| "no reason given".to_owned(), |code| quote(code, &[]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(status: &Value) -> Job {
        serde_json::from_value(json!({ "id": "job", "status": status })).unwrap()
    }

    #[test]
    fn only_a_cycle_that_began_later_and_succeeded_uses_the_token() {
        let given = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let executed = |at: &str| json!({ "timeBegan": at, "state": "Succeeded" });
        for (status, uses) in [
            (json!({}), false),
            (json!({ "lastSuccessfulExecution": executed("2026-11-22T04:00:00Z") }), false),
            // One of Microsoft's clocks may be behind another.
            (json!({ "lastSuccessfulExecution": executed("2026-11-22T04:01:59Z") }), false),
            (json!({ "lastSuccessfulExecution": executed("2026-11-22T04:02:01Z") }), true),
            (json!({ "lastSuccessfulExecution": executed("2026-11-22T04:02:01.5Z") }), true),
            (json!({ "lastSuccessfulExecution": executed("yesterday") }), false),
            (json!({ "lastExecution": executed("2026-11-22T05:00:00Z") }), false),
            (
                json!({ "code": "Active", "lastSuccessfulExecution": null, "quarantine": null }),
                false,
            ),
        ] {
            assert_eq!(job(&status).account(given) == Account::Uses, uses, "{status}");
        }
        let failed = json!({
            "code": "Active",
            "lastExecution": {
                "timeBegan": "2026-11-22T04:30:00Z",
                "state": "Failed",
                "error": { "code": "SystemForCrossDomainIdentityManagementCredentialValidationFailure",
                           "message": "401" },
            },
        });
        let Account::Waits(words) = job(&failed).account(given) else { panic!() };
        assert!(words.contains("ValidationFailure)") && !words.contains("401"), "{words}");
        let Account::Waits(words) = job(&json!({ "code": "Paused" })).account(given) else {
            panic!()
        };
        assert!(words.contains("paused"), "{words}");
    }

    #[test]
    fn a_quarantine_is_said_whatever_succeeded_before() {
        let given = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let status = json!({
            "code": "Quarantine",
            "lastSuccessfulExecution": { "timeBegan": "2026-11-22T05:00:00Z" },
            "quarantine": { "reason": "EncounteredQuarantineException",
                            "currentBegan": "2026-11-22T06:00:00Z",
                            "nextAttempt": "2026-11-22T12:00:00Z" },
        });
        let Account::Stopped(words) = job(&status).account(given) else { panic!() };
        assert!(words.contains("since 2026-11-22 06:00 UTC, reason EncounteredQ"), "{words}");
        assert!(job(&json!({ "code": "quarantine" })).is_in_quarantine());
    }
}
