//! Reads Kafka's primitive types from a borrowed frame.
//!
//! Invariants: a read either succeeds and advances, or fails; every length and count is checked against the bytes left
//! before it is used for anything; nothing is allocated or copied.

use core::fmt;

use crate::limits;

/// A cursor over the bytes of one message.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
}

/// Why bytes are not the message they should be, and in which field of the schema that showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The innermost field being read, as `Struct.field`; empty outside of any.
    pub field: &'static str,
}

/// What is wrong with the bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// A value, or the length or count it declares, needs more bytes than are left.
    Truncated {
        /// Bytes that the value needs at least.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// A length or count is negative and not the -1 that means null.
    NegativeLength(i32),
    /// A field is null in a version where it must not be.
    UnexpectedNull,
    /// A string is longer than [`limits::STRING_BYTES_MAX`].
    StringTooLong(usize),
    /// A string is not UTF-8.
    InvalidUtf8,
    /// A varint does not end, or does not fit its type.
    InvalidVarint,
    /// The marker in front of a nullable struct is neither -1 nor 1.
    InvalidPresence(i8),
    /// Bytes are left where the value should have ended.
    TrailingBytes(usize),
    /// The message has no such version.
    UnsupportedVersion(i16),
}

impl DecodeErrorKind {
    /// This error, seen outside of any field.
    pub const fn at_no_field(self) -> DecodeError {
        DecodeError { kind: self, field: "" }
    }
}

impl DecodeError {
    /// Names the field that was being read, unless an inner one is named already.
    pub(crate) fn in_field(mut self, field: &'static str) -> Self {
        if self.field.is_empty() {
            self.field = field;
        }
        self
    }
}

impl From<DecodeErrorKind> for DecodeError {
    fn from(kind: DecodeErrorKind) -> Self {
        kind.at_no_field()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        match self.kind {
            DecodeErrorKind::Truncated { needed, left } => write!(f, "needs {needed} bytes where {left} are left"),
            DecodeErrorKind::NegativeLength(length) => write!(f, "has the negative length {length}"),
            DecodeErrorKind::UnexpectedNull => f.write_str("is null, which this version does not allow"),
            DecodeErrorKind::StringTooLong(length) => {
                write!(f, "is a string of {length} bytes, more than {}", limits::STRING_BYTES_MAX)
            }
            DecodeErrorKind::InvalidUtf8 => f.write_str("is not UTF-8"),
            DecodeErrorKind::InvalidVarint => f.write_str("holds a varint that does not fit its type"),
            DecodeErrorKind::InvalidPresence(marker) => write!(f, "has the presence marker {marker}, not -1 or 1"),
            DecodeErrorKind::TrailingBytes(left) => write!(f, "is followed by {left} bytes that belong to nothing"),
            DecodeErrorKind::UnsupportedVersion(version) => write!(f, "version {version} is not known"),
        }
    }
}

impl core::error::Error for DecodeError {}

