//! Writes to a place that cannot be asked, whose answer was lost: they may land over a later one.

use std::time::Duration;

use chrono::TimeDelta;

use super::world::{World, id, place};
use crate::rotation::{
    event::{Event, PlaceEvent},
    fixture,
    uptake::Uptake,
};

const LINGERS: TimeDelta = TimeDelta::seconds(150);

/// `a` can be read, `entra` cannot; `new-1` is everywhere.
fn beside_entra() -> World {
    let mut world = World::new(&["a"]);
    world.policy.capabilities.cap = None;
    world.hand_offs.insert(place("entra"));
    world.uptakes.insert(place("entra"), Uptake::ByClient);
    world.configure(&["a", "entra"]);
    world.run();
    assert_eq!(world.current(), Some("new-1".to_owned()), "{:?}", world.log);
    world.pass_time(TimeDelta::hours(1));
    let sink = world.record.sinks.get_mut(&place("entra")).unwrap();
    sink.lingers = Duration::from_secs(150);
    world
}

impl World {
    fn at_entra(&mut self, what: PlaceEvent) {
        self.apply(Event::Place { place: place("entra"), what });
    }

    /// A write of this token is sent to `entra`, and no answer comes.
    fn loses_answer(&mut self, token: &str) {
        let begun = PlaceEvent::PromoteBegun {
            id: id(token),
            at: self.now,
            replaces: None,
            container: None,
        };
        self.at_entra(begun);
        let trouble = fixture::trouble(1);
        self.at_entra(PlaceEvent::PromoteFailed { trouble, certain: false });
    }

    fn rotates(&mut self) {
        let since = self.now;
        self.request = crate::rotation::request::RotationRequest::Rotate { since };
        self.run();
    }

    /// When `entra` got the current token, after `since`.
    fn waited(&mut self, since: crate::clock::Timestamp) -> TimeDelta {
        for _ in 0..60 {
            if self.record.sinks[&place("entra")].holds.as_ref() == self.record.target() {
                break;
            }
            self.live(TimeDelta::seconds(10));
        }
        self.now - since
    }

    fn was_given(&self, token: &str) -> bool {
        self.record.sinks[&place("entra")].was_given(&id(token))
    }
}

#[test]
fn a_newer_token_waits_until_an_older_write_cannot_land() {
    let mut world = beside_entra();
    let sent = world.now;
    world.loses_answer("new-1");
    world.rotates();
    assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
    assert_ne!(world.holds("entra"), Some("new-2".to_owned()), "{:?}", world.log);
    let waited = world.waited(sent);
    assert!((LINGERS..LINGERS + TimeDelta::seconds(30)).contains(&waited), "{waited}");
    assert!(world.was_given("new-2"), "{:?}", world.log);
}

#[test]
fn a_write_that_was_repeated_may_still_land_the_first_time() {
    let mut world = beside_entra();
    let sent = world.now;
    world.loses_answer("new-1");
    world.pass_time(TimeDelta::seconds(20));
    let (at, provider) = (world.now, world.provider_now());
    let begun = PlaceEvent::PromoteBegun { id: id("new-1"), at, replaces: None, container: None };
    world.at_entra(begun);
    let version = crate::place::Version("new-1".to_owned());
    let done = PlaceEvent::Delivered { id: id("new-1"), version, at, provider, container: None };
    world.at_entra(done);
    assert!(world.was_given("new-1"), "whichever lands, it is the same");
    world.rotates();
    let waited = world.waited(sent);
    assert!(waited >= LINGERS, "{waited}: {:?}", world.log);
}

#[test]
fn nobody_is_locked_out_by_that_wait() {
    let mut world = beside_entra();
    // What the client has dies within the wait.
    let soon = world.provider_now() + TimeDelta::seconds(100);
    world.tokens[0].valid_until = Some(soon);
    world.loses_answer("new-1");
    world.rotates();
    assert_eq!(world.holds("entra"), Some("new-2".to_owned()), "{:?}", world.log);
    // The older write may have landed over it since: it is given it once more, and only then has it.
    assert!(!world.was_given("new-2"));
    let promoted = |world: &World| {
        world
            .log
            .iter()
            .filter(|step| step.starts_with("promote new-2") && step.contains("entra"))
            .count()
    };
    assert_eq!(promoted(&world), 1, "{:?}", world.log);
    world.live(TimeDelta::minutes(4));
    assert_eq!(promoted(&world), 2, "{:?}", world.log);
    assert!(world.was_given("new-2"), "{:?}", world.log);
}

#[test]
fn an_empty_place_waits_as_well_before_it_is_filled() {
    let mut world = beside_entra();
    let sent = world.now;
    let entra = world.record.sinks.get_mut(&place("entra")).unwrap();
    (entra.holds, entra.version) = (None, None);
    world.loses_answer("older");
    world.values.insert(id("new-1"));
    world.run();
    let waited = world.waited(sent);
    assert!((LINGERS..LINGERS + TimeDelta::seconds(30)).contains(&waited), "{waited}");
}
