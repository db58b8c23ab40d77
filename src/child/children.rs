//! What runs here, and which children of this process are its own: whoever started one waits for it. All others were
//! left to it as the first process of a container, and nobody waits for those.

use std::{
    collections::BTreeSet,
    fs, io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::process::Child;

/// A process, as the kernel shows it.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its group's.
    pub group: i32,
    /// It only waits to be reaped.
    pub has_ended: bool,
}

/// All processes, as `/proc` shows them; none where there is no `/proc`.
pub fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // A name may hold anything, a bracket too.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let has_ended = matches!(fields.next()?, "Z" | "X");
        let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Process { pid, parent, group, has_ended })
    })
}

static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// A child of our own, until its status was taken.
#[derive(Debug)]
pub(super) struct Own(Option<i32>);

/// Starts a program that whoever reaps leaves alone from its first moment on.
pub(super) fn start(spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<(Child, Own)> {
    // Held while it starts: it may have ended before its number is known here.
    let mut own = lock();
    let child = spawn()?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    own.extend(pid);
    Ok((child, Own(pid)))
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            lock().remove(&pid);
        }
    }
}

/// Does something while no child is started; it is told which are our own.
pub fn unlike_own<R>(reap: impl FnOnce(&dyn Fn(i32) -> bool) -> R) -> R {
    let own = lock();
    reap(&|pid| own.contains(&pid))
}

fn lock() -> MutexGuard<'static, BTreeSet<i32>> {
    // Nothing that holds the lock can leave it half changed.
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}
