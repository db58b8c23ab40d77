//! Clients behind places that cannot be read back: what a person's word and a client's own are good for.

use chrono::TimeDelta;

use super::world::{World, days, id, place};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::{
        decide::Status,
        event::Event,
        operate::{self, NotDone},
        request::RotationRequest,
        status::{Concern, ConnectionStatus},
        uptake::{Account, Uptake},
        why::Reason,
    },
};

/// `a` can be read, the other one cannot, and is `new-1` everywhere.
fn beside_a(name: &str, uptake: Uptake) -> World {
    let mut world = World::new(&["a"]);
    world.policy.capabilities.cap = None;
    world.hand_offs.insert(place(name));
    world.uptakes.insert(place(name), uptake);
    world.configure(&["a", name]);
    world.run();
    assert_eq!(world.current(), Some("new-1".to_owned()), "{:?}", world.log);
    world
}

fn by_person() -> World {
    let instructions = "put it into Okta".to_owned();
    beside_a("okta", Uptake::ByPerson { instructions })
}

fn by_client() -> World {
    beside_a("entra", Uptake::ByClient)
}

impl World {
    /// A person says that the client has the token.
    fn hand_over(&mut self) {
        let (event, _) =
            operate::handed_over(&self.record, "alice", None, None, self.now, None).unwrap();
        self.apply(event);
    }

    fn rotate(&mut self) {
        self.request = RotationRequest::Rotate { since: self.now };
        self.run();
        self.request = RotationRequest::Due;
    }

    fn says(&mut self, account: Result<Account, Fault>) {
        self.accounts.insert(place("entra"), account);
    }

    fn asked(&self) -> usize {
        self.log.iter().filter(|step| step.starts_with("ask ")).count()
    }

    fn status(&self, now: Timestamp) -> ConnectionStatus {
        ConnectionStatus::of(&self.record, Some(&self.policy), now)
    }
}

#[test]
fn an_older_token_stays_until_a_person_says_it_is_done() {
    let mut world = by_person();
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Waiting, Some(Reason::Handoff)), "{why}");
    assert!(why.contains("copy it from a and put it into Okta"), "{why}");
    world.hand_over();
    let (rest, why) = world.run();
    assert_eq!((rest.status, rest.reason), (Status::Idle, None), "{why}");

    world.pass_time(TimeDelta::hours(1));
    world.rotate();
    assert_eq!(world.current(), Some("new-2".to_owned()), "{:?}", world.log);
    // Everybody but that client uses the new one, and the policy's own end of all waiting has passed.
    world.policy.terms.retire.at_latest = Some(days(2));
    world.clients = true;
    let (rest, why) = world.live(TimeDelta::days(5));
    assert!(world.is_listed("new-1"), "{:?}", world.log);
    assert_eq!((rest.status, rest.reason), (Status::Waiting, Some(Reason::Handoff)), "{why}");
    assert!(why.contains("new-1 is kept until this is confirmed; new-1 expires at"), "{why}");
    let status = world.status(world.now);
    assert!(status.concerns.contains(&Concern::HandoffWaiting));
    assert!(status.revocation_blocked.contains(&Reason::Handoff));
    // From then on it has its whole overlap.
    world.hand_over();
    world.live(TimeDelta::hours(23));
    assert!(world.is_listed("new-1"), "{:?}", world.log);
    world.live(TimeDelta::hours(3));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
    assert!(!world.status(world.now).concerns.contains(&Concern::HandoffWaiting));
}

#[test]
fn a_leaked_token_stays_where_a_person_has_not_replaced_it() {
    let mut world = by_person();
    world.hand_over();
    world.pass_time(TimeDelta::hours(1));
    world.request = RotationRequest::Compromised { since: world.now };
    world.run();
    assert_eq!(world.current(), Some("new-2".to_owned()), "{:?}", world.log);
    world.request = RotationRequest::Due;
    let words = world.live(TimeDelta::days(2)).1;
    assert!(world.is_listed("new-1"), "that would lock the client out: {:?}", world.log);
    assert!(words.contains("scimitar revoke initech-okta --token-id new-1 --force"), "{words}");
    world.hand_over();
    world.run();
    assert!(!world.is_listed("new-1"), "a leak has no overlap: {:?}", world.log);
}

