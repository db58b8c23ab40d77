//! The scheduler: who is attended to, when, and beside how many others. Time is simulated; the
//! engine and the scheduler are the real ones.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "outside of #[test] functions, all of this is test code all the same"
)]

mod audit;
mod hooks;
mod isolation;
mod lines;
mod own;
mod still;
mod world;

use std::sync::{Arc, atomic::Ordering};

use chrono::TimeDelta;
use scimitar::{
    engine::{live::Obstacle, report::Outcome},
    ledger::{Claimed, Ledger},
    rotation::record::Record,
};
use scimitar_test_support::{heard, memory_ledger};

use self::world::World;

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}

/// Without what the first list clears up, of which lines of the log would tell.
fn sound(record: &mut Record) {
    record.unmanaged.clear();
    record.missing = None;
}

#[tokio::test]
async fn due_work_runs_most_urgent_first_and_bounded_in_number() {
    let mut world = World::new(seconds(10));
    let mut connections = Vec::new();
    for number in 0..40 {
        let name = format!("c{number:02}");
        // The higher its number the less is left; all have been due for a while.
        world.record(&name, -seconds(60), days(100 - number)).await;
        connections.push(world.connection(&name));
    }
    world.start(connections, 3);
    world.pass(seconds(1_000)).await;
    let visits = world.visits();
    assert_eq!(world.provider.most.load(Ordering::SeqCst), 3);
    let names: Vec<_> = visits.iter().map(|visit| visit.name.as_str()).collect();
    let mut once: Vec<_> = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), 40, "everybody had a turn: {names:?}");
    // Every fourth start is the agenda's, in the order of names; the others are by urgency.
    assert_eq!(
        names[..8],
        ["con_c39", "con_c38", "con_c37", "con_c00", "con_c36", "con_c35", "con_c34", "con_c01"]
    );
}

#[tokio::test]
async fn an_endless_queue_does_not_keep_a_new_connection_waiting() {
    let mut world = World::new(seconds(20));
    let mut connections = vec![world.connection("new")];
    for number in 0..200 {
        let name = format!("due{number:03}");
        world.record(&name, -seconds(60), days(1)).await;
        connections.push(world.connection(&name));
    }
    // The order of keys puts it behind all others.
    world.start(connections, 1);
    world.pass(seconds(20 * 204 * 2)).await;
    let names = world.visited();
    let turn = names.iter().position(|name| name == "con_new");
    assert!(turn.is_some(), "{names:?}");
}

#[tokio::test]
async fn it_wakes_once_a_minute_and_when_something_is_due() {
    let mut world = World::new(seconds(0));
    world.record("later", seconds(3 * 3_600 + 17), days(60)).await;
    let connection = world.connection("later");
    world.start(vec![connection], 4);
    world.pass(seconds(60)).await;
    // It was looked at once, as everything is after a start, and put off.
    assert_eq!(world.visited(), ["con_later"]);
    let stored = world.ledger.load(&world::key("later")).await;
    let wake_at = stored.unwrap().unwrap().record.wake_at.unwrap();
    let before = world.clock.jumps();
    let idle = wake_at - world::noon() - world.clock.since() - seconds(1);
    world.pass(idle).await;
    assert_eq!(world.visited(), [""; 0]);
    let minutes = usize::try_from(idle.num_minutes()).unwrap();
    assert!(
        world.clock.jumps() - before <= minutes + 2,
        "{} wake-ups in {minutes} minutes",
        world.clock.jumps() - before
    );
    world.pass(seconds(1)).await;
    assert_eq!(world.visited(), ["con_later"]);
}

#[tokio::test]
async fn a_new_configuration_replaces_the_old_one_as_a_whole() {
    let mut world = World::new(seconds(5));
    let [kept, gone, new] = ["kept", "gone", "new"].map(|name| world.connection(name));
    world.start(vec![Arc::clone(&kept), Arc::clone(&gone)], 4);
    world.pass(seconds(1)).await;
    let mut names = world.visited();
    names.sort();
    assert_eq!(names, ["con_gone", "con_kept"]);
    // In mid-look.
    world.change(vec![Arc::clone(&kept), Arc::clone(&new)], &["new"]).await;
    world.pass(seconds(1)).await;
    assert_eq!(world.visited(), ["con_new"], "what is new is attended to at once");
    assert_eq!(world.live.connections().len(), 2);
    world.pass(days(1)).await;
    let visited = world.visited();
    assert!(visited.contains(&"con_kept".to_owned()), "{visited:?}");
    assert!(!visited.contains(&"con_gone".to_owned()), "what left is not touched any more");
    assert_eq!(world.told.last().connections, 2);
    // It comes back and goes on.
    world.change(vec![kept, new, gone], &["gone"]).await;
    world.pass(seconds(1)).await;
    assert!(world.visited().contains(&"con_gone".to_owned()));
}

