//! What part of the connections is asked for, by plain parameters of an address: the page and the API
//! take the same.

use axum::{extract::Query, http::Uri};
use chrono::TimeDelta;
use reqwest::Url;
use serde::Deserialize;

use super::{
    look::Look,
    overview::{Entry, Overview},
};
use crate::{
    clock::{ProviderTime, Timestamp, Told},
    rotation::{policy::Mode, status::Outcome},
};

/// Connections on one page.
pub(super) const PAGE: usize = 100;

/// The longest text that is searched for, in characters.
const LONGEST: usize = 200;

/// How often a page may ask to be loaded again, in seconds.
const REFRESH: std::ops::RangeInclusive<u32> = 5..=3_600;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Parts of names, ids or providers: all of these words.
    pub(super) text: String,
    /// The label of a provider.
    pub(super) provider: String,
    /// The label of a sink.
    pub(super) sink: String,
    /// What is wrong, as the page groups it.
    pub(super) cause: String,
    pub(super) state: State,
    pub(super) mode: Option<Mode>,
    /// The token in use expires within so many days, or has, or is gone.
    pub(super) days: Option<u16>,
    /// In which order; `None`: as is usual.
    pub(super) sort: Option<Sort>,
    /// From 1; 0: it is not said.
    pub(super) page: usize,
    /// After so many seconds the page is loaded again.
    pub(super) refresh: Option<u32>,
}

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    State,
    Expiry,
    Next,
    Age,
    Name,
}

/// Which of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    All,
    Attention,
    Failed,
    Refused,
    Waiting,
    Paused,
    Healthy,
    Unchanged,
}

impl Sort {
    /// All of them: the word in the address, and the words on the page.
    pub(super) const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::State, "state", "worst first"),
        (Self::Expiry, "expiry", "soonest expiry"),
        (Self::Next, "next", "next rotation"),
        (Self::Age, "age", "oldest token"),
        (Self::Name, "name", "name"),
    ];
}

impl State {
    /// All of them: the word in the address, and the words on the page.
    pub(super) const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::All, "all", "All"),
        (Self::Attention, "attention", "Needs attention"),
        (Self::Failed, "failed", "Failing"),
        (Self::Refused, "refused", "Blocked"),
        (Self::Waiting, "waiting", "Waiting"),
        (Self::Paused, "paused", "Paused"),
        (Self::Healthy, "healthy", "Healthy"),
        (Self::Unchanged, "unchanged", "Unchanged"),
    ];

    /// Whether this connection is one of them.
    pub(super) fn holds(self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Attention => entry.person,
            Self::Failed => entry.outcome == Outcome::Failed,
            Self::Refused => entry.outcome == Outcome::Refused,
            Self::Waiting => entry.outcome == Outcome::Waiting,
            Self::Paused => entry.paused,
            Self::Healthy => entry.look == Look::Healthy,
            Self::Unchanged => {
                !matches!(entry.outcome, Outcome::Failed | Outcome::Refused | Outcome::Waiting)
            }
        }
    }
}

/// The modes: the word in the address and in rows.
pub(super) const MODES: [(Mode, &str); 2] = [(Mode::Rotate, "rotate"), (Mode::Observe, "observe")];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    q: String,
    provider: String,
    sink: String,
    cause: String,
    state: String,
    /// What `state` was called before 0.2.
    show: String,
    mode: String,
    days: String,
    sort: String,
    page: String,
    refresh: String,
}

impl Wanted {
    /// What an address asks for; what it says wrongly it does not say.
    pub(super) fn of(uri: &Uri) -> Self {
        Self::read(uri).unwrap_or_else(|(wanted, _)| *wanted)
    }

    /// What an address asks for, and nothing that it says wrongly.
    ///
    /// # Errors
    /// In words for whoever asked.
    pub(super) fn strictly(uri: &Uri) -> Result<Self, String> {
        Self::read(uri).map_err(|(_, words)| words)
    }

