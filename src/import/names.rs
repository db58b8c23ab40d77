//! Names for connections, out of what another tool calls their tokens.

use std::collections::BTreeSet;

use crate::token::ConnectionName;

/// A name that no other has, like `label`.
pub(super) fn unique(label: &str, taken: &mut BTreeSet<String>) -> String {
    let plain: String = label
        .chars()
        .map(
            |letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' },
        )
        .collect();
    let plain = plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    let plain: String = plain.chars().take(48).collect();
    let plain = if ConnectionName::try_chosen(&plain).is_ok() { plain } else { "imported".into() };
    let mut name = plain.clone();
    let mut nth = 2_u32;
    while !taken.insert(name.clone()) {
        name = format!("{plain}-{nth}");
        nth += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_no_two_are_alike() {
        let mut taken = BTreeSet::new();
        let mut name = |label: &str| unique(label, &mut taken);
        assert_eq!(name("my_scim_token"), "my-scim-token");
        assert_eq!(name("My Scim.Token"), "my-scim-token-2");
        assert_eq!(name("okta-ACME GmbH & Co."), "okta-acme-gmbh-co");
        assert_eq!(name("日本"), "imported");
        assert_eq!(name("$(reboot)"), "reboot");
        assert_eq!(name(&"x".repeat(300)).len(), 48);
    }
}
