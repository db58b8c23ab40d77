//! The daemon's side: a command that another process typed, done with what the daemon has.

use std::{
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{is_served, only_looks};
use crate::{
    app::{self, App},
    cli::{self, Invocation},
    clock::{AgreedClock, Clock},
    commands::{
        self, check,
        output::{Answer, Failure, FailureClass},
        process::{Interrupt, Stop},
        progress::{Caller, Console},
        screen::Screen,
        session::Session,
        voice::Voice,
    },
    config::{self, Config, Environment, Secrets},
    control::{
        peer::Peer,
        socket::Socket,
        wire::{BadRequest, Event, LONGEST_REQUEST, PROTOCOL, Request, Word, line_of, next_line},
    },
    engine::live::Live,
    telemetry::audit::{Audit, actor::Who, entry::Entry},
    words::{short, since},
};

/// So many commands at once; a script in a loop must not take all that the daemon has.
const AT_ONCE: usize = 32;

/// How long a caller may take to say what it wants.
const ASKS_WITHIN: Duration = Duration::from_secs(10);

/// How long a caller may leave unread what it is told.
const READS_WITHIN: Duration = Duration::from_secs(30);

/// How long the files may take to be compared with what is in force.
const COMPARES_WITHIN: Duration = Duration::from_secs(2);

/// How long the machine may take to say who a caller is.
const KNOWS_WITHIN: Duration = Duration::from_secs(5);

/// How often a caller is told that the daemon is there.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// How long commands may take to park when the daemon ends.
const PARKS_WITHIN: Duration = Duration::from_secs(3);

/// How long after an error of the system the next caller is waited for.
const AGAIN: TimeDelta = TimeDelta::milliseconds(200);

/// What is in force: the configuration, and what was built from it.
#[derive(Debug)]
pub(in crate::commands) struct InForce {
    pub(in crate::commands) config: Config,
    pub(in crate::commands) app: App,
}

/// What commands are done with.
#[derive(Debug)]
pub(in crate::commands) struct Site {
    pub(in crate::commands) path: PathBuf,
    /// The same from the root, without links.
    pub(in crate::commands) whole: PathBuf,
    pub(in crate::commands) env: Arc<dyn Environment>,
    pub(in crate::commands) clock: Arc<AgreedClock>,
    pub(in crate::commands) audit: Arc<dyn Audit>,
    pub(in crate::commands) in_force: watch::Receiver<Arc<InForce>>,
    pub(in crate::commands) live: Arc<Live>,
    pub(in crate::commands) stop: CancellationToken,
}

/// Opens the socket, if there is to be one. A daemon without it goes on: what it rotates matters more.
pub(in crate::commands) async fn open(config: &Config) -> Option<Socket> {
    let path = config.control.as_ref()?;
    match Socket::open(path).await {
        Ok(socket) => {
            tracing::info!(socket = %socket.path().display(), "the control socket is open at {}", socket.path().display());
            Some(socket)
        }
        Err(why) => {
            tracing::warn!(socket = %path.display(), error = why, "no control socket, so commands need the secrets themselves: {why}; to run without one, set `socket = \"off\"` in [control]");
            None
        }
    }
}

/// Serves until the daemon stops, and then until what was begun is parked. The type is written out: the
/// daemon is a command too, and a command is what is served.
pub(in crate::commands) fn serve(
    socket: Option<Socket>,
    site: Arc<Site>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if let Some(socket) = socket {
            serve_at(socket, site).await;
        }
    })
}

async fn serve_at(socket: Socket, site: Arc<Site>) {
    let (callers, seats) = (TaskTracker::new(), Arc::new(Semaphore::new(AT_ONCE)));
    loop {
        let accepted = tokio::select! {
            biased;
            () = site.stop.cancelled() => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                let seat = Arc::clone(&seats).try_acquire_owned().ok();
                let group = socket.group();
                callers.spawn(attend(Arc::clone(&site), stream, group, seat));
            }
            Err(error) => {
                tracing::warn!(error = %error, "could not accept a caller at the control socket: {error}");
                site.clock.sleep_until(site.clock.now() + AGAIN).await;
            }
        }
    }
    drop(socket);
    callers.close();
    if timeout(PARKS_WITHIN, callers.wait()).await.is_err() {
        tracing::warn!(
            "a command from the control socket did not stop in time; the next start continues from there"
        );
    }
}

