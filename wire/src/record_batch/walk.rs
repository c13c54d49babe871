//! The walk over a batch's records that reads only their structure: lengths, deltas, whether there is a key.
//!
//! Keys, values and headers are skipped. Over an uncompressed batch the walk is a handful of loads a record; over a
//! compressed one it reads from a window of fixed size that the codec refills, so its memory does not depend on what
//! the batch decompresses to. Invariants:
//! - Every record is consumed exactly as far as its length says, and the last one ends where the payload ends.
//! - A declared count is believed only as far as there are bytes for it.

use core::fmt;

use super::varint::{Malformed, read_varint, read_varlong};
use super::{NO_TIMESTAMP, RecordBatch, TimestampType};
use crate::compression::{Compression, CompressionError, Reader};
use crate::limits::{RECORD_WINDOW_BYTES, VARINT64_BYTES_MAX};

/// The smallest record: a byte each for length, attributes, two deltas, two null lengths and no headers.
pub(super) const RECORD_LEN_MIN: usize = 7;

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// The records end before the batch's record count is reached.
    Truncated,
    /// A length or delta does not fit its type.
    IntegerTooLong,
    /// A length below -1, or -1 where null is not allowed.
    NegativeLength(i32),
    /// The header count is negative or needs more bytes than there are.
    HeaderCount(i32),
    /// The record's content is not as long as its length says.
    BodyLength(i32),
    /// The offset delta is not the record's index. Only producers' batches are checked for this.
    OffsetDelta(i32),
    /// The record has so many bytes behind its length, more than a compressed batch may bring. Only producers' batches are
    /// checked for this.
    TooLong(usize),
    /// The batch's record count is negative.
    NegativeCount(i32),
    /// There are more bytes than the batch's record count accounts for.
    TrailingBytes,
    /// The records cannot be decompressed, or not within the bound that was given.
    Compression(CompressionError),
    /// The attributes name no known codec.
    UnknownCompression,
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the records end before the record count is reached"),
            Self::IntegerTooLong => f.write_str("a length or delta does not fit its type"),
            Self::NegativeLength(length) => write!(f, "invalid length {length}"),
            Self::HeaderCount(count) => write!(f, "invalid header count {count}"),
            Self::BodyLength(length) => write!(f, "the record's content is not as long as its length {length}"),
            Self::OffsetDelta(delta) => write!(f, "the offset delta is {delta}, not the record's index"),
            Self::TooLong(bytes) => write!(f, "the record has {bytes} bytes, which is more than the topic allows"),
            Self::NegativeCount(count) => write!(f, "invalid record count {count}"),
            Self::TrailingBytes => f.write_str("there are bytes behind the last record"),
            Self::Compression(error) => error.fmt(f),
            Self::UnknownCompression => f.write_str("unknown compression type"),
        }
    }
}

/// What is wrong with a batch's records, and with which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsError {
    /// The index of the record, from 0; `None` where it is about all of them.
    pub index: Option<i32>,
    /// What is wrong.
    pub fault: RecordFault,
}

impl RecordsError {
    pub(super) const UNKNOWN_COMPRESSION: Self = Self { index: None, fault: RecordFault::UnknownCompression };
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "record {index}: {}", self.fault),
            None => self.fault.fmt(f),
        }
    }
}

impl core::error::Error for RecordsError {}

impl From<Malformed> for RecordFault {
    #[inline(always)]
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Truncated => Self::Truncated,
            Malformed::TooLong => Self::IntegerTooLong,
        }
    }
}

/// The structure of one record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outline {
    /// The place in the batch, from 0.
    pub(super) index: i32,
    pub(super) offset_delta: i32,
    /// In ms since 1970. The batch's max timestamp where the broker gave the timestamps.
    pub(super) timestamp: i64,
    pub(super) has_key: bool,
    /// The bytes behind its length.
    pub(super) body_len: usize,
}

/// Whether a walk goes on after a record.
pub(super) enum Walk {
    On,
    Stop,
}

/// Walks over the records of `batch` and shows each to `visit`. Reaches the end of the payload unless told to stop;
/// decompresses at most `decompressed_bytes_max` bytes.
pub(super) fn walk(
    batch: &RecordBatch<'_>,
    decompressed_bytes_max: usize,
    visit: impl FnMut(Outline) -> Result<Walk, RecordFault>,
) -> Result<(), RecordsError> {
    let compression = batch.attributes().compression().ok_or(RecordsError::UNKNOWN_COMPRESSION)?;
    if compression == Compression::None {
        return walk_source(batch, SliceSource { rest: batch.payload() }, batch.payload().len(), visit);
    }
    let reader = Reader::new(compression, batch.payload(), decompressed_bytes_max);
    let mut window = [0; RECORD_WINDOW_BYTES];
    let source = StreamSource { reader, window: &mut window, start: 0, end: 0, consumed: 0 };
    walk_source(batch, source, decompressed_bytes_max, visit)
}

