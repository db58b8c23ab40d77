//! Policies: what they come to, and which contradict themselves.

use std::time::Duration;

use scimitar::rotation::policy::{
    Capabilities, Lead, Mode, OnDrift, Policy, ScopePolicy, Unmanaged, Verify,
};

use super::support::{CONNECTION, HEAD, accepted, refused};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn connection(keys: &str) -> String {
    format!("{HEAD}{CONNECTION}{keys}")
}

fn policy(text: &str, warnings: &[&str]) -> Policy {
    let capabilities = Capabilities {
        cap: Some(2),
        shortest_life: Some(Duration::from_secs(901)),
        life_step: Duration::from_secs(1),
        last_used: true,
        scopes: true,
        read_scope: None,
        names: false,
        id_in_value: false,
        default_scopes: std::collections::BTreeSet::new(),
    };
    accepted(text, warnings).connections[0].policy(capabilities, HOUR)
}

fn share(lead: Option<Lead>) -> Option<f64> {
    match lead? {
        Lead::Share(share) => Some(share.get()),
        Lead::Fixed(_) => None,
    }
}

#[test]
fn the_defaults_of_a_policy() {
    let policy = policy(&connection("token_lifetime = \"30d\"\n"), &[]);
    assert_eq!(policy.key.to_string(), "sandbox:box/con_okta000000000001");
    assert_eq!(policy.token_lifetime, Some(30 * DAY));
    assert_eq!(share(policy.rotate_before), Some(0.33));
    assert_eq!(policy.max_age, None);
    assert!(policy.schedule.is_none());
    assert_eq!(policy.retire.overlap, DAY);
    assert!(policy.retire.after_use, "the sandbox tells when tokens were used");
    assert_eq!((policy.retire.when_idle, policy.retire.at_latest), (None, None));
    assert_eq!(policy.scopes, ScopePolicy::InheritOrDefault);
    assert_eq!(policy.verify, Verify::Read);
    assert_eq!(policy.mode, Mode::Rotate);
    assert_eq!(policy.unmanaged, Unmanaged::Report);
    assert_eq!(policy.on_drift, OnDrift::Report);
    assert_eq!(policy.survey_interval, HOUR);
}

#[test]
fn every_key_of_a_policy() {
    let policy = policy(
        &connection(
            "scopes = [\"get:users\", \"get:groups\"]\ntoken_lifetime = \"30d\"\n\
             rotate_before = \"10d\"\nmax_age = \"90d\"\nschedule = \"0 3 * * Mon-Fri\"\n\
             timezone = \"Europe/Berlin\"\noverlap = \"24h\"\nrevoke_after_use = true\n\
             revoke_when_idle = \"2h\"\nrevoke_at_latest = \"72h\"\nverify = \"off\"\n\
             mode = \"observe\"\nunmanaged = \"retire\"\non_drift = \"restore\"\n",
        ),
        &[],
    );
    let ScopePolicy::Exactly(scopes) = &policy.scopes else {
        panic!("{policy:?}");
    };
    assert_eq!(scopes.len(), 2);
    assert_eq!(policy.rotate_before, Some(Lead::Fixed(10 * DAY)));
    assert_eq!(policy.max_age, Some(90 * DAY));
    assert!(policy.schedule.is_some());
    assert!(policy.retire.after_use);
    assert_eq!(policy.retire.when_idle, Some(2 * HOUR));
    assert_eq!(policy.retire.at_latest, Some(72 * HOUR));
    assert_eq!(policy.verify, Verify::Off);
    assert_eq!(policy.mode, Mode::Observe);
    assert_eq!(policy.unmanaged, Unmanaged::Retire);
    assert_eq!(policy.on_drift, OnDrift::Restore);
}