#[test]
fn a_leak_waits_for_a_person_although_both_slots_are_taken() {
    let mut world = by_person();
    world.hand_over();
    world.policy.capabilities.cap = Some(2);
    world.pass_time(TimeDelta::hours(1));
    world.rotate();
    world.pass_time(TimeDelta::hours(1));
    world.apply(Event::Condemned(world.record.leaked(world.now, world.now)));
    assert!(world.record.condemned.contains(&id("new-2")), "both have leaked");
    let words = world.live(TimeDelta::hours(2)).1;
    assert!(world.is_listed("new-1"), "the client has it: {:?}", world.log);
    assert!(words.contains("--token-id new-1 --force"), "{words}");
    world.hand_over();
    world.live(TimeDelta::hours(1));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
    assert_eq!(world.current(), Some("new-3".to_owned()), "{:?}", world.log);
}

#[test]
fn a_word_said_too_early_locks_nobody_out() {
    let mut world = by_person();
    world.policy.terms.retire.after_use = true;
    world.hand_over();
    world.pass_time(TimeDelta::hours(1));
    world.rotate();
    // Somebody else uses the new one, before the word and after it; the client goes on with the older one.
    world.clients = true;
    world.live(TimeDelta::hours(2));
    world.hand_over();
    let used = |world: &mut World| {
        let at = world.record.believed_clock().to_provider(world.now);
        let token = world.tokens.iter_mut().find(|token| token.id == id("new-1"));
        let token = token.unwrap_or_else(|| panic!("{:?}", world.log));
        token.last_used_at = Some(at);
    };
    for _ in 0..60 {
        used(&mut world);
        world.live(TimeDelta::minutes(50));
    }
    assert!(world.is_listed("new-1"), "{:?}", world.log);
    used(&mut world);
    let (rest, words) = world.live(TimeDelta::minutes(30));
    assert_eq!(rest.reason, Some(Reason::Evidence), "{words}");
    assert!(
        words.contains("after an operator confirmed that okta has new-2: check that it does"),
        "{words}"
    );
    world.live(TimeDelta::hours(3));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
}

#[test]
fn what_a_client_may_still_use_is_revoked_by_force_alone() {
    let mut world = by_person();
    world.hand_over();
    world.pass_time(TimeDelta::hours(1));
    world.rotate();
    world.run();
    let refused = operate::revoke(&world.situation(), &id("new-1"), false).unwrap_err();
    assert!(refused.to_string().contains("a client may still use new-1"), "{refused}");
    assert!(operate::revoke(&world.situation(), &id("new-1"), true).is_ok());
    world.hand_over();
    assert!(operate::revoke(&world.situation(), &id("new-1"), false).is_ok());
}

/// The record knows the provider's clock against the one of the host that looked last; the word is said on
/// another, whose clock is two hours behind.
#[test]
fn a_word_counts_from_when_the_provider_says_it_is_said() {
    let mut world = by_person();
    world.hand_over();
    world.pass_time(TimeDelta::hours(1));
    world.rotate();
    let (there, behind) = (world.told_now(), world.now - TimeDelta::hours(2));
    let said = operate::handed_over(&world.record, "alice", None, None, behind, Some(there));
    world.apply(said.unwrap().0);
    world.live(TimeDelta::hours(23));
    assert!(world.is_listed("new-1"), "its overlap is a day: {:?}", world.log);
    world.live(TimeDelta::hours(3));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
}

#[test]
fn a_word_is_for_the_token_that_waits() {
    let mut world = by_person();
    world.hand_over();
    world.pass_time(TimeDelta::hours(1));
    assert!(matches!(
        operate::handed_over(&world.record, "alice", None, None, world.now, None),
        Err(NotDone::Already(_))
    ));
    world.rotate();
    assert!(!world.record.all_have(&id("new-2")), "the word was for the one before");
    // Of two clients the one that is meant has to be named.
    world.hand_offs.insert(place("other"));
    let instructions = "put it there".to_owned();
    world.uptakes.insert(place("other"), Uptake::ByPerson { instructions });
    world.configure(&["a", "okta", "other"]);
    world.values.insert(id("new-2"));
    world.run();
    let word = |world: &World, client| {
        operate::handed_over(&world.record, "alice", client, None, world.now, None)
    };
    let refused = |answer: Result<_, NotDone>| match answer {
        Err(NotDone::Refused(words)) => words,
        other => panic!("{other:?}"),
    };
    let words = refused(word(&world, None));
    assert!(words.contains("okta, other; name the one that has it with --client"), "{words}");
    let words = refused(word(&world, Some("nobody")));
    assert!(words.contains("no token waits for nobody"), "{words}");
    let (event, words) = word(&world, Some("other")).unwrap();
    assert!(words.contains("alice confirmed that other has new-2"), "{words}");
    world.apply(event);
    assert_eq!(world.record.handoff().unwrap().0.place.location, "okta");
}

