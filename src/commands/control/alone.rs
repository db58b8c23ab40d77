//! What is answered without the daemon where the configuration cannot be used as a whole: what looks
//! answers from the ledger alone, everything else says what to do.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use nix::{
    errno::Errno,
    unistd::{AccessFlags, access},
};

use super::{Absence, NotServed, is_served};
use crate::{
    app::{self, Use},
    cli::{self, Command, Invocation},
    clock::{AgreedClock, Clock},
    commands::{
        changes, check, discover, explain, known,
        output::{Answer, Failure, FailureClass, FromLedger},
        plan,
        process::Stop,
        progress::Console,
        select::Asked,
        session::Session,
        standing::Stands,
        sums::Served,
        voice::Voice,
        watched,
    },
    config::{self, Config, Environment, Secrets, discover::Inventories},
    engine::{stored_status, watched_row::WatchedRow, worker::RotationRequest},
    ledger::Ledger,
    rotation::{
        decide::{Draw, Situation, Timeouts},
        forecast::forecast,
        observe::Observed,
    },
    token::ConnectionName,
};

/// What a command is answered with.
pub(in crate::commands) struct Site<'a> {
    pub(in crate::commands) invocation: &'a Invocation,
    pub(in crate::commands) env: &'a Arc<dyn Environment>,
    pub(in crate::commands) clock: &'a Arc<AgreedClock>,
    pub(in crate::commands) console: &'a Console,
    pub(in crate::commands) voice: &'a Voice,
    pub(in crate::commands) stop: &'a Stop,
    /// Why the daemon does not do it.
    pub(in crate::commands) not_served: &'a NotServed,
}

/// Answers a command whose configuration was refused, or says what to do.
///
/// # Errors
/// The failure, with the way out.
pub(in crate::commands) async fn answer(
    failure: Failure,
    site: &Site<'_>,
) -> Result<Answer, Failure> {
    let command = &site.invocation.command;
    if failure.class != FailureClass::Configuration || !is_served(command) {
        return Err(failure);
    }
    let path = site.invocation.config.as_path();
    let from_ledger = matches!(
        command,
        Command::Status { .. }
            | Command::Explain { .. }
            | Command::Plan { .. }
            | Command::History { .. }
            | Command::Tokens { .. }
    );
    // The secrets apart, is it right?
    let read = check::load(path, Arc::clone(site.env), Secrets::Unneeded).await;
    match read {
        Ok(config) if from_ledger => {
            let missing = failure.problems.first().map(|problem| problem.message.as_str());
            let nor = match site.not_served.absence {
                Absence::NoSocket => String::new(),
                Absence::NoAnswer | Absence::Elsewhere => format!("; and {}", site.not_served.why),
            };
            let why = format!(
                "providers and sinks were not asked, because {}{nor}",
                missing.unwrap_or("a secret cannot be read")
            );
            site.voice.warn(&format!("{why}. This answer is from the ledger alone"));
            let answer = with_memory(config, site, Secrets::Unneeded).await?;
            // The problems are those of whoever asks, and not of the file.
            let from_ledger = FromLedger { complete: true, why, problems: Vec::new() };
            Ok(Answer { from_ledger: Some(from_ledger), ..answer })
        }
        Ok(config) => {
            // Whoever may not act without the daemon learns first that it is gone.
            let unanswered = site.not_served.absence == Absence::NoAnswer;
            let served = Served::of(config.state.file(), unanswered).await;
            let notice = match served.notice(site.clock.now()).trim_end() {
                "" => String::new(),
                notice => format!("{notice}. "),
            };
            Err(Failure { message: notice + &way_out(&failure, site), ..failure })
        }
        Err(failure) if from_ledger => match salvaged(site).await {
            Some((config, _)) if config.connections.is_empty() && config.watches.is_empty() => {
                Err(unreadable(failure, path))
            }
            Some((config, ledger)) => {
                let errors = match failure.problems.len() {
                    1 => "1 error".to_owned(),
                    count => format!("{count} errors"),
                };
                let first = failure.problems.first().map(|problem| {
                    let line = problem.line.map(|line| format!("line {line}: "));
                    format!(" ({}{})", line.unwrap_or_default(), problem.message)
                });
                let why = format!("{} has {errors}{}", path.display(), first.unwrap_or_default());
                site.voice.warn(&format!(
                    "{why}: run `scimitar check`. This answer is from the ledger alone, and leaves out the \
                     connections that cannot be read. A daemon that runs keeps its previous configuration"
                ));
                let answer = looked(config, ledger, site).await?;
                let problems = failure.problems.clone();
                let from_ledger = Some(FromLedger { complete: false, why, problems });
                // What is left out may be what has failed: who asks by the exit status is told so.
                let judged = matches!(command, Command::Status { exit_code: true, .. });
                Ok(Answer { failure: Some(failure).filter(|_| judged), from_ledger, ..answer })
            }
            None => Err(kept_out(failure, command, Some(path), &site.not_served.why)),
        },
        Err(failure) => Err(kept_out(failure, command, Some(path), &site.not_served.why)),
    }
}

