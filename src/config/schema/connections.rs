//! `[[connections]]`, and the policy that `[defaults]` can say for all.

use serde_json::{Value, json};

use super::{
    super::policy::{all_scopes, shortest_life},
    CONNECTION_NAME, sinks,
};
use crate::{
    provider::{KINDS, config::FIRST, kind::ScopeWords},
    table::shape::{
        Keys, by_default, duration, duration_or_share, fitting, list, switch, table, text, word,
    },
};

/// `[defaults]`.
pub(super) fn defaults() -> Value {
    policy(table("Defaults for all connections; a connection's own value wins.")).build()
}

/// One of `[[connections]]`.
pub(super) fn connection() -> Value {
    const LABEL: &str = "The label in metrics, logs and results; unique. Safe to rename: state is keyed by connection ID.";
    let mut places = list("Where the token is delivered; at least one sink.", &sinks::delivery());
    places["minItems"] = json!(1);
    let keys = table("A connection whose tokens are rotated.")
        .must("name", fitting(LABEL, CONNECTION_NAME, "initech-okta"))
        .must("provider", text("One of the [providers].", "box"))
        .may("connection_id", connection_id())
        .may("scim_configuration", scim_configuration());
    policy(keys).must("deliver_to", places).build()
}

/// One of `[[discover]]`.
pub(super) fn discover() -> Value {
    const STRATEGY: &str =
        "Only connections of these strategies. Default: all strategies with SCIM.";
    const NAME: &str = "A regular expression that the connection's name, or a part of it, must match. Default: any name.";
    let mut places = list(
        "Where each token is delivered; {{ connection.name }} and {{ connection.id }} stand for the discovered \
         connection.",
        &sinks::delivery(),
    );
    places["minItems"] = json!(1);
    let mut strategies = list(STRATEGY, &text("A strategy.", "okta"));
    strategies["minItems"] = json!(1);
    let keys = table("One policy for every connection of a provider that matches.")
        .must("provider", text("One of the [providers].", "box"))
        .may("strategy", strategies)
        .may("name", text(NAME, "^cust-"))
        .may("scim_configuration", scim_configuration());
    policy(keys).must("deliver_to", places).build()
}

/// One of `[[watch]]`.
pub(super) fn watch() -> Value {
    const EXPIRY: &str = "When the token stops working: a day (its start in UTC), or a time with an \
                          offset.";
    const MOMENT: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?$";
    const LABEL: &str = "The label in metrics, logs and results; unique, also among connections.";
    const NOTICE: &str = "How long before expiry hooks run, once for each time; alerts begin at the longest. \
                          Default: 14d, 3d and 1d.";
    table("A token without a provider. It is not rotated: people are told before it expires.")
        .must("name", fitting(LABEL, CONNECTION_NAME, "initech-sso"))
        .must("expires_at", fitting(EXPIRY, MOMENT, "2099-03-01"))
        .may("owner", text("Who renews it.", "identity team"))
        .may("note", text("What else to know.", "tell #identity before"))
        .may(
            "link",
            text(
                "The page where it is renewed: https, without a user name or password.",
                "https://admin.example.com/scim#tokens",
            ),
        )
        .may("notify_before", list(NOTICE, &duration("A time before the end.", "14d")))
        .build()
}

/// What the first kind of provider with such a table says of it.
fn scim_configuration() -> Value {
    let configuration = KINDS.iter().find_map(|kind| kind.configuration);
    configuration.map_or_else(|| json!(false), |configuration| (configuration.schema)())
}

/// The ids that the kinds of provider have between them.
fn connection_id() -> Value {
    let (mut patterns, mut about) = (Vec::new(), "The connection at that provider:".to_owned());
    for ids in KINDS.map(|kind| kind.ids) {
        if !patterns.contains(&ids.pattern) {
            patterns.push(ids.pattern);
            about = format!("{about} {}", ids.about);
        }
    }
    fitting(&about, &format!("^({})$", patterns.join("|")), FIRST.ids.example)
}

