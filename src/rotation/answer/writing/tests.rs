//! What answers about throw-away users are taken for.

use super::*;
use crate::rotation::{
    answer::{SeenUser, SeenUsers, Sighting, found, nowhere, remains, sighted, undeleted},
    fixture,
    policy::UserScopes,
    probe_user::ProbeUser,
};

const NAMES: [&str; 5] = ["get:users", "post:users", "put:users", "patch:users", "delete:users"];

fn name() -> ProbeUserName {
    ProbeUserName::drawn(7)
}

fn id(text: &str) -> ScimUserId {
    ScimUserId::try_new(text).unwrap()
}

fn user(text: &str, name: &str, active: Option<bool>) -> SeenUser {
    SeenUser { id: id(text), name: name.to_owned(), active }
}

fn done(users: Vec<SeenUser>) -> UserAnswer {
    UserAnswer::Done(SeenUsers { users, ..SeenUsers::default() })
}

fn ours(active: bool) -> UserAnswer {
    done(vec![user("a|7", name().as_str(), Some(active))])
}

fn refused(status: u16) -> UserAnswer {
    UserAnswer::Refused { status, words: format!("it answered {status}") }
}

fn silent() -> UserAnswer {
    UserAnswer::Inconclusive(fixture::fault())
}

fn writing() -> Writing {
    let scopes = UserScopes::named(NAMES).unwrap();
    let granted = NAMES.iter().map(|name| crate::token::Scope::try_new(*name).unwrap()).collect();
    let plan = WritePlan::of(name(), &scopes, &granted).unwrap();
    Writing::new(fixture::id("tok_new"), &plan, fixture::now())
}

#[test]
fn only_an_answer_under_the_very_name_gives_an_id() {
    let made = |answer| user_created(&name(), true, answer);
    assert_eq!(made(ours(true)), Created::Made(Made::As(id("a|7"))));
    // Somebody else's id, a longer name, another case, or none at all.
    for other in ["ada@acme.example", "x-scimitar-probe-0000000000000007@scimitar.invalid"] {
        let answer = done(vec![user("a|1", other, Some(true))]);
        assert_eq!(made(answer), Created::Made(Made::Unnamed), "{other}");
    }
    assert_eq!(made(done(Vec::new())), Created::Made(Made::Unnamed));
    assert!(matches!(made(silent()), Created::Unclear(ProbeAnswer::Inconclusive(_))));
    assert!(matches!(made(refused(409)), Created::Unclear(ProbeAnswer::Inconclusive(_))));
    for answer in [refused(400), UserAnswer::NotThere, UserAnswer::Unauthorized] {
        assert_eq!(made(answer.clone()), Created::No(answer));
    }
    // Nothing earlier can have taken a name that was just drawn.
    assert_eq!(user_created(&name(), false, refused(409)), Created::No(refused(409)));
}

#[test]
fn a_search_finds_nobody_else() {
    let other = || user("a|1", "scimitar-probe-@scimitar.invalid", Some(true));
    let all = done(vec![other(), user("a|7", name().as_str(), None), other()]);
    assert_eq!(sighted(&name(), all), Sighting::There([id("a|7")].into()));
    assert_eq!(sighted(&name(), done(vec![other()])), Sighting::Nowhere);
    assert_eq!(sighted(&name(), done(Vec::new())), Sighting::Nowhere);
    // A filter that is not obeyed, and not all users in the answer.
    let some = SeenUsers { users: vec![other()], more: true, unreadable: false };
    assert!(matches!(sighted(&name(), UserAnswer::Done(some)), Sighting::Hidden(_)));
    let odd = SeenUsers { unreadable: true, ..SeenUsers::default() };
    assert!(matches!(sighted(&name(), UserAnswer::Done(odd)), Sighting::Hidden(_)));
    let failed = sighted(&name(), UserAnswer::Unauthorized);
    assert!(matches!(failed, Sighting::Failed(ProbeAnswer::Inconclusive(_))), "{failed:?}");
    assert!(matches!(sighted(&name(), UserAnswer::NotThere), Sighting::Hidden(_)));
}

