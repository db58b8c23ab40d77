//! `check --online`: every permission that a rotation needs, proven before anything is minted. Of a connection
//! that is only watched: the right to read, and nothing is asked that could be a write.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::unistd::{AccessFlags, access};

use super::{
    output::{Answer, Failure, FailureClass, Row, RowError},
    session::Session,
    side_by_side::side_by_side,
};
use crate::{
    app::{self, App, Reached, Use},
    clock::{Clock, SystemEntropy},
    config::StateConfig,
    engine::{
        look,
        pool::{Lane, Pool, Seat},
        report::{Outcome, Report},
        worker::{Connection, Engine, Patience, RotationRequest},
    },
    error::{Class, Code, Fault, system_words},
    ledger::{postgres::PostgresLedger, sqlite::can_hold_a_ledger},
    provider::{Provider, kind::Needs},
    rotation::{
        policy::{Mode, Policy},
        why::Reason,
    },
    sink::{Contents, Reading, Sink, Version},
    token::{ConnectionKey, ProviderName, SinkName},
};

/// What there is to do about a service that is away.
const AWAY: &str = "check that it runs and is reachable from here (address, DNS, proxy), \
                    then run `scimitar check --online` again";

impl Session<'_> {
    pub(super) async fn check_online(&self) -> Result<Answer, Failure> {
        let app = self.app(Use::Look).await?;
        let mut rows = rows(&app, &self.patience()).await;
        app.close(self.farewell(None)).await;
        let failure = match &self.config.state {
            StateConfig::File(path) => ledger_trouble(path),
            StateConfig::Postgres(config) => {
                let settings = app::ledger::settings(config, &self.env);
                let asked = PostgresLedger::trouble(settings, Arc::new(SystemEntropy)).await;
                asked.err().map(|error| Failure::new(FailureClass::Ledger, error.to_string()))
            }
        };
        if failure.is_some() {
            without_ledger(&mut rows);
        }
        let text = Some(text(&rows));
        let rows = rows.into_iter().map(|(row, _)| row).collect();
        Ok(Answer { text, failure, ..Answer::done(rows) })
    }
}

/// What a connection lacks for a rotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lacks {
    /// Log-ins that were rejected: nothing is known of the rights there.
    pub rejected: Vec<String>,
    /// What is not granted or not allowed, each with how to grant it.
    pub missing: Vec<String>,
    /// What could not be asked: nothing is known of the rights there.
    pub away: Vec<String>,
    /// What a place holds, or is, that a rotation would be refused for, each with the way out.
    pub obstacles: Vec<String>,
    /// What was left alone, because to ask would have used it up.
    pub untried: Vec<String>,
    /// What only a write would have shown, and was not tried.
    pub unshown: Vec<String>,
    /// What a place will not keep of what it has, or does not show.
    pub caveats: Vec<String>,
    /// Which kind of service that is.
    reason: Option<Reason>,
}

impl Lacks {
    fn fault(&mut self, fault: &Fault, of: Reason) {
        if fault.code == Code::Io && fault.class == Class::Transient {
            // The machine answered: a full disk is no matter of who can be reached.
            self.obstacles.push(fault.to_string());
            self.reason.get_or_insert(of);
        } else if is_away(fault) {
            self.away.push(fault.to_string());
            self.reason.get_or_insert(of);
        } else if fault.code == Code::Unauthorized {
            self.rejected.push(fault.to_string());
        } else {
            self.missing.push(fault.to_string());
        }
    }

