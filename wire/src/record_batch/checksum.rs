//! CRC32C of a batch whose header changed, without reading its payload again.
//!
//! A CRC is linear: the CRCs of two messages of the same length that differ in their heads only differ by the
//! difference of the heads' CRCs, multiplied by x to the power of the bits behind them, modulo the polynomial.
//! Polynomials are bit-reversed here: the highest bit is the coefficient of x to the power of 0.

const POLYNOMIAL: u32 = 0x82F6_3B78;
const ONE: u32 = 1 << 31;

/// x to the power of 2^(k + 3), for k from 0: the factors for 1, 2, 4, ... bytes.
const BYTE_SHIFTS: [u32; 31] = {
    let mut power = ONE >> 1;
    let mut squarings = 0;
    while squarings < 3 {
        power = multiply(power, power);
        squarings += 1;
    }
    let mut shifts = [0; 31];
    let mut k = 0;
    while k < shifts.len() {
        shifts[k] = power;
        power = multiply(power, power);
        k += 1;
    }
    shifts
};

/// The product of two polynomials, modulo the CRC's.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = ONE;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        bit >>= 1;
        b = if b & 1 == 0 { b >> 1 } else { (b >> 1) ^ POLYNOMIAL };
    }
    product
}

/// The CRC32C of a message whose head is exchanged for another one of the same length: from the CRC of the old message,
/// both heads, and the number of bytes behind the head (below 2 GiB).
pub(super) fn crc_with_new_head(old_crc: u32, old_head: &[u8], new_head: &[u8], tail_len: usize) -> u32 {
    assert_eq!(old_head.len(), new_head.len(), "the heads are of the same length");
    assert!(tail_len >> BYTE_SHIFTS.len() == 0, "a batch is below 2 GiB");
    let mut difference = crc32c::crc32c(old_head) ^ crc32c::crc32c(new_head);
    for (k, shift) in BYTE_SHIFTS.iter().enumerate() {
        if tail_len >> k == 0 {
            break;
        }
        if tail_len >> k & 1 == 1 {
            difference = multiply(difference, *shift);
        }
    }
    old_crc ^ difference
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_crc_follows_the_head_for_any_length_behind_it() {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| ((i * 31) >> 3) as u8).collect();
        for tail in (0..70).chain([127, 128, 129, 1000, 4095, 4096, 65_535, 65_536, 199_960]) {
            let mut message = bytes[..40 + tail].to_vec();
            let old_crc = crc32c::crc32c(&message);
            for (i, byte) in message[..40].iter_mut().enumerate() {
                *byte = byte.wrapping_mul(7).wrapping_add(i as u8);
            }
            let new_crc = crc_with_new_head(old_crc, &bytes[..40], &message[..40], tail);
            assert_eq!(new_crc, crc32c::crc32c(&message), "{tail} bytes behind the head");
        }
    }
}
