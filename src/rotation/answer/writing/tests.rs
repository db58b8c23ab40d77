//! What answers about throw-away users are taken for.

use super::*;
use crate::rotation::{fixture, policy::UserScopes};

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
    }
    let between =
        [UserOp::Read, UserOp::Search, UserOp::Replace, UserOp::Patch, UserOp::Deactivate];
    assert_eq!(ops, between);
    proof.ended(&Removal::Done, fixture::now());
    let (answer, kept) = proof.finish();
    assert_eq!(answer, ProbeAnswer::Accepted);
    assert!(kept.unwrap().faulty.is_empty());

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
    for (answer, lost) in [
        (ours(false), false),
        (ours(true), true),
        (done(vec![user("a|7", name().as_str(), None)]), true),
        // That says nothing of it.
        (silent(), false),
        (done(vec![user("a|1", "ada@acme.example", Some(true))]), false),
    ] {
        let mut proof = writing();
        proof.took(UserOp::Deactivate, &name(), ours(true));
        proof.read_back(&name(), &answer);
        let (proven, kept) = proof.finish();
        assert_eq!((proven, kept.unwrap().loses_active), (ProbeAnswer::Accepted, lost));
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
    assert_eq!(undeleted(&name(), done(Vec::new())), None);
    assert_eq!(undeleted(&name(), UserAnswer::NotThere), None);
}
