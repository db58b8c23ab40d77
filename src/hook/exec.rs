//! A program that is run: an environment of its own, the event on its standard input, and an end.

use std::{
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    signal::unix::{Signal as Signals, SignalKind, signal},
    task::JoinHandle,
    time::timeout,
};

use super::{
    Hook,
    children::{self, Own, processes},
    fault,
    message::Message,
    trust::untrusted,
};
use crate::{
    error::{Class, Code, Fault, system_words},
    http::quote,
    token::HookName,
};

/// Where programs are looked for by the one that is run.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The most that is kept of each of the two outputs, in bytes; the rest is read and forgotten.
const KEPT: usize = 16 * 1024;

/// How long a program that was asked to end (SIGTERM) may still take.
const GRACE: Duration = Duration::from_secs(5);

/// How often it is looked whether what is to live on has left the group of a program that ended …
const TRIES_TO_LEAVE: u32 = 25;

/// … and the pause between two looks.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// How long the last words of a program that ended may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is run, and for how long at most.
#[derive(Clone, Debug)]
pub struct ExecSettings {
    /// Its label.
    pub name: HookName,
    /// The program; absolute.
    pub program: PathBuf,
    /// Its arguments, as they are: no shell reads them.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A program as a hook.
#[derive(Clone, Debug)]
pub struct Exec(Arc<ExecSettings>);

impl Exec {
    /// A hook that runs a program.
    #[must_use]
    pub fn new(settings: ExecSettings) -> Self {
        Self(Arc::new(settings))
    }

    fn fault(&self, class: Class, code: Code, detail: impl Into<String>) -> Fault {
        fault(&self.0.name, class, code, detail)
    }

    fn spawn(&self, message: &Message) -> Result<(Child, Own), Fault> {
        // Looked at each time: what was in order when the configuration was read may not be now.
        if let Some(found) = untrusted(&self.0.program) {
            let program = self.0.program.display();
            let words = format!("{program} is not run: {}; {}", found.trouble, found.hint);
            return Err(self.fault(Class::Terminal, Code::Forbidden, words));
        }
        let mut command = Command::new(&self.0.program);
        command
            .args(&self.0.arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(message.variables())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        children::start(|| command.spawn()).map_err(|error| {
            let program = self.0.program.display();
            let words = format!("{program} cannot be started: {}", system_words(&error));
            self.fault(Class::Terminal, Code::Io, words)
        })
    }

    /// Waits for the end, or makes it. Nothing of the group is left afterwards.
    async fn end(&self, group: &mut Group, ends: &mut Signals) -> Result<ExitStatus, Fault> {
        let failed = |error: &std::io::Error| {
            let words = format!("it cannot be waited for: {}", system_words(error));
            self.fault(Class::Transient, Code::Io, words)
        };
        let in_time = timeout(self.0.timeout, ended(ends, group.id)).await;
        let Ok(ended_itself) = in_time else {
            group.signal(Signal::SIGTERM);
            let in_grace = timeout(GRACE, ended(ends, group.id)).await;
            let how = if in_grace.is_ok() { "SIGTERM" } else { "SIGKILL" };
            group.finish(ends).await.map_err(|error| failed(&error))?;
            let words = format!(
                "it did not end within {} and was ended by {how}; `timeout` of the hook is how long it may take",
                crate::clock::spelled(self.0.timeout)
            );
            return Err(self.fault(Class::Transient, Code::Timeout, words));
        };
        ended_itself.map_err(|error| failed(&error))?;
        group.is_left().await;
        group.finish(ends).await.map_err(|error| failed(&error))
    }

    fn judge(&self, status: ExitStatus) -> Result<(), Fault> {
        let words = match (status.code(), status.signal()) {
            (Some(0), _) => return Ok(()),
            (Some(code), _) => {
                format!("{} ended with exit status {code}", self.0.program.display())
            }
            (None, signal) => {
                let signal = signal.and_then(|number| Signal::try_from(number).ok());
                let signal = signal.map_or("a signal", Signal::as_str);
                format!("{} was ended by {signal}", self.0.program.display())
            }
        };
        Err(self.fault(Class::Transient, Code::Unavailable, words))
    }

    /// What it said is for whoever wrote it: it goes to the log, and never into the record.
    fn log(&self, message: &Message, failed: bool, out: &[u8], err: &[u8]) {
        let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
        let first = err.lines().chain(out.lines()).find(|line| !line.trim().is_empty());
        if let Some(first) = first.filter(|_| failed) {
            let said = quote(first, &[]);
            tracing::warn!(hook = %self.0.name, connection = %message.connection(), said = %said, "the hook {} said: {said}", self.0.name);
        }
        for (stream, text) in [("stdout", &out), ("stderr", &err)] {
            for line in text.lines() {
                let line = quote(line, &[]);
                tracing::debug!(hook = %self.0.name, connection = %message.connection(), stream, line = %line, "the hook {} said: {line}", self.0.name);
            }
        }
    }
}

#[async_trait]
impl Hook for Exec {
    fn name(&self) -> &HookName {
        &self.0.name
    }

