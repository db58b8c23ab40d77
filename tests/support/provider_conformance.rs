//! What every provider must do, whatever it is: a new provider gets these tests for a [`Site`].
//!
//! Each property takes a fresh site; [`everything`] runs them all.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use scimitar::{
    error::{Class, Code, Fault},
    http::{Http, HttpSettings},
    probe::{ProbeAnswer, ScimClient, ScimProbe},
    provider::{Call, Provider, Revoked, Urgency, kind::Needs},
    rotation::policy::Mode,
    sandbox::{Act, Faults, Rule, Seen},
    token::{ConnectionId, Listing, MintRequest, Minted, Scope, TokenName},
};

/// A fresh connection without tokens at a server that can be made to misbehave.
#[async_trait]
pub trait Site: Send + Sync {
    /// The provider; each call makes another one, as another process would have it.
    fn open(&self) -> Arc<dyn Provider>;

    /// The connection.
    fn connection(&self) -> ConnectionId;

    /// How the server is made to misbehave.
    fn mischief(&self) -> Box<dyn Mischief>;

    /// What the paths of its calls about tokens begin with.
    fn tokens(&self) -> String;

    /// The secret that the provider logs in with: it must show up nowhere.
    fn secret(&self) -> &str;

    /// By how many seconds at most a granted life is off what was asked for.
    fn life_is_off_by(&self) -> u64 {
        0
    }

    /// Whether tokens expire also where no life is asked for.
    fn always_expires(&self) -> bool {
        false
    }
}

/// A server that can be made to misbehave, and remembers what it was asked.
pub trait Mischief {
    /// Misleads the requests that match, until [`Mischief::clear`].
    fn add(&self, rule: Rule);

    /// Ends all misbehaviour.
    fn clear(&self);

    /// What came in since the last [`Mischief::forget_requests`].
    fn requests(&self) -> Vec<Seen>;

    /// Empties the log.
    fn forget_requests(&self);
}

impl Mischief for Faults {
    fn add(&self, rule: Rule) {
        Self::add(self, rule).unwrap();
    }

    fn clear(&self) {
        Self::clear(self);
    }

    fn requests(&self) -> Vec<Seen> {
        Self::requests(self)
    }

    fn forget_requests(&self) {
        Self::forget_requests(self);
    }
}

/// Runs every property, each on a fresh site.
pub async fn everything<S: Site>(fresh: impl AsyncFn() -> S) {
    what_is_made_is_listed_as_it_was_made_and_works(&fresh().await).await;
    it_is_what_it_says_it_can_do(&fresh().await).await;
    what_is_revoked_is_listed_and_works_no_more(&fresh().await).await;
    a_lost_create_is_in_doubt_and_sent_once(&fresh().await).await;
    a_create_that_was_refused_made_nothing(&fresh().await).await;
    a_lost_revocation_is_never_a_success(&fresh().await).await;
    a_revocation_that_comes_too_late_is_not_sent(&fresh().await).await;
    only_a_complete_list_is_a_list(&fresh().await).await;
    a_pause_that_was_asked_for_is_told_or_kept(&fresh().await).await;
    what_is_added_to_answers_later_does_no_harm(&fresh().await).await;
    another_connection_is_not_this_one(&fresh().await).await;
    nothing_shown_holds_a_secret(&fresh().await).await;
    rights_are_proven_before_anything_is_made(&fresh().await).await;
}

/// A request that this provider can carry out, by what it says it can do.
pub fn request(provider: &dyn Provider, nth: u64) -> MintRequest {
    let can = provider.capabilities();
    let scope = |name: &str| Scope::try_new(name).unwrap();
    let name = TokenName::try_new(format!("scimitar/initech/{nth:016x}")).unwrap();
    let more = Duration::from_secs(86_400 + nth * can.life_step.as_secs());
    MintRequest {
        scopes: if can.scopes {
            ["get:users", "post:users"].map(scope).into()
        } else {
            BTreeSet::new()
        },
        life: can.shortest_life.map(|shortest| shortest + more),
        name: can.names.then_some(name),
    }
}

/// One site, one process at it.
struct Desk<'a, S> {
    site: &'a S,
    provider: Arc<dyn Provider>,
    connection: ConnectionId,
}

impl<'a, S: Site> Desk<'a, S> {
    fn at(site: &'a S) -> Self {
        Self { site, provider: site.open(), connection: site.connection() }
    }

