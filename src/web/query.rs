//! What part of the connections a page shows, by plain parameters of its address.

use axum::{extract::Query, http::Uri};
use reqwest::Url;
use serde::Deserialize;

use super::overview::{Entry, Overview};
use crate::{
    clock::{ProviderTime, Timestamp},
    engine::report::Outcome,
};

/// Connections on one page.
pub(super) const PAGE: usize = 50;

/// The longest text that is searched for, in characters.
const LONGEST: usize = 200;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Parts of names, ids or providers: all of these words.
    pub(super) text: String,
    pub(super) sort: Sort,
    pub(super) show: Show,
    /// From 1.
    pub(super) page: usize,
}

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Status,
    Expiry,
    Next,
    Name,
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    All,
    Person,
    Failed,
    Refused,
    Waiting,
    Unchanged,
}

impl Sort {
    /// All of them: the word in the address, and the words on the page.
    pub(super) const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Status, "standing", "Standing, worst first"),
        (Self::Expiry, "expiry", "Expiry, soonest first"),
        (Self::Next, "next", "Next rotation, soonest first"),
        (Self::Name, "name", "Name"),
    ];
}

impl Show {
    /// All of them: the word in the address, and the words on the page.
    pub(super) const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::All, "all", "All"),
        (Self::Person, "person", "Needs a person"),
        (Self::Failed, "failed", "Failed"),
        (Self::Refused, "refused", "Refused"),
        (Self::Waiting, "waiting", "Waiting"),
        (Self::Unchanged, "unchanged", "Unchanged"),
    ];

    /// Whether this connection is one of them.
    pub(super) fn holds(self, entry: &Entry) -> bool {
        match (self, entry.outcome) {
            (Self::All, _)
            | (Self::Failed, Outcome::Failed)
            | (Self::Refused, Outcome::Refused)
            | (Self::Waiting, Outcome::Waiting) => true,
            (Self::Person, _) => entry.person,
            (Self::Unchanged, outcome) => rank(outcome) == UNCHANGED,
            (Self::Failed | Self::Refused | Self::Waiting, _) => false,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    q: String,
    sort: String,
    show: String,
    page: String,
}

impl Wanted {
    /// What an address asks for; what it says wrongly it does not say.
    pub(super) fn of(uri: &Uri) -> Self {
        let raw = Query::<Raw>::try_from_uri(uri).map(|Query(raw)| raw).unwrap_or_default();
        let found = |all: &[(Sort, &str, &str)]| {
            all.iter().find(|(_, word, _)| *word == raw.sort).map(|(sort, ..)| *sort)
        };
        let show = Show::ALL.iter().find(|(_, word, _)| *word == raw.show).map(|(show, ..)| *show);
        let words: Vec<&str> = raw.q.split_whitespace().collect();
        Self {
            text: words.join(" ").chars().take(LONGEST).collect(),
            sort: found(&Sort::ALL).unwrap_or(Sort::Status),
            show: show.unwrap_or(Show::All),
            page: raw.page.parse().unwrap_or(1).max(1),
        }
    }

    /// Its own address; what goes without saying is not said.
    pub(super) fn address(&self) -> String {
        let word = |all: &[(Sort, &'static str, &str)]| {
            all.iter().find(|(sort, ..)| *sort == self.sort).map_or("", |(_, word, _)| *word)
        };
        let show = Show::ALL.iter().find(|(show, ..)| *show == self.show);
        let page = self.page.to_string();
        let said = [
            ("q", self.text.as_str(), ""),
            ("show", show.map_or("", |(_, word, _)| word), "all"),
            ("sort", word(&Sort::ALL), "standing"),
            ("page", page.as_str(), "1"),
        ];
        let said = said.into_iter().filter(|(_, value, usual)| value != usual);
        let url =
            Url::parse_with_params("http://localhost/", said.map(|(name, value, _)| (name, value)));
        let query = url.ok().and_then(|url| url.query().map(str::to_owned));
        query
            .filter(|query| !query.is_empty())
            .map_or_else(|| "/".to_owned(), |query| format!("/?{query}"))
    }

    /// The connections asked for, in order.
    pub(super) fn of_overview<'o>(&self, overview: &'o Overview) -> Vec<&'o Entry> {
        let words: Vec<String> = self.text.split(' ').map(str::to_lowercase).collect();
        let matches = |entry: &Entry| {
            let Some(connection) = overview.connections.get(entry.index) else { return false };
            let policy = &connection.policy;
            let names =
                [policy.name.as_str(), policy.key.connection.as_str(), policy.provider.as_str()];
            let text = names.join(" ").to_lowercase();
            words.iter().all(|word| text.contains(word))
        };
        let found = overview.entries.iter().filter(|entry| self.show.holds(entry));
        let mut found: Vec<&Entry> = found.filter(|entry| matches(entry)).collect();
        let name = |entry: &Entry| {
            overview.connections.get(entry.index).map(|connection| connection.policy.name.as_str())
        };
        // What has no time comes last.
        let (last, never) = (Timestamp::MAX_UTC, ProviderTime::MAX);
        found.sort_by(|one, other| {
            let order = match self.sort {
                Sort::Name => std::cmp::Ordering::Equal,
                Sort::Expiry => one.expires.unwrap_or(never).cmp(&other.expires.unwrap_or(never)),
                Sort::Next => one.next.unwrap_or(last).cmp(&other.next.unwrap_or(last)),
                Sort::Status => urgency(one).cmp(&urgency(other)),
            };
            order.then_with(|| name(one).cmp(&name(other)))
        });
        found
    }
}

const UNCHANGED: u8 = 3;

/// The worst first.
fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Failed => 0,
        Outcome::Refused => 1,
        Outcome::Waiting => 2,
        Outcome::Unchanged | Outcome::Rotated | Outcome::Planned => UNCHANGED,
    }
}

/// What is to be looked at first: what a person is wanted for; of that, what does not mend by itself;
/// of that, what dies soonest.
pub(super) fn urgency(entry: &Entry) -> (bool, u8, bool, ProviderTime) {
    let expires = entry.expires.unwrap_or(ProviderTime::MAX);
    (!entry.person, rank(entry.outcome), entry.mends, expires)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Wanted {
        Wanted::of(&address.parse().unwrap())
    }

    #[test]
    fn an_address_says_what_is_wanted_and_is_made_again_from_it() {
        let plain = of("/");
        assert_eq!((plain.sort, plain.show, plain.page), (Sort::Status, Show::All, 1));
        assert_eq!(plain.address(), "/");
        for address in ["/?q=a+%26b%3C&show=failed&sort=next&page=3", "/?show=person", "/?page=2"] {
            assert_eq!(of(address).address(), address);
        }
    }

    #[test]
    fn what_is_said_wrongly_is_not_said() {
        for address in
            ["/?page=0", "/?page=-1", "/?page=x&sort=&show=nothing", "/?q=%20%20", "/?x=1"]
        {
            assert_eq!(of(address), of("/"), "{address}");
        }
        assert_eq!(of("/?q=a&q=b"), of("/"));
        assert_eq!(of(&format!("/?q={}", "x".repeat(5_000))).text.len(), LONGEST);
    }
}
