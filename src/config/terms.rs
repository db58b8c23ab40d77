//! What a connection's policy comes to, defaults included.

use std::time::Duration;

use super::policy::{Given, Origin, PolicyKeys};
use crate::{
    rotation::{
        freeze::{Freeze, Span},
        policy::{Lead, Retire, Share, Terms},
        schedule::Schedule,
    },
    table::At,
};

/// The share of a life that a token is replaced before its end when nothing else says when.
const DEFAULT_LEAD: f64 = 0.33;

/// The times between two ticks of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gaps {
    pub longest: Duration,
    pub shortest: Duration,
}

/// What a connection's policy comes to, defaults included, with the places that say so.
#[derive(Clone, Debug)]
pub(super) struct GivenTerms<'s> {
    /// Where the connection stands.
    pub at: At<'s>,
    /// Whether its provider's tokens can expire.
    pub expires: bool,
    /// Whether they expire also where no life is asked for.
    pub always_expires: bool,
    /// What their lives are whole multiples of.
    pub step: Duration,
    /// Whether nothing else tells a token of ours from others: its provider knows no names, and it
    /// is no rehearsal.
    pub recommends_life: bool,
    pub lifetime: Option<Given<'s, Duration>>,
    /// `None`: every tick of the schedule is due.
    pub lead: Option<Given<'s, Lead>>,
    pub max_age: Option<Given<'s, Duration>>,
    pub schedule: Option<Given<'s, Gaps>>,
    pub has_timezone: Option<Given<'s, ()>>,
    pub jitter: Option<Given<'s, Duration>>,
    pub window: Option<Given<'s, Duration>>,
    /// Whether the policy says times in which nothing is changed, past ones included.
    pub has_freeze: bool,
    /// The longest freeze that is not over.
    pub freeze: Option<Given<'s, Span>>,
    pub overlap: Given<'s, Duration>,
    pub after_use: bool,
    pub when_idle: Option<Given<'s, Duration>>,
    pub at_latest: Option<Given<'s, Duration>>,
}

/// What the policy comes to where it says nothing.
pub(super) fn terms<'s>(
    keys: &PolicyKeys<'s>,
    at: At<'s>,
    expires: bool,
    tells_use: bool,
    schedule: Option<Given<'s, Gaps>>,
) -> GivenTerms<'s> {
    let builtin = |value| Given { value, at, origin: Origin::Builtin };
    // With a schedule alone every tick is due. In every other case a token that expires is
    // replaced ahead of that, also where `max_age` or a token that was taken over is concerned.
    let every_tick = schedule.is_some() && keys.rotate_before.is_none() && keys.max_age.is_none();
    let lead = match (&keys.rotate_before, every_tick) {
        (Some(given), _) => Some(given.clone()),
        (None, true) => None,
        (None, false) => Share::try_new(DEFAULT_LEAD).map(|share| Given {
            value: Lead::Share(share),
            at,
            origin: Origin::Builtin,
        }),
    };
    GivenTerms {
        at,
        expires,
        always_expires: false,
        step: Duration::from_secs(1),
        recommends_life: false,
        lifetime: keys.token_lifetime.clone(),
        lead,
        max_age: keys.max_age.clone(),
        schedule,
        has_timezone: keys.timezone.clone().map(|given| given.with(())),
        jitter: keys.jitter.clone(),
        window: keys.window.clone(),
        has_freeze: keys.freeze.is_some(),
        freeze: None,
        overlap: keys.overlap.clone().unwrap_or_else(|| builtin(Retire::DEFAULT_OVERLAP)),
        // Whoever the token belongs to uses it: where that can be seen, it is waited for.
        after_use: keys.after_use.as_ref().map_or(tells_use, |given| given.value),
        when_idle: keys.when_idle.clone(),
        at_latest: keys.at_latest.clone(),
    }
}

impl<'s> GivenTerms<'s> {
    /// How long before its expiry a token is due; `None` where none expires.
    pub(super) fn lead_length(&self) -> Option<Duration> {
        let life = self.lifetime.as_ref()?.value;
        Some(match self.lead.as_ref()?.value {
            Lead::Fixed(lead) => lead,
            Lead::Share(share) => share.of(life),
        })
    }

    /// How soon after a rotation the next can be due. A schedule beside a trigger only delays it.
    pub(super) fn shortest_between_rotations(&self) -> Option<Duration> {
        let by_expiry = self
            .lifetime
            .as_ref()
            .zip(self.lead_length())
            .map(|(life, lead)| life.value.saturating_sub(lead));
        let by_age = self.max_age.as_ref().map(|age| age.value);
        let trigger = by_expiry.into_iter().chain(by_age).min();
        let ticks = self.schedule.as_ref().map(|given| given.value.shortest);
        trigger.into_iter().chain(ticks).max()
    }

    /// The same without the places.
    pub(super) fn asked(
        self,
        keys: PolicyKeys<'_>,
        schedule: Option<Schedule>,
        freeze: Freeze,
    ) -> Terms {
        let default = Terms::default();
        let retire = Retire {
            overlap: self.overlap.value,
            after_use: self.after_use,
            when_idle: self.when_idle.map(|given| given.value),
            at_latest: self.at_latest.map(|given| given.value),
        };
        Terms {
            scopes: value(keys.scopes, default.scopes),
            token_lifetime: self.lifetime.map(|given| given.value),
            rotate_before: self.lead.map(|given| given.value),
            max_age: self.max_age.map(|given| given.value),
            schedule,
            freeze,
            retire,
            verify: value(keys.verify, default.verify),
            mode: value(keys.mode, default.mode),
            unmanaged: value(keys.unmanaged, default.unmanaged),
            on_drift: value(keys.on_drift, default.on_drift),
            notify_before: keys.notify_before.map(|given| given.value),
            scim_config: default.scim_config,
            owner: keys.owner.map(|given| given.value),
        }
    }

    /// The first of `places` that is the connection's own, else the connection.
    pub(super) fn place(&self, places: &[Option<At<'s>>]) -> At<'s> {
        places.iter().flatten().copied().next().unwrap_or(self.at)
    }
}

fn value<T>(given: Option<Given<'_, T>>, default: T) -> T {
    given.map_or(default, |given| given.value)
}