    fn call(&self) -> Call<'_> {
        Call { connection: &self.connection, urgency: Urgency::Routine, not_after: None }
    }

    async fn list(&self) -> Listing {
        self.provider.list(self.call()).await.unwrap()
    }

    async fn try_create(&self, nth: u64) -> Result<Minted, Fault> {
        self.provider.create(self.call(), &request(&*self.provider, nth)).await
    }

    async fn create(&self, nth: u64) -> Minted {
        self.try_create(nth).await.unwrap()
    }

    async fn works(&self, minted: &Minted) -> ProbeAnswer {
        let endpoint = self.provider.scim_endpoint(&self.connection);
        probe().read(&endpoint, &minted.value).await
    }

    fn mislead(&self, method: &str, act: Act) {
        self.site.mischief().add(Rule::new(method, &self.site.tokens(), act).times(1));
    }

    /// How often this was sent about tokens since the log was emptied.
    fn sent(&self, method: &str) -> usize {
        let seen = self.site.mischief().requests();
        let tokens = self.site.tokens();
        seen.iter().filter(|seen| seen.method == method && seen.path.starts_with(&tokens)).count()
    }
}

fn http() -> Http {
    Http::try_new(HttpSettings {
        ca_file: None,
        proxy: None,
        request_timeout: Duration::from_secs(20),
        user_agent: "scimitar/test".to_owned(),
    })
    .unwrap()
}

fn probe() -> ScimClient {
    ScimClient::new(http(), Duration::from_secs(20))
}

async fn what_is_made_is_listed_as_it_was_made_and_works(site: &impl Site) {
    let desk = Desk::at(site);
    let empty = desk.list().await;
    assert!(empty.tokens.is_empty(), "{empty:?}");
    assert!(empty.provider_time.is_some(), "ages are told by the provider's clock");
    let (one, other) = (desk.create(1).await, desk.create(2).await);
    assert_ne!(one.token.id, other.token.id);
    assert_ne!(one.value.expose(), other.value.expose());
    let listed = Desk::at(site).list().await;
    assert_eq!(listed.tokens.len(), 2, "{listed:?}");
    for made in [&one, &other] {
        let shown = listed.get(&made.token.id).unwrap();
        assert_eq!(*shown, made.token, "a list shows what the create said");
        assert_eq!(desk.works(made).await, ProbeAnswer::Accepted);
        let named = desk.provider.id_in(&made.value);
        assert!(named.is_none_or(|id| id == made.token.id), "a value names its own token");
    }
    let endpoint = desk.provider.scim_endpoint(&desk.connection);
    assert!(!endpoint.path().ends_with('/'), "{endpoint}");
    probe().anonymous(&endpoint).await.unwrap();
}

/// Decisions rest on the capabilities and on nothing else that is known of a provider.
async fn it_is_what_it_says_it_can_do(site: &impl Site) {
    let desk = Desk::at(site);
    let can = desk.provider.capabilities();
    let asked = request(&*desk.provider, 7);
    let made = desk.create(7).await;
    assert_eq!(made.token.name, asked.name, "names");
    assert_eq!(made.token.scopes, asked.scopes, "scopes");
    let expires = can.shortest_life.is_some() || site.always_expires();
    assert_eq!(made.token.valid_until.is_some(), expires, "expiry");
    if let (Some(life), Some(until)) = (asked.life, made.token.valid_until) {
        let granted = (until - made.token.created_at).to_std().unwrap();
        let off = granted.as_secs().abs_diff(life.as_secs());
        assert!(off <= site.life_is_off_by(), "lives: {granted:?} of {life:?}");
    }
    assert_eq!(made.token.last_used_at, None);
    desk.works(&made).await;
    let used = desk.list().await.tokens[0].last_used_at;
    assert_eq!(used.is_some(), can.last_used, "last use");
    let cap = can.cap.map_or(6, u64::from);
    for nth in 1..cap {
        desk.create(7 + nth).await;
    }
    let beyond = desk.try_create(99).await;
    if can.cap.is_some() {
        let fault = beyond.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::NoSlot), "{fault}");
    } else {
        beyond.unwrap();
    }
}

async fn what_is_revoked_is_listed_and_works_no_more(site: &impl Site) {
    let desk = Desk::at(site);
    let (gone, stays) = (desk.create(1).await, desk.create(2).await);
    let id = &gone.token.id;
    assert_eq!(desk.provider.revoke(desk.call(), id).await.unwrap(), Revoked::Deleted);
    assert_eq!(desk.works(&gone).await, ProbeAnswer::Unauthorized);
    assert_eq!(desk.works(&stays).await, ProbeAnswer::Accepted);
    let listed: Vec<_> = desk.list().await.tokens.into_iter().map(|token| token.id).collect();
    assert_eq!(listed, std::slice::from_ref(&stays.token.id));
    // Repeating it is harmless, and is no proof by itself.
    assert_eq!(desk.provider.revoke(desk.call(), id).await.unwrap(), Revoked::NotFound);
    assert_eq!(desk.list().await.tokens.len(), 1);
}

