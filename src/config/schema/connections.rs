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
    policy(table("What holds for every connection that does not say otherwise.")).build()
}

/// One of `[[connections]]`.
pub(super) fn connection() -> Value {
    const LABEL: &str = "The label in metrics, logs and results; unique. Renaming moves nothing.";
    let mut places = list("Where the token goes; at least one place.", &sinks::delivery());
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
    const STRATEGY: &str = "Connections of these strategies alone. Default: of all that have SCIM.";
    const NAME: &str =
        "A regular expression that is found in the connection's name. Default: any name.";
    let mut places = list(
        "Where each token goes; in every place {{ connection.name }} or {{ connection.id }} stands for \
         what was found.",
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
    const EXPIRY: &str = "When the token stops working: a day, which ends it as it begins in UTC, or a \
                          time with its offset.";
    const MOMENT: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?$";
    const LABEL: &str = "The label in metrics, logs and results; unique, also among connections.";
    const NOTICE: &str = "How long before it expires hooks are told so, once for each time; the longest \
                          is also when the alerts begin. Default: 14d, 3d and 1d.";
    table("A token that no provider is asked about. Nothing is rotated: people are told in time.")
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
    const LEAD: &str = "A token is due when less than this is left of its life: a duration, or a \
                        share (below 50%) of the life that was granted. Default: \"33%\", unless a \
                        schedule stands alone.";
    const AGE: &str = "A token is due when it is older than this. Default: none.";
    const SCHEDULE: &str = "When a rotation may start: cron with 5 fields as crontab reads them, or 6 \
                            or 7 with seconds in front and years behind. Default: as soon as it is due.";
    const WINDOW: &str = "For how long after a tick of the schedule a rotation may start; one that did not \
                          waits for the next tick. Default: at any time after it.";
    const FREEZE: &str = "Times in which nothing is rotated and nothing is revoked, in the time zone of the \
                          policy: days, intervals of days with both days in them, or of times. A token \
                          that would expire is rotated all the same. Default: none.";
    const SPAN: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?(/[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?)?$";
    const OVERLAP: &str = "How long every sink has held the new token before the older one goes. \
                           Default: \"24h\".";
    const USED: &str = "… and the new one has been used by someone other than scimitar's own probe. \
                        Default: true where the provider tells when tokens were used.";
    const IDLE: &str = "… and the older one has been unused for this long. Default: not asked for.";
    const LATEST: &str = "… but at the latest then, even without that evidence. Default: never; it \
                          waits and alerts.";
    const JITTER: &str = "The schedule's ticks are spread over this long, each connection always \
                          to the same moment; \"0s\" turns it off. Default: a twentieth of the \
                          time to the next tick, at most 15m.";
    const VERIFY: &str = "How a new token is proven before it is delivered: one user is asked for with \
                          it; with \"write\" a throw-away user is also created, changed and deleted, where \
                          the provider is known to allow that; with \"off\" nothing is. Default: \
                          \"read\".";
    const MODE: &str =
        "Rotate, or watch, measure and alert and change nothing. Default: \"rotate\".";
    const NOTICE: &str = "How long before the token in use stops working hooks are told so (the event \
                          expiring), once for each time. Default: 14d, 3d and 1d; where tokens are rotated, \
                          those of them that are shorter than rotate_before.";
    const OWNER: &str = "Who is asked about the connection: `tokens` shows it, and {{ owner }} stands for it in the \
                         tags and labels of a delivery. Default: nobody.";
    const UNMANAGED: &str = "What is done about a token that nobody owns. Default: \"report\".";
    const DRIFT: &str = "What is done about a sink that somebody else wrote to, and about a SCIM configuration that \
         somebody else changed. Default: \"report\".";
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
    const ABOUT: &str = "A right of the token.";
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
                        \"inherit\" to take those of the token that is replaced. Default: those \
                        of the token that is replaced; where there is none, the provider's default.",
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