#[test]
fn a_clients_word_lets_the_older_token_go() {
    let mut world = by_client();
    world.pass_time(TimeDelta::hours(1));
    world.rotate();
    world.clients = true;
    world.live(TimeDelta::days(3));
    assert!(world.is_listed("new-1"), "{:?}", world.log);
    let why = world.run().1;
    assert!(why.contains("entra is not known to use new-2 yet: no cycle yet"), "{why}");
    world.says(Ok(Account::Uses));
    world.live(TimeDelta::hours(3));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
    // What is known stays so, and the client is watched on.
    world.says(Ok(Account::Waits("another cycle runs".to_owned())));
    world.log.clear();
    world.live(TimeDelta::hours(5));
    assert!((3..=7).contains(&world.asked()), "{:?}", world.log);
    assert!(world.record.sinks[&place("entra")].is_taken(&id("new-2")));
}

#[test]
fn a_policy_may_set_an_end_to_waiting_for_a_client() {
    let mut world = by_client();
    world.policy.terms.retire.at_latest = Some(days(3));
    world.pass_time(TimeDelta::hours(1));
    world.rotate();
    world.clients = true;
    world.live(TimeDelta::days(2));
    assert!(world.is_listed("new-1"), "{:?}", world.log);
    world.live(TimeDelta::days(2));
    assert!(!world.is_listed("new-1"), "{:?}", world.log);
}

#[test]
fn a_silent_client_holds_up_nothing_but_the_older_token() {
    let mut world = by_client();
    let fault = Fault::new("ask", Class::Terminal, Code::Forbidden, "it may not be asked");
    world.says(Err(fault));
    world.pass_time(TimeDelta::hours(1));
    world.rotate();
    world.clients = true;
    let why = world.live(TimeDelta::days(3)).1;
    assert!(world.is_listed("new-1"), "{:?}", world.log);
    assert!(why.contains("it may not be asked"), "{why}");
    world.rotate();
    assert_eq!(world.current(), Some("new-3".to_owned()), "{:?}", world.log);
}

#[test]
fn a_client_that_stopped_is_told_of_and_started_again() {
    let mut world = by_client();
    world.says(Ok(Account::Uses));
    world.live(TimeDelta::hours(1));
    world.says(Ok(Account::Stopped("it is in quarantine".to_owned())));
    world.log.clear();
    world.values.insert(id("new-1"));
    world.live(TimeDelta::hours(3));
    let status = world.status(world.now);
    assert!(status.concerns.contains(&Concern::ClientStopped) && status.needs_person);
    let promoted =
        |world: &World| world.log.iter().filter(|step| step.starts_with("promote new-1")).count();
    assert_eq!(promoted(&world), 0, "what stopped it may not be over: {:?}", world.log);
    world.live(TimeDelta::hours(4));
    assert_eq!(promoted(&world), 1, "{:?}", world.log);
    world.live(TimeDelta::hours(3));
    assert_eq!(promoted(&world), 1, "not again so soon: {:?}", world.log);
    world.says(Ok(Account::Uses));
    world.live(TimeDelta::hours(2));
    assert!(!world.status(world.now).concerns.contains(&Concern::ClientStopped));
}

