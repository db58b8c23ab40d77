//! Which children of this process are its own: whoever started one waits for it. All others were
//! left to it as the first process of a container, and nobody waits for those.

use std::{
    collections::BTreeSet,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::process::Child;

static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// A child of our own, until its status was taken.
#[derive(Debug)]
pub(super) struct Own(Option<i32>);

/// Starts a program that whoever reaps leaves alone from its first moment on.
pub(super) fn start(
    spawn: impl FnOnce() -> io::Result<Child>,
) -> io::Result<(Child, Own)> {
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
