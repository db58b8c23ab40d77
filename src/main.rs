//! The `scimitar` process: arguments in, exit status out.

use std::{alloc::System, ffi::OsString, io::Write, process::ExitCode, sync::Arc};

use scimitar::{
    cli::{self, Command},
    clock::{AgreedClock, SystemClock},
    commands::{
        self, init,
        process::{self, Stop},
        progress::Console,
    },
};
use tokio::runtime::{Builder, Runtime};
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed: the copies of secrets that the HTTP and TLS layers make are not ours to
/// wipe one by one.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// How long threads that wait for the disk may hold up the end.
const FAREWELL: std::time::Duration = std::time::Duration::from_millis(500);

fn main() -> ExitCode {
    match start() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            // Standard error may be closed; the exit status says the same.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a call does waits for others nearly all of the time: handing it from thread to thread costs more
/// than it does. What answers others beside that has threads of its own, and no more of them on a large
/// machine than it can use.
fn runtime(command: &Command) -> std::io::Result<Runtime> {
    const MOST: usize = 4;
    let mut builder = if matches!(command, Command::Run | Command::Sandbox(_)) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(processors.min(MOST));
        builder
    } else {
        Builder::new_current_thread()
    };
    builder.enable_all().build()
}

fn start() -> anyhow::Result<u8> {
    use anyhow::Context;
    process::harden().context("could not switch core dumps off")?;
    // An error says that one is there already: nothing is lost.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args: Vec<OsString> = std::env::args_os().collect();
    let invocation = match cli::parse(args.iter().cloned()) {
        Ok(invocation) => invocation,
        Err(error) => return Ok(commands::refuse(&error, &args, &SystemClock)),
    };
    let runtime = runtime(&invocation.command).context("could not start the runtime")?;
    let status = runtime.block_on(async {
        let (stop, console) = (Stop::default(), Console::stderr());
        let clock = Arc::new(AgreedClock::new(Arc::new(SystemClock)));
        process::survive_file_limits().context("could not catch SIGXFSZ")?;
        // To end a watch is no news.
        let silent =
            invocation.quiet || matches!(invocation.command, Command::Status { watch: true, .. });
        let heard = if silent { console.quiet() } else { console.clone() };
        let voice = commands::voice(&invocation.command, &heard);
        stop.listen(voice, clock.clone(), commands::ended_by_a_signal(&invocation.command))
            .context("could not listen to signals")?;
        init::reap(clock.clone()).context("could not listen to SIGCHLD")?;
        Ok(commands::dispatch(&invocation, &stop, &console, &clock).await)
    });
    // Whoever reads from a mount that hangs never comes back.
    runtime.shutdown_timeout(FAREWELL);
    status
}
