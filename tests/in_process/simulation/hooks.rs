//! Hooks that fail, hang, are slow and succeed: none of it may change what becomes of a token.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use scimitar::{
    clock::parse_timestamp,
    error::{Class, Code, Fault},
    hook::{Hook, Hooks, Message},
    rotation::notice::{OCCASIONS, Occasion},
    token::HookName,
};

use super::{
    clock::Pause,
    world::{DAY, HOUR, Ms, SECOND, Sim, World},
};

/// The hooks of a connection: every other one has some.
pub(crate) fn of(sim: &Sim, conn: usize) -> Arc<Hooks> {
    let mut hooks = Hooks::default();
    if conn.is_multiple_of(2) {
        let name = HookName::try_new("after").expect("a name");
        hooks.add(OCCASIONS.into(), Arc::new(SimHook(sim.clone(), name, conn)));
    }
    Arc::new(hooks)
}

/// How it ends depends on what it is told alone, so that a life can be lived again.
#[derive(Debug)]
struct SimHook(Sim, HookName, usize);

#[async_trait]
impl Hook for SimHook {
    fn name(&self) -> &HookName {
        &self.1
    }

    fn longest(&self) -> Duration {
        Duration::from_secs(40)
    }

    async fn run(&self, message: &Message) -> Result<(), Fault> {
        self.0.lock().told_once(self.2, message);
        let (takes, class, code) = match message.id().chars().next() {
            Some('0') => (0, Class::Terminal, Code::Invalid),
            Some('1') => (40, Class::Transient, Code::Timeout),
            Some('2') => (15, Class::Transient, Code::Unavailable),
            Some('3') => {
                Pause::new(&self.0, 20 * SECOND).await;
                return Ok(());
            }
            Some(_) | None => return Ok(()),
        };
        Pause::new(&self.0, takes * SECOND).await;
        Err(Fault::new("run the hook after", class, code, "it fails at this one"))
    }
}

impl World {
    /// One occasion is told in one notice, however often that is tried: a threshold of a token, an
    /// unmanaged token, what a place holds since a moment, a revocation that is stuck.
    fn told_once(&mut self, conn: usize, message: &Message) {
        let fields: BTreeMap<_, _> = message.fields().into_iter().collect();
        let field = |name: &str| fields[name].clone().unwrap_or_default();
        let occasion = OCCASIONS.into_iter().find(|occasion| occasion.as_str() == message.event());
        let (what, lasts): (String, Ms) = match occasion {
            Some(Occasion::Expiring) => (field("token_id") + &field("threshold"), Ms::MAX),
            Some(Occasion::Unmanaged) => (field("token_id"), 20 * DAY),
            Some(Occasion::Drift) => (field("at") + &field("why"), Ms::MAX),
            // One that comes back may be stuck again.
            Some(Occasion::RevocationBlocked) => (field("token_id"), HOUR),
            // People are reminded daily.
            Some(Occasion::Handoff) => (field("token_id") + &field("why"), 23 * HOUR),
            Some(
                Occasion::Delivered | Occasion::Revoked | Occasion::Failed | Occasion::Refused,
            )
            | None => return,
        };
        let key = format!("{} {what}", message.event());
        // A reminder counts from the one before, however late that could be told.
        let at = parse_timestamp(&field("at")).map(|at| at.timestamp_millis());
        let reminds = occasion == Some(Occasion::Handoff);
        let now = at.filter(|_| reminds).unwrap_or(self.now);
        let id = message.id().to_owned();
        let told = &mut self.conns[conn].told;
        match told.get(&key) {
            // Tried again.
            Some((before, _)) if *before == id => return,
            Some((_, at)) if now - at < lasts => {
                return self.violate("once", format!("{key} is told again, as another event"));
            }
            Some(_) | None => {}
        }
        told.insert(key, (id, now));
    }
}
