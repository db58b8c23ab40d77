//! Hooks that fail, hang and succeed: none of it may change what becomes of a token.

use std::sync::Arc;

use async_trait::async_trait;
use scimitar::{
    error::{Class, Code, Fault},
    hook::{Hook, Hooks, Message},
    rotation::notice::OCCASIONS,
    token::HookName,
};

/// The hooks of a connection: every other one has some.
pub(crate) fn of(conn: usize) -> Arc<Hooks> {
    let mut hooks = Hooks::default();
    if conn.is_multiple_of(2) {
        let name = HookName::try_new("after").expect("a name");
        hooks.add(OCCASIONS.into(), Arc::new(SimHook(name)));
    }
    Arc::new(hooks)
}

/// How it ends depends on what it is told alone, so that a life can be lived again.
#[derive(Debug)]
struct SimHook(HookName);

#[async_trait]
impl Hook for SimHook {
    fn name(&self) -> &HookName {
        &self.0
    }

    async fn run(&self, message: &Message) -> Result<(), Fault> {
        let (class, code) = match message.id().chars().next() {
            Some('0') => (Class::Terminal, Code::Invalid),
            Some('1') => (Class::Transient, Code::Timeout),
            Some(_) | None => return Ok(()),
        };
        Err(Fault::new("run the hook after", class, code, "it fails at this one"))
    }
}
