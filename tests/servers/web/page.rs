//! What the page says, and to whom nothing can be said by it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use scimitar::{
    clock::Timestamp,
    engine::stored_status,
    error::{Class, Code},
    ledger::{Claim, Claimed, Entry, Ledger, LedgerError, Losses, Stored},
    rotation::{
        pause::Pause,
        policy::{Mode, Terms},
        record::{Record, Trouble},
    },
    token::{ConnectionKey, ConnectionName, LedgerId, Tenant},
    web::Limits,
};

use super::{
    sample,
    site::{Stand, connection, now, soon},
};

/// The names of the connections in the list, in order.
fn names(page: &str) -> Vec<String> {
    let (_, list) = page.split_once("<section id=\"connections\"").unwrap();
    let rows = list.split("<th scope=\"row\" class=\"c-name\">").skip(1);
    rows.filter_map(|part| part.split(['>', '<']).nth(2)).map(str::to_owned).collect()
}

/// What is said before the list.
fn top(page: &str) -> &str {
    page.split_once("<section id=\"connections\"").unwrap().0
}

#[tokio::test]
async fn what_needs_attention_comes_first_with_the_way_out() {
    let stand = Stand::of(&sample::gallery(), &[sample::left()]).await;
    let page = stand.page("/").await;
    let top = top(&page);
    // Five of eleven, and one that is no longer among them.
    assert!(page.contains("<title>(6) Scimitar</title>"));
    assert!(top.contains("</svg>6 need attention</h1>"), "{top}");
    assert!(top.contains("title=\"umbrella-entra\"") || top.contains("next rotation <a"), "{top}");
    assert!(top.contains("configuration of <time datetime=\"2026-11-22T04:00:00Z\""), "{top}");
    for words in [
        ">service unavailable</a>",
        ">credentials rejected</a>",
        ">permission missing</a>",
        "needs a fix",
        "give it a new one",
        "next try <time datetime=\"2026-11-22T04:30:00Z\">in 30 min</time>",
        "grant create:scim_token to the application",
        "unmanaged token occupies a slot",
        "<code>scimitar adopt stark-industries-production-eu-central --token-id \
         tok_stark-industries-production-eu-central_theirs --retire</code>",
        "<code>scimitar revoke stark-industries-production-eu-central --token-id \
         tok_stark-industries-production-eu-central_theirs</code>",
        "it holds tok_other, which nobody here delivered",
        "It is no longer in the configuration, but has tokens that are still to be revoked (1)",
    ] {
        assert!(top.contains(words), "{words}\n{top}");
    }
}

#[tokio::test]
async fn many_that_fail_for_one_reason_are_one_line() {
    let mut records: Vec<Record> = (0..21)
        .map(|index| {
            let mut record = sample::failed(&format!("gone-{index:02}"), Class::Terminal);
            let fault = &mut record.troubles.mint.as_mut().unwrap().fault;
            fault.code = Code::NoConnection;
            fault.detail = format!("{} does not exist: correct it", record.key.connection);
            record
        })
        .collect();
    records.extend((0..19).map(|index| sample::quiet(&format!("well-{index:02}"), 5, 30)));
    let stand = Stand::of(&records, &[]).await;
    let page = stand.page("/").await;
    let top = top(&page);
    assert!(top.contains("21 of 40 need attention"), "{top}");
    assert_eq!(top.matches("<li class=\"cause").count(), 1, "{top}");
    assert!(top.contains("<b>21 ×</b> connection does not exist</a>"), "{top}");
    // The way out once.
    assert_eq!(top.matches("does not exist: correct it").count(), 1, "{top}");
    assert!(top.contains(">and 15 more</a>"), "{top}");
    // Others were answered something else: it says whose it is.
    assert!(top.contains("<span class=\"quiet\">gone-00:</span> con_gone-00 does not"), "{top}");
    let link = top.split("<p class=\"what\"><a href=\"").nth(1).unwrap().split('"').next().unwrap();
    let link = link.replace("&#x2f;", "/").replace("#connections", "");
    assert_eq!(link, "/?cause=connection-does-not-exist%40acme");
    assert_eq!(names(&stand.page(&link).await).len(), 21);
    // The provider is not well, the sinks are.
    assert!(page.contains("class=\"service failing\" href=\"&#x2f;?provider=acme#connections\""));
    // In sight, not only under a pointer.
    let shown = "acme <span class=\"count\">failing for 21 of 40 connections</span>";
    assert!(page.contains(shown), "{page}");
    assert!(page.contains("class=\"service healthy\" href=\"&#x2f;?sink=vault#connections\""));
}

