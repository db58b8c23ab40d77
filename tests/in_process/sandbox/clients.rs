//! Other people's clients, unchanged: Auth0's own for Python and for Node on the Management API, and the
//! compliance checks of scim2-tester on the SCIM endpoint. They run in processes of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use scimitar_test_support::node::Node;
use serde_json::{Value, json};

use super::{
    support::{Bench, OKTA, SAMLP, WAAD},
    venv,
};

/// Runs a command to its end beside the sandbox, with a text on its standard input.
async fn run(make: impl FnOnce() -> Command + Send + 'static, input: String) -> Output {
    tokio::task::spawn_blocking(move || {
        let mut command = make();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("NO_PROXY", "127.0.0.1");
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), b"\n", output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// TLS in front of a sandbox: Auth0's clients speak nothing else to a domain.
struct Front {
    child: Child,
    folder: tempfile::TempDir,
    domain: String,
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Front {
    fn start(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(venv::bin().join("python"));
        command.arg(script("tls_front.py")).arg(folder.path()).arg(port.to_string());
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut front = Self { child, folder, domain: String::new() };
        let mut line = String::new();
        let said = front.child.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        let own: u16 = line.trim_end().parse().unwrap();
        front.domain = format!("127.0.0.1:{own}");
        front
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/in_process/sandbox").join(name)
}

/// The calls about SCIM that Auth0's Management API has, and those by which connections are found.
fn calls(connection: &str) -> BTreeSet<String> {
    let one = format!("/api/v2/connections/{connection}");
    let scim = format!("{one}/scim-configuration");
    let mut calls: BTreeSet<String> =
        ["GET", "POST", "PATCH", "DELETE"].map(|method| format!("{method} {scim}")).into();
    calls.extend([
        "POST /oauth/token".to_owned(),
        "GET /api/v2/connections".to_owned(),
        "GET /api/v2/connections-scim-configurations".to_owned(),
        format!("GET {one}"),
        format!("GET {scim}/default-mapping"),
        format!("GET {scim}/tokens"),
        format!("POST {scim}/tokens"),
        format!("DELETE {scim}/tokens/…"),
    ]);
    calls
}

/// Lets a client of Auth0's make every call about SCIM, and requires that it got what Auth0 answers.
async fn drive(
    (connection, name, strategy): (&'static str, &str, &str),
    client: impl FnOnce(&Front) -> Command + Send + 'static,
) {
    let bench = Bench::start().await;
    let port = bench.running.url().port().unwrap();
    let front = tokio::task::spawn_blocking(move || Front::start(port)).await.unwrap();
    let mut command = client(&front);
    command.args([&*front.domain, connection]);
    let output = run(move || command, String::new()).await;
    assert!(output.status.success(), "{}", text(&output));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mapping = json!([
        { "auth0": "preferred_username", "scim": "userName" },
        { "auth0": "blocked", "scim": "active" },
    ]);
    let all = ["con_okta000000000001", "con_samlp00000000001", "con_waad000000000001"];
    let expected = json!({
        "empty": [],
        "first": {
            "value_starts_with_id": true,
            "value_length": 85,
            "scopes": ["get:users", "post:users"],
            "expires": true,
            "second_expires": false,
            "both_listed": true,
            "listed_as_made": true,
            "used": [],
        },
        "third": {
            "type": "ConflictError",
            "status": 409,
            "message": "Maximum of 2 tokens already issued for this connection",
        },
        "short": {
            "type": "BadRequestError",
            "status": 400,
            "code": "invalid_body",
            "message": "Payload validation error: 'Value 900 is equal or less than exclusive minimum 900' on \
                        property token_lifetime (Lifetime of the token in seconds. Must be greater than 900).",
        },
        "unknown": {
            "type": "NotFoundError",
            "status": 404,
            "code": "inexistent_connection",
            "message": "The connection does not exist",
        },
        "left": true,
        "configuration": {
            "id": connection, "strategy": strategy, "is_default": true, "pairs": 32,
        },
        "updated": { "attribute": "id", "mapping": mapping, "stays": true },
        // The wording is Auth0's own.
        "exists": {
            "type": "BadRequestError",
            "status": 400,
            "message": "SCIM configuration alreay exists for connection",
        },
        "gone": { "type": "NotFoundError", "status": 404, "message": "Not Found" },
        "created": { "attribute": "externalId", "mapping": mapping, "tokens": [] },
        "by_default": 32,
        "page": { "length": 2, "has_next": true },
        "all": all,
        "connections": all,
        "connection": { "id": connection, "name": name, "strategy": strategy },
    });
    assert_eq!(seen, expected);
    let made: BTreeSet<String> = bench
        .running
        .faults()
        .requests()
        .into_iter()
        .filter(|request| !request.path.contains("con_nobody"))
        .map(|request| {
            let path = match request.path.split_once("/tokens/") {
                Some((before, _)) => format!("{before}/tokens/…"),
                None => request.path,
            };
            format!("{} {path}", request.method)
        })
        .collect();
    assert_eq!(made, calls(connection), "it made every call");
}

#[tokio::test(flavor = "multi_thread")]
async fn auth0s_python_client_makes_every_call_unchanged() {
    drive((OKTA, "initech-okta", "okta"), |front| {
        let mut command = Command::new(venv::bin().join("python"));
        command.arg(script("auth0_client.py")).env("SSL_CERT_FILE", front.ca());
        command
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auth0s_node_client_makes_every_call_unchanged() {
    let node = tokio::task::spawn_blocking(Node::ready).await.unwrap();
    drive((SAMLP, "umbrella-samlp", "samlp"), move |front| {
        let mut command = node.script(&script("auth0_client.mjs"));
        command.env("NODE_EXTRA_CA_CERTS", front.ca());
        command
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scim_endpoint_complies() {
    let bench = Bench::start().await;
    let scopes: Vec<String> = ["users", "groups"]
        .iter()
        .flat_map(|kind| ["get", "post", "put", "patch", "delete"].map(|m| format!("{m}:{kind}")))
        .collect();
    let (_, value) = bench.mint_with(WAAD, json!({ "scopes": scopes })).await;
    let endpoint = bench.url(&format!("scim/v2/connections/{WAAD}"));
    let output = run(
        move || {
            let mut command = Command::new(venv::bin().join("scim2"));
            command.args(["--url", &endpoint, "test"]);
            command.env("SCIM_CLI_HEADERS", format!("Authorization: Bearer {value}"));
            command
        },
        String::new(),
    )
    .await;
    // The exit status is no help: a check that is passed over counts as a failure there.
    let report = text(&output);
    let mut verdicts = BTreeMap::new();
    for verdict in report.lines().filter_map(|line| line.split(' ').next()) {
        let is_verdict = !verdict.is_empty() && verdict.bytes().all(|b| b.is_ascii_uppercase());
        if is_verdict {
            *verdicts.entry(verdict).or_insert(0) += 1;
        }
    }
    // Auth0 searches one kind of resource at a time, so /.search is answered 501 for each.
    let passed_over = "searching several resource types at once is not supported";
    assert_eq!(report.matches(passed_over).count(), 2, "{report}");
    assert_eq!(verdicts.remove("SKIPPED"), Some(2), "{report}");
    let succeeded = verdicts.remove("SUCCESS").unwrap_or(0);
    assert!(succeeded >= 115, "{succeeded}: {report}");
    assert!(verdicts.is_empty(), "{verdicts:?}: {report}");
    // They wrote, too.
    let seen = bench.running.faults().requests();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        assert!(seen.iter().any(|request| request.method == method), "{method}");
    }
}
