//! The list of connections, with what is wrong and what comes above and below it.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::{
    Site, address,
    axis::{Tick, ticks},
    cause::Cause,
    choices::{self, Choice, Column, Kept},
    line::Line,
    look::Look,
    moment::Moment,
    months::Calendar,
    overview::{Entry, Left, Overview},
    query::{PAGE, Sort, State, Wanted, urgency},
    services::Health,
};
use crate::{
    clock::Timestamp,
    engine::{stored_status, watched_row::WatchedRow, worker::Connection},
    ledger::LedgerError,
};

/// How many causes are written out at the top.
const CAUSES: usize = 8;

/// How many connections are named for each.
const NAMES: usize = 6;

/// More providers than these, or sinks, are folded away.
const SERVICES: usize = 12;

/// All that comes from the ledger.
#[derive(Debug, Serialize)]
pub(super) struct List {
    pub(super) total: usize,
    /// How many need attention, connections that are no longer configured among them.
    pub(super) persons: usize,
    headline: String,
    look: Look,
    next: Option<Next>,
    causes: Vec<CauseCard>,
    more_causes: usize,
    attention_address: String,
    left: Vec<Left>,
    more_left: usize,
    renewals: Vec<WatchedCard>,
    providers: Services,
    sinks: Services,
    states: Vec<Choice>,
    query: String,
    modes: Vec<Choice>,
    days: Vec<Choice>,
    sorts: Vec<Choice>,
    columns: [Column; 7],
    /// What the form keeps.
    kept: Vec<Kept>,
    /// Filters that no control shows, with the address without each.
    chips: Vec<Choice>,
    ticks: [Tick; 4],
    rows: Vec<Line>,
    found: usize,
    first: usize,
    last: usize,
    before: Option<String>,
    after: Option<String>,
    page: usize,
    pages: usize,
    calendar: Calendar,
    watched: Vec<WatchedCard>,
}

/// The next rotation of all.
#[derive(Debug, Serialize)]
struct Next {
    at: Moment,
    name: String,
    address: String,
}

/// What is wrong with some connections.
#[derive(Debug, Serialize)]
struct CauseCard {
    look: Look,
    count: usize,
    what: &'static str,
    at: String,
    way_out: String,
    /// Whose that is, where others were answered something else.
    example: Option<String>,
    notes: Vec<&'static str>,
    retry: Option<Moment>,
    names: Vec<Link>,
    more: usize,
    address: String,
    commands: Vec<Command>,
}

/// A connection and where its page is.
#[derive(Debug, Serialize)]
struct Link {
    name: String,
    address: String,
}

/// A command to copy.
#[derive(Debug, Serialize)]
pub(super) struct Command {
    pub(super) label: &'static str,
    pub(super) line: String,
}

/// The providers, or the sinks.
#[derive(Debug, Serialize)]
struct Services {
    all: Vec<Service>,
    /// How many of them, the last, are a click away.
    folded: usize,
}

/// A provider or a sink.
#[derive(Debug, Serialize)]
struct Service {
    name: String,
    look: Look,
    count: usize,
    /// What is wrong with it, if anything is.
    wrong: Option<String>,
    words: String,
    address: String,
    chosen: bool,
}

/// A watched token.
#[derive(Clone, Debug, Serialize)]
struct WatchedCard {
    #[serde(flatten)]
    row: WatchedRow,
    /// The standing in words.
    standing_words: String,
    explain: String,
    expires: Moment,
    expired: bool,
}

impl WatchedCard {
    fn of(row: WatchedRow, now: Timestamp) -> Self {
        Self {
            standing_words: row.standing.replace('_', " "),
            explain: format!("scimitar explain {}", address::word(row.name.as_str())),
            expires: Moment::of(row.until, now),
            expired: row.until <= now,
            row,
        }
    }
}

