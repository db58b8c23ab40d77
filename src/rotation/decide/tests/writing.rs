//! The proof by writing: when a token is proven so, and what becomes of a user that it left.

use chrono::TimeDelta;

use super::world::{Content, World, days, place};
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        answer::{Removal, nowhere, stuck},
        decide::{About, Decision, Ending, Inquiry, Step, work_at},
        event::{Event, ProbeUserEvent},
        freeze::{Freeze, LocalSpan},
        operate,
        pause::Pause,
        policy::{Mode, ScopePolicy, UserScopes, Verify},
        probe_user::{Made, ProbeUserName, UserOp, WritePlan},
        record::{Cause, Phase, Proof},
        request::RotationRequest,
        status::{Concern, ConnectionStatus},
    },
    token::{Scope, Scopes},
};

const NAMES: [&str; 5] = ["get:users", "post:users", "put:users", "patch:users", "delete:users"];

fn scopes(names: &[&str]) -> Scopes {
    names.iter().map(|name| Scope::try_new(*name).unwrap()).collect()
}

fn by_writing(mut world: World, granted: &[&str]) -> World {
    world.policy.capabilities.user_scopes = UserScopes::named(NAMES);
    world.policy.terms.verify = Verify::Write;
    world.policy.terms.scopes = ScopePolicy::Exactly(scopes(granted));
    world
}

/// The next probe of a rotation that begins, and its plan to write.
fn next_plan(world: &mut World) -> Option<WritePlan> {
    for _ in 0..40 {
        let Decision { step, why } = world.decide();
        if let Step::Probe(Inquiry { about: About::OnItsWay { write, .. }, .. }) = step {
            return write.map(|plan| *plan);
        }
        assert!(!matches!(step, Step::Rest(_)), "no probe: {why}");
        world.play(step, &why);
    }
    panic!("no probe")
}

fn leave(world: &mut World) -> ProbeUserName {
    let (name, at) = (ProbeUserName::drawn(7), world.now);
    world.apply(Event::ProbeUser(ProbeUserEvent::Announced { name: name.clone(), at }));
    name
}

#[test]
fn a_minted_token_is_proven_by_what_its_scopes_allow() {
    let mut world = by_writing(World::new(&["a"]), &NAMES);
    let plan = next_plan(&mut world).unwrap();
    assert_eq!(plan.ops, UserOp::ALL.into());
    let mut world = by_writing(World::new(&["a"]), &["get:users", "post:users", "delete:users"]);
    let plan = next_plan(&mut world).unwrap();
    let left_out: Vec<UserOp> = plan.left_out.keys().copied().collect();
    assert_eq!(left_out, [UserOp::Replace, UserOp::Patch, UserOp::Deactivate]);
    // Without these a user could be left behind: it is proven by reading alone, and that is said.
    let mut world = by_writing(World::new(&["a"]), &["get:users", "post:users"]);
    assert_eq!(next_plan(&mut world), None);
    let (rest, _) = world.run();
    assert_eq!(world.current(), Some("new-1".to_owned()));
    let said = "can only be proven by reading, not by writing: it lacks the scope delete:users";
    assert!(rest.warnings.iter().any(|words| words.contains(said)), "{:?}", rest.warnings);
    let mut world = by_writing(World::new(&["a"]), &NAMES);
    world.policy.terms.verify = Verify::Read;
    assert_eq!(next_plan(&mut world), None);
}

#[test]
fn a_token_that_was_found_is_never_proven_by_writing() {
    let mut world = by_writing(World::new(&["a"]), &NAMES);
    let theirs = world.unmanaged("theirs", days(30));
    world.places.insert(place("a"), Content::Token(theirs, None));
    assert_eq!(next_plan(&mut world), None);
}

#[test]
fn what_is_urgent_or_has_just_failed_is_proven_by_reading() {
    let settled = || {
        let mut world = by_writing(World::new(&["a"]), &NAMES);
        world.run();
        world.pass_time(TimeDelta::hours(1));
        world.request = RotationRequest::Rotate { since: world.now };
        world
    };
    assert!(next_plan(&mut settled()).is_some());
    let mut leaked = settled();
    leaked.apply(Event::Condemned(leaked.record.leaked(leaked.now, leaked.now)));
    assert!(next_plan(&mut leaked).is_none(), "a fault in writes keeps no leaked token alive");
    // Given up because of its writes: the next one is not.
    let mut failed = settled();
    while !matches!(failed.record.phase, Phase::Delivering(_)) {
        let Decision { step, why } = failed.decide();
        failed.play(step, &why);
    }
    let fault = Fault::new("prove it", Class::Transient, Code::Forbidden, "403");
    let trouble = Some(failed.situation().failed(None, fault));
    failed.apply(Event::GivenUp { cause: Cause::GivenUp, trouble });
    failed.run();
    failed.pass_time(TimeDelta::hours(2));
    assert!(next_plan(&mut failed).is_none(), "{:?}", failed.log);
    let mut late = settled();
    late.pass_time(TimeDelta::days(30) - TimeDelta::minutes(100));
    assert!(next_plan(&mut late).is_none());
}