/// Says that there is nothing to answer from: "no connections" would read as if there were nothing to do.
fn unreadable(failure: Failure, file: &Path) -> Failure {
    let errors = match failure.problems.len() {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    };
    let message = format!(
        "{errors} in {}: none of its connections can be read, so there is nothing to show. A daemon that runs keeps \
         its previous configuration",
        file.display()
    );
    Failure { message, ..failure }
}

/// What was typed behind the program's name, without secrets.
fn typed() -> String {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let typed: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    cli::redact(typed.join(" "), &args)
}

/// The way out for who may read neither the ledger nor the configuration: root's way or the group's, and no
/// change of modes, since who may write a ledger may make Scimitar do anything.
pub(in crate::commands) fn kept_out(
    failure: Failure,
    command: &Command,
    file: Option<&Path>,
    not_served: &str,
) -> Failure {
    let denied = |path: &Path| access(path, AccessFlags::R_OK) == Err(Errno::EACCES);
    match file.filter(|file| is_served(command) && denied(file)) {
        Some(file) => Failure { message: no_access(file, not_served), ..failure },
        None => failure,
    }
}

fn no_access(file: &Path, not_served: &str) -> String {
    format!(
        "you may not read {}. Run `sudo scimitar {}`, or join the group that may use the daemon's control socket \
         (with the packages: `sudo usermod -aG scimitar USER`, then log in again); {not_served}",
        file.display(),
        typed()
    )
}

/// What to do where secrets are missing.
fn way_out(failure: &Failure, site: &Site<'_>) -> String {
    if site.not_served.absence == Absence::NoSocket {
        return format!(
            "{}. This command reads the secrets itself: provide the missing ones, then run it again",
            failure.message
        );
    }
    let typed = typed();
    format!(
        "{}. Run `sudo scimitar {typed}` while the daemon runs: it has the secrets. Without the daemon this \
         command needs them itself (with systemd: `systemd-run … -p LoadCredential=…`, see scimitar.service): {}",
        site.not_served.why, failure.message
    )
}

/// The configuration as far as it can be read, with what the ledger remembers; `None` where that leaves
/// nothing to answer from.
async fn salvaged(site: &Site<'_>) -> Option<(Config, Arc<dyn Ledger>)> {
    let read = async |inventories: Inventories| {
        let (path, env) = (site.invocation.config.clone(), Arc::clone(site.env));
        let read = move || config::salvage(&path, &*env, &inventories);
        tokio::task::spawn_blocking(read).await.ok().flatten()
    };
    let config = read(Inventories::new()).await?;
    let ledger = app::ledger::found(&config.state, site.env).await.ok().flatten()?;
    let inventories = app::discover::remembered(&config, ledger.as_ref()).await.ok()?;
    let config = if inventories.is_empty() { config } else { read(inventories).await? };
    Some((config, ledger))
}

