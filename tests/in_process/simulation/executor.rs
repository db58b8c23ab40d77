//! One thread, no runtime: boxed futures polled in seeded order, and a clock that jumps to the
//! next moment at which anything happens. A crash is the drop of a process's futures.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::{
    process::{self, Job},
    world::{Action, Ms, Pid, Sim},
};

pub(crate) struct Task {
    pub(crate) pid: Pid,
    pub(crate) future: Pin<Box<dyn Future<Output = ()>>>,
    /// True time from which it may be polled.
    pub(crate) ready: Ms,
}

pub(crate) struct Executor {
    pub(crate) sim: Sim,
    tasks: Vec<Task>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The time asked for has passed.
    Time,
    /// Every task has returned and nothing is scheduled before that time.
    Idle,
    /// A promise was broken; the world knows which.
    Broken,
}

impl Executor {
    pub(crate) fn new(sim: Sim) -> Self {
        Self { sim, tasks: Vec::new() }
    }

    /// Starts a process.
    pub(crate) fn start(&mut self, job: Job) -> Pid {
        let (pid, tasks) = process::start(&self.sim, job);
        self.tasks.extend(tasks);
        pid
    }

    /// Ends a process as `kill -9` does: nothing of it runs any more.
    pub(crate) fn kill(&mut self, pid: Pid) {
        self.tasks.retain(|task| task.pid != pid);
        self.sim.lock().process_died(pid);
    }

    /// Runs until true time reaches `until`, all is idle, or a promise is broken.
    pub(crate) fn run(&mut self, until: Ms) -> Ended {
        loop {
            let actions = self.sim.lock().due_events();
            for action in actions {
                match action {
                    Action::Start(job) => {
                        self.start(job);
                    }
                    Action::Stop => self.sim.lock().stop_all(),
                    Action::Kill(node) => {
                        let there: Vec<Pid> = self.sim.lock().living_on(node);
                        there.into_iter().for_each(|pid| self.kill(pid));
                    }
                    Action::KillAll => {
                        let all: Vec<Pid> = self.sim.lock().living();
                        all.into_iter().for_each(|pid| self.kill(pid));
                    }
                }
            }
            let Some(index) = self.choose(until) else {
                let world = self.sim.lock();
                if world.broken.is_some() {
                    return Ended::Broken;
                }
                if self.tasks.is_empty() && world.next_event().is_none() {
                    return Ended::Idle;
                }
                if world.now >= until {
                    return Ended::Time;
                }
                continue;
            };
            self.poll(index);
        }
    }

    /// The task to poll next, or `None` after time was moved (or there is nothing to do).
    fn choose(&mut self, until: Ms) -> Option<usize> {
        let mut world = self.sim.lock();
        if world.broken.is_some() {
            return None;
        }
        if std::mem::take(&mut world.wake_all) {
            let now = world.now;
            for task in &mut self.tasks {
                task.ready = task.ready.min(now);
            }
        }
        let now = world.now;
        let mut runnable = 0;
        let mut earliest = until;
        for task in &self.tasks {
            let at = task.ready.max(world.frozen_until(task.pid));
            if at <= now {
                runnable += 1;
            } else {
                earliest = earliest.min(at);
            }
        }
        if runnable == 0 || now >= until {
            if self.tasks.is_empty() && world.next_event().is_none() {
                return None;
            }
            if let Some(at) = world.next_event() {
                earliest = earliest.min(at);
            }
            world.advance(earliest);
            return None;
        }
        let nth = if runnable == 1 { 0 } else { world.order.index(runnable) };
        self.tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| task.ready.max(world.frozen_until(task.pid)) <= now)
            .nth(nth)
            .map(|(index, _)| index)
    }

    fn poll(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        let pid = task.pid;
        self.sim.lock().parked = None;
        let mut context = Context::from_waker(Waker::noop());
        match task.future.as_mut().poll(&mut context) {
            Poll::Ready(()) => {
                self.tasks.swap_remove(index);
                if !self.tasks.iter().any(|task| task.pid == pid) {
                    self.sim.lock().process_ended(pid);
                }
            }
            Poll::Pending => {
                // Nothing parked it: it waits to be told to stop, which wakes everything.
                task.ready = self.sim.lock().parked.take().unwrap_or(Ms::MAX);
            }
        }
        let doomed = self.sim.lock().doomed.take();
        if let Some(pid) = doomed {
            self.kill(pid);
        }
    }
}