#[test]
fn a_word_for_one_token_does_not_count_for_another() {
    let mut world = by_person();
    world.hand_over();
    world.pass_time(TimeDelta::hours(1));
    world.rotate();
    // A person has new-2 in hand, and it is replaced before they say so.
    world.pass_time(TimeDelta::hours(30));
    world.rotate();
    assert_eq!(world.current(), Some("new-3".to_owned()), "{:?}", world.log);
    let word = |world: &World, token: Option<&str>| {
        let token = token.map(id);
        operate::handed_over(&world.record, "alice", None, token.as_ref(), world.now, None)
    };
    let Err(NotDone::Refused(words)) = word(&world, None) else { panic!("which one?") };
    for part in ["new-2 (since 2026-", "new-3 (since 2026-", "--done --token-id new-3"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let shown = world.record.handoff().unwrap().2;
    assert!(shown.contains("--done --token-id new-3`"), "{shown}");
    assert!(matches!(word(&world, Some("new-1")), Err(NotDone::Already(_))), "it was said");
    let Err(NotDone::Refused(words)) = word(&world, Some("other")) else { panic!("a guess") };
    assert!(words.contains("other does not wait for okta"), "{words}");
    let (event, words) = word(&world, Some("new-2")).unwrap();
    assert!(words.contains("okta has new-2; new-3 still waits for it"), "{words}");
    world.apply(event);
    assert!(matches!(word(&world, Some("new-2")), Err(NotDone::Already(_))));
    // The client has new-2: it stays, whatever else is long over, until new-3 is said to be there.
    world.clients = true;
    world.live(TimeDelta::days(4));
    assert!(world.is_listed("new-2"), "{:?}", world.log);
    world.hand_over();
    world.live(TimeDelta::days(2));
    assert!(!world.is_listed("new-2"), "{:?}", world.log);
}

#[test]
fn every_client_that_waits_is_named_with_its_own_command() {
    let mut world = by_person();
    world.hand_offs.insert(place("one login"));
    let instructions = "put it there".to_owned();
    world.uptakes.insert(place("one login"), Uptake::ByPerson { instructions });
    world.configure(&["a", "okta", "one login"]);
    world.values.insert(id("new-1"));
    world.run();
    let all: Vec<String> = world.record.handoffs().map(|(.., words)| words).collect();
    let [okta, other] = all.as_slice() else { panic!("{all:?}") };
    let waits = "new-1 needs to be handed over by a person (since 2026-";
    assert!(okta.starts_with(&format!("okta: {waits}")), "{okta}");
    assert!(okta.ends_with("`scimitar handoff initech-okta --done --client okta`"), "{okta}");
    assert!(other.starts_with(&format!("one login: {waits}")), "{other}");
    assert!(other.ends_with("--client 'one login'`"), "{other}");
    let held = world.record.held_everywhere(&id("new-1"));
    assert_eq!(held, "every sink that Scimitar writes to holds new-1, but not yet okta, one login");
}

/// Whoever says another token than the one on record has something to be told; exit status 0 says nothing.
#[test]
fn a_word_that_contradicts_the_record_is_no_success() {
    let mut world = by_person();
    world.run();
    world.hand_over();
    let say = |world: &World, client: Option<&str>, token: Option<&str>| {
        let token = token.map(id);
        operate::handed_over(&world.record, "root", client, token.as_ref(), world.now, None)
    };
    assert!(matches!(say(&world, None, None), Err(NotDone::Already(_))));
    assert!(matches!(say(&world, Some("okta"), Some("new-1")), Err(NotDone::Already(_))));
    let Err(NotDone::Refused(words)) = say(&world, None, Some("other")) else { panic!("a typo") };
    assert!(words.contains("it was confirmed that it has new-1"), "{words}");
    let Err(NotDone::Refused(words)) = say(&world, Some("nobody"), None) else { panic!("a typo") };
    assert!(words.contains("there is no client nobody"), "{words}");
}

#[test]
fn a_revoked_token_is_offered_to_nobody() {
    let mut world = by_person();
    world.hand_over();
    for hours in [1, 30] {
        world.pass_time(TimeDelta::hours(hours));
        world.rotate();
    }
    let (events, _) = operate::revoke(&world.situation(), &id("new-2"), true).unwrap();
    events.into_iter().for_each(|event| world.apply(event));
    world.run();
    assert!(!world.is_listed("new-2"), "{:?}", world.log);
    let word = operate::handed_over(&world.record, "alice", None, None, world.now, None);
    assert!(word.unwrap().1.contains("okta has new-3"));
    let revoked = id("new-2");
    let word = operate::handed_over(&world.record, "alice", None, Some(&revoked), world.now, None);
    assert!(matches!(word, Err(NotDone::Refused(_))), "{word:?}");
}
