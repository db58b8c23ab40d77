//! Hooks: programs and webhooks that are told what happened.

mod body;
mod exec;
mod message;
mod post;
mod webhook;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;

pub use self::{
    body::{BodyTemplate, ContentType},
    exec::{Exec, ExecSettings},
    message::{FIELDS, Message},
    post::{Address, Body, HeaderText, Post, address},
    webhook::{NOT_A_HEADER, NotAKey, SigningKey, Webhook, WebhookSettings},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::notice::Occasion,
    token::HookName,
};

/// So many runs in a row that did not end in time, of whatever connections, and the hook is left
/// alone for a while: each would keep a connection's worker waiting.
const MOST_HANGS: u32 = 3;

/// How long it is first left alone then; it doubles.
const LEFT_ALONE: TimeDelta = TimeDelta::minutes(1);

/// It is never left alone longer.
const LONGEST_ALONE: TimeDelta = TimeDelta::minutes(16);

/// Something that is told what happened.
#[async_trait]
pub trait Hook: fmt::Debug + Send + Sync {
    /// Its label.
    fn name(&self) -> &HookName;

    /// How long a run may take at most, all in all.
    fn longest(&self) -> Duration;

    /// Tells it, within [`longest`](Self::longest).
    ///
    /// # If the answer is lost
    /// It may have been told, wholly or in part. It is told again, with the same
    /// [`Message::id`]: every hook must bear that.
    ///
    /// # Errors
    /// When it was not told, refused, or did not end in time.
    async fn run(&self, message: &Message) -> Result<(), Fault>;
}

/// The hooks of a configuration, and what each wants to be told of.
#[derive(Clone, Debug, Default)]
pub struct Hooks(BTreeMap<HookName, Arc<Wired>>);

#[derive(Debug)]
struct Wired {
    on: BTreeSet<Occasion>,
    hook: Arc<dyn Hook>,
    hangs: Mutex<Hangs>,
}

/// How often in a row a hook did not end in time.
#[derive(Clone, Copy, Debug, Default)]
struct Hangs {
    count: u32,
    until: Option<Timestamp>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How it failed, if it did.
    pub outcome: Result<(), Fault>,
    /// Whether it was begun at all: one that hangs is left alone for a while.
    pub begun: bool,
}

impl Hooks {
    /// Adds a hook; a second one of its name replaces the first.
    pub fn add(&mut self, on: BTreeSet<Occasion>, hook: Arc<dyn Hook>) {
        let name = hook.name().clone();
        self.0.insert(name, Arc::new(Wired { on, hook, hangs: Mutex::default() }));
    }

    /// Who wants to be told of what.
    #[must_use]
    pub fn subscriptions(&self) -> BTreeMap<HookName, BTreeSet<Occasion>> {
        self.0.iter().map(|(name, wired)| (name.clone(), wired.on.clone())).collect()
    }

    /// How long a run may take at most.
    #[must_use]
    pub fn longest(&self, name: &HookName) -> Duration {
        self.0.get(name).map_or(Duration::ZERO, |wired| wired.hook.longest())
    }

    /// Runs a hook, unless it hung too often just now.
    ///
    /// # If the answer is lost
    /// As [`Hook::run`].
    pub async fn run(&self, name: &HookName, message: &Message, now: Timestamp) -> Ran {
        let Some(wired) = self.0.get(name) else {
            let fault = fault(name, Class::Terminal, Code::Invalid, "no such hook is configured");
            return Ran { outcome: Err(fault), begun: false };
        };
        if let Some(fault) = wired.left_alone(now) {
            return Ran { outcome: Err(fault), begun: false };
        }
        let outcome = wired.hook.run(message).await;
        wired.note(&outcome, now);
        Ran { outcome, begun: true }
    }
}

impl Wired {
    fn left_alone(&self, now: Timestamp) -> Option<Fault> {
        let mut hangs = self.hangs.lock().unwrap_or_else(PoisonError::into_inner);
        let until = hangs.until?;
        if until <= now || until - now > LONGEST_ALONE {
            // One is let through to see; the others wait for what comes of it.
            hangs.until = Some(now + LEFT_ALONE);
            return None;
        }
        let pause = (until - now).to_std().unwrap_or_default();
        let words =
            format!("not started: its last {} runs, over all connections, timed out", hangs.count);
        let name = self.hook.name();
        Some(fault(name, Class::Transient, Code::Unavailable, words).retry_after(Some(pause)))
    }

    fn note(&self, outcome: &Result<(), Fault>, now: Timestamp) {
        let mut hangs = self.hangs.lock().unwrap_or_else(PoisonError::into_inner);
        let hung = matches!(outcome, Err(fault) if fault.code == Code::Timeout);
        if !hung {
            *hangs = Hangs::default();
            return;
        }
        hangs.count = hangs.count.saturating_add(1);
        if let Some(more) = hangs.count.checked_sub(MOST_HANGS) {
            let pause = (LEFT_ALONE * 2_i32.pow(more.min(4))).min(LONGEST_ALONE);
            hangs.until = Some(now + pause);
        }
    }
}

fn fault(name: &HookName, class: Class, code: Code, detail: impl Into<String>) -> Fault {
    Fault::new(format!("run the hook {name}"), class, code, detail)
}

#[cfg(test)]
mod tests;
