//! What answers prove, and what they do not.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;

use super::*;
use crate::{
    error::{Class, Code},
    place::{Marks, Version},
    rotation::{
        decide::{About, Draw, Inquiry, Situation, Timeouts, Urgency, Veto, urgency},
        fixture::{self, id, now},
        observe::{Held, Loss, Observed, SeenList, Staging},
        policy::Policy,
        record::{Missing, Proof, Record},
        request::RotationRequest,
        trouble::Trouble,
        view,
        why::Reason,
    },
    token::{Digest, LedgerId, PlaceKey, Scope, TokenId},
};

struct Case {
    policy: Policy,
    record: Record,
    observed: Observed,
    ledger: LedgerId,
    request: RotationRequest,
}

impl Case {
    fn rotated() -> Self {
        let record = fixture::rotated();
        let tokens = record.survey.as_ref().unwrap().tokens.clone();
        let list = SeenList { asked: now(), at: now(), provider_time: fixture::there(), tokens };
        Self {
            policy: fixture::policy(),
            record,
            observed: Observed { list: Some(Ok(list)), ..Observed::default() },
            ledger: LedgerId::try_new("0123456789abcdef0123456789abcdef").unwrap(),
            request: RotationRequest::Due,
        }
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            policy: &self.policy,
            record: &self.record,
            observed: &self.observed,
            now: now(),
            request: &self.request,
            ledger: &self.ledger,
            ending: None,
            timeouts: Timeouts { request: Duration::from_secs(30), probe: Duration::from_secs(60) },
            draw: Draw::default(),
        }
    }

    fn marks(&self, token: &str, generation: u64) -> Marks {
        Marks {
            token_id: id(token),
            previous_token_id: None,
            generation,
            ledger: self.ledger.clone(),
            connection_id: self.record.key.connection.clone(),
        }
    }

    fn read(&self, contents: ReadContents) -> Read {
        Read {
            at: now(),
            version: Version("v8".to_owned()),
            contents,
            staged: ReadStaged::Nothing,
            container: None,
            loss: Loss::Nothing,
            elsewhere: Vec::new(),
        }
    }

    fn place(&self) -> PlaceKey {
        self.record.sinks.keys().next().unwrap().clone()
    }

    fn meant(&self, read: &Read, known: &BTreeMap<TokenId, Digest>) -> Interpreted {
        interpret(&self.situation(), &self.place(), read, known)
    }
}

fn value(text: &str, own: Option<&str>) -> ReadValue {
    let begins = text.split('.').next().and_then(|begins| TokenId::try_new(begins).ok());
    ReadValue { digest: Digest::of(text.as_bytes()), own_id: own.map(id), begins }
}

#[test]
fn what_a_person_mends_at_a_place_is_seen_by_the_next_check() {
    let mut case = Case::rotated();
    case.policy.survey_interval = Duration::from_secs(300);
    let long_ago = now() - TimeDelta::days(3);
    let fault = |class| Fault::new("write a", class, Code::Forbidden, "no");
    let before = |class| Trouble {
        count: 40,
        since: long_ago,
        fault: fault(class),
        at: now() - TimeDelta::hours(1),
        retry_at: now(),
        of_sink: false,
    };
    let wait = |class, after: Option<Duration>| {
        let fault = fault(class).retry_after(after);
        let s = case.situation();
        let trouble = s.place_failed(Some(&before(class)), fault.clone());
        let read = s.read_failed(Some(&before(class)), fault);
        assert_eq!(trouble.retry_at, read.retry_at);
        assert_eq!((trouble.count, trouble.since), (41, long_ago));
        trouble.retry_at - now()
    };
    assert_eq!(wait(Class::Terminal, None), TimeDelta::minutes(5));
    assert_eq!(wait(Class::Transient, None), TimeDelta::hours(1), "an outage ends by itself");
    let asked = Some(Duration::from_secs(1_800));
    assert_eq!(wait(Class::Terminal, asked), TimeDelta::hours(1), "not before it says");
    let refused = Fault::new("log in", Class::Terminal, Code::Unauthorized, "no");
    let trouble = case.situation().read_failed(Some(&before(Class::Terminal)), refused);
    assert_eq!(trouble.retry_at - now(), TimeDelta::hours(1), "servers lock out who tries often");
    // Nor does a check every few seconds make a try of each.
    case.policy.survey_interval = Duration::from_secs(2);
    let trouble =
        case.situation().place_failed(Some(&before(Class::Terminal)), fault(Class::Terminal));
    assert_eq!(trouble.retry_at - now(), TimeDelta::minutes(1));
    // What a rotation found before it began is of the same kind.
    case.policy.survey_interval = Duration::from_secs(300);
    case.record.troubles.mint = Some(before(Class::Terminal));
    let unready = not_ready(&case.situation(), Unready::Sink(fault(Class::Terminal)));
    let Some(Event::MintFailed { trouble, .. }) = unready.event else { panic!("{unready:?}") };
    assert_eq!((trouble.retry_at - now(), trouble.of_sink), (TimeDelta::minutes(5), true));
}

