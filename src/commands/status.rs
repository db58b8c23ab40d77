//! `status`: where each connection stands, as a table, once or again and again.

use chrono::TimeDelta;

use super::{
    discover,
    output::{Answer, Failure, FailureClass, Judge, MadeRow, Row},
    select::Asked,
    session::Session,
    standing::State,
    sums::{Brief, Served, sums},
    table::{Table, arranged},
    watched,
};
use crate::{
    app::{self, Use},
    cli::{List, Output, Sort},
    clock::{Clock, Timestamp, spelled},
    engine::{report::Outcome, stored_status, watched_row::WatchedRow},
    ledger::{Ledger, LedgerError, Stored},
    rotation::{
        policy::Policy,
        record::Record,
        status::{Concern, is_neglected},
        view,
    },
    words::{short, since, stamp},
};

/// How many records are read at once; twice as many are held.
const PAGE: usize = 500;

/// How often the ledger is read anew for `--watch`.
const AGAIN: TimeDelta = TimeDelta::seconds(2);

/// Everything on a terminal from its upper left corner on.
const HOME: &str = "\x1b[H";
/// The rest of a line, of the terminal.
const REST_OF_LINE: &str = "\x1b[K\n";
const REST: &str = "\x1b[J";

/// How the connections that were asked for stand.
struct Seen {
    table: Table,
    briefs: Vec<Brief>,
    /// Why each stands so, where changes are told.
    whys: Vec<String>,
    made: Vec<MadeRow>,
    /// What was known of the daemon, where changes are told.
    served: Served,
}

