//! Which of the configured connections a command is about.

use std::collections::BTreeSet;

use super::output::{Failure, FailureClass};
use crate::token::ConnectionName;

/// How alike two names must be for one to be offered for the other.
const ALIKE: f64 = 0.7;

/// How many names are listed where none is alike.
const FEW: usize = 5;

/// Which of the configured connections were named: all of them when none was.
///
/// # Errors
/// When a name is not configured; nothing was done. All such names are reported at once.
pub(super) fn select(
    configured: &BTreeSet<ConnectionName>,
    named: &[ConnectionName],
) -> Result<BTreeSet<ConnectionName>, Failure> {
    if named.is_empty() {
        return Ok(configured.clone());
    }
    let unknown: Vec<String> = named
        .iter()
        .filter(|name| !configured.contains(name))
        .map(|name| format!("no connection is named {name}{}", nearest(configured, name)))
        .collect();
    if unknown.is_empty() {
        Ok(named.iter().cloned().collect())
    } else {
        Err(Failure::new(FailureClass::Usage, unknown.join("; ")))
    }
}

/// ", did you mean …?", when something like it is configured.
fn nearest(configured: &BTreeSet<ConnectionName>, name: &ConnectionName) -> String {
    configured
        .iter()
        .map(|known| (strsim::jaro_winkler(known.as_str(), name.as_str()), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map_or_else(|| there_are(configured), |(_, known)| format!(", did you mean {known}?"))
}

/// The names to choose from: a few, and how many more.
fn there_are(configured: &BTreeSet<ConnectionName>) -> String {
    let few: Vec<&str> = configured.iter().take(FEW).map(ConnectionName::as_str).collect();
    if few.is_empty() {
        return ": the configuration has no connections".to_owned();
    }
    match configured.len().saturating_sub(few.len()) {
        0 => format!(": there are {}", few.join(", ")),
        more => format!(": there are {}, and {more} more", few.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<ConnectionName> {
        names.iter().map(|name| ConnectionName::try_new(*name).unwrap()).collect()
    }

    #[test]
    fn naming_none_selects_all_and_a_wrong_name_does_nothing() {
        let all: BTreeSet<_> = names(&["initech-okta", "acme-entra"]).into_iter().collect();
        assert_eq!(select(&all, &[]).unwrap(), all);
        let one = select(&all, &names(&["acme-entra", "acme-entra"])).unwrap();
        assert_eq!(one.into_iter().collect::<Vec<_>>(), names(&["acme-entra"]));
        let failure = select(&all, &names(&["acme-entra", "initech-okte", "zzz"])).unwrap_err();
        assert_eq!(failure.class.exit_status(), 2);
        assert_eq!(
            failure.message,
            "no connection is named initech-okte, did you mean initech-okta?; \
             no connection is named zzz: there are acme-entra, initech-okta"
        );
        let many: BTreeSet<_> = names(&["a", "b", "c", "d", "e", "f", "g"]).into_iter().collect();
        let failure = select(&many, &names(&["zzz"])).unwrap_err();
        assert_eq!(
            failure.message,
            "no connection is named zzz: there are a, b, c, d, e, and 2 more"
        );
        let failure = select(&BTreeSet::new(), &names(&["zzz"])).unwrap_err();
        assert!(failure.message.ends_with("the configuration has no connections"));
    }
}
