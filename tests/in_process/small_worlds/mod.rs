//! The protocol's small worlds, all of them: two workers, two slots, two sinks and one human, with the
//! real decisions and the real record. Every order of their steps, with so many troubles in each life:
//! answers that are lost, effects that come late, a sink, the provider or the ledger that is away, a
//! worker that dies between any two effects or stands still until another has taken over, and a human
//! who makes or revokes a token. The promises hold in each state, and each life ends well.
//!
//! `SCIMITAR_SMALL_WORLDS=n` allows n troubles in each life (else 2).

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "outside of #[test] functions, all of this is test code all the same"
)]

mod acts;
mod model;
mod walk;
mod worker;

use self::{
    model::Sabotage,
    walk::{Walk, scenes, walk},
};

/// How often time passes in a life before its trouble is over.
const WAITS: usize = 6;

/// Fewer states than this mean that the walk has a hole, by the number of troubles.
const FLOORS: [usize; 3] = [30, 1_000, 200_000];

fn walks(sabotage: Sabotage, troubles: usize) -> Vec<(&'static str, Walk)> {
    std::thread::scope(|scope| {
        let walks: Vec<_> = scenes(sabotage)
            .into_iter()
            .map(|(scene, root)| (scene, scope.spawn(move || walk(&root, troubles, WAITS))))
            .collect();
        walks.into_iter().map(|(scene, walk)| (scene, walk.join().unwrap())).collect()
    })
}

#[test]
fn every_small_world_keeps_the_promises() {
    let asked = std::env::var("SCIMITAR_SMALL_WORLDS").ok();
    let troubles = asked.map_or(2, |text| text.trim().parse().unwrap());
    let mut states = 0;
    for (scene, walk) in walks(Sabotage::None, troubles) {
        #[expect(clippy::print_stdout, reason = "shown with --nocapture")]
        {
            println!(
                "{scene}: {} states, {} actions deep, {} ends",
                walk.states, walk.depth, walk.ends
            );
        }
        if let Some(how) = walk.broken {
            panic!("{scene}: {how}");
        }
        states += walk.states;
    }
    #[expect(clippy::print_stdout, reason = "shown with --nocapture")]
    {
        println!("{states} states with {troubles} troubles");
    }
    let floor = FLOORS[troubles.min(FLOORS.len() - 1)];
    assert!(states >= floor, "only {states} states");
}

/// Checks that never fail check nothing.
#[test]
fn what_leaves_a_guard_out_is_found() {
    for (sabotage, promise) in [
        (Sabotage::NoIntent, "5 it always ends well"),
        (Sabotage::NoFence, "1 always one that works"),
    ] {
        let broken: Vec<String> =
            walks(sabotage, 1).into_iter().filter_map(|(_, walk)| walk.broken).collect();
        let found = broken.iter().any(|how| how.starts_with(promise));
        assert!(found, "{sabotage:?}: {broken:#?}");
    }
}
