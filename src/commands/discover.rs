//! `[[discover]]` on the way from a configuration to what runs, and the command `discover`.

use std::{collections::BTreeSet, fmt::Write, sync::Arc};

use chrono::TimeDelta;

use super::{
    check, discovered, known,
    output::{Answer, Failure, FailureClass},
    process::Stop,
    progress::Console,
    session::Session,
    voice::Voice,
    words::moment,
};
use crate::{
    app::{
        self, App, Before, Use,
        discover::{Shrunk, Surveyed, discovering},
    },
    cli::{Command, Named, Selection},
    clock::{AgreedClock, Clock, Timestamp},
    config::{
        Config, Environment, Secrets,
        discover::{Inventories, Refused},
    },
    ledger::{Ledger, inventory::Inventory},
    rotation::watch::Watch,
    telemetry::{audit::entry::Entry, metrics::Metrics},
    token::ProviderName,
};

/// So many refusals are said one by one.
const FEW: usize = 5;

/// How long after a list that could not be read.
const AGAIN: TimeDelta = TimeDelta::minutes(1);

/// What a command begins with.
pub(super) struct Begun {
    /// The configuration with what was discovered.
    pub(super) config: Config,
    /// What was built to ask providers.
    pub(super) app: Option<App>,
    /// Why something could not be discovered.
    pub(super) failed: Vec<String>,
}

/// What a command is begun with.
pub(super) struct Site<'a> {
    pub(super) command: &'a Command,
    pub(super) env: &'a Arc<dyn Environment>,
    pub(super) clock: &'a Arc<AgreedClock>,
    pub(super) console: &'a Console,
    pub(super) voice: &'a Voice,
    pub(super) stop: &'a Stop,
    pub(super) secrets: Secrets,
}

/// Adds what was discovered to a configuration: what the ledger remembers, and for commands that ask
/// providers anyway, what they have now.
///
/// # Errors
/// What the command cannot start without.
pub(super) async fn begin(config: Config, site: &Site<'_>) -> Result<Begun, Failure> {
    let permissions = matches!(site.command, Command::Permissions).then_some(Use::Look);
    let usage = check::ledger_for(site.command).or(permissions);
    let Some(usage) = usage.filter(|_| !config.discover.is_empty()) else {
        return Ok(Begun { config, app: None, failed: Vec::new() });
    };
    let ledger = app::open_ledger(&config.state, usage, site.env).await?;
    let inventories = app::discover::remembered(&config, ledger.as_ref()).await?;
    let config = expanded(&config, &inventories, site.env, site.secrets).await?;
    if !asks(site.command, &config) {
        return Ok(Begun { config, app: None, failed: Vec::new() });
    }
    let progress = site.console.progress();
    let mut app = app::build_on(&config, site.env, site.clock, progress, ledger).await?;
    let surveyed = in_time(&app, &config, site, &inventories, usage).await;
    let new = expanded(&config, &surveyed.inventories, site.env, site.secrets).await?;
    measure(&app.engine.metrics, &new, &surveyed.inventories);
    warn(site.voice, &surveyed, &new.refused, &shadowed(&new, &[]));
    if new.connections != config.connections {
        let before = Before { config: &config, app: &app };
        let mut rebuilt = app::rebuild(before, &new, site.env).await?;
        rebuilt.announce(&new);
        rebuilt.sandboxes.append(&mut app.sandboxes);
        app = rebuilt;
    }
    let failed = surveyed.failed.into_iter().map(|(_, words)| words).collect();
    Ok(Begun { config: new, app: Some(app), failed })
}

