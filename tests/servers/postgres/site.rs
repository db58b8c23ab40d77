//! Ledgers on the tests' server.

use std::{path::Path, sync::Arc, time::Duration};

use scimitar::{
    clock::SystemEntropy,
    ledger::{
        LedgerError,
        postgres::{Address, PostgresLedger, Settings},
    },
};
use scimitar_test_support::{
    ledger_conformance::{Lab, Process},
    postgres::{self, Postgres},
};

/// What an open ledger says in whose place there is another one.
pub(crate) const REPLACED: &str = "the ledger was replaced by another one while it was open";

pub(crate) fn settings(url: &str) -> Settings {
    Settings { address: Address::try_new(url).unwrap(), password: None, ca_file: None }
}

/// The same with an authority to trust.
pub(crate) fn trusting(url: &str, ca_file: &Path) -> Settings {
    Settings { ca_file: Some(ca_file.to_owned()), ..settings(url) }
}

pub(crate) async fn try_open(settings: Settings) -> Result<PostgresLedger, LedgerError> {
    PostgresLedger::open(settings, Arc::new(SystemEntropy)).await
}

pub(crate) async fn open(url: &str) -> PostgresLedger {
    try_open(settings(url)).await.unwrap_or_else(|error| panic!("{url}: {error}"))
}

pub(crate) async fn look(url: &str) -> Result<Option<PostgresLedger>, LedgerError> {
    PostgresLedger::open_read_only(settings(url), Arc::new(SystemEntropy)).await
}

/// The statements of docs/postgresql.md that give a role what a run needs.
pub(crate) fn grants(role: &str) -> String {
    let text = include_str!("../../../docs/postgresql.md");
    let grants = text.split("<!-- grants -->\n```sql\n").nth(1).unwrap();
    grants.split("```").next().unwrap().replace("TO scimitar", &format!("TO {role}"))
}

/// A ledger of its own on the server that all share: where it is, and its database.
pub(crate) async fn fresh() -> (&'static Postgres, String, String) {
    let server = postgres::shared().await;
    let database = server.database().await;
    (server, server.url(&database), database)
}

/// A ledger whose leases go by a clock that the test moves, reached by way of `url`.
pub(crate) async fn lab_at(server: &'static Postgres, database: String, url: String) -> Lab {
    drop(open(&url).await);
    let clock = "CREATE TABLE public.clock AS SELECT clock_timestamp() AS at;
        CREATE OR REPLACE FUNCTION scimitar.lease_clock() RETURNS timestamptz
            LANGUAGE sql VOLATILE AS 'SELECT at FROM public.clock'";
    server.run(&database, clock).await;
    Lab {
        start: Box::new(move || {
            let ledger = now(open(&url));
            Process { ledger: Arc::new(ledger), kill: Box::new(|| {}) }
        }),
        pass: Box::new(move |time: Duration| {
            let milliseconds = time.as_millis();
            now(server.run(
                &database,
                &format!(
                    "UPDATE public.clock SET at = at + {milliseconds} * interval '1 millisecond'"
                ),
            ));
        }),
    }
}

pub(crate) async fn lab() -> Lab {
    let (server, url, database) = fresh().await;
    lab_at(server, database, url).await
}

/// Waits for something where a test cannot.
fn now<T>(what: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(what))
}

#[track_caller]
pub(crate) fn assert_unavailable<T>(answer: Result<T, LedgerError>, words: &str) {
    match answer {
        Err(error @ LedgerError::Unavailable { .. }) => {
            assert!(error.to_string().contains(words), "{error}");
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was done"),
    }
}

#[track_caller]
pub(crate) fn assert_unusable<T>(answer: Result<T, LedgerError>, words: &str) {
    match answer {
        Err(error @ LedgerError::Unusable { .. }) => {
            assert!(error.to_string().contains(words), "{error}");
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was accepted"),
    }
}

/// Waits for the server outside of any other runtime. It lives as long as the tests do.
pub(crate) fn now_in<T>(what: impl Future<Output = T>) -> T {
    static RUNTIME: std::sync::LazyLock<tokio::runtime::Runtime> = std::sync::LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    });
    RUNTIME.block_on(what)
}
