//! `tokens`: every token of a tenant that the ledger knows, while the services are away.

use serde_json::Value;

use super::world::{NAME, OKTA, World};

/// Two tokens of others, one of them in the file, watched and never changed; and one that no API shows.
fn observed() -> (World, String, String) {
    let mut world = World::new();
    world.config.set("mode", "\"observe\"");
    world.config.more = "[[watch]]\nname = \"initech-sso\"\nexpires_at = 2099-03-01\n\
                         owner = \"identity team\"\n"
        .to_owned();
    world.configure();
    let (held, value) = world.mint(OKTA);
    world.put(&value);
    let (other, _) = world.mint_for(OKTA, 1_000);
    assert_eq!(world.use_token(&value), 200);
    (world, held, other)
}

fn rows(world: &World, arguments: &[&str]) -> Vec<Value> {
    let document = world.run(arguments).exits(0).json();
    assert_eq!(document["results"].as_array().unwrap().len(), 0, "{document}");
    document["tokens"].as_array().unwrap().clone()
}

#[test]
fn every_token_of_a_tenant_is_listed_with_what_is_known_of_it() {
    let (world, held, other) = observed();
    let before = world.call(&["tokens"]).run().exits(0);
    assert!(before.stderr.contains("not checked yet"), "{}", before.stderr);
    assert!(before.stderr.contains(NAME), "{}", before.stderr);
    world.run(&["--once"]).exits(0);
    world.faults.forget_requests();

    let all = rows(&world, &["tokens"]);
    let told: Vec<_> =
        all.iter().map(|row| (row["role"].as_str().unwrap(), &row["token_id"])).collect();
    let expected = [
        ("current", Value::from(held)),
        ("unmanaged", Value::from(other)),
        ("watched", Value::Null),
    ];
    assert_eq!(told, expected.iter().map(|(role, id)| (*role, id)).collect::<Vec<_>>());
    let current = &all[0];
    assert_eq!((&current["connection"], &current["connection_id"]), (&NAME.into(), &OKTA.into()));
    assert_eq!(current["provider"], "acme");
    let sink =
        serde_json::json!([{ "sink": "disk", "location": world.path("tokens/initech.token") }]);
    assert_eq!(current["sinks"], sink);
    for time in ["created_at", "expires_at", "last_used_at", "seen_at"] {
        assert!(
            current[time].as_str().is_some_and(|time| time.ends_with('Z')),
            "{time}: {current}"
        );
    }
    let unmanaged = &all[1];
    assert_eq!(
        (&unmanaged["last_used_at"], &unmanaged["sinks"]),
        (&Value::Null, &serde_json::json!([]))
    );
    let watched = &all[2];
    assert_eq!(
        (&watched["connection"], &watched["owner"]),
        (&"initech-sso".into(), &"identity team".into())
    );
    assert_eq!(watched["expires_at"], "2099-03-01T00:00:00Z");

    let names = |arguments: &[&str]| -> Vec<String> {
        let rows = rows(&world, arguments);
        rows.iter().map(|row| row["connection"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["tokens", "--provider", "acme"]), [NAME, NAME]);
    assert_eq!(names(&["tokens", "--match", "*-sso"]), ["initech-sso"]);
    assert_eq!(names(&["tokens", "--where", "unmanaged"]), [NAME, NAME]);
    assert_eq!(names(&["tokens", "--where", "expired"]), [""; 0]);

    let text = world.call(&["tokens"]).run().exits(0).stdout;
    assert!(text.starts_with("CONNECTION"), "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");
    let value = world.file();
    let document = world.run(&["tokens"]).exits(0).stdout;
    assert!(!text.contains(&value) && !document.contains(&value), "never a value");
    assert_eq!(world.faults.requests().len(), 0, "nobody was asked");
    assert_eq!((world.creates(), world.deletes()), (0, 0));
}