/// One caller, from its request to the end of its command.
async fn attend(
    site: Arc<Site>,
    stream: UnixStream,
    group: nix::unistd::Gid,
    seat: Option<OwnedSemaphorePermit>,
) {
    let Ok(peer) = Peer::of(&stream) else { return };
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut who = None;
    let taken = match admitted(&site, peer, group, seat.is_some(), &mut who).await {
        Ok(()) => match timeout(ASKS_WITHIN, next_line(&mut reader, LONGEST_REQUEST)).await {
            Ok(Ok(Some(line))) => taken(&site, &line),
            // A look whether somebody is there.
            Ok(Ok(None)) => return,
            Ok(Err(error)) => Err(format!("the request cannot be read: {error}")),
            Err(_) => Err("the request did not come in time".to_owned()),
        },
        Err(why) => Err(why),
    };
    let (who, (invocation, request)) = match (who, taken) {
        (Some(who), Ok(taken)) => (who, taken),
        (None, Ok(_)) => return,
        (_, Err(why)) => {
            tracing::debug!(
                uid = peer.uid,
                pid = peer.pid,
                "rejected a caller at the control socket: {why}"
            );
            // Who does not read it sees that the line is cut.
            let _ = tell(&mut writer, &Event::Declined { why }).await;
            return;
        }
    };
    let typed: Vec<std::ffi::OsString> = request.args.iter().map(Into::into).collect();
    let words = cli::redact(request.args.get(1..).unwrap_or_default().join(" "), &typed);
    if only_looks(&invocation.command) {
        tracing::debug!(uid = peer.uid, pid = peer.pid, "{who} runs `scimitar {words}`");
    } else {
        tracing::info!(uid = peer.uid, pid = peer.pid, "{who} runs `scimitar {words}`");
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    if tell(&mut writer, &Event::Accepted { version }).await.is_err() {
        return;
    }
    let (events, said) = mpsc::unbounded_channel();
    let (answer, answers) = mpsc::channel(1);
    let caller = Caller {
        events: events.clone(),
        answers: Arc::new(tokio::sync::Mutex::new(answers)),
        screen: Screen {
            terminal: request.lines.is_some(),
            width: request.columns,
            height: request.lines,
            colour: request.colour,
        },
        asks: request.asks,
    };
    let stop = Stop::default();
    let job =
        Job { site: Arc::clone(&site), invocation, who: who.clone(), stop: stop.clone(), caller };
    let done = tokio::spawn(async move { Box::pin(job.carry_out()).await });
    let ended = async {
        let status = done.await.unwrap_or_else(|_| {
            let words = "error: a bug in Scimitar ended the command, please report it; the ledger has what was started\n";
            // Nobody may be there to hear it.
            let _ = events.send(Event::Err(words.to_owned()));
            1
        });
        let _ = events.send(Event::Exit(status));
    };
    let listening = listen(&mut reader, (peer, &who), &stop, &answer, &site.stop);
    tokio::select! {
        // One that has its answer hangs up.
        biased;
        ((), ()) = async { tokio::join!(ended, write(writer, said, &stop)) } => {}
        () = listening => {}
    }
    drop(seat);
}

/// Whether a caller may ask for anything, and who it is.
async fn admitted(
    site: &Site,
    peer: Peer,
    group: nix::unistd::Gid,
    has_seat: bool,
    known: &mut Option<Who>,
) -> Result<(), String> {
    // The list of groups is in files, or on a server that may not answer.
    let ask =
        move || (peer.may_use(nix::unistd::Uid::effective(), group), Who::of(peer.uid, peer.pid));
    let asked = timeout(KNOWS_WITHIN, tokio::task::spawn_blocking(ask)).await;
    let Ok(Ok((may, who))) = asked else {
        let uid = peer.uid;
        tracing::warn!(
            uid,
            pid = peer.pid,
            "rejected a caller at the control socket: the groups of uid {uid} could not be looked up"
        );
        return Err(format!(
            "the groups of uid {uid} could not be looked up within {} s: use sudo, or try again",
            KNOWS_WITHIN.as_secs()
        ));
    };
    if !may {
        tracing::warn!(
            uid = peer.uid,
            pid = peer.pid,
            "{who} was rejected at the control socket: neither root, nor the daemon's user, nor in the socket's group"
        );
        let why = format!("{who} is not in the group of the control socket");
        let refused = Entry::of_process("control_refused", site.clock.now(), why);
        site.audit.note(refused).await;
        return Err(format!(
            "{who} is neither root nor the daemon's user nor in the socket's group (gid {group}): use \
             sudo, or join the group"
        ));
    }
    *known = Some(who);
    if !has_seat {
        return Err(format!("it is already running {AT_ONCE} commands; try again later"));
    }
    Ok(())
}

/// The command that a request is for.
fn taken(site: &Site, line: &str) -> Result<(Invocation, Request), String> {
    let own = env!("CARGO_PKG_VERSION");
    let request = Request::parse(line).map_err(|bad| match bad {
        BadRequest::Garbage => "the request is not understood".to_owned(),
        BadRequest::Protocol(number) => format!(
            "it is version {own} and speaks version {PROTOCOL} of the control protocol, not {number}: restart \
             the daemon if scimitar was updated since it started"
        ),
    })?;
    if site.whole.as_os_str() != request.config.as_str() {
        return Err(format!(
            "it runs with the configuration {}, not {}",
            site.path.display(),
            request.config
        ));
    }
    let parsed = cli::parse(request.args.iter().map(Into::into)).map_err(|_| {
        format!(
            "it is version {own} and does not know this command line of version {}: restart the daemon",
            request.version
        )
    })?;
    if !is_served(&parsed.command) {
        return Err("it does not run this command".to_owned());
    }
    Ok((Invocation { config: site.path.clone(), ..parsed }, request))
}

/// Hears what a caller says, for as long as its command goes on: it is parked when the caller hangs up or
/// has a signal, and when the daemon stops.
async fn listen(
    reader: &mut BufReader<OwnedReadHalf>,
    (peer, who): (Peer, &Who),
    stop: &Stop,
    answer: &mpsc::Sender<Option<String>>,
    daemon: &CancellationToken,
) {
    let hearing = async {
        while let Ok(Some(line)) = next_line(reader, LONGEST_REQUEST).await {
            match serde_json::from_str(&line) {
                Ok(Word::Stop(signal)) => {
                    stop.note(signal.into());
                    tracing::info!(
                        uid = peer.uid,
                        pid = peer.pid,
                        "{who} interrupted its command: it ends after the current step"
                    );
                }
                // Nobody waits for a second one.
                Ok(Word::Answer(words)) => drop(answer.try_send(words)),
                Err(_) => break,
            }
        }
    };
    tokio::select! {
        () = hearing => {
            stop.note(Interrupt::Term);
            tracing::info!(uid = peer.uid, pid = peer.pid, "{who} disconnected: its command ends after the current step");
        }
        () = daemon.cancelled() => stop.note(Interrupt::Term),
    }
    // What goes on ends by itself.
    std::future::pending().await
}

/// Tells a caller what is said, until the last word. One that does not read stops its command, and the
/// rest is said to nobody.
async fn write(mut writer: OwnedWriteHalf, mut said: mpsc::UnboundedReceiver<Event>, stop: &Stop) {
    let mut reads = true;
    loop {
        let event = match timeout(ALIVE_EVERY, said.recv()).await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(_) => Event::Alive,
        };
        if reads && tell(&mut writer, &event).await.is_err() {
            reads = false;
            stop.note(Interrupt::Term);
        }
        if matches!(event, Event::Exit(_)) {
            return;
        }
    }
}

