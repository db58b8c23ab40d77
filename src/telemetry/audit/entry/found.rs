//! What a look found that was not known before.

use crate::rotation::record::Record;

/// In words; empty when everything is as it was: a token nobody owns, a token gone, a place that
/// holds what it should not or something else than before.
pub(super) fn found(before: &Record, after: &Record) -> String {
    let unowned = after.unmanaged.keys().filter(|id| !before.unmanaged.contains_key(*id));
    let unowned = unowned.map(|id| format!("unmanaged token {id} found"));
    let settled = before.unmanaged.keys().filter(|id| !after.unmanaged.contains_key(*id));
    let settled = settled.map(|id| format!("{id} is no longer an unmanaged token"));
    let gone = after.vanished.difference(&before.vanished);
    let gone = gone.map(|id| format!("{id} was deleted outside Scimitar"));
    let back = before.vanished.difference(&after.vanished);
    let back = back.map(|id| format!("{id} is listed again"));
    let missing = match (&before.missing, &after.missing) {
        (None, Some(_)) => Some("the current token is not listed".to_owned()),
        (Some(_), None) => Some("the current token is listed, or was replaced".to_owned()),
        (Some(_), Some(_)) | (None, None) => None,
    };
    let places = after.sinks.iter().filter_map(|(key, sink)| {
        let known = before.sinks.get(key)?;
        let location = &sink.place.location;
        match (&known.drift, &sink.drift) {
            (None, Some(drift)) => Some(format!("{location}: {}", drift.what)),
            (Some(_), None) => Some(format!("{location} holds the delivered token again")),
            (Some(_), Some(_)) | (None, None) if known.holds != sink.holds => {
                Some(sink.holds.as_ref().map_or_else(
                    || format!("{location} holds no token that is known"),
                    |id| format!("{location} holds {id}"),
                ))
            }
            (Some(_), Some(_)) | (None, None) => None,
        }
    });
    let all: Vec<String> =
        unowned.chain(settled).chain(gone).chain(back).chain(missing).chain(places).collect();
    all.join("; ")
}