#[inline(always)]
fn walk_source<S: Source>(
    batch: &RecordBatch<'_>,
    mut source: S,
    bytes_max: usize,
    mut visit: impl FnMut(Outline) -> Result<Walk, RecordFault>,
) -> Result<(), RecordsError> {
    let count = batch.record_count();
    if count < 0 {
        return Err(RecordsError { index: None, fault: RecordFault::NegativeCount(count) });
    }
    if count as usize > bytes_max / RECORD_LEN_MIN {
        return Err(RecordsError { index: None, fault: RecordFault::Truncated });
    }
    let base_timestamp = batch.base_timestamp();
    let append_time = match batch.attributes().timestamp_type() {
        TimestampType::CreateTime => None,
        TimestampType::LogAppendTime => Some(batch.max_timestamp()),
    };
    for index in 0..count {
        let step = read_outline(&mut source, index, base_timestamp, append_time).and_then(&mut visit);
        match step {
            Ok(Walk::On) => {}
            Ok(Walk::Stop) => return Ok(()),
            Err(fault) => return Err(RecordsError { index: Some(index), fault }),
        }
    }
    match source.at_end() {
        Ok(true) => Ok(()),
        Ok(false) => Err(RecordsError { index: None, fault: RecordFault::TrailingBytes }),
        Err(fault) => Err(RecordsError { index: None, fault }),
    }
}

#[inline(always)]
fn read_outline<S: Source>(
    source: &mut S,
    index: i32,
    base_timestamp: i64,
    append_time: Option<i64>,
) -> Result<Outline, RecordFault> {
    let length = source.varint()?;
    let body_len = usize::try_from(length).map_err(|_| RecordFault::NegativeLength(length))?;
    let body_start = source.mark();
    source.skip(1)?;
    let timestamp_delta = source.varlong()?;
    let offset_delta = source.varint()?;
    let key_len = source.varint()?;
    skip_nullable(source, key_len)?;
    let value_len = source.varint()?;
    skip_nullable(source, value_len)?;
    let header_count = source.varint()?;
    if header_count != 0 {
        skip_headers(source, header_count, body_len)?;
    }
    if source.since(body_start) != body_len {
        return Err(RecordFault::BodyLength(length));
    }
    let timestamp = append_time.unwrap_or(base_timestamp.wrapping_add(timestamp_delta));
    Ok(Outline { index, offset_delta, timestamp, has_key: key_len >= 0, body_len })
}

#[inline(always)]
fn skip_nullable<S: Source>(source: &mut S, length: i32) -> Result<(), RecordFault> {
    match usize::try_from(length) {
        Ok(length) => source.skip(length),
        Err(_) if length == -1 => Ok(()),
        Err(_) => Err(RecordFault::NegativeLength(length)),
    }
}

/// Out of line: most records have no headers. A header has two bytes at least, so a count that the body cannot hold is
/// refused before it is looped over.
#[inline(never)]
fn skip_headers<S: Source>(source: &mut S, count: i32, body_len: usize) -> Result<(), RecordFault> {
    if count < 0 || count as usize > body_len / 2 {
        return Err(RecordFault::HeaderCount(count));
    }
    for _ in 0..count {
        let key_len = source.varint()?;
        source.skip(usize::try_from(key_len).map_err(|_| RecordFault::NegativeLength(key_len))?)?;
        let value_len = source.varint()?;
        skip_nullable(source, value_len)?;
    }
    Ok(())
}

/// Where a walk reads from.
trait Source {
    fn varint(&mut self) -> Result<i32, RecordFault>;
    fn varlong(&mut self) -> Result<i64, RecordFault>;
    fn skip(&mut self, count: usize) -> Result<(), RecordFault>;
    /// The current place, to measure from.
    fn mark(&self) -> usize;
    /// How many bytes were read since `mark`.
    fn since(&self, mark: usize) -> usize;
    fn at_end(&mut self) -> Result<bool, RecordFault>;
}

struct SliceSource<'a> {
    rest: &'a [u8],
}