async fn tell(writer: &mut OwnedWriteHalf, event: &Event) -> std::io::Result<()> {
    let line = line_of(event)?;
    timeout(READS_WITHIN, writer.write_all(line.as_bytes()))
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// A command that was taken.
struct Job {
    site: Arc<Site>,
    invocation: Invocation,
    who: Who,
    stop: Stop,
    caller: Caller,
}

impl Job {
    /// Does it, and says the answer; gives back the exit status.
    async fn carry_out(self) -> u8 {
        let clock = &self.site.clock;
        let began = clock.host_time();
        let console = Console::of(self.caller.clone());
        let console = if self.invocation.quiet { console.quiet() } else { console };
        let voice = Voice::of(&self.invocation.command, console.clone(), false);
        let in_force = Arc::clone(&self.site.in_force.borrow());
        // What is in force is in memory: nothing waits long for files that are on a mount that hangs.
        let compared = timeout(COMPARES_WITHIN, differs(&self.site, &in_force.config));
        match self.stop.token.run_until_cancelled(compared).await {
            Some(Ok(Some(words))) => voice.warn(&words),
            Some(Ok(None)) | None => {}
            Some(Err(_)) => voice.warn(&format!(
                "{} could not be read in time, so it is not known whether the daemon uses what it says now",
                self.site.path.display()
            )),
        }
        let answer = self.answer(&in_force, &console, &voice).await;
        let answer = answer.unwrap_or_else(Answer::failed);
        let status = commands::status_of(&answer, &self.invocation.command, &self.stop);
        let mut text = Vec::new();
        let (times, screen) = ((clock.at(began), clock.now()), console.screen());
        let output = self.invocation.output;
        let written = commands::write_answer(&mut text, &answer, output, times, status, &screen);
        let text = String::from_utf8_lossy(&text);
        Event::out(&text).for_each(|event| drop(self.caller.events.send(event)));
        if let Some(failure) = &answer.failure {
            voice.fail(&commands::text::failure(failure));
        }
        if written.is_ok() { status } else { status.max(1) }
    }

    async fn answer(
        &self,
        in_force: &InForce,
        console: &Console,
        voice: &Voice,
    ) -> Result<Answer, Failure> {
        let (config, env) = (&in_force.config, &self.site.env);
        let command = &self.invocation.command;
        let needs_app = check::secrets_for(command) == Secrets::Needed;
        let usage = check::ledger_for(command);
        if usage.is_some() {
            // A file that was removed or replaced is not the daemon's: from another one the command would
            // say that nothing was ever checked, and might begin it.
            let own = in_force.app.engine.ledger.keys(None, 1);
            if let Some(read) = self.stop.token.run_until_cancelled(own).await {
                read?;
            }
        }
        let app = match usage.filter(|_| needs_app) {
            None => None,
            Some(usage) => {
                // A ledger that hangs holds up no signal.
                let opened = app::open_ledger(&config.state, usage, env);
                let Some(ledger) = self.stop.token.run_until_cancelled(opened).await else {
                    let words = "interrupted before it began; nothing was done";
                    return Err(Failure::new(FailureClass::System, words));
                };
                Some(in_force.app.lent(ledger?, console.progress()))
            }
        };
        let session = Session {
            invocation: &self.invocation,
            config,
            ready: Mutex::new(app),
            env: Arc::clone(env),
            stop: &self.stop,
            console,
            voice,
            clock: &self.site.clock,
            screen: console.screen(),
            caller: Some(self.who.clone()),
            unanswered: false,
        };
        Box::pin(session.carry_out()).await
    }
}

/// What to say where the file is not what is in force any more.
async fn differs(site: &Site, config: &Config) -> Option<String> {
    let (path, env, known) = (site.path.clone(), Arc::clone(&site.env), config.sha256.clone());
    let rejected = site.live.configuration().rejected;
    let ago = rejected.map(|(at, why)| (short(since(at, site.clock.now())), why));
    let looked = move || {
        let same = config::digest(&path).is_some_and(|digest| digest == known);
        let errors = (!same).then(|| config::load_for(&path, &*env, Secrets::Unneeded).err());
        let (path, reload) =
            (path.display(), "reload the daemon (`systemctl reload scimitar`, or SIGHUP)");
        Some(match (errors?, ago) {
            (Some(problems), _) => {
                let errors = match problems.iter().len() {
                    1 => "1 error".to_owned(),
                    count => format!("{count} errors"),
                };
                format!(
                    "{path} has {errors} (run `scimitar check`); the daemon still uses the previous configuration"
                )
            }
            (None, Some((ago, why))) => format!(
                "{path} was rejected at the reload {ago} ago ({why}); the daemon still uses the previous configuration. If that was corrected since, {reload}"
            ),
            (None, None) => format!(
                "{path} was changed since the daemon read it; this answer uses the previous configuration: {reload} to use the changed one"
            ),
        })
    };
    tokio::task::spawn_blocking(looked).await.ok().flatten()
}