async fn a_lost_create_is_in_doubt_and_sent_once(site: &impl Site) {
    for (act, made) in [
        (Act::DropAfter, 1),
        (Act::ErrorAfter, 1),
        (Act::Truncate, 1),
        (Act::CutAfter(40), 1),
        (Act::DropBefore, 0),
        (Act::Status(500), 0),
        (Act::Status(503), 0),
        (Act::BadGateway, 0),
    ] {
        let desk = Desk::at(site);
        let before = desk.list().await.tokens;
        desk.site.mischief().forget_requests();
        desk.mislead("POST", act.clone());
        let fault = desk.try_create(before.len() as u64).await.unwrap_err();
        assert_eq!(fault.class, Class::Ambiguous, "{act:?}: {fault}");
        assert_eq!(desk.sent("POST"), 1, "{act:?}: a create is sent once");
        let after = desk.list().await.tokens;
        assert_eq!(after.len(), before.len() + made, "{act:?}");
        for token in after {
            desk.provider.revoke(desk.call(), &token.id).await.unwrap();
        }
    }
}

async fn a_create_that_was_refused_made_nothing(site: &impl Site) {
    for status in [400, 403, 404, 405, 422] {
        let desk = Desk::at(site);
        desk.mislead("POST", Act::Status(status));
        let fault = desk.try_create(1).await.unwrap_err();
        assert_eq!(fault.class, Class::Terminal, "{status}: {fault}");
        assert!(desk.list().await.tokens.is_empty(), "{status}");
    }
    let desk = Desk::at(site);
    desk.site.mischief().forget_requests();
    desk.site.mischief().add(Rule::new("POST", &site.tokens(), Act::Status(401)));
    let fault = desk.try_create(1).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
    assert!(desk.sent("POST") <= 2, "after one fresh log-in at most");
    desk.site.mischief().clear();
    assert!(desk.list().await.tokens.is_empty());
}

/// What was decided on an earlier look is not done after that look's time.
async fn a_revocation_that_comes_too_late_is_not_sent<S: Site>(site: &S) {
    let desk = Desk::at(site);
    let made = desk.create(1).await;
    let past = "2020-11-22T04:00:00Z".parse().ok();
    let late = Call { not_after: past, ..desk.call() };
    let fault = desk.provider.revoke(late, &made.token.id).await.unwrap_err();
    assert_eq!(fault.class, Class::Transient, "{fault}");
    assert_eq!(desk.sent("DELETE"), 0);
    assert!(desk.list().await.tokens.iter().any(|token| token.id == made.token.id));
}

async fn a_lost_revocation_is_never_a_success(site: &impl Site) {
    for (act, gone) in [
        (Act::DropAfter, true),
        (Act::ErrorAfter, true),
        (Act::DropBefore, false),
        (Act::Status(500), false),
        (Act::Status(403), false),
        (Act::BadGateway, false),
    ] {
        let desk = Desk::at(site);
        let made = desk.create(1).await;
        desk.mislead("DELETE", act.clone());
        let answer = desk.provider.revoke(desk.call(), &made.token.id).await;
        assert!(answer.is_err(), "{act:?}: {answer:?}");
        let listed = desk.list().await.get(&made.token.id).is_some();
        assert_eq!(listed, !gone, "{act:?}");
        if listed {
            desk.provider.revoke(desk.call(), &made.token.id).await.unwrap();
        }
    }
    // What a 404 means is open: the token is still there.
    let desk = Desk::at(site);
    let made = desk.create(1).await;
    desk.mislead("DELETE", Act::Status(404));
    let answer = desk.provider.revoke(desk.call(), &made.token.id).await;
    assert_ne!(answer.ok(), Some(Revoked::Deleted));
    assert!(desk.list().await.get(&made.token.id).is_some());
}

/// Tokens are declared gone on the word of a list.
async fn only_a_complete_list_is_a_list(site: &impl Site) {
    let desk = Desk::at(site);
    desk.create(1).await;
    for act in [
        Act::Status(400),
        Act::Status(403),
        Act::Status(404),
        Act::Status(500),
        Act::NoConnection,
        Act::ScimNotConfigured,
        Act::BadGateway,
        Act::Truncate,
        Act::ErrorAfter,
        Act::CutAfter(60),
    ] {
        // Every time: a list whose connection was lost may be asked for once more.
        site.mischief().add(Rule::new("GET", &site.tokens(), act.clone()));
        let fault = desk.provider.list(desk.call()).await.unwrap_err();
        let expected = [Class::Terminal, Class::Transient];
        assert!(expected.contains(&fault.class), "{act:?}: {fault}");
        desk.site.mischief().clear();
        assert_eq!(desk.list().await.tokens.len(), 1, "{act:?}");
    }
}

