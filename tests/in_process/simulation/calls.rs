//! The way that every call takes through the world, and the moments at which it can be cut off.

use scimitar::error::Fault;

use super::{
    clock::Pause,
    faults::{Act, Fail, Fate, Op},
    provider::Late,
    world::{Event, HOUR, MINUTE, Ms, Outage, Pid, SECOND, Service, Sim, World},
};

/// More calls in an hour than any number of looks and retries comes to.
const MOST_IN_AN_HOUR: u64 = 20_000;

/// What a call does once its way there is over.
pub(crate) enum Step {
    /// Nothing happens; this is the answer.
    Answer(Fault),
    /// It happens now.
    Do(Rest),
    /// It happens this much later.
    Later(Ms, Rest),
}

/// The way back of a call.
pub(crate) struct Rest {
    pid: Pid,
    after: Ms,
    lost: Option<Fault>,
    dies: bool,
}

impl Sim {
    /// The way of a call to its service: the first moment at which it can be cut off.
    pub(crate) async fn begin(&self, pid: Pid, conn: Option<usize>, op: Op) -> Step {
        let fate = self.lock().fate(pid, conn, op);
        if fate.act == Act::DieBefore {
            self.lock().doomed = Some(pid);
        }
        let writes = op == Op::Promote;
        if writes {
            self.lock().writes(pid, 1);
        }
        Pause::new(self, fate.before).await;
        if writes {
            self.lock().writes(pid, -1);
        }
        let after = |fail: Fail| {
            if fail == Fail::Timeout { fate.after + 25 * SECOND } else { fate.after }
        };
        let rest = |after, lost, dies| Rest { pid, after, lost, dies };
        match fate.act {
            Act::Go | Act::DieBefore => Step::Do(rest(fate.after, None, false)),
            Act::Refuse(fail) => {
                Pause::new(self, after(fail)).await;
                Step::Answer(fail.fault(op, false))
            }
            Act::Vanish(fail) => {
                Pause::new(self, after(fail)).await;
                Step::Answer(fail.fault(op, true))
            }
            Act::Lose(fail) => Step::Do(rest(after(fail), Some(fail.fault(op, true)), false)),
            Act::Late(late, fail) => {
                let after = after(fail);
                Step::Later(after + late, rest(after, Some(fail.fault(op, true)), false))
            }
            Act::DieAfter => Step::Do(rest(fate.after, None, true)),
            Act::DieLate(late) => Step::Later(late, rest(fate.after, None, true)),
        }
    }

    /// The way back: the second moment at which a call can be cut off.
    pub(crate) async fn end(&self, rest: Rest) -> Result<(), Fault> {
        if rest.dies {
            self.lock().doomed = Some(rest.pid);
        }
        Pause::new(self, rest.after).await;
        rest.lost.map_or(Ok(()), Err)
    }

    /// A whole call whose effect is one look at or change of the world.
    pub(crate) async fn call<T>(
        &self,
        pid: Pid,
        conn: usize,
        op: Op,
        late: Option<Late>,
        effect: impl FnOnce(&mut World) -> Result<T, Fault> + Send,
    ) -> Result<T, Fault>
    where
        T: Send,
    {
        match self.begin(pid, Some(conn), op).await {
            Step::Answer(fault) => {
                self.lock().note(|| format!("{pid:?} {op:?} [{conn}] → {fault}"));
                Err(fault)
            }
            Step::Do(rest) => {
                let result = effect(&mut self.lock());
                let answer = self.end(rest).await;
                answer.and(result)
            }
            Step::Later(by, rest) => {
                {
                    let mut world = self.lock();
                    world.note(|| format!("{pid:?} {op:?} [{conn}]: effect {by} ms later"));
                    if let Some(late) = late {
                        let at = world.now + by;
                        world.hurry_before(&late);
                        world.schedule(at, Event::Late(late));
                    }
                }
                match self.end(rest).await {
                    Err(fault) => Err(fault),
                    // Only a dying process gets here without a fault, and it never goes on.
                    Ok(()) => Err(Fail::Timeout.fault(op, true)),
                }
            }
        }
    }
}

