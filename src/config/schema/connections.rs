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
        .may("connection_id", connection_id());
    policy(keys).must("deliver_to", places).build()
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
    const VERIFY: &str = "How a new token is proven before it is delivered: one user is asked for \
                          with it, or nothing. Default: \"read\".";
    const MODE: &str =
        "Rotate, or watch, measure and alert and change nothing. Default: \"rotate\".";
    const UNMANAGED: &str = "What is done about a token that nobody owns. Default: \"report\".";
    const DRIFT: &str =
        "What is done about a sink that somebody else wrote to. Default: \"report\".";
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
        .may("jitter", duration(JITTER, "5m"))
        .may("overlap", by_default("24h", duration(OVERLAP, "24h")))
        .may("revoke_after_use", switch(USED))
        .may("revoke_when_idle", duration(IDLE, "2h"))
        .may("revoke_at_latest", duration(LATEST, "72h"))
        .may("verify", by_default("read", word(VERIFY, &["read", "off"])))
        .may("mode", by_default("rotate", word(MODE, &["rotate", "observe"])))
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
