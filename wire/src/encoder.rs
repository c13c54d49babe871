//! Writes Kafka's primitive types into a list of segments.
//!
//! Invariants: small fields lie in one buffer, in order; record bytes are spliced between them by reference count and
//! never copied; the list of segments, joined, is the message. Bytes that the sender has elsewhere (in a file, say) are
//! left out as gaps, which count in every length.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::limits;

/// Collects the bytes of one message.
#[derive(Debug, Default)]
pub struct Encoder {
    /// All bytes but the spliced ones.
    small: Vec<u8>,
    /// What is spliced in, each with the position in `small` that it stands in front of; positions never fall.
    splices: Vec<(usize, Segment)>,
    /// The sum of the lengths in `splices`.
    spliced_bytes: usize,
}

/// A piece of an encoded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// These bytes.
    Bytes(Bytes),
    /// So many bytes that the sender takes from elsewhere; never 0.
    Gap(usize),
}

/// Why a message cannot be written in the wanted version: always a mistake of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// What is wrong.
    pub kind: EncodeErrorKind,
    /// The innermost field being written, as `Struct.field`; empty outside of any.
    pub field: &'static str,
}

/// What is wrong with a message that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeErrorKind {
    /// The message has no such version.
    UnsupportedVersion(i16),
    /// A field that must not be dropped silently is set to something else than its default, and the version has no such
    /// field.
    NotInVersion(i16),
    /// A field is null in a version where it must not be.
    UnexpectedNull,
    /// A string is longer than [`limits::STRING_BYTES_MAX`].
    StringTooLong(usize),
    /// Bytes, an array or the whole frame are longer than 2^31 - 1.
    TooLong(usize),
    /// A request header and the request behind it are of different APIs.
    WrongApi,
}

impl EncodeError {
    /// Names the field that was being written, unless an inner one is named already.
    pub(crate) fn in_field(mut self, field: &'static str) -> Self {
        if self.field.is_empty() {
            self.field = field;
        }
        self
    }
}

impl From<EncodeErrorKind> for EncodeError {
    fn from(kind: EncodeErrorKind) -> Self {
        Self { kind, field: "" }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        match self.kind {
            EncodeErrorKind::UnsupportedVersion(version) => write!(f, "version {version} is not known"),
            EncodeErrorKind::NotInVersion(version) => write!(f, "is set, but version {version} cannot carry it"),
            EncodeErrorKind::UnexpectedNull => f.write_str("is null, which this version does not allow"),
            EncodeErrorKind::StringTooLong(length) => {
                write!(f, "is a string of {length} bytes, more than {}", limits::STRING_BYTES_MAX)
            }
            EncodeErrorKind::TooLong(length) => write!(f, "is {length} long, more than {}", i32::MAX),
            EncodeErrorKind::WrongApi => f.write_str("the header is of another API than the request"),
        }
    }
}

impl core::error::Error for EncodeError {}

impl From<Bytes> for Segment {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl Encoder {
    /// An empty message.
    pub fn new() -> Self {
        Self { small: Vec::with_capacity(limits::ENCODER_CAPACITY), splices: Vec::new(), spliced_bytes: 0 }
    }

    /// How many bytes the message has so far.
    pub fn len(&self) -> usize {
        self.small.len() + self.spliced_bytes
    }

    /// Whether the message has no bytes yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message as segments, none of them empty.
    ///
    /// # Panics
    /// When the message has gaps; see [`Self::into_segments_and_gaps`].
    pub fn into_segments(self) -> Vec<Bytes> {
        self.join(|splice| match splice {
            Segment::Bytes(bytes) => bytes,
            Segment::Gap(len) => panic!("the message has a gap of {len} bytes, and its sender knows nothing of gaps"),
        })
    }

    /// The message in one piece, where nothing was spliced into it and no gap was left.
    pub(crate) fn into_contiguous(self) -> Vec<u8> {
        assert!(self.splices.is_empty(), "the message is in one piece");
        self.small
    }

    /// The message as segments and gaps, none of them empty.
    pub fn into_segments_and_gaps(self) -> Vec<Segment> {
        self.join(|splice| splice)
    }

    fn join<S: From<Bytes>>(self, splice: impl Fn(Segment) -> S) -> Vec<S> {
        let mut small = Bytes::from(self.small);
        let mut segments = Vec::with_capacity(2 * self.splices.len() + 1);
        let mut taken = 0;
        for (position, piece) in self.splices {
            if position > taken {
                segments.push(small.split_to(position - taken).into());
                taken = position;
            }
            segments.push(splice(piece));
        }
        if !small.is_empty() {
            segments.push(small.into());
        }
        segments
    }

