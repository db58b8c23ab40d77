//! What each command does, and how its answer is printed.

pub mod artefact;
pub mod audit;
pub mod bulk;
pub mod changes;
pub mod check;
mod coming;
mod completions;
mod condemn;
mod control;
mod daemon;
mod discover;
pub mod discovered;
mod dispatch;
pub mod explain;
mod health;
pub mod history;
mod import;
pub mod init;
mod known;
mod manual;
mod names;
pub mod one_shot;
pub mod online;
pub mod operate;
pub mod output;
mod pause;
pub mod permissions;
pub mod plan;
pub mod process;
pub mod progress;
mod reload;
pub mod sandbox;
pub mod screen;
mod select;
mod serve;
pub mod session;
mod side_by_side;
pub mod standing;
mod state;
pub mod status;
pub mod sums;
mod supervisor;
pub mod table;
pub mod text;
#[cfg(test)]
mod text_tests;
mod tokens;
pub mod voice;
mod watched;

use std::{
    ffi::OsString,
    io::{self, BufWriter, IsTerminal, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use chrono::TimeDelta;

use self::{
    control::{Absence, Asked, NotServed},
    output::{Answer, BAD_USAGE, Failure, FailureClass},
    process::Stop,
    progress::Console,
    screen::{Screen, colours},
    voice::Voice,
};
pub use crate::words;
use crate::{
    app,
    cli::{self, Command, Invocation, Output},
    clock::{AgreedClock, Clock, Timestamp},
    config::{Config, Environment, LogFormat, ProcessEnvironment},
    shown::visible,
    telemetry::logs,
};

/// How long the ledger's clock is waited for before a command begins.
const AGREES_WITHIN: TimeDelta = TimeDelta::seconds(2);

/// Does what was typed, prints the answer, and gives back the exit status.
pub async fn dispatch(
    invocation: &Invocation,
    stop: &Stop,
    console: &Console,
    clock: &Arc<AgreedClock>,
) -> u8 {
    let began = clock.host_time();
    let screen = Screen::stdout();
    if invocation.bare && screen.terminal && !invocation.config.exists() {
        return help(&invocation.config);
    }
    let console = &if invocation.quiet { console.quiet() } else { console.clone() };
    let voice = voice(&invocation.command, console);
    let answer = match Box::pin(control::client::ask(invocation, stop, console)).await {
        Asked::Done(status) => return status,
        Asked::Lost(failure) => Answer::failed(failure),
        Asked::NotServed(not_served) => {
            // The futures of whole commands are large; they live on the heap.
            Box::pin(carry_out(invocation, stop, console, &voice, clock, &not_served)).await
        }
    };
    let status = status_of(&answer, &invocation.command, stop);
    // By one clock: the ledger's may have been learnt meanwhile.
    let times = (clock.at(began), clock.now());
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = write_answer(&mut out, &answer, invocation.output, times, status, &screen)
        .and_then(|()| out.flush());
    drop(out);
    // In JSON the failure is in the document; people reading along still see it here.
    if let Some(failure) = &answer.failure {
        voice.fail(&text::failure(failure));
    }
    match printed {
        Ok(()) => status,
        // A reader that went away (`| head`) has seen all it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => status,
        Err(error) => {
            voice.fail(&format!("error: could not print the results: {error}\n"));
            status.max(1)
        }
    }
}

/// Writes an answer that took from the first to the second moment.
fn write_answer(
    out: &mut impl Write,
    answer: &Answer,
    output: Output,
    (started_at, finished_at): (Timestamp, Timestamp),
    status: u8,
    screen: &Screen,
) -> io::Result<()> {
    match output {
        Output::Json => answer
            .write_json(&mut Visible(out), started_at, finished_at, status)
            .map_err(io::Error::from),
        Output::Text => {
            out.write_all(visible(&text::answer(answer, finished_at, screen)).as_bytes())
        }
    }
}

/// The exit status of a command, which a signal may decide.
fn status_of(answer: &Answer, command: &Command, stop: &Stop) -> u8 {
    match (stop.interrupt(), command) {
        // The daemon and the sandbox are ended by signals: that is their good end.
        (Some(_), Command::Run | Command::Sandbox(_) | Command::Status { watch: true, .. })
        | (None, _) => answer.exit_status(),
        (
            Some(interrupt),
            Command::RotateNow { .. }
            | Command::Once { .. }
            | Command::Check { .. }
            | Command::Plan { .. }
            | Command::Status { .. }
            | Command::History { .. }
            | Command::Names
            | Command::Explain { .. }
            | Command::Tokens { .. }
            | Command::Discover { .. }
            | Command::Adopt { .. }
            | Command::Retire { .. }
            | Command::AdoptAll { .. }
            | Command::AcceptPlace { .. }
            | Command::AcceptUserGone { .. }
            | Command::Import { .. }
            | Command::State(_)
            | Command::Revoke { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::Handoff { .. }
            | Command::Permissions
            | Command::Healthcheck
            | Command::Print(_)
            | Command::AuditVerify { .. },
        ) => interrupt.exit_status(),
    }
}

/// The exit status of a command whose good end a signal is.
#[must_use]
pub fn ended_by_a_signal(command: &Command) -> Option<u8> {
    let ended =
        matches!(command, Command::Run | Command::Sandbox(_) | Command::Status { watch: true, .. });
    ended.then_some(0)
}

/// What a command says beside its answer.
#[must_use]
pub fn voice(command: &Command, console: &Console) -> Voice {
    Voice::of(command, console.clone(), is_journal())
}

/// The help, for a person who starts the program to see what it is.
fn help(config: &Path) -> u8 {
    let help = cli::definition().render_help();
    let help = if colours(&io::stdout()) { help.ansi().to_string() } else { help.to_string() };
    let missing = format!(
        "There is no configuration yet ({} does not exist). Try `scimitar --config \
         config.example.toml rotate --all`, or write one and run `scimitar check`.\n",
        config.display()
    );
    u8::from(print(&format!("{help}\n{missing}")).is_err())
}

/// Says what is wrong with a command line (or gives the help that was asked for), and gives back
/// the exit status.
pub fn refuse(error: &clap::Error, args: &[OsString], clock: &dyn Clock) -> u8 {
    let rendered = error.render();
    if !error.use_stderr() {
        let text =
            if colours(&io::stdout()) { rendered.ansi().to_string() } else { rendered.to_string() };
        return u8::from(print(&text).is_err());
    }
    let plain = cli::redact(rendered.to_string(), args);
    if cli::wants_json(args) {
        let message = plain.trim_end().strip_prefix("error: ").unwrap_or(&plain);
        let answer = Answer::failed(Failure::new(FailureClass::Usage, message.trim_end()));
        let now = clock.now();
        if let Ok(document) = answer.json(now, now, BAD_USAGE) {
            // The exit status says the same, whether or not anybody reads the document.
            let _ = print(&document);
        }
    }
    let shown =
        if colours(&io::stderr()) { cli::redact(rendered.ansi().to_string(), args) } else { plain };
    // Standard error may be closed; the exit status says the same.
    let _ = io::stderr().lock().write_all(shown.as_bytes());
    BAD_USAGE
}

/// Starts logging; called once by each command, as soon as `[log] format` is known.
///
/// # Errors
/// When `$SCIMITAR_LOG` holds no filter directives.
pub fn start_logs(
    invocation: &Invocation,
    format: Option<logs::Format>,
    console: &Console,
) -> Result<(), Failure> {
    let options = logs::Options {
        format,
        verbosity: invocation.verbosity,
        daemon: matches!(invocation.command, Command::Run),
        terminal: io::stderr().is_terminal(),
        journal: is_journal(),
        colours: colours(&io::stderr()),
        directives: std::env::var(logs::VARIABLE).ok(),
    };
    logs::init(&options, console.clone())
        .map_err(|error| Failure::new(FailureClass::Usage, crate::error::chain(&error)))
}

/// Each command's arm.
async fn carry_out(
    invocation: &Invocation,
    stop: &Stop,
    console: &Console,
    voice: &Voice,
    clock: &Arc<AgreedClock>,
    not_served: &NotServed,
) -> Answer {
    if let Command::Sandbox(arguments) = &invocation.command {
        return match start_logs(invocation, None, console) {
            Ok(()) => sandbox::serve_until(arguments, invocation.output, stop, console).await,
            Err(failure) => Answer::failed(failure),
        };
    }
    if let Command::AuditVerify { files, head } = &invocation.command {
        return match start_logs(invocation, None, console) {
            Ok(()) => audit::verify(files, head.clone()).await,
            Err(failure) => Answer::failed(failure),
        };
    }
    if let Command::Print(artefact) = invocation.command {
        return artefact::answer(artefact);
    }
    if let Command::Import { tool, state } = &invocation.command {
        return import::answer(*tool, state).await;
    }
    let env: Arc<dyn Environment> = Arc::new(ProcessEnvironment);
    if let Command::State(asked) = &invocation.command {
        return match start_logs(invocation, None, console) {
            Ok(()) => state::answer(asked, &env).await.unwrap_or_else(Answer::failed),
            Err(failure) => Answer::failed(failure),
        };
    }
    let secrets = check::secrets_for(&invocation.command);
    let read = check::load(&invocation.config, Arc::clone(&env), secrets).await;
    let format = read.as_ref().map_or(None, log_format);
    if let Err(failure) = start_logs(invocation, format, console) {
        return Answer::failed(failure);
    }
    match read {
        Ok(mut config) => {
            let path = &invocation.config;
            let silent =
                matches!(invocation.command, Command::Once { .. } | Command::RotateNow { .. });
            if matches!(invocation.command, Command::Check { .. } | Command::Run) {
                check::warn(path, &config, voice);
            } else if silent && !invocation.quiet {
                // Everybody else has other business; who is answered with silence is told why.
                check::warn_of_nothing(path, &config, voice);
            }
            if let Some(usage) = check::ledger_for(&invocation.command) {
                agree(&config, &env, clock).await;
                known::settle(&mut config, usage, &env).await;
            }
            let command = &invocation.command;
            let site = discover::Site { command, env: &env, clock, console, voice, stop, secrets };
            let begun = match Box::pin(discover::begin(config, &site)).await {
                Ok(begun) => begun,
                Err(failure) => return Answer::failed(failure),
            };
            let session = session::Session {
                invocation,
                config: &begun.config,
                ready: Mutex::new(begun.app),
                env,
                stop,
                console,
                voice,
                clock,
                screen: console.screen(),
                caller: None,
                unanswered: not_served.absence == Absence::NoAnswer,
            };
            let answer = Box::pin(session.carry_out()).await.unwrap_or_else(|failure| {
                let ledger = Some(&failure).filter(|it| it.class == FailureClass::Ledger);
                let file = ledger.and_then(|_| begun.config.state.file());
                Answer::failed(control::alone::kept_out(failure, command, file, &not_served.why))
            });
            discover::judged(answer, command, &begun.failed)
        }
        Err(failure) => {
            if matches!(invocation.command, Command::Healthcheck)
                && failure.class == FailureClass::Configuration
                && let Some(answer) = health::ask_despite_errors(&invocation.config, &env).await
            {
                voice.warn(&format!(
                    "the daemon keeps its previous configuration: {}",
                    failure.message
                ));
                return answer;
            }
            let site = control::alone::Site {
                invocation,
                env: &env,
                clock,
                console,
                voice,
                stop,
                not_served,
            };
            let answer = Box::pin(control::alone::answer(failure, &site)).await;
            answer.unwrap_or_else(Answer::failed)
        }
    }
}

/// Goes by the clock of a ledger that replicas share, before anything is measured: a call must not last
/// longer or end sooner by what the host's is off by. One that does not answer is the matter of who
/// needs it.
async fn agree(config: &Config, env: &Arc<dyn Environment>, clock: &Arc<AgreedClock>) {
    let answered = async {
        if let Ok(Some(ledger)) = app::ledger::found(&config.state, env).await {
            ledger.agree_on(clock).await;
        }
    };
    if config.state.file().is_none() {
        let late = clock.sleep_until(clock.now() + AGREES_WITHIN);
        tokio::select! {
            biased;
            () = answered => {}
            () = late => tracing::debug!("the ledger's clock could not be read in time"),
        }
    }
}

fn log_format(config: &Config) -> Option<logs::Format> {
    config.log.format.map(|format| match format {
        LogFormat::Text => logs::Format::Text,
        LogFormat::Json => logs::Format::Json,
        LogFormat::Journald => logs::Format::Journald,
    })
}

/// Whether standard error is the journal's.
fn is_journal() -> bool {
    let variable = std::env::var(logs::journal::VARIABLE).ok();
    logs::journal::is_stream_of(variable.as_deref(), io::stderr())
}

/// Escapes what nobody would see. Each piece that it is given is text.
struct Visible<W>(W);

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(visible(text).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(visible(text).as_bytes())?;
    out.flush()
}
