//! What each command does, and how its answer is printed.

pub mod artefact;
pub mod audit;
pub mod bulk;
pub mod check;
mod condemn;
mod daemon;
mod discover;
pub mod discovered;
mod dispatch;
pub mod explain;
mod health;
mod import;
pub mod init;
mod known;
mod manual;
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
mod select;
mod serve;
pub mod session;
mod side_by_side;
mod state;
pub mod status;
mod supervisor;
pub mod text;
#[cfg(test)]
mod text_tests;
mod tokens;
pub mod voice;
mod watched;

use std::{
    ffi::OsString,
    io::{self, BufWriter, IsTerminal, Write},
    sync::{Arc, Mutex},
};

use chrono::TimeDelta;

use self::{
    output::{Answer, BAD_USAGE, Failure, FailureClass},
    process::Stop,
    progress::Console,
    voice::Voice,
};
pub use crate::words;
use crate::{
    app,
    cli::{self, Command, Invocation, Output},
    clock::{AgreedClock, Clock},
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
    let voice = voice(&invocation.command, console);
    // The futures of whole commands are large; they live on the heap.
    let answer = Box::pin(carry_out(invocation, stop, console, &voice, clock)).await;
    let status = match (stop.interrupt(), &invocation.command) {
        // The daemon and the sandbox are ended by signals: that is their good end.
        (Some(_), Command::Run | Command::Sandbox(_)) | (None, _) => answer.exit_status(),
        (
            Some(interrupt),
            Command::RotateNow { .. }
            | Command::Once { .. }
            | Command::Check { .. }
            | Command::Plan { .. }
            | Command::Status { .. }
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
    };
    // By one clock: the ledger's may have been learnt meanwhile.
    let (started_at, finished_at) = (clock.at(began), clock.now());
    let printed = match invocation.output {
        Output::Json => {
            let mut out = Visible(BufWriter::new(io::stdout().lock()));
            let written = answer.write_json(&mut out, started_at, finished_at, status);
            written.map_err(io::Error::from).and_then(|()| out.flush())
        }
        Output::Text => print(&text::answer(&answer, finished_at)),
    };
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

/// The exit status of a command whose good end a signal is.
#[must_use]
pub fn ended_by_a_signal(command: &Command) -> Option<u8> {
    matches!(command, Command::Run | Command::Sandbox(_)).then_some(0)
}

/// What a command says beside its answer.
#[must_use]
pub fn voice(command: &Command, console: &Console) -> Voice {
    Voice::of(command, console.clone(), is_journal())
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
            check::warn(&invocation.config, &config, voice);
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
            };
            let answer = Box::pin(session.carry_out()).await.unwrap_or_else(Answer::failed);
            discover::judged(answer, command, &begun.failed)
        }
        Err(failure) => Answer::failed(failure),
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
            () = late => tracing::debug!("the ledger's clock was not asked in time"),
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

/// Terminals are written to in colour, unless <https://no-color.org> is asked for.
fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
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