/// The configuration with what the ledger remembers of its providers' connections.
async fn with_memory(config: Config, site: &Site<'_>, secrets: Secrets) -> Result<Answer, Failure> {
    let ledger = app::open_ledger(&config.state, Use::Look, site.env).await?;
    let inventories = app::discover::remembered(&config, ledger.as_ref()).await?;
    let config = if inventories.is_empty() {
        config
    } else {
        discover::expanded(&config, &inventories, site.env, secrets).await?
    };
    looked(config, ledger, site).await
}

/// Answers from the ledger.
async fn looked(
    mut config: Config,
    ledger: Arc<dyn Ledger>,
    site: &Site<'_>,
) -> Result<Answer, Failure> {
    known::settle(&mut config, Use::Look, site.env).await;
    let session = Session {
        invocation: site.invocation,
        config: &config,
        ready: Mutex::new(None),
        env: Arc::clone(site.env),
        stop: site.stop,
        console: site.console,
        voice: site.voice,
        clock: site.clock,
        screen: site.console.screen(),
        caller: None,
        unanswered: site.not_served.absence == Absence::NoAnswer,
    };
    let command = &site.invocation.command;
    if let Command::Explain { of } = command {
        let asked = session.asked(of).await?;
        return session.explain_known(&asked, ledger.as_ref()).await;
    }
    if let Command::Plan { of, until } = command {
        let names = session.named(of).await?;
        return session.plan_known(&names, *until, ledger.as_ref()).await;
    }
    // The others ask nobody in any case.
    Box::pin(session.carry_out()).await
}

impl Session<'_> {
    /// Explains connections by what the ledger knows; nobody is asked.
    async fn explain_known(&self, asked: &Asked, ledger: &dyn Ledger) -> Result<Answer, Failure> {
        let now = self.clock.now();
        let (mut rows, mut text) = (Vec::new(), self.served().await.notice(now));
        for policy in self.policies().filter(|policy| asked.connections.contains(&policy.name)) {
            let record = ledger.load(&policy.key).await?.map(|stored| stored.record);
            let looked = stored_status::looked_up(ledger, &policy, record.as_ref(), now).await?;
            let (status, row) = looked;
            let stands = Stands::on_record(&status, &policy, record.is_some());
            text.push_str(&explain::sentences(&row, &stands, &policy, record.as_ref(), now));
            let last = changes::changes(ledger, &policy.key).await;
            text.push_str(&explain::lately(&last.unwrap_or_default(), &policy.name, now));
            rows.push(row);
        }
        let mut watched = Vec::new();
        for watch in &asked.watches {
            let row = WatchedRow::of(watch, ledger, now).await?;
            text.push_str(&watched::sentences(watch, &row, now));
            watched.push(row);
        }
        Ok(Answer { watched, ..Answer::shown(rows, text) })
    }

    /// Plays policies forward from what the ledger knows; nobody is asked.
    async fn plan_known(
        &self,
        names: &BTreeSet<ConnectionName>,
        ahead: Duration,
        ledger: &dyn Ledger,
    ) -> Result<Answer, Failure> {
        let now = self.clock.now();
        let ahead = TimeDelta::from_std(ahead).ok();
        let until = ahead.and_then(|ahead| now.checked_add_signed(ahead)).unwrap_or(now);
        let request = self.config.engine.request_timeout;
        let mut rows = Vec::new();
        for policy in self.policies().filter(|policy| names.contains(&policy.name)) {
            let record = ledger.load(&policy.key).await?.map(|stored| stored.record);
            let Some(record) = record else {
                rows.push(stored_status::looked_up(ledger, &policy, None, now).await?.1);
                continue;
            };
            let observed = Observed::default();
            let situation = Situation {
                policy: &policy,
                record: &record,
                observed: &observed,
                now,
                request: &RotationRequest::Due,
                ledger: ledger.id(),
                ending: None,
                timeouts: Timeouts { request, probe: request },
                draw: Draw::default(),
            };
            let plan = forecast(&situation, until);
            rows.push(plan::row_of(&policy, plan, record, now));
        }
        let text =
            self.served().await.notice(now) + &plan::text(&rows, &self.config.surveys(), now);
        Ok(Answer::shown(rows, text))
    }
}
