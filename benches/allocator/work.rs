//! The work that is done under both allocators: the rotations of a one-shot, by the program's own
//! parts in this process, against a tenant in a process of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use scimitar::{
    app,
    cli::OneShot,
    clock::{AgreedClock, Clock, SystemClock},
    commands::{one_shot, process::Stop},
    config::{self, Environment, ProcessEnvironment},
    engine::{
        progress::{Progress, Silent},
        report::Outcome,
        worker::RotationRequest,
    },
    sandbox::{Options, Sandbox},
};

use super::{
    figure::{self, Book},
    resident, scene,
};

/// The argument that makes this program the tenant.
const TENANT: &str = "--tenant";

const CONNECTIONS: usize = 100;

/// How often every connection is rotated after its first time.
const ROUNDS: usize = 10;

/// Rotates, and prints what that cost under the allocator of that name.
pub(crate) fn run(allocator: &str) -> anyhow::Result<()> {
    // An error says that one is there already: nothing is lost.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if std::env::args().nth(1).is_some_and(|first| first == TENANT) {
        return runtime.block_on(serve());
    }
    let mut book = Book::default();
    runtime.block_on(rotations(allocator, &mut book))?;
    book.print()
}

async fn rotations(allocator: &str, book: &mut Book) -> anyhow::Result<()> {
    let folder = scene::scratch()?;
    let (tenant, url) = Tenant::start()?;
    scene::configure(folder.path(), CONNECTIONS, &url, scene::WHOLE)?;
    let env: Arc<dyn Environment> = Arc::new(ProcessEnvironment);
    let config = config::load(&scene::config(folder.path()), env.as_ref())
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let clock = Arc::new(AgreedClock::new(Arc::new(SystemClock)));
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let app = app::build(&config, &env, &clock, progress.clone(), app::Use::Write).await?;
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let since = clock.now();
        let shot = OneShot { wait: false, timeout: Some(Duration::from_secs(120)), dry_run: false };
        let patience = one_shot::patience(shot, since, &Stop::default());
        let (before, began) = (used()?, figure::now());
        let rows = one_shot::attend(
            &app.engine,
            app.connections.clone(),
            app.limit,
            &RotationRequest::Rotate { since },
            &patience,
            &progress,
        )
        .await;
        let (after, took) = (used()?, began.elapsed());
        anyhow::ensure!(
            rows.len() == CONNECTIONS && rows.iter().all(|row| row.outcome == Outcome::Rotated),
            "not everything was rotated"
        );
        // The first round also sets everything up.
        if round > 0 {
            cpu.push((after - before) / CONNECTIONS as f64);
            wall.push(CONNECTIONS as f64 / took.as_secs_f64());
        }
    }
    app.close(Duration::from_secs(10)).await;
    drop(tenant);
    let (_, peak) = resident::resident(std::process::id())?;
    book.note("allocator", &format!("{allocator}: CPU a rotation"), "ms", cpu)?;
    book.note("allocator", &format!("{allocator}: rate"), "rotations/s", wall)?;
    book.note("allocator", &format!("{allocator}: peak memory"), "MiB", vec![peak])
}

/// User and system time of this process so far, in ms.
fn used() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let milliseconds =
        |time: TimeVal| time.tv_sec() as f64 * 1000.0 + time.tv_usec() as f64 / 1000.0;
    Ok(milliseconds(usage.user_time()) + milliseconds(usage.system_time()))
}

/// A tenant in a process of its own, killed when it is not used any more.
struct Tenant(Child);

impl Tenant {
    fn start() -> anyhow::Result<(Self, String)> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(TENANT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("the tenant's output")?;
        let tenant = Self(child);
        let url = BufReader::new(out).lines().next().context("the tenant did not start")??;
        Ok((tenant, url))
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The tenant's side: it prints its URL and serves until its input ends.
async fn serve() -> anyhow::Result<()> {
    let tenant = Sandbox::start(Options { connections: CONNECTIONS, ..Options::default() }).await?;
    writeln!(std::io::stdout(), "{}", tenant.url())?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    tenant.stop().await;
    Ok(())
}
