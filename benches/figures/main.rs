//! Figures about speed and memory. None of them is a test: nothing here fails for being slow.
//!
//! `cargo bench --bench figures -- [decide] [ledger] [rotation] [mass] [startup] [sidecar] [memory]
//! [scrape] [page] [replicas] [--large] [--peer]` prints one JSON line a figure on standard output and
//! a table on standard error. Without names, all run, each within about two minutes on two cores;
//! `--large` adds what takes minutes, `--peer` a script on the vendor's client library for comparison.

mod decide;
mod figure;
mod ledger;
mod mass;
mod memory;
mod meter;
mod page;
mod rate;
mod replicas;
mod resident;
mod rotation;
mod sample;
mod scene;
mod scrape;
mod sidecar;
mod startup;
mod tenant;

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// As in the `scimitar` program: what the pure functions cost there.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// What was asked for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    benches: Vec<String>,
    large: bool,
    peer: bool,
}

const BENCHES: [&str; 10] = [
    "decide", "ledger", "rotation", "mass", "startup", "sidecar", "memory", "scrape", "page",
    "replicas",
];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|first| first == meter::METER).is_some() {
        return meter::run(arguments);
    }
    let mut wanted = Wanted::default();
    for argument in arguments {
        match argument.to_str() {
            // What cargo itself adds.
            Some("--bench") => {}
            Some("--large") => wanted.large = true,
            Some("--peer") => wanted.peer = true,
            Some(name) if BENCHES.contains(&name) => wanted.benches.push(name.to_owned()),
            Some(_) | None => anyhow::bail!(
                "{} is no bench: name some of {}, --large, --peer",
                argument.display(),
                BENCHES.join(", ")
            ),
        }
    }
    let asked = |name: &str| {
        wanted.benches.is_empty() || wanted.benches.iter().any(|wanted| wanted == name)
    };
    // An error says that one is there already: nothing is lost.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut book = figure::Book::default();
    if asked("decide") {
        decide::run(&mut book)?;
    }
    if asked("ledger") {
        ledger::run(&runtime, &mut book, wanted.large)?;
    }
    if asked("rotation") {
        rotation::run(&runtime, &mut book, &wanted)?;
    }
    if asked("mass") {
        mass::run(&runtime, &mut book)?;
    }
    if asked("startup") {
        startup::run(&mut book)?;
    }
    if asked("sidecar") {
        sidecar::run(&runtime, &mut book)?;
    }
    if asked("memory") {
        memory::run(&runtime, &mut book, wanted.large)?;
    }
    if asked("scrape") {
        scrape::run(&runtime, &mut book, wanted.large)?;
    }
    if asked("page") {
        page::run(&runtime, &mut book)?;
    }
    if asked("replicas") {
        replicas::run(&runtime, &mut book)?;
    }
    book.print()
}