    /// What is known after a bug ended the check.
    fn unknown() -> Self {
        let words = "a bug in Scimitar ended the check, please report it".to_owned();
        Self { missing: vec![words], ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        let mut all = [&self.rejected, &self.missing, &self.obstacles, &self.away].into_iter();
        all.all(|items| items.is_empty())
    }

    /// All of it in one line.
    fn words(&self) -> String {
        let lasting = [&*self.rejected, &*self.missing, &*self.obstacles];
        let mut words = lasting.concat().join("; ");
        if !self.away.is_empty() {
            let between = if words.is_empty() { "" } else { "; " };
            // Writing to a String cannot fail.
            let _ = write!(words, "{between}{}; {AWAY}", self.away.join("; "));
        }
        words
    }
}

/// Whether the service is away rather than unwilling.
fn is_away(fault: &Fault) -> bool {
    fault.class == Class::Transient
        || matches!(fault.code, Code::Unreachable | Code::Timeout | Code::Unavailable)
}

/// Logs in to every provider, asks every SCIM endpoint, reads every sink and shows it writable. Tenants
/// and sinks that do not answer hold up no others: they are asked side by side.
pub async fn rows(app: &App, patience: &Patience) -> Vec<(Row, Lacks)> {
    let of_providers = of_providers(app).await;
    let mut spared: Spared = BTreeMap::new();
    for (name, service) in app.services.iter() {
        spared.insert(name.clone(), service.left_alone().await);
    }
    let spared = Arc::new(spared);
    let asked = app.connections.iter().map(|connection| {
        let asked = (connection.policy.provider.clone(), work_of(&connection.policy));
        let lacks = of_providers.get(&asked).cloned().unwrap_or_default();
        (connection.clone(), lacks)
    });
    let lane = |(connection, _): &(Arc<Connection>, Lacks)| connection.lane();
    let pool = Pool::default();
    let checked = side_by_side(&pool, asked.collect(), app.limit, lane, |(one, lacks), seat| {
        let (spared, engine, patience) =
            (Arc::clone(&spared), app.engine.clone(), patience.clone());
        async move {
            let _seat = seat;
            let mut lacks = lacks;
            let sinks = one.places.open().unwrap_or_else(|fault| {
                lacks.fault(&fault, Reason::SinkUnavailable);
                Vec::new()
            });
            // These very sinks are looked at, and asked afterwards what they found out.
            let one = Connection { places: Arc::new(sinks.clone()), ..(*one).clone() };
            of_connection(&one, &sinks, (&spared, &*engine.clock), &mut lacks).await;
            // A look would log in; and of what is away, it would say the same again.
            if lacks.untried.is_empty() && lacks.away.is_empty() {
                of_places(&engine, &one, &patience, &mut lacks).await;
            }
            lacks.caveats.extend(sinks.iter().filter_map(|sink| sink.caveat()));
            lacks
        }
    });
    let checked = checked.await.into_iter();
    let rows = app.connections.iter().zip(checked).map(|(connection, lacks)| {
        let lacks = lacks.unwrap_or_else(Lacks::unknown);
        let mut row = row(connection, &lacks);
        let warnings = lacks.untried.iter().chain(&lacks.unshown).chain(&lacks.caveats);
        row.warnings.extend(warnings.cloned());
        (row, lacks)
    });
    rows.collect()
}

/// A provider, its connections of one mode, and what they need.
type Asked = (Lane, Arc<dyn Provider>, Vec<ConnectionKey>, Needs);

/// What is done with a connection: its mode, and whether its SCIM configuration is taken care of, so that a
/// missing one is no obstacle for it, and for no other.
type Work = (Mode, bool);

fn work_of(policy: &Policy) -> Work {
    (policy.terms.mode, policy.terms.scim_config.is_some())
}

/// What each provider does not grant, for the connections that the same is done with.
async fn of_providers(app: &App) -> BTreeMap<(ProviderName, Work), Lacks> {
    let (mut names, mut asked) = (Vec::new(), Vec::new());
    let all = [Mode::Rotate, Mode::Observe].map(|mode| [(mode, false), (mode, true)]);
    for (name, provider, work) in
        app.providers.iter().flat_map(|(name, Reached { provider, .. })| {
            all.concat().into_iter().map(move |work| (name, provider, work))
        })
    {
        let alike = app.connections.iter().map(|connection| &connection.policy);
        let alike = alike.filter(|policy| policy.provider == *name && work_of(policy) == work);
        let keys: Vec<ConnectionKey> = alike.clone().map(|policy| policy.key.clone()).collect();
        let needs = alike.fold(Needs::of(work.0), |needs, policy| needs.and(&policy.terms));
        if let Some(first) = keys.first() {
            names.push((name.clone(), work));
            let lane = Lane::new(first.tenant.clone(), []);
            asked.push((lane, Arc::clone(provider), keys, needs));
        }
    }
    let lane = |(lane, ..): &Asked| lane.clone();
    let work = |(_, provider, keys, needs): Asked, seat: Seat| async move {
        let _seat = seat;
        let ids: Vec<_> = keys.into_iter().map(|key| key.connection).collect();
        let mut lacks = Lacks::default();
        match provider.prove(&ids, needs).await {
            Ok(rights) => lacks.missing.extend(
                rights
                    .into_iter()
                    .filter_map(|right| Some(format!("{}: {}", right.name, right.missing?))),
            ),
            Err(fault) => lacks.fault(&fault, Reason::ProviderUnavailable),
        }
        lacks
    };
    let answers = side_by_side(&Pool::default(), asked, app.limit, lane, work).await;
    let answers = answers.into_iter().map(|lacks| lacks.unwrap_or_else(Lacks::unknown));
    names.into_iter().zip(answers).collect()
}

/// Why a run could not write its ledger, if it could not. It was read already; one that is not there is
/// not made.
pub fn ledger_trouble(path: &Path) -> Option<Failure> {
    let failed = |words: String| {
        let help = "run the check as the user that scimitar runs as, and let that user write there";
        Failure::new(FailureClass::Ledger, format!("{words}; {help}"))
    };
    let folder = path.ancestors().skip(1).find(|folder| folder.exists())?;
    if let Err(words) = can_hold_a_ledger(folder) {
        return Some(Failure::new(
            FailureClass::Ledger,
            format!("the ledger {} cannot be used: {words}", path.display()),
        ));
    }
    if !path.exists() {
        let wanted = AccessFlags::W_OK | AccessFlags::X_OK;
        let refused = access(folder, wanted).err()?;
        let words = system_words(&refused.into());
        return Some(failed(format!(
            "the ledger {} cannot be created: {} cannot be written: {words}",
            path.display(),
            folder.display()
        )));
    }
    // What a run writes to: looking leaves no trace, so nothing is written here.
    let beside = ["-wal", "-shm", ".holders"].map(|end| {
        let mut beside = OsString::from(path);
        beside.push(end);
        PathBuf::from(beside)
    });
    let folder = path.parent().map(Path::to_owned);
    let mut written = beside.into_iter().filter(|path| path.exists()).chain(folder);
    let refused = [path.to_owned()].into_iter().chain(&mut written).find_map(|path| {
        let refused = access(&path, AccessFlags::R_OK | AccessFlags::W_OK).err()?;
        Some((path, system_words(&refused.into())))
    });
    refused.map(|(path, words)| {
        failed(format!("a run could not write its ledger: {}: {words}", path.display()))
    })
}

/// What is said of the connections that lack nothing, where no run could write its ledger.
pub fn without_ledger(rows: &mut [(Row, Lacks)]) {
    for (row, _) in rows.iter_mut().filter(|(_, lacks)| lacks.is_empty()) {
        "provider and sinks grant everything, but no rotation can run: the ledger cannot be written"
            .clone_into(&mut row.why);
    }
}

/// One line a connection, and under it what is missing and what could not be asked.
#[must_use]
pub fn text(rows: &[(Row, Lacks)]) -> String {
    let mut text = String::new();
    for (row, lacks) in rows {
        let name = &row.connection;
        // Writing to a String cannot fail.
        if lacks.is_empty() {
            let _ = writeln!(text, "{name}: {}", row.why);
        }
        for (what, items) in [
            ("log-in rejected", &lacks.rejected),
            ("missing", &lacks.missing),
            ("a rotation is blocked by", &lacks.obstacles),
            ("permissions could not be checked", &lacks.away),
        ] {
            if !items.is_empty() {
                let _ = writeln!(text, "{name}: {what}:\n    {}", items.join("\n    "));
            }
        }
        if !lacks.away.is_empty() {
            let _ = writeln!(text, "    help: {AWAY}");
        }
        for warning in &row.warnings {
            let _ = writeln!(text, "    warning: {warning}");
        }
    }
    text
}

/// Log-ins that would use up what works once: why they are not tried, or why they would be refused.
type Spared = BTreeMap<SinkName, Result<Option<String>, Fault>>;

/// What only a look by the record shows: content of others, a place that is another one, readers who
/// take the token from somewhere else.
async fn of_places(
    engine: &Engine,
    connection: &Connection,
    patience: &Patience,
    lacks: &mut Lacks,
) {
    let peek = match Box::pin(engine.peek(connection, &RotationRequest::Due, patience)).await {
        Ok(peek) => peek,
        Err(report) => {
            let of = report.reason.unwrap_or(Reason::ProviderUnavailable);
            let refused = report.outcome == Outcome::Refused;
            let all = if refused { &mut lacks.obstacles } else { &mut lacks.away };
            all.push(report.why);
            lacks.reason.get_or_insert(of);
            return;
        }
    };
    for (reason, words) in engine.situation(connection, &RotationRequest::Due, &peek).obstacles() {
        lacks.obstacles.push(words);
        lacks.reason.get_or_insert(reason);
    }
}

async fn of_connection(
    connection: &Connection,
    sinks: &[Arc<dyn Sink>],
    (spared, clock): (&Spared, &dyn Clock),
    lacks: &mut Lacks,
) {
    let mode = connection.policy.terms.mode;
    let endpoint = connection.provider.scim_endpoint(&connection.policy.key.connection);
    // Of a provider that is away, its endpoint would say the same again. Nothing is proven by it while
    // only watching.
    if lacks.away.is_empty()
        && mode == Mode::Rotate
        && let Err(fault) = connection.probe.anonymous(&endpoint).await
    {
        lacks.fault(&fault, Reason::ProviderUnavailable);
    }
    for sink in sinks {
        match spared.get(&sink.place().sink) {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(words))) => {
                if !lacks.untried.contains(words) {
                    lacks.untried.push(words.clone());
                }
                continue;
            }
            Some(Err(fault)) => {
                lacks.fault(fault, Reason::SinkUnavailable);
                continue;
            }
        }
        let unasked =
            Reading::new(Version("unasked".to_owned()), Contents::Unmarked { value: None });
        let reading =
            if sink.readable() { look::in_time(clock, &**sink).await } else { Ok(unasked) };
        let shown = match (reading, mode) {
            (Ok(reading), Mode::Rotate) => sink.prove_writable(&reading).await,
            (Ok(_), Mode::Observe) => Ok(()),
            (Err(fault), _) => Err(fault),
        };
        // Where every missing permission can be told at once, that says more than the first call that failed.
        let missing = match &shown {
            Err(fault) if is_away(fault) => Vec::new(),
            Ok(()) | Err(_) => match sink.missing_rights(mode).await {
                Ok(missing) => missing,
                Err(fault) if shown.is_ok() => {
                    lacks.fault(&fault, Reason::SinkUnavailable);
                    Vec::new()
                }
                Err(_) => Vec::new(),
            },
        };
        if mode == Mode::Rotate && shown.is_ok() && missing.is_empty() {
            match sink.untried_rights().await {
                Ok(untried) => lacks.unshown.extend(untried),
                Err(fault) => lacks.fault(&fault, Reason::SinkUnavailable),
            }
        }
        if let Err(fault) = shown
            && (fault.code != Code::Forbidden || missing.is_empty())
        {
            lacks.fault(&fault, Reason::SinkUnavailable);
        }
        lacks.missing.extend(missing);
    }
}

