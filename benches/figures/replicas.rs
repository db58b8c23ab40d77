//! How much sooner three replicas on one PostgreSQL have looked at all connections than one has. The tenant
//! has no limit and answers after [`FAR`], as one on the Internet does: what is measured is how the work is
//! shared, not how many processors this machine has.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use scimitar_test_support::postgres::Postgres;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::mpsc,
    time::Instant,
};

use super::{
    figure::{Book, now},
    meter::pause,
    tenant::Scene,
};

/// How long an answer of the tenant takes on its way.
const FAR: Duration = Duration::from_millis(100);

/// How many connections.
const SIZE: usize = 2_000;

/// How long they are waited for.
const WATCH: Duration = Duration::from_secs(120);

/// How often the ledger is asked how many are done.
const ASK: Duration = Duration::from_millis(100);

pub(crate) fn run(runtime: &Runtime, book: &mut Book) -> anyhow::Result<()> {
    let server = runtime.block_on(Postgres::start(&[]));
    let one = survey(runtime, &server, 1)?;
    let three = survey(runtime, &server, 3)?;
    book.note("replicas", &format!("{SIZE} connections, first survey by one"), "s", vec![one])?;
    book.note("replicas", &format!("{SIZE} connections, first survey by three"), "s", vec![three])?;
    book.note("replicas", "three replicas by one: time", "times", (vec![three / one], 0.5))
}

/// How long so many replicas take until each connection was looked at, in s.
fn survey(runtime: &Runtime, server: &Postgres, replicas: usize) -> anyhow::Result<f64> {
    let scene = runtime.block_on(Scene::set(SIZE, "mode = \"observe\""))?;
    let address = scene.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let far = runtime.block_on(relay(address.parse()?))?;
    let database = runtime.block_on(server.database());
    let text = fs::read_to_string(scene.config())?;
    let text = text.replace("sqlite://ledger.db", &server.url(&database));
    fs::write(scene.config(), text.replace(&address, &far.to_string()))?;
    let began = now();
    let daemons: Vec<Daemon> =
        (0..replicas).map(|_| Daemon::start(&scene)).collect::<anyhow::Result<_>>()?;
    let looked = "SELECT count(*) FROM scimitar.records WHERE document LIKE '%\"survey\":{%'";
    let all = i64::try_from(SIZE)?;
    let there = "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = 'scimitar'
                 AND tablename = 'records'";
    while runtime.block_on(server.number(&database, there)) == 0
        || runtime.block_on(server.number(&database, looked)) < all
    {
        anyhow::ensure!(began.elapsed() < WATCH, "not every connection was looked at");
        pause(ASK);
    }
    let took = began.elapsed().as_secs_f64();
    drop(daemons);
    runtime.block_on(scene.strike());
    Ok(took)
}

/// Passes everything on to that address, and what comes back [`FAR`] later; where it listens.
async fn relay(to: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let here = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, to));
        }
    });
    Ok(here)
}

async fn pass(client: TcpStream, to: SocketAddr) -> anyhow::Result<()> {
    let server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (send, mut sent) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let there = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await.context("the tenant's side")
    };
    let back = async move {
        let mut part = vec![0; 16_384];
        loop {
            let read = from_server.read(&mut part).await?;
            let Some(bytes) = part.get(..read).filter(|bytes| !bytes.is_empty()) else {
                return anyhow::Ok(());
            };
            send.send((Instant::now() + FAR, bytes.to_vec()))?;
        }
    };
    let late = async {
        while let Some((at, bytes)) = sent.recv().await {
            tokio::time::sleep_until(at).await;
            to_client.write_all(&bytes).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(there, back, late)?;
    Ok(())
}

/// A replica that is killed when it is not watched any more.
struct Daemon(Child);

impl Daemon {
    fn start(scene: &Scene) -> anyhow::Result<Self> {
        let child = Command::new(env!("CARGO_BIN_EXE_scimitar"))
            .arg("--config")
            .arg(scene.config())
            .arg("run")
            .env("SCIMITAR_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