impl Source for SliceSource<'_> {
    #[inline(always)]
    fn varint(&mut self) -> Result<i32, RecordFault> {
        let (value, len) = read_varint(self.rest)?;
        self.rest = &self.rest[len..];
        Ok(value)
    }

    #[inline(always)]
    fn varlong(&mut self) -> Result<i64, RecordFault> {
        let (value, len) = read_varlong(self.rest)?;
        self.rest = &self.rest[len..];
        Ok(value)
    }

    #[inline(always)]
    fn skip(&mut self, count: usize) -> Result<(), RecordFault> {
        self.rest = self.rest.get(count..).ok_or(RecordFault::Truncated)?;
        Ok(())
    }

    #[inline(always)]
    fn mark(&self) -> usize {
        self.rest.len()
    }

    #[inline(always)]
    fn since(&self, mark: usize) -> usize {
        mark - self.rest.len()
    }

    fn at_end(&mut self) -> Result<bool, RecordFault> {
        Ok(self.rest.is_empty())
    }
}

struct StreamSource<'a, 'w> {
    reader: Reader<'a>,
    window: &'w mut [u8; RECORD_WINDOW_BYTES],
    /// The unread part of the window.
    start: usize,
    end: usize,
    /// How many bytes were read in all.
    consumed: usize,
}

impl StreamSource<'_, '_> {
    /// Makes sure that the longest integer is in the window, unless the stream ends before.
    #[inline(always)]
    fn fill_for_integer(&mut self) -> Result<(), RecordFault> {
        if self.end - self.start < VARINT64_BYTES_MAX { self.refill() } else { Ok(()) }
    }

    #[inline(never)]
    fn refill(&mut self) -> Result<(), RecordFault> {
        self.window.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < VARINT64_BYTES_MAX {
            match self.reader.read(&mut self.window[self.end..]).map_err(RecordFault::Compression)? {
                0 => break,
                count => self.end += count,
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn advance(&mut self, count: usize) {
        self.start += count;
        self.consumed += count;
    }
}

impl Source for StreamSource<'_, '_> {
    #[inline(always)]
    fn varint(&mut self) -> Result<i32, RecordFault> {
        self.fill_for_integer()?;
        let (value, len) = read_varint(&self.window[self.start..self.end])?;
        self.advance(len);
        Ok(value)
    }

    #[inline(always)]
    fn varlong(&mut self) -> Result<i64, RecordFault> {
        self.fill_for_integer()?;
        let (value, len) = read_varlong(&self.window[self.start..self.end])?;
        self.advance(len);
        Ok(value)
    }

    #[inline(always)]
    fn skip(&mut self, mut count: usize) -> Result<(), RecordFault> {
        while count > self.end - self.start {
            let unread = self.end - self.start;
            count -= unread;
            self.consumed += unread;
            self.start = 0;
            self.end = self.reader.read(&mut self.window[..]).map_err(RecordFault::Compression)?;
            if self.end == 0 {
                return Err(RecordFault::Truncated);
            }
        }
        self.advance(count);
        Ok(())
    }

    #[inline(always)]
    fn mark(&self) -> usize {
        self.consumed
    }

    #[inline(always)]
    fn since(&self, mark: usize) -> usize {
        self.consumed - mark
    }

    fn at_end(&mut self) -> Result<bool, RecordFault> {
        self.refill()?;
        Ok(self.end == 0)
    }
}

/// Adds up what validation and the lookups by timestamp need to know about a batch's timestamps.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimestampSummary {
    /// The greatest timestamp, [`NO_TIMESTAMP`] where no record has one.
    pub(super) max: i64,
    /// The offset delta of the first record with the greatest timestamp; that of the first record where none has one.
    pub(super) offset_delta_of_max: i32,
    /// The least timestamp of those that have one, `i64::MAX` where none has.
    pub(super) min: i64,
}

impl TimestampSummary {
    pub(super) const EMPTY: Self = Self { max: i64::MIN, offset_delta_of_max: 0, min: i64::MAX };

    #[inline(always)]
    pub(super) fn add(&mut self, record: Outline) {
        let is_greater = record.timestamp > self.max;
        self.max = if is_greater { record.timestamp } else { self.max };
        self.offset_delta_of_max = if is_greater { record.offset_delta } else { self.offset_delta_of_max };
        let counted = if record.timestamp == NO_TIMESTAMP { i64::MAX } else { record.timestamp };
        self.min = if counted < self.min { counted } else { self.min };
    }
}