    fn read(uri: &Uri) -> Result<Self, (Box<Self>, String)> {
        let Ok(Query(raw)) = Query::<Raw>::try_from_uri(uri) else {
            let words = "each parameter can be given once, percent-encoded".to_owned();
            return Err((Box::default(), words));
        };
        let mut wrong = Vec::new();
        let state = if raw.state.is_empty() { &raw.show } else { &raw.state };
        // So the page called it before 0.2; "standing" likewise.
        let state = if state == "person" { "attention" } else { state.as_str() };
        let sort = if raw.sort == "standing" { "state" } else { raw.sort.as_str() };
        let state = one_of("state", state, &State::ALL.map(|it| (it.0, it.1)), &mut wrong);
        let sort = one_of("sort", sort, &Sort::ALL.map(|it| (it.0, it.1)), &mut wrong);
        let mode = one_of("mode", &raw.mode, &MODES, &mut wrong);
        let words: Vec<&str> = raw.q.split_whitespace().collect();
        let days = number("days", &raw.days, &mut wrong);
        let refresh = number("refresh", &raw.refresh, &mut wrong);
        let wanted = Self {
            text: words.join(" ").chars().take(LONGEST).collect(),
            provider: raw.provider,
            sink: raw.sink,
            cause: raw.cause,
            state: state.unwrap_or_default(),
            mode,
            days,
            sort,
            page: raw.page.parse().unwrap_or(0),
            refresh: refresh.map(|seconds: u32| seconds.clamp(*REFRESH.start(), *REFRESH.end())),
        };
        if wrong.is_empty() { Ok(wanted) } else { Err((Box::new(wanted), wrong.join("; "))) }
    }

    /// Whether it asks for all of them in the order of the files.
    pub(super) fn is_everything(&self) -> bool {
        *self == Self { page: self.page, refresh: self.refresh, ..Self::default() }
    }

    /// The parameters that say it, without those that say what is usual.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let state = State::ALL.iter().find(|it| it.0 == self.state).map_or("", |it| it.1);
        let sort = Sort::ALL.iter().find(|it| Some(it.0) == self.sort).map_or("", |it| it.1);
        let mode = MODES.iter().find(|it| Some(it.0) == self.mode).map_or("", |it| it.1);
        let days = self.days.map(|days| days.to_string()).unwrap_or_default();
        let page = if self.page > 1 { self.page.to_string() } else { String::new() };
        let refresh = self.refresh.map(|refresh| refresh.to_string()).unwrap_or_default();
        let said = [
            ("q", self.text.clone()),
            ("provider", self.provider.clone()),
            ("sink", self.sink.clone()),
            ("cause", self.cause.clone()),
            ("state", if state == "all" { String::new() } else { state.to_owned() }),
            ("mode", mode.to_owned()),
            ("days", days),
            ("sort", if sort == "state" { String::new() } else { sort.to_owned() }),
            ("page", page),
            ("refresh", refresh),
        ];
        said.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// The address that asks for it: without what is usual.
    pub(super) fn address(&self) -> String {
        with_query("/", &self.parameters())
    }

    /// The connections asked for, in order.
    pub(super) fn of_overview<'o>(&self, overview: &'o Overview) -> Vec<&'o Entry> {
        let mut found: Vec<&Entry> =
            overview.entries.iter().filter(|entry| self.holds(entry, overview)).collect();
        let Some(sort) = self.sort else { return found };
        let name = |entry: &Entry| {
            overview.connections.get(entry.index).map(|connection| connection.policy.name.as_str())
        };
        // What has no time comes last.
        let (last, never) = (Timestamp::MAX_UTC, ProviderTime::MAX);
        found.sort_by(|one, other| {
            let order = match sort {
                Sort::Name => std::cmp::Ordering::Equal,
                Sort::Expiry => one.expires.unwrap_or(never).cmp(&other.expires.unwrap_or(never)),
                Sort::Next => one.next.unwrap_or(last).cmp(&other.next.unwrap_or(last)),
                Sort::Age => one.created.unwrap_or(never).cmp(&other.created.unwrap_or(never)),
                Sort::State => urgency(one).cmp(&urgency(other)),
            };
            order.then_with(|| name(one).cmp(&name(other)))
        });
        found
    }

    fn holds(&self, entry: &Entry, overview: &Overview) -> bool {
        let Some(connection) = overview.connections.get(entry.index) else { return false };
        let policy = &connection.policy;
        let soon = |days: u16| {
            let until = overview.at + TimeDelta::days(days.into());
            entry.expires.is_some_and(|expires| expires.as_told() <= until)
        };
        self.state.holds(entry)
            && (self.provider.is_empty() || policy.provider.as_str() == self.provider)
            && self.mode.is_none_or(|mode| policy.terms.mode == mode)
            && self.days.is_none_or(soon)
            && (self.sink.is_empty() || overview.has_sink(entry, &self.sink))
            && (self.cause.is_empty() || overview.has_cause(entry, &self.cause))
            && self.matches([
                policy.name.as_str(),
                policy.key.connection.as_str(),
                policy.provider.as_str(),
            ])
    }

    fn matches(&self, names: [&str; 3]) -> bool {
        if self.text.is_empty() {
            return true;
        }
        let text = names.join(" ").to_lowercase();
        self.text.split(' ').all(|word| text.contains(&word.to_lowercase()))
    }
}

