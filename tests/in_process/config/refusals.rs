//! Mistakes in single keys: names, types, values, and what comes later.

use scimitar::config::{Secrets, load_for};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, accepted, refused};

/// The head without the table of one thing, to put another in its place.
fn connection(keys: &str) -> String {
    format!("{HEAD}{CONNECTION}{LIFETIME}{keys}")
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = accepted("", &[]);
    assert_eq!(config.state.url(), "sqlite:///var/lib/scimitar/ledger.db");
    assert_eq!(config.engine.max_parallel, 16);
    assert_eq!(config.engine.survey_interval, None, "as often as the tenants' limits bear");
    assert_eq!(config.engine.request_timeout.as_secs(), 30);
    assert_eq!(config.metrics.per_connection_limit, 1_000);
    // None ever has series of its own.
    assert_eq!(config.metrics.instance_name, "scimitar", "the file is called scimitar.toml");
    let named = accepted("[metrics]\ninstance_name = \"emea\"\n", &[]);
    assert_eq!(named.metrics.instance_name, "emea");
    let none = accepted("[metrics]\nper_connection_limit = 0\n", &[]);
    assert_eq!(none.metrics.per_connection_limit, 0);
    assert!(config.connections.is_empty());
}

#[test]
fn a_request_that_outlasts_a_stop_is_a_warning() {
    accepted("[engine]\nrequest_timeout = \"60s\"\n", &[]);
    accepted(
        "[engine]\nrequest_timeout = \"61s\"\n",
        &[
            "scimitar.toml:2:19: to stop, Scimitar may wait that long for each running request; the units in systemd/ allow 90 \
           s in total | at most \"60s\", or set TimeoutStopSec= \
           (terminationGracePeriodSeconds) to four times this; if Scimitar is killed, nothing is lost, and the \
           next start continues",
        ],
    );
}

#[test]
fn unknown_keys_are_led_to_the_nearest() {
    refused(
        "«overlap = \"1h\"\n",
        "unknown key `overlap`",
        "the keys here are: connections, control, defaults, discover, engine, hooks, http, include, log, metrics, \
         providers, server, sinks, state, watch",
    );
    refused(
        "[engine]\n«max_paralel = 4\n",
        "unknown key `max_paralel` in [engine]",
        "did you mean `max_parallel`?",
    );
    refused(
        &connection("«rotate-before = \"10d\"\n"),
        "unknown key `rotate-before` in [[connections]]",
        "did you mean `rotate_before`?",
    );
    refused(
        "[defaults]\n«deliver_to = []\n",
        "unknown key `deliver_to` in [defaults]",
        "the keys here are: freeze, jitter, max_age, mode, notify_before, on_drift, overlap, owner, revoke_after_use, \
         revoke_at_latest, revoke_when_idle, rotate_before, schedule, scopes, timezone, token_lifetime, unmanaged, \
         verify, window",
    );
}

#[test]
fn wrong_types_are_named() {
    refused("state = «1\n", "`state` must be a table, not an integer", "");
    refused(
        "[engine]\nmax_parallel = «\"16\"\n",
        "`max_parallel` must be a whole number, not a string",
        "",
    );
    refused(
        "[engine]\nsurvey_interval = «3600\n",
        "`survey_interval` must be a duration such as \"24h\", not an integer",
        "",
    );
    refused(
        &connection("revoke_after_use = «\"yes\"\n"),
        "`revoke_after_use` must be true or false, not a string",
        "",
    );
    refused(
        "include = «\"connections.d/*.toml\"\n",
        "`include` must be a list of paths, not a string",
        "",
    );
    refused(
        "connections = «{ name = \"a\" }\n",
        "`connections` is one table, not a list of them",
        "write [[connections]] with two brackets",
    );
    refused("connections = [«1]\n", "`connections` must be a table, not an integer", "");
}

