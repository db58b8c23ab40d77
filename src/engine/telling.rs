//! What the daemon tells people of its work: the lines of its log about services and connections.
//! Steps have lines of their own (`audited`).

use std::{collections::BTreeMap, sync::Arc};

use chrono::TimeDelta;

use super::{
    outages::{Cover, Line, Outages, Service, Services, is_down},
    report::{Outcome, Report},
    troubles::{Told, Troubles},
    worker::{Connection, Engine},
};
use crate::{
    clock::{Timestamp, rfc3339},
    error::{Code, Fault},
    rotation::{
        policy::Policy,
        record::{Record, Status, Trouble},
        status::ConnectionStatus,
        why::Reason,
    },
    token::ConnectionKey,
    words::short,
};

/// How often, at most, the ledger is asked what others found out …
const ASK_EVERY: TimeDelta = TimeDelta::seconds(5);

/// … and about how many connections.
const AT_ONCE: usize = 500;

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Telling {
    troubles: Troubles,
    /// When the ledger was last asked what others found out.
    asked: Option<Timestamp>,
}

impl Telling {
    /// How many connections do not do well.
    pub(super) fn troubled(&self) -> usize {
        self.troubles.len()
    }

    /// Forgets what the configuration does not name any more.
    pub(super) fn keep<'a>(
        &mut self,
        services: &Services,
        connection: impl Fn(&ConnectionKey) -> Option<&'a Connection>,
    ) {
        self.troubles.retain(|key| connection(key).is_some());
        services.lock().keep(|service, key| {
            connection(key).is_some_and(|connection| match service {
                Service::Provider(name) => connection.policy.provider == *name,
                Service::Sink(name) => connection.places.names().contains(name),
                Service::Hook(name) => connection.hooks.subscriptions().contains_key(name),
            })
        });
    }

    /// Takes in what other processes on the same ledger found out since. A ledger that cannot say is told
    /// of elsewhere.
    pub(super) async fn hear_of_others(
        &mut self,
        engine: &Engine,
        connections: &BTreeMap<ConnectionKey, Arc<Connection>>,
        running: impl Fn(&ConnectionKey) -> bool,
        now: Timestamp,
    ) {
        let late = self.overdue(&engine.services, now, running);
        let late: Vec<&ConnectionKey> = late.iter().collect();
        if late.is_empty() {
            return;
        }
        let Ok(stored) = engine.ledger.load_many(&late).await else { return };
        for record in stored.into_iter().flatten().map(|stored| stored.record) {
            if let Some(connection) = connections.get(&record.key) {
                self.recorded(connection, record, engine, now);
            }
        }
    }

    /// The connections of which another process may have found out that they are well again, or that a
    /// service answers: they were to be tried by now, and are not worked on here.
    fn overdue(
        &mut self,
        services: &Services,
        now: Timestamp,
        running: impl Fn(&ConnectionKey) -> bool,
    ) -> Vec<ConnectionKey> {
        if self.asked.is_some_and(|asked| (now - asked).abs() < ASK_EVERY) {
            return Vec::new();
        }
        let mut late: BTreeMap<_, _> = self.troubles.overdue(now);
        late.extend(services.lock().overdue(now));
        let mut late: Vec<_> = late.into_iter().filter(|(key, _)| !running(key)).collect();
        if !late.is_empty() {
            self.asked = Some(now);
        }
        // One without a time is mostly worked on elsewhere: it is not to stand in front of the others.
        late.sort_by_key(|(_, at)| (at.is_none(), *at));
        late.into_iter().take(AT_ONCE).map(|(key, _)| key).collect()
    }

    /// Takes in what the ledger has of a connection that is not worked on here: what another process found
    /// out ends an outage and a trouble here too, and is told.
    fn recorded(
        &mut self,
        connection: &Connection,
        record: Record,
        engine: &Engine,
        now: Timestamp,
    ) {
        if record.work_at.is_none() {
            // Somebody is at it just now.
            return;
        }
        let works = engine.services.lock().recorded(&record, now);
        for service in works {
            if let Service::Sink(name) = service {
                engine.metrics.sink_up(&name, true);
            }
        }
        let key = &connection.policy.key;
        if !self.troubles.has(key) {
            return;
        }
        let status = ConnectionStatus::of(&record, Some(&connection.policy), now);
        if matches!(status.outcome, Outcome::Failed | Outcome::Refused) {
            self.troubles.retries(key, record.wake_at);
            return;
        }
        let report = Report::of_status(status, Some(record));
        let standing = (report.outcome, report.reason, None);
        let told = self.troubles.judge(key, standing, (Cover::None, None), now);
        tell(&connection.policy, &report, told, now);
    }

    /// Tells of services that went down, stay down, or are back.
    pub(super) fn of_services(outages: &mut Outages, now: Timestamp) {
        outages.lines(now).iter().for_each(Line::tell);
    }

    /// Tells how a call ended for a connection, where that is another thing than before.
    pub(super) fn ended(
        &mut self,
        connection: &Connection,
        report: &Report,
        services: &Services,
        now: Timestamp,
    ) {
        let key = &connection.policy.key;
        let retry_at = report.record.as_ref().and_then(|record| record.wake_at);
        let cover = {
            let mut outages = services.lock();
            outages.retries(key, retry_at);
            if report.outcome == Outcome::Failed { outages.cover(key) } else { Cover::None }
        };
        // How a service is down may change from one attempt to the next.
        let own = report.fault.as_ref().filter(|fault| !is_down(fault)).map(|fault| fault.code);
        let standing = (report.outcome, report.reason, own);
        let failed = report.record.as_ref().zip(report.fault.as_ref());
        let failed = failed.and_then(|(record, fault)| trouble_of(record, fault));
        let failed = failed.map(|trouble| trouble.at);
        let told = self.troubles.judge(key, standing, (cover, failed), now);
        let decided = report.record.as_ref().and_then(|record| record.decided.as_ref());
        let on_record = decided
            .is_some_and(|decided| matches!(decided.status, Status::Troubled | Status::Refused));
        self.troubles.retries(key, retry_at.filter(|_| on_record));
        tell(&connection.policy, report, told, now);
    }
}

