//! A provisioning job of Entra ID as the place of a token, by the real program.

use chrono::TimeDelta;
use scimitar_test_support::graph::{self, CLIENT, Graph, PRINCIPAL, SECRET, TENANT};
use serde_json::json;

use super::world::{NAME, World};

fn beside_a_file() -> (World, Graph) {
    let mut world = World::new();
    let graph = world.block_on(graph::start());
    world.config.policy.remove("revoke_after_use");
    world.config.deliver_to.push(format!(
        "{{ sink = \"entra\", service_principal = \"{PRINCIPAL}\", append = \"?aadOptscim062020\" }}"
    ));
    let url = &graph.url;
    world.config.more = format!(
        "[sinks.entra]\ntype = \"entra\"\ngraph_url = \"{url}\"\nauthority = \"{url}\"\n\
         auth = {{ method = \"client_secret\", tenant = \"{TENANT}\", client_id = \"{CLIENT}\", \
         client_secret = {{ env = \"ENTRA_SECRET\" }} }}\n"
    );
    world.configure();
    (world, graph)
}

fn run(world: &World, arguments: &[&str], status: i32) -> serde_json::Value {
    let all: Vec<&str> = arguments.iter().copied().chain(["--output", "json"]).collect();
    world.call(&all).env("ENTRA_SECRET", SECRET).run().exits(status).row()
}

#[test]
fn a_rotation_ends_where_the_token_is_used() {
    let (world, graph) = beside_a_file();
    let online = world.call(&["check", "--online"]).env("ENTRA_SECRET", SECRET).run().exits(0);
    assert!(graph.world().rules.started.is_empty(), "nothing is written: {}", online.stdout);
    assert!(
        online.stdout.contains("every permission that was tried is granted"),
        "{}",
        online.stdout
    );
    assert!(online.stdout.contains("was not checked"), "{}", online.stdout);
    run(&world, &["--rotate-now"], 0);
    let held = graph.world().rules.credentials["SecretToken"].clone();
    assert!(held == world.file(), "the job has what the file has");
    assert_eq!(world.use_token(&held), 200);

    // Everybody uses the next one, but no cycle of the job is known to.
    world.pass(TimeDelta::hours(1));
    run(&world, &["--rotate-now"], 0);
    world.pass(TimeDelta::minutes(10));
    // A list shows our own probe's mark, so that a use can be told from it.
    run(&world, &["--once"], 0);
    world.pass(TimeDelta::minutes(10));
    assert_eq!(world.use_token(&world.file()), 200);
    world.pass(TimeDelta::hours(3));
    world.faults.forget_requests();
    let waits = run(&world, &["--once"], 0);
    assert_eq!(
        (&waits["outcome"], &waits["reason"]),
        (&"waiting".into(), &"evidence".into()),
        "{waits}"
    );
    assert!(
        waits["why"].as_str().unwrap().contains("no provisioning cycle has succeeded"),
        "{waits}"
    );
    assert_eq!(world.deletes(), 0);
    // Who only looks is told what the job says by now, and nothing is written down.
    let explain = || run(&world, &["explain", NAME], 0).to_string();
    assert!(explain().contains("no provisioning cycle has succeeded"));
    graph.world().rules.cycle("2026-11-22T04:20:00Z");
    let said = explain();
    assert!(!said.contains("no provisioning cycle has succeeded"), "{said}");
    assert_eq!(world.deletes(), 0);
    run(&world, &["--once"], 0);
    assert_eq!(world.deletes(), 1);
    world.assert_sound("after the cycle");

    // A quarantine is seen whatever was used before.
    graph.world().rules.status["quarantine"] =
        json!({ "reason": "EncounteredQuarantineException" });
    assert!(explain().contains("in quarantine"));
    assert!(!world.textfile().contains("scimitar_client_stopped_since_timestamp_seconds{"));
    let row = run(&world, &["--once"], 0);
    assert!(row["warnings"].to_string().contains("client_stopped"), "{row}");
    assert!(world.textfile().contains("scimitar_client_stopped_since_timestamp_seconds{"));
    let said = world.call(&["explain", NAME]).env("ENTRA_SECRET", SECRET).run().exits(0).stdout;
    assert!(said.contains("in quarantine"), "{said}");
    run(&world, &["--rotate-now"], 0);
    assert_eq!(graph.world().rules.started.last().unwrap().0, "restart");
}

#[test]
fn a_job_that_refuses_the_token_keeps_the_one_it_has() {
    let (world, graph) = beside_a_file();
    run(&world, &["--rotate-now"], 0);
    let before = graph.world().rules.credentials.clone();
    world.pass(TimeDelta::hours(1));
    graph.world().rules.validates = false;
    let row = run(&world, &["--rotate-now", "--timeout", "60s"], 1);
    assert!(row.to_string().contains("nothing was changed: it"), "{row}");
    assert!(graph.world().rules.credentials == before);
    assert_eq!(world.listed().len(), 2, "the token that the job uses is kept");
    graph.world().rules.validates = true;
    world.pass(TimeDelta::hours(2));
    run(&world, &["--rotate-now", "--timeout", "30s"], 0);
    assert!(graph.world().rules.credentials["SecretToken"] == world.file());
}

#[test]
fn the_least_permission_is_printed() {
    let (world, _graph) = beside_a_file();
    let text = world.call(&["permissions"]).run().exits(0).stdout;
    assert!(text.contains("Application.ReadWrite.OwnedBy") && text.contains(PRINCIPAL), "{text}");
}
