//! Whether a value that is there is known to work.

use chrono::TimeDelta;

use super::Situation;
use crate::{
    clock::Timestamp,
    error::Code,
    rotation::{
        observe::Held,
        policy::Verify,
        record::{Current, Record, SinkState},
    },
    token::TokenId,
};

/// How old a proof may be that stands in for a list.
pub(super) const RECENT: TimeDelta = TimeDelta::minutes(2);

/// Whether the SCIM endpoint accepted a token a moment ago.
pub(super) fn is_vouched(s: &Situation<'_>, id: &TokenId) -> bool {
    let recent = |at: Timestamp| (s.now - at).abs() <= RECENT;
    s.observed.vouched.as_ref().is_some_and(|(token, at)| token == id && recent(*at))
}

/// Whether the value that a place would be filled with is known to work.
pub(super) enum Vouched<'a> {
    Yes,
    /// This place holds it: to be asked about.
    Probe(&'a SinkState),
    No,
}

/// A value that this process did not mint just now is proven before it goes anywhere. Where that
/// cannot be asked, the digest of a value that was minted here is enough: it was proven once.
pub(super) fn vouched<'a>(s: &Situation<'a>, current: &Current) -> Vouched<'a> {
    let id = &current.token.id;
    let record: &'a Record = s.record;
    let holds = |sink: &&SinkState| s.held(&sink.place.key).and_then(Held::id) == Some(id);
    let genuine = |sink: &SinkState| s.seen(&sink.place.key).is_some_and(|seen| seen.is_genuine);
    // A place that left the policy counts as well: it is still read.
    let all = || record.sinks.values().filter(|sink| sink.readable);
    let Some(from) = all().find(|sink| holds(sink) && genuine(sink)).or_else(|| all().find(holds))
    else {
        return Vouched::No;
    };
    if s.policy.terms.verify == Verify::Off {
        let named = s.policy.capabilities.id_in_value && s.is_live(id);
        return if genuine(from) || named { Vouched::Yes } else { Vouched::No };
    }
    if is_vouched(s, id) {
        return Vouched::Yes;
    }
    let trouble = s.record.troubles.probe.as_ref();
    if s.held_back(trouble).is_none() {
        return Vouched::Probe(from);
    }
    let refused = trouble.is_some_and(|trouble| trouble.fault.code == Code::Unauthorized);
    let ours = current.asked.is_some();
    if genuine(from) && ours && !refused { Vouched::Yes } else { Vouched::No }
}
