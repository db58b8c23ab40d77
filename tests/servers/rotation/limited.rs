//! Small tenants: many connections where few requests a second are allowed.

use scimitar::sandbox::{Act, Reset, Rule};

use super::world::{TOKENS, World, side_by_side};

/// As many connections as the worst case on record.
const CONNECTIONS: usize = 20;

/// A tenant of this limit, and a configuration that leaves `rate_limit` out.
fn world(rate: f64, burst: u32, reset: Reset) -> World {
    let mut world = World::limited(Some((rate, burst)), CONNECTIONS - 1);
    world.faults.quirks(|quirks| quirks.reset = reset);
    world.config.more = (1..CONNECTIONS)
        .map(|number| {
            format!(
                "[[connections]]\nname = \"extra-{number}\"\nprovider = \"acme\"\n\
                 connection_id = \"con_{number:016}\"\nscopes = [\"get:users\"]\n\
                 token_lifetime = \"30d\"\nrotate_before = \"10d\"\noverlap = \"1m\"\n\
                 deliver_to = [{{ sink = \"disk\", file = \"{number}.token\" }}]\n"
            )
        })
        .collect();
    world.configure();
    world
}

/// How many answers were 429, by the metrics.
fn throttled(world: &World) -> u32 {
    let text = std::fs::read_to_string(world.path("scimitar.prom")).unwrap();
    let series = "scimitar_provider_throttled_total{provider=\"acme\",instance_name=\"scimitar\"} ";
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    value.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
fn sixteen_workers_at_once_learn_the_pace_of_the_free_plan() {
    side_by_side([Reset::OneMore, Reset::FullAgain], |reset| {
        let world = world(2.0, 2, reset);
        let ended = world.run(&["--rotate-now"]).exits(0);
        let document = ended.json();
        let results = document["results"].as_array().unwrap();
        assert_eq!(results.len(), CONNECTIONS);
        assert!(results.iter().all(|row| row["outcome"] == "rotated"), "{document}");
        let refused = throttled(&world);
        assert!(refused <= 2, "{reset:?}: {refused} answers 429");
        // One list and one create each, and again only what was refused.
        assert_eq!(
            world.creates() + world.asked("GET", TOKENS),
            2 * CONNECTIONS + refused as usize
        );
        assert!(!ended.stderr.contains("WARN") || refused > 0, "{}", ended.stderr);
    });
}

#[test]
fn a_throttled_create_is_sent_again_without_another_list() {
    let world = World::new();
    let throttle = Rule::new("POST", "", Act::Throttle { retry_after: Some(1) });
    world.fault(throttle.ending(TOKENS).times(3));
    world.run(&["--rotate-now"]).exits(0);
    assert_eq!((world.creates(), world.asked("GET", TOKENS)), (4, 1));
    world.assert_sound("after three 429");
}

#[test]
fn an_undeclared_rate_limit_is_learnt_from_429_answers() {
    side_by_side([(2.0, 2), (5.0, 10)], |(rate, burst)| {
        let world = world(rate, burst, Reset::Unsaid);
        let ended = world.run(&["--rotate-now"]).exits(0);
        let refused = throttled(&world);
        let calls = world.creates() + world.asked("GET", TOKENS);
        assert_eq!(calls, 2 * CONNECTIONS + refused as usize);
        // Without a pace it is two in three. How many it is exactly depends on how busy the machine
        // is: the model of the budget has the bound of one in ten.
        assert!(refused as usize * 4 <= calls, "{refused} of {calls} answers 429");
        let warned = ended.stderr.matches("answered 429").count();
        assert_eq!(warned, 1, "{}", ended.stderr);
        assert!(!ended.stderr.contains("may be too high"), "{}", ended.stderr);
    });
}
