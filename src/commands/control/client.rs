//! The caller's side: what was typed goes to the daemon, what it says is printed here.

use std::{
    collections::BTreeMap,
    env,
    io::{self, ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::{
    errno::Errno,
    unistd::{AccessFlags, access, geteuid},
};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::{Absence, Asked, NotServed, is_served, only_looks, whole};
use crate::{
    cli::{Invocation, Output},
    commands::{
        output::{Failure, FailureClass},
        process::{Interrupt, Stop},
        progress::{Console, Overall},
    },
    config,
    control::{
        peer::Peer,
        wire::{Event, LONGEST_EVENT, PROTOCOL, Request, Word, line_of, next_line},
    },
    engine::progress::Progress,
    error::system_words,
    shown::visible,
    token::ConnectionName,
};

/// Names another socket than the configuration does; `off`: the daemon is not asked.
const VARIABLE: &str = "SCIMITAR_SOCKET";

/// How long the daemon may take to take a command.
const TAKES_WITHIN: Duration = Duration::from_secs(10);

/// How long it may be silent then: it says every few seconds that it is there.
const SILENT_FOR: Duration = Duration::from_secs(60);

/// Has the daemon do it, where one is there that can.
pub(in crate::commands) async fn ask(
    invocation: &Invocation,
    stop: &Stop,
    console: &Console,
) -> Asked {
    if !is_served(&invocation.command) {
        let why = "the daemon does not run this command";
        return Asked::NotServed(Absence::Elsewhere.because(why));
    }
    let path = match socket(&invocation.config).await {
        Ok(path) => path,
        Err(why) => return Asked::NotServed(Absence::NoSocket.because(why)),
    };
    let request = match request(&invocation.config, console) {
        Ok(request) => request,
        Err(why) => return Asked::NotServed(Absence::Elsewhere.because(why)),
    };
    let stream = match timeout(TAKES_WITHIN, connected(&path)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(not_served)) => return Asked::NotServed(not_served),
        Err(_) => return Asked::NotServed(Absence::NoAnswer.because(unanswered(&path))),
    };
    let begun = timeout(TAKES_WITHIN, begin(&path, stream, &request)).await;
    let why = match begun {
        Ok(Ok(Begun::Taken(reader, writer))) => {
            let call = Call::new(invocation.output, stop, console);
            return call.follow(reader, writer).await;
        }
        Ok(Ok(Begun::Declined(why))) => {
            return Asked::NotServed(Absence::Elsewhere.because(why));
        }
        Ok(Err(why)) => why,
        Err(_) => unanswered(&path),
    };
    if only_looks(&invocation.command) {
        return Asked::NotServed(Absence::NoAnswer.because(why));
    }
    // It was asked, and may do it yet: two must not.
    Asked::Lost(Failure::new(
        FailureClass::System,
        format!(
            "{why}. It is not known whether the daemon runs the command: see `scimitar status`, then run the \
             command again (`{VARIABLE}=off` runs it without the daemon)"
        ),
    ))
}

fn unanswered(path: &Path) -> String {
    format!("{} did not answer within {}s", path.display(), TAKES_WITHIN.as_secs())
}

/// What became of a request.
enum Begun {
    Taken(BufReader<OwnedReadHalf>, OwnedWriteHalf),
    Declined(String),
}

/// Connects to a daemon that may be trusted: root's, our own user's, or that of whoever owns the folder,
/// where nobody else can put a socket. Others could answer what they like.
async fn connected(path: &Path) -> Result<UnixStream, NotServed> {
    let stream = UnixStream::connect(path).await.map_err(|error| unreached(path, &error))?;
    let lost = |error: &io::Error| {
        let why = format!("{}: {}", path.display(), system_words(error));
        Absence::Elsewhere.because(why)
    };
    let served_by = Peer::of(&stream).map_err(|error| lost(&error))?.uid;
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let folder = tokio::fs::symlink_metadata(folder).await.map_err(|error| lost(&error))?;
    let owns = folder.uid() == served_by && folder.mode() & 0o022 == 0;
    if served_by == 0 || served_by == geteuid().as_raw() || owns {
        return Ok(stream);
    }
    Err(Absence::Elsewhere.because(format!(
        "{} is not trusted, and nothing was sent to it: uid {served_by} serves it, which is neither root, nor you, \
         nor the owner of a folder that only its owner can write to",
        path.display()
    )))
}

/// Where the daemon of this configuration serves commands.
async fn socket(file: &Path) -> Result<PathBuf, String> {
    let said = env::var_os(VARIABLE).filter(|value| !value.is_empty());
    if let Some(said) = said {
        return if said == "off" { Err(format!("${VARIABLE} is off")) } else { Ok(said.into()) };
    }
    let named = file.to_owned();
    // A file on a mount that hangs holds up no signal.
    let found = tokio::task::spawn_blocking(move || {
        let unreadable = access(&named, AccessFlags::R_OK) == Err(Errno::EACCES);
        (config::control_socket(&named), unreadable)
    });
    let (found, unreadable) = found.await.unwrap_or_default();
    let file = file.display();
    found.ok_or_else(|| match unreadable {
        true => format!("the control socket is named in {file}, which cannot be read"),
        false => format!("{file} has no control socket ([control] socket)"),
    })
}

fn request(file: &Path, console: &Console) -> Result<Request, String> {
    let not_text = || "the command line is not UTF-8".to_owned();
    let screen = console.screen();
    let args: Option<Vec<String>> = env::args_os().map(|arg| arg.into_string().ok()).collect();
    let file = whole(file);
    Ok(Request {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        args: args.ok_or_else(not_text)?,
        config: file.to_str().ok_or_else(not_text)?.to_owned(),
        lines: screen.height,
        columns: screen.width,
        colour: screen.colour,
        asks: console.asks(),
    })
}

/// Sends the request, and waits until it is taken.
async fn begin(path: &Path, stream: UnixStream, request: &Request) -> Result<Begun, String> {
    let lost = |error: &io::Error| format!("{}: {}", path.display(), system_words(error));
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let line = line_of(request).map_err(|error| lost(&error))?;
    // One that declines need not have read it.
    let sent = writer.write_all(line.as_bytes()).await;
    let answer = next_line(&mut reader, LONGEST_EVENT).await.map_err(|error| lost(&error))?;
    match answer.as_deref().map(serde_json::from_str) {
        Some(Ok(Event::Accepted { .. })) => Ok(Begun::Taken(reader, writer)),
        Some(Ok(Event::Declined { why })) => {
            Ok(Begun::Declined(format!("the daemon rejected the command: {why}")))
        }
        Some(_) => Err(format!("{} does not answer as a Scimitar daemon does", path.display())),
        None => Err(sent.err().map_or_else(
            || format!("the daemon at {} disconnected", path.display()),
            |error| lost(&error),
        )),
    }
}

/// Why there is nobody at the other end.
fn unreached(path: &Path, error: &io::Error) -> NotServed {
    let path = path.display();
    if error.kind() == ErrorKind::NotFound {
        let why = format!("there is no control socket at {path} (is the daemon running?)");
        Absence::NoAnswer.because(why)
    } else if error.kind() == ErrorKind::ConnectionRefused {
        let why = format!("no daemon serves the control socket {path} (is it running?)");
        Absence::NoAnswer.because(why)
    } else if error.kind() == ErrorKind::PermissionDenied {
        let why =
            format!("you have no access to the control socket {path}: use sudo, or join its group");
        Absence::Elsewhere.because(why)
    } else {
        Absence::Elsewhere.because(format!("{path}: {}", system_words(error)))
    }
}

/// A command that the daemon has taken.
struct Call<'a> {
    output: Output,
    stop: &'a Stop,
    console: &'a Console,
    progress: Arc<dyn Progress>,
    overall: Option<Overall>,
    /// What goes on now, by connection.
    doing: BTreeMap<String, String>,
    /// The one document, until it is whole.
    document: String,
}

