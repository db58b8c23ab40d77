//! The addresses of the pages for single connections: a name is one segment of a path.

use std::fmt::Write;

/// Where the pages of single connections are.
pub(super) const PAGES: &str = "/c/";

/// The address of a connection's page.
pub(super) fn of_connection(name: &str) -> String {
    let mut address = PAGES.to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            address.push(char::from(byte));
        } else {
            // Writing to a String cannot fail. Dots too: browsers resolve them.
            let _ = write!(address, "%{byte:02X}");
        }
    }
    address
}

/// The name that a segment of a path says; `None` where it says none.
pub(super) fn decoded(segment: &str) -> Option<String> {
    let mut bytes = segment.bytes();
    let mut name = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            name.push(u8::try_from(high * 16 + low).ok()?);
        } else if byte == b'/' {
            return None;
        } else {
            name.push(byte);
        }
    }
    String::from_utf8(name).ok().filter(|name| !name.is_empty())
}

/// A word as a shell takes it: quoted where it would mean something else than itself.
pub(super) fn word(text: &str) -> String {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b':' | b'@')
    };
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_an_address_that_leads_back_to_it() {
        for name in ["initech-okta", "zoë-東京", "a/b", "..", ".", "%2F", "a+b&c=d?e#f", "<b>'\""]
        {
            let address = of_connection(name);
            let segment = address.strip_prefix(PAGES).unwrap();
            assert!(!segment.contains(['/', '?', '#', '.', '<', '"', '\'']), "{address}");
            assert_eq!(decoded(segment).as_deref(), Some(name));
        }
        assert_eq!(of_connection("initech-okta"), "/c/initech-okta");
    }

    #[test]
    fn what_is_no_name_is_none() {
        for segment in ["", "%", "%4", "%zz", "%ff", "a/b"] {
            assert_eq!(decoded(segment), None, "{segment}");
        }
    }

    #[test]
    fn a_shell_takes_a_name_for_nothing_else() {
        assert_eq!(word("initech-okta.eu"), "initech-okta.eu");
        assert_eq!(word("a;rm"), "'a;rm'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word("$(x)"), "'$(x)'");
        assert_eq!(word(""), "''");
    }
}