/// An address with these parameters.
pub(super) fn with_query(path: &str, parameters: &[(&'static str, String)]) -> String {
    if parameters.is_empty() {
        return path.to_owned();
    }
    let url = Url::parse_with_params("http://localhost/", parameters);
    let query = url.ok().and_then(|url| url.query().map(str::to_owned));
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// The member with this word; none where nothing is said.
fn one_of<T: Copy>(
    what: &str,
    said: &str,
    all: &[(T, &'static str)],
    wrong: &mut Vec<String>,
) -> Option<T> {
    if said.is_empty() {
        return None;
    }
    let found = all.iter().find(|(_, word)| *word == said).map(|(it, _)| *it);
    if found.is_none() {
        let words: Vec<&str> = all.iter().map(|it| it.1).collect();
        wrong.push(format!("{what} is one of {}", words.join(", ")));
    }
    found
}

fn number<T: std::str::FromStr>(what: &str, said: &str, wrong: &mut Vec<String>) -> Option<T> {
    if said.is_empty() {
        return None;
    }
    let found = said.parse().ok();
    if found.is_none() {
        wrong.push(format!("{what} is a whole number"));
    }
    found
}

/// What is to be looked at first: what needs attention; of that, what does not mend without a fix; of
/// that, what dies soonest.
pub(super) fn urgency(entry: &Entry) -> (bool, Look, bool, ProviderTime) {
    let expires = entry.expires.unwrap_or(ProviderTime::MAX);
    (!entry.person, entry.look, entry.mends, expires)
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
        assert!(plain.is_everything() && plain == Wanted::default());
        assert_eq!(plain.address(), "/");
        for address in [
            "/?q=a+%26b%3C&state=failed&sort=next&page=3",
            "/?provider=acme&sink=vault&mode=observe&days=14",
            "/?cause=unreachable%40vault&state=attention&refresh=30",
            "/?page=2",
        ] {
            assert_eq!(of(address).address(), address);
            assert_eq!(of(address).is_everything(), address == "/?page=2", "{address}");
        }
    }

    #[test]
    fn bookmarks_of_earlier_versions_mean_what_they_meant() {
        assert_eq!(of("/?show=person&sort=standing").address(), "/?state=attention");
        assert_eq!(of("/?show=unchanged").state, State::Unchanged);
    }

    #[test]
    fn what_is_said_wrongly_is_not_said_and_named_to_programs() {
        for address in [
            "/?page=0",
            "/?page=-1",
            "/?page=x&sort=&state=nothing",
            "/?q=%20%20",
            "/?x=1",
            "/?days=x",
        ] {
            assert_eq!(of(address).address(), "/", "{address}");
        }
        assert_eq!(of("/?q=a&q=b"), of("/"));
        assert_eq!(of(&format!("/?q={}", "x".repeat(5_000))).text.len(), LONGEST);
        assert_eq!(of("/?refresh=0").refresh, Some(5));
        let strictly = |address: &str| Wanted::strictly(&address.parse().unwrap());
        assert_eq!(strictly("/?days=14").unwrap().days, Some(14));
        assert_eq!(
            strictly("/?mode=x&days=1d").unwrap_err(),
            "mode is one of rotate, observe; days is a whole number"
        );
        assert!(strictly("/?q=a&q=b").is_err());
    }
}