#[test]
fn defaults_hold_until_a_connection_says_otherwise() {
    let text = format!(
        "{HEAD}[defaults]\ntoken_lifetime = \"20d\"\nrotate_before = \"40%\"\noverlap = \"1h\"\n\
         verify = \"off\"\n{CONNECTION}overlap = \"2h\"\n"
    );
    let policy = policy(&text, &[]);
    assert_eq!(policy.token_lifetime, Some(20 * DAY));
    assert_eq!(share(policy.rotate_before), Some(0.4));
    assert_eq!(policy.retire.overlap, 2 * HOUR);
    assert_eq!(policy.verify, Verify::Off);
}

#[test]
fn a_schedule_alone_makes_every_tick_due() {
    let nightly = "schedule = \"0 3 * * *\"\noverlap = \"1h\"\n";
    let lead = |keys: &str| {
        let text = connection(&format!("{nightly}{keys}"));
        policy(&text, &[]).rotate_before
    };
    assert_eq!(lead(""), None);
    assert_eq!(lead("token_lifetime = \"30d\"\n"), None);
    assert_eq!(share(lead("token_lifetime = \"30d\"\nmax_age = \"9d\"\n")), Some(0.33));
    assert_eq!(share(lead("token_lifetime = \"30d\"\nrotate_before = \"20%\"\n")), Some(0.2));
}

#[test]
fn a_policy_under_which_nothing_is_due_is_refused() {
    let message = "under this policy nothing ever becomes due: the token does not expire";
    let marked = connection("").replace("name = ", "name = «");
    refused(&marked, message, "set token_lifetime = \"30d\", max_age = \"90d\", or a schedule");
    refused(
        &format!("{marked}rotate_before = \"10d\"\n"),
        message,
        "set token_lifetime = \"30d\", max_age = \"90d\", or a schedule",
    );
    refused(
        &format!("{marked}schedule = \"0 3 * * *\"\n")
            .replace("[[conn", "[defaults]\nrotate_before = \"33%\"\n[[conn"),
        message,
        "beside `rotate_before` (33%, from [defaults]) the schedule only says when a rotation may \
         start: set token_lifetime or max_age, or leave rotate_before out so that every tick is due",
    );
}

#[test]
fn half_a_life_or_more_is_refused() {
    refused(
        &connection("token_lifetime = \"30d\"\nrotate_before = «\"15d\"\n"),
        "`rotate_before` (15d) is half of the token's life or more",
        "set rotate_before to less than 15d, or raise token_lifetime",
    );
    refused(
        &connection("token_lifetime = \"30d\"\nrotate_before = «\"50%\"\n"),
        "`rotate_before` (50% of 30d: 15d) is half of the token's life or more",
        "set rotate_before to less than 50%, or raise token_lifetime",
    );
    refused(
        &connection("token_lifetime = «\"20d\"\n")
            .replace("[[conn", "[defaults]\nrotate_before = \"10d\"\n[[conn"),
        "`rotate_before` (10d, from [defaults]) is half of the token's life or more",
        "set rotate_before to less than 10d, or raise token_lifetime",
    );
    accepted(&connection("token_lifetime = \"30d\"\nrotate_before = \"14d\"\n"), &[]);
    for bad in ["0%", "100%", "101%", "-5%"] {
        refused(
            &connection(&format!("token_lifetime = \"30d\"\nrotate_before = «\"{bad}\"\n")),
            "`rotate_before` must be more than 0% and less than 50%",
            "write a share of the token's life such as \"33%\"",
        );
    }
    refused(
        &connection("token_lifetime = \"30d\"\nrotate_before = «\"soon\"\n"),
        "`rotate_before` is neither a duration nor a share",
        "write a duration such as \"10d\" or a share such as \"33%\"",
    );
}

