//! Sinks with versions, foreign keys, and a fence where nothing else protects them.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use scimitar::{
    engine::worker::Reopen,
    error::{Class, Code, Fault},
    rotation::uptake::{Account, Uptake},
    sink::{Contents, Delivery, Fence, Marks, Place, Reading, Sink, Staged, Version},
    token::{TokenId, TokenValue},
};

use super::{
    calls::Step,
    conn::{Author, Held},
    faults::{Fail, Op},
    observe::Change,
    provider::Late,
    world::{Pid, Sim, World},
};

impl World {
    /// Makes a parcel what a sink holds: the effect of a promote.
    pub(crate) fn write_sink(
        &mut self,
        conn: usize,
        index: usize,
        pid: Pid,
        delivery: &Delivery,
        expected: &str,
    ) -> Result<Version, Fault> {
        let sink = &self.conns[conn].sinks[index];
        // What cannot be read has no version to compare; the last write wins there.
        if sink.readable && sink.state().0 != expected {
            let now = sink.state().0;
            return Err(Fault::new(
                "write the sink",
                Class::Conflict,
                Code::Changed,
                format!("it is at {now}, not at {expected}"),
            ));
        }
        // As every sink does, whoever put the later one there.
        let later = |marks: &Marks| {
            marks.ledger == delivery.marks.ledger && marks.generation > delivery.marks.generation
        };
        let known = sink.held.as_ref().and_then(|held| held.marks.as_ref());
        if let Some(later) = known.filter(|marks| sink.readable && later(marks)) {
            return Err(Fault::new(
                "write the sink",
                Class::Conflict,
                Code::Changed,
                format!("it holds the later generation {}", later.generation),
            ));
        }
        let held = Held {
            value: delivery.value.expose().into(),
            marks: Some(delivery.marks.clone()),
            author: Author::Worker(pid),
        };
        let now = self.now;
        self.outage_budget(conn);
        self.written_elsewhere(conn, index, &delivery.marks.token_id);
        self.conns[conn].put(index, Some(held), now);
        self.conns[conn].sinks[index].staged = None;
        self.start_client(conn, index);
        let version = self.conns[conn].sinks[index].state();
        self.note(|| {
            let Version(state) = &version;
            format!("sink [{conn}.{index}] holds {} at {state}", delivery.marks.token_id)
        });
        self.promise_1(conn, "a token was promoted");
        Ok(version)
    }

    fn read_sink(&mut self, conn: usize, index: usize, pid: Pid) -> Reading {
        let now = self.now;
        self.attempt(pid, conn).reads.insert(index, now);
        self.outage_read(conn, index);
        let sink = &self.conns[conn].sinks[index];
        let contents = match &sink.held {
            None => Contents::Empty,
            Some(held) => {
                let value = TokenValue::try_new(held.value.to_string()).ok();
                match (&held.marks, value) {
                    (Some(marks), Some(value)) => Contents::Marked { marks: marks.clone(), value },
                    (Some(_) | None, value) => Contents::Unmarked { value },
                }
            }
        };
        let mut reading = Reading::new(sink.state(), contents);
        reading.container = sink.readable.then(|| sink.container());
        // Its first version would be what readers get.
        if sink.stages && sink.held.is_some() {
            let value = |held: &Held| TokenValue::try_new(held.value.to_string()).ok();
            let staged = sink.staged.as_ref();
            reading.staged = match staged.and_then(|held| held.marks.clone().zip(value(held))) {
                Some((marks, value)) => Staged::Token { marks, value },
                None => Staged::Nothing,
            };
        }
        reading
    }
}

/// One process's client of one sink.
pub(crate) struct SimSink {
    sim: Sim,
    pid: Pid,
    conn: usize,
    index: usize,
    place: Place,
    readable: bool,
    fenced: bool,
    stages: bool,
    uptake: Uptake,
}

impl SimSink {
    pub(crate) fn open(sim: &Sim, pid: Pid, conn: usize, index: usize) -> Self {
        let world = sim.lock();
        let sink = &world.conns[conn].sinks[index];
        Self {
            sim: sim.clone(),
            pid,
            conn,
            index,
            place: sink.place.clone(),
            readable: sink.readable,
            fenced: sink.fenced,
            stages: sink.stages,
            uptake: sink.uptake(),
        }
    }

    /// A call that fails while the sink is out.
    async fn call<T: Send>(
        &self,
        op: Op,
        late: Option<Late>,
        effect: impl FnOnce(&mut World) -> Result<T, Fault> + Send,
    ) -> Result<T, Fault> {
        let (pid, conn, index) = (self.pid, self.conn, self.index);
        self.sim
            .call(pid, conn, op, late, move |world| {
                if world.sink_is_out(pid, conn, index) {
                    world.conns[conn].cut_off.muddled = true;
                    return Err(Fail::Unavailable.fault(op, false));
                }
                effect(world)
            })
            .await
    }
}

