//! The JSON Schema against the reader, key by key, with a validator that is not ours: what one
//! knows the other knows, what one refuses the other refuses as far as a schema can say it.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use scimitar::config::{Config, Problems, Secrets, load_for, schema::schema};
use serde_json::{Value, json};

use super::{
    example::KEYS,
    support::Bench,
    tables::{Case, built, cases, paths, toml},
    venv,
};

/// What no table has.
const STRANGER: &str = "zzz_qqq_99";

/// Every key that users were promised.
const PROMISED: &str = "include state.url server.listen control.socket log.format log.audit engine.max_parallel \
    engine.survey_interval engine.request_timeout http.ca_file http.proxy metrics.textfile \
    metrics.per_connection_limit hooks.on hooks.exec hooks.webhook.url hooks.webhook.secret \
    defaults.rotate_before providers.type providers.domain providers.base_url providers.client_id \
    providers.client_secret providers.client_assertion_key providers.audience \
    providers.rate_limit.per_second providers.rate_limit.burst providers.share providers.host \
    providers.account_id providers.token providers.http.ca_file sinks.type sinks.address \
    sinks.namespace sinks.auth.method sinks.auth.role_id sinks.auth.secret_id sinks.auth.wrapped \
    sinks.auth.token sinks.auth.role sinks.auth.jwt sinks.auth.header_value sinks.auth.mount \
    sinks.tls.ca_file sinks.tls.client_cert sinks.tls.client_key sinks.region sinks.endpoint_url \
    sinks.assume_role_arn sinks.external_id sinks.expect_role_arn sinks.kms_key_id sinks.tags \
    sinks.create sinks.directory sinks.http.proxy connections.name connections.provider \
    connections.connection_id connections.scopes connections.token_lifetime \
    connections.rotate_before connections.max_age connections.schedule connections.timezone \
    connections.jitter connections.overlap connections.revoke_after_use connections.revoke_when_idle \
    connections.revoke_at_latest connections.verify connections.mode connections.unmanaged \
    connections.on_drift connections.deliver_to.sink connections.deliver_to.path \
    connections.deliver_to.mount connections.deliver_to.name connections.deliver_to.file \
    connections.deliver_to.format connections.deliver_to.mode connections.deliver_to.owner \
    connections.deliver_to.group connections.deliver_to.shared connections.deliver_to.payload \
    providers.client_secret.env providers.client_secret.file providers.client_secret.credential \
    discover.provider discover.strategy discover.name discover.deliver_to";

/// A judgement to be made by the validator.
struct Judged {
    name: String,
    fits: bool,
    document: Result<Value, String>,
}

/// Requires of the validator that it agrees with each judgement.
fn judge(cases: &[Judged]) {
    let list: Vec<Value> = cases
        .iter()
        .map(|case| match &case.document {
            Ok(document) => json!({ "name": case.name, "fits": case.fits, "document": document }),
            Err(text) => json!({ "name": case.name, "fits": case.fits, "toml": text }),
        })
        .collect();
    let asked = json!({ "schema": schema(), "cases": list }).to_string();
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/in_process/config/schema_check.py");
    let mut python = Command::new(venv::bin().join("python"))
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("{} judged\n", cases.len()));
}

/// Requires that a configuration fits the schema.
pub(crate) fn assert_fits(text: &str) {
    let document = Err(text.to_owned());
    judge(&[Judged { name: "the configuration".to_owned(), fits: true, document }]);
}

/// What the reader makes of a document.
fn read(bench: &Bench, document: &Value) -> Result<Config, Problems> {
    let path = bench.write("scimitar.toml", toml(document));
    load_for(&path, &bench.env, Secrets::Unneeded)
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("ca.pem", "-----BEGIN CERTIFICATE-----\n");
    bench.program("after-rotation", 0o755);
    bench
}

