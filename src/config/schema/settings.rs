//! The tables that are there once, and `[[hooks]]`.

use serde_json::{Value, json};

use crate::{
    rotation::notice::{OCCASIONS, Occasion},
    table::{
        StoreWord,
        shape::{
            any_of_these, by_default, credential, duration, fitting, list, map, secret, table,
            text, whole, word,
        },
    },
};

/// `include`.
pub(super) fn include() -> Value {
    list(
        "Further files with [[connections]]. * and ? are allowed in the last part of a path; matches \
         are read in the order of their names. Default: none.",
        &text("A path, relative to this file's folder.", "connections.d/*.toml"),
    )
}

/// `[state]`.
pub(super) fn state() -> Value {
    const ABOUT: &str = "The ledger.";
    const FILE: &str = "An SQLite file on a local disk that lasts, as sqlite:///absolute/path or \
                        sqlite://path/from/this/file.";
    const POSTGRES: &str =
        "A PostgreSQL database, for several replicas; never with a password in it.";
    const PASSWORD: &str =
        "The password of the role in PostgreSQL; by reference only. Default: none.";
    const CA: &str = "Certificates to trust in addition to the system's, in PEM, for PostgreSQL. Default: that \
                      of [http].";
    let file = fitting(FILE, r"^sqlite://[^?#]*[^?#/]$", "sqlite://ledger.db");
    let database = fitting(
        POSTGRES,
        r"^postgres(ql)?://([^:@/?#]+@[^@/?#]+/[^@/?#]+([?][^#]*)?|/[^@/?#]+[?][^#]+)$",
        "postgres://scimitar@db.example.com:5432/scimitar",
    );
    let url = any_of_these(ABOUT, &[database, file]);
    let url = by_default("sqlite:///var/lib/scimitar/ledger.db", url);
    table("Where every step is recorded before it is taken.")
        .must("url", url)
        .may("password", secret(PASSWORD))
        .may("ca_file", text(CA, "ca.pem"))
        .build()
}

/// `[server]`.
pub(super) fn server() -> Value {
    const ABOUT: &str = "Address and port of the status page, metrics and health.";
    table("Status page, metrics and health over HTTP. Left out: no port is opened.")
        .must("listen", fitting(ABOUT, r"^\S+:[0-9]{1,5}$", "127.0.0.1:9469"))
        .build()
}

/// `[control]`.
pub(super) fn control() -> Value {
    const ABOUT: &str = "The socket's path, or \"off\". Default: /run/scimitar/control.sock for a \
                         configuration in /etc/scimitar, else \"off\".";
    table(
        "The local socket at which the daemon carries out commands, so that they need no secrets.",
    )
    .must("socket", fitting(ABOUT, r"^[^\s/]|^/.*[^/]$", "/run/scimitar/control.sock"))
    .build()
}

/// `[log]`.
pub(super) fn log() -> Value {
    const FORMAT: &str = "The format of log lines. Default: depends on where they are written to.";
    const AUDIT: &str = "The audit log: one JSON line for each step, chained by hashes. Default: \
                         none.";
    table("Logs and the audit log.")
        .may("format", word(FORMAT, &["text", "json", "journald"]))
        .may("audit", text(AUDIT, "audit.jsonl"))
        .build()
}

/// `[engine]`.
pub(super) fn engine() -> Value {
    const PARALLEL: &str = "How many connections of one provider tenant are processed at the same \
                            time; waiting ones do not count. Default: 16.";
    const SURVEY: &str = "How often a connection is checked while nothing is due; 1s to 1d. Default: \
                          \"5m\", or longer if that would take more than a tenth of the \
                          provider's share of its rate limit.";
    const TIMEOUT: &str = "How long one request may take; 1s to 10m. Default: \"30s\".";
    table("Parallelism and intervals.")
        .may("max_parallel", by_default(16, whole(PARALLEL, 1, 10_000, 16)))
        .may("survey_interval", duration(SURVEY, "5m"))
        .may("request_timeout", by_default("30s", duration(TIMEOUT, "30s")))
        .build()
}

/// `[metrics]`.
pub(super) fn metrics() -> Value {
    const TEXTFILE: &str = "Written atomically at the end of each one-shot run, for node_exporter's textfile \
                            collector. Default: none.";
    const INSTANCE: &str = "The label instance_name of every series in the textfile, which tells several \
                            files in one folder apart. Default: this file's name without its extension.";
    const LIMIT: &str = "With more connections than this, only the most urgent have series of their \
                         own. Default: 1000.";
    table("Metrics for Prometheus.")
        .may("textfile", text(TEXTFILE, "scimitar.prom"))
        .may("instance_name", text(INSTANCE, "scimitar-emea"))
        .may("per_connection_limit", by_default(1_000, whole(LIMIT, 0, 1_000_000, 1_000)))
        .build()
}

/// One of `[[hooks]]`.
pub(super) fn hook(stores: &[StoreWord]) -> Value {
    let events = OCCASIONS.map(Occasion::as_str);
    let mut on = list("The events that the hook runs after.", &word("An event.", &events));
    on["minItems"] = json!(1);
    let mut exec = list(
        "A program, by its absolute path, and its arguments. It receives names and ids in its \
         environment, never a token.",
        &json!({ "type": "string" }),
    );
    exec["minItems"] = json!(1);
    exec["examples"] = json!([["/usr/local/bin/after-rotation"]]);
    table("A program or a webhook after an event.")
        .may("name", text("What it is called in metrics and logs.", "reload-idp"))
        .must("on", on)
        .may("timeout", by_default("30s", duration("How long it may run.", "30s")))
        .either("exec", exec)
        .either("webhook", webhook(stores))
        .build()
}

/// `webhook` of a hook.
fn webhook(stores: &[StoreWord]) -> Value {
    const URL: &str = "The URL; only its host is ever shown.";
    const KEPT_URL: &str = "The URL as a secret: the whole URL, because it contains a key.";
    const SECRET: &str = "The key of the signature; by reference only. Required unless `body` is \
                          set or `url` or `headers` contain a key.";
    const BODY: &str = "The body to send instead of a CloudEvent: a template with the event's fields, \
                        such as {{ why }}.";
    const CONTENT_TYPE: &str = "The content type of the body.";
    let plain_url =
        fitting("The URL itself.", r"^https?://\S+$", "https://hooks.example.com/scimitar");
    let url = any_of_these(URL, &[plain_url, credential(KEPT_URL, stores)]);
    let value = any_of_these(
        "Its value.",
        &[
            text("The value itself.", "scimitar"),
            credential("A secret, such as the value of Authorization.", stores),
        ],
    );
    let content_type = fitting(
        CONTENT_TYPE,
        r"^(application/([^;\s]+\+)?json|application/x-www-form-urlencoded|text/plain|text/markdown)\s*(;.*)?$",
        "application/json",
    );
    table("An address that receives a POST.")
        .must("url", url)
        .may("secret", credential(SECRET, stores))
        .may("headers", map("Further headers.", r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", &value))
        .may("body", text(BODY, r#"{ "text": "{{ connection }}: {{ why }}" }"#))
        .may("content_type", by_default("application/json", content_type))
        .may(
            "secrets",
            map(
                "Secrets used in the body, by name.",
                r"^[A-Za-z_][A-Za-z0-9_]*$",
                &credential("As {{ secrets.NAME }} in `body`; by reference only.", stores),
            ),
        )
        .build()
}