impl Site {
    pub(super) async fn list(&self, wanted: &Wanted, now: Timestamp) -> Result<List, LedgerError> {
        let overview = self.overview().await?;
        let watches = self.live.watched();
        let rows = WatchedRow::all(&watches, self.engine.ledger.as_ref(), now).await?;
        let watched: Vec<_> = rows.into_iter().map(|row| WatchedCard::of(row, now)).collect();
        let renewals: Vec<_> = watched.iter().filter(|it| it.row.needs_person).cloned().collect();
        let sorted = Wanted { sort: wanted.sort.or(Some(Sort::State)), ..wanted.clone() };
        let found = sorted.of_overview(&overview);
        let pages = found.len().div_ceil(PAGE).max(1);
        let page = wanted.page.clamp(1, pages);
        let skipped = (page - 1) * PAGE;
        let shown: Vec<&Entry> = found.iter().skip(skipped).take(PAGE).copied().collect();
        let lines = self.lines(&overview, &shown, now).await?;
        let at = |page: usize| Wanted { page, ..wanted.clone() }.address();
        let people = overview.entries.iter().filter(|entry| entry.person).count();
        let others = overview.left_count + renewals.len();
        let persons = people + others;
        let total = overview.entries.len();
        let (causes, more_causes) = causes(&overview, wanted, now);
        let everything = Wanted { refresh: wanted.refresh, ..Wanted::default() };
        Ok(List {
            total,
            persons,
            headline: headline(people, others, &overview.entries),
            look: look(persons, &overview.entries),
            next: next(&overview, now),
            causes,
            more_causes,
            attention_address: Wanted { state: State::Attention, ..everything }.address(),
            left: overview.left.clone(),
            more_left: overview.left_count - overview.left.len(),
            renewals,
            providers: services(&overview.services.providers, now, &wanted.provider, |provider| {
                Wanted { provider, page: 0, ..wanted.clone() }.address()
            }),
            sinks: services(&overview.services.sinks, now, &wanted.sink, |sink| {
                Wanted { sink, page: 0, ..wanted.clone() }.address()
            }),
            states: choices::states(wanted, &overview),
            query: wanted.text.clone(),
            modes: choices::modes(wanted),
            days: choices::days(wanted),
            sorts: choices::sorts(wanted),
            columns: choices::columns(wanted),
            kept: choices::kept(wanted),
            chips: choices::chips(wanted),
            ticks: ticks(),
            found: found.len(),
            first: if lines.is_empty() { 0 } else { skipped + 1 },
            last: skipped + lines.len(),
            rows: lines,
            before: (page > 1).then(|| at(page - 1)),
            after: (page < pages).then(|| at(page + 1)),
            page,
            pages,
            calendar: overview.days.calendar(),
            watched,
        })
    }

    /// The connections of these entries, as they are on record now.
    async fn lines(
        &self,
        overview: &Overview,
        entries: &[&Entry],
        now: Timestamp,
    ) -> Result<Vec<Line>, LedgerError> {
        let ledger = self.engine.ledger.as_ref();
        let found = entries.iter().filter_map(|entry| overview.connections.get(entry.index));
        let found: Vec<&Connection> = found.map(AsRef::as_ref).collect();
        let keys: Vec<_> = found.iter().map(|connection| &connection.policy.key).collect();
        let stored = ledger.load_many(&keys).await?;
        let mut lines = Vec::with_capacity(found.len());
        for (connection, stored) in found.into_iter().zip(stored) {
            let (policy, record) = (&connection.policy, stored.as_ref().map(|it| &it.record));
            let (status, row) = stored_status::looked_up(ledger, policy, record, now).await?;
            lines.push(Line::of(policy, &status, row, record, now));
        }
        Ok(lines)
    }
}

/// What is true of the connections that are configured, and of `others` that are none of them: those
/// that left the configuration, and watched tokens.
fn headline(people: usize, others: usize, entries: &[Entry]) -> String {
    let total = entries.len();
    match (people, others, total) {
        (0, 0, 0) => "No connections yet".to_owned(),
        (0, 0, _) => all_clear(entries),
        (1, 0, total) => format!("1 of {total} needs attention"),
        (people, 0, total) => format!("{people} of {total} need attention"),
        (0, 1, _) => "1 needs attention".to_owned(),
        (people, others, _) => format!("{} need attention", people + others),
    }
}

/// Nothing needs attention, and what that does not speak of.
fn all_clear(entries: &[Entry]) -> String {
    let count = |look| entries.iter().filter(|entry| entry.look == look).count();
    let of = match entries.len() {
        1 => "1 connection".to_owned(),
        total => format!("{total} connections"),
    };
    let beside = [(count(Look::Paused), "paused"), (count(Look::New), "not checked yet")];
    match (count(Look::Attention), beside) {
        (0, [_, (new, words)]) if new == entries.len() => format!("{of}, {words}"),
        (0, beside) => {
            let beside = beside.into_iter().filter(|(count, _)| *count > 0);
            beside.fold(format!("All clear: {of}"), |said, (count, words)| {
                format!("{said}, {count} {words}")
            })
        }
        (1, _) => format!("Nothing to do: 1 of {of} has a notice"),
        (notices, _) => format!("Nothing to do: {notices} of {of} have notices"),
    }
}

