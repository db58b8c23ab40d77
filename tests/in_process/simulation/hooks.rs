//! Hooks that fail, hang, are slow and succeed: none of it may change what becomes of a token.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use scimitar::{
    error::{Class, Code, Fault},
    hook::{Hook, Hooks, Message},
    rotation::notice::OCCASIONS,
    token::HookName,
};

use super::{
    clock::Pause,
    world::{SECOND, Sim},
};

/// The hooks of a connection: every other one has some.
pub(crate) fn of(sim: &Sim, conn: usize) -> Arc<Hooks> {
    let mut hooks = Hooks::default();
    if conn.is_multiple_of(2) {
        let name = HookName::try_new("after").expect("a name");
        hooks.add(OCCASIONS.into(), Arc::new(SimHook(sim.clone(), name)));
    }
    Arc::new(hooks)
}

/// How it ends depends on what it is told alone, so that a life can be lived again.
#[derive(Debug)]
struct SimHook(Sim, HookName);

#[async_trait]
impl Hook for SimHook {
    fn name(&self) -> &HookName {
        &self.1
    }

    fn longest(&self) -> Duration {
        Duration::from_secs(40)
    }

    async fn run(&self, message: &Message) -> Result<(), Fault> {
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
