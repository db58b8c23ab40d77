//! Base64, as the data of a Secret is written.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Text or bytes in base64.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    let mut out = String::new();
    for group in bytes.as_ref().chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// Strict base64; `None` where it is none.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for byte in group {
            let digit = match byte {
                b'=' => Some(0),
                byte => ALPHABET.iter().position(|one| one == byte),
            };
            bits = bits << 6 | u32::try_from(digit?).unwrap();
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    bytes.truncate(bytes.len().saturating_sub(padding.min(2)));
    Some(bytes)
}