#[tokio::test]
async fn a_page_without_anything_to_say_says_so() {
    let stand = Stand::of(&[], &[]).await;
    let page = stand.page("/").await;
    for words in
        ["No connections yet", "Nothing scheduled.", "Read-only. Use the scimitar CLI to act."]
    {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("<title>Scimitar</title>"));
    let one = Stand::of(&[sample::quiet("only", 5, 30)], &[]).await;
    let page = one.page("/").await;
    assert!(page.contains("All clear: 1 connection</h1>"), "{page}");
    assert!(page.contains("next rotation <a href=\"&#x2f;c&#x2f;only\""), "{page}");
}

#[tokio::test]
async fn a_rejected_reload_is_a_banner_until_one_is_taken() {
    let stand = Stand::of(&[sample::quiet("only", 5, 30)], &[]).await;
    let rejected = "Reload rejected <time datetime=\"2026-11-22T03:54:00Z\">6 min ago</time>";
    assert!(!stand.page("/").await.contains("Reload rejected"));
    let words = "2 errors in /etc/scimitar/<b>scimitar.toml".to_owned();
    stand.live.reloaded(now() - TimeDelta::minutes(6), Err(words));
    for path in ["/", "/c/only"] {
        let page = stand.page(path).await;
        assert!(page.contains(rejected), "{page}");
        assert!(page.contains("&lt;b&gt;scimitar.toml. Keeping the configuration of"), "{page}");
    }
    stand.live.reloaded(now() - TimeDelta::minutes(2), Ok(()));
    let page = stand.page("/").await;
    assert!(!page.contains("Reload rejected"), "{page}");
    assert!(page.contains("configuration of <time datetime=\"2026-11-22T03:58:00Z\""), "{page}");
}