#[test]
fn durations_have_units_and_bounds() {
    for bad in ["24", "1M", "1.5h", "-1h", "h", "soon", "1y"] {
        refused(
            &connection(&format!("overlap = «\"{bad}\"\n")),
            "`overlap` is not a duration",
            "write a whole number and a unit: 90s, 15m, 24h, 30d or 2w",
        );
    }
    refused(
        &connection("max_age = «\"101y\"\n").replace("101y", "5300w"),
        "`max_age` is not a duration",
        "it is longer than 100 years",
    );
    refused(&connection("max_age = «\"0s\"\n"), "`max_age` must be at least 1s", "this is 0s");
    refused(
        "[engine]\nrequest_timeout = «\"0s\"\n",
        "`request_timeout` must be at least 1s",
        "this is 0s",
    );
    refused(
        "[engine]\nsurvey_interval = «\"2d\"\n",
        "`survey_interval` must be at most 1d",
        "this is 2d",
    );
    refused(
        "[engine]\nmax_parallel = «0\n",
        "`max_parallel` must be a whole number from 1 to 10000",
        "",
    );
    refused(
        "[metrics]\ninstance_name = «\"a\\u202Eb\"\n",
        "`instance_name` must be at most 128 printable characters",
        "write instance_name = \"scimitar-emea\"",
    );
    refused(
        "[metrics]\nper_connection_limit = «-1\n",
        "`per_connection_limit` must be a whole number from 0 to 1000000",
        "",
    );
    refused(
        "[metrics]\nper_connection_limit = «\"all\"\n",
        "`per_connection_limit` must be a whole number, not a string",
        "",
    );
    refused(
        "[engine]\nmax_parallel = «99999999999999999999\n",
        "`max_parallel` must be a whole number from 1 to 10000",
        "",
    );
    refused(
        &format!("{HEAD}{CONNECTION}token_lifetime = «\"900s\"\n"),
        "`token_lifetime` must be at least 15m 1s",
        "this is 15m",
    );
}

#[test]
fn a_ledger_in_a_database_is_named_without_its_password() {
    let url = |url: &str| format!("[state]\nurl = «\"{url}\"\n");
    let password = "take it out, and keep it where only scimitar can read it: in [state], password = { \
                    file = \"PATH\" }, { env = \"NAME\" } or { credential = \"NAME\" }\nanyone who could \
                    read this file may know it: change it in the database";
    for canary in ["postgres://s:canary@db/d", "postgresql://s@db/d?password=canary"] {
        refused(&url(canary), "`url` must not hold a password", password);
        let shown = Bench::new().problems(&url(canary).replace('«', "")).join("\n");
        assert!(!shown.contains("canary"), "{shown}");
    }
    refused(
        &url("postgres://db/d"),
        "`url` does not name the user",
        "write it before the host: postgres://scimitar@db.example.com:5432/scimitar",
    );
    refused(
        &url("postgres://s@db/d?sslmode=require"),
        "`url` holds sslmode=require, which does not verify the server's identity",
        "write sslmode=verify-full, and name the PEM file of a private authority in `ca_file`",
    );
    refused(
        &url("postgres://s@db/d?connect_timeout=1"),
        "`url` holds connect_timeout, which is not supported there",
        "leave it out: allowed after the question mark are sslmode and, for a socket, host (its folder), port and user",
    );
    refused(
        "[state]\nurl = \"sqlite://ledger.db\"\n«password = { env = \"HOME\" }\n",
        "`password` is for a ledger in PostgreSQL",
        "leave it out: a file has no log-in",
    );
    refused(
        "[state]\nurl = \"postgres://s@db/d\"\npassword = «\"canary\"\n",
        "`password` takes a reference, never the secret itself",
        "move it to a file that only scimitar's user can read, and write password = { file = \"PATH\" }\n\
         or into the environment: password = { env = \"NAME\" }, or pass it by systemd: password = { \
         credential = \"NAME\" }\nanyone who could read this file may know it: replace it at the provider",
    );
    let bench = Bench::new();
    bench.write("secret", "s");
    let text = "[state]\nurl = \"postgresql://s@db/d\"\npassword = { file = \"secret\" }\n";
    let config = bench.load(text).unwrap();
    assert_eq!(
        (config.state.url(), config.state.file()),
        ("postgres://s@db:5432/d".to_owned(), None)
    );
}

#[test]
fn a_path_that_no_system_call_takes_is_refused_at_its_place() {
    let file = |path: String| {
        connection("").replace("file = \"one.token\"", &format!("file = «\"{path}\""))
    };
    refused(
        &file(format!("{}b", "a/".repeat(3000))),
        "`file` makes a path of more than 4000 bytes",
        "write a name such as \"team/initech.token\"",
    );
    refused(
        &file("a".repeat(256)),
        "`file` has a part of more than 200 bytes",
        "write a name such as \"team/initech.token\"",
    );
    let long = "a/".repeat(3000);
    refused(
        &format!("[state]\nurl = «\"sqlite://{long}ledger.db\"\n"),
        "`url` is a path of more than 4000 bytes",
        "choose a shorter path",
    );
    refused(
        &format!("[log]\naudit = «\"{}\"\n", "a".repeat(256)),
        "`audit` has a part of more than 255 bytes",
        "choose a shorter path",
    );
}

