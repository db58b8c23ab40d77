//! What is not the product: the script that a user would write instead, and saboteurs. The checks
//! must catch each of them, else they check nothing.

use async_trait::async_trait;
use scimitar::{
    error::Fault,
    ledger::{Claimed, Entry, Ledger},
    provider::{Call, Urgency},
    rotation::record::Record,
    sink::{Delivery, Fence, Marks, Version},
    token::{LedgerId, MintRequest, Minted, TokenId},
};
use std::time::Duration;

use super::{
    clock::{Pause, SimClock, timestamp},
    ledger::SimLedger,
    process::connection,
    world::{HOUR, Pid, Sim},
};

/// A wrong process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// List, create, probe, write, delete the older ones: no crash safety, no overlap.
    Naive,
    /// The same in the careful order, but the older one is deleted before the overlap is over.
    Hasty,
    /// Deletes the token that the sinks hold.
    DeletesCurrent,
    /// Deletes a token that a person made.
    DeletesStranger,
    /// Writes a value into the ledger's history.
    Leaks,
    /// Writes a token to a sink that was never shown to the SCIM endpoint.
    Unproven,
}

#[derive(Debug)]
struct NoFence;

#[async_trait]
impl Fence for NoFence {
    async fn check(&self) -> Result<(), Fault> {
        Ok(())
    }
}

impl Script {
    /// Runs the script once.
    pub(crate) async fn play(self, sim: Sim, pid: Pid, conn: usize) {
        // What goes wrong with its calls ends the script, as it would end a user's.
        let _ = self.run(&sim, pid, conn).await;
    }

    async fn run(self, sim: &Sim, pid: Pid, conn: usize) -> Result<(), Fault> {
        let world = connection(sim, pid, conn);
        let id = world.policy.key.connection.clone();
        let call = Call { connection: &id, urgency: Urgency::Routine, not_after: None };
        let endpoint = world.provider.scim_endpoint(&id);
        let before = world.provider.list(call).await?;
        match self {
            Self::DeletesCurrent => {
                let held = {
                    let world = sim.lock();
                    world.conns[conn].sinks[0].holds(&world.conns[conn])
                };
                world.places.open()?[0].read().await?;
                if let Some(held) = held {
                    world.provider.revoke(call, &held).await?;
                }
                return Ok(());
            }
            Self::DeletesStranger => {
                for token in &before.tokens {
                    let unmanaged = sim.lock().conns[conn].holders(&token.id).is_empty();
                    if unmanaged {
                        world.provider.revoke(call, &token.id).await?;
                    }
                }
                return Ok(());
            }
            Self::Leaks => {
                leak(sim, pid, conn).await;
                return Ok(());
            }
            Self::Naive | Self::Hasty | Self::Unproven => {}
        }
        let request = MintRequest {
            scopes: super::life::scopes(5),
            life: world.policy.terms.token_lifetime,
            name: None,
        };
        let minted = if self == Self::Naive {
            world.provider.create(call, &request).await?
        } else {
            // Its preparation is not what is to be caught: the world makes the token.
            sim.lock().make(conn, Some(pid), &request)?
        };
        if self != Self::Unproven {
            world.probe.read(&endpoint, &minted.value).await;
        }
        for (nth, sink) in world.places.open()?.iter().enumerate() {
            if self == Self::Hasty {
                let mut guard = sim.lock();
                let delivery = delivery(&world.policy, &minted);
                let state = guard.conns[conn].sinks[nth].state();
                guard.write_sink(conn, nth, pid, &delivery, &state.0)?;
            } else {
                let version = sink.read().await.map_or(Version(String::new()), |it| it.version);
                let delivery = delivery(&world.policy, &minted);
                sink.promote(&delivery, &version, &NoFence).await?;
            }
        }
        Pause::new(sim, HOUR / 60).await;
        for token in before.tokens {
            world.provider.revoke(call, &token.id).await?;
        }
        Ok(())
    }
}

fn delivery(policy: &scimitar::rotation::policy::Policy, minted: &Minted) -> Delivery {
    Delivery {
        value: minted.value.clone(),
        marks: marks(policy, &minted.token.id),
        connection: policy.name.clone(),
        provider: policy.provider.clone(),
        scim_endpoint: "https://acme.example/scim".to_owned(),
        scopes: minted.token.scopes.clone(),
        created_at: minted.token.created_at,
        owner: None,
        expires_at: minted.token.valid_until,
    }
}

fn marks(policy: &scimitar::rotation::policy::Policy, id: &TokenId) -> Marks {
    Marks {
        token_id: id.clone(),
        previous_token_id: None,
        generation: 1,
        ledger: LedgerId::try_new("0123456789abcdef0123456789abcdef").expect("a plain id"),
        connection_id: policy.key.connection.clone(),
    }
}

async fn leak(sim: &Sim, pid: Pid, conn: usize) {
    let (policy, value) = {
        let world = sim.lock();
        let conn = &world.conns[conn];
        let value = conn.sinks[0].held.as_ref().map(|held| held.value.to_string());
        (conn.policy().clone(), value.unwrap_or_default())
    };
    let ledger = SimLedger::open(sim, pid, &SimClock::agreed(sim, pid));
    let claimed = ledger.claim(&policy.key, Duration::from_secs(60)).await;
    let Ok(Claimed::Yes(claim, _)) = claimed else {
        return;
    };
    let record = Record::new(policy.key.clone(), policy.name.clone(), policy.provider.clone());
    let entry = Entry {
        at: timestamp(sim.lock().wall(pid)),
        event: "delivered".to_owned(),
        words: format!("delivered {value}"),
    };
    let _ = ledger.store(&claim, 0, &record, &entry).await;
}
