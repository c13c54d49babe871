//! Records inside a batch, borrowed from its uncompressed bytes.

use super::varint::{Malformed, read_varint, read_varlong};
use super::walk::RECORD_LEN_MIN;
use super::{RecordBatch, RecordFault, RecordsError, TimestampType, advance_sequence};

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The record's attributes; no bit has a meaning yet.
    pub attributes: i8,
    /// In ms since 1970, [`super::NO_TIMESTAMP`] where it has none. The batch's max timestamp where the broker gave the
    /// timestamps.
    pub timestamp: i64,
    /// The record's offset in the partition.
    pub offset: i64,
    /// The producer's sequence number, [`super::NO_SEQUENCE`] where the batch has none.
    pub sequence: i32,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers (KIP-82).
    pub headers: Headers<'a>,
}

/// The headers of a record, in their order; keys may repeat. Iterates over key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    count: usize,
    /// Checked when the record was read: it holds exactly `count` headers.
    bytes: &'a [u8],
}

impl Headers<'_> {
    /// How many headers are left.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no header is left.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let header = read_header(&mut self.bytes).expect("headers are checked when their record is read");
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// The iterator over a batch's records. It ends after the first error. It checks the structure of every record, and
/// that the batch ends with the last of them; not that offset deltas are in sequence.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    count: i32,
    index: i32,
    base_offset: i64,
    base_timestamp: i64,
    append_time: Option<i64>,
    base_sequence: i32,
    failed: bool,
}

impl<'a> Records<'a> {
    pub(super) fn new(batch: &RecordBatch<'_>, payload: &'a [u8]) -> Self {
        Self {
            rest: payload,
            count: batch.record_count(),
            index: 0,
            base_offset: batch.base_offset(),
            base_timestamp: batch.base_timestamp(),
            append_time: match batch.attributes().timestamp_type() {
                TimestampType::CreateTime => None,
                TimestampType::LogAppendTime => Some(batch.max_timestamp()),
            },
            base_sequence: batch.base_sequence(),
            failed: false,
        }
    }

    fn read(&mut self) -> Result<Record<'a>, RecordFault> {
        let length = take_varint(&mut self.rest)?;
        let body_len = usize::try_from(length).map_err(|_| RecordFault::NegativeLength(length))?;
        let mut body = take(&mut self.rest, body_len)?;
        let wrong_length =
            |fault| if fault == RecordFault::Truncated { RecordFault::BodyLength(length) } else { fault };
        self.read_body(&mut body).map_err(wrong_length)
    }

    fn read_body(&self, body: &mut &'a [u8]) -> Result<Record<'a>, RecordFault> {
        let body_len = body.len();
        let attributes = take(body, 1)?[0] as i8;
        let (timestamp_delta, len) = read_varlong(body)?;
        *body = &body[len..];
        let offset_delta = take_varint(body)?;
        let key = take_nullable(body)?;
        let value = take_nullable(body)?;
        let header_count = take_varint(body)?;
        if header_count < 0 || header_count as usize > body.len() / 2 {
            return Err(RecordFault::HeaderCount(header_count));
        }
        let headers = Headers { count: header_count as usize, bytes: body };
        for _ in 0..header_count {
            read_header(body)?;
        }
        if !body.is_empty() {
            return Err(RecordFault::BodyLength(body_len as i32));
        }
        Ok(Record {
            attributes,
            timestamp: self.append_time.unwrap_or(self.base_timestamp.wrapping_add(timestamp_delta)),
            offset: self.base_offset.wrapping_add(i64::from(offset_delta)),
            sequence: match self.base_sequence {
                base if base >= 0 => advance_sequence(base, offset_delta),
                _ => super::NO_SEQUENCE,
            },
            key,
            value,
            headers,
        })
    }

    fn fail(&mut self, index: Option<i32>, fault: RecordFault) -> Option<Result<Record<'a>, RecordsError>> {
        self.failed = true;
        Some(Err(RecordsError { index, fault }))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.count < 0 {
            return self.fail(None, RecordFault::NegativeCount(self.count));
        }
        if self.index == self.count {
            return if self.rest.is_empty() { None } else { self.fail(None, RecordFault::TrailingBytes) };
        }
        let index = self.index;
        self.index += 1;
        match self.read() {
            Ok(record) => Some(Ok(record)),
            Err(fault) => self.fail(Some(index), fault),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.failed {
            return (0, Some(0));
        }
        let records = usize::try_from(self.count - self.index).unwrap_or(0);
        (0, Some(records.min(self.rest.len() / RECORD_LEN_MIN) + 1))
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], RecordFault> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(RecordFault::Truncated)?;
    *bytes = rest;
    Ok(taken)
}

fn take_varint(bytes: &mut &[u8]) -> Result<i32, Malformed> {
    let (value, len) = read_varint(bytes)?;
    *bytes = &bytes[len..];
    Ok(value)
}

fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordFault> {
    match take_varint(bytes)? {
        -1 => Ok(None),
        length => take(bytes, usize::try_from(length).map_err(|_| RecordFault::NegativeLength(length))?).map(Some),
    }
}

fn read_header<'a>(bytes: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), RecordFault> {
    let key = take_nullable(bytes)?.ok_or(RecordFault::NegativeLength(-1))?;
    Ok((key, take_nullable(bytes)?))
}
