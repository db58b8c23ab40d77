//! The checksum that goes with every payload (CRC-32C, RFC 3720 appendix B.4).

/// The polynomial, its bits turned around.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The checksum of some bytes.
pub(super) fn of(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(u32::MAX, byte)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_the_checksum_of_rfc_3720() {
        assert_eq!(super::of(b""), 0);
        assert_eq!(super::of(b"123456789"), 0xe306_9283);
        assert_eq!(super::of(&[0; 32]), 0x8a91_36aa);
        assert_eq!(super::of(&[0xff; 32]), 0x62a8_ab43);
    }
}