#[test]
fn a_user_that_was_left_is_deleted_at_rest() {
    let mut world = by_writing(World::new(&["a"]), &NAMES);
    world.run();
    world.log.clear();
    let name = leave(&mut world);
    world.run();
    assert_eq!(world.log, [format!("delete {name} with new-1")]);
    assert_eq!(world.record.probe_user, None);
    // Also where no proof by writing is asked for any more, and never while only watching.
    world.policy.terms.verify = Verify::Read;
    leave(&mut world);
    world.policy.terms.mode = Mode::Observe;
    world.run();
    assert!(world.record.probe_user.is_some());
    world.policy.terms.mode = Mode::Rotate;
    world.run();
    assert_eq!(world.record.probe_user, None);
}

#[test]
fn one_that_cannot_be_deleted_is_tried_again_and_said() {
    let mut world = by_writing(World::new(&["a"]), &NAMES);
    world.run();
    let name = leave(&mut world);
    let fault = stuck(&name, Class::Transient, Code::Unavailable, "503");
    world.removal = Removal::Stuck(fault);
    world.log.clear();
    let (rest, _) = world.run();
    assert_eq!(world.log.len(), 1, "once a pass: {:?}", world.log);
    let said = format!("probe_user_left: the throw-away user {name} still exists");
    assert!(rest.warnings.iter().any(|words| words.contains(&said)), "{:?}", rest.warnings);
    let retry_at = world.record.probe_user.as_ref().unwrap().trouble.as_ref().unwrap().retry_at;
    assert!(work_at(&world.situation(), &rest) <= retry_at);
    // Nothing waits for it.
    world.pass_time(TimeDelta::days(21));
    world.log.clear();
    world.run();
    assert!(world.log.iter().any(|line| line.starts_with("mint")), "{:?}", world.log);
    world.removal = Removal::Deleted;
    world.pass_time(TimeDelta::days(1));
    world.run();
    assert_eq!(world.record.probe_user, None);
}

#[test]
fn one_that_may_still_come_is_looked_for_again() {
    let mut world = by_writing(World::new(&["a"]), &NAMES);
    world.run();
    let name = leave(&mut world);
    world.removal = Removal::Absent;
    world.log.clear();
    let (rest, _) = world.run();
    let settles_at = world.record.probe_user.as_ref().unwrap().settles_at();
    assert_eq!(work_at(&world.situation(), &rest), settles_at);
    world.now = settles_at;
    world.observed = Default::default();
    world.run();
    assert_eq!(world.log, vec![format!("delete {name} with new-1"); 2]);
    assert_eq!(world.record.probe_user, None, "nothing can come any more");
}

#[test]
fn without_a_token_that_may_delete_it_nothing_is_tried() {
    let mut world = by_writing(World::new(&["a"]), &["get:users", "post:users"]);
    world.run();
    leave(&mut world);
    world.log.clear();
    world.run();
    assert_eq!(world.log, [""; 0]);
    assert!(world.record.probe_user.is_some());
}

/// Whatever holds its removal back, and whether or not that was tried.
#[test]
fn one_that_stays_for_an_hour_is_shown() {
    type Change = fn(&mut World);
    let observed: Change = |world| world.policy.terms.mode = Mode::Observe;
    let paused: Change = |world| {
        let (since, until) = (world.now, world.now + TimeDelta::days(5));
        let (by, reason) = ("alice".to_owned(), "migration".to_owned());
        world.apply(Event::Paused(Pause { since, until, by, reason }));
    };
    let less: Change = |world| {
        let fewer = scopes(&["get:users", "post:users"]);
        world.policy.terms.scopes = ScopePolicy::Exactly(fewer.clone());
        let current = world.record.current.as_mut().unwrap();
        current.asked.as_mut().unwrap().scopes = fewer.clone();
        let token = &mut current.token;
        token.scopes = fewer;
        let (id, scopes) = (token.id.clone(), token.scopes.clone());
        let listed = world.tokens.iter_mut().find(|token| token.id == id).unwrap();
        listed.scopes = scopes;
    };
    for (hold, said) in [
        (observed, "while mode = \"observe\""),
        (paused, "by alice"),
        (less, "which has no scope delete:users"),
    ] {
        let mut world = by_writing(World::new(&["a"]), &NAMES);
        world.run();
        hold(&mut world);
        // The next look shows it.
        world.pass_time(TimeDelta::seconds(1));
        let name = leave(&mut world);
        let (rest, _) = world.run();
        assert!(world.record.probe_user.is_some(), "{said}");
        let left = |warnings: &std::collections::BTreeSet<String>| {
            warnings.iter().find(|words| words.starts_with("probe_user_left: ")).cloned()
        };
        assert_eq!(left(&rest.warnings), None, "{said}: it may be deleted at any moment");
        world.pass_time(TimeDelta::hours(1));
        let (rest, _) = world.run();
        let shown = left(&rest.warnings).unwrap_or_else(|| panic!("{said}: {:?}", rest.warnings));
        let way_out = format!("adopt {} --user-gone {name}", world.record.name);
        assert!(shown.contains(said) && shown.contains(&way_out), "{shown}");
        let status = ConnectionStatus::of(&world.record, Some(&world.policy), world.now);
        assert!(status.concerns.contains(&Concern::ProbeUserLeft), "{said}");
    }
}

