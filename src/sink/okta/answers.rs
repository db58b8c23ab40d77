//! What an answer of Okta means: the class that decides what is done about it.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    error::{Class, Code, Fault},
    http::{Reply, quote},
    sink::rules::Effect,
};

/// The longest pause that Okta is taken at its word for; its limits are by the minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The error of what is not there.
const MISSING: &str = "E0000007";

/// An error in Okta's own words.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    error_code: String,
    #[serde(default)]
    error_summary: String,
    #[serde(default)]
    error_causes: Vec<Cause>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cause {
    #[serde(default)]
    error_summary: String,
}

impl Said {
    /// What it was refused for, in one line; `hidden` shows up in none.
    fn words(&self, hidden: &[&str]) -> String {
        let causes = self.error_causes.iter().map(|cause| quote(&cause.error_summary, hidden));
        let all: Vec<String> =
            [quote(&self.error_summary, hidden)].into_iter().chain(causes).collect();
        let said: Vec<&str> = all
            .iter()
            .map(|text| text.trim_end_matches('.'))
            .filter(|text| !text.is_empty())
            .collect();
        if said.is_empty() { "no reason given".to_owned() } else { said.join("; ") }
    }

    /// Whether the application has no provisioning, so that there is nothing that could keep a token.
    fn lacks_provisioning(&self) -> bool {
        let causes = self.error_causes.iter().map(|cause| &cause.error_summary);
        [&self.error_summary]
            .into_iter()
            .chain(causes)
            .any(|text| text.contains("Provisioning is not enabled"))
    }
}

/// How long Okta asks to be left alone: `Retry-After`, else until the moment in `X-Rate-Limit-Reset`.
pub(super) fn pause(reply: &Reply) -> Option<Duration> {
    let pause = reply.retry_after().or_else(|| reply.until("x-rate-limit-reset"));
    pause.map(|pause| pause.min(LONGEST_PAUSE))
}

/// Whether Okta itself says that there is nothing of that name.
pub(super) fn says_missing(reply: &Reply) -> bool {
    reply.status == 404 && reply.json::<Said>().is_ok_and(|said| said.error_code == MISSING)
}

/// Any answer but a good one; `not_accepted` is what to do where the log-in was not, `hidden` shows up in no
/// words.
pub(super) fn refused(
    operation: &str,
    reply: &Reply,
    effect: Effect,
    not_accepted: &str,
    hidden: &[&str],
) -> Fault {
    let status = reply.status;
    let fault = |class, code, words: String| Fault::new(operation, class, code, words);
    let Some(said) = reply.json::<Said>().ok() else {
        let (class, code) = match status {
            429 => (Class::Transient, Code::Throttled),
            300..=399 | 408 => (effect.lost(), Code::Unreadable),
            400..=499 => (Class::Transient, Code::Unreadable),
            _ => (effect.lost(), Code::Unavailable),
        };
        let words = format!(
            "answered {status} without an Okta error: a proxy or load balancer answered, so nothing \
             is known about the application; check `org_url`"
        );
        return fault(class, code, words).retry_after(pause(reply));
    };
    let name = quote(&said.error_code, hidden);
    let with = |then: &str| format!("answered {status} {name}: {}{then}", said.words(hidden));
    let known = said.error_code.as_str();
    match (known, status) {
        ("E0000047", _) | (_, 429) => {
            fault(Class::Transient, Code::Throttled, with("")).retry_after(pause(reply))
        }
        ("E0000011", _) | (_, 401) => {
            fault(Class::Terminal, Code::Unauthorized, with(not_accepted))
        }
        ("E0000006", _) | (_, 403) => {
            let then = "; `scimitar permissions` prints what is needed";
            fault(Class::Terminal, Code::Forbidden, with(then))
        }
        (MISSING, _) | (_, 404) => fault(
            Class::Terminal,
            Code::Invalid,
            with(
                "; app_id is the part of the application's address in the Admin Console that begins with 0oa",
            ),
        ),
        ("E0000001", _) if said.lacks_provisioning() => fault(
            Class::Terminal,
            Code::Invalid,
            with("; switch the API integration on in the application's Provisioning tab first"),
        ),
        // Okta tries a token before it switches its connection on, and does not say whether it keeps one that
        // failed.
        ("E0000001", _) if effect == Effect::Writes => fault(
            Class::Ambiguous,
            Code::Invalid,
            with("; Okta does not confirm that it kept the token, so the previous one is kept"),
        ),
        (_, 500..=599) => fault(effect.lost(), Code::Unavailable, with("")),
        _ => fault(Class::Terminal, Code::Invalid, with("")),
    }
}