#[tokio::test]
async fn each_connection_is_one_line_with_its_next_step() {
    let stand = Stand::of(&sample::gallery(), &[]).await;
    let page = stand.page("/?sort=name").await;
    for words in [
        "current token created 6 days ago, expires in 24 days; next rotation in 14 days",
        "current token created 24 h ago, expires in 29 days; previous token created 21 days ago, \
         expires in 9 days; next rotation in 19 days",
        "current token created 40 days ago, does not expire; next rotation in 50 days",
        "revokes the previous token in 2 days",
        "rotating for 8 min",
        "rotates in 14 days",
        "permission missing · next try in 12 min",
        "changed outside Scimitar at vault",
        "not checked yet",
        "secret&#x2f;scim&#x2f;initech-okta: delivered",
        "22 Nov",
        env!("CARGO_PKG_VERSION"),
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    // One line each, and all on one axis.
    assert_eq!(page.matches("<tr class=\"row ").count(), 11);
    assert_eq!(page.matches("<svg class=\"axis\"").count(), 10, "one has no token");
    for state in ["Failing", "Blocked", "Attention", "Waiting", "Rotating", "New", "Healthy"] {
        assert!(page.contains(&format!("</svg>{state}</span>")), "{state}\n{page}");
    }
}

#[tokio::test]
async fn pauses_and_observe_mode_look_like_nothing_else() {
    let mut paused = sample::quiet("paused", 5, 30);
    paused.pause = Some(Pause {
        since: now(),
        until: now() + TimeDelta::hours(8),
        by: "alice".to_owned(),
        reason: "tenant migration".to_owned(),
    });
    let records = [paused, sample::quiet("watched", 5, 30), sample::quiet("well", 5, 30)];
    let stand = Stand::of(&records, &[]).await;
    let connections = records.iter().map(|record| {
        let mut connection = connection(record);
        if record.name.as_str() == "watched" {
            let mut policy = (*connection.policy).clone();
            policy.terms = Terms { mode: Mode::Observe, ..Terms::default() }.into();
            connection.policy = Arc::new(policy);
        }
        Arc::new(connection)
    });
    stand.live.set_connections(connections.collect());
    let page = stand.page("/").await;
    for words in [
        "<tr class=\"row paused\">",
        "</svg>Paused</span>",
        "paused until 2026-11-22 12:00 UTC by alice",
        "<tr class=\"row observed\">",
        "</svg>Observing</span>",
        "<tr class=\"row healthy\">",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    assert_eq!(names(&stand.page("/?mode=observe").await), ["watched"]);
    assert_eq!(names(&stand.page("/?mode=rotate&sort=name").await), ["paused", "well"]);
    assert_eq!(names(&stand.page("/?state=paused").await), ["paused"]);
    assert_eq!(names(&stand.page("/?state=healthy").await), ["well"]);
    let page = stand.page("/c/paused").await;
    assert!(page.contains("by alice: tenant migration"), "{page}");
    assert!(page.contains("<code>scimitar resume paused</code>"), "{page}");
}

#[tokio::test]
async fn a_connection_has_a_page_of_its_own() {
    let stand = Stand::of(&sample::gallery(), &[]).await;
    let page = stand.page("/c/umbrella-entra").await;
    for words in [
        "<title>umbrella-entra · Scimitar</title>",
        "con_umbrella-entra",
        "(overlap = 3d)",
        "tok_umbrella-entra_1",
        "tok_umbrella-entra_0",
        "Stays at least until",
        "2026-11-21 03:53 UTC",
        "secret&#x2f;scim&#x2f;umbrella-entra",
        "<code>scimitar explain umbrella-entra</code>",
        "<code>scimitar rotate umbrella-entra</code>",
        "every sink holds tok_new",
        "2 times since 2026-11-22 03:00 UTC",
        "&lt;b&gt;bold&lt;&#x2f;b&gt; &amp; &quot;quoted&quot;",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    let failing = stand.page("/c/globex-okta").await;
    for words in ["What to do", "Creating a token failed 4 times in a row", "needs a fix"] {
        assert!(failing.contains(words), "{words}\n{failing}");
    }
    let (status, page) = stand.get("/c/nobody%3Cb%3E").await;
    assert_eq!(status, 404);
    assert!(page.contains("nobody&lt;b&gt;") && page.contains("Show all connections"), "{page}");
    assert_eq!(stand.get("/c/").await.0, 404);
    assert_eq!(stand.get("/c/a/b").await.0, 404);
}

#[tokio::test]
async fn the_list_is_searched_sorted_and_filtered_by_its_address() {
    let stand = Stand::of(&sample::gallery(), &[]).await;
    let of = async |query: &str| names(&stand.page(query).await);
    let by_name = of("/?sort=name").await;
    assert_eq!(by_name.len(), 11);
    assert!(by_name.is_sorted());
    assert_eq!(of("/?q=OKTA&sort=name").await.len(), 5);
    assert_eq!(of("/?q=con_wayne").await, ["wayne-okta"]);
    assert_eq!(of("/?q=acme+dbt").await, ["warehouse-dbt"]);
    assert_eq!(of("/?q=nobody").await, [""; 0]);
    assert_eq!(of("/?state=refused").await, ["stark-industries-production-eu-central"]);
    // A bookmark from before 0.2.
    assert_eq!(of("/?show=person").await.len(), 5);
    assert_eq!(of("/?state=attention").await, of("/?show=person&sort=standing").await);
    assert_eq!(of("/?provider=acme").await.len(), 11);
    assert_eq!(of("/?provider=acm").await, [""; 0]);
    assert_eq!(of("/?sink=vault").await.len(), 10);
    assert_eq!(of("/?sink=vaul").await, [""; 0]);
    assert_eq!(of("/?days=5&sort=expiry").await, ["cyberdyne-okta", "globex-okta", "hooli-okta"]);
    assert_eq!(of("/?days=5&state=failed&q=globex").await, ["globex-okta"]);
    assert_eq!(of("/?sort=age").await.first().map(String::as_str), Some("warehouse-dbt"));
    assert_eq!(
        of("/?state=failed&sort=name").await,
        ["cyberdyne-okta", "globex-okta", "hooli-okta"]
    );
    assert_eq!(of("/?state=waiting&sort=name").await, ["tyrell-waad", "umbrella-entra"]);
    assert_eq!(of("/?state=unchanged").await.len(), 5);
    let by_expiry = of("/?sort=expiry").await;
    assert_eq!(by_expiry[..3], ["cyberdyne-okta", "globex-okta", "hooli-okta"]);
    // What has no expiry comes last.
    assert_eq!(by_expiry[9..], ["newcomer-saml", "warehouse-dbt"]);
    let next = of("/?sort=next").await;
    assert_eq!(next.first().map(String::as_str), Some("tyrell-waad"));
    assert_eq!(next.last().map(String::as_str), Some("newcomer-saml"));
}

#[tokio::test]
async fn names_and_words_from_outside_are_never_markup() {
    let hostile = "<script>alert(1)</script>\"'><img/src=x/onerror=alert(2)>&amp;{{7*7}}";
    let mut record = sample::refused("plain");
    record.name = ConnectionName::try_new(hostile.replace(' ', "")).unwrap();
    record.decided.as_mut().unwrap().words = hostile.to_owned();
    record.warnings.insert(hostile.to_owned());
    sample::sink(&mut record, "vault", hostile, None);
    let mut failed = sample::failed("other", Class::Terminal);
    if let Some(Trouble { fault, .. }) = &mut failed.troubles.mint {
        fault.detail = hostile.to_owned();
    }
    let stand = Stand::of(&[record.clone(), failed], &[]).await;
    stand.live.blocked(scimitar::engine::live::Obstacle::Ledger, now(), hostile);
    let encoded = "%3Cscript%3Ealert(1)%3C/script%3E%22%27%3E%3Cimg+src=x+onerror=alert(2)%3E";
    let name = record.name.as_str().bytes().map(|byte| format!("%{byte:02x}"));
    let address = format!("/c/{}", name.collect::<String>());
    for path in [
        "/",
        &format!("/?q={encoded}"),
        &format!("/?sort={encoded}&show={encoded}&page={encoded}"),
        &format!("/?provider={encoded}&sink={encoded}&cause={encoded}"),
        &format!("/c/{}", encoded.replace('/', "%2F")),
        &address,
    ] {
        let page = stand.get(path).await.1;
        let own = ["<script src=\"/page.js\" defer></script>", "<img src=\"/icon.svg\""];
        let page = own.iter().fold(page, |page, own| page.replacen(own, "", 1));
        for markup in ["<script", "<img", "onerror=alert(2)>", "49&", "\"'>"] {
            assert!(!page.contains(markup), "{path}: {markup}\n{page}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt;"), "{page}");
    }
    // A command is its own words whatever the name is.
    let page = stand.page(&address).await;
    let quoted = "scimitar explain &#x27;&lt;script&gt;alert(1)&lt;&#x2f;script&gt;&quot;&#x27;\\&#x27;&#x27;";
    assert!(page.contains(quoted), "{page}");
    // As JSON it is data, and never taken for a page.
    let (_, document) = stand.get("/api/v1/connections").await;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["results"][0]["connection"], record.name.as_str());
}

#[tokio::test]
async fn very_many_connections_are_read_in_parts_and_shown_in_pages() {
    const MANY: usize = 5_000;
    let records: Vec<Record> =
        (0..MANY).map(|index| sample::quiet(&format!("c{index:05}"), 5, 30)).collect();
    let ledger =
        Arc::new(Many { id: LedgerId::try_new("many").unwrap(), records: records.clone() });
    let stand = Stand::over(ledger, &records, Limits::default(), "127.0.0.1:0").await;
    let page = soon(stand.page("/?sort=name")).await;
    assert!(page.contains("Page 1 of 50") && page.contains("1–100 of 5000"), "{page}");
    assert_eq!(names(&page).len(), 100);
    assert!(page.len() < 250_000, "{} bytes", page.len());
    // What people wait for: whoever asks again, as a page that refreshes does, waits for 100 rows.
    let began = tokio::time::Instant::now();
    soon(stand.page("/?state=healthy&sort=age")).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}, in a build that is not optimised");
    let last = stand.page("/?sort=name&page=50").await;
    assert_eq!(names(&last).last().map(String::as_str), Some("c04999"));
    assert!(
        last.contains("rel=\"prev\" href=\"&#x2f;?sort=name&amp;page=49#connections\""),
        "{last}"
    );
    assert!(!last.contains("rel=\"next\""));
    // Beyond the end is the end.
    assert_eq!(names(&stand.page("/?sort=name&page=4000000000").await), names(&last));
    // Nor does a start hold them all while it looks for those that left.
    let configured = records.iter().skip(1).map(|record| &record.key).collect();
    let say = |line| panic!("there is nothing to revoke: {line}");
    stored_status::dormant(stand.ledger.as_ref(), &configured, say).await.unwrap();
    let (status, document) = soon(stand.get("/api/v1/connections")).await;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!((status, document["results"].as_array().unwrap().len()), (200, MANY));
}

/// A ledger that never gives all of it at once.
#[derive(Debug)]
struct Many {
    id: LedgerId,
    records: Vec<Record>,
}

impl Many {
    fn stored(&self, at: usize) -> Option<Stored> {
        self.records.get(at).map(|record| Stored { version: 1, record: record.clone() })
    }

    fn at(&self, key: &ConnectionKey) -> Result<usize, usize> {
        self.records.binary_search_by(|record| record.key.cmp(key))
    }
}

#[async_trait]
impl Ledger for Many {
    fn id(&self) -> &LedgerId {
        &self.id
    }

    async fn load(&self, key: &ConnectionKey) -> Result<Option<Stored>, LedgerError> {
        Ok(self.at(key).ok().and_then(|at| self.stored(at)))
    }

    async fn all(&self) -> Result<Vec<Stored>, LedgerError> {
        panic!("all records at once")
    }

    async fn page(
        &self,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<Stored>, LedgerError> {
        assert!(limit <= 1_000, "{limit} records at once");
        let from = after.map_or(0, |after| self.at(after).map_or_else(|at| at, |at| at + 1));
        Ok((from..self.records.len()).take(limit).filter_map(|at| self.stored(at)).collect())
    }

    async fn claim(&self, _: &ConnectionKey, left: Duration) -> Result<Claimed, LedgerError> {
        Ok(Claimed::Held(left))
    }

    async fn renew(&self, _: &Claim, _: Duration) -> Result<(), LedgerError> {
        Err(LedgerError::ClaimLost)
    }

    async fn release(&self, _: &Claim) -> Result<(), LedgerError> {
        Err(LedgerError::ClaimLost)
    }

    async fn store(&self, _: &Claim, _: u64, _: &Record, _: &Entry) -> Result<u64, LedgerError> {
        Err(LedgerError::ClaimLost)
    }

    async fn due(&self, _: Timestamp, _: usize) -> Result<Vec<ConnectionKey>, LedgerError> {
        Ok(Vec::new())
    }

    async fn history(&self, _: &ConnectionKey, _: usize) -> Result<Vec<Entry>, LedgerError> {
        Ok(Vec::new())
    }

    async fn losses(&self, _: &Tenant, _: Timestamp) -> Result<Losses, LedgerError> {
        Ok(Losses::default())
    }
}