impl Session<'_> {
    /// Reads the ledger alone: it works while every service is away.
    pub(super) async fn status(
        &self,
        asked: &Asked,
        list: List,
        exit_code: bool,
    ) -> Result<Answer, Failure> {
        let ledger = app::open_ledger(&self.config.state, Use::Look, &self.env).await?;
        let now = self.clock.now();
        let in_text = self.invocation.output == Output::Text;
        let mut seen = self.seen(asked, ledger.as_ref(), now, in_text).await?;
        if let Some(sort) = list.sort.or_else(|| in_text.then_some(Sort::Standing)) {
            let order = order(&seen.briefs, sort);
            seen.table.arrange(&order);
            seen.made = arranged(seen.made, &order);
        }
        let mut watched = WatchedRow::all(&asked.watches, ledger.as_ref(), now).await?;
        watched::arrange(&mut watched, list.sort);
        let text = match in_text {
            true => self.shown(&seen, &watched, ledger.as_ref(), list, now).await?,
            false => String::new(),
        };
        let judge = if exit_code { Judge::Outcomes } else { Judge::Shown };
        Ok(Answer { judge, made: seen.made, watched, ..Answer::shown(Vec::new(), text) })
    }

    /// Goes on until a signal: draws it again and again on a terminal, else prints what changes.
    pub(super) async fn watch_status(&self, asked: &Asked, list: List) -> Result<Answer, Failure> {
        if self.invocation.output == Output::Json {
            let words = "--watch cannot be used with --output json";
            return Err(Failure::new(FailureClass::Usage, words));
        }
        let ledger = app::open_ledger(&self.config.state, Use::Look, &self.env).await?;
        let mut before: Option<Seen> = None;
        loop {
            let now = self.clock.now();
            let mut seen = self.seen(asked, ledger.as_ref(), now, true).await?;
            let mut watched = WatchedRow::all(&asked.watches, ledger.as_ref(), now).await?;
            let text = if self.screen.terminal {
                let order = order(&seen.briefs, list.sort.unwrap_or(Sort::Standing));
                seen.table.arrange(&order);
                watched::arrange(&mut watched, list.sort);
                let text = self.shown(&seen, &watched, ledger.as_ref(), list, now).await?;
                redrawn(&text, self.screen.height, now)
            } else {
                seen.served = self.served().await;
                match &before {
                    None => {
                        sums(&seen.briefs, now, &self.screen, &seen.served) + &troubles(&seen, now)
                    }
                    Some(before) => daemons(before, &seen, now) + &changes(before, &seen, now),
                }
            };
            if !self.show(&text) {
                // Nobody reads it any more.
                return Ok(Answer::shown(Vec::new(), String::new()));
            }
            before = Some(seen);
            tokio::select! {
                biased;
                () = self.stop.token.cancelled() => {
                    return Ok(Answer::shown(Vec::new(), String::new()));
                }
                () = self.clock.sleep_until(now + AGAIN) => {}
            }
        }
    }

    async fn seen(
        &self,
        asked: &Asked,
        ledger: &dyn Ledger,
        now: Timestamp,
        in_text: bool,
    ) -> Result<Seen, Failure> {
        let table = Table::at(now, self.screen);
        let served = Served::Unasked;
        let mut seen =
            Seen { table, briefs: Vec::new(), whys: Vec::new(), made: Vec::new(), served };
        let mut policies =
            self.policies().filter(|policy| asked.connections.contains(&policy.name));
        let mut page: Vec<Policy> = policies.by_ref().take(PAGE).collect();
        let mut stored = load(ledger, &page).await?;
        while !page.is_empty() {
            let next: Vec<Policy> = policies.by_ref().take(PAGE).collect();
            let see = self.see(&mut seen, &page, stored, ledger, (now, in_text));
            // The next records are on their way while these are looked at.
            let (read, looked) = tokio::join!(load(ledger, &next), see);
            looked?;
            (page, stored) = (next, read?);
        }
        Ok(seen)
    }

    /// Takes in how these connections stand.
    async fn see(
        &self,
        seen: &mut Seen,
        page: &[Policy],
        stored: Vec<Option<Stored>>,
        ledger: &dyn Ledger,
        (now, in_text): (Timestamp, bool),
    ) -> Result<(), Failure> {
        let told =
            matches!(self.invocation.command, crate::cli::Command::Status { watch: true, .. });
        for (policy, stored) in page.iter().zip(stored) {
            let record = stored.map(|stored| stored.record);
            let looked = stored_status::looked_up(ledger, policy, record.as_ref(), now).await;
            let (status, mut row) = looked?;
            let mut state = State::of(&status, policy, record.is_some());
            // A daemon that answers runs.
            let neglected = record
                .as_ref()
                .filter(|record| self.caller.is_none() && is_neglected(record, policy, now));
            if let Some(record) = neglected.filter(|_| in_text) {
                let alone = state != State::Attention;
                say_neglected(&mut row, record, policy, alone, now);
                state = State::Attention;
                match alone {
                    true => seen.table.add_neglected(&row, Some(record)),
                    false => seen.table.add(&row, Some(record), state),
                }
            } else if in_text {
                seen.table.add(&row, record.as_ref(), state);
            }
            let checked_at = record.as_ref().and_then(view::checked_at);
            let neglected = neglected.is_some();
            if told {
                seen.whys.push(row.why.clone());
            }
            seen.made.push(made_of(&row, !in_text)?);
            let Row { connection, expires_at, gone, next_at, .. } = row;
            let brief =
                Brief { connection, state, expires_at, gone, next_at, checked_at, neglected };
            seen.briefs.push(brief);
        }
        Ok(())
    }

    async fn sums(&self, seen: &Seen, now: Timestamp) -> String {
        sums(&seen.briefs, now, &self.screen, &self.served().await)
    }

    /// What is known of the daemon that serves this ledger.
    pub(super) async fn served(&self) -> Served {
        // One that answers runs.
        if self.caller.is_some() {
            return Served::Unasked;
        }
        Served::of(self.config.state.file(), self.unanswered).await
    }

    async fn shown(
        &self,
        seen: &Seen,
        watched: &[WatchedRow],
        ledger: &dyn Ledger,
        list: List,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let sums = self.sums(seen, now).await;
        let height = self.screen.height.filter(|_| self.screen.terminal && !list.all);
        let mut text = match height {
            // They are all that was asked for.
            _ if seen.briefs.is_empty() && !watched.is_empty() => String::new(),
            _ if seen.briefs.is_empty() => sums,
            Some(height) => seen.table.text_within(height, &sums),
            None => {
                let mut text = sums + "\n";
                seen.table.write(&mut text);
                text
            }
        };
        if !watched.is_empty() && !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&watched::table(watched, now));
        let inventories = app::discover::remembered(self.config, ledger).await?;
        text.push_str(&discover::summary(self.config, &inventories, now));
        let say = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        stored_status::dormant(ledger, &self.configured(), say).await?;
        Ok(text)
    }
}

async fn load(
    ledger: &dyn Ledger,
    policies: &[Policy],
) -> Result<Vec<Option<Stored>>, LedgerError> {
    if policies.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = policies.iter().map(|policy| &policy.key).collect();
    ledger.load_many(&keys).await
}