#[tokio::test]
async fn one_that_changes_while_it_is_worked_on_is_attended_to_again() {
    let mut world = World::new(seconds(5));
    let connection = world.connection("one");
    world.start(vec![Arc::clone(&connection)], 4);
    world.pass(seconds(1)).await;
    assert_eq!(world.visited(), ["con_one"]);
    world.change(vec![connection], &["one"]).await;
    world.pass(seconds(3)).await;
    assert_eq!(world.visited(), [""; 0], "never two at once");
    world.pass(seconds(3)).await;
    assert_eq!(world.visited(), ["con_one"]);
}

#[tokio::test]
async fn a_ledger_that_is_away_is_said_once_and_nothing_is_lost() {
    let mut world = World::new(seconds(0));
    world.record("due", -seconds(60), days(60)).await;
    world.record("soon", seconds(600), days(60)).await;
    let connections = ["due", "soon"].map(|name| world.connection(name));
    world.ledger.set_reachable(false);
    world.start(connections.to_vec(), 4);
    world.pass(seconds(900)).await;
    assert_eq!(world.visited(), [""; 0]);
    let obstacles = world.live.obstacles();
    assert_eq!(obstacles.len(), 1);
    assert_eq!((obstacles[0].obstacle, obstacles[0].since), (Obstacle::Ledger, world::noon()));
    assert!(world.told.last().standstill.is_some());
    assert!(world.clock.jumps() < 60, "it is not asked all the time: {}", world.clock.jumps());
    world.ledger.set_reachable(true);
    world.pass(seconds(31)).await;
    let mut names = world.visited();
    names.sort();
    assert_eq!(names, ["con_due", "con_soon"]);
    assert_eq!(world.live.obstacles(), []);
    assert_eq!(world.told.last().standstill, None);
    // The same in the middle of its life.
    world.ledger.set_reachable(false);
    world.pass(seconds(7_200)).await;
    assert_eq!(world.visited(), [""; 0]);
    world.ledger.set_reachable(true);
    world.pass(seconds(31)).await;
    assert_eq!(world.visited().len(), 2);
}