#[test]
fn what_speaks_against_the_token_ends_the_operations() {
    let mut proof = writing();
    let mut ops = Vec::new();
    while let Some(act) = proof.next(&id("a|7"), &name()) {
        ops.push(act.op());
        if act.op() == UserOp::Read {
            proof.seen(&name(), &id("a|7"), &ours(true));
        }
        proof.took(act.op(), &name(), ours(true));
        if act.op() == UserOp::Deactivate {
            proof.read_back(&name(), &ours(false));
        }
    }
    let between =
        [UserOp::Read, UserOp::Search, UserOp::Replace, UserOp::Patch, UserOp::Deactivate];
    assert_eq!(ops, between);
    proof.made();
    proof.ended(&Removal::Deleted, fixture::now());
    let (answer, kept) = proof.finish();
    assert_eq!(answer, ProbeAnswer::Accepted);
    let kept = kept.unwrap();
    assert!(kept.faulty.is_empty());
    assert_eq!(kept.worked, UserOp::ALL.into());

    for (answer, against) in [
        (UserAnswer::Unauthorized, true),
        (UserAnswer::Forbidden, true),
        (silent(), true),
        (refused(400), false),
        (refused(501), false),
        (UserAnswer::NotThere, false),
    ] {
        let mut proof = writing();
        proof.seen(&name(), &id("a|7"), &ours(true));
        proof.took(UserOp::Replace, &name(), answer.clone());
        assert_eq!(proof.next(&id("a|7"), &name()).is_none(), against, "{answer:?}");
        let (proven, kept) = proof.finish();
        assert_eq!(proven != ProbeAnswer::Accepted, against, "{answer:?}");
        let faulty = kept.is_some_and(|kept| kept.faulty.contains_key(&UserOp::Replace));
        assert_eq!(faulty, !against, "{answer:?}");
    }
}

/// The answer to the create named somebody's id, or shows our name under another.
#[test]
fn nobody_but_the_throw_away_user_is_changed() {
    for seen in [
        done(vec![user("a|1", "ada@acme.example", Some(true))]),
        done(vec![user("a|7", "ada@acme.example", Some(true))]),
        done(vec![user("a|1", name().as_str(), Some(true))]),
        UserAnswer::NotThere,
        silent(),
    ] {
        let mut proof = writing();
        assert_eq!(proof.next(&id("a|7"), &name()), Some(UserAct::Read(id("a|7"))));
        proof.seen(&name(), &id("a|7"), &seen);
        assert_eq!(proof.next(&id("a|7"), &name()), Some(UserAct::Search(name())), "{seen:?}");
        assert_eq!(proof.next(&id("a|7"), &name()), None, "{seen:?}");
    }
}

#[test]
fn a_user_that_stays_active_is_no_fault_of_the_token() {
    let shown = |active| done(vec![user("a|7", name().as_str(), active)]);
    // What is seen: whether it worked, is lost, and shown as nothing at all.
    for (answer, seen) in [
        (shown(Some(false)), (true, false, false)),
        (shown(Some(true)), (false, true, false)),
        (shown(None), (false, true, true)),
        // Who is inactive is hidden.
        (UserAnswer::NotThere, (true, false, false)),
        // That says nothing of it.
        (silent(), (false, false, false)),
        (done(vec![user("a|1", "ada@acme.example", Some(true))]), (false, false, false)),
    ] {
        let mut proof = writing();
        proof.took(UserOp::Deactivate, &name(), ours(true));
        proof.read_back(&name(), &answer);
        let (proven, kept) = proof.finish();
        let kept = kept.unwrap();
        assert_eq!(proven, ProbeAnswer::Accepted, "{answer:?}");
        let worked = kept.worked.contains(&UserOp::Deactivate);
        assert_eq!((worked, kept.loses_active, kept.hides_active), seen, "{answer:?}");
        let told = kept.faulty.contains_key(&UserOp::Deactivate);
        assert_eq!(told, !worked && !kept.loses_active, "{answer:?}: {}", kept.words());
        let words = kept.words();
        assert_eq!(words.contains("without `active`"), kept.hides_active, "{words}");
    }
}

#[test]
fn what_there_is_no_time_for_is_not_said_to_work() {
    let mut proof = writing();
    proof.made();
    proof.seen(&name(), &id("a|7"), &ours(true));
    proof.took(UserOp::Read, &name(), ours(true));
    while let Some(act) = proof.next(&id("a|7"), &name()) {
        if act.op() == UserOp::Replace {
            proof.cut(act.op());
        }
    }
    proof.ended(&Removal::Deleted, fixture::now());
    let kept = proof.finish().1.unwrap();
    assert_eq!(kept.worked, [UserOp::Create, UserOp::Read, UserOp::Delete].into());
    assert_eq!(kept.untried, [UserOp::Replace, UserOp::Patch, UserOp::Deactivate].into());
    assert!(kept.words().contains("; not tried because time ran out: replace, patch, deactivate"));
}

