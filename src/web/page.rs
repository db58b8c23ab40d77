//! The status page: what needs a person first, then every connection.

use std::sync::LazyLock;

use axum::{
    http::{StatusCode, Uri},
    response::Response,
};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, value::Serde};
use serde::Serialize;

use super::{
    Site,
    card::{Card, Moment},
    health,
    months::{Calendar, DAYS},
    overview::{Entry, Left, Overview},
    query::{self, PAGE, Show, Sort, Wanted},
    text, with_type,
};
use crate::{
    clock::{Timestamp, rfc3339},
    engine::watched_row::WatchedRow,
    error::chain,
    ledger::LedgerError,
};

/// How many of those that need a person are written out at the top.
const FOREMOST: usize = 10;

const HTML: &str = "text/html; charset=utf-8";

/// The template: every value that it is given is escaped.
static PAGE_TEMPLATE: LazyLock<Result<Environment<'static>, minijinja::Error>> =
    LazyLock::new(|| {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template("page", include_str!("page.html"))?;
        Ok(environment)
    });

/// The page that this address asks for.
pub(super) async fn answer(site: &Site, uri: &Uri) -> Response {
    let wanted = Wanted::of(uri);
    let now = site.engine.clock.now();
    let (status, list) = match site.list(&wanted, now).await {
        Ok(list) => (StatusCode::OK, Ok(list)),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Err(chain(&error))),
    };
    let (list, unread) = match list {
        Ok(list) => (Some(list), None),
        Err(words) => (None, Some(words)),
    };
    let page = Page {
        version: env!("CARGO_PKG_VERSION"),
        now: rfc3339(now),
        clock: now.format("%H:%M:%S UTC, %-d %b %Y").to_string(),
        started: Moment::of(site.live.started(), now),
        obstacles: site.obstacles(now),
        query: wanted.text.clone(),
        here: wanted.address(),
        list,
        unread,
    };
    let rendered = PAGE_TEMPLATE.as_ref().map_err(ToString::to_string).and_then(|environment| {
        let template = environment.get_template("page").map_err(|error| error.to_string())?;
        template.render(Serde(&page)).map_err(|error| error.to_string())
    });
    match rendered {
        Ok(html) => with_type(status, HTML, html),
        Err(defect) => {
            tracing::error!(
                error = defect,
                "the status page could not be made: this is a defect: {defect}"
            );
            let words = "the page could not be made: this is a defect; `scimitar status` shows the \
                         same\n";
            text(StatusCode::INTERNAL_SERVER_ERROR, words.to_owned())
        }
    }
}

#[derive(Debug, Serialize)]
struct Page {
    version: &'static str,
    now: String,
    clock: String,
    started: Moment,
    obstacles: Vec<Obstacle>,
    query: String,
    here: String,
    /// `None` when the ledger cannot be read; then `unread` says why.
    list: Option<List>,
    unread: Option<String>,
}

#[derive(Debug, Serialize)]
struct Obstacle {
    words: String,
    since: Moment,
}

/// All that comes from the ledger.
#[derive(Debug, Serialize)]
struct List {
    total: usize,
    /// The filters, with how many each holds.
    shows: Vec<Choice>,
    sorts: Vec<Choice>,
    /// The word of the filter in force.
    show: &'static str,
    /// How many need a person, connections that left the configuration among them.
    persons: usize,
    /// The foremost of them.
    foremost: Vec<Card>,
    /// Where all of them are.
    persons_address: String,
    more_persons: usize,
    left: Vec<Left>,
    more_left: usize,
    watched: Vec<WatchedCard>,
    calendar: Calendar,
    days: usize,
    found: usize,
    first: usize,
    last: usize,
    cards: Vec<Card>,
    before: Option<String>,
    after: Option<String>,
    page: usize,
    pages: usize,
}

/// A way to show the list.
#[derive(Debug, Serialize)]
struct Choice {
    word: &'static str,
    label: &'static str,
    address: String,
    count: usize,
    chosen: bool,
}

/// A watched token.
#[derive(Debug, Serialize)]
struct WatchedCard {
    #[serde(flatten)]
    row: WatchedRow,
    /// The standing in words.
    standing_words: String,
    expires: Moment,
    expired: bool,
}

