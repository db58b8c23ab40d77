//! What the status page costs a daemon with very many connections: how long somebody waits for it, and how
//! much it is.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use anyhow::Context;
use tokio::runtime::Runtime;

use super::{
    figure::{Book, now},
    meter::{milliseconds, pause},
    scene::WHOLE,
    tenant::Scene,
};

/// Connections of the daemon.
const SIZE: usize = 5_000;

/// What somebody waits for a page at most, in ms.
const GOAL: f64 = 300.0;

/// How often each is asked for.
const ROUNDS: usize = 9;

/// Longer than counts of a ledger are used again: 9 times as long as they took.
const FORGOTTEN: Duration = Duration::from_secs(6);

/// No single connection takes longer to be rotated.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn run(runtime: &Runtime, book: &mut Book) -> anyhow::Result<()> {
    let scene = runtime.block_on(Scene::set(SIZE, WHOLE))?;
    let text = fs::read_to_string(scene.config())?;
    fs::write(scene.config(), format!("{text}[server]\nlisten = \"127.0.0.1:0\"\n"))?;
    let watched = Watched::start(&scene)?;
    let mut first = Vec::new();
    for _ in 0..ROUNDS {
        pause(FORGOTTEN);
        first.push(watched.ask("/")?.0);
    }
    let name = format!("{SIZE} connections");
    book.note("page", &format!("{name}: / after a while"), "ms", (first, GOAL))?;
    for (path, what) in [
        ("/", "/ once more"),
        ("/?page=50&sort=name", "the last hundred"),
        ("/?state=healthy&sort=age&days=90", "filtered and sorted"),
        ("/?q=customer+99&sort=expiry", "searched"),
        ("/c/customer-002500", "one connection"),
        ("/api/v1/connections", "all rows as JSON"),
        ("/api/v1/connections?q=99&sort=next", "rows searched and sorted"),
    ] {
        let answers = (0..ROUNDS).map(|_| watched.ask(path)).collect::<anyhow::Result<Vec<_>>>()?;
        let size = answers.last().map_or(0.0, |(_, size)| *size);
        let times: Vec<f64> = answers.into_iter().map(|(time, _)| time).collect();
        book.note("page", &format!("{name}: {what}"), "ms", (times, GOAL))?;
        book.note("page", &format!("{name}: {what}, size"), "KiB", vec![size])?;
    }
    drop(watched);
    runtime.block_on(scene.strike());
    Ok(())
}

/// A daemon that has attended to every connection. It is killed when it is not watched any more.
struct Watched {
    child: Child,
    address: SocketAddr,
}

impl Watched {
    fn start(scene: &Scene) -> anyhow::Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_scimitar"))
            .arg("--config")
            .arg(scene.config())
            .arg("run")
            .env("SCIMITAR_LOG", "scimitar::engine::telling=debug,scimitar::commands::serve=info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = child.stderr.take().context("the daemon's log")?;
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(log).lines().map_while(Result::ok);
            for line in lines {
                // Once nobody listens any more, its log is read on, so that it is not held up.
                let _ = tell.send(line);
            }
        });
        // From here on it is killed if anything fails.
        let mut watched = Self { child, address: SocketAddr::from(([0; 4], 0)) };
        watched.address = attended(&told)?;
        Ok(watched)
    }

    /// How long the whole answer takes in ms, and its size in KiB.
    fn ask(&self, path: &str) -> anyhow::Result<(f64, f64)> {
        let began = now();
        let mut stream = TcpStream::connect(self.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let took = milliseconds(began.elapsed());
        anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{path} is not answered with 200");
        Ok((took, answer.len() as f64 / 1024.0))
    }
}

/// Waits until every connection was attended to; where the page is.
fn attended(told: &Receiver<String>) -> anyhow::Result<SocketAddr> {
    let (mut address, mut done) = (None, 0);
    while done < SIZE {
        let line = told.recv_timeout(LIMIT).context("the daemon ended, or does nothing")?;
        done += usize::from(line.contains("\"outcome\":"));
        if let Some((_, rest)) = line.split_once("the status page is open at http://") {
            let text = rest.split('/').next().unwrap_or_default();
            address =
                Some(text.parse::<SocketAddr>().with_context(|| format!("an address: {line}"))?);
        }
    }
    address.context("the daemon does not say where its page is")
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
