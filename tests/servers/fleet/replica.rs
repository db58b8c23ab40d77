//! One of the replicas: a real process with a clock and two doors of its own.

use std::{fs, path::PathBuf, time::Duration};

use scimitar_test_support::{
    binary::{Call, Running},
    door::Door,
    pace::Page,
};
use tokio::task::block_in_place;

pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) database: Door,
    pub(crate) tenant: Door,
    pub(crate) page: Page,
    /// Where its status page and metrics are.
    pub(crate) web: String,
    running: Option<Running>,
    /// What its earlier processes said.
    printed: String,
    /// How often it ended although nobody wanted it to.
    pub(crate) ended: Vec<String>,
}

impl Replica {
    pub(crate) fn new(
        name: String,
        folder: PathBuf,
        doors: [Door; 2],
        page: Page,
        web: String,
    ) -> Self {
        let [database, tenant] = doors;
        let (running, printed, ended) = (None, String::new(), Vec::new());
        Self { name, folder, database, tenant, page, web, running, printed, ended }
    }

    /// A command of the program, by this replica's clock.
    pub(crate) fn call(&self, arguments: &[&str]) -> Call {
        let arguments = [&["--config", "scimitar.toml"], arguments].concat();
        let call = Call::new(&self.folder, &arguments)
            .env("HOME", self.folder.to_str().unwrap())
            .env("AWS_ACCESS_KEY_ID", "TEST")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        self.page.given_to(call)
    }

    pub(crate) fn start(&mut self) {
        assert!(self.running.is_none(), "{} runs", self.name);
        self.running = Some(self.call(&["run"]).start());
    }

    pub(crate) fn signal(&self, name: &str) {
        self.running.as_ref().unwrap().signal(name);
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let ended = block_in_place(|| self.running.take().unwrap().kill_9());
        self.printed += &ended.stderr;
    }

    /// Ends it as a rolling update does.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        let ended = block_in_place(|| self.running.take().unwrap().ended());
        // One that has not even begun ends as every program does.
        let unbegun = ended.signal == Some(15) && ended.stderr.is_empty();
        self.printed += &ended.stderr;
        assert!(ended.status == Some(0) || unbegun, "{}: {ended:?}", self.name);
    }

    /// Starts it again where it ended, as whatever runs it does.
    pub(crate) fn tend(&mut self) {
        let Some(running) = self.running.take() else { return };
        if running.err.closed_within(Duration::ZERO) {
            let ended = block_in_place(|| running.ended());
            self.ended.push(format!("{} {:?} {:?}", self.name, ended.status, ended.signal));
            self.printed += &ended.stderr;
            self.start();
        } else {
            self.running = Some(running);
        }
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        let now = self.running.as_ref().map(|it| it.err.text() + &it.out.text());
        self.printed.clone() + &now.unwrap_or_default()
    }

    pub(crate) fn audit_log(&self) -> String {
        fs::read_to_string(self.folder.join("audit.jsonl")).unwrap()
    }
}
