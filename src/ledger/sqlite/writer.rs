//! The thread that owns the open database, and what is asked of it.
//!
//! It takes everything that waits, runs each call in a savepoint of one transaction, commits once,
//! and answers them all: calls that come side by side share the transaction and its write to the disk.
//! A call that fails goes back to its savepoint and takes nothing from the others.
//!
//! A batch in which nobody asks for durability is committed without waiting for the disk
//! (`synchronous = NORMAL`). It outlives the process, whose death takes nothing from the kernel, and
//! the next durable commit puts it on the disk as well, since both go to one log in their order. What a
//! power cut can take are thus the newest commits, back to the last durable one, and:
//!
//! - Claims, renewals and releases: leases of another boot are over anyway, and whoever held one died
//!   with the machine. A fence number may then be given out twice, but it counts only together with
//!   holder and boot, and no sink is ever told one.
//! - Outcomes: then the record says what a process leaves that dies before the answer comes.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::{
    failure::Failure,
    file_id::FileId,
    holders::{Holder, Holders},
    host::LeaseClock,
    schema,
};
use crate::{
    ledger::{Durability, LedgerError},
    token::ConnectionKey,
};

/// How many calls share a transaction, at most.
const MOST: usize = 256;

/// How long a write to the disk waits for others to join it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathers {
    /// It goes off when nobody has come for so long,
    pub(super) quiet: Duration,
    /// and in any case after this.
    pub(super) longest: Duration,
}

/// Much less than a rotation takes, and about what a write to the disk does.
pub(super) const GATHERS: Gathers =
    Gathers { quiet: Duration::from_millis(2), longest: Duration::from_millis(10) };

/// What nobody waits for is on the disk this long after the last call.
const SETTLES_AFTER: Duration = Duration::from_secs(1);

/// Who writes, and by which clock.
pub(super) struct Hold<'a> {
    pub(super) holder: &'a str,
    pub(super) holders: &'a Holders,
    pub(super) clock: &'a LeaseClock,
    /// What this process works on: see [`Writer`].
    pub(super) claimed: &'a RefCell<BTreeSet<ConnectionKey>>,
}

/// Calls that wait for an answer.
type Batch = Vec<Box<dyn Call>>;

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// To look.
    Read,
    /// To write.
    Write(Durability),
}

/// One call that waits for its answer.
pub(super) trait Call: Send {
    fn needs(&self) -> Needs;