impl<'a> Decoder<'a> {
    /// Reads from the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that are left.
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Succeeds if nothing is left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeErrorKind::TrailingBytes(left).into()),
        }
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        match self.bytes.split_at_checked(length) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => Err(DecodeErrorKind::Truncated { needed: length, left: self.remaining() }.into()),
        }
    }

    /// The next `N` bytes, as an array.
    pub fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.bytes.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(*taken)
            }
            None => Err(DecodeErrorKind::Truncated { needed: N, left: self.remaining() }.into()),
        }
    }

    /// A byte with sign.
    pub fn int8(&mut self) -> Result<i8, DecodeError> {
        self.take_array().map(i8::from_be_bytes)
    }

    /// Two bytes, big-endian, with sign.
    pub fn int16(&mut self) -> Result<i16, DecodeError> {
        self.take_array().map(i16::from_be_bytes)
    }

    /// Two bytes, big-endian, without sign.
    pub fn uint16(&mut self) -> Result<u16, DecodeError> {
        self.take_array().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian, with sign.
    pub fn int32(&mut self) -> Result<i32, DecodeError> {
        self.take_array().map(i32::from_be_bytes)
    }

    /// Eight bytes, big-endian, with sign.
    pub fn int64(&mut self) -> Result<i64, DecodeError> {
        self.take_array().map(i64::from_be_bytes)
    }

    /// Eight bytes, big-endian, IEEE 754.
    pub fn float64(&mut self) -> Result<f64, DecodeError> {
        self.take_array().map(f64::from_be_bytes)
    }

    /// An unsigned varint: seven bits a byte, low bits first, the top bit says that another byte follows.
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for index in 0..limits::VARINT32_BYTES_MAX {
            let [byte] = self.take_array()?;
            let bits = u32::from(byte & 0x7f);
            let shift = 7 * index as u32;
            if index + 1 == limits::VARINT32_BYTES_MAX && byte > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeErrorKind::InvalidVarint.into())
    }

    /// A zigzag varint of 32 bits: small numbers of either sign are short.
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.uvarint()?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// A zigzag varint of 64 bits.
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let mut raw = 0_u64;
        for index in 0..limits::VARINT64_BYTES_MAX {
            let [byte] = self.take_array()?;
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * index as u32;
            if index + 1 == limits::VARINT64_BYTES_MAX && byte > 0x01 {
                break;
            }
            raw |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((raw >> 1) as i64 ^ -((raw & 1) as i64));
            }
        }
        Err(DecodeErrorKind::InvalidVarint.into())
    }

    /// The bytes of a string; `None` is null. The length is an uvarint of one more (0: null) in flexible versions and
    /// two bytes (-1: null) otherwise.
    pub fn string(&mut self, flexible: bool) -> Result<Option<&'a str>, DecodeError> {
        let length = if flexible { self.compact_length()? } else { i32::from(self.int16()?) as i64 };
        let Some(length) = not_null(length)? else { return Ok(None) };
        if length > limits::STRING_BYTES_MAX {
            return Err(DecodeErrorKind::StringTooLong(length).into());
        }
        let bytes = self.take(length)?;
        core::str::from_utf8(bytes).map(Some).map_err(|_| DecodeErrorKind::InvalidUtf8.into())
    }

    /// Bytes with their length in front; `None` is null. The length is an uvarint of one more (0: null) in flexible
    /// versions and four bytes (-1: null) otherwise.
    pub fn byte_string(&mut self, flexible: bool) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.length(flexible)? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// The count in front of an array whose elements take `element_bytes_min` bytes or more each; `None` is null.
    pub fn array_count(&mut self, flexible: bool, element_bytes_min: usize) -> Result<Option<usize>, DecodeError> {
        let Some(count) = self.length(flexible)? else { return Ok(None) };
        let needed = count.saturating_mul(element_bytes_min.max(1));
        if needed > self.remaining() {
            return Err(DecodeErrorKind::Truncated { needed, left: self.remaining() }.into());
        }
        Ok(Some(count))
    }

    /// Reads a section of tagged fields (KIP-482) and hands each tag with its bytes to `each`, which reads what it
    /// knows and leaves the rest.
    pub fn tagged_fields(
        &mut self,
        mut each: impl FnMut(u32, &mut Decoder<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        // A tagged field takes two bytes at least, so a section of n bytes is read in n/2 steps.
        let count = self.uvarint()? as usize;
        if count.saturating_mul(2) > self.remaining() {
            let needed = count.saturating_mul(2);
            return Err(DecodeErrorKind::Truncated { needed, left: self.remaining() }.into());
        }
        for _ in 0..count {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            each(tag, &mut Decoder::new(self.take(size)?))?;
        }
        Ok(())
    }

    /// Reads a section of tagged fields of which none is known.
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(|_, _| Ok(()))
    }

    fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        let length = if flexible { self.compact_length()? } else { i64::from(self.int32()?) };
        not_null(length)
    }

    fn compact_length(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from(self.uvarint()?) - 1)
    }
}

fn not_null(length: i64) -> Result<Option<usize>, DecodeError> {
    match length {
        -1 => Ok(None),
        0.. => Ok(Some(length as usize)),
        _ => Err(DecodeErrorKind::NegativeLength(length as i32).into()),
    }
}
