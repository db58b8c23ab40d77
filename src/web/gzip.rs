//! Packs a long answer for a reader who can unpack it: metrics and pages shrink to a tenth and less.

use std::io::{self, Write};

use axum::http::{HeaderMap, HeaderValue, header};
use flate2::{Compression, write::GzEncoder};

/// Whether a reader unpacks gzip, by its `Accept-Encoding` (RFC 9110, section 12.5.3). One that names it with
/// `q=0` does not.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::ACCEPT_ENCODING).iter();
    let codings = named.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut gzip = None;
    for coding in codings {
        let mut parts = coding.split(';').map(str::trim);
        if !parts.next().unwrap_or_default().eq_ignore_ascii_case("gzip") {
            continue;
        }
        let quality =
            parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        gzip = Some(quality.is_none_or(|q| q.trim().parse::<f32>().is_ok_and(|q| q > 0.0)));
    }
    gzip == Some(true)
}

/// Tells a reader, and whatever keeps copies on the way, whether it is packed.
pub(super) fn tell(headers: &mut HeaderMap, packed: bool) {
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

/// An answer that is there as a whole, packed.
///
/// # Errors
/// Never: memory takes it.
pub(super) fn packed(text: &str) -> io::Result<Vec<u8>> {
    let mut packer = Packer::new();
    let mut bytes = packer.pack(text)?;
    bytes.extend(packer.end()?);
    Ok(bytes)
}

/// What has been packed so far of an answer.
pub(super) struct Packer(GzEncoder<Vec<u8>>);

impl Packer {
    /// Of an answer that begins.
    pub(super) fn new() -> Self {
        // More effort saves little: each line differs from the one before by a few bytes.
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    /// Packs a further piece; what is ready to be sent.
    ///
    /// # Errors
    /// Never: memory takes it.
    pub(super) fn pack(&mut self, piece: &str) -> io::Result<Vec<u8>> {
        self.0.write_all(piece.as_bytes())?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    /// The end of it.
    ///
    /// # Errors
    /// Never: memory takes it.
    pub(super) fn end(self) -> io::Result<Vec<u8>> {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn only_who_can_unpack_it_gets_it() {
        for (accepts, is) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, identity", false),
            ("gzip;q=much", false),
            ("identity", false),
            ("x-gzip", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepts));
            assert_eq!(is_accepted(&headers), is, "{accepts}");
        }
        assert!(!is_accepted(&HeaderMap::new()));
    }

    #[test]
    fn what_is_packed_in_pieces_is_unpacked_as_a_whole() {
        let pieces: Vec<String> =
            (0..200).map(|number| format!("a{{b=\"{number}\"}} 1\n").repeat(100)).collect();
        let mut packer = Packer::new();
        let mut packed: Vec<u8> =
            pieces.iter().flat_map(|piece| packer.pack(piece).unwrap()).collect();
        assert!(!packed.is_empty(), "it is sent as it is made");
        packed.extend(packer.end().unwrap());
        let mut text = String::new();
        GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, pieces.concat());
        assert!(packed.len() * 10 < text.len(), "{} of {}", packed.len(), text.len());
    }
}
