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
        user_scopes: None,
        read_scope: None,
        names: false,
        id_in_value: false,
        default_scopes: std::collections::BTreeSet::new(),
    };
    accepted(text, warnings).connections[0].policy(capabilities.into(), HOUR)
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
    assert_eq!(policy.terms.token_lifetime, Some(30 * DAY));
    assert_eq!(share(policy.terms.rotate_before), Some(0.33));
    assert_eq!(policy.terms.max_age, None);
    assert!(policy.terms.schedule.is_none());
    assert_eq!(policy.terms.retire.overlap, DAY);
    assert!(policy.terms.retire.after_use, "the sandbox tells when tokens were used");
    assert_eq!((policy.terms.retire.when_idle, policy.terms.retire.at_latest), (None, None));
    assert_eq!(policy.terms.scopes, ScopePolicy::InheritOrDefault);
    assert_eq!(policy.terms.verify, Verify::Read);
    assert_eq!(policy.terms.mode, Mode::Rotate);
    assert_eq!(policy.terms.unmanaged, Unmanaged::Report);
    assert_eq!(policy.terms.on_drift, OnDrift::Report);
    assert_eq!(policy.survey_interval, HOUR);
}

#[test]
fn every_key_of_a_policy() {
    let policy = policy(
        &connection(
            "scopes = [\"get:users\", \"get:groups\"]\ntoken_lifetime = \"30d\"\n\
             rotate_before = \"10d\"\nmax_age = \"90d\"\nschedule = \"0 3 * * Mon-Fri\"\n\
             timezone = \"Europe/Berlin\"\nwindow = \"4h\"\nfreeze = [\"2099-12-24\"]\n\
             overlap = \"24h\"\nrevoke_after_use = true\n\
             revoke_when_idle = \"2h\"\nrevoke_at_latest = \"72h\"\nverify = \"off\"\n\
             mode = \"observe\"\nunmanaged = \"retire\"\non_drift = \"restore\"\n",
        ),
        &[],
    );
    let ScopePolicy::Exactly(scopes) = &policy.terms.scopes else {
        panic!("{policy:?}");
    };
    assert_eq!(scopes.len(), 2);
    assert_eq!(policy.terms.rotate_before, Some(Lead::Fixed(10 * DAY)));
    assert_eq!(policy.terms.max_age, Some(90 * DAY));
    assert!(policy.terms.schedule.is_some());
    assert!(policy.terms.retire.after_use);
    assert_eq!(policy.terms.retire.when_idle, Some(2 * HOUR));
    assert_eq!(policy.terms.retire.at_latest, Some(72 * HOUR));
    assert_eq!(policy.terms.verify, Verify::Off);
    assert_eq!(policy.terms.mode, Mode::Observe);
    assert_eq!(policy.terms.unmanaged, Unmanaged::Retire);
    assert_eq!(policy.terms.on_drift, OnDrift::Restore);
}

#[test]
fn defaults_hold_until_a_connection_says_otherwise() {
    let text = format!(
        "{HEAD}[defaults]\ntoken_lifetime = \"20d\"\nrotate_before = \"40%\"\noverlap = \"1h\"\n\
         verify = \"off\"\n{CONNECTION}overlap = \"2h\"\n"
    );
    let policy = policy(&text, &[]);
    assert_eq!(policy.terms.token_lifetime, Some(20 * DAY));
    assert_eq!(share(policy.terms.rotate_before), Some(0.4));
    assert_eq!(policy.terms.retire.overlap, 2 * HOUR);
    assert_eq!(policy.terms.verify, Verify::Off);
}

#[test]
fn a_proof_by_writing_needs_scopes_that_leave_nobody_behind() {
    let with = |scopes: &str, mark: &str| {
        let keys = format!("{scopes}token_lifetime = \"30d\"\nverify = {mark}\"write\"\n");
        connection(&keys)
    };
    for scopes in [
        "",
        "scopes = \"inherit\"\n",
        "scopes = [\"get:users\", \"post:users\", \"delete:users\"]\n",
    ] {
        let policy = policy(&with(scopes, ""), &[]);
        assert_eq!(policy.terms.verify, Verify::Write, "{scopes}");
    }
    refused(
        &with("scopes = [\"get:users\", \"put:users\"]\n", "«"),
        "`verify = \"write\"` creates, finds and deletes a user, and `scopes` does not allow that: it \
         lacks \"post:users\", \"delete:users\"",
        "add \"post:users\", \"delete:users\" to scopes, or write verify = \"read\"",
    );
    refused(
        &with("scopes = [\"post:users\", \"delete:users\"]\n", "«"),
        "`verify = \"write\"` creates, finds and deletes a user, and `scopes` does not allow that: it \
         lacks \"get:users\"",
        "add \"get:users\" to scopes, or write verify = \"read\"",
    );
}