#[test]
fn a_gap_longer_than_the_lead_is_refused() {
    refused(
        &connection(
            "token_lifetime = \"30d\"\nrotate_before = \"5d\"\nschedule = «\"0 3 * * Mon\"\n",
        ),
        "`schedule` leaves up to 7d between two ticks, longer than `rotate_before` (5d)",
        "let it tick at least every 5d, or set rotate_before to at least 7d (and token_lifetime to \
         more than twice that)",
    );
    accepted(
        &connection(
            "token_lifetime = \"30d\"\nrotate_before = \"7d\"\nschedule = \"0 3 * * Mon\"\n",
        ),
        &[],
    );
    refused(
        &connection("token_lifetime = \"7d\"\nschedule = «\"0 3 * * Mon\"\n"),
        "`schedule` leaves up to 7d between two ticks: a token with `token_lifetime` (7d) would \
         expire before the next",
        "let it tick more often, or set token_lifetime to well over 7d",
    );
    accepted(&connection("token_lifetime = \"8d\"\nschedule = \"0 3 * * Mon\"\n"), &[]);
}

#[test]
fn a_schedule_that_is_none_is_refused_at_its_place() {
    let bench = super::support::Bench::new();
    let (text, line, column) = super::support::unmarked(&connection(
        "token_lifetime = \"30d\"\nschedule = «\"99 3 * * *\"\n",
    ));
    let problems = bench.problems(&text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with(&format!("scimitar.toml:{line}:{column}: `schedule`: ")),
        "{problems:?}"
    );
}

#[test]
fn a_schedule_in_the_defaults_is_checked_even_if_unused() {
    let bench = super::support::Bench::new();
    for keys in ["schedule = \"never\"\n", "timezone = \"Mars\"\n"] {
        let problems = bench.problems(&format!("[defaults]\n{keys}"));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("scimitar.toml:2:12: "), "{problems:?}");
    }
}

#[test]
fn an_overlap_longer_than_the_lead_is_refused() {
    refused(
        &connection("token_lifetime = \"30d\"\nrotate_before = \"1d\"\noverlap = «\"2d\"\n"),
        "`overlap` (2d) is longer than `rotate_before` (1d)",
        "set overlap to at most 1d, or raise rotate_before or token_lifetime",
    );
    refused(
        &connection("token_lifetime = «\"2h\"\n"),
        "`overlap` (1d, the default) is longer than `rotate_before` (33% of 2h: 39m 36s, the \
         default)",
        "set overlap to at most 39m 36s, or raise rotate_before or token_lifetime",
    );
    refused(
        &connection(
            "token_lifetime = \"30d\"\nrotate_before = \"2d\"\nrevoke_at_latest = «\"3d\"\n\
             revoke_after_use = true\n",
        ),
        "`revoke_at_latest` (3d) is longer than `rotate_before` (2d)",
        "set revoke_at_latest to at most 2d, or raise rotate_before or token_lifetime",
    );
    accepted(
        &connection("token_lifetime = \"30d\"\nrotate_before = \"2d\"\noverlap = \"2d\"\n"),
        &[],
    );
}

#[test]
fn an_overlap_longer_than_the_time_between_rotations_is_refused() {
    refused(
        &connection("schedule = \"0 */6 * * *\"\noverlap = «\"8h\"\n"),
        "`overlap` (8h) is longer than the shortest time between two rotations (6h)",
        "set overlap to at most 6h, or rotate less often",
    );
    refused(
        &connection("schedule = «\"0 */6 * * *\"\n"),
        "`overlap` (1d, the default) is longer than the shortest time between two rotations (6h)",
        "set overlap to at most 6h, or rotate less often",
    );
    refused(
        &connection("max_age = \"5d\"\nrevoke_at_latest = «\"6d\"\nrevoke_when_idle = \"1h\"\n"),
        "`revoke_at_latest` (6d) is longer than the shortest time between two rotations (5d)",
        "set revoke_at_latest to at most 5d, or rotate less often",
    );
    // The schedule only delays: once a week at most, though the age alone would be due before.
    accepted(&connection("max_age = \"2d\"\nschedule = \"0 3 * * Mon\"\noverlap = \"1d\"\n"), &[]);
}

