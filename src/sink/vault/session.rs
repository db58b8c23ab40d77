//! The session: one token for all calls, kept alive, had anew, and given back.

use std::{
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use chrono::TimeDelta;
use vaultrs::api::token::requests::{
    LookupTokenSelfRequest, RenewTokenSelfRequest, RevokeTokenSelfRequest,
};

use super::{
    access::{Access, State},
    answers::{self, Effect},
    auth::Keeping,
    login::LoggedIn,
    server::VaultServer,
};
use crate::{
    clock::Timestamp,
    error::{Class, Fault},
};

/// How soon a renewal is tried again, at the soonest.
const SOONEST: TimeDelta = TimeDelta::seconds(1);

/// A token that lives and is not older than this has the policies of today: another one would have
/// no others.
const YOUNG: TimeDelta = TimeDelta::seconds(30);

/// How long a refused log-in is taken to be refused again: servers lock out who tries too often, and
/// many places may ask one after the other.
const REFUSED: TimeDelta = TimeDelta::seconds(5);

/// What came of asking for a longer life.
enum Renewal {
    /// It lives longer.
    Longer(Access),
    /// It does not, and will not: that is refused, or the end of its longest life is near.
    AtItsEnd,
    /// Nobody knows; it may be asked for again.
    Unanswered,
}

impl VaultServer {
    /// A token: the cached one while it is good, else a new one.
    pub(super) async fn access(self: &Arc<Self>) -> Result<Arc<Access>, Fault> {
        self.get(None).await
    }

    /// Another token than the one that was just refused; `None` where this one was had a moment ago and
    /// lives: another one would have the same policies.
    pub(super) async fn replace(
        self: &Arc<Self>,
        refused: &Access,
    ) -> Result<Option<Arc<Access>>, Fault> {
        let age = self.clock.now() - refused.since;
        if TimeDelta::zero() <= age && age < YOUNG && self.lives(refused).await {
            return Ok(None);
        }
        self.get(Some(refused)).await.map(Some)
    }

    /// Whether the token is known to live; one that may not ask that is not.
    async fn lives(&self, access: &Access) -> bool {
        let call = LookupTokenSelfRequest {};
        let asked = self.ask("look up the token", call, Some(&access.token)).await;
        asked.is_ok_and(|reply| reply.status == 200)
    }

    /// Callers at the same time share one attempt and its outcome.
    async fn get(self: &Arc<Self>, refused: Option<&Access>) -> Result<Arc<Access>, Fault> {
        let attempts = self.session.attempts.load(Ordering::Acquire);
        // Held over an await: whoever holds it logs in for all who wait.
        let mut state = self.session.state.lock().await;
        let now = self.clock.now();
        let good = state.access.clone().filter(|access| {
            access.ends_at.is_none_or(|end| now < end)
                && refused.is_none_or(|refused| refused.serial != access.serial)
        });
        if let Some(access) = good {
            if state.renew_at.is_some_and(|at| at <= now) {
                self.prolong(&mut state, &access).await;
            }
            // What took its place is at least as good.
            return Ok(state.access.clone().unwrap_or(access));
        }
        let ended = self.session.attempts.load(Ordering::Acquire);
        if let Some((at, fault)) = &state.failure {
            let again = fault.class == Class::Terminal && (now - *at).abs() < REFUSED;
            if again || ended != attempts {
                return Err(fault.clone());
            }
        }
        let before = state.access.clone();
        let access = self.log_in_anew(&mut state).await?;
        if let Some(before) = before.filter(|_| refused.is_some()) {
            // It may live: what was refused may have been one call of it.
            self.give_back(&before).await;
        }
        Ok(access)
    }

    async fn log_in_anew(self: &Arc<Self>, state: &mut State) -> Result<Arc<Access>, Fault> {
        let serial = self.session.attempts.load(Ordering::Acquire).wrapping_add(1);
        let outcome = self.log_in(state, serial).await;
        self.session.attempts.store(serial, Ordering::Release);
        match outcome {
            Ok(access) => {
                let access = Arc::new(access);
                state.renew_at = self.renew_at(&access);
                state.access = Some(access.clone());
                state.failure = None;
                if state.renew_at.is_some() && !self.session.keeper.swap(true, Ordering::AcqRel) {
                    tokio::spawn(keeper(Arc::downgrade(self)));
                }
                Ok(access)
            }
            Err(fault) => {
                state.failure = Some((self.clock.now(), fault.clone()));
                Err(fault)
            }
        }
    }

    /// At two thirds of what is left, a little earlier so that not everybody comes at once.
    fn renew_at(&self, access: &Access) -> Option<Timestamp> {
        let now = self.clock.now();
        let left = access.ends_at? - now;
        if left <= TimeDelta::zero() {
            return None;
        }
        let share = i32::try_from(self.entropy.bits() % 100).unwrap_or(0);
        let at = now + left * 2 / 3 - left * share / 2000;
        Some(at.max(now + SOONEST))
    }

    /// Renews the token, or has a new one where that cannot be; a token that still lives is kept
    /// whatever comes of it.
    async fn prolong(self: &Arc<Self>, state: &mut State, access: &Arc<Access>) {
        if access.renewable {
            match self.renew(access).await {
                Renewal::Longer(renewed) => {
                    state.renew_at = self.renew_at(&renewed);
                    state.access = Some(Arc::new(renewed));
                    return;
                }
                Renewal::Unanswered => {
                    state.renew_at = self.renew_at(access);
                    return;
                }
                Renewal::AtItsEnd => {}
            }
        } else if self.settings.auth.method.keeping() == Keeping::Given {
            // Nothing but another token in its place can help; it is read again when this ends.
            state.renew_at = None;
            return;
        }
        let as_it_is = Arc::new(access.unrenewable());
        match self.log_in_anew(state).await {
            // No other token has been put in its place.
            Ok(other) if other.token.expose() == access.token.expose() => {
                state.access = Some(as_it_is);
                state.renew_at = None;
            }
            Ok(_) => {}
            Err(fault) => {
                tracing::warn!(sink = %self.settings.sink, error = %fault, "{}: login renewal failed; still using the current token: {fault}", self.settings.sink);
                state.renew_at = self.renew_at(&as_it_is);
                state.access = Some(as_it_is);
            }
        }
    }

    /// Asks for a longer life.
    ///
    /// # If the answer is lost
    /// The token may live longer than is known here.
    async fn renew(&self, access: &Access) -> Renewal {
        let Ok(call) = RenewTokenSelfRequest::builder().build() else { return Renewal::AtItsEnd };
        let Ok(reply) = self.ask("renew the token", call, Some(&access.token)).await else {
            return Renewal::Unanswered;
        };
        let granted = match reply.status {
            200 => reply.json::<LoggedIn>().ok().and_then(|answer| answer.auth),
            _ => {
                let fault = answers::refused("renew the token", &reply, Effect::None);
                tracing::debug!(sink = %self.settings.sink, error = %fault, "the log-in was not renewed");
                return match fault.class {
                    Class::Terminal | Class::Conflict => Renewal::AtItsEnd,
                    Class::Transient | Class::Ambiguous => Renewal::Unanswered,
                };
            }
        };
        let Some(granted) = granted else { return Renewal::Unanswered };
        let life = Duration::from_secs(granted.lease_duration);
        if access.life.is_none_or(|first| life < first / 2) {
            return Renewal::AtItsEnd;
        }
        Renewal::Longer(access.renewed(self.clock.now(), life, granted.renewable))
    }

    /// Gives the token back at the end of the process; one that was given to us stays.
    pub async fn close(&self) {
        let access = self.session.state.lock().await.access.take();
        if let Some(access) = access {
            self.give_back(&access).await;
        }
    }

    /// Ends a token that was had by logging in.
    ///
    /// # If the answer is lost
    /// The token may live on to the end of its life.
    async fn give_back(&self, access: &Access) {
        if self.settings.auth.method.keeping() == Keeping::Given {
            return;
        }
        let call = RevokeTokenSelfRequest {};
        match self.ask("revoke the token", call, Some(&access.token)).await {
            Ok(reply) if reply.status == 204 || reply.status == 200 => {}
            Ok(reply) => {
                let fault = answers::refused("revoke the log-in's token", &reply, Effect::None);
                tracing::debug!(sink = %self.settings.sink, error = %fault, "the log-in was not ended");
            }
            Err(fault) => {
                tracing::debug!(sink = %self.settings.sink, error = %fault, "the log-in was not ended");
            }
        }
    }

    /// Renews when it is due, and says when it is next.
    async fn tend(self: &Arc<Self>) -> Option<Timestamp> {
        let mut state = self.session.state.lock().await;
        if let Some(access) = state.access.clone()
            && state.renew_at.is_some_and(|due| due <= self.clock.now())
        {
            self.prolong(&mut state, &access).await;
        }
        let next = state.renew_at.filter(|_| state.access.is_some());
        if next.is_none() {
            // While nobody else can log in: whoever does next starts another keeper.
            self.session.keeper.store(false, Ordering::Release);
        }
        next
    }
}

/// [`keep`], which logs in and so may start another one, as a future of a known type.
fn keeper(server: Weak<VaultServer>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(keep(server))
}

/// Keeps the token alive between calls, as long as there is a server to keep it for: a wrapped
/// secret id and a given token are worth nothing once it has ended.
async fn keep(server: Weak<VaultServer>) {
    while let Some(strong) = server.upgrade() {
        let Some(due) = strong.tend().await else { return };
        let clock = strong.clock.clone();
        drop(strong);
        clock.sleep_until(due).await;
    }
}