fn policy(keys: Keys) -> Keys {
    let life = format!(
        "How long a token lives; more than {} s. Default: it does not expire.",
        shortest_life().as_secs() - 1
    );
    const LEAD: &str = "A token is due when less than this is left: a duration, or a share (below 50%) \
                        of the granted lifetime. Default: \"33%\", unless only a \
                        schedule is set.";
    const AGE: &str = "A token is due when it is older than this. Default: none.";
    const SCHEDULE: &str = "When a rotation may start: cron with 5 fields as crontab reads them, or 6 \
                            or 7 with seconds first and years last. Default: as soon as it is due.";
    const WINDOW: &str = "For how long after a tick of the schedule a rotation may start; otherwise it waits for \
                          the next tick. Default: no limit.";
    const FREEZE: &str = "Times without rotations and revocations, in the policy's time zone: days, intervals of days (inclusive), or \
                          intervals of times. A token that would expire is rotated anyway. Default: \
                          none.";
    const SPAN: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?(/[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?)?$";
    const OVERLAP: &str = "How long every sink must have held the new token before the previous one \
                           is revoked. Default: \"24h\".";
    const USED: &str = "… and until the new token has been used, not counting Scimitar's own probe. Default: \
                        true if the provider reports when tokens were used.";
    const IDLE: &str =
        "… and until the previous token has been unused for this long. Default: no such condition.";
    const LATEST: &str = "… but revoke it after this time even if those conditions are not \
                          met. Default: never; Scimitar waits and alerts.";
    const JITTER: &str = "The schedule's ticks are spread over this time; each connection keeps \
                          the same offset; \"0s\" turns it off. Default: a twentieth of the \
                          time to the next tick, at most 15m.";
    const VERIFY: &str = "How a new token is proven before delivery: \"read\" reads one user with it; \"write\" also \
                          creates, changes and deletes a throw-away user, where the provider is known to \
                          support it; \"off\" does not test it. Default: \
                          \"read\".";
    const MODE: &str = "\"rotate\", or \"observe\": watch, measure and alert, but change nothing. Default: \"rotate\".";
    const NOTICE: &str = "How long before the token in use expires hooks run (event \"expiring\"), once for each \
                          time. Default: 14d, 3d and 1d; for rotated tokens, only those shorter than \
                          rotate_before.";
    const OWNER: &str = "Who is responsible for the connection: `tokens` shows it, and {{ owner }} stands for it in the \
                         tags and labels of a delivery. Default: nobody.";
    const UNMANAGED: &str = "What to do about an unmanaged token. Default: \"report\".";
    const DRIFT: &str = "What to do when something else modified the secret or the SCIM configuration. Default: \
         \"report\".";
    let report_or = |about, other| by_default("report", word(about, &["report", other]));
    keys.may("scopes", scopes())
        .may("token_lifetime", duration(&life, "30d"))
        .may("rotate_before", duration_or_share(LEAD, "10d"))
        .may("max_age", duration(AGE, "90d"))
        .may("schedule", text(SCHEDULE, "0 3 * * Mon-Fri"))
        .may(
            "timezone",
            by_default("UTC", text("The schedule's time zone, by its IANA name.", "Europe/Berlin")),
        )
        .may("window", duration(WINDOW, "4h"))
        .may(
            "freeze",
            list(FREEZE, &fitting("A day, or an interval.", SPAN, "2026-12-24/2026-12-26")),
        )
        .may("jitter", duration(JITTER, "5m"))
        .may("overlap", by_default("24h", duration(OVERLAP, "24h")))
        .may("revoke_after_use", switch(USED))
        .may("revoke_when_idle", duration(IDLE, "2h"))
        .may("revoke_at_latest", duration(LATEST, "72h"))
        .may("verify", by_default("read", word(VERIFY, &["read", "write", "off"])))
        .may("notify_before", list(NOTICE, &duration("A time before the end.", "14d")))
        .may("mode", by_default("rotate", word(MODE, &["rotate", "observe"])))
        .may("owner", text(OWNER, "identity team"))
        .may("unmanaged", report_or(UNMANAGED, "retire"))
        .may("on_drift", report_or(DRIFT, "restore"))
}

/// One of those that there are, unless a provider's own table may name others.
fn scope() -> Value {
    const ABOUT: &str = "A scope of the token.";
    let declared = KINDS.iter().any(|kind| matches!(kind.scopes, ScopeWords::Declared));
    if declared {
        let first = all_scopes().first().copied().unwrap_or_default();
        fitting(ABOUT, r"^\S{1,128}$", first)
    } else {
        word(ABOUT, &all_scopes())
    }
}

fn scopes() -> Value {
    json!({
        "description": "What a token may do: the five for users, the same five for groups, or \
                        \"inherit\" to take those of the replaced token. Default: those of the \
                        replaced token; without one, the provider's default.",
        "examples": [["get:users", "post:users"]],
        "oneOf": [
            { "const": "inherit" },
            {
                "type": "array",
                "minItems": 1,
                "items": scope(),
            },
        ],
    })
}
