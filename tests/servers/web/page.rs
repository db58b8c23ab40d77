//! What the page says, and to whom nothing can be said by it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use scimitar::{
    clock::Timestamp,
    engine::stored_status,
    ledger::{Claim, Claimed, Entry, Ledger, LedgerError, Losses, Stored},
    rotation::record::{Record, Trouble},
    token::{ConnectionKey, ConnectionName, LedgerId, Tenant},
    web::Limits,
};

use super::{
    sample,
    site::{Stand, now, soon},
};

/// The names of the connections in the list, in order.
fn names(page: &str) -> Vec<String> {
    let (_, list) = page.split_once("<section id=\"connections\"").unwrap();
    let names = list.split("<h3 id=").skip(1).filter_map(|part| part.split(['>', '<']).nth(1));
    names.map(str::to_owned).collect()
}

/// What is said before the list.
fn top(page: &str) -> &str {
    page.split_once("<section id=\"connections\"").unwrap().0
}

#[tokio::test]
async fn what_needs_a_person_comes_first_with_the_way_out() {
    let stand = Stand::of(&sample::gallery(), &[sample::left()]).await;
    let page = stand.page("/").await;
    let top = top(&page);
    assert!(page.contains("<title>(6) Scimitar</title>"));
    let foremost: Vec<_> =
        top.split("<strong>").skip(1).filter_map(|part| part.split('<').next()).collect();
    assert_eq!(
        foremost,
        [
            "cyberdyne-okta",
            "globex-okta",
            "hooli-okta",
            "stark-industries-production-eu-central",
            "wayne-okta",
            "oscorp-okta"
        ]
    );
    for words in [
        "give it a new one; tried again in 30 min (2026-11-22T04:30:00Z)",
        "grant create:scim_token to the application",
        "<code>scimitar adopt stark-industries-production-eu-central --token-id \
         tok_stark-industries-production-eu-central_theirs --retire</code>",
        "<code>scimitar revoke stark-industries-production-eu-central --token-id \
         tok_stark-industries-production-eu-central_theirs</code>",
        "it holds tok_other, which nobody here delivered",
        "It left the configuration with tokens that are still to be revoked (1)",
    ] {
        assert!(top.contains(words), "{words}\n{top}");
    }
}

#[tokio::test]
async fn a_page_without_anything_to_say_says_so() {
    let stand = Stand::of(&[], &[]).await;
    let page = stand.page("/").await;
    for words in ["Nothing does.", "Nothing is due in them.", "There are no connections"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("<title>Scimitar</title>"));
    let one = Stand::of(&[sample::quiet("only", 5, 30)], &[]).await;
    let page = one.page("/").await;
    assert!(page.contains("1 connection looks after itself."), "{page}");
}

#[tokio::test]
async fn each_connection_says_how_it_stands_and_what_comes_next() {
    let stand = Stand::of(&sample::gallery(), &[]).await;
    let page = stand.page("/?sort=name").await;
    for words in [
        "current token made 6 days ago, expires in 24 days; next rotation in 14 days",
        "current token made 24 h ago, expires in 29 days; previous token made 21 days ago, \
         expires in 9 days; next rotation in 19 days",
        "current token made 40 days ago, does not expire; next rotation in 50 days",
        "(overlap = 3d)",
        "secret&#x2f;scim&#x2f;initech-okta",
        "tok_initech-okta_1",
        "rotation under way",
        "it was never looked at yet",
        "2026-11-22T03:43:00Z",
        "22 Nov 2026",
        "2026-11-22T04:00:00Z",
        env!("CARGO_PKG_VERSION"),
    ] {
        // The newcomer has a record, though an empty one.
        let expected = words != "it was never looked at yet";
        assert_eq!(page.contains(words), expected, "{words}\n{page}");
    }
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
    assert_eq!(of("/?show=refused").await, ["stark-industries-production-eu-central"]);
    assert_eq!(of("/?show=person").await.len(), 5);
    assert_eq!(
        of("/?show=failed&sort=name").await,
        ["cyberdyne-okta", "globex-okta", "hooli-okta"]
    );
    assert_eq!(of("/?show=waiting&sort=name").await, ["tyrell-waad", "umbrella-entra"]);
    assert_eq!(of("/?show=unchanged").await.len(), 5);
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
    let mut failed = sample::failed("other", scimitar::error::Class::Terminal);
    if let Some(Trouble { fault, .. }) = &mut failed.troubles.mint {
        fault.detail = hostile.to_owned();
    }
    let stand = Stand::of(&[record.clone(), failed], &[]).await;
    stand.live.blocked(scimitar::engine::live::Obstacle::Ledger, now(), hostile);
    let encoded = "%3Cscript%3Ealert(1)%3C/script%3E%22%27%3E%3Cimg+src=x+onerror=alert(2)%3E";
    for path in
        ["/", &format!("/?q={encoded}"), &format!("/?sort={encoded}&show={encoded}&page={encoded}")]
    {
        let page = stand.page(path).await;
        for markup in ["<script", "<img", "onerror=alert(2)>", "49&", "\"'>"] {
            assert!(!page.contains(markup), "{path}: {markup}\n{page}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt;"), "{page}");
    }
    // As JSON it is data, and never taken for a page.
    let (_, document) = stand.get("/api/v1/connections").await;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["results"][0]["connection"], record.name.as_str());
}

#[tokio::test]
async fn very_many_connections_are_read_in_parts_and_shown_in_pages() {
    const MANY: usize = 3_000;
    let records: Vec<Record> =
        (0..MANY).map(|index| sample::quiet(&format!("c{index:05}"), 5, 30)).collect();
    let ledger =
        Arc::new(Many { id: LedgerId::try_new("many").unwrap(), records: records.clone() });
    let stand = Stand::over(ledger, &records, Limits::default(), "127.0.0.1:0").await;
    let page = soon(stand.page("/?sort=name")).await;
    assert!(page.contains("Page 1 of 60") && page.contains("1–50 of 3000"), "{page}");
    assert_eq!(names(&page).len(), 50);
    assert!(page.len() < 400_000, "{} bytes", page.len());
    let last = stand.page("/?sort=name&page=60").await;
    assert_eq!(names(&last).last().map(String::as_str), Some("c02999"));
    assert!(
        last.contains("rel=\"prev\" href=\"&#x2f;?sort=name&amp;page=59#connections\""),
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
