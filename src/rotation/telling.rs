//! What hooks are told next, of whatever it is that they are told of.

use super::notice::{self, Notice, Notices, Subscriber};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::record::Trouble,
    token::HookName,
    words::date,
};

/// The next thing that a hook is to be told, or that is to be noted of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Telling {
    /// A try was announced by a worker that is gone.
    CutOff {
        /// The hook.
        hook: HookName,
        /// The notice's number.
        number: u64,
        /// How long it is until the next try.
        trouble: Trouble,
    },
    /// The hook failed at it for too long.
    GivenUp {
        /// The hook.
        hook: HookName,
        /// The notice's number.
        number: u64,
        /// The same in words.
        why: String,
    },
    /// It is to be told.
    Due {
        /// The hook.
        hook: HookName,
        /// Of what.
        notice: Box<Notice>,
    },
}

impl Notices {
    /// What is next; `salt` is the same for everything that they are told of one thing.
    #[must_use]
    pub fn telling(&self, now: Timestamp, salt: u64) -> Option<Telling> {
        self.telling_to(|_| true, now, salt)
    }

    /// The same for some of the hooks.
    pub(super) fn telling_to(
        &self,
        whom: impl Fn(&HookName) -> bool,
        now: Timestamp,
        salt: u64,
    ) -> Option<Telling> {
        self.hooks.iter().filter(|(name, _)| whom(name)).find_map(|(name, hook)| {
            cut_off(name, hook, now, salt).or_else(|| next(name, hook, now))
        })
    }

    /// When something is next; may be past.
    pub(super) fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.wake_at_of(|_| true, now)
    }

    /// The same for some of the hooks.
    pub(super) fn wake_at_of(
        &self,
        whom: impl Fn(&HookName) -> bool,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let hooks = self.hooks.iter().filter(|(name, _)| whom(name));
        hooks.filter_map(|(_, hook)| hook.wake_at(now)).min()
    }
}

/// Whatever a run of a hook comes to: how long it is until the next try.
#[must_use]
pub fn failure(notice: &Notice, fault: Fault, now: Timestamp, salt: u64) -> Trouble {
    notice::after(notice.trouble.as_ref(), fault, now, salt ^ notice.number)
}

/// The worker that announced it had the right to, or its time is over.
fn cut_off(name: &HookName, hook: &Subscriber, now: Timestamp, salt: u64) -> Option<Telling> {
    let over =
        |notice: &&Notice| notice.attempt().is_some_and(|begun| begun.lasts_until(now).is_none());
    let notice = hook.waiting.iter().find(over)?;
    let fault = Fault::new(
        format!("run the hook {name}"),
        Class::Ambiguous,
        Code::ClaimLost,
        "Scimitar stopped while it ran, and its outcome is not known",
    );
    let trouble = failure(notice, fault, now, salt);
    Some(Telling::CutOff { hook: name.clone(), number: notice.number, trouble })
}

fn next(name: &HookName, hook: &Subscriber, now: Timestamp) -> Option<Telling> {
    let hopeless = hook.waiting.iter().find(|notice| notice.is_hopeless(now));
    if let Some(notice) = hopeless {
        let days = notice::GIVEN_UP_AFTER.num_days();
        let why = format!(
            "the hook {name} has failed for {days} days and will not be told about the event of {}: {}",
            date(notice.happening.at),
            notice.happening.words
        );
        return Some(Telling::GivenUp { hook: name.clone(), number: notice.number, why });
    }
    let notice = hook.next(now)?;
    Some(Telling::Due { hook: name.clone(), notice: Box::new(notice.clone()) })
}
