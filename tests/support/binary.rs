//! The real binary: started as a user starts it, watched, signalled, killed.

use std::{
    io::Read,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;

use crate::{bao::pause, built};

/// No call here takes longer, on the slowest machine; reaching it is a failure.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A command line of `scimitar` in a folder, with an environment that is its own.
#[derive(Debug)]
pub struct Call {
    command: Command,
}

/// A process that is running.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pub out: Stream,
    pub err: Stream,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` when a signal ended it.
    pub status: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Call {
    pub fn new(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(built::program());
        command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
        Self { command }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// The same, begun as another program, which becomes it (`env --ignore-signal=…`).
    pub fn through(self, words: &[&str]) -> Self {
        let call = self.command;
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(call.get_program()).args(call.get_args());
        command.current_dir(call.get_current_dir().unwrap()).env_clear().stdin(Stdio::null());
        command.envs(call.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self { command }
    }

    pub fn start(mut self) -> Running {
        let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = Stream::of(child.stdout.take().unwrap());
        let err = Stream::of(child.stderr.take().unwrap());
        Running { child, out, err }
    }

    pub fn run(self) -> Ended {
        self.start().ended()
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name (`INT`, `TERM`).
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(sent.success(), "signal {name} could not be sent");
    }

    /// Waits for what it does; one that ends before that fails the test with all that it said.
    pub async fn until(mut self, reached: impl Future<Output = ()>) -> Self {
        let over = async {
            while self.child.try_wait().unwrap().is_none() {
                pause(50).await;
            }
        };
        tokio::select! {
            biased;
            () = reached => return self,
            () = over => {}
        }
        panic!("it ended too early: {:?}", self.ended());
    }

    /// Ends it as a power cut would.
    pub fn kill_9(mut self) -> Ended {
        self.child.kill().unwrap();
        self.ended()
    }

    /// Waits for its end, but not for ever.
    pub fn ended(mut self) -> Ended {
        let closed = self.out.closed_within(LIMIT) && self.err.closed_within(LIMIT);
        if !closed {
            self.child.kill().unwrap();
        }
        let status = self.child.wait().unwrap();
        let (stdout, stderr) = (self.out.join(), self.err.join());
        assert!(closed, "it did not end; stdout:\n{stdout}\nstderr:\n{stderr}");
        Ended { status: status.code(), signal: status.signal(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; one that did not has waited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The one JSON document on standard output: nothing stands before or behind it.
    pub fn json(&self) -> Value {
        let mut documents = serde_json::Deserializer::from_str(&self.stdout).into_iter::<Value>();
        let document = documents.next().expect("a document").expect("JSON");
        assert!(documents.next().is_none(), "more than one document: {}", self.stdout);
        assert!(self.stdout.ends_with('\n'), "{:?}", self.stdout);
        assert_eq!(document["exit_status"], self.status.unwrap_or(-1), "{}", self.stdout);
        document
    }

    /// The one row of the document.
    pub fn row(&self) -> Value {
        let document = self.json();
        let rows = document["results"].as_array().unwrap();
        assert_eq!(rows.len(), 1, "{document}");
        rows[0].clone()
    }

    /// Itself, after a check of its exit status that shows everything when it fails.
    pub fn exits(self, status: i32) -> Self {
        assert_eq!(
            self.status,
            Some(status),
            "signal {:?}\nstdout:\n{}\nstderr:\n{}",
            self.signal,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// What a pipe has carried so far.
#[derive(Debug)]
pub struct Stream {
    held: Arc<(Mutex<Held>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    closed: bool,
}

impl Stream {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let held: Arc<(Mutex<Held>, Condvar)> = Arc::default();
        let ours = Arc::clone(&held);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let read = pipe.read(&mut buffer).unwrap_or(0);
                let mut held = ours.0.lock().unwrap();
                held.bytes.extend_from_slice(&buffer[..read]);
                held.closed = read == 0;
                ours.1.notify_all();
                if held.closed {
                    return;
                }
            }
        });
        Self { held, reader: Some(reader) }
    }

    /// Returns once this much has come, or the pipe is closed.
    pub fn until_bytes(&self, count: usize) {
        self.until(LIMIT, |held| held.bytes.len() >= count || held.closed);
    }

    /// Returns once the text has come.
    pub fn until_text(&self, text: &str) {
        self.until(LIMIT, |held| held.closed || held.text().contains(text));
        let seen = self.held.0.lock().unwrap().text();
        assert!(seen.contains(text), "{text:?} did not come: {seen}");
    }

    /// What has come so far.
    pub fn text(&self) -> String {
        self.held.0.lock().unwrap().text()
    }

    /// Whether the pipe was closed within this time.
    pub fn closed_within(&self, time: Duration) -> bool {
        self.until(time, |held| held.closed);
        self.held.0.lock().unwrap().closed
    }

    fn until(&self, time: Duration, done: impl Fn(&Held) -> bool) {
        let held = self.held.0.lock().unwrap();
        drop(self.held.1.wait_timeout_while(held, time, |held| !done(held)).unwrap());
    }

    fn join(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.held.0.lock().unwrap().text()
    }
}

impl Held {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}