#[tokio::test]
async fn while_the_ledger_is_away_the_scheduler_does_not_spin() {
    let mut world = World::new(seconds(30));
    for name in ["one", "two"] {
        world.record(name, -seconds(60), days(60)).await;
    }
    let connections = ["one", "two"].map(|name| world.connection(name));
    world.start(connections.to_vec(), 4);
    world.pass(seconds(10)).await;
    // It goes away in the middle of their work, which then tries to write for a while.
    world.ledger.set_reachable(false);
    let before = world.told.rounds();
    world.pass(seconds(300)).await;
    let rounds = world.told.rounds() - before;
    assert!(rounds <= 60, "{rounds} rounds in five minutes");
    world.ledger.set_reachable(true);
    world.visits();
    world.pass(seconds(120)).await;
    let mut names = world.visited();
    names.sort();
    names.dedup();
    assert_eq!(names, ["con_one", "con_two"]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_nothing_late() {
    let mut world = World::new(seconds(0));
    world.record("one", seconds(0), days(900)).await;
    let connection = world.connection("one");
    world.clock.set_off(days(400));
    world.start(vec![connection], 4);
    world.pass(seconds(120)).await;
    assert!(!world.visited().is_empty());
    // Everything noted so far lies more than a year ahead.
    world.clock.set_off(TimeDelta::zero());
    world.pass(seconds(120)).await;
    assert_eq!(world.visited(), ["con_one"]);
}

#[tokio::test]
async fn a_clock_set_ahead_makes_work_due_once() {
    let mut world = World::new(seconds(5));
    let names = ["one", "two", "three"];
    for name in names {
        world.record(name, days(20), days(900)).await;
    }
    let connections = names.map(|name| world.connection(name));
    world.start(connections.to_vec(), 4);
    world.pass(seconds(600)).await;
    assert_eq!(world.visits().len(), 3, "as everything after a start");
    // Whoever sleeps does so until an hour has passed by the clock as it was.
    world.clock.set_off(days(400));
    let jumped = world.clock.since().num_seconds();
    world.pass(seconds(1_800)).await;
    let visits = world.visits();
    let mut seen: Vec<_> = visits.iter().map(|visit| visit.name.as_str()).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["con_one", "con_three", "con_two"], "each once: {visits:?}");
    assert!(visits.iter().all(|visit| visit.at - jumped <= 60), "after {jumped}: {visits:?}");
    // From there on it goes on as before: a survey an hour.
    world.pass(seconds(2 * 3_600)).await;
    let visits = world.visits();
    assert!((3..=9).contains(&visits.len()), "{visits:?}");
}

#[tokio::test]
async fn records_of_others_and_defects_keep_nobody_from_a_turn() {
    let mut world = World::new(seconds(1));
    for number in 0..50 {
        // They left the configuration and are due for ever.
        world.record(&format!("left{number:02}"), -seconds(60), days(1)).await;
    }
    world.record("panics", -seconds(60), days(2)).await;
    world.record("mine", -seconds(60), days(60)).await;
    let connections = ["mine", "panics"].map(|name| world.connection(name));
    world.start(connections.to_vec(), 2);
    world.pass(seconds(3 * 60)).await;
    let visits = world.visits();
    let of = |name: &str| visits.iter().filter(|visit| visit.name == name).count();
    assert!(of("con_mine") >= 1, "{visits:?}");
    // A defect is met again and again, but never all the time.
    assert!((2..=4).contains(&of("con_panics")), "{visits:?}");
    assert_eq!(visits.len(), of("con_mine") + of("con_panics"));
    assert_eq!(world.told.last().connections, 2);
}

#[tokio::test]
async fn an_operator_waits_for_the_one_who_acts_on_the_connection() {
    let world = World::new(seconds(0));
    world.record("one", seconds(0), days(60)).await;
    let daemon = world.ledger.another();
    let lease = std::time::Duration::from_secs(60);
    let held = daemon.claim(&world::key("one"), lease).await.unwrap();
    assert!(matches!(held, Claimed::Yes(..)));
    let call = world.revoke(world.connection("one"));
    world.pass(seconds(59)).await;
    assert!(!call.is_finished());
    assert_eq!(world.visited(), [""; 0]);
    world.pass(seconds(2)).await;
    // The current token is refused; what counts is that the call was carried out at all.
    let refused = call.await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("tok_2"), "{refused}");
    assert_eq!(world.visited(), ["con_one"]);
    // One who acts for too long is told of as a failure, not as success.
    let held = daemon.claim(&world::key("one"), lease * 10).await.unwrap();
    assert!(matches!(held, Claimed::Yes(..)));
    let call = world.revoke(world.connection("one"));
    world.pass(seconds(121)).await;
    let report = call.await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
}

#[tokio::test]
async fn thousands_of_records_that_left_do_not_hide_what_is_due() {
    let mut world = World::new(seconds(0));
    for number in 0..2_000 {
        world.record(&format!("left{number:04}"), -seconds(60), -days(1)).await;
    }
    world.record("mine", seconds(600), days(60)).await;
    let connection = world.connection("mine");
    world.start(vec![connection], 2);
    world.pass(seconds(1)).await;
    assert_eq!(world.visited(), ["con_mine"], "as everything after a start");
    // Its survey comes an hour later.
    world.pass(seconds(3_500)).await;
    world.visits();
    world.pass(seconds(200)).await;
    assert_eq!(world.visited(), ["con_mine"]);
}

#[tokio::test]
async fn a_stop_lets_go_of_a_question_that_is_not_answered() {
    let mut world = World::new(seconds(50));
    let connection = world.connection("one");
    world.start(vec![connection], 4);
    world.pass(seconds(1)).await;
    world.stop.cancel();
    world.pass(TimeDelta::milliseconds(500)).await;
    let doing = world.told.last();
    assert!(doing.stopping && doing.running == 1, "{doing:?}");
    assert_eq!(world.live.obstacles()[0].obstacle, Obstacle::Stopping);
    world.pass(TimeDelta::milliseconds(600)).await;
    let doing = world.told.last();
    assert!(doing.stopping && doing.running == 0, "{doing:?}");
    assert_eq!(world.visited(), ["con_one"]);
}