#[test]
fn a_connection_name_needs_no_quotes_in_a_shell() {
    let named =
        |name: &str| connection("").replace("name = \"one\"", &format!("name = «\"{name}\""));
    for (name, odd) in [("a;b", ';'), ("$(id)", '$'), ("a'b", '\''), ("a`b", '`'), ("*", '*')] {
        let message = format!(
            "`name`: a connection name may contain only letters, digits and `.` `_` `-` `:` `@` `+` `/` \
             `,`, so that it needs no quotes in a shell; this one contains `{odd}`"
        );
        refused(&named(name), &message, "choose another");
    }
    for name in ["--all", "-x"] {
        let message = "`name`: a connection name must not begin with `-`, because a command would read \
                       it as an option";
        refused(&named(name), message, "choose another");
    }
}

#[test]
fn unknown_names_are_led_to_the_nearest() {
    refused(
        "[providers.acme]\ntype = «\"auht0\"\n",
        "there is no provider of type \"auht0\"",
        "did you mean `auth0`?",
    );
    refused(
        "[sinks.s]\ntype = «\"s3\"\n",
        "there is no sink of type \"s3\"",
        "the types are: file, vault, aws_secrets_manager, kubernetes, exec, aws_ssm, \
         gcp_secret_manager, handoff, entra, azure_key_vault, okta",
    );
    refused(
        &connection("").replace("provider = \"box\"", "provider = «\"bx\""),
        "there is no provider `bx`",
        "did you mean `box`?",
    );
    refused(
        &connection("").replace("provider = \"box\"", "provider = «\"acme\""),
        "there is no provider `acme`",
        "the providers of this configuration are: box",
    );
    refused(
        &connection("").replace("sink = \"disk\"", "sink = «\"disc\""),
        "there is no sink `disc`",
        "did you mean `disk`?",
    );
    refused(
        &connection("scopes = [\"get:users\", «\"get:user\"]\n"),
        "there is no scope `get:user`",
        "did you mean \"get:users\"?",
    );
    refused(
        &connection("mode = «\"rotat\"\n"),
        "`mode` cannot be \"rotat\"",
        "it is one of \"rotate\", \"observe\"",
    );
    refused(
        &connection("schedule = \"0 3 * * *\"\ntimezone = «\"Europe/Berlim\"\n"),
        "there is no time zone `Europe/Berlim`",
        "did you mean \"Europe/Berlin\"?",
    );
    refused(
        "[log]\nformat = «\"xml\"\n",
        "`format` cannot be \"xml\"",
        "it is one of \"text\", \"json\", \"journald\"",
    );
    refused("[log]\naudit = «7\n", "`audit` must be a string, not an integer", "");
    refused(
        "[log]\naudit = «\"/\"\n",
        "`audit` names a folder",
        "name a file in an existing folder that scimitar may write to, such as \
         \"/var/log/scimitar/audit.jsonl\"",
    );
    refused(
        "[state]\nurl = \"sqlite:///srv/s/l.db\"\n[log]\naudit = «\"/srv/s/../s/l.db\"\n",
        "the audit log would overwrite the ledger: /srv/s/l.db",
        "give it a file of its own",
    );
}

#[test]
fn a_provider_with_errors_is_not_reported_as_missing() {
    let text = connection("").replace("data_dir", "«data_dri");
    refused(&text, "unknown key `data_dri` in [providers.box]", "did you mean `data_dir`?");
}

