//! Writes record batches: for the client, for control batches, for compaction, and for tests.
//!
//! The records are written behind room for the header, so an uncompressed batch is built where it stands.

use alloc::vec;
use alloc::vec::Vec;

use super::varint::{varint_len, varlong_len, write_varint, write_varlong};
use super::{
    ATTRIBUTES_AT, Attributes, CRC_AT, HEADER_LEN, LENGTH_OVERHEAD, MAGIC, NO_LEADER_EPOCH, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, TimestampType,
};
use crate::compression::{Compression, compress};

/// A record to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// In ms since 1970, [`NO_TIMESTAMP`] for none.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// Keys and values of the headers, in their order.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

/// Collects records and writes them as one batch. The defaults are those of a plain producer: offset 0, no leader epoch,
/// no compression, no producer id.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: i64,
    leader_epoch: i32,
    attributes: Attributes,
    compression: Compression,
    compression_level: Option<i32>,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    append_time: Option<i64>,
    delete_horizon: Option<i64>,
    record_count: i32,
    last_offset_delta: i32,
    /// Room for the header, then the records.
    bytes: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// A builder without records.
    pub fn new() -> Self {
        Self {
            base_offset: 0,
            leader_epoch: NO_LEADER_EPOCH,
            attributes: Attributes::default(),
            compression: Compression::None,
            compression_level: None,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            append_time: None,
            delete_horizon: None,
            record_count: 0,
            last_offset_delta: -1,
            bytes: vec![0; HEADER_LEN],
        }
    }

    /// Sets the offset of the first record.
    #[must_use]
    pub fn base_offset(mut self, base_offset: i64) -> Self {
        self.base_offset = base_offset;
        self
    }

    /// Sets the partition leader epoch.
    #[must_use]
    pub fn leader_epoch(mut self, leader_epoch: i32) -> Self {
        self.leader_epoch = leader_epoch;
        self
    }

    /// Sets the codec and, where it is not the codec's default, its level.
    #[must_use]
    pub fn compression(mut self, compression: Compression, level: Option<i32>) -> Self {
        self.compression = compression;
        self.compression_level = level;
        self
    }

    /// Sets the idempotent producer's fields.
    #[must_use]
    pub fn producer(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Self {
        self.producer_id = producer_id;
        self.producer_epoch = producer_epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self, on: bool) -> Self {
        self.attributes = self.attributes.with_transactional(on);
        self
    }

    /// Marks the batch as a control batch.
    #[must_use]
    pub fn control(mut self, on: bool) -> Self {
        self.attributes = self.attributes.with_control(on);
        self
    }

    /// Makes the batch carry the broker's append time (ms since 1970) in place of the records' timestamps.
    #[must_use]
    pub fn log_append_time(mut self, append_time: i64) -> Self {
        self.append_time = Some(append_time);
        self
    }

    /// Makes the batch say from when on (ms since 1970) compaction may drop its tombstones and markers (KIP-534). The first
    /// record comes after this.
    #[must_use]
    pub fn delete_horizon(mut self, horizon: i64) -> Self {
        assert_eq!(self.record_count, 0, "timestamps count from the horizon");
        self.delete_horizon = Some(horizon);
        self
    }

    /// Appends a record at the next offset.
    pub fn append(&mut self, record: &NewRecord<'_>) {
        let next = self.last_offset_delta.checked_add(1).expect("a batch has at most 2^31 offsets");
        self.append_at(next, record);
    }

    /// Appends a record at an offset relative to the base offset, above that of the record before: for batches with
    /// gaps, as compaction leaves them.
    pub fn append_at(&mut self, offset_delta: i32, record: &NewRecord<'_>) {
        assert!(offset_delta > self.last_offset_delta, "offsets increase within a batch");
        if self.record_count == 0 {
            self.base_timestamp = self.delete_horizon.unwrap_or(record.timestamp);
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.last_offset_delta = offset_delta;
        self.record_count += 1;
        let timestamp_delta = record.timestamp.wrapping_sub(self.base_timestamp);
        let body_len = 1 // the attributes
            + varlong_len(timestamp_delta)
            + varint_len(offset_delta)
            + nullable_len(record.key)
            + nullable_len(record.value)
            + varint_len(length(record.headers.len()))
            + record.headers.iter().map(|(key, value)| nullable_len(Some(key)) + nullable_len(*value)).sum::<usize>();
        let out = &mut self.bytes;
        write_varint(length(body_len), out);
        let body_start = out.len();
        out.push(0);
        write_varlong(timestamp_delta, out);
        write_varint(offset_delta, out);
        write_nullable(record.key, out);
        write_nullable(record.value, out);
        write_varint(length(record.headers.len()), out);
        for (key, value) in record.headers {
            write_nullable(Some(key), out);
            write_nullable(*value, out);
        }
        assert_eq!(out.len() - body_start, body_len, "a record is as long as was reckoned");
    }

    /// Makes the batch end at an offset relative to the base offset behind its last record, as after compaction.
    #[must_use]
    pub fn last_offset_delta(mut self, last_offset_delta: i32) -> Self {
        assert!(last_offset_delta >= self.last_offset_delta, "a batch ends behind its last record");
        self.last_offset_delta = last_offset_delta;
        self
    }

    /// How many records there are.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// The size of the batch as it stands, before compression.
    pub fn uncompressed_size(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the batch.
    pub fn build(mut self) -> Vec<u8> {
        let mut batch = core::mem::take(&mut self.bytes);
        if self.compression != Compression::None {
            let plain = core::mem::replace(&mut batch, vec![0; HEADER_LEN]);
            compress(self.compression, self.compression_level, &plain[HEADER_LEN..], &mut batch);
        }
        self.write_header(&mut batch);
        batch
    }

    fn write_header(&self, batch: &mut [u8]) {
        let attributes =
            self.attributes.with_compression(self.compression).with_delete_horizon(self.delete_horizon.is_some());
        let (attributes, max_timestamp) = match self.append_time {
            Some(append_time) => (attributes.with_timestamp_type(TimestampType::LogAppendTime), append_time),
            None => (attributes, self.max_timestamp),
        };
        let batch_length = length(batch.len() - LENGTH_OVERHEAD);
        let mut rest = &mut batch[..HEADER_LEN];
        put(&mut rest, self.base_offset.to_be_bytes());
        put(&mut rest, batch_length.to_be_bytes());
        put(&mut rest, self.leader_epoch.to_be_bytes());
        put(&mut rest, MAGIC.to_be_bytes());
        put(&mut rest, [0; 4]); // the CRC, below
        put(&mut rest, attributes.0.to_be_bytes());
        put(&mut rest, self.last_offset_delta.to_be_bytes());
        put(&mut rest, self.base_timestamp.to_be_bytes());
        put(&mut rest, max_timestamp.to_be_bytes());
        put(&mut rest, self.producer_id.to_be_bytes());
        put(&mut rest, self.producer_epoch.to_be_bytes());
        put(&mut rest, self.base_sequence.to_be_bytes());
        put(&mut rest, self.record_count.to_be_bytes());
        assert!(rest.is_empty(), "the header is written whole");
        let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
        batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    }
}

fn put<const N: usize>(rest: &mut &mut [u8], bytes: [u8; N]) {
    let (to, behind) = core::mem::take(rest).split_at_mut(N);
    to.copy_from_slice(&bytes);
    *rest = behind;
}

fn length(length: usize) -> i32 {
    i32::try_from(length).expect("a batch is below 2 GiB")
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_len(length(bytes.len())) + bytes.len())
}

fn write_nullable(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    write_varint(bytes.map_or(-1, |bytes| length(bytes.len())), out);
    out.extend_from_slice(bytes.unwrap_or(&[]));
}