impl<'a> Call<'a> {
    fn new(output: Output, stop: &'a Stop, console: &'a Console) -> Self {
        Self {
            output,
            stop,
            console,
            progress: console.progress(),
            overall: None,
            doing: BTreeMap::new(),
            document: String::new(),
        }
    }

    async fn follow(mut self, reader: BufReader<OwnedReadHalf>, writer: OwnedWriteHalf) -> Asked {
        let (events, mut heard) = tokio::sync::mpsc::channel(64);
        // A line is not cut off when something else happens: it is read by a task of its own.
        let reading = tokio::spawn(read(reader, events));
        let status = self.listen(&mut heard, writer).await;
        reading.abort();
        match status {
            Ok(status) => self.finish(status),
            Err(why) => Asked::Lost(self.lost(&why)),
        }
    }

    async fn listen(
        &mut self,
        heard: &mut tokio::sync::mpsc::Receiver<io::Result<Event>>,
        mut writer: OwnedWriteHalf,
    ) -> Result<u8, String> {
        let stopped = self.stop.token.clone();
        let mut told = false;
        loop {
            let next = tokio::select! {
                biased;
                () = stopped.cancelled(), if !told => {
                    told = true;
                    let signal = self.stop.interrupt().unwrap_or(Interrupt::Term);
                    // One that cannot be told sees that we are gone.
                    let _ = send(&mut writer, &Word::Stop(signal.into())).await;
                    continue;
                }
                next = timeout(SILENT_FOR, heard.recv()) => next,
            };
            let event = match next {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return Err(system_words(&error)),
                Ok(None) => return Err("it ended or disconnected".to_owned()),
                Err(_) => return Err(format!("no message from it for {}s", SILENT_FOR.as_secs())),
            };
            match event {
                Event::Exit(status) => return Ok(status),
                Event::Ask(question) => {
                    let asked = self.console.ask(&question);
                    let answer = stopped.run_until_cancelled(asked).await.flatten();
                    let sent = send(&mut writer, &Word::Answer(answer)).await;
                    sent.map_err(|error| system_words(&error))?;
                }
                shown @ (Event::Accepted { .. }
                | Event::Declined { .. }
                | Event::Out(_)
                | Event::Err(_)
                | Event::Step { .. }
                | Event::Done { .. }
                | Event::Overall { .. }
                | Event::OverallEnd
                | Event::Alive) => self.show(shown),
            }
        }
    }