#[test]
fn a_schedule_alone_makes_every_tick_due() {
    let nightly = "schedule = \"0 3 * * *\"\noverlap = \"1h\"\n";
    let lead = |keys: &str| {
        let text = connection(&format!("{nightly}{keys}"));
        policy(&text, &[]).terms.rotate_before
    };
    assert_eq!(lead(""), None);
    assert_eq!(lead("token_lifetime = \"30d\"\n"), None);
    assert_eq!(share(lead("token_lifetime = \"30d\"\nmax_age = \"9d\"\n")), Some(0.33));
    assert_eq!(share(lead("token_lifetime = \"30d\"\nrotate_before = \"20%\"\n")), Some(0.2));
}

#[test]
fn a_policy_under_which_nothing_is_due_is_refused() {
    let message = "under this policy no rotation ever becomes due: the token does not expire";
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
        "with `rotate_before` (33%, from [defaults]) the schedule only says when a rotation may \
         start: set token_lifetime or max_age, or remove rotate_before so that every tick is due",
    );
}

#[test]
fn half_a_life_or_more_is_refused() {
    refused(
        &connection("token_lifetime = \"30d\"\nrotate_before = «\"15d\"\n"),
        "`rotate_before` (15d) is half of the token's lifetime or more",
        "set rotate_before to less than 15d, or raise token_lifetime",
    );
    refused(
        &connection("token_lifetime = \"30d\"\nrotate_before = «\"50%\"\n"),
        "`rotate_before` (50% of 30d: 15d) is half of the token's lifetime or more",
        "set rotate_before to less than 50%, or raise token_lifetime",
    );
    refused(
        &connection("token_lifetime = «\"20d\"\n")
            .replace("[[conn", "[defaults]\nrotate_before = \"10d\"\n[[conn"),
        "`rotate_before` (10d, from [defaults]) is half of the token's lifetime or more",
        "set rotate_before to less than 10d, or raise token_lifetime",
    );
    accepted(&connection("token_lifetime = \"30d\"\nrotate_before = \"14d\"\n"), &[]);
    for bad in ["0%", "100%", "101%", "-5%"] {
        refused(
            &connection(&format!("token_lifetime = \"30d\"\nrotate_before = «\"{bad}\"\n")),
            "`rotate_before` must be more than 0% and less than 50%",
            "write a share of the token's lifetime such as \"33%\"",
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
        "`revoke_at_latest` (1h) is shorter than `overlap` (1d, the default), which always \
         applies",
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
            "scimitar.toml:17:20: `revoke_at_latest` has no effect: no usage condition is \
             configured | set revoke_after_use or revoke_when_idle, or leave it out",
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
fn rotations_that_come_too_fast_are_a_warning() {
    accepted(
        &connection("max_age = \"10m\"\noverlap = \"5m\"\n"),
        &[
            "scimitar.toml:14:11: a token is due 10m after it was created, and a connection gets at \
           most one new token in 15m: rotations will be late | make that at least 15m, by token_lifetime, \
           max_age or schedule",
        ],
    );
    accepted(&connection("max_age = \"15m\"\noverlap = \"5m\"\n"), &[]);
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

#[test]
fn a_freeze_is_read_in_the_time_zone_of_the_policy() {
    let text = "token_lifetime = \"90d\"\ntimezone = \"Europe/Berlin\"\n\
                freeze = [\"2099-12-24/2099-12-26\", \"2099-12-26/2099-12-27\", \"2001-01-01/2001-12-31\"]\n";
    let freeze = policy(&connection(text), &[]).terms.freeze.clone();
    let at = |text| scimitar::clock::parse_timestamp(text).unwrap();
    let span = freeze.at(at("2099-12-25T12:00:00Z")).unwrap();
    assert_eq!(span.from, at("2099-12-23T23:00:00Z"));
    assert_eq!(span.until, at("2099-12-27T23:00:00Z"), "what overlaps is one");
    assert_eq!(freeze.at(at("2099-12-23T22:59:59Z")), None);
}

#[test]
fn a_freeze_of_the_defaults_holds_until_a_connection_says_none() {
    let text =
        format!("{HEAD}[defaults]\nmax_age = \"90d\"\nfreeze = [\"2099-12-24\"]\n{CONNECTION}");
    let at = scimitar::clock::parse_timestamp("2099-12-24T12:00:00Z").unwrap();
    assert!(policy(&text, &[]).terms.freeze.at(at).is_some());
    let none = format!("{text}freeze = []\n");
    assert!(policy(&none, &[]).terms.freeze.at(at).is_none());
}

#[test]
fn a_freeze_that_names_no_time_is_refused_at_its_place() {
    let hint = "write a day (\"2026-12-24\"), both days of an interval (\"2026-12-20/2027-01-02\"), or \
                times (\"2026-12-31T18:00/2027-01-01T06:00\"); they are read in `timezone`";
    for (wrong, why) in [
        ("christmas", "it is neither a date nor an interval of dates"),
        ("2027-01-02/2026-12-20", "it ends before it begins"),
        ("2026-12-20/P14D", "it has a duration; both ends must be dates or times"),
        ("2026-12-20T00:00Z/2026-12-21", "it has a UTC offset; times are read in `timezone`"),
    ] {
        let text = format!("max_age = \"90d\"\nfreeze = [\"2026-12-24\", «\"{wrong}\"]\n");
        refused(&connection(&text), &format!("`freeze` cannot be \"{wrong}\": {why}"), hint);
    }
}

#[test]
fn a_freeze_in_which_tokens_run_out_is_refused() {
    let year_end = "freeze = «[\"2099-12-20/2100-01-02\"]\n";
    // 14 days, and a day for the rotation behind it.
    refused(
        &connection(&format!("token_lifetime = \"30d\"\nrotate_before = \"14d\"\n{year_end}")),
        "the `freeze` from 2099-12-20 00:00 UTC until 2100-01-03 00:00 UTC (14d) is too long for \
         `rotate_before` (14d): a token could expire during it, and is then rotated anyway",
        "shorten it, set rotate_before to at least 15d (and token_lifetime to more than twice that), or \
         write freeze = [] for this connection",
    );
    let plain = year_end.replace('«', "");
    accepted(
        &connection(&format!("token_lifetime = \"31d\"\nrotate_before = \"15d\"\n{plain}")),
        &[],
    );
    // What is over counts no more, what does not expire can wait, and ticks alone are counted too.
    accepted(&connection("token_lifetime = \"30d\"\nfreeze = [\"2001-01-01/2001-12-31\"]\n"), &[]);
    accepted(&connection(&format!("max_age = \"90d\"\n{plain}")), &[]);
    refused(
        &connection(&format!(
            "token_lifetime = \"15d\"\nschedule = \"0 3 * * *\"\noverlap = \"1h\"\n{year_end}"
        )),
        "the `freeze` from 2099-12-20 00:00 UTC until 2100-01-03 00:00 UTC (14d) is too long for \
         `token_lifetime` (15d): a token could expire during it, and is then rotated anyway",
        "shorten it, or set token_lifetime to more than 16d",
    );
}

#[test]
fn a_window_is_longer_than_its_jitter_and_needs_a_schedule() {
    let nightly = "token_lifetime = \"30d\"\nschedule = \"0 3 * * *\"\n";
    let kept = policy(&connection(&format!("{nightly}window = \"4h\"\n")), &[]);
    let at = |text| scimitar::clock::parse_timestamp(text).unwrap();
    let schedule = kept.terms.schedule.clone().unwrap();
    assert_eq!(schedule.opens(at("2099-12-24T06:59:59Z")), None);
    assert!(schedule.opens(at("2099-12-24T07:00:00Z")).is_some());
    refused(
        &connection(&format!("{nightly}jitter = \"1h\"\nwindow = «\"1h\"\n")),
        "`window` (1h) is not longer than `jitter` (1h): connections would miss their windows",
        "set window to more than 1h, or jitter to less than 1h",
    );
    accepted(
        &connection("max_age = \"30d\"\nwindow = \"4h\"\n"),
        &[
            "scimitar.toml:15:10: `window` has no effect without `schedule` | set a schedule, or leave it out",
        ],
    );
    accepted(
        &connection(&format!("{nightly}window = \"24h\"\n")),
        &[
            "scimitar.toml:16:10: `window` has no effect: it is as long as the longest time between two \
           ticks of `schedule` (1d) | set it to less than 1d, or leave it out",
        ],
    );
}