#[test]
fn a_mark_names_the_token_where_values_carry_no_id() {
    let case = Case::rotated();
    let marks = case.marks("tok_new", 7);
    let contents = ReadContents::Marked { marks: marks.clone(), value: value("opaque", None) };
    let meant = case.meant(&case.read(contents.clone()), &BTreeMap::new());
    assert_eq!(meant.holds, Some(id("tok_new")));
    assert_eq!(meant.seen.generation, 7);
    assert!(!meant.seen.is_genuine, "no digest is known");
    assert!(matches!(&meant.seen.held, Held::Token { marks: Some(seen), .. } if *seen == marks));

    // Where every value carries its id, one that does not is no token, whatever a mark says.
    let mut case = case;
    case.policy.capabilities.id_in_value = true;
    let meant = case.meant(&case.read(contents), &BTreeMap::new());
    assert_eq!((meant.holds, meant.seen.held.id()), (None, None));
}

#[test]
fn a_value_that_names_itself_is_believed_before_its_mark() {
    let mut case = Case::rotated();
    case.policy.capabilities.id_in_value = true;
    let named = value("tok_old.secret", Some("tok_old"));
    let marks = case.marks("tok_new", 2);
    let contents = ReadContents::Marked { marks, value: named };
    let meant = case.meant(&case.read(contents), &BTreeMap::new());
    assert_eq!(meant.holds, Some(id("tok_old")));
    assert!(matches!(meant.seen.held, Held::Token { marks: None, .. }));
}

#[test]
fn of_two_values_for_one_token_only_a_known_digest_tells() {
    let mut case = Case::rotated();
    let contents =
        ReadContents::Marked { marks: case.marks("tok_new", 2), value: value("forged", None) };
    let kept = BTreeMap::from([(id("tok_new"), Digest::of(b"the other"))]);
    let meant = case.meant(&case.read(contents.clone()), &kept);
    assert_eq!((meant.holds, meant.seen.held.id()), (None, None), "which one is not known");

    case.record.digests.insert(id("tok_new"), Digest::of(b"the other"));
    let meant = case.meant(&case.read(contents), &BTreeMap::new());
    assert_eq!((meant.holds, meant.seen.held.id()), (None, None));
    let genuine =
        ReadContents::Marked { marks: case.marks("tok_new", 2), value: value("the other", None) };
    let meant = case.meant(&case.read(genuine), &kept);
    assert!(meant.seen.is_genuine);
}

#[test]
fn what_is_left_of_a_known_value_works_nowhere() {
    let mut case = Case::rotated();
    case.policy.capabilities.id_in_value = true;
    let is_false = |contents| {
        let meant = case.meant(&case.read(contents), &BTreeMap::new());
        (meant.seen.is_false, matches!(meant.seen.held, Held::Unknown(_)))
    };
    assert_eq!(is_false(ReadContents::Unmarked(Some(value("tok_new.cut", None)))), (true, true));
    assert_eq!(is_false(ReadContents::Unmarked(None)), (true, true));
    let anything = ReadContents::Unmarked(Some(value("anything", None)));
    assert_eq!(is_false(anything), (false, true));
    assert_eq!(is_false(ReadContents::Empty), (false, false));
}

#[test]
fn what_another_connection_staged_is_in_nobodys_way() {
    let case = Case::rotated();
    let staging = |marks: Marks| {
        let staged = ReadStaged::Token { marks, value: value("opaque", None) };
        let read = Read { staged, ..case.read(ReadContents::Empty) };
        let meant = case.meant(&read, &BTreeMap::new());
        (meant.seen.staging, meant.stages)
    };
    let ours = case.marks("tok_next", 3);
    let holds = (Staging::Holds(id("tok_next")), Some(id("tok_next")));
    assert_eq!(staging(ours.clone()), holds);
    let another = crate::token::ConnectionId::try_new("con_another").unwrap();
    assert_eq!(staging(Marks { connection_id: another, ..ours }), (Staging::Free, None));
}

fn inquiry(about: About) -> Inquiry {
    let Case { record, .. } = Case::rotated();
    let sent = record.survey.unwrap().tokens[0].created_at;
    Inquiry { id: id("tok_new"), about, sent, arrives_by: sent }
}

#[test]
fn a_403_to_a_token_that_may_read_users_proves_nothing() {
    let mut case = Case::rotated();
    case.policy.capabilities.read_scope = Some(Scope::try_new("get:users").unwrap());
    let asked = inquiry(About::Current { location: "/run/a".to_owned() });
    let forbidden = |case: &Case| {
        let s = case.situation();
        let works = works(&s, &asked.id, &ProbeAnswer::NotScoped);
        (works, probed(&s, &asked, ProbeAnswer::NotScoped).fault.map(|fault| fault.code))
    };
    assert_eq!(forbidden(&case), (true, None), "it may not read users: it is known");
    let scopes = case.policy.capabilities.read_scope.clone().into_iter().collect();
    case.record.current.as_mut().unwrap().token.scopes = scopes;
    assert_eq!(forbidden(&case), (false, Some(Code::Forbidden)));
}