fn left(made: Made) -> ProbeUser {
    ProbeUser { made, ..ProbeUser::new(name(), fixture::now()) }
}

/// Endpoints may hide who is inactive.
#[test]
fn one_that_was_shown_once_is_deleted_though_it_is_hidden() {
    let there = || Sighting::There([id("a|7")].into());
    let hidden = || Sighting::Hidden("404".to_owned());
    let failed = || Sighting::Failed(ProbeAnswer::Inconclusive(fixture::fault()));
    let shown = left(Made::Shown(id("a|7")));
    for searched in [Sighting::Nowhere, hidden(), failed(), there()] {
        assert_eq!(found(&shown, &UserAnswer::NotThere, searched), there());
    }
    assert_eq!(found(&shown, &refused(400), Sighting::Nowhere), there());
    assert_eq!(found(&shown, &silent(), Sighting::Nowhere), there());
    assert_eq!(found(&shown, &silent(), failed()), failed(), "the endpoint is away");
    // Its id is somebody else's, or was never proven to be ours.
    let other = done(vec![user("a|7", "ada@acme.example", Some(true))]);
    for made in [Made::Shown(id("a|7")), Made::As(id("a|7"))] {
        let seen = found(&left(made), &other, Sighting::Nowhere);
        assert!(matches!(seen, Sighting::Hidden(_)), "{seen:?}");
    }
    let unproven = left(Made::As(id("a|7")));
    assert_eq!(found(&unproven, &UserAnswer::NotThere, Sighting::Nowhere), Sighting::Nowhere);
    assert!(matches!(found(&unproven, &silent(), Sighting::Nowhere), Sighting::Failed(_)));
    assert!(matches!(found(&unproven, &refused(400), Sighting::Nowhere), Sighting::Hidden(_)));
}

#[test]
fn one_that_was_created_does_not_go_by_time_alone() {
    let later = fixture::now() + chrono::TimeDelta::days(400);
    assert_eq!(nowhere(&left(Made::Perhaps), later), Removal::Absent);
    assert_eq!(nowhere(&left(Made::As(id("a|7"))), fixture::now()), Removal::Absent, "late");
    for made in [Made::Unnamed, Made::As(id("a|7")), Made::Shown(id("a|7"))] {
        let stays = nowhere(&left(made.clone()), later);
        assert!(matches!(stays, Removal::Stuck(_)), "{made:?}: {stays:?}");
    }
}

#[test]
fn only_a_clear_answer_shows_that_a_deleted_user_is_gone() {
    let gone = |answer: &UserAnswer| remains(&name(), &id("a|7"), answer).is_none();
    assert!(gone(&UserAnswer::NotThere) && gone(&done(Vec::new())));
    let unreadable = SeenUsers { unreadable: true, ..SeenUsers::default() };
    for answer in [
        ours(false),
        silent(),
        refused(400),
        UserAnswer::Unauthorized,
        UserAnswer::Forbidden,
        UserAnswer::Done(unreadable),
    ] {
        assert!(!gone(&answer), "{answer:?}");
    }
}

#[test]
fn a_delete_that_fails_is_said_and_is_no_fault_of_the_token() {
    for answer in [refused(400), UserAnswer::Forbidden, UserAnswer::Unauthorized, silent()] {
        let fault = undeleted(&name(), answer).unwrap();
        let mut proof = writing();
        proof.ended(&Removal::Stuck(fault), fixture::now());
        let (proven, kept) = proof.finish();
        assert_eq!(proven, ProbeAnswer::Accepted);
        assert!(kept.unwrap().faulty.contains_key(&UserOp::Delete));
    }
    // Nothing was deleted, so nothing is claimed.
    let mut proof = writing();
    proof.ended(&Removal::Absent, fixture::now());
    let kept = proof.finish().1.unwrap();
    assert!(!kept.worked.contains(&UserOp::Delete) && kept.faulty.contains_key(&UserOp::Delete));
    assert_eq!(undeleted(&name(), done(Vec::new())), None);
    assert_eq!(undeleted(&name(), UserAnswer::NotThere), None);
}
