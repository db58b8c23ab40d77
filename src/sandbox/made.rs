//! Ids, values and times as the tenant makes them.

use crate::clock::{Entropy, Timestamp};

/// A time as the Management API writes it: RFC 3339, UTC, milliseconds.
pub(super) fn millis(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// `length` random characters of A-Z, a-z and 0-9.
pub(super) fn alphanumeric(entropy: &dyn Entropy, length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bits = entropy.bits();
        for _ in 0..8.min(length - text.len()) {
            let index = usize::try_from(bits % 62).unwrap_or_default();
            text.push(char::from(ALPHABET[index]));
            bits /= 62;
        }
    }
    text
}

/// 64 random hex digits.
pub(super) fn hex64(entropy: &dyn Entropy) -> String {
    (0..4).map(|_| format!("{:016x}", entropy.bits())).collect()
}

/// Whether `text` is `prefix_` and 16 letters or digits.
pub(super) fn is_id(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .and_then(|text| text.strip_prefix('_'))
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn ids_have_sixteen_letters_or_digits() {
        assert!(is_id("con", "con_0123456789abcdEF"));
        for bad in ["con_0123456789abcde", "con_0123456789abcd-f", "tok_0123456789abcdef", "con"] {
            assert!(!is_id("con", bad), "{bad}");
        }
    }

    #[test]
    fn random_text_has_its_length_and_alphabet() {
        let text = alphanumeric(&SystemEntropy, 16);
        assert_eq!(text.len(), 16);
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric()));
        assert_eq!(hex64(&SystemEntropy).len(), 64);
    }
}
