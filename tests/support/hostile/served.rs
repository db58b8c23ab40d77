//! What is asked of our own servers: bytes as they come in, with a line `%%` where the client waits for an
//! answer before it goes on.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use scimitar::{
    clock::{SystemClock, parse_timestamp},
    control::wire::{Event, LONGEST_EVENT, LONGEST_REQUEST, Request, Word, line_of, next_line},
    engine::{live::Live, progress::Silent, worker::Engine},
    ledger::{Claimed, Entry, Ledger, format},
    sandbox::{Options, Running, Sandbox},
    telemetry::{audit, metrics::Metrics},
    token::LedgerId,
    web::{Limits, Site, serve},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    files::parts,
    wire::{HANGS, Quick, block_on},
};
use crate::memory_ledger::MemoryLedger;

/// What nobody gets an answer later than, beside those who never ask.
const SOON: Duration = Duration::from_millis(50);

/// Sends each part and takes in what is answered within a moment.
async fn talk(address: SocketAddr, parts: &[&[u8]]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = vec![0; 64 * 1024];
    for (index, part) in parts.iter().enumerate() {
        if stream.write_all(part).await.is_err() {
            return;
        }
        if index + 1 == parts.len() {
            drop(stream.shutdown().await);
        }
        if let Ok(Ok(0) | Err(_)) = timeout(SOON, stream.read(&mut answer)).await {
            return;
        }
    }
    // A server that was told that nothing more comes ends it.
    let rest = async { while stream.read(&mut answer).await.is_ok_and(|count| count > 0) {} };
    timeout(HANGS, rest).await.expect("the server holds a connection whose client is done");
}

/// What is said over the control socket, by a caller to the daemon and by a daemon to its caller. What is
/// understood is understood in the same way when it is sent on.
pub(super) fn control(data: &[u8]) {
    block_on(async {
        let mut caller = data;
        while let Ok(Some(line)) = next_line(&mut caller, LONGEST_REQUEST).await {
            if let Ok(request) = Request::parse(&line) {
                assert_eq!(Request::parse(line_of(&request).unwrap().trim_end()), Ok(request));
            }
            if let Ok(word) = serde_json::from_str::<Word>(&line) {
                assert_eq!(serde_json::from_str::<Word>(&line_of(&word).unwrap()).unwrap(), word);
            }
        }
        let mut daemon = data;
        while let Ok(Some(line)) = next_line(&mut daemon, LONGEST_EVENT).await {
            if let Ok(event) = serde_json::from_str::<Event>(&line) {
                assert_eq!(
                    serde_json::from_str::<Event>(&line_of(&event).unwrap()).unwrap(),
                    event
                );
            }
        }
    });
}

/// A sandbox of its own: what one input leaves there, no other one sees.
pub(super) fn sandbox(data: &[u8]) {
    let parts = parts(data);
    block_on(async {
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            clock: Quick::clock(),
            ..Options::default()
        };
        let running: Running = Sandbox::start(options).await.unwrap();
        let port = running.url().port().unwrap();
        talk(([127, 0, 0, 1], port).into(), &parts).await;
        running.stop().await;
    });
}

/// The pages over a ledger with the record that the first part is, where it is one.
pub(super) fn web(data: &[u8]) {
    let parts = parts(data);
    let record = parts.first().and_then(|part| std::str::from_utf8(part).ok());
    let record = record.and_then(|text| format::decode(text).ok());
    let asked = if record.is_some() { parts.get(1..).unwrap_or_default() } else { &parts };
    block_on(async {
        let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let id = LedgerId::try_new("ledger1").unwrap();
        let ledger = MemoryLedger::shared(&id, Arc::new(|| Duration::ZERO), 1).pop().unwrap();
        let ledger: Arc<dyn Ledger> = Arc::new(ledger);
        if let Some(record) = record {
            let claim = match ledger.claim(&record.key, Duration::from_secs(60)).await.unwrap() {
                Claimed::Yes(claim, _) => claim,
                Claimed::Held(left) => panic!("held for another {left:?}"),
            };
            let entry = Entry { at: now, event: "settled".to_owned(), words: String::new() };
            ledger.store(&claim, 0, &record, &entry).await.unwrap();
            ledger.release(&claim).await.unwrap();
        }
        let live = Arc::new(Live::starting(Vec::new(), now));
        let engine = Engine {
            person: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(scimitar::clock::SystemEntropy),
            ledger,
            metrics: Metrics::try_new().unwrap(),
            audit: Arc::new(audit::Off),
            progress: Arc::new(Silent),
            pool: Default::default(),
            services: Default::default(),
            request_timeout: Duration::from_secs(1),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let site = Site::new(engine, live, Limits::default());
        let serving = tokio::spawn(serve(listener, site, stop.clone()));
        talk(address, asked).await;
        stop.cancel();
        serving.await.unwrap().unwrap();
    });
}
