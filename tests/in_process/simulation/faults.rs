//! What can go wrong at a call into the world, and how it is drawn.

use std::time::Duration;

use scimitar::error::{Class, Code, Fault};

use super::{rng::Rng, world::Ms};

/// A call that the product makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    List,
    Create,
    Revoke,
    Anonymous,
    Probe,
    Read,
    Prove,
    Stage,
    Promote,
    Forget,
    Ask,
    Inspect,
    Configure,
    Load,
    Claim,
    Renew,
    Release,
    Store,
    Look,
    User,
}

impl Op {
    /// Whether it is a call to the ledger.
    pub(crate) fn is_ledger(self) -> bool {
        match self {
            Self::Load | Self::Claim | Self::Renew | Self::Release | Self::Store | Self::Look => {
                true
            }
            Self::List
            | Self::Create
            | Self::Revoke
            | Self::Anonymous
            | Self::Probe
            | Self::Read
            | Self::Prove
            | Self::Stage
            | Self::Promote
            | Self::Forget
            | Self::Ask
            | Self::Inspect
            | Self::Configure
            | Self::User => false,
        }
    }

    /// What fails before it has any effect, and says so.
    pub(crate) fn refusals(self) -> &'static [Fail] {
        use Fail::*;
        match self {
            Self::List => {
                &[Timeout, Unavailable, Throttled, Unreachable, Unauthorized, NotFound, Unreadable]
            }
            Self::Create | Self::Configure => &[Throttled, Unreachable, Unauthorized, Forbidden],
            Self::Inspect => &[Timeout, Unavailable, Throttled, Unreachable, Forbidden, Unreadable],
            Self::Revoke => &[Timeout, Unavailable, Throttled, Unreachable, Forbidden],
            Self::Anonymous => &[Timeout, Unavailable, Unreachable, NotFound],
            Self::Probe => &[Timeout, Unavailable, Throttled, NotFound],
            Self::User => &[Timeout, Unavailable, Throttled],
            Self::Read | Self::Prove | Self::Ask => &[Timeout, Unavailable, Forbidden, Io],
            Self::Stage | Self::Promote | Self::Forget => &[Unavailable, Forbidden, Io, Throttled],
            Self::Load | Self::Claim | Self::Renew | Self::Release | Self::Store | Self::Look => {
                &[Io]
            }
        }
    }

    /// What can take an answer away after (or instead of) the effect.
    pub(crate) fn losses(self) -> &'static [Fail] {
        use Fail::*;
        match self {
            Self::Create | Self::Configure => &[Timeout, Unavailable, Unreadable],
            Self::Revoke | Self::Stage | Self::Promote | Self::Forget => &[Timeout, Unavailable],
            Self::Probe => &[Timeout],
            Self::User => &[Timeout, Unavailable],
            Self::Claim | Self::Renew | Self::Release | Self::Store => &[Io],
            Self::List
            | Self::Anonymous
            | Self::Read
            | Self::Prove
            | Self::Ask
            | Self::Inspect
            | Self::Load
            | Self::Look => &[],
        }
    }

    /// How late its effect may come after the caller gave up.
    pub(crate) fn latest(self) -> Option<Ms> {
        match self {
            Self::Create | Self::Revoke => Some(3_600_000),
            Self::Stage | Self::Promote | Self::Configure => Some(60_000),
            Self::Probe | Self::User => Some(25_000),
            Self::List
            | Self::Anonymous
            | Self::Read
            | Self::Prove
            | Self::Forget
            | Self::Ask
            | Self::Inspect
            | Self::Load
            | Self::Claim
            | Self::Renew
            | Self::Release
            | Self::Store
            | Self::Look => None,
        }
    }
}

/// How a call fails, in the words of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fail {
    Timeout,
    Unavailable,
    Throttled,
    Unreachable,
    Unauthorized,
    Forbidden,
    NotFound,
    Unreadable,
    Io,
}

