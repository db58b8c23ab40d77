//! Rotating many connections with a brake: a few first, in batches, no further after failures, and on
//! from where it stopped.

use std::collections::BTreeSet;

use scimitar::sandbox::{Act, Rule};
use serde_json::{Value, json};

use super::world::{TOKENS, World};

const CONNECTIONS: usize = 14;

/// Many connections, each rotated once; those with the higher numbers have less life left.
fn world() -> World {
    let mut world = World::limited(None, CONNECTIONS - 1);
    world.config.more = (1..CONNECTIONS)
        .map(|number| {
            format!(
                "[[connections]]\nname = \"extra-{number:02}\"\nprovider = \"acme\"\n\
                 connection_id = \"con_{number:016}\"\nscopes = [\"get:users\"]\n\
                 token_lifetime = \"{}d\"\noverlap = \"1m\"\n\
                 deliver_to = [{{ sink = \"disk\", file = \"{number}.token\" }}]\n",
                60 - number
            )
        })
        .collect();
    world.config.set("token_lifetime", "\"90d\"");
    world.configure();
    let first = world.run(&["--rotate-now"]).exits(0).json();
    assert_eq!(first["bulk"]["rotated"], CONNECTIONS, "{first}");
    world.faults.forget_requests();
    world
}

/// For which connections tokens were asked, in order.
fn asked_for(world: &World) -> Vec<String> {
    let creates = world.faults.requests().into_iter();
    creates
        .filter(|seen| seen.method == "POST" && seen.path.ends_with(TOKENS))
        .filter_map(|seen| {
            let (_, rest) = seen.path.split_once("/con_")?;
            rest.split('/').next().map(str::to_owned)
        })
        .collect()
}

fn counts(document: &Value) -> Value {
    let bulk = &document["bulk"];
    json!([bulk["rotated"], bulk["failed"], bulk["not_begun"]])
}

#[test]
fn those_with_the_least_life_left_go_first() {
    let world = world();
    let arguments = ["--rotate-now", "--provider", "acme", "--compromised", "--batch", "4"];
    let ended = world.run(&arguments).exits(0);
    let document = ended.json();
    assert_eq!(counts(&document), json!([CONNECTIONS, 0, 0]), "{document}");
    assert_eq!(document["bulk"]["stopped"], Value::Null);
    let order = asked_for(&world);
    assert_eq!(order.len(), CONNECTIONS);
    let of = |numbers: std::ops::RangeInclusive<usize>| -> BTreeSet<String> {
        numbers.map(|number| format!("{number:016}")).collect()
    };
    let stage = |range: std::ops::Range<usize>| -> BTreeSet<String> {
        order[range].iter().cloned().collect()
    };
    assert_eq!(stage(0..3), of(11..=13), "the first few: {order:?}");
    assert_eq!(stage(3..7), of(7..=10), "the first batch: {order:?}");
    assert_eq!(stage(7..11), of(3..=6), "the second one: {order:?}");
    // The rows are in the order of the configuration, and the lines say how far it is.
    let names: Vec<&str> = document["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["connection"].as_str().unwrap())
        .collect();
    assert!(names[1..].is_sorted(), "{names:?}");
    assert!(ended.stderr.contains(&format!("/{CONNECTIONS}: ")), "{}", ended.stderr);
    // "at … (in 4 s)", or "(now)" where the rest takes no half second.
    let (_, time) = ended.stderr.split_once("rotated; done about ").unwrap();
    let (date, distance) = time.split_once(" UTC (").unwrap();
    assert!(date.starts_with("20") && !date.contains('\n'), "{}", ended.stderr);
    assert!(distance.starts_with("in ") || distance.starts_with("now)"), "{}", ended.stderr);
}

#[test]
fn when_each_of_the_first_fails_the_others_are_not_begun() {
    let world = world();
    world.fault(Rule::new("POST", "", Act::Status(403)).ending(TOKENS));
    let document = world.run(&["--rotate-now"]).exits(1).json();
    assert_eq!(counts(&document), json!([0, 3, 11]), "{document}");
    assert_eq!(document["bulk"]["stopped"], "each of the first 3 failed");
    assert_eq!(world.creates(), 3);
    let row = &document["results"][0];
    assert_eq!(
        (&row["outcome"], &row["reason"]),
        (&"unchanged".into(), &"not_begun".into()),
        "{row}"
    );
    assert!(row["token_id"].is_string(), "how it stands is said all the same: {row}");
    let said = world.call(&["--rotate-now"]).run().exits(1).stdout;
    assert!(
        said.contains("\n3 failed, 11 not started\nstopped: each of the first 3 failed\n"),
        "{said}"
    );
    assert!(said.contains("run the same command with `--since "), "{said}");
}

#[test]
fn a_call_that_stopped_goes_on_where_it_was() {
    let world = world();
    world.fault(Rule::new("POST", "", Act::Status(403)).ending(TOKENS).nth(6));
    let call = ["--rotate-now", "--all", "--compromised", "--batch", "1", "--stop-after", "1"];
    let document = world.run(&call).exits(1).json();
    assert_eq!(counts(&document), json!([5, 1, 8]), "{document}");
    assert_eq!(document["bulk"]["stopped"], "1 failed (--stop-after 1)");
    let done: BTreeSet<String> = asked_for(&world)[..5].iter().cloned().collect();
    world.faults.clear();
    world.faults.forget_requests();
    let since = document["bulk"]["since"].as_str().unwrap();
    let again = [&call[..], &["--since", since]].concat();
    let document = world.run(&again).exits(0).json();
    assert_eq!(counts(&document), json!([CONNECTIONS, 0, 0]), "{document}");
    let then: BTreeSet<String> = asked_for(&world).into_iter().collect();
    assert_eq!(then.len(), CONNECTIONS - 5);
    assert!(done.is_disjoint(&then), "none is rotated twice: {done:?} {then:?}");
    let late = [&call[..], &["--since", "2100-01-01T00:00:00Z"]].concat();
    let refused = world.run(&late).exits(2).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("must not be in the future"));
}

#[test]
fn an_interrupted_call_says_what_it_did_not_begin() {
    let world = world();
    world.fault(Rule::new("POST", "", Act::HoldBefore).ending(TOKENS));
    let running = world.start(&["--rotate-now", "--output", "json"]);
    world.until_held(3);
    running.signal("INT");
    let ended = running.ended().exits(130);
    world.release();
    let document = ended.json();
    let bulk = &document["bulk"];
    assert_eq!(
        (&bulk["not_begun"], &bulk["stopped"]),
        (&json!(11), &json!("interrupted")),
        "{bulk}"
    );
    let row = &document["results"][0];
    assert_eq!(
        (&row["outcome"], &row["reason"]),
        (&json!("unchanged"), &json!("not_begun")),
        "{row}"
    );
    // Known also after a kill, which leaves no end.
    let since = format!("`--since {}`", bulk["since"].as_str().unwrap());
    let first = ended.stderr.lines().find(|line| line.contains("--since")).unwrap();
    assert!(first.starts_with("rotating 14 connections") && first.contains(&since), "{first}");
}