impl WatchedCard {
    fn of(row: WatchedRow, now: Timestamp) -> Self {
        Self {
            standing_words: row.standing.replace('_', " "),
            expires: Moment::of(row.until, now),
            expired: row.until <= now,
            row,
        }
    }
}

impl Site {
    fn obstacles(&self, now: Timestamp) -> Vec<Obstacle> {
        let mut obstacles: Vec<Obstacle> = self
            .live
            .obstacles()
            .into_iter()
            .map(|reason| Obstacle { words: reason.words, since: Moment::of(reason.since, now) })
            .collect();
        let beat = self.live.beat();
        if health::is_stuck(beat, now) {
            let words = "the scheduler does not go round: restart the service".to_owned();
            obstacles.push(Obstacle { words, since: Moment::of(beat, now) });
        }
        obstacles
    }

    async fn list(&self, wanted: &Wanted, now: Timestamp) -> Result<List, LedgerError> {
        let overview = self.overview().await?;
        let mut persons: Vec<&Entry> = overview.entries.iter().filter(|it| it.person).collect();
        persons.sort_by_key(|entry| query::urgency(entry));
        let watches = self.live.watched();
        let ledger = self.engine.ledger.as_ref();
        let rows = WatchedRow::all(&watches, ledger, now).await?;
        let needy = rows.iter().filter(|row| row.needs_person).count();
        let foremost = persons.iter().take(FOREMOST).copied();
        let foremost = self.cards(&overview, foremost, false, now).await?;
        let found = wanted.of_overview(&overview);
        let pages = found.len().div_ceil(PAGE).max(1);
        let page = wanted.page.min(pages);
        let skipped = (page - 1) * PAGE;
        let shown = found.iter().skip(skipped).take(PAGE).copied();
        let cards = self.cards(&overview, shown, true, now).await?;
        let at = |page: usize| Wanted { page, ..wanted.clone() }.address();
        let everybody = Wanted { text: String::new(), page: 1, ..wanted.clone() };
        Ok(List {
            total: overview.entries.len(),
            shows: shows(wanted, &overview),
            sorts: sorts(wanted),
            show: Show::ALL.iter().find(|it| it.0 == wanted.show).map_or("all", |it| it.1),
            persons: persons.len() + overview.left_count + needy,
            more_persons: persons.len().saturating_sub(FOREMOST),
            foremost,
            persons_address: Wanted { show: Show::Person, ..everybody }.address(),
            left: overview.left.clone(),
            more_left: overview.left_count - overview.left.len(),
            watched: rows.into_iter().map(|row| WatchedCard::of(row, now)).collect(),
            calendar: overview.days.calendar(),
            days: DAYS,
            found: found.len(),
            first: if cards.is_empty() { 0 } else { skipped + 1 },
            last: skipped + cards.len(),
            cards,
            before: (page > 1).then(|| at(page - 1)),
            after: (page < pages).then(|| at(page + 1)),
            page,
            pages,
        })
    }

    async fn cards(
        &self,
        overview: &Overview,
        entries: impl Iterator<Item = &Entry> + Send,
        with_events: bool,
        now: Timestamp,
    ) -> Result<Vec<Card>, LedgerError> {
        let mut cards = Vec::new();
        for entry in entries {
            if let Some(connection) = overview.connections.get(entry.index) {
                cards.push(self.card(connection, with_events, now).await?);
            }
        }
        Ok(cards)
    }
}

fn shows(wanted: &Wanted, overview: &Overview) -> Vec<Choice> {
    let choice = |(show, word, label): (Show, &'static str, &'static str)| Choice {
        word,
        label,
        address: Wanted { show, page: 1, ..wanted.clone() }.address(),
        count: overview.entries.iter().filter(|entry| show.holds(entry)).count(),
        chosen: wanted.show == show,
    };
    Show::ALL.into_iter().map(choice).collect()
}

fn sorts(wanted: &Wanted) -> Vec<Choice> {
    let choice = |(sort, word, label): (Sort, &'static str, &'static str)| Choice {
        word,
        label,
        address: Wanted { sort, page: 1, ..wanted.clone() }.address(),
        count: 0,
        chosen: wanted.sort == sort,
    };
    Sort::ALL.into_iter().map(choice).collect()
}