#[test]
fn an_age_within_the_overlap_is_refused() {
    refused(
        &connection("max_age = «\"1d\"\n"),
        "`max_age` (1d) is not longer than `overlap` (1d, the default)",
        "set max_age to more than 1d, or overlap to less than 1d",
    );
    refused(
        &connection("overlap = «\"3d\"\n")
            .replace("[[conn", "[defaults]\nmax_age = \"2d\"\n[[conn"),
        "`max_age` (2d, from [defaults]) is not longer than `overlap` (3d)",
        "set max_age to more than 3d, or overlap to less than 2d",
    );
}

#[test]
fn a_latest_moment_before_the_overlap_ends_is_refused() {
    refused(
        &connection(
            "token_lifetime = \"30d\"\nrevoke_after_use = true\nrevoke_at_latest = «\"1h\"\n",
        ),
        "`revoke_at_latest` (1h) is shorter than `overlap` (1d, the default), which holds in any \
         case",
        "set revoke_at_latest to at least 1d, or lower overlap",
    );
}

#[test]
fn what_has_no_effect_is_a_warning() {
    accepted(
        &connection(
            "max_age = \"30d\"\nrotate_before = \"10d\"\ntimezone = \"Asia/Tokyo\"\n\
             revoke_at_latest = \"3d\"\nrevoke_after_use = false\n",
        ),
        &[
            "scimitar.toml:15:17: `rotate_before` has no effect on tokens without \
             `token_lifetime`: they do not expire | set token_lifetime, or leave it out",
            "scimitar.toml:16:12: `timezone` has no effect without `schedule` | set a schedule, or \
             leave it out",
            "scimitar.toml:17:20: `revoke_at_latest` has no effect: no evidence is asked for that \
             could be missing | set revoke_after_use or revoke_when_idle, or leave it out",
        ],
    );
    // In [defaults] the same may be meant for other connections.
    accepted(
        &connection("max_age = \"30d\"\n").replace(
            "[[conn",
            "[defaults]\ntimezone = \"Asia/Tokyo\"\nrevoke_at_latest = \"3d\"\n[[conn",
        ),
        &[],
    );
}

#[test]
fn a_mistake_in_the_defaults_is_reported_once() {
    let text = format!(
        "{HEAD}[defaults]\noverlap = «\"1 day\"\n{CONNECTION}{}",
        CONNECTION
            .replace("\"one\"", "\"two\"")
            .replace("con_okta", "con_waad")
            .replace("one.token", "two.token")
    );
    refused(
        &text,
        "`overlap` is not a duration",
        "write a whole number and a unit: 90s, 15m, 24h, 30d or 2w",
    );
}

#[test]
fn a_jitter_that_would_make_rotations_late_is_refused() {
    let nightly = "token_lifetime = \"30d\"\nschedule = \"0 3 * * *\"\n";
    accepted(&connection(&format!("{nightly}rotate_before = \"2d\"\njitter = \"12h\"\n")), &[]);
    accepted(&connection(&format!("{nightly}rotate_before = \"1d\"\njitter = \"0s\"\n")), &[]);
    // The default never makes a rotation late, and needs no room.
    accepted(&connection(&format!("{nightly}rotate_before = \"1d\"\n")), &[]);
    refused(
        &connection(&format!("{nightly}rotate_before = \"1d\"\njitter = «\"30m\"\n")),
        "`jitter` (30m) and the longest time between two ticks (1d) are together longer than \
         `rotate_before` (1d)",
        "set jitter to at most 0s, or raise rotate_before",
    );
    refused(
        &connection("schedule = \"0 * * * *\"\noverlap = \"15m\"\njitter = «\"1h\"\n"),
        "`jitter` (1h) is not shorter than the shortest time between two ticks of `schedule` (1h)",
        "set jitter to less than 1h",
    );
    accepted(
        &connection("max_age = \"30d\"\njitter = \"5m\"\n"),
        &[
            "scimitar.toml:15:10: `jitter` has no effect without `schedule` | set a schedule, or leave \
           it out",
        ],
    );
}
