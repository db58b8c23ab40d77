//! Calls with the session's token. A call that is refused is retried once after a new login.

use std::sync::Arc;

use rustify::endpoint::Endpoint as Call;

use super::{
    answer::Answer,
    answers::{self, Effect},
    server::VaultServer,
};
use crate::error::{Class, Code, Fault};

impl VaultServer {
    /// Makes a call with a token. A 403 is answered once by a fresh log-in: it says the same of a
    /// token that has ended and of one that may not. One that was had a moment ago and lives is
    /// not replaced.
    ///
    /// # If the answer is lost
    /// A call that writes may have been carried out, now or later.
    pub(super) async fn send<E: Call>(
        self: &Arc<Self>,
        operation: &str,
        effect: Effect,
        call: impl Fn() -> E,
    ) -> Result<Arc<Answer>, Fault> {
        let namespace = self.settings.namespace.as_deref();
        self.send_within(namespace, operation, effect, call).await
    }

    /// The same in another namespace than that of the secrets.
    ///
    /// # If the answer is lost
    /// A call that writes may have been carried out, now or later.
    pub(super) async fn send_within<E: Call>(
        self: &Arc<Self>,
        namespace: Option<&str>,
        operation: &str,
        effect: Effect,
        call: impl Fn() -> E,
    ) -> Result<Arc<Answer>, Fault> {
        let access = self.access().await?;
        let reply = self.once(namespace, operation, effect, call(), &access.token).await?;
        if reply.status != 403 || answers::errors(&reply).is_none() {
            self.session.heard_of();
            return Ok(reply);
        }
        let fresh = self.replace(&access).await.map_err(|fault| Fault {
            operation: operation.to_owned(),
            detail: format!("answered 403, and then: {fault}"),
            ..fault
        })?;
        match fresh {
            Some(fresh) => {
                let reply = self.once(namespace, operation, effect, call(), &fresh.token).await?;
                if answers::unknown_token(&reply) {
                    let mut words = "answered 403 to a token that was issued a moment ago: a \
                                     standby that does not know it yet"
                        .to_owned();
                    if self.session.unheard_of_again() {
                        words.push_str(
                            ", or the token is bound to other addresses than the one that Scimitar \
                             calls from (token_bound_cidrs of the role)",
                        );
                    }
                    let code = Code::Unavailable;
                    return Err(Fault::new(operation, Class::Transient, code, words));
                }
                self.session.heard_of();
                Ok(reply)
            }
            // Whether it may do this, or was not heard of when it was refused: a refused call did
            // nothing, so it is made once more.
            None => {
                self.session.heard_of();
                self.once(namespace, operation, effect, call(), &access.token).await
            }
        }
    }
}