impl World {
    /// Draws what becomes of a call.
    fn fate(&mut self, pid: Pid, conn: Option<usize>, op: Op) -> Fate {
        self.calls += 1;
        let (began, calls) = self.of_this_hour;
        let (began, calls) = if self.now >= began + HOUR { (self.now, 0) } else { (began, calls) };
        self.of_this_hour = (began, calls + 1);
        if calls > MOST_IN_AN_HOUR {
            self.violate("7 it never gives up", "calls without end: a loop that waits for nothing");
        }
        self.digest = (self.digest ^ (op as u64) ^ (u64::from(pid.0) << 8))
            .wrapping_mul(0x0100_0000_01b3)
            .rotate_left(17)
            ^ self.now.unsigned_abs();
        let call = self.processes.get_mut(&pid).map_or(0, |process| {
            process.calls += 1;
            process.calls - 1
        });
        let mut fate = self.rates.fate(&mut self.rng, op);
        if self.outage(pid, conn, op) {
            fate.act = if matches!(op, Op::Anonymous | Op::Probe) && self.is_nonsense(conn) {
                Act::Refuse(Fail::NotFound)
            } else if op == Op::Create && self.rng.one_in(2) {
                Act::Vanish(Fail::Unavailable)
            } else if self.rng.one_in(2) && op.refusals().contains(&Fail::Timeout) {
                Act::Refuse(Fail::Timeout)
            } else if op.refusals().contains(&Fail::Unavailable) {
                Act::Refuse(Fail::Unavailable)
            } else if op == Op::Create {
                Act::Refuse(Fail::Unreachable)
            } else {
                Act::Refuse(Fail::Io)
            };
        }
        if self.rates.freeze > 0 && self.rng.chance(self.rates.freeze) {
            let bound = if op == Op::Promote {
                MINUTE
            } else {
                self.rng.pick(&[30 * SECOND, 10 * MINUTE, 2 * HOUR])
            };
            let span = self.rng.below(bound);
            if self.skews.is_empty() {
                self.freeze(pid, span);
            } else {
                // Anywhere on its way, or between what it came back with and the next call.
                let at = self.now + self.rng.below(fate.before + fate.after + 2);
                self.schedule(at, Event::FreezeOne { pid, span });
            }
        }
        if let Some(injection) = self.injection
            && injection.pid == pid
        {
            if self.recorded.len() < 10_000 {
                self.recorded.push(op);
            }
            if injection.call == call {
                fate.act = injection.act;
                if injection.away > 0 {
                    let (from, to) = (self.now + 1, self.now + injection.away);
                    let (conn, node, what) = (None, None, Service::Ledger);
                    self.outages.push(Outage { conn, node, what, from, to });
                }
                self.note(|| format!("{pid:?} call {call} {op:?}: {:?}", injection.act));
            }
        }
        self.outage_at_call(conn, op, fate.act);
        if fate.act != Act::Go {
            self.note(|| format!("{pid:?} {op:?} {conn:?}: {:?}", fate.act));
        }
        fate
    }

    fn is_nonsense(&self, conn: Option<usize>) -> bool {
        let now = self.now;
        let is = |outage: &Outage| outage.what == Service::Nonsense && outage.conn == conn;
        self.outages.iter().any(|one| is(one) && one.from <= now && now < one.to)
    }

    fn outage(&self, pid: Pid, conn: Option<usize>, op: Op) -> bool {
        let (now, node) = (self.now, self.node(pid));
        self.outages.iter().any(|outage| {
            outage.from <= now
                && now < outage.to
                && (outage.conn.is_none() || outage.conn == conn)
                && outage.node.is_none_or(|one| one == node)
                && match outage.what {
                    Service::Provider => {
                        matches!(
                            op,
                            Op::List | Op::Create | Op::Revoke | Op::Inspect | Op::Configure
                        )
                    }
                    Service::Endpoint | Service::Nonsense => {
                        matches!(op, Op::Anonymous | Op::Probe | Op::User)
                    }
                    // Sinks ask for themselves: the call does not say which one it is.
                    Service::Sink(_) => false,
                    Service::Ledger => op.is_ledger(),
                }
        })
    }
}