impl fmt::Debug for SimSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimSink")
    }
}

#[async_trait]
impl Sink for SimSink {
    fn place(&self) -> &Place {
        &self.place
    }

    fn readable(&self) -> bool {
        self.readable
    }

    fn uptake(&self) -> Uptake {
        self.uptake.clone()
    }

    async fn client(&self, delivered: &Version) -> Result<Account, Fault> {
        let (conn, index) = (self.conn, self.index);
        self.call(Op::Ask, None, |world| Ok(world.account(conn, index, delivered))).await
    }

    fn lingers(&self) -> Duration {
        // The way there, the time-out, and a minute.
        Duration::from_secs(if self.fenced { 0 } else { 150 })
    }

    async fn read(&self) -> Result<Reading, Fault> {
        if !self.readable {
            return Err(Fail::Forbidden.fault(Op::Read, false));
        }
        let (pid, conn, index) = (self.pid, self.conn, self.index);
        self.call(Op::Read, None, |world| Ok(world.read_sink(conn, index, pid))).await
    }

    async fn prove_writable(&self, _seen: &Reading) -> Result<(), Fault> {
        let (pid, conn, index) = (self.pid, self.conn, self.index);
        self.call(Op::Prove, None, |world| {
            world.promise_observe(pid, conn, Change::Prove);
            world.attempt(pid, conn).proved.insert(index);
            Ok(())
        })
        .await
    }

    async fn stage(&self, delivery: &Delivery, _fence: &dyn Fence) -> Result<(), Fault> {
        let (pid, conn, index) = (self.pid, self.conn, self.index);
        self.sim.lock().before_stage(pid, conn, index, delivery);
        let delivery = Box::new(delivery.clone());
        let late = Late::Stage { conn, sink: index, pid, delivery: delivery.clone() };
        self.call(Op::Stage, Some(late), |world| {
            world.stage_in(conn, index, pid, &delivery);
            Ok(())
        })
        .await
    }

    fn keeps_earlier(&self) -> bool {
        self.stages
    }

    async fn forget(&self, id: &TokenId, _earlier: Option<&Version>) -> Result<(), Fault> {
        let (pid, conn, index) = (self.pid, self.conn, self.index);
        self.call(Op::Forget, None, |world| {
            world.promise_observe(pid, conn, Change::Forget);
            world.forget_in(conn, index, id);
            Ok(())
        })
        .await
    }

    async fn promote(
        &self,
        delivery: &Delivery,
        expected: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let (pid, conn, index) = (self.pid, self.conn, self.index);
        self.sim.lock().before_promote(pid, conn, index, delivery);
        if !self.fenced {
            let late = Late::Promote {
                conn,
                sink: index,
                pid,
                delivery: Box::new(delivery.clone()),
                expected: expected.0.clone(),
            };
            return self
                .call(Op::Promote, Some(late), |world| {
                    world.write_sink(conn, index, pid, delivery, &expected.0)
                })
                .await;
        }
        // A lock file is held over compare, fence and rename: nothing comes between, and nothing
        // comes late.
        match self.sim.begin(pid, Some(conn), Op::Promote).await {
            Step::Answer(fault) => Err(fault),
            Step::Do(rest) | Step::Later(_, rest) => {
                fence.check().await?;
                let result = {
                    let mut world = self.sim.lock();
                    if world.sink_is_out(pid, conn, index) {
                        Err(Fail::Io.fault(Op::Promote, false))
                    } else {
                        world.write_sink(conn, index, pid, delivery, &expected.0)
                    }
                };
                self.sim.end(rest).await.and(result)
            }
        }
    }
}

/// Makes sinks that left the policy readable again.
pub(crate) struct SimReopen {
    pub(crate) sim: Sim,
    pub(crate) pid: Pid,
    pub(crate) conn: usize,
}

impl fmt::Debug for SimReopen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimReopen")
    }
}

impl Reopen for SimReopen {
    fn reopen(&self, place: &Place) -> Option<Arc<dyn Sink>> {
        let index = {
            let world = self.sim.lock();
            let sinks = &world.conns[self.conn].sinks;
            sinks
                .iter()
                .position(|sink| sink.place.key == place.key && (sink.in_policy || sink.reopens))?
        };
        Some(Arc::new(SimSink::open(&self.sim, self.pid, self.conn, index)))
    }
}