    fn show(&mut self, event: Event) {
        match event {
            Event::Out(text) if self.output == Output::Json => self.document.push_str(&text),
            // A reader that went away (`| head`) has seen all it wanted.
            Event::Out(text) => drop(self.console.show(&text)),
            Event::Err(text) => self.console.print(&text),
            Event::Step { connection, words } => {
                if let Ok(name) = ConnectionName::try_new(&connection) {
                    self.progress.step(&name, &words);
                }
                self.doing.insert(connection, words);
            }
            Event::Done { connection, words } => {
                if let Ok(name) = ConnectionName::try_new(&connection) {
                    self.progress.done(&name, &words);
                }
                self.doing.remove(&connection);
            }
            Event::Overall { words, milestone } => {
                let console = self.console;
                self.overall.get_or_insert_with(|| console.overall()).show(&words, milestone);
            }
            Event::OverallEnd => {
                if let Some(overall) = self.overall.take() {
                    overall.end();
                }
            }
            Event::Accepted { .. }
            | Event::Declined { .. }
            | Event::Ask(_)
            | Event::Alive
            | Event::Exit(_) => {}
        }
    }

    fn finish(self, status: u8) -> Asked {
        match print(&self.document) {
            Ok(()) => Asked::Done(status),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Asked::Done(status),
            Err(error) => {
                let words = format!("error: could not print the results: {error}\n");
                self.console.print(&words);
                Asked::Done(status.max(1))
            }
        }
    }

    /// The daemon is lost: what is known is said.
    fn lost(&self, why: &str) -> Failure {
        let known = if self.doing.is_empty() {
            "it had not reported any step".to_owned()
        } else {
            let doing =
                self.doing.iter().map(|(connection, words)| format!("{connection}: {words}"));
            format!("last reported: {}", doing.collect::<Vec<_>>().join("; "))
        };
        Failure::new(
            FailureClass::System,
            format!(
                "lost contact with the daemon before the command was finished ({why}); {known}. The ledger has \
                 what was started, and the daemon continues from there when it starts: see `scimitar status`"
            ),
        )
    }
}

async fn read(
    mut reader: BufReader<OwnedReadHalf>,
    events: tokio::sync::mpsc::Sender<io::Result<Event>>,
) {
    loop {
        let event = match next_line(&mut reader, LONGEST_EVENT).await {
            Ok(Some(line)) => serde_json::from_str(&line).map_err(io::Error::from),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let last = event.is_err();
        if events.send(event).await.is_err() || last {
            return;
        }
    }
}

async fn send(writer: &mut OwnedWriteHalf, word: &Word) -> io::Result<()> {
    let line = line_of(word)?;
    timeout(TAKES_WITHIN, writer.write_all(line.as_bytes()))
        .await
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(visible(text).as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_daemon_leaves_what_is_known() {
        let (stop, console) = (Stop::default(), Console::stderr());
        let mut call = Call::new(Output::Json, &stop, &console);
        let quiet = call.lost("it ended or disconnected").message;
        assert!(quiet.contains("it had not reported any step"), "{quiet}");
        let (connection, words) = ("initech-okta".to_owned(), "minting a replacement".to_owned());
        call.doing.insert(connection.clone(), words);
        let told = call.lost("it ended or disconnected");
        assert!(told.message.contains("last reported: initech-okta: minting a replacement. The"));
        assert_eq!(told.class.exit_status(), 1);
        call.show(Event::Done { connection, words: "rotated".to_owned() });
        assert!(call.doing.is_empty());
        call.show(Event::Out("{\"schema\":1".to_owned()));
        call.show(Event::Out("}\n".to_owned()));
        assert_eq!(call.document, "{\"schema\":1}\n", "it is kept until it is whole");
    }

    #[test]
    fn why_nobody_answers_is_said_with_the_way_out() {
        let path = Path::new("/run/scimitar/control.sock");
        for (kind, words, absence) in [
            (ErrorKind::NotFound, "there is no control socket at /run", Absence::NoAnswer),
            (ErrorKind::ConnectionRefused, "no daemon serves", Absence::NoAnswer),
            (ErrorKind::PermissionDenied, "use sudo, or join its group", Absence::Elsewhere),
        ] {
            let said = unreached(path, &kind.into());
            assert!(said.why.contains(words), "{said:?}");
            assert_eq!(said.absence, absence, "{said:?}");
        }
    }
}