    fn longest(&self) -> Duration {
        self.0.timeout + GRACE + LAST_WORDS * 3
    }

    async fn run(&self, message: &Message) -> Result<(), Fault> {
        // From before it starts, so that its end is not missed.
        let mut ends = signal(SignalKind::child())
            .map_err(|error| self.fault(Class::Transient, Code::Io, system_words(&error)))?;
        let (mut child, own) = self.spawn(message)?;
        let (out, err) = (capture(child.stdout.take()), capture(child.stderr.take()));
        let input = child.stdin.take();
        let event = message.cloud_event().to_string();
        let feed = tokio::spawn(async move {
            if let Some(mut input) = input {
                // Who does not read it does not want it.
                let _ = input.write_all(event.as_bytes()).await;
            }
        });
        let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let Some(id) = id else {
            return Err(self.fault(Class::Transient, Code::Io, "it ended before it was seen"));
        };
        let mut group = Group { id, child, over: false, _own: own };
        let ended = self.end(&mut group, &mut ends).await;
        feed.abort();
        let outcome = ended.and_then(|status| self.judge(status));
        let (out, err) = (last_words(out).await, last_words(err).await);
        self.log(message, outcome.is_err(), &out, &err);
        outcome
    }
}

/// A program and all that it started and that stayed in its group. Killed when it is let go of.
struct Group {
    id: Pid,
    child: Child,
    /// It is waited for: its number may belong to somebody else.
    over: bool,
    _own: Own,
}

impl Group {
    fn signal(&self, signal: Signal) {
        // As long as the program is not waited for, the number is its own.
        if !self.over {
            let _ = killpg(self.id, signal);
        }
    }

    /// Waits, not for long, until what is to live on has left the group: `setsid -f` is told to
    /// have done so a moment before it is done.
    async fn is_left(&self) {
        let id = self.id.as_raw();
        for _ in 0..TRIES_TO_LEAVE {
            if !processes().any(|process| process.group == id && !process.has_ended) {
                return;
            }
            let _ = timeout(BETWEEN_TRIES, std::future::pending::<()>()).await;
        }
    }

    /// Ends what is left of the group, then takes the program's status.
    async fn finish(&mut self, ends: &mut Signals) -> std::io::Result<ExitStatus> {
        self.signal(Signal::SIGKILL);
        let status = self.child.wait().await;
        self.over = true;
        // As the first process of a container we inherit what it left behind.
        let left = Pid::from_raw(-self.id.as_raw());
        loop {
            match waitpid(left, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => {
                    if timeout(LAST_WORDS, ends.recv()).await.is_err() {
                        break;
                    }
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Returns when a child has ended, and leaves its status, and with it its number, where they are.
async fn ended(ends: &mut Signals, id: Pid) -> std::io::Result<()> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::Pid(id), flags) {
            Ok(WaitStatus::StillAlive) => {}
            Err(Errno::EINTR) => continue,
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        ends.recv().await;
    }
}

fn capture(pipe: Option<impl AsyncRead + Send + Unpin + 'static>) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        let mut buffer = [0; 4096];
        let Some(mut pipe) = pipe else { return kept };
        while let Ok(length) = pipe.read(&mut buffer).await {
            if length == 0 {
                break;
            }
            let room = KEPT.saturating_sub(kept.len()).min(length);
            kept.extend(buffer.iter().take(room));
        }
        kept
    })
}

/// What was said. Something that left the group may hold the pipe open: it is not waited for.
async fn last_words(mut said: JoinHandle<Vec<u8>>) -> Vec<u8> {
    match timeout(LAST_WORDS, &mut said).await {
        Ok(Ok(said)) => said,
        Ok(Err(_)) => Vec::new(),
        Err(_) => {
            said.abort();
            Vec::new()
        }
    }
}
