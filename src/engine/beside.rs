//! Tags, labels and the like beside tokens that were delivered.

use std::sync::Arc;

use chrono::TimeDelta;

use super::{guard::within, lease::Stop, run::Run};
use crate::{
    error::{Class, Code, Fault},
    ledger::Durability,
    place::Place,
    sink::{Delivery, Sink},
    telemetry::metrics::UNLABELLED,
};

/// How long that may take for all places of a connection: its hooks wait for it.
const LONGEST: TimeDelta = TimeDelta::seconds(15);

impl Run<'_> {
    /// Puts them there once everything else is done. No token depends on them: what fails is told, and done
    /// again with the next delivery.
    pub(super) async fn say_beside(&mut self) -> Result<(), Stop> {
        let until = self.now() + LONGEST;
        while let Some((_, (sink, delivery))) = self.memory.beside.pop_first() {
            let left = (until - self.now()).max(TimeDelta::zero());
            match self.say_beside_one(&sink, &delivery, left).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => self.unsaid(&*sink, &fault),
                // The call ends: how it ended does not depend on this.
                Err(Stop::OutOfTime(_)) => {
                    self.unsaid(&*sink, &no_time(&*sink));
                    self.leave_unsaid();
                }
                Err(stop) => {
                    self.unsaid(&*sink, &no_time(&*sink));
                    return Err(stop);
                }
            }
        }
        Ok(())
    }

    /// Tells of those for which there was no time.
    pub(super) fn leave_unsaid(&mut self) {
        for (sink, _) in std::mem::take(&mut self.memory.beside).into_values() {
            self.unsaid(&*sink, &no_time(&*sink));
        }
    }

    async fn say_beside_one(
        &mut self,
        sink: &Arc<dyn Sink>,
        delivery: &Delivery,
        left: TimeDelta,
    ) -> Result<Result<(), Fault>, Stop> {
        self.lease.ready(Durability::Now).await?;
        let fence = self.lease.fence();
        let clock = self.engine().clock.clone();
        let saying = within(&*clock, left, doing(&**sink), sink.say_beside(delivery, &fence));
        self.guarded(self.at_place(Some(&**sink), "label", saying)).await
    }

    fn unsaid(&self, sink: &dyn Sink, fault: &Fault) {
        let Place { sink: label, location, .. } = sink.place();
        let name = &self.record().name;
        let says_how = fault.to_string().contains("`scimitar permissions`");
        let forbidden = fault.code == Code::Forbidden && !says_how;
        let way_out = if forbidden {
            "; grant the permission that `scimitar permissions` prints"
        } else {
            ""
        };
        tracing::warn!(
            connection = %name, sink = %label, %location, error = %fault,
            "{name}: token delivered, but {fault}{way_out}. The next delivery retries this"
        );
        self.engine().metrics.sink_write(label, UNLABELLED);
    }
}

fn doing(sink: &dyn Sink) -> String {
    format!("write the tags, labels or metadata of {}", sink.place().location)
}

fn no_time(sink: &dyn Sink) -> Fault {
    let words = "the call ended before this was done";
    Fault::new(doing(sink), Class::Transient, Code::Timeout, words)
}
