//! Looking: the provider's list, what the places hold, and whether a rotation could be finished.

use std::collections::{BTreeMap, BTreeSet};

use super::run::{Run, Stop, unasked};
use crate::{
    error::{Class, Code, Fault},
    rotation::{
        event::Event,
        observe::{Held, SeenList, SeenSink},
    },
    sink::{Contents, Reading},
    token::PlaceKey,
};

impl Run<'_> {
    pub(super) async fn look(
        &mut self,
        list: bool,
        places: &BTreeSet<PlaceKey>,
    ) -> Result<(), Stop> {
        let mut seen_list = None;
        if list {
            let provider = self.connection.provider.clone();
            let call = self.call();
            match self.guarded(provider.list(call)).await? {
                Ok(listing) => {
                    let at = self.now();
                    let provider_time = listing.provider_time.unwrap_or(at);
                    let seen = SeenList { at, provider_time, tokens: listing.tokens };
                    seen_list = Some(seen.clone());
                    self.observed.list = Some(Ok(seen));
                }
                Err(fault) => {
                    self.observed.list = Some(Err(fault.clone()));
                    let before = self.record.troubles.look.clone();
                    let trouble = self.trouble(before.as_ref(), fault);
                    self.store(Event::LookFailed(trouble), "the provider could not be listed")
                        .await?;
                }
            }
        }
        let mut sinks = BTreeMap::new();
        let mut troubles = BTreeMap::new();
        for place in places {
            let seen = SeenSink { at: self.now(), held: self.read(place).await };
            if let Held::Unreadable(fault) = &seen.held {
                let before = self.record.sinks.get(place).and_then(|sink| sink.trouble.clone());
                troubles.insert(place.clone(), self.trouble(before.as_ref(), fault.clone()));
            }
            self.observed.sinks.insert(place.clone(), seen.clone());
            sinks.insert(place.clone(), seen);
        }
        self.store(Event::Looked { list: seen_list, sinks, troubles }, "looked").await?;
        if let Ok(losses) = self.engine.ledger.losses(&self.record.key.tenant).await {
            self.observed.losses = (losses.connections, losses.lost);
        }
        Ok(())
    }

    async fn read(&mut self, place: &PlaceKey) -> Held {
        let Some(sink) = self.sink(place) else {
            return Held::Unreadable(Fault::new(
                format!("read {place}"),
                Class::Terminal,
                Code::Io,
                "it left the policy and its [sinks] entry is gone as well: put that back until the tokens delivered there are revoked",
            ));
        };
        let reading = match sink.read().await {
            Ok(reading) => reading,
            Err(fault) => return Held::Unreadable(fault),
        };
        let version = reading.version.clone();
        let own_id = |value| self.connection.provider.id_in(value);
        let held = match &reading.contents {
            Contents::Empty => Held::Nothing(version),
            Contents::Marked { marks, value } => {
                // A value that names itself is believed before what stands beside it.
                let named = own_id(value);
                let marks = Some(marks.clone())
                    .filter(|marks| named.as_ref().is_none_or(|id| *id == marks.token_id));
                match marks.as_ref().map(|marks| marks.token_id.clone()).or(named) {
                    Some(id) => {
                        self.values.insert(id.clone(), value.clone());
                        Held::Token { id, marks, version }
                    }
                    None => Held::Unknown(version),
                }
            }
            Contents::Unmarked { value } => {
                match value.as_ref().and_then(|value| Some((own_id(value)?, value))) {
                    Some((id, value)) => {
                        self.values.insert(id.clone(), value.clone());
                        Held::Token { id, marks: None, version }
                    }
                    None => Held::Unknown(version),
                }
            }
        };
        self.readings.insert(place.clone(), reading);
        held
    }

    /// Shows, without a write that a reader could see, that a rotation could be finished.
    pub(super) async fn preflight(&mut self) -> Result<(), Stop> {
        let mut shown = Ok(());
        for sink in &self.connection.sinks {
            let unasked =
                Reading { version: unasked(), contents: Contents::Unmarked { value: None } };
            let reading = self.readings.get(&sink.place().key).unwrap_or(&unasked);
            shown = self.guarded(sink.prove_writable(reading)).await?;
            if shown.is_err() {
                break;
            }
        }
        if shown.is_ok() {
            let endpoint = self.connection.provider.scim_endpoint(&self.record.key.connection);
            shown = self.guarded(self.connection.probe.anonymous(&endpoint)).await?;
        }
        match shown {
            Ok(()) => {
                self.observed.preflight = Some(self.now());
                Ok(())
            }
            Err(fault) => {
                let before = self.record.troubles.mint.clone();
                let trouble = self.trouble(before.as_ref(), fault);
                self.store(
                    Event::MintFailed { trouble, no_slot: false },
                    "nothing is minted that cannot be delivered",
                )
                .await
            }
        }
    }
}
