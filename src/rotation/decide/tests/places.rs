//! Places that are away, are others by the same name, or come and go with what they are in.

use chrono::TimeDelta;

use super::{
    super::Status,
    world::{Content, World, id, place},
};
use crate::{
    place::Container,
    rotation::{
        event::{Event, PlaceEvent},
        why::Reason,
    },
};

fn container(id: &str, strict: bool) -> Container {
    Container { id: id.to_owned(), words: format!("the box {id}"), strict }
}

#[test]
fn a_place_in_another_container_is_away_not_empty_till_accepted() {
    for strict in [true, false] {
        let mut world = World::new(&["a"]);
        world.containers.insert(place("a"), container("one", strict));
        world.run();
        world.live(TimeDelta::hours(1));
        world.log.clear();
        // The mount did not come up: what is there now is another box, and it is empty.
        world.places.insert(place("a"), Content::Nothing);
        world.containers.insert(place("a"), container("two", strict));
        let (rest, why) = world.live(TimeDelta::days(12));
        assert_eq!(rest.reason, Some(Reason::PlaceChanged), "{why}");
        assert_eq!(rest.status, Status::Refused, "{why}");
        assert!(why.contains("the box one") && why.contains("the box two"), "{why}");
        assert!(why.contains("adopt initech-okta --place"), "{why}");
        assert_eq!(world.log, Vec::<String>::new());
        // Long after it went it is still asked for with each check, and that is said.
        let wait = rest.until.unwrap() - world.now;
        assert!(wait > TimeDelta::zero() && wait <= TimeDelta::hours(1), "{wait}");
        // It comes back.
        let marks = world.marks(&id("new-1"), 1);
        world.places.insert(place("a"), Content::Token(id("new-1"), Some(marks)));
        world.containers.insert(place("a"), container("one", strict));
        let (rest, why) = world.live(TimeDelta::hours(2));
        assert_eq!((rest.status, rest.reason), (Status::Idle, None), "{why}");
        // It moved for good, and an operator says so.
        world.places.insert(place("a"), Content::Nothing);
        world.containers.insert(place("a"), container("three", strict));
        world.live(TimeDelta::hours(2));
        let container = container("three", strict);
        world.apply(Event::Place { place: place("a"), what: PlaceEvent::Accepted { container } });
        world.live(TimeDelta::hours(2));
        assert_eq!(world.holds("a"), Some("new-2".to_owned()), "{:?}", world.log);
    }
}

#[test]
fn nothing_is_learnt_from_a_place_that_is_another_one() {
    let mut world = World::new(&["a"]);
    world.containers.insert(place("a"), container("one", true));
    world.run();
    let marks = world.marks(&id("new-1"), 99);
    world.places.insert(place("a"), Content::Token(id("new-1"), Some(marks)));
    world.containers.insert(place("a"), container("two", true));
    world.restart();
    let (rest, why) = world.run();
    assert_eq!(rest.reason, Some(Reason::PlaceChanged), "{why}");
    assert!(world.record.generation_seen < 99, "not even how far its mark says that it is");
}

#[test]
fn a_file_system_whose_number_changed_is_known_by_what_is_in_it() {
    let mut world = World::new(&["a"]);
    world.containers.insert(place("a"), container("8:1", false));
    world.run();
    world.live(TimeDelta::hours(1));
    world.containers.insert(place("a"), container("8:17", false));
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!((rest.status, rest.reason), (Status::Idle, None), "{why}");
    // From then on that is where it is.
    world.places.insert(place("a"), Content::Nothing);
    world.containers.insert(place("a"), container("8:1", false));
    let (rest, _) = world.live(TimeDelta::hours(2));
    assert_eq!(rest.reason, Some(Reason::PlaceChanged));
}

#[test]
fn a_folder_that_goes_before_it_was_recorded_is_not_made_again() {
    let missing = container(Container::MISSING, true);
    let mut world = World::new(&["a"]);
    world.containers.insert(place("a"), missing.clone());
    world.run();
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
    // What the delivery made is known from the delivery on; an older version did not note it.
    for is_recorded in [true, false] {
        let mut world = world.clone();
        let sink = world.record.sinks.get_mut(&place("a")).unwrap();
        assert!(sink.container.as_ref().is_some_and(|container| !container.is_missing()));
        sink.container = sink.container.take().filter(|_| is_recorded);
        world.places.insert(place("a"), Content::Nothing);
        world.containers.insert(place("a"), missing.clone());
        world.log.clear();
        let (rest, why) = world.live(TimeDelta::hours(2));
        assert_eq!(rest.reason, Some(Reason::PlaceChanged), "{why}");
        assert_eq!(world.log, Vec::<String>::new());
    }
}

#[test]
fn a_folder_made_by_a_delivery_is_told_from_one_made_by_others() {
    let mut world = World::new(&["a"]);
    world.containers.insert(place("a"), container(Container::MISSING, true));
    world.run();
    // An empty mount over it before anybody looked again.
    world.places.insert(place("a"), Content::Nothing);
    world.containers.insert(place("a"), container("tmpfs", false));
    world.log.clear();
    let (rest, why) = world.live(TimeDelta::hours(2));
    assert_eq!(rest.reason, Some(Reason::PlaceChanged), "{why}");
    assert_eq!(world.log, Vec::<String>::new());
}

#[test]
fn a_missing_folder_is_made_for_the_first_delivery_alone() {
    let missing = container(Container::MISSING, true);
    let mut world = World::new(&["a"]);
    world.containers.insert(place("a"), missing.clone());
    world.run();
    assert_eq!(world.holds("a"), Some("new-1".to_owned()), "{:?}", world.log);
    world.containers.insert(place("a"), container("8:1", false));
    world.live(TimeDelta::hours(2));
    world.places.insert(place("a"), Content::Nothing);
    world.containers.insert(place("a"), missing);
    world.log.clear();
    let (rest, _) = world.live(TimeDelta::hours(2));
    assert_eq!(rest.reason, Some(Reason::PlaceChanged));
    assert_eq!(world.log, Vec::<String>::new());
}

#[test]
fn a_durable_place_fills_a_memory_volume_emptied_by_a_restart() {
    let mut world = World::new(&["memory", "vault"]);
    world.containers.insert(place("memory"), container("tmpfs", false));
    world.containers.insert(place("vault"), container("mount", true));
    world.run();
    world.live(TimeDelta::hours(1));
    world.places.insert(place("memory"), Content::Nothing);
    world.live(TimeDelta::hours(1));
    assert_eq!(world.holds("memory"), Some("new-1".to_owned()), "{:?}", world.log);
    assert_eq!(world.made, 1);
}