/// Green where something is healthy and nothing is worth a notice. Connections that are all paused, or
/// not checked yet, are not healthy.
fn look(persons: usize, entries: &[Entry]) -> Look {
    let looks = || entries.iter().map(|entry| entry.look);
    match looks().min() {
        Some(worst) if persons > 0 => worst.min(Look::Attention),
        None if persons > 0 => Look::Attention,
        Some(worst) if worst > Look::Attention => {
            looks().find(|look| *look == Look::Healthy).unwrap_or(worst)
        }
        worst => worst.unwrap_or(Look::New),
    }
}

/// The next rotation that lies ahead.
fn next(overview: &Overview, now: Timestamp) -> Option<Next> {
    let ahead = overview.entries.iter().filter_map(|entry| Some((entry.next?, entry.index)));
    let (at, index) = ahead.filter(|(at, _)| *at > now).min()?;
    let name = overview.connections.get(index)?.policy.name.to_string();
    Some(Next { at: Moment::of(at, now), address: address::of_connection(&name), name })
}

/// The worst causes, and how many more there are.
fn causes(overview: &Overview, wanted: &Wanted, now: Timestamp) -> (Vec<CauseCard>, usize) {
    let mut all: Vec<&Cause> = overview.causes.values().collect();
    let soonest = |cause: &Cause| {
        let entries = cause.members.iter().filter_map(|index| overview.entries.get(*index));
        entries.map(urgency).min()
    };
    all.sort_by_key(|cause| (cause.look, Reverse(cause.members.len()), soonest(cause)));
    let more = all.len().saturating_sub(CAUSES);
    let card = |cause: &Cause| {
        let names = cause.members.iter().filter_map(|index| overview.connections.get(*index));
        let names = names.map(|connection| Link {
            name: connection.policy.name.to_string(),
            address: address::of_connection(connection.policy.name.as_str()),
        });
        let names: Vec<Link> = names.take(NAMES).collect();
        let only = names.first().filter(|_| cause.members.len() == 1);
        let commands = only.into_iter().flat_map(|link| unmanaged_commands(cause, &link.name));
        let only =
            Wanted { cause: cause.key.clone(), refresh: wanted.refresh, ..Wanted::default() };
        CauseCard {
            look: cause.look,
            count: cause.members.len(),
            what: cause.what,
            at: cause.at.clone(),
            way_out: cause.way_out.clone(),
            example: cause
                .example
                .and_then(|index| overview.connections.get(index))
                .map(|connection| connection.policy.name.to_string()),
            notes: cause.for_good.then_some("needs a fix").into_iter().collect(),
            retry: cause.retry.map(|at| Moment::of(at, now)),
            more: cause.members.len() - names.len(),
            commands: commands.collect(),
            address: format!("{}#connections", only.address()),
            names,
        }
    };
    (all.into_iter().take(CAUSES).map(card).collect(), more)
}

fn unmanaged_commands(cause: &Cause, name: &str) -> Vec<Command> {
    let each = cause.unmanaged.iter().flat_map(|it| settle(name, it.id.as_str()));
    each.collect()
}

/// The two commands that settle an unmanaged token.
pub(super) fn settle(name: &str, id: &str) -> [Command; 2] {
    let (name, id) = (address::word(name), address::word(id));
    let adopt = format!("scimitar adopt {name} --token-id {id} --retire");
    let revoke = format!("scimitar revoke {name} --token-id {id}");
    [Command { label: "Retire it", line: adopt }, Command { label: "Revoke it", line: revoke }]
}

fn services(
    all: &BTreeMap<String, Health>,
    now: Timestamp,
    chosen: &str,
    address: impl Fn(String) -> String,
) -> Services {
    let service = |(name, health): (&String, &Health)| {
        let is_chosen = name == chosen;
        Service {
            look: health.look(),
            count: health.connections,
            wrong: health.wrong(),
            words: health.words(now),
            // Once more takes it away.
            address: address(if is_chosen { String::new() } else { name.clone() }),
            chosen: is_chosen,
            name: name.clone(),
        }
    };
    let mut all: Vec<Service> = all.iter().map(service).collect();
    let folded = all.len().saturating_sub(SERVICES);
    if folded > 0 {
        // By name otherwise, and so it stays where nothing is worse.
        all.sort_by_key(|it| (!it.chosen, it.look, Reverse(it.count)));
    }
    Services { all, folded }
}