/// Whether a command lists connections first. One about connections that are all known does not: what
/// is urgent waits for no list.
fn asks(command: &Command, config: &Config) -> bool {
    let unknown = |of: &Selection| {
        let known: BTreeSet<_> = config.connections.iter().map(|one| &one.name).collect();
        let is_known = |named: &Named| match named {
            Named::Name(name) => known.contains(name),
            Named::Like(_) => false,
        };
        of.named.is_empty() || !of.named.iter().all(is_known)
    };
    match command {
        Command::RotateNow { of, .. } | Command::Plan { of, .. } => unknown(of),
        Command::Once { .. } | Command::Check { online: true } => true,
        Command::Check { online: false }
        | Command::Run
        | Command::Status { .. }
        | Command::History { .. }
        | Command::Names
        | Command::Explain { .. }
        | Command::Tokens { .. }
        | Command::Adopt { .. }
        | Command::Retire { .. }
        | Command::AdoptAll { .. }
        | Command::AcceptPlace { .. }
        | Command::AcceptUserGone { .. }
        | Command::Revoke { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Handoff { .. }
        | Command::Discover { .. }
        | Command::Permissions
        | Command::Healthcheck
        | Command::AuditVerify { .. }
        | Command::Print(_)
        | Command::Import { .. }
        | Command::State(_)
        | Command::Sandbox(_) => false,
    }
}

/// Lists, but not for longer than the call may take.
async fn in_time(
    app: &App,
    config: &Config,
    site: &Site<'_>,
    remembered: &Inventories,
    usage: Use,
) -> Surveyed {
    let mut shot = None;
    if let Command::RotateNow { shot: asked, .. } | Command::Once { shot: asked, .. } = site.command
    {
        shot = asked.timeout;
    }
    let until = shot
        .and_then(|time| TimeDelta::from_std(time).ok())
        .and_then(|time| site.clock.now().checked_add_signed(time));
    let cut = |why: &str| Surveyed {
        inventories: remembered.clone(),
        failed: discovering(config)
            .map(|(name, _)| {
                let words = format!("the connections of {name} could not be discovered: {why}");
                (name.clone(), words)
            })
            .collect(),
        ..Surveyed::default()
    };
    let late = async {
        match until {
            Some(until) => site.clock.sleep_until(until).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = site.stop.token.cancelled() => cut("the call was interrupted"),
        surveyed = app::discover::survey(app, config, Shrunk::Hold, usage) => surveyed,
        () = late => cut("timed out"),
    }
}

/// The configuration with the connections that providers have.
///
/// # Errors
/// What is wrong since with what its files name.
pub(super) async fn expanded(
    config: &Config,
    inventories: &Inventories,
    env: &Arc<dyn Environment>,
    secrets: Secrets,
) -> Result<Config, Failure> {
    let (was, inventories) = (config.clone(), inventories.clone());
    let here = Arc::clone(env);
    let read =
        tokio::task::spawn_blocking(move || was.with(&inventories, here.as_ref(), secrets)).await;
    let mut config =
        read.map_err(|error| Failure::system(&error))?.map_err(|problems| Failure {
            class: FailureClass::Configuration,
            message: "a file or variable that the configuration refers to can no longer be read"
                .to_owned(),
            problems: problems.iter().cloned().collect(),
        })?;
    known::settle(&mut config, Use::Look, env).await;
    Ok(config)
}

/// The same with what the ledger remembers.
///
/// # Errors
/// As [`expanded`], and when the ledger cannot be read.
pub(super) async fn with_memory(
    config: Config,
    ledger: &dyn Ledger,
    env: &Arc<dyn Environment>,
) -> Result<(Config, Inventories), Failure> {
    let inventories = app::discover::remembered(&config, ledger).await?;
    if inventories.is_empty() {
        return Ok((config, inventories));
    }
    let config = expanded(&config, &inventories, env, Secrets::Needed).await?;
    Ok((config, inventories))
}

/// How long after a list the next one is read.
pub(super) fn how_often(config: &Config, good: bool) -> TimeDelta {
    let surveys = config.surveys();
    let often = discovering(config).filter_map(|(name, _)| Some(surveys.get(name)?.interval)).min();
    let often = often.and_then(|often| TimeDelta::from_std(often).ok()).unwrap_or(AGAIN);
    if good { often } else { often.min(AGAIN) }
}

/// How many connections a rule matches that are rotated.
fn matched(config: &Config, name: &ProviderName, inventory: &Inventory) -> usize {
    let of = config.connections.iter().filter(|one| {
        let member = inventory.connections.get(&one.key.connection);
        let found = member.map(|member| member.found(&one.key.connection));
        one.provider == *name && found.is_some_and(|found| config.holds_for(name, &found))
    });
    of.count()
}

/// Tells the metrics what was discovered.
pub(super) fn measure(metrics: &Metrics, config: &Config, inventories: &Inventories) {
    for (name, inventory) in inventories {
        let of = matched(config, name, inventory);
        let refused = config.refused.iter().filter(|one| one.provider == *name).count();
        let held = inventory.held.is_some();
        metrics.discovered(name, of, refused, held, inventory.at);
    }
}

/// The watched tokens whose names connections that were discovered have, but for those `known` to be so.
pub(super) fn shadowed(config: &Config, known: &[Watch]) -> Vec<String> {
    let new = config.watches.iter().filter(|watch| !known.contains(watch));
    new.filter_map(Watch::shadowed).collect()
}

/// Says what could not be discovered, what was but cannot be rotated, and which watched tokens are in its way.
pub(super) fn warn(voice: &Voice, surveyed: &Surveyed, refused: &[Refused], shadowed: &[String]) {
    shadowed.iter().for_each(|words| voice.warn(words));
    for (_, words) in surveyed.failed.iter().chain(&surveyed.held) {
        voice.warn(words);
    }
    for one in refused.iter().take(FEW) {
        voice.warn(&refusal(one));
    }
    let more = refused.len().saturating_sub(FEW);
    if more > 0 {
        voice.warn(&format!(
            "{more} more discovered connections cannot be rotated: `scimitar discover` lists them"
        ));
    }
}

fn refusal(Refused { provider, id, name, why }: &Refused) -> String {
    format!("the discovered connection {name} ({id} at {provider}) is not rotated: {why}")
}

/// The answer of a command that asked for everything, where something could not be discovered.
pub(super) fn judged(answer: Answer, command: &Command, failed: &[String]) -> Answer {
    let judges = matches!(
        command,
        Command::RotateNow { .. } | Command::Once { .. } | Command::Check { online: true }
    );
    if failed.is_empty() || !judges || answer.failure.is_some() {
        return answer;
    }
    let failure = Failure::new(FailureClass::Online, failed.join("; "));
    Answer { failure: Some(failure), ..answer }
}

/// What was last discovered, for `status`.
pub(super) fn summary(config: &Config, inventories: &Inventories, now: Timestamp) -> String {
    let mut text = String::new();
    for (name, _) in discovering(config) {
        // Writing to a String cannot fail.
        let Some(inventory) = inventories.get(name) else {
            let _ = writeln!(
                text,
                "{name}: nothing discovered yet; run `scimitar once` or start the daemon"
            );
            continue;
        };
        let of = matched(config, name, inventory);
        let _ = writeln!(
            text,
            "{name}: {} connections discovered, last listed at {}",
            of,
            moment(inventory.at, now)
        );
        if let Some(held) = &inventory.held {
            let _ = writeln!(text, "  {}", held.words(name.as_str()));
        }
    }
    for one in &config.refused {
        let _ = writeln!(text, "{}", refusal(one));
    }
    text
}

impl Session<'_> {
    /// Lists the connections of one provider, or of all whose connections are discovered. `accept`
    /// takes the list even where it lets many go; without it nothing is written.
    pub(super) async fn discover(
        &self,
        provider: Option<&ProviderName>,
        accept: bool,
    ) -> Result<Answer, Failure> {
        let mut asked = self.config.clone();
        if let Some(name) = provider {
            if !self.config.discovers(name) {
                let words = format!("no [[discover]] names the provider {name}");
                return Err(Failure::new(FailureClass::Usage, words));
            }
            asked.discover.retain(|rule| rule.provider == *name);
        }
        if asked.discover.is_empty() {
            let words = "the configuration has no [[discover]]".to_owned();
            return Err(Failure::new(FailureClass::Usage, words));
        }
        let (usage, shrunk) =
            if accept { (Use::Write, Shrunk::Accept) } else { (Use::Look, Shrunk::Hold) };
        let app = self.app(usage).await?;
        let remembered = app::discover::remembered(self.config, app.engine.ledger.as_ref()).await?;
        let surveyed = app::discover::survey(&app, &asked, shrunk, usage).await;
        let mut all = remembered.clone();
        all.extend(surveyed.inventories.clone());
        if accept && surveyed.failed.is_empty() {
            let names: Vec<_> = discovering(&asked).map(|(name, _)| name.as_str()).collect();
            let why = format!(
                "an operator accepted the current list of connections of {}",
                names.join(", ")
            );
            let accepted = Entry::of_process("list_accepted", self.clock.now(), why);
            app.engine.audit.note(accepted).await;
        }
        app.close(self.farewell(None)).await;
        let config = expanded(self.config, &all, &self.env, Secrets::Needed).await?;
        let found = discovered::rows(&config, &asked, &surveyed, &remembered);
        let mut of_these = config;
        of_these.discover.clone_from(&asked.discover);
        let text =
            discovered::text(&found) + &summary(&of_these, &surveyed.inventories, self.clock.now());
        let failed: Vec<_> = surveyed.failed.into_iter().map(|(_, words)| words).collect();
        let failure =
            (!failed.is_empty()).then(|| Failure::new(FailureClass::Online, failed.join("; ")));
        Ok(Answer { failure, discovered: Some(found), ..Answer::shown(Vec::new(), text) })
    }
}
