//! A program that is run: an environment of its own, something on its standard input, and an end.

use std::{
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

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
use zeroize::Zeroizing;

use super::{
    children::{self, Own, processes},
    trust::{Untrusted, untrusted},
};

/// Where programs are looked for by the one that is run.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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

/// What is run.
#[derive(Debug)]
pub struct Program<'a> {
    /// The program; absolute.
    pub path: &'a Path,
    /// Its arguments, as they are: no shell reads them.
    pub arguments: &'a [String],
    /// All of its environment but `PATH`.
    pub variables: Vec<(String, String)>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A program that was run, and is over with all that it started and that stayed in its group.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// What it wrote to its standard output, up to 16 KiB.
    pub out: Zeroizing<Vec<u8>>,
    /// The same of its standard error.
    pub err: Zeroizing<Vec<u8>>,
}

/// How a program ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself.
    Itself(ExitStatus),
    /// It was ended by this signal, since its time was up.
    Late(&'static str),
    /// It could not be waited for.
    Unknown(io::Error),
}

/// A program that was not run.
#[derive(Debug)]
pub enum NotRun {
    /// Others could put another program there.
    Untrusted(Untrusted),
    /// It cannot be started.
    Start(io::Error),
    /// Its end could not be seen.
    Signals(io::Error),
    /// It ended before it was seen.
    Unseen,
}

/// The longest that a run may take, all in all.
#[must_use]
pub fn longest(timeout: Duration) -> Duration {
    timeout + GRACE + LAST_WORDS * 3
}

/// Runs a program in a process group of its own, with this on its standard input.
///
/// # Errors
/// When it was not run at all.
pub async fn run(program: Program<'_>, input: Zeroizing<Vec<u8>>) -> Result<Ran, NotRun> {
    // From before it starts, so that its end is not missed.
    let mut ends = signal(SignalKind::child()).map_err(NotRun::Signals)?;
    let (mut child, own) = spawn(&program)?;
    let (out, err) = (capture(child.stdout.take()), capture(child.stderr.take()));
    let stdin = child.stdin.take();
    let feed = tokio::spawn(async move {
        if let Some(mut stdin) = stdin {
            // Who does not read it does not want it.
            let _ = stdin.write_all(&input).await;
        }
    });
    let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let Some(id) = id else { return Err(NotRun::Unseen) };
    let mut group = Group { id, child, over: false, _own: own };
    let ended = end(&mut group, &mut ends, program.timeout).await;
    feed.abort();
    let (out, err) = (last_words(out).await, last_words(err).await);
    Ok(Ran { ended: ended.unwrap_or_else(Ended::Unknown), out, err })
}

fn spawn(program: &Program<'_>) -> Result<(Child, Own), NotRun> {
    // Looked at each time: what was in order when the configuration was read may not be now.
    if let Some(found) = untrusted(program.path) {
        return Err(NotRun::Untrusted(found));
    }
    let mut command = Command::new(program.path);
    command
        .args(program.arguments)
        .env_clear()
        .env("PATH", PATH)
        .envs(program.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    children::start(|| command.spawn()).map_err(NotRun::Start)
}

/// Waits for the end, or makes it. Nothing of the group is left afterwards.
async fn end(group: &mut Group, ends: &mut Signals, within: Duration) -> io::Result<Ended> {
    let in_time = timeout(within, ended(ends, group.id)).await;
    let Ok(ended_itself) = in_time else {
        group.signal(Signal::SIGTERM);
        let in_grace = timeout(GRACE, ended(ends, group.id)).await;
        let how = if in_grace.is_ok() { "SIGTERM" } else { "SIGKILL" };
        group.finish(ends).await?;
        return Ok(Ended::Late(how));
    };
    ended_itself?;
    group.is_left().await;
    group.finish(ends).await.map(Ended::Itself)
}

/// How a program ended that did not end well, in words that follow its name; `None` where it did.
#[must_use]
pub fn badly(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("ended with exit status {code}")),
        (None, signal) => {
            let signal = signal.and_then(|number| Signal::try_from(number).ok());
            Some(format!("was killed by {}", signal.map_or("a signal", Signal::as_str)))
        }
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
    async fn finish(&mut self, ends: &mut Signals) -> io::Result<ExitStatus> {
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
async fn ended(ends: &mut Signals, id: Pid) -> io::Result<()> {
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

type Said = JoinHandle<Zeroizing<Vec<u8>>>;

fn capture(pipe: Option<impl AsyncRead + Send + Unpin + 'static>) -> Said {
    tokio::spawn(async move {
        // What is said may be the input: it never grows, and is wiped.
        let mut kept = Zeroizing::new(Vec::with_capacity(KEPT));
        let mut buffer = Zeroizing::new([0; 4096]);
        let Some(mut pipe) = pipe else { return kept };
        while let Ok(length) = pipe.read(&mut buffer[..]).await {
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
async fn last_words(mut said: Said) -> Zeroizing<Vec<u8>> {
    match timeout(LAST_WORDS, &mut said).await {
        Ok(Ok(said)) => said,
        Ok(Err(_)) => Zeroizing::default(),
        Err(_) => {
            said.abort();
            Zeroizing::default()
        }
    }
}