    /// Writes `bytes` by copying them.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }

    /// Writes `bytes` without copying them: they become a segment of their own.
    pub fn splice(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.spliced_bytes += bytes.len();
            self.splices.push((self.small.len(), Segment::Bytes(bytes)));
        }
    }

    /// Leaves `len` bytes out, which the sender takes from elsewhere.
    pub fn leave_gap(&mut self, len: usize) {
        if len > 0 {
            self.spliced_bytes += len;
            self.splices.push((self.small.len(), Segment::Gap(len)));
        }
    }

    /// A byte with sign.
    pub fn put_int8(&mut self, value: i8) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Two bytes, big-endian.
    pub fn put_int16(&mut self, value: i16) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Two bytes, big-endian, without sign.
    pub fn put_uint16(&mut self, value: u16) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Four bytes, big-endian.
    pub fn put_int32(&mut self, value: i32) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian.
    pub fn put_int64(&mut self, value: i64) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian, IEEE 754.
    pub fn put_float64(&mut self, value: f64) {
        self.put_slice(&value.to_be_bytes());
    }

    /// An unsigned varint; see [`crate::decoder::Decoder::uvarint`].
    pub fn put_uvarint(&mut self, value: u32) {
        self.put_uvarlong(u64::from(value));
    }

    /// A zigzag varint of 32 bits.
    pub fn put_varint(&mut self, value: i32) {
        self.put_uvarint((value << 1 ^ value >> 31) as u32);
    }

    /// A zigzag varint of 64 bits.
    pub fn put_varlong(&mut self, value: i64) {
        self.put_uvarlong((value << 1 ^ value >> 63) as u64);
    }

    fn put_uvarlong(&mut self, mut value: u64) {
        while value > 0x7f {
            self.small.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.small.push(value as u8);
    }

    /// A string or null; see [`crate::decoder::Decoder::string`].
    pub fn put_string(&mut self, value: Option<&str>, flexible: bool) -> Result<(), EncodeError> {
        let length = value.map(str::len);
        if let Some(length) = length.filter(|length| *length > limits::STRING_BYTES_MAX) {
            return Err(EncodeErrorKind::StringTooLong(length).into());
        }
        match (flexible, length) {
            (true, _) => self.put_length(length, true)?,
            (false, Some(length)) => self.put_int16(length as i16),
            (false, None) => self.put_int16(-1),
        }
        self.put_slice(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// Bytes or null, copied; see [`crate::decoder::Decoder::byte_string`].
    pub fn put_byte_string(&mut self, value: Option<&[u8]>, flexible: bool) -> Result<(), EncodeError> {
        self.put_length(value.map(<[u8]>::len), flexible)?;
        self.put_slice(value.unwrap_or_default());
        Ok(())
    }

    /// The length of bytes or the count of an array, or null.
    pub fn put_length(&mut self, length: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        let length = match length {
            Some(length) => i32::try_from(length).map_err(|_| EncodeErrorKind::TooLong(length))?,
            None => -1,
        };
        if flexible {
            self.put_uvarlong((i64::from(length) + 1) as u64);
        } else {
            self.put_int32(length);
        }
        Ok(())
    }

    /// A tagged field (KIP-482): the tag, the length of what `body` writes, and what it writes.
    pub fn put_tagged(
        &mut self,
        tag: u32,
        body: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.put_uvarint(tag);
        let (start, start_splices, start_length) = (self.small.len(), self.splices.len(), self.len());
        body(self)?;
        let size = self.len() - start_length;
        let size = u32::try_from(size).map_err(|_| EncodeErrorKind::TooLong(size))?;
        // The length is known only now, and belongs in front of the body: write it behind and rotate.
        let end = self.small.len();
        self.put_uvarint(size);
        let prefix = self.small.len() - end;
        self.small[start..].rotate_right(prefix);
        for (position, _) in &mut self.splices[start_splices..] {
            *position += prefix;
        }
        Ok(())
    }

    /// Overwrites four bytes that were written at `position` before anything was spliced.
    pub(crate) fn patch_int32(&mut self, position: usize, value: i32) {
        assert!(self.splices.first().is_none_or(|(first, _)| *first >= position + 4), "the patch lies before splices");
        self.small[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }
}