async fn a_pause_that_was_asked_for_is_told_or_kept(site: &impl Site) {
    let desk = Desk::at(site);
    desk.site.mischief().add(Rule::new(
        "POST",
        &site.tokens(),
        Act::Throttle { retry_after: Some(3_600) },
    ));
    let fault = desk.try_create(1).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Throttled), "{fault}");
    assert!(fault.retry_after.unwrap() > Duration::from_secs(3_500), "{fault:?}");
    desk.site.mischief().clear();
    assert!(Desk::at(site).list().await.tokens.is_empty());
}

async fn what_is_added_to_answers_later_does_no_harm(site: &impl Site) {
    site.mischief().add(Rule::new("", "", Act::ExtraMembers));
    let desk = Desk::at(site);
    let made = desk.create(1).await;
    assert_eq!(desk.list().await.tokens, std::slice::from_ref(&made.token));
    desk.provider.revoke(desk.call(), &made.token.id).await.unwrap();
    assert!(desk.list().await.tokens.is_empty());
}

async fn another_connection_is_not_this_one(site: &impl Site) {
    let desk = Desk::at(site);
    let made = desk.create(1).await;
    for other in ["con_nobody0000000000", "99999", "../12345", ".."] {
        let other = ConnectionId::try_new(other).unwrap();
        let call = Call { connection: &other, urgency: Urgency::Routine, not_after: None };
        let listed = desk.provider.list(call).await.unwrap_err();
        assert_eq!(listed.class, Class::Terminal, "{listed}");
        let created = desk.provider.create(call, &request(&*desk.provider, 2)).await.unwrap_err();
        assert_eq!(created.class, Class::Terminal, "{created}");
        let revoked = desk.provider.revoke(call, &made.token.id).await;
        assert_ne!(revoked.ok(), Some(Revoked::Deleted));
    }
    assert_eq!(desk.list().await.tokens.len(), 1);
}

async fn nothing_shown_holds_a_secret(site: &impl Site) {
    let desk = Desk::at(site);
    let mut shown = String::new();
    let mut show = |what: &dyn Debug| shown.push_str(&format!("{what:?} {what:#?}\n"));
    show(&desk.provider);
    let made = desk.create(1).await;
    show(&made);
    show(&desk.list().await);
    show(
        &desk.provider.prove(std::slice::from_ref(&desk.connection), Needs::of(Mode::Rotate)).await,
    );
    for act in [Act::Truncate, Act::ErrorAfter, Act::Status(400), Act::BadGateway] {
        let desk = Desk::at(site);
        desk.site.mischief().add(Rule::new("", &site.tokens(), act));
        for fault in [
            desk.provider.list(desk.call()).await.unwrap_err(),
            desk.try_create(2).await.unwrap_err(),
        ] {
            show(&fault);
            show(&fault.to_string());
            show(&serde_json::to_string(&fault).unwrap());
        }
        desk.site.mischief().clear();
        for token in desk.list().await.tokens {
            desk.provider.revoke(desk.call(), &token.id).await.unwrap();
        }
    }
    // An id may be a part of its value; what makes it a secret is not.
    let value = made.value.expose();
    let secret = value.get(value.len().saturating_sub(32)..).unwrap();
    for secret in [secret, site.secret()] {
        assert!(!shown.contains(secret), "a secret is in {shown}");
    }
}

async fn rights_are_proven_before_anything_is_made(site: &impl Site) {
    let desk = Desk::at(site);
    let ids = [desk.connection.clone()];
    let rights = desk.provider.prove(&ids, Needs::of(Mode::Rotate)).await.unwrap();
    assert!(!rights.is_empty() && rights.iter().all(|right| right.missing.is_none()), "{rights:?}");
    let to_watch = desk.provider.prove(&ids, Needs::of(Mode::Observe)).await.unwrap();
    assert!(!to_watch.is_empty() && to_watch.len() < rights.len(), "{to_watch:?}");
    assert!(to_watch.iter().all(|right| right.missing.is_none()), "{to_watch:?}");
    for mode in [Mode::Rotate, Mode::Observe] {
        desk.mislead("GET", Act::Status(403));
        let rights = desk.provider.prove(&ids, Needs::of(mode)).await.unwrap();
        assert!(rights.iter().any(|right| right.missing.is_some()), "{rights:?}");
    }
    assert_eq!(desk.sent("POST") + desk.sent("DELETE"), 0, "nothing is tried out");
}