/// Its id is not known, and no search finds it.
#[test]
fn one_that_is_somewhere_is_searched_for_until_a_person_ends_it() {
    let mut world = by_writing(World::new(&["a"]), &NAMES);
    world.run();
    let name = leave(&mut world);
    world.apply(Event::ProbeUser(ProbeUserEvent::Made(Made::Unnamed)));
    let user = world.record.probe_user.clone().unwrap();
    world.removal = nowhere(&user, world.now);
    world.run();
    for _ in 0..60 {
        world.pass_time(TimeDelta::hours(4));
        world.run();
    }
    let user = world.record.probe_user.clone().expect("it does not go by time");
    assert!(user.needs_person(world.now) && user.trouble.is_some());
    world.log.clear();
    for _ in 0..48 {
        world.pass_time(TimeDelta::hours(1));
        world.run();
    }
    let searches = world.log.iter().filter(|line| line.starts_with("delete scimitar")).count();
    assert!((1..=3).contains(&searches), "seldom: {searches}");

    let other = ProbeUserName::drawn(8);
    assert!(operate::accept_user_gone(&world.situation(), &other).is_err());
    let (events, words) = operate::accept_user_gone(&world.situation(), &name).unwrap();
    assert!(words.contains(name.as_str()));
    events.into_iter().for_each(|event| world.apply(event));
    assert_eq!(world.record.probe_user, None);
    assert!(operate::accept_user_gone(&world.situation(), &name).is_err(), "it is so already");
}

/// A token without expiry is never about to expire, and is not kept for ever because of a fault in writes.
#[test]
fn an_age_that_is_overdue_is_proven_by_reading() {
    let aged = |late: TimeDelta| {
        let mut world = by_writing(World::new(&["a"]), &NAMES);
        world.policy.capabilities.shortest_life = None;
        world.policy.terms.token_lifetime = None;
        world.policy.terms.rotate_before = None;
        world.policy.terms.max_age = Some(days(30));
        world.run();
        world.pass_time(TimeDelta::days(30) + late);
        world
    };
    assert!(next_plan(&mut aged(TimeDelta::minutes(30))).is_some());
    assert_eq!(next_plan(&mut aged(TimeDelta::minutes(90))), None);
    // What a freeze held back is not late.
    let mut frozen = aged(-TimeDelta::days(1));
    let local = |at: crate::clock::Timestamp| at.format("%Y-%m-%dT%H:%M:%S").to_string();
    let span = format!("{}/{}", local(frozen.now), local(frozen.now + TimeDelta::days(3)));
    let span = LocalSpan::parse(&span).unwrap();
    frozen.policy.terms.freeze = Freeze::new(&[span], chrono_tz::Tz::UTC);
    frozen.pass_time(TimeDelta::days(3) + TimeDelta::minutes(10));
    assert!(next_plan(&mut frozen).is_some());
}

/// A call whose time is not enough for the writes must not be followed by another such.
#[test]
fn a_proof_that_outlasts_the_call_is_not_tried_in_the_next() {
    for (ending, reads) in [(Ending::Timeout, true), (Ending::Interrupted, false)] {
        let mut world = by_writing(World::new(&["a"]), &NAMES);
        world.run();
        world.pass_time(TimeDelta::hours(1));
        world.request = RotationRequest::Rotate { since: world.now };
        while !matches!(world.record.phase, Phase::Delivering(_)) {
            let Decision { step, why } = world.decide();
            world.play(step, &why);
        }
        let since = Some(world.provider_now());
        let silent = Proof::Pending { refused_since: None, silent_since: since };
        world.apply(Event::Proven(silent));
        world.ending = Some(ending);
        world.run();
        assert_eq!(world.record.phase, Phase::Steady);
        world.ending = None;
        world.pass_time(TimeDelta::hours(2));
        world.request = RotationRequest::Rotate { since: world.now };
        assert_eq!(next_plan(&mut world).is_none(), reads, "{ending:?}");
    }
}
