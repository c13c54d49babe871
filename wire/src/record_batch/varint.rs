//! The variable-length integers inside records: seven bits a byte, least significant first, zigzag.
//!
//! At most five bytes for 32 bits and ten for 64; bits that do not fit the type are refused, superfluous zeros are not.

use alloc::vec::Vec;

use crate::limits::{VARINT32_BYTES_MAX, VARINT64_BYTES_MAX};

/// Why bytes are not a variable-length integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// They end before it does.
    Truncated,
    /// It does not fit its type.
    TooLong,
}

/// The integer at the start of `bytes` and its length.
#[inline(always)]
pub(super) fn read_varint(bytes: &[u8]) -> Result<(i32, usize), Malformed> {
    match bytes {
        [first, ..] if *first < 0x80 => Ok((unzigzag_32(u32::from(*first)), 1)),
        [first, second, ..] if *second < 0x80 => {
            Ok((unzigzag_32(u32::from(*first) & 0x7f | u32::from(*second) << 7), 2))
        }
        _ => read_long_varint(bytes),
    }
}

#[inline(never)]
fn read_long_varint(bytes: &[u8]) -> Result<(i32, usize), Malformed> {
    let mut value = 0u32;
    for (i, &byte) in bytes.iter().take(VARINT32_BYTES_MAX).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            let fits = i + 1 < VARINT32_BYTES_MAX || byte < 1 << 4;
            return if fits { Ok((unzigzag_32(value), i + 1)) } else { Err(Malformed::TooLong) };
        }
    }
    Err(if bytes.len() < VARINT32_BYTES_MAX { Malformed::Truncated } else { Malformed::TooLong })
}

/// As [`read_varint`], for 64 bits.
#[inline(always)]
pub(super) fn read_varlong(bytes: &[u8]) -> Result<(i64, usize), Malformed> {
    match bytes {
        [first, ..] if *first < 0x80 => Ok((unzigzag_64(u64::from(*first)), 1)),
        [first, second, ..] if *second < 0x80 => {
            Ok((unzigzag_64(u64::from(*first) & 0x7f | u64::from(*second) << 7), 2))
        }
        _ => read_long_varlong(bytes),
    }
}

#[inline(never)]
fn read_long_varlong(bytes: &[u8]) -> Result<(i64, usize), Malformed> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(VARINT64_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            let fits = i + 1 < VARINT64_BYTES_MAX || byte < 1 << 1;
            return if fits { Ok((unzigzag_64(value), i + 1)) } else { Err(Malformed::TooLong) };
        }
    }
    Err(if bytes.len() < VARINT64_BYTES_MAX { Malformed::Truncated } else { Malformed::TooLong })
}

/// Appends `value`.
pub(super) fn write_varint(value: i32, out: &mut Vec<u8>) {
    write_unsigned(u64::from(zigzag_32(value)), out);
}

/// Appends `value`.
pub(super) fn write_varlong(value: i64, out: &mut Vec<u8>) {
    write_unsigned(zigzag_64(value), out);
}

/// How many bytes [`write_varint`] appends.
pub(super) fn varint_len(value: i32) -> usize {
    unsigned_len(u64::from(zigzag_32(value)))
}

/// How many bytes [`write_varlong`] appends.
pub(super) fn varlong_len(value: i64) -> usize {
    unsigned_len(zigzag_64(value))
}

fn write_unsigned(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn unsigned_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn zigzag_32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

fn zigzag_64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline(always)]
fn unzigzag_32(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

#[inline(always)]
fn unzigzag_64(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_bytes() {
        let mut out = Vec::new();
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (8192, &[0x80, 0x80, 0x01]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            out.clear();
            write_varint(value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(read_varint(bytes), Ok((value, bytes.len())));
            assert_eq!(read_varlong(bytes), Ok((i64::from(value), bytes.len())));
        }
    }

    #[test]
    fn cut_off_and_overlong_integers_are_refused() {
        for len in 0..VARINT32_BYTES_MAX {
            assert_eq!(read_varint(&[0x80; VARINT32_BYTES_MAX][..len]), Err(Malformed::Truncated));
        }
        for len in 0..VARINT64_BYTES_MAX {
            assert_eq!(read_varlong(&[0x80; VARINT64_BYTES_MAX][..len]), Err(Malformed::Truncated));
        }
        assert_eq!(read_varint(&[0xff; 12]), Err(Malformed::TooLong));
        assert_eq!(read_varlong(&[0xff; 12]), Err(Malformed::TooLong));
        assert_eq!(read_varint(&[0xff, 0xff, 0xff, 0xff, 0x10]), Err(Malformed::TooLong));
        let mut ten = [0xff; 10];
        ten[9] = 0x02;
        assert_eq!(read_varlong(&ten), Err(Malformed::TooLong));
        ten[9] = 0x01;
        assert_eq!(read_varlong(&ten), Ok((i64::MIN, 10)));
        assert_eq!(read_varint(&[0x80, 0x80, 0x00]), Ok((0, 3)));
    }

    proptest! {
        #[test]
        fn round_trip(value: i64, shift in 0u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            write_varlong(value, &mut out);
            prop_assert_eq!(out.len(), varlong_len(value));
            prop_assert_eq!(read_varlong(&out), Ok((value, out.len())));
            if let Ok(value) = i32::try_from(value) {
                let mut short = Vec::new();
                write_varint(value, &mut short);
                prop_assert_eq!(short.len(), varint_len(value));
                prop_assert_eq!(read_varint(&short), Ok((value, short.len())));
            }
        }
    }
}