    /// Does what is asked. `false`: what it wrote is taken back.
    fn run(&mut self, connection: &Connection, hold: &Hold<'_>) -> bool;

    /// Its transaction ended like this.
    fn answer(self: Box<Self>, ended: Result<(), LedgerError>);
}

/// A call, what came of it, and who waits for that.
pub(super) struct Asked<T, F> {
    url: String,
    needs: Needs,
    call: Option<F>,
    /// `None`: it was not its turn.
    came_of_it: Option<Result<T, LedgerError>>,
    waits: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, F> Asked<T, F>
where
    T: Send,
    F: FnOnce(&Connection, &Hold<'_>) -> Result<T, Failure> + Send,
{
    pub(super) fn new(
        url: &str,
        needs: Needs,
        call: F,
    ) -> (Self, oneshot::Receiver<Result<T, LedgerError>>) {
        let (waits, answer) = oneshot::channel();
        let call = Some(call);
        (Self { url: url.to_owned(), needs, call, came_of_it: None, waits }, answer)
    }
}

impl<T, F> Call for Asked<T, F>
where
    T: Send,
    F: FnOnce(&Connection, &Hold<'_>) -> Result<T, Failure> + Send,
{
    fn needs(&self) -> Needs {
        self.needs
    }

    fn run(&mut self, connection: &Connection, hold: &Hold<'_>) -> bool {
        let Some(call) = self.call.take() else { return false };
        // A defect in one call is no reason for the others to wait for ever.
        let done = catch_unwind(AssertUnwindSafe(|| call(connection, hold)));
        let came_of_it = match done {
            Ok(came_of_it) => came_of_it.map_err(|failure| failure.of(&self.url)),
            Err(_) => Err(unfinished(&self.url)),
        };
        let is_ok = came_of_it.is_ok();
        self.came_of_it = Some(came_of_it);
        is_ok
    }

    fn answer(self: Box<Self>, ended: Result<(), LedgerError>) {
        // Whoever asked may have gone away meanwhile.
        let _ = self.waits.send(match (ended, self.came_of_it) {
            // Why this one failed says more than that others did as well.
            (_, Some(Err(error))) | (Err(error), _) => Err(error),
            (Ok(()), Some(came_of_it)) => came_of_it,
            (Ok(()), None) => Err(unfinished(&self.url)),
        });
    }
}

/// The thread is gone, or a call ended by a defect.
pub(super) fn unfinished(url: &str) -> LedgerError {
    LedgerError::Unavailable {
        url: url.to_owned(),
        detail: "a bug in Scimitar ended the call, please report it".to_owned(),
    }
}

/// The open database. Fields are dropped in this order: claims go last.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) file: FileId,
    pub(super) clock: LeaseClock,
    pub(super) holders: Holders,
    pub(super) holder: Holder,
    pub(super) url: String,
    pub(super) path: PathBuf,
    /// Whether a commit waits for the disk now.
    pub(super) waits_for_disk: bool,
    /// Whether something was committed without.
    pub(super) loose: bool,
    /// What this process works on. Each has one call waiting at most, so that more of them than of calls
    /// mean that others may come; one that stays here for nothing costs a short wait.
    pub(super) claimed: RefCell<BTreeSet<ConnectionKey>>,
    pub(super) gathers: Gathers,
}

impl Writer {
    /// Answers calls until nobody can ask any more.
    pub(super) fn work(mut self, calls: &Receiver<Box<dyn Call>>) {
        loop {
            let first = if self.loose {
                match calls.recv_timeout(SETTLES_AFTER) {
                    Ok(call) => call,
                    Err(RecvTimeoutError::Timeout) => {
                        self.settle_by_itself();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            } else {
                let Ok(call) = calls.recv() else { break };
                call
            };
            let batch = std::iter::once(first).chain(calls.try_iter()).take(MOST).collect();
            let batch = self.gather(batch, calls);
            self.answer(batch);
        }
        if self.loose {
            self.settle_by_itself();
        }
    }

    /// Nobody waits for it, so it is only said where it fails, and tried again soon.
    fn settle_by_itself(&mut self) {
        if let Err(error) = self.settle() {
            let error = error.of(&self.url);
            tracing::debug!(error = %error, "the newest changes may not be on the disk yet: {error}");
        }
    }

    /// Puts what was committed without waiting for the disk on it.
    fn settle(&mut self) -> Result<(), Failure> {
        self.file.must_be(&self.path)?;
        self.wait_for_disk(true)?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        schema::rewrite(&transaction)?;
        transaction.commit()?;
        self.loose = false;
        Ok(())
    }

    /// Lets others join those that wait for the disk; what need not wait for it is answered meanwhile.
    fn gather(
        &mut self,
        batch: Vec<Box<dyn Call>>,
        calls: &Receiver<Box<dyn Call>>,
    ) -> Vec<Box<dyn Call>> {
        let began = now();
        let (mut waiting, mut others) = apart(batch);
        while !waiting.is_empty() && waiting.len() < self.claimed.borrow().len().min(MOST) {
            if !others.is_empty() {
                self.answer(std::mem::take(&mut others));
            }
            let left = self.gathers.longest.saturating_sub(began.elapsed());
            // Else one that waits already would be taken, however late it is.
            if left.is_zero() {
                break;
            }
            let Ok(call) = calls.recv_timeout(self.gathers.quiet.min(left)) else { break };
            let more = std::iter::once(call).chain(calls.try_iter()).take(MOST).collect();
            let (durable, rest) = apart(more);
            waiting.extend(durable);
            others = rest;
        }
        waiting.extend(others);
        waiting
    }

    fn answer(&mut self, mut batch: Vec<Box<dyn Call>>) {
        let ended = self.commit(&mut batch).map_err(|failure| failure.of(&self.url));
        for call in batch {
            call.answer(ended.clone());
        }
    }

    /// Runs all of them in one transaction.
    fn commit(&mut self, batch: &mut [Box<dyn Call>]) -> Result<(), Failure> {
        let needs = |wanted: Needs| batch.iter().any(|call| call.needs() == wanted);
        let durable = needs(Needs::Write(Durability::Now));
        let writes = durable || needs(Needs::Write(Durability::Soon));
        if writes {
            self.wait_for_disk(durable)?;
            let standing = self.holder.stand(&self.holders, &self.path);
            standing.map_err(|error| Failure::io("keep this process's lock file", &error))?;
        }
        let (holder, holders, clock) = (self.holder.id(), &self.holders, &self.clock);
        let hold = Hold { holder, holders, clock, claimed: &self.claimed };
        let behavior =
            if writes { TransactionBehavior::Immediate } else { TransactionBehavior::Deferred };
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        for call in batch {
            match call.needs() {
                Needs::Read => {
                    call.run(&transaction, &hold);
                }
                Needs::Write(_) => alone(&transaction, &mut **call, &hold)?,
            }
        }
        if durable && self.loose {
            // Also where the others turn out to change nothing.
            schema::rewrite(&transaction)?;
        }
        // What is committed to a file that was removed or replaced, nobody will ever read.
        self.file.must_be(&self.path)?;
        transaction.commit()?;
        self.loose = !durable && (self.loose || writes);
        Ok(())
    }

    /// Between two transactions; the engine ignores it within one.
    fn wait_for_disk(&mut self, wanted: bool) -> Result<(), Failure> {
        if wanted != self.waits_for_disk {
            let level = if wanted { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.waits_for_disk = wanted;
        }
        Ok(())
    }
}

/// Those that wait for the disk, and the others.
fn apart(batch: Batch) -> (Batch, Batch) {
    batch.into_iter().partition(|call| call.needs() == Needs::Write(Durability::Now))
}

#[expect(
    clippy::disallowed_methods,
    reason = "milliseconds on a thread of its own, which no decision and no clock rests on"
)]
fn now() -> Instant {
    Instant::now()
}

/// Runs a call so that its failure takes nothing from those before it.
fn alone(
    transaction: &Transaction<'_>,
    call: &mut dyn Call,
    hold: &Hold<'_>,
) -> Result<(), Failure> {
    transaction.prepare_cached("SAVEPOINT call")?.execute(())?;
    if !call.run(transaction, hold) {
        if transaction.is_autocommit() {
            // A disk that is full or fails: the engine has taken back the whole transaction.
            return Err(Failure::Unavailable(
                "the disk did not accept the data written together with this".to_owned(),
            ));
        }
        transaction.prepare_cached("ROLLBACK TO call")?.execute(())?;
    }
    transaction.prepare_cached("RELEASE call")?.execute(())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::{
        clock::SystemEntropy,
        ledger::sqlite::open,
        token::{ConnectionId, Tenant},
    };

    /// So long that a test would never end.
    const FOR_EVER: Duration = Duration::from_secs(100_000);

    type Answer = oneshot::Receiver<Result<(), LedgerError>>;

    fn key(number: usize) -> ConnectionKey {
        ConnectionKey {
            tenant: Tenant::try_new("t.eu.auth0.com").unwrap(),
            connection: ConnectionId::try_new(format!("con_{number}")).unwrap(),
        }
    }

    /// A writer of a process that works on so many connections.
    fn writer(folder: &tempfile::TempDir, claimed: usize) -> Writer {
        let clock = LeaseClock::host().unwrap();
        let path = folder.path().join("ledger.db");
        let (_, mut writer) = open::writer(&path, &SystemEntropy, clock).unwrap();
        writer.gathers = Gathers { quiet: FOR_EVER, longest: FOR_EVER };
        writer.claimed = RefCell::new((0..claimed).map(key).collect());
        writer
    }

    fn call(durability: Durability) -> (Box<dyn Call>, Answer) {
        let (asked, answer) = Asked::new("u", Needs::Write(durability), |_, _| Ok(()));
        (Box::new(asked), answer)
    }

    fn ask(calls: &Sender<Box<dyn Call>>, durability: Durability) -> Answer {
        let (asked, answer) = call(durability);
        calls.send(asked).unwrap_or_else(|_| panic!("the receiver is there"));
        answer
    }

    #[test]
    fn who_waits_for_the_disk_is_joined_by_others_at_work() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&folder, 3);
        let (calls, waiting) = channel();
        let (first, mut of_first) = call(Durability::Now);
        let (quick, mut of_quick) = call(Durability::Soon);
        let mut of_second = ask(&calls, Durability::Now);
        let mut of_third = ask(&calls, Durability::Now);
        let batch = writer.gather(vec![first, quick], &waiting);
        assert_eq!(batch.len(), 3);
        assert!(of_quick.try_recv().is_ok(), "it need not wait for the disk");
        assert!(of_first.try_recv().is_err());
        assert!(writer.loose, "and did not");
        writer.answer(batch);
        for answer in [&mut of_first, &mut of_second, &mut of_third] {
            assert!(matches!(answer.try_recv(), Ok(Ok(()))));
        }
        assert!(!writer.loose, "one commit has put everything on the disk");
    }

    #[test]
    fn nobody_is_waited_for_who_cannot_come() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&folder, 1);
        let (calls, waiting) = channel();
        let _other = ask(&calls, Durability::Now);
        let batch = writer.gather(vec![call(Durability::Now).0], &waiting);
        assert_eq!(batch.len(), 1);
        assert!(waiting.try_recv().is_ok(), "it was not even asked for");
        writer.claimed.borrow_mut().insert(key(1));
        let batch = writer.gather(vec![call(Durability::Soon).0], &waiting);
        assert_eq!(batch.len(), 1, "what need not wait for the disk waits for nobody");
        writer.gathers.longest = Duration::ZERO;
        let _late = ask(&calls, Durability::Now);
        let batch = writer.gather(vec![call(Durability::Now).0], &waiting);
        assert_eq!(batch.len(), 1, "the time is over, whoever waits already");
        assert!(waiting.try_recv().is_ok());
        writer.gathers.longest = FOR_EVER;
        drop(calls);
        let batch = writer.gather(vec![call(Durability::Now).0], &waiting);
        assert_eq!(batch.len(), 1, "nobody can ask any more");
    }
}
