//! Other people's clients, unchanged: Auth0's own Python client on the Management API, and the
//! compliance checks of scim2-tester on the SCIM endpoint. They run in processes of their own.

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use super::{
    support::{Bench, OKTA, WAAD},
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

#[tokio::test(flavor = "multi_thread")]
async fn auth0s_own_client_works_unchanged() {
    let bench = Bench::start().await;
    let base = bench.url("api/v2");
    let output = run(
        move || {
            let mut command = Command::new(venv::bin().join("python"));
            command.arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/in_process/sandbox/auth0_client.py"
            ));
            command.args([&base, OKTA]);
            command
        },
        bench.access.clone(),
    )
    .await;
    assert!(output.status.success(), "{}", text(&output));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["empty"], json!([]));
    let first = &seen["first"];
    assert_eq!(first["value_starts_with_id"], true);
    assert_eq!(first["value_length"], 85);
    assert_eq!(first["scopes"], json!(["get:users", "post:users"]));
    assert_eq!((&first["expires"], &seen["second_expires"]), (&json!(true), &json!(false)));
    assert_eq!(seen["listed"], seen["made"]);
    assert_eq!(
        seen["third"],
        json!({
            "type": "ConflictError",
            "status": 409,
            "message": "Maximum of 2 tokens already issued for this connection",
        })
    );
    assert_eq!(seen["short"], json!({ "type": "BadRequestError", "code": "invalid_body" }));
    let unknown = json!({ "type": "NotFoundError", "code": "inexistent_connection" });
    assert_eq!(seen["unknown"], unknown);
    assert_eq!(seen["left"], true);
    assert_eq!(seen["configuration"], json!({ "id": OKTA, "pairs": 32 }));
    assert_eq!(seen["connections"].as_array().unwrap().len(), 3);
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