impl Fail {
    /// The fault as the product's own clients would report it.
    pub(crate) fn fault(self, op: Op, lost: bool) -> Fault {
        let (class, code) = match self {
            Self::Timeout => (Class::Transient, Code::Timeout),
            Self::Unavailable => (Class::Transient, Code::Unavailable),
            Self::Throttled => (Class::Transient, Code::Throttled),
            Self::Unreachable => (Class::Transient, Code::Unreachable),
            Self::Unauthorized => (Class::Terminal, Code::Unauthorized),
            Self::Forbidden => (Class::Terminal, Code::Forbidden),
            Self::NotFound => (Class::Terminal, Code::ScimNotConfigured),
            Self::Unreadable => (Class::Transient, Code::Unreadable),
            Self::Io => (Class::Transient, Code::Io),
        };
        let class = if lost && op != Op::Revoke { Class::Ambiguous } else { class };
        let fault = Fault::new(format!("{op:?}"), class, code, format!("drawn: {self:?}"));
        if self == Self::Throttled {
            fault.retry_after(Some(Duration::from_secs(7)))
        } else {
            fault
        }
    }
}

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// It works.
    Go,
    /// It has no effect, and the answer says so.
    Refuse(Fail),
    /// It has no effect, and the answer does not say so.
    Vanish(Fail),
    /// It has its effect, and the answer is lost.
    Lose(Fail),
    /// The caller gives up; the effect comes this much later.
    Late(Ms, Fail),
    /// The process dies before the effect.
    DieBefore,
    /// The process dies after the effect, before the answer.
    DieAfter,
    /// The process dies, and the effect comes this much later.
    DieLate(Ms),
}

/// A call's fate: how long both ways take, and what happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) before: Ms,
    pub(crate) after: Ms,
    pub(crate) act: Act,
}

/// How often what happens in a life, in millionths of calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) refuse: u32,
    pub(crate) lose: u32,
    pub(crate) late: u32,
    pub(crate) die: u32,
    pub(crate) freeze: u32,
    /// One kind of call that fails far more often.
    pub(crate) weak: Option<(Op, u32)>,
    /// Calls to the ledger fail as well.
    pub(crate) ledger: bool,
    /// The longest that either way of a call takes.
    pub(crate) slowest: Ms,
    /// Whether sinks can be slow up to half a minute.
    pub(crate) slow_sinks: bool,
}

impl Rates {
    /// Draws one call's fate.
    pub(crate) fn fate(&self, rng: &mut Rng, op: Op) -> Fate {
        let mut slowest = self.slowest.max(1);
        if self.slow_sinks && matches!(op, Op::Read | Op::Promote) && rng.one_in(6) {
            slowest = 30_000;
        }
        let slowest = if op.is_ledger() { slowest.min(20) } else { slowest };
        Fate { before: rng.below(slowest), after: rng.below(slowest), act: self.act(rng, op) }
    }

    fn act(&self, rng: &mut Rng, op: Op) -> Act {
        let losses = op.losses();
        if self.die > 0 && rng.chance(self.die) {
            return match op.latest() {
                Some(latest) if rng.one_in(4) => Act::DieLate(rng.below(latest)),
                Some(_) | None if rng.one_in(2) => Act::DieBefore,
                Some(_) | None => Act::DieAfter,
            };
        }
        if op.is_ledger() && !self.ledger {
            return Act::Go;
        }
        let weak = match self.weak {
            Some((weak, rate)) if weak == op => rate,
            Some(_) | None => 0,
        };
        if !losses.is_empty() {
            if rng.chance(self.lose.max(weak / 3)) {
                let fail = rng.pick(losses);
                return if rng.one_in(3) { Act::Vanish(fail) } else { Act::Lose(fail) };
            }
            if let Some(latest) = op.latest()
                && rng.chance(self.late.max(weak / 6))
            {
                // Late is mostly a little late.
                let bound = rng.pick(&[2_000, 60_000, latest, latest]).min(latest);
                return Act::Late(rng.below(bound), Fail::Timeout);
            }
        }
        if rng.chance(self.refuse.max(weak / 2)) {
            return Act::Refuse(rng.pick(op.refusals()));
        }
        Act::Go
    }
}