fn row(connection: &Connection, lacks: &Lacks) -> Row {
    let policy = &connection.policy;
    let (outcome, why) = if lacks.is_empty() {
        let all = lacks.untried.is_empty() && lacks.unshown.is_empty();
        let tried = match (all, policy.terms.mode) {
            (true, Mode::Rotate) => "a rotation needs",
            (true, Mode::Observe) => "mode = \"observe\" needs",
            (false, _) => "was tried",
        };
        (Outcome::Unchanged, format!("every permission that {tried} is granted"))
    } else {
        (Outcome::Failed, lacks.words())
    };
    let report = Report::new(outcome, lacks.reason, why, None);
    let mut row = Row::from_report(&policy.name, &policy.key.connection, &policy.provider, &report);
    row.owner.clone_from(&policy.terms.owner);
    row.mode = Some(policy.terms.mode.as_str());
    // A right that is missing outweighs a service that is away: it does not mend by itself.
    let lasting = [&lacks.rejected, &lacks.missing, &lacks.obstacles];
    let lasts = lasting.iter().any(|items| !items.is_empty());
    let class = if lasts { Class::Terminal } else { Class::Transient };
    row.error =
        (!lacks.is_empty()).then(|| RowError { class: class.as_str(), message: lacks.words() });
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::fixture;

    #[test]
    fn a_ledger_that_could_not_be_written_is_told_of_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/ledger.db");
        assert_eq!(ledger_trouble(&path), None);
        assert!(!folder.path().join("below").exists(), "nothing is made");
        for kernels in ["/proc/scimitar/ledger.db", "/sys/ledger.db"] {
            let failure = ledger_trouble(Path::new(kernels)).unwrap();
            assert!(failure.message.contains("stores no files"), "{failure:?}");
        }
        // No folder can be made below a file.
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let failure = ledger_trouble(&file.join("ledger.db")).unwrap();
        assert_eq!(failure.class, FailureClass::Ledger);
        assert!(failure.message.contains("cannot be created"), "{failure:?}");
        assert_eq!(ledger_trouble(&file), None);
        if !nix::unistd::geteuid().is_root() {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o400);
            std::fs::set_permissions(&file, mode).unwrap();
            let failure = ledger_trouble(&file).unwrap();
            assert!(
                failure.message.starts_with("a run could not write its ledger: "),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn a_service_that_is_away_is_no_missing_right() {
        let mut lacks = Lacks::default();
        let detail = "no connection to a.b (refused); nothing was sent";
        let away = Fault::new("log in to a.b", Class::Transient, Code::Unreachable, detail);
        lacks.fault(&away, Reason::ProviderUnavailable);
        assert_eq!((lacks.missing.len(), lacks.reason), (0, Some(Reason::ProviderUnavailable)));
        let unwilling = Fault::new("write x", Class::Terminal, Code::Io, "not allowed; chmod it");
        lacks.fault(&unwilling, Reason::SinkUnavailable);
        assert_eq!(lacks.missing, ["could not write x: not allowed; chmod it"]);
        let full = Fault::new("write y", Class::Transient, Code::Io, "no space left; free some");
        let mut blocked = Lacks::default();
        blocked.fault(&full, Reason::SinkUnavailable);
        assert_eq!(blocked.obstacles, ["could not write y: no space left; free some"]);
        assert_eq!((blocked.away.len(), blocked.reason), (0, Some(Reason::SinkUnavailable)));
        let rejected = Fault::new("log in to c.d", Class::Terminal, Code::Unauthorized, "401");
        lacks.fault(&rejected, Reason::ProviderUnavailable);
        assert_eq!(
            (lacks.missing.len(), &*lacks.rejected),
            (1, &["could not log in to c.d: 401".to_owned()][..])
        );

        let (name, id, provider) = fixture::connection();
        let report = Report::new(Outcome::Failed, lacks.reason, lacks.words(), None);
        let row = Row::from_report(&name, &id, &provider, &report);
        assert_eq!(
            text(&[(row, lacks)]),
            format!(
                "initech-okta: log-in rejected:\n    could not log in to c.d: 401\n\
                 initech-okta: missing:\n    could not write x: not allowed; chmod it\n\
                 initech-okta: permissions could not be checked:\n    could not log in to a.b: \
                 no connection to a.b (refused); nothing was sent\n    help: {AWAY}\n"
            )
        );
    }
}