/// Says of a connection that nobody checks it any more: `alone`, where that is all that is wrong as far as is
/// known.
fn say_neglected(row: &mut Row, record: &Record, policy: &Policy, alone: bool, now: Timestamp) {
    let age = view::checked_at(record).map(|at| since(at, now)).unwrap_or_default();
    let words = format!(
        "not checked for {}, although a check is due every {}: probably neither a daemon nor a timer runs",
        short(age),
        spelled(policy.survey_interval)
    );
    // The provider has no part in it.
    row.warnings.retain(|warning| !warning.starts_with(Concern::SurveyStale.as_str()));
    if alone && row.outcome != Outcome::Failed {
        row.why = words;
    } else {
        row.warnings.push(words);
    }
}

fn made_of(row: &Row, as_json: bool) -> Result<MadeRow, Failure> {
    let json = as_json.then(|| serde_json::value::to_raw_value(row)).transpose();
    Ok(MadeRow { outcome: row.outcome, json: json.map_err(|error| Failure::system(&error))? })
}

/// The text over what the terminal shows, as far as it fits.
fn redrawn(text: &str, height: Option<usize>, now: Timestamp) -> String {
    let fitting = height.map_or(usize::MAX, |height| height.saturating_sub(1));
    let first = format!("{}  (Ctrl-C ends)", stamp(now));
    let lines = std::iter::once(first.as_str()).chain(text.lines()).take(fitting);
    let lines: String = lines.map(|line| format!("{line}{REST_OF_LINE}")).collect();
    format!("{HOME}{lines}{REST}")
}

/// A line for each that has trouble now.
fn troubles(seen: &Seen, now: Timestamp) -> String {
    let bad = seen.briefs.iter().zip(&seen.whys).filter(|(brief, _)| brief.state.is_bad());
    bad.map(|(brief, why)| line(brief, brief.state.as_str(), why, now)).collect()
}

/// A line where the daemon was killed since, or runs again.
fn daemons(before: &Seen, seen: &Seen, now: Timestamp) -> String {
    match (&before.served, &seen.served) {
        (was, is) if was == is => String::new(),
        (_, is @ (Served::Killed(_) | Served::Silent(_))) => {
            format!("{} {}", stamp(now), is.notice(now))
        }
        (Served::Killed(_), Served::Unasked | Served::Unanswered) => {
            format!("{} the daemon runs again, or a later run has checked since\n", stamp(now))
        }
        (
            Served::Unasked | Served::Unanswered | Served::Silent(_),
            Served::Unasked | Served::Unanswered,
        ) => String::new(),
    }
}

/// A line for each that stands otherwise than before, and for each that was rotated.
fn changes(before: &Seen, seen: &Seen, now: Timestamp) -> String {
    let pairs = before.briefs.iter().zip(seen.briefs.iter().zip(&seen.whys));
    let changed =
        pairs.filter(|(was, (is, _))| was.state != is.state || was.expires_at != is.expires_at);
    changed
        .map(|(was, (is, why))| {
            let (from, to) = (was.state.as_str(), is.state.as_str());
            let states =
                if from == to { format!("{to}, new token") } else { format!("{from} -> {to}") };
            line(is, &states, why, now)
        })
        .collect()
}

fn line(brief: &Brief, states: &str, why: &str, now: Timestamp) -> String {
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!("{} {}: {states}{why}\n", stamp(now), brief.connection)
}