fn tell(policy: &Policy, report: &Report, told: Told, now: Timestamp) {
    let (name, provider) = (&policy.name, &policy.provider);
    let (outcome, why) = (report.outcome.as_str(), report.why.as_str());
    let reason = report.reason.map(Reason::as_str);
    let lasts = match told {
        Told::Began => None,
        Told::Lasts(lasts) => Some(lasts),
        Told::Recovered(after) => {
            tracing::info!(
                connection = %name,
                %provider,
                outcome,
                why,
                seconds = after.num_seconds(),
                "{name}: recovered after {}: {why}",
                short(after.to_std().unwrap_or_default())
            );
            return;
        }
        Told::Nothing if report.outcome == Outcome::Rotated => {
            tracing::info!(connection = %name, %provider, outcome, why, "{name}: rotated: {why}");
            return;
        }
        Told::Nothing => {
            tracing::debug!(connection = %name, %provider, outcome, why, "{name}: {outcome}: {why}");
            return;
        }
    };
    if report.outcome == Outcome::Refused {
        tracing::warn!(
            connection = %name,
            %provider,
            outcome,
            reason,
            why,
            "{name}: blocked, operator action required: {why}"
        );
        return;
    }
    let fault = report.fault.as_ref();
    let record = report.record.as_ref();
    let place = record.zip(fault).and_then(|(record, fault)| place_of(record, fault));
    let trouble = record.zip(fault).and_then(|(record, fault)| trouble_of(record, fault));
    let retry_at = trouble.map(|trouble| trouble.retry_at).filter(|at| *at > now);
    let retry_at = retry_at.or_else(|| record?.wake_at.filter(|at| *at > now));
    let retrying = retry_at
        .map(|at| format!(". Retrying in {}", short((at - now).to_std().unwrap_or_default())));
    tracing::warn!(
        connection = %name,
        %provider,
        outcome,
        reason,
        sink = place.map(|(sink, _)| sink),
        location = place.map(|(_, location)| location),
        attempt = trouble.map(|trouble| trouble.count),
        retry_at = retry_at.map(rfc3339),
        seconds = lasts.map(|lasts| lasts.num_seconds()),
        "error.type" = fault.map(|fault| fault.code).map(Code::as_str),
        why,
        "{name}: failing{}: {}{}",
        lasts.map(|lasts| format!(" for {}", short(lasts.to_std().unwrap_or_default()))).unwrap_or_default(),
        why.trim_end_matches('.'),
        retrying.unwrap_or_default()
    );
}

/// The failure on record that a call ended with.
fn trouble_of<'a>(record: &'a Record, fault: &Fault) -> Option<&'a Trouble> {
    record.troubles().find(|trouble| trouble.fault == *fault)
}

/// Which place failed, by its sink's name and where in it.
fn place_of<'a>(record: &'a Record, fault: &Fault) -> Option<(&'a str, &'a str)> {
    let places = || record.places().map(|sink| (sink, &sink.place));
    let own = places()
        .find(|(sink, _)| sink.trouble.as_ref().is_some_and(|trouble| trouble.fault == *fault));
    // One that could not be read is on record as a failure to look.
    let named = || places().find(|(_, place)| fault.operation.ends_with(&place.location));
    let (_, place) = own.or_else(named)?;
    Some((place.sink.as_str(), place.location.as_str()))
}