#[test]
fn a_401_says_the_token_is_gone_only_where_lists_say_so_too() {
    let mut case = Case::rotated();
    let asked = inquiry(About::Current { location: "/run/a".to_owned() });
    let refused = |case: &Case| probed(&case.situation(), &asked, ProbeAnswer::Unauthorized);
    let listed = refused(&case);
    assert!(matches!(listed.event, Some(Event::CurrentProbeFailed(_))), "{listed:?}");
    assert!(listed.fault.unwrap().to_string().contains("as /run/a holds it"));
    let at = asked.sent;
    case.record.missing = Some(Missing { first: at, last: at, refused: false });
    let unlisted = refused(&case);
    assert_eq!(unlisted.event, Some(Event::CurrentProbed { refused: true }));
}

#[test]
fn silence_about_a_new_token_is_counted_from_its_first_probe() {
    let case = Case::rotated();
    let asked = inquiry(About::OnItsWay { found: false, write: None });
    let answer = ProbeAnswer::Inconclusive(fixture::fault());
    let silent = probed(&case.situation(), &asked, answer);
    let since = Proof::Pending { refused_since: None, silent_since: Some(asked.sent) };
    assert_eq!(silent.event, Some(Event::Proven(since)));
}

#[test]
fn an_id_that_was_there_before_is_no_answer_to_a_create() {
    let case = Case::rotated();
    let s = case.situation();
    let troubled = fixture::troubled();
    let mut intent = troubled.intents[0].clone();
    intent.known.insert(id("tok_new"));
    let before = fixture::token("tok_new", 0);
    let answered = created(&s, &intent, Ok((before, Digest::of(b"x"))));
    assert!(matches!(answered.event, Some(Event::MintLost(_))), "{answered:?}");
    let made = fixture::token("tok_next", 0);
    let answered = created(&s, &intent, Ok((made, Digest::of(b"x"))));
    assert!(matches!(answered.event, Some(Event::Minted { .. })), "{answered:?}");
}

#[test]
fn one_sink_is_enough_where_not_all_have_to_take_it() {
    let away = || Err(fixture::fault());
    assert_eq!(writable(true, vec![(true, Ok(())), (true, away())]), away());
    assert_eq!(writable(false, vec![(true, away()), (true, Ok(()))]), Ok(()));
    assert_eq!(writable(false, vec![(true, away()), (false, Ok(()))]), away());
    assert_eq!(writable(false, vec![(false, Ok(()))]), Ok(()));
    assert_eq!(writable(true, Vec::new()), Ok(()));
}

#[test]
fn the_endpoint_holds_a_mint_up_by_what_it_may_say() {
    let silent = fixture::fault();
    let refusal = Fault { class: Class::Terminal, ..fixture::fault() };
    let said = |veto, fault: &Fault| endpoint(veto, Err(fault.clone()));
    assert_eq!(said(Veto::Silence, &silent), Err(silent.clone()));
    assert_eq!(said(Veto::Refusal, &silent), Ok(Some(silent.clone())));
    assert_eq!(said(Veto::Refusal, &refusal), Err(refusal.clone()));
    assert_eq!(said(Veto::None, &refusal), Ok(Some(refusal)));
}

#[test]
fn what_is_urgent_goes_first() {
    let mut case = Case::rotated();
    assert_eq!(urgency(&case.situation()), Urgency::Routine);
    let current = case.record.current.as_mut().unwrap();
    current.token.valid_until = Some(current.token.created_at + TimeDelta::minutes(50));
    assert_eq!(urgency(&case.situation()), Urgency::Urgent);
    case.request = RotationRequest::Compromised { since: now() };
    assert_eq!(urgency(&case.situation()), Urgency::Emergency);
}

#[test]
fn what_no_sink_would_take_is_a_trouble_of_sinks() {
    let case = Case::rotated();
    let fault = Fault::new("write to it", Class::Terminal, Code::Invalid, "it is immutable");
    for (unready, of_sink, reason) in [
        (Unready::Sink(fault.clone()), true, Reason::SinkUnavailable),
        (Unready::Endpoint(fault), false, Reason::ProviderUnavailable),
    ] {
        let answered = not_ready(&case.situation(), unready);
        let Some(Event::MintFailed { trouble, .. }) = answered.event else {
            panic!("{answered:?}")
        };
        assert_eq!(trouble.of_sink, of_sink);
        assert_eq!(view::blame(&case.record, &trouble), reason);
        // What an earlier version wrote has no such member.
        let mut written = serde_json::to_value(&trouble).unwrap();
        assert_eq!(written.get("of_sink").is_some(), of_sink, "{written}");
        written.as_object_mut().unwrap().remove("of_sink");
        let read: Trouble = serde_json::from_value(written).unwrap();
        assert!(!read.of_sink);
    }
}
