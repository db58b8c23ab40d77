//! What is wrong, by cause: twenty connections that fail for one reason are one line with one way out.

use crate::{
    clock::Timestamp,
    engine::stored_status::{self, UnmanagedRow},
    error::Code,
    rotation::{
        record::Record,
        status::{Concern, ConnectionStatus, Outcome},
        why::Reason,
    },
};

use super::look::{Look, note};

/// What keeps connections from being well.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    /// In an address.
    pub(super) key: String,
    pub(super) look: Look,
    /// In a few words.
    pub(super) what: &'static str,
    /// The provider or the sink.
    pub(super) at: String,
    /// What the first of them was answered, and what to do.
    pub(super) way_out: String,
    /// Whose that is, where others were answered something else: there may be more to do.
    pub(super) example: Option<usize>,
    /// No further try helps before somebody changes something.
    pub(super) for_good: bool,
    /// When the first of them is tried again.
    pub(super) retry: Option<Timestamp>,
    /// Of the first.
    pub(super) unmanaged: Vec<UnmanagedRow>,
    /// The connections, by their place in the configuration.
    pub(super) members: Vec<usize>,
}

impl Cause {
    /// What is wrong with a connection, if anything is.
    pub(super) fn of(
        look: Look,
        status: &ConnectionStatus,
        record: Option<&Record>,
        provider: &str,
        now: Timestamp,
    ) -> Option<Self> {
        if look > Look::Attention {
            return None;
        }
        let what = what(status);
        let at = place(status, record).unwrap_or_else(|| provider.to_owned());
        Some(Self {
            key: format!("{}@{at}", what.replace(' ', "-")),
            look,
            what,
            at,
            way_out: way_out(status, record),
            example: None,
            for_good: status.for_good,
            retry: status.until.filter(|_| look == Look::Failing),
            unmanaged: record
                .map(|record| stored_status::unmanaged_of(record, now))
                .unwrap_or_default(),
            members: Vec::new(),
        })
    }

    /// Another connection has the same.
    pub(super) fn add(&mut self, other: &Self, index: usize) {
        if other.way_out != self.way_out && self.example.is_none() {
            self.example = self.members.first().copied();
        }
        self.members.push(index);
        self.look = self.look.min(other.look);
        self.for_good |= other.for_good;
        self.retry = self.retry.into_iter().chain(other.retry).min();
    }
}

/// What is wrong, in a few words.
fn what(status: &ConnectionStatus) -> &'static str {
    if let Some(fault) = &status.fault {
        return of_code(fault.code);
    }
    let concerns = status.concerns.iter().copied();
    let urgent = concerns.clone().filter(|concern| concern.needs_person());
    let concern = urgent.chain(concerns).find_map(|concern| of_concern(concern, status));
    if status.gone_since.is_some() {
        // What holds up its replacement stands in the way out.
        return "token gone, its clients are locked out";
    }
    match (status.reason, concern) {
        (Some(reason), _) if is_bad(status) => of_reason(reason),
        (_, Some(words)) => words,
        (Some(reason), None) => of_reason(reason),
        (None, None) => "failing",
    }
}

fn of_concern(concern: Concern, status: &ConnectionStatus) -> Option<&'static str> {
    if concern == Concern::SinkDrift {
        Some("changed outside Scimitar")
    } else {
        note(concern, status)
    }
}

/// The sink where it is wrong, if it is one.
fn place(status: &ConnectionStatus, record: Option<&Record>) -> Option<String> {
    let places = || record.into_iter().flat_map(Record::places);
    let failing = places().find(|sink| {
        let fault = sink.trouble.as_ref().map(|trouble| &trouble.fault);
        fault.is_some() && fault == status.fault.as_ref()
    });
    let drifted = || {
        let drifts = !is_bad(status) && status.concerns.contains(&Concern::SinkDrift);
        places().find(|sink| sink.drift.is_some()).filter(|_| drifts)
    };
    failing.or_else(drifted).map(|sink| sink.place.sink.to_string())
}

fn way_out(status: &ConnectionStatus, record: Option<&Record>) -> String {
    if let Some(fault) = &status.fault {
        return fault.detail.clone();
    }
    if is_bad(status) {
        return status.why.clone();
    }
    let drift = record.into_iter().flat_map(Record::places).find_map(|sink| {
        let drift = sink.drift.as_ref()?;
        Some(format!("{}: {}", sink.place.location, drift.what))
    });
    let drift = drift.filter(|_| status.concerns.contains(&Concern::SinkDrift));
    drift.or_else(|| status.warnings().next()).unwrap_or_else(|| status.why.clone())
}

fn of_code(code: Code) -> &'static str {
    match code {
        Code::NoSlot => "no free token slot",
        Code::Unauthorized => "credentials rejected",
        Code::Forbidden => "permission missing",
        Code::NoConnection => "connection does not exist",
        Code::ScimNotConfigured => "SCIM is not configured",
        Code::ScimUnsupported => "connection type has no SCIM",
        Code::Invalid => "request rejected as invalid",
        Code::Throttled => "rate limited",
        Code::Unavailable => "service unavailable",
        Code::Timeout => "no answer in time",
        Code::Unreachable => "unreachable",
        Code::Unreadable => "unexpected answer",
        Code::Changed => "changed by someone else during the write",
        Code::ForeignOwner => "belongs to another connection",
        Code::PlaceChanged => "moved to another folder, account or cluster",
        Code::ForeignContent => "content of others would be lost",
        Code::Io => "cannot be read or written",
        Code::ClaimLost => "lease lost",
    }
}

fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::NoFreeSlot => "no free token slot",
        Reason::UnmanagedToken => "unmanaged token occupies a slot",
        Reason::PreviousInUse => "previous token is still in use",
        Reason::Drift => "changed outside Scimitar",
        Reason::Window => "outside the rotation window",
        Reason::Overlap => "overlap not over",
        Reason::Evidence => "conditions for revocation not met",
        Reason::SinkUnavailable => "sink unavailable",
        Reason::ProviderUnavailable => "provider unavailable",
        Reason::ForeignOwner => "sink belongs to another connection",
        Reason::TenantChanged => "tenant changed",
        Reason::Brake => "brake: too many tokens lost at once",
        Reason::ClaimedElsewhere => "another process is at work",
        Reason::NoScopes => "no scopes to inherit",
        Reason::TokenRefused => "new token rejected by the SCIM endpoint",
        Reason::Observe => "observe mode",
        Reason::Timeout => "timed out",
        Reason::Backoff => "waiting to retry",
        Reason::Interrupted => "interrupted",
        Reason::PlaceChanged => "sink moved",
        Reason::ForeignContent => "content of others would be lost",
        Reason::TokenElsewhere => "readers use a key that Scimitar does not write",
        Reason::DeadToken => "sink holds a dead token",
        Reason::PolicyChanged => "policy changed",
        Reason::NeverDue => "never due under this policy",
        Reason::NotUsed => "delivered token is not used",
        Reason::Paused => "paused",
        Reason::Freeze => "freeze",
        Reason::ScimNotConfigured => "SCIM is not configured",
        Reason::NotBegun => "not started",
        Reason::Handoff => "waits to be handed over",
    }
}

fn is_bad(status: &ConnectionStatus) -> bool {
    matches!(status.outcome, Outcome::Failed | Outcome::Refused)
}
