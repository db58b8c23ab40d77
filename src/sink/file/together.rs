//! One write of a folder for all who wait for one.
//!
//! Who comes while the folder is being written is not answered by that: its change may have come too
//! late for it. All who come meanwhile share the next one.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
};

use super::trouble::Trouble;

/// By device and inode: whatever leads there, and whoever asks, it is one folder.
type Folders = BTreeMap<(u64, u64), Arc<Line>>;

/// How a write ended, once it has, for all who wait for it.
type Outcome = Arc<Mutex<Option<Result<(), Trouble>>>>;

/// Those that somebody waits for now.
static FOLDERS: LazyLock<Mutex<Folders>> = LazyLock::new(Mutex::default);

/// Who waits for one folder.
#[derive(Debug, Default)]
pub(super) struct Line {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// One is under way.
    is_writing: bool,
    /// The next one, with all who wait for it.
    next: Option<Outcome>,
    /// How many wait for the next one.
    waiting: usize,
}

/// Runs `write`, which makes the folder durable, or waits for somebody's that begins after this call.
///
/// # Errors
/// As that write ended, for all who waited for it: the system says only once that one failed.
pub(super) fn written(
    folder: (u64, u64),
    write: impl FnOnce() -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let line = line(folder);
    let done = line.wait_or(write);
    let mut folders = lock(&FOLDERS);
    // The table's, and ours.
    if Arc::strong_count(&line) == 2 {
        folders.remove(&folder);
    }
    done
}

/// The line at one folder.
pub(super) fn line(folder: (u64, u64)) -> Arc<Line> {
    Arc::clone(lock(&FOLDERS).entry(folder).or_default())
}

impl Line {
    fn wait_or(&self, write: impl FnOnce() -> Result<(), Trouble>) -> Result<(), Trouble> {
        let mut state = lock(&self.state);
        let shared = Arc::clone(state.next.get_or_insert_default());
        state.waiting += 1;
        while state.is_writing {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
            if let Some(done) = lock(&shared).clone() {
                return done;
            }
        }
        // Ours is the next one still: who begins it takes it along.
        (state.is_writing, state.next, state.waiting) = (true, None, 0);
        drop(state);
        let ending = Ending { line: self, shared };
        let done = write();
        *lock(&ending.shared) = Some(done.clone());
        done
    }

    /// How many wait for the next write.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        lock(&self.state).waiting
    }
}

/// Lets the others go on, however the write ends.
struct Ending<'a> {
    line: &'a Line,
    shared: Outcome,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let unknown = || Err(Trouble::terminal("the write of the folder was not finished"));
        lock(&self.shared).get_or_insert_with(unknown);
        lock(&self.line.state).is_writing = false;
        self.line.ended.notify_all();
    }
}

/// Waits for the disk.
pub(super) fn synced(file: &File) -> io::Result<()> {
    #[cfg(test)]
    tests::SYNCED.set(tests::SYNCED.get() + 1);
    file.sync_all()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use std::{cell::Cell, sync::mpsc::channel, thread};

    use super::*;

    thread_local! {
        /// How often this test has waited for the disk.
        pub(in crate::sink::file) static SYNCED: Cell<usize> = const { Cell::new(0) };
    }

    /// One write is under way while `behind` come; gives how often the folder was written in all, and
    /// how it ended for those.
    fn queue(
        folder: (u64, u64),
        behind: usize,
        second: &Result<(), Trouble>,
    ) -> (usize, Vec<Result<(), Trouble>>) {
        let writes = Mutex::new(0);
        let at = line(folder);
        let (begun, has_begun) = channel();
        let (end, may_end) = channel::<()>();
        let answers = thread::scope(|scope| {
            let writes = &writes;
            let first = scope.spawn(move || {
                written(folder, || {
                    *lock(writes) += 1;
                    begun.send(()).unwrap();
                    let _ = may_end.recv();
                    Ok(())
                })
            });
            has_begun.recv().unwrap();
            let others: Vec<_> = (0..behind)
                .map(|_| {
                    scope.spawn(|| {
                        written(folder, || {
                            *lock(writes) += 1;
                            second.clone()
                        })
                    })
                })
                .collect();
            while at.waiting() < behind {
                thread::yield_now();
            }
            drop(end);
            first.join().unwrap().unwrap();
            others.into_iter().map(|other| other.join().unwrap()).collect()
        });
        drop(at);
        (writes.into_inner().unwrap(), answers)
    }

    #[test]
    fn who_comes_during_a_write_shares_the_next_one() {
        let (writes, answers) = queue((0, 1), 5, &Ok(()));
        assert_eq!(writes, 2);
        assert_eq!(answers, vec![Ok(()); 5]);
    }

    #[test]
    fn a_write_that_fails_fails_for_all_who_waited_for_it() {
        let failed = Err(Trouble::terminal("the disk is broken"));
        let (writes, answers) = queue((0, 2), 3, &failed);
        assert_eq!(writes, 2);
        assert_eq!(answers, vec![failed; 3]);
        assert_eq!(written((0, 2), || Ok(())), Ok(()), "the next one is tried anew");
        assert!(!lock(&FOLDERS).contains_key(&(0, 2)), "nobody waits there any more");
    }

    #[test]
    fn a_write_that_panics_keeps_nobody_waiting() {
        let panicked = thread::spawn(|| written((0, 3), || panic!("as a test wants it"))).join();
        assert!(panicked.is_err());
        assert_eq!(written((0, 3), || Ok(())), Ok(()));
    }
}