/// The places of the rows in that order; equal ones keep theirs.
fn order(rows: &[Brief], sort: Sort) -> Vec<usize> {
    let mut order: Vec<(usize, &Brief)> = rows.iter().enumerate().collect();
    match sort {
        Sort::Name => order.sort_by_key(|(_, row)| row.connection.as_str()),
        // What never comes is last.
        Sort::Expiry => order.sort_by_key(|(_, row)| {
            let ends = row.gone.or(row.expires_at);
            (ends.is_none(), ends)
        }),
        Sort::Next => order.sort_by_key(|(_, row)| (row.next_at.is_none(), row.next_at)),
        Sort::Standing => order.sort_by_key(|(_, row)| row.state),
    }
    order.into_iter().map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::parse_timestamp, ledger::sqlite::Daemon, rotation::fixture, token::ConnectionName,
    };

    fn now() -> Timestamp {
        parse_timestamp("2026-11-22T04:00:00Z").unwrap()
    }

    fn fleet() -> Vec<Brief> {
        let one = |name: &str, state, expires: i64| {
            let there = crate::clock::ProviderClock::default().to_provider(now());
            Brief {
                connection: ConnectionName::try_new(name).unwrap(),
                state,
                expires_at: (expires > 0).then(|| there + TimeDelta::days(expires)),
                gone: None,
                next_at: (expires > 0).then(|| now() + TimeDelta::days(40 - expires)),
                checked_at: None,
                neglected: false,
            }
        };
        vec![
            one("b", State::Healthy, 20),
            one("a", State::Attention, 30),
            one("d", State::Failing, 10),
            one("c", State::Healthy, 0),
        ]
    }

    #[test]
    fn each_order_has_what_it_is_about_first() {
        let names = |sort| {
            let rows = arranged(fleet(), &order(&fleet(), sort));
            rows.iter().map(|row| row.connection.to_string()).collect::<String>()
        };
        assert_eq!(names(Sort::Name), "abcd");
        assert_eq!(names(Sort::Expiry), "dbac");
        assert_eq!(names(Sort::Next), "abdc");
        assert_eq!(names(Sort::Standing), "adbc");
        // One that is gone stopped working, whenever it would have expired.
        let mut fleet = fleet();
        fleet[1].gone = Some(crate::clock::ProviderClock::default().to_provider(now()));
        assert_eq!(order(&fleet, Sort::Expiry), [1, 2, 0, 3]);
    }

    #[test]
    fn a_watch_tells_that_the_daemon_was_killed_and_is_back() {
        let seen = |served: &Served| Seen {
            table: Table::at(now(), Default::default()),
            whys: Vec::new(),
            briefs: Vec::new(),
            made: Vec::new(),
            served: served.clone(),
        };
        let daemon = Daemon { pid: 4711, since: now() - TimeDelta::hours(5) };
        let [killed, silent] = [Served::Killed(daemon.clone()), Served::Silent(daemon)];
        let told = |was: &Served, is: &Served| daemons(&seen(was), &seen(is), now());
        assert_eq!(told(&Served::Unasked, &Served::Unanswered), "");
        assert_eq!(told(&killed, &killed), "");
        let line = told(&Served::Unasked, &killed);
        assert!(line.starts_with("2026-11-22 04:00:00 UTC the daemon does not run: process 4711"));
        assert_eq!(line.lines().count(), 1);
        assert!(told(&Served::Unasked, &silent).contains("does not answer: process 4711"));
        assert!(told(&killed, &Served::Unasked).contains("the daemon runs again"));
    }

    #[test]
    fn a_watch_tells_changes_and_nothing_else() {
        let seen = |briefs: Vec<Brief>| Seen {
            table: Table::at(now(), Default::default()),
            whys: briefs.iter().map(|brief| format!("why of {}", brief.connection)).collect(),
            briefs,
            made: Vec::new(),
            served: Served::Unasked,
        };
        let before = seen(fleet());
        assert_eq!(changes(&before, &seen(fleet()), now()), "");
        let mut later = fleet();
        later[0].state = State::Failing;
        later[1].expires_at = None;
        assert_eq!(
            changes(&before, &seen(later), now()),
            "2026-11-22 04:00:00 UTC b: healthy -> failing: why of b\n\
             2026-11-22 04:00:00 UTC a: attention, new token: why of a\n"
        );
        assert_eq!(
            troubles(&before, now()),
            "2026-11-22 04:00:00 UTC a: attention: why of a\n\
             2026-11-22 04:00:00 UTC d: failing: why of d\n"
        );
    }

    #[test]
    fn what_nobody_checks_is_not_blamed_on_the_provider() {
        let (policy, record) = (fixture::policy(), fixture::rotated());
        let later = now() + TimeDelta::hours(5);
        let mut row = stored_status::row(&policy, Some(&record), later);
        assert!(row.warnings.iter().any(|it| it.contains("no complete list")), "{row:?}");
        let words = "not checked for 5h, although a check is due every 1h: probably neither a daemon nor a timer runs";
        let mut failing = row.clone();
        say_neglected(&mut row, &record, &policy, true, later);
        assert_eq!(row.why, words);
        assert!(!row.warnings.iter().any(|it| it.contains("no complete list")), "{row:?}");
        // Why it fails stays.
        failing.outcome = Outcome::Failed;
        "could not log in".clone_into(&mut failing.why);
        say_neglected(&mut failing, &record, &policy, true, later);
        assert_eq!(failing.why, "could not log in");
        assert!(failing.warnings.iter().any(|it| it == words), "{failing:?}");
    }

    #[test]
    fn a_redrawn_screen_is_no_higher_than_the_terminal() {
        let text: String = (0..50).map(|number| format!("line {number}\n")).collect();
        let drawn = redrawn(&text, Some(24), now());
        assert_eq!(drawn.matches('\n').count(), 23);
        assert!(drawn.starts_with("\x1b[H2026-11-22 04:00:00 UTC"), "{drawn:?}");
        assert!(drawn.ends_with("\x1b[J"), "{drawn:?}");
    }
}
