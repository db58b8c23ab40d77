//! The tables that are there once, and `[[hooks]]`.

use serde_json::{Value, json};

use crate::table::shape::{by_default, duration, fitting, list, secret, table, text, whole, word};

/// `include`.
pub(super) fn include() -> Value {
    list(
        "Further files with [[connections]]. * and ? may stand in the last part of a path; matches \
         are read in the order of their names. Default: none.",
        &text("A path, from this file's folder.", "connections.d/*.toml"),
    )
}

/// `[state]`.
pub(super) fn state() -> Value {
    const ABOUT: &str = "The ledger: an SQLite file on a local disk that lasts, as \
                         sqlite:///absolute/path or sqlite://path/from/this/file.";
    let url = fitting(ABOUT, r"^sqlite://[^?#]*[^?#/]$", "sqlite://ledger.db");
    let url = by_default("sqlite:///var/lib/scimitar/ledger.db", url);
    table("Where every step is written down before it is taken.").must("url", url).build()
}

/// `[server]`.
pub(super) fn server() -> Value {
    const ABOUT: &str = "Address and port of the status page, metrics and health.";
    table("Status page, metrics and health over HTTP. Left out: no port is opened.")
        .must("listen", fitting(ABOUT, r"^\S+:[0-9]{1,5}$", "127.0.0.1:9469"))
        .build()
}

/// `[log]`.
pub(super) fn log() -> Value {
    const FORMAT: &str = "How log lines are written. Default: as suits where they go.";
    const AUDIT: &str = "The audit log: one JSON line for each step, chained by hashes. Default: \
                         none.";
    table("What is written down for people, and for auditors.")
        .may("format", word(FORMAT, &["text", "json", "journald"]))
        .may("audit", text(AUDIT, "audit.jsonl"))
        .build()
}

/// `[engine]`.
pub(super) fn engine() -> Value {
    const PARALLEL: &str = "How many connections of one provider tenant are worked on at once; \
                            those that wait do not count. Default: 16.";
    const SURVEY: &str = "How often a connection is looked at while nothing is due; 1s to 1d. \
                          Default: \"5m\" where that takes at most a tenth of the provider's share \
                          of its rate limit, else as often as it does.";
    const TIMEOUT: &str = "How long one request may take; 1s to 10m. Default: \"30s\".";
    table("How much is done at once, and how often.")
        .may("max_parallel", by_default(16, whole(PARALLEL, 1, 10_000, 16)))
        .may("survey_interval", duration(SURVEY, "5m"))
        .may("request_timeout", by_default("30s", duration(TIMEOUT, "30s")))
        .build()
}

/// `[metrics]`.
pub(super) fn metrics() -> Value {
    const TEXTFILE: &str = "Written in one piece at the end of each one-shot, for node_exporter's \
                            textfile collector. Default: none.";
    const INSTANCE: &str = "The label instance_name of every series in the textfile, by which several \
                            files in one folder differ. Default: this file's name without its end.";
    const LIMIT: &str = "Above this many connections, series for each of them give way to \
                         histograms and the most urgent ones. Default: 10000.";
    table("Metrics for Prometheus.")
        .may("textfile", text(TEXTFILE, "scimitar.prom"))
        .may("instance_name", text(INSTANCE, "scimitar-emea"))
        .may("per_connection_limit", by_default(10_000, whole(LIMIT, 0, 1_000_000, 10_000)))
        .build()
}

/// One of `[[hooks]]`.
pub(super) fn hook() -> Value {
    const EVENTS: [&str; 4] = ["delivered", "revoked", "failed", "refused"];
    let mut on = list("After what.", &word("What happened.", &EVENTS));
    on["minItems"] = json!(1);
    let mut exec = list(
        "A program, by its absolute path, and its arguments. It gets names and ids in its \
         environment, never a token.",
        &json!({ "type": "string" }),
    );
    exec["minItems"] = json!(1);
    exec["examples"] = json!([["/usr/local/bin/after-rotation"]]);
    let webhook = table("An address that is told by a signed POST.")
        .must("url", fitting("Where.", r"^https?://\S+$", "https://hooks.example.com/scimitar"))
        .must("secret", secret("The key of the signature; by reference only."))
        .build();
    table("A program or a webhook after an event.")
        .may("name", text("What it is called in metrics and logs.", "reload-idp"))
        .must("on", on)
        .may("timeout", by_default("30s", duration("How long it may take.", "30s")))
        .either("exec", exec)
        .either("webhook", webhook)
        .build()
}