/// Every table of the schema, with every key in it: the reader takes it, and what it lists as the
/// keys of that table are the table's.
#[test]
fn reader_and_schema_know_the_same_keys_in_every_table() {
    let bench = bench();
    let mut judged = Vec::new();
    let all = cases(&built(schema()));
    assert!(all.len() > 40, "{}", all.len());
    for case in all {
        if let Err(problems) = read(&bench, &case.document) {
            panic!("{}: {problems}\n{}", case.name, toml(&case.document));
        }
        let mut with_stranger = case.document.clone();
        with_stranger.pointer_mut(&case.at).unwrap()[STRANGER] = json!("x");
        let problems = read(&bench, &with_stranger).unwrap_err();
        let lines: Vec<_> = problems.iter().collect();
        assert_eq!(lines.len(), 1, "{}: {problems}", case.name);
        assert!(lines[0].message.starts_with(&format!("unknown key `{STRANGER}`")), "{problems}");
        let hint = lines[0].hint.as_deref().unwrap_or_default();
        let known: BTreeSet<&str> =
            hint.strip_prefix("the keys here are: ").unwrap_or(hint).split(", ").collect();
        let keys: BTreeSet<&str> = case.keys.iter().map(String::as_str).collect();
        assert_eq!(known, keys, "{}", case.name);
        judged.push(Judged { name: case.name.clone(), fits: true, document: Ok(case.document) });
        let name = format!("{} with a stranger", case.name);
        judged.push(Judged { name, fits: false, document: Ok(with_stranger) });
    }
    judge(&judged);
}

/// Every value of another type, every word that is none, every key that is missing: both refuse.
#[test]
fn reader_and_schema_refuse_the_same_mistakes() {
    let bench = bench();
    let mut judged = Vec::new();
    for case in cases(&built(schema())) {
        for (key, value) in case.mistakes() {
            let mut document = case.document.clone();
            let table = document.pointer_mut(&case.at).unwrap().as_object_mut().unwrap();
            match value.clone() {
                Some(value) => table.insert(key.clone(), value),
                None => table.remove(&key),
            };
            let name = format!("{}: {key} = {value:?}", case.name);
            assert!(read(&bench, &document).is_err(), "the reader takes {name}");
            judged.push(Judged { name, fits: false, document: Ok(document) });
        }
    }
    assert!(judged.len() > 300, "{}", judged.len());
    judge(&judged);
}

/// What the schema calls a default is what holds while the key is left out.
#[test]
fn defaults_are_what_the_reader_takes() {
    let bench = bench();
    let shown = |document: &Value| {
        let config = read(&bench, document).unwrap_or_else(|problems| panic!("{problems}"));
        // What was read is compared, not how it was written.
        format!("{:?}", Config { warnings: Vec::new(), sha256: String::new(), ..config })
    };
    let mut seen = 0;
    for case in cases(&built(schema())) {
        for (key, default) in case.defaults() {
            let mut without = case.document.clone();
            // What a connection says is what holds; what it does not say, [defaults] says.
            if case.at.starts_with("/connections") || case.at.starts_with("/discover") {
                without.as_object_mut().unwrap().remove("defaults");
            } else if case.at == "/defaults" {
                without["connections"][0].as_object_mut().unwrap().remove(&key);
            }
            let table = without.pointer_mut(&case.at).unwrap().as_object_mut().unwrap();
            table.remove(&key);
            // The default format has no keys.
            if key == "format" {
                table.remove("payload");
            }
            let mut with = without.clone();
            with.pointer_mut(&case.at).unwrap()[&key] = default.clone();
            // The one key that has a default and must be said where its table is.
            if key == "url" {
                continue;
            }
            assert_eq!(shown(&without), shown(&with), "{}: {key} = {default}", case.name);
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
    let config = read(&bench, &json!({})).unwrap();
    assert_eq!(Some(config.state.url()), default_of("/properties/state/properties/url"));
}

fn default_of(pointer: &str) -> Option<String> {
    schema().pointer(pointer)?["default"].as_str().map(str::to_owned)
}

#[test]
fn every_key_that_was_promised_is_there_or_listed_as_later() {
    let there = paths(&schema());
    let missing: Vec<_> = PROMISED.split_whitespace().filter(|key| !there.contains(*key)).collect();
    assert_eq!(missing, [""; 0]);
}

/// The words that the example shows, and no others.
#[test]
fn the_schema_has_the_keys_of_the_example() {
    let shown: BTreeSet<String> = KEYS.split_whitespace().map(str::to_owned).collect();
    let there: BTreeSet<String> = paths(&schema())
        .into_iter()
        .filter_map(|path| path.rsplit('.').next().map(str::to_owned))
        .collect();
    assert_eq!(there, shown);
}

/// The files that are shipped and what the documents show fit.
#[test]
fn what_is_shipped_and_shown_fits() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut judged = Vec::new();
    let mut add = |name: String, text: &str| {
        judged.push(Judged { name, fits: true, document: Err(text.to_owned()) });
    };
    add("the example".to_owned(), &fs::read_to_string(root.join("config.example.toml")).unwrap());
    for entry in fs::read_dir(root.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            add(path.display().to_string(), &fs::read_to_string(&path).unwrap());
        }
    }
    let documents = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    for path in documents.chain([root.join("README.md")]) {
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&path).unwrap();
            for (number, block) in text.split("\n```toml\n").skip(1).enumerate() {
                let block = block.split("\n```").next().unwrap();
                add(format!("{} block {number}", path.display()), block);
            }
        }
    }
    assert!(judged.len() > 5, "{}", judged.len());
    judge(&judged);
}