#[test]
fn ledgers_are_files() {
    let how = "write sqlite:///absolute/path/ledger.db, sqlite://relative/ledger.db for a path relative \
               to this file's folder, or postgres://USER@HOST/DATABASE";
    for url in [
        "sqlite://",
        "sqlite::memory:",
        "/var/lib/ledger.db",
        "sqlite://dir/",
        "sqlite://a.db?mode=ro",
        "mysql://db",
    ] {
        refused(&format!("[state]\nurl = «\"{url}\"\n"), "`url` does not name a ledger", how);
    }
    refused("[state]\nurl = «\"\"\n", "`url` is empty", "");
    refused(
        "«[state]\n",
        "`url` is missing in [state]",
        "write url = \"sqlite:///var/lib/scimitar/ledger.db\"",
    );
    refused(
        "[state]\nurl = «\"sqlite:///usr\"\n",
        "`url` names a folder",
        "name a file in it: sqlite:///usr/ledger.db",
    );
    let bench = Bench::new();
    let config = bench.load("[state]\nurl = \"sqlite://state/ledger.db\"\n").unwrap();
    assert_eq!(config.state.file(), Some(&*bench.path("state/ledger.db")));
    let config = accepted("[state]\nurl = \"sqlite:///a/b.db\"\n", &[]);
    assert_eq!(config.state.url(), "sqlite:///a/b.db");
}

#[test]
fn connections_say_who_they_are() {
    let text = format!("{HEAD}[[connections]]\n");
    let problems = Bench::new().problems(&text);
    let words: Vec<_> = problems.iter().map(|line| line.split(" | ").next().unwrap()).collect();
    assert_eq!(
        words,
        [
            "scimitar.toml:9:1: `name` is missing in [[connections]]",
            "scimitar.toml:9:1: `provider` is missing in [[connections]]",
            "scimitar.toml:9:1: `connection_id` is missing in [[connections]]",
            "scimitar.toml:9:1: `deliver_to` is missing: a connection needs at least one sink that \
             can be read back",
        ]
    );
    refused(
        &connection("").replace("name = \"one\"", "name = «\"two words\""),
        "`name`: a connection name must be 1 to 128 printable characters without spaces",
        "choose another",
    );
    for (bad, hint) in [
        (
            "con_okta00000000001",
            "an id is `con_` and 16 letters or digits; after `con_` this has 15 characters",
        ),
        (
            "con_okta/00000000001",
            "an id is `con_` and 16 letters or digits; after `con_` this has 16 characters",
        ),
        (
            "okta",
            "an id is `con_` and 16 letters or digits; it is in the address of the connection's \
             page in the dashboard",
        ),
    ] {
        refused(
            &connection("").replace("\"con_okta000000000001\"", &format!("«\"{bad}\"")),
            "`connection_id` is not a connection ID",
            hint,
        );
    }
    refused(
        &connection("scopes = «[]\n"),
        "`scopes` is empty: such a token would have no permissions",
        "name some, or write \"inherit\" to take the current token's",
    );
    refused(
        &connection("scopes = «\"get:users\"\n"),
        "`scopes` must be a list, or \"inherit\"",
        "write scopes = [\"get:users\", \"post:users\"]",
    );
}

#[test]
fn a_toml_mistake_is_placed_without_its_line() {
    refused(
        "[engine]\nmax_parallel = «canary\n",
        "this is not TOML: string values must be quoted, expected literal string",
        "",
    );
    refused("a = \"canary«\n", "this is not TOML: invalid basic string, expected `\"`", "");
    refused("a = 1\n«a = 2\n", "this is not TOML: duplicate key", "");
}

#[test]
fn a_textfile_that_nobody_would_read_is_warned_of() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("there")).unwrap();
    let warned = |file: &str| -> Vec<String> {
        let text = format!(
            "[state]\nurl = \"sqlite://made/ledger.db\"\n[metrics]\ntextfile = \"{file}\"\n"
        );
        let config = load_for(&bench.write("scimitar.toml", text), &bench.env, Secrets::Checked);
        let config = config.unwrap();
        let told = config.warnings.iter().map(|warning| bench.line(warning));
        told.filter(|line| line.contains("`textfile`")).collect()
    };
    assert_eq!(warned("there/scimitar.prom"), [""; 0]);
    assert_eq!(warned("made/scimitar.prom"), [""; 0], "a run makes the ledger's folder");
    assert_eq!(
        warned("there/scimitar.txt"),
        [
            "scimitar.toml:4:12: `textfile` does not end in .prom: node_exporter reads no other files | name \
          it there/scimitar.txt.prom"
        ]
    );
    let away = warned("away/scimitar.prom");
    assert!(away.len() == 1 && away[0].contains("does not exist, so no metrics"), "{away:?}");
}