/// The directive that the documents name, as Taplo reads it: what editors show is what it finds.
#[test]
fn taplo_finds_mistakes_by_the_directive() {
    let bench = Bench::new();
    bench.write("scimitar.schema.json", schema().to_string());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = fs::read_to_string(root.join("config.example.toml")).unwrap();
    let lint = |text: &str| {
        let text = format!("#:schema ./scimitar.schema.json\n{text}");
        let path = bench.write("scimitar.toml", text);
        let ended = Command::new(venv::bin().join("taplo"))
            .args(["lint", "--colors", "never"])
            .arg(path)
            .current_dir(bench.path(""))
            .output()
            .unwrap();
        (ended.status.success(), String::from_utf8(ended.stderr).unwrap())
    };
    let (fine, said) = lint(&example);
    assert!(fine, "{said}");
    for (right, wrong, word) in [
        ("overlap = \"1m\"", "ovrlap = \"1m\"", "'ovrlap' was unexpected"),
        ("max_parallel = 16", "max_parallel = \"many\"", "\"many\" is not of type \"integer\""),
        ("mode = \"rotate\"", "mode = \"spin\"", "\"spin\" is not one of"),
    ] {
        let (fine, said) = lint(&example.replace(right, wrong));
        assert!(!fine && said.contains(word), "{wrong}: {said}");
    }
}

/// Secrets that stand in the file, which no editor may show as right.
#[test]
fn a_literal_secret_is_refused() {
    let literal =
        |text: &str| Judged { name: text.to_owned(), fits: false, document: Err(text.to_owned()) };
    judge(&[
        literal(
            "[providers.a]\ntype = \"auth0\"\ndomain = \"a.b\"\nclient_id = \"c\"\nclient_secret = \"s\"\n",
        ),
        literal(
            "[providers.a]\ntype = \"dbt_cloud\"\nhost = \"a.b\"\naccount_id = 1\ntoken = \"s\"\n",
        ),
        literal(
            "[sinks.a]\ntype = \"vault\"\naddress = \"https://a\"\nauth = { method = \"token\", token = \"s\" }\n",
        ),
        literal(
            "[sinks.a]\ntype = \"aws_secrets_manager\"\nregion = \"eu-west-1\"\nsecret_access_key = \"s\"\n",
        ),
        literal("[state]\nurl = \"postgres://a/b\"\n"),
        literal("[state]\nurl = \"postgres://a:s@b/c\"\n"),
        literal("[state]\nurl = \"postgres://a@b/c\"\npassword = \"s\"\n"),
        literal("[[discover]]\nprovider = \"a\"\n"),
    ]);
}

/// Guards the helper: a case's mistakes are of every kind.
#[test]
fn mistakes_are_of_every_kind() {
    let all: Vec<Case> = cases(&built(schema()));
    let kinds: BTreeSet<bool> =
        all.iter().flat_map(Case::mistakes).map(|(_, value)| value.is_some()).collect();
    assert_eq!(kinds.len(), 2);
}
