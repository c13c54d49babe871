//! What a leader checks in a producer's batch before it stores it, and the answer where it does not.
//!
//! The rules are Kafka's (produce request, log append and log validator), with two differences: offset deltas and
//! lengths that Kafka would store although no consumer can make sense of them are refused, and what a compressed batch
//! unfolds to is bounded. Nothing but the header, the CRC and the records' structure is read; the CRC comes before
//! everything that it covers, so that a batch damaged on its way is told apart from one that was built wrongly.
//!
//! A good batch is walked once and nothing is allocated for it but a codec's state. Only a refused batch is walked a
//! second time, to name its bad records.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::walk::{Outline, TimestampSummary, Walk, walk};
use super::{
    CRC_AT, HeaderPatch, MAGIC, MalformedBatch, NO_LEADER_EPOCH, NO_PRODUCER_ID, NO_TIMESTAMP, RecordBatch,
    RecordFault, RecordsError, TimestampType, patched_header,
};
use crate::compression::{Compression, CompressionError};
use crate::error_code::ErrorCode;
use crate::limits::{BATCH_RECORDS_MAX_DEFAULT, DECOMPRESSED_BATCH_BYTES_MAX_DEFAULT, RECORD_ERRORS_MAX};

/// The first version of Produce whose batches are of format v2.
const PRODUCE_VERSION_OF_FORMAT_V2: i16 = 3;
/// The first version of Produce that may carry zstd (KIP-110).
const PRODUCE_VERSION_OF_ZSTD: i16 = 7;

/// How far [`validate`] looks into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The header and the CRC. What the header says about the records' timestamps is believed.
    Header,
    /// Also the structure of every record that is not compressed.
    PlainRecords,
    /// Also the structure of every compressed record, as Kafka does it. This decompresses the batch.
    AllRecords,
}

/// What a topic and a produce request allow in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceRules {
    /// The version of the produce request, which limits the format and the codecs.
    pub produce_version: i16,
    /// How far to look. Where keys are required every record is looked at, whatever this says.
    pub depth: Depth,
    /// Whether every record must have a key, as in a compacted topic.
    pub keys_required: bool,
    /// `message.timestamp.type` of the topic.
    pub timestamp_type: TimestampType,
    /// The wall clock, in ms since 1970.
    pub now_ms: i64,
    /// `message.timestamp.before.max.ms`: how far a record's timestamp may lie in the past. Not negative.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far it may lie in the future. Not negative.
    pub timestamp_after_max_ms: i64,
    /// How many bytes a compressed batch may unfold to. More is refused as MESSAGE_TOO_LARGE, which makes Java's producer
    /// split the batch and send it again.
    pub decompressed_bytes_max: usize,
    /// `max.decompressed.message.bytes` of the topic: how many bytes a record of a compressed batch may have behind its
    /// length. More is refused as INVALID_RECORD.
    pub decompressed_record_bytes_max: usize,
    /// How many records a batch may have. More is refused as MESSAGE_TOO_LARGE.
    pub records_max: usize,
}

impl Default for ProduceRules {
    /// Kafka's defaults for a topic, at the epoch. Everything is looked at; 64 MiB and a million records at most.
    fn default() -> Self {
        Self {
            produce_version: i16::MAX,
            depth: Depth::AllRecords,
            keys_required: false,
            timestamp_type: TimestampType::CreateTime,
            now_ms: 0,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            decompressed_bytes_max: DECOMPRESSED_BATCH_BYTES_MAX_DEFAULT,
            decompressed_record_bytes_max: usize::MAX,
            records_max: BATCH_RECORDS_MAX_DEFAULT,
        }
    }
}

/// What a leader needs to know of a batch that may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validated {
    /// The size of the batch in bytes.
    pub size: usize,
    /// The CRC to store: the producer's, or the one that [`Validated::timestamp_patch`] makes of it.
    pub crc: u32,
    /// How many records there are, at least 1.
    pub record_count: i32,
    /// One less than the record count.
    pub last_offset_delta: i32,
    /// The max timestamp to store, in ms since 1970: the greatest of the records, or now where the broker gives the
    /// timestamps. [`NO_TIMESTAMP`] where no record has one.
    pub max_timestamp: i64,
    /// The offset delta of the first record that has the max timestamp (KIP-734). The last offset delta where the
    /// records were not looked at.
    pub offset_delta_of_max_timestamp: i32,
    /// What [`super::HeaderPatch::timestamp`] has to be: the topic wants the broker's timestamps, or the header's max
    /// timestamp is not that of its records.
    pub timestamp_patch: Option<(TimestampType, i64)>,
    /// The codec.
    pub compression: Compression,
    /// [`NO_PRODUCER_ID`] where the producer is not idempotent.
    pub producer_id: i64,
    /// The producer's epoch, not negative where there is a producer id.
    pub producer_epoch: i16,
    /// The first record's sequence number, not negative where there is a producer id.
    pub base_sequence: i32,
    /// The last record's sequence number.
    pub last_sequence: i32,
    /// Whether the batch belongs to a transaction. It has a producer id then.
    pub is_transactional: bool,
}

impl Validated {
    /// The same of `batch`, which has the same records with another codec.
    #[must_use]
    pub fn reencoded(&self, batch: &RecordBatch<'_>) -> Self {
        Self {
            size: batch.size(),
            crc: self.timestamp_patch.map_or(batch.crc(), |timestamp| crc_with(batch, timestamp)),
            compression: batch.attributes().compression().unwrap_or_default(),
            ..*self
        }
    }
}

/// One bad record, for the produce response (version 8, KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The record's place in the batch, from 0.
    pub index: i32,
    /// What is wrong with it.
    pub message: String,
}

/// Why a batch is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRejection {
    /// The error for the partition.
    pub code: ErrorCode,
    /// What is wrong, for a person.
    pub message: String,
    /// The bad records, where it is about single ones; the first [`RECORD_ERRORS_MAX`] at most.
    pub record_errors: Vec<RecordError>,
}

impl fmt::Display for BatchRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for BatchRejection {}

impl BatchRejection {
    #[cold]
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), record_errors: Vec::new() }
    }

    #[cold]
    fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::INVALID_RECORD, message)
    }
}

/// Checks what a producer sent for one partition: exactly one batch of format v2 that keeps `rules`. Its size is for the
/// caller to check.
pub fn validate<'a>(records: &'a [u8], rules: &ProduceRules) -> Result<(RecordBatch<'a>, Validated), BatchRejection> {
    assert!(rules.timestamp_before_max_ms >= 0 && rules.timestamp_after_max_ms >= 0, "time bounds are not negative");
    let batch = only_batch(records, rules.produce_version)?;
    if !batch.has_valid_crc() {
        let message = format!("the batch's CRC is {:#010x}, its content's {:#010x}", batch.crc(), batch.computed_crc());
        return Err(BatchRejection::new(ErrorCode::CORRUPT_MESSAGE, message));
    }
    let compression = check_attributes(&batch, rules.produce_version)?;
    check_offsets(&batch, rules.records_max)?;
    check_producer(&batch)?;
    let timestamps = check_records(&batch, compression, rules)?;

    let (max_timestamp, offset_delta_of_max_timestamp, timestamp_patch) = match rules.timestamp_type {
        TimestampType::LogAppendTime => (rules.now_ms, 0, Some((TimestampType::LogAppendTime, rules.now_ms))),
        TimestampType::CreateTime => {
            let patch =
                (timestamps.max != batch.max_timestamp()).then_some((TimestampType::CreateTime, timestamps.max));
            (timestamps.max, timestamps.offset_delta_of_max, patch)
        }
    };
    let validated = Validated {
        size: batch.size(),
        crc: timestamp_patch.map_or(batch.crc(), |timestamp| crc_with(&batch, timestamp)),
        record_count: batch.record_count(),
        last_offset_delta: batch.last_offset_delta(),
        max_timestamp,
        offset_delta_of_max_timestamp,
        timestamp_patch,
        compression,
        producer_id: batch.producer_id(),
        producer_epoch: batch.producer_epoch(),
        base_sequence: batch.base_sequence(),
        last_sequence: batch.last_sequence(),
        is_transactional: batch.attributes().is_transactional(),
    };
    Ok((batch, validated))
}

/// The CRC of the batch with another timestamp type and max timestamp.
fn crc_with(batch: &RecordBatch<'_>, timestamp: (TimestampType, i64)) -> u32 {
    let patch = HeaderPatch { base_offset: 0, leader_epoch: NO_LEADER_EPOCH, timestamp: Some(timestamp) };
    u32::from_be_bytes(super::field(&patched_header(batch, &patch), CRC_AT))
}

fn only_batch(records: &[u8], produce_version: i16) -> Result<RecordBatch<'_>, BatchRejection> {
    let (batch, rest) = RecordBatch::split_from(records).map_err(|malformed| match malformed {
        MalformedBatch::Magic(magic @ 0..=1) if produce_version < PRODUCE_VERSION_OF_FORMAT_V2 => BatchRejection::new(
            ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
            format!("message format {magic} is not supported, only format {MAGIC} is"),
        ),
        MalformedBatch::Magic(0..=1) => BatchRejection::invalid(format!(
            "produce requests of version {produce_version} may only carry record batches of magic {MAGIC}"
        )),
        MalformedBatch::Incomplete(_) => BatchRejection::invalid("there is no whole record batch"),
        malformed @ (MalformedBatch::Magic(_) | MalformedBatch::Length(_)) => {
            BatchRejection::new(ErrorCode::CORRUPT_MESSAGE, malformed.to_string())
        }
    })?;
    if rest.is_empty() {
        Ok(batch)
    } else {
        Err(BatchRejection::invalid("there must be exactly one record batch per partition, and nothing behind it"))
    }
}

fn check_attributes(batch: &RecordBatch<'_>, produce_version: i16) -> Result<Compression, BatchRejection> {
    let attributes = batch.attributes();
    let Some(compression) = attributes.compression() else {
        let message = format!("unknown compression type in the attributes {:#06x}", attributes.0);
        return Err(BatchRejection::new(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, message));
    };
    if compression == Compression::Zstd && produce_version < PRODUCE_VERSION_OF_ZSTD {
        let message = format!("produce requests of version {produce_version} may not carry zstd");
        return Err(BatchRejection::new(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, message));
    }
    if attributes.is_control() {
        return Err(BatchRejection::invalid("clients may not write control records"));
    }
    if attributes.has_delete_horizon() {
        return Err(BatchRejection::invalid("clients may not set a delete horizon"));
    }
    if attributes.timestamp_type() == TimestampType::LogAppendTime {
        let message = "producers may not set the timestamp type to LogAppendTime";
        return Err(BatchRejection::new(ErrorCode::INVALID_TIMESTAMP, message));
    }
    Ok(compression)
}

fn check_offsets(batch: &RecordBatch<'_>, records_max: usize) -> Result<(), BatchRejection> {
    let (base_offset, last_offset_delta, count) =
        (batch.base_offset(), batch.last_offset_delta(), batch.record_count());
    if base_offset != 0 {
        return Err(BatchRejection::invalid(format!("the base offset must be 0, it is {base_offset}")));
    }
    if count <= 0 {
        return Err(BatchRejection::invalid(format!("invalid record count {count}")));
    }
    if last_offset_delta != count - 1 {
        let message = format!("the last offset delta {last_offset_delta} does not fit the record count {count}");
        return Err(BatchRejection::invalid(message));
    }
    if count as usize > records_max {
        let message = format!("the batch has {count} records, at most {records_max} are allowed");
        return Err(BatchRejection::new(ErrorCode::MESSAGE_TOO_LARGE, message));
    }
    Ok(())
}

fn check_producer(batch: &RecordBatch<'_>) -> Result<(), BatchRejection> {
    let (producer_id, producer_epoch, base_sequence) =
        (batch.producer_id(), batch.producer_epoch(), batch.base_sequence());
    if producer_id < NO_PRODUCER_ID {
        return Err(BatchRejection::invalid(format!("invalid producer id {producer_id}")));
    }
    if producer_id == NO_PRODUCER_ID {
        return if batch.attributes().is_transactional() {
            Err(BatchRejection::invalid("a transactional batch needs a producer id"))
        } else {
            Ok(())
        };
    }
    if producer_epoch < 0 {
        let message = format!("invalid epoch {producer_epoch} of producer {producer_id}");
        return Err(BatchRejection::invalid(message));
    }
    if base_sequence < 0 {
        let message = format!("invalid base sequence {base_sequence} of producer {producer_id}");
        return Err(BatchRejection::invalid(message));
    }
    Ok(())
}

/// Checks the records as far as the rules ask for it, and their timestamps.
fn check_records(
    batch: &RecordBatch<'_>,
    compression: Compression,
    rules: &ProduceRules,
) -> Result<TimestampSummary, BatchRejection> {
    let depth_needed = if compression == Compression::None { Depth::PlainRecords } else { Depth::AllRecords };
    let mut keys_missing = false;
    let timestamps = if rules.depth >= depth_needed || rules.keys_required {
        let mut timestamps = TimestampSummary::EMPTY;
        let record_bytes_max = match compression {
            Compression::None => usize::MAX,
            _ => rules.decompressed_record_bytes_max,
        };
        walk(batch, rules.decompressed_bytes_max, |record| {
            if record.offset_delta != record.index {
                return Err(RecordFault::OffsetDelta(record.offset_delta));
            }
            if record.body_len > record_bytes_max {
                return Err(RecordFault::TooLong(record.body_len));
            }
            keys_missing |= !record.has_key;
            timestamps.add(record);
            Ok(Walk::On)
        })
        .map_err(reject_records)?;
        timestamps
    } else {
        let max = batch.max_timestamp();
        let min = if max == NO_TIMESTAMP { i64::MAX } else { max };
        TimestampSummary { max, offset_delta_of_max: batch.last_offset_delta(), min }
    };

    let bounds = TimestampBounds::new(rules);
    if (rules.keys_required && keys_missing) || !bounds.contain(&timestamps) {
        return Err(reject_single_records(batch, rules, &bounds));
    }
    Ok(timestamps)
}

/// The timestamps that a topic accepts; all of them where it does not use the producer's.
struct TimestampBounds {
    first: i64,
    last: i64,
}

impl TimestampBounds {
    fn new(rules: &ProduceRules) -> Self {
        match rules.timestamp_type {
            TimestampType::LogAppendTime => Self { first: i64::MIN, last: i64::MAX },
            TimestampType::CreateTime => Self {
                first: rules.now_ms.saturating_sub(rules.timestamp_before_max_ms),
                last: rules.now_ms.saturating_add(rules.timestamp_after_max_ms),
            },
        }
    }

    fn contain(&self, timestamps: &TimestampSummary) -> bool {
        self.first <= timestamps.min && timestamps.max <= self.last
    }

    fn contains(&self, timestamp: i64) -> bool {
        timestamp == NO_TIMESTAMP || (self.first <= timestamp && timestamp <= self.last)
    }
}

#[cold]
fn reject_records(error: RecordsError) -> BatchRejection {
    let code = match error.fault {
        RecordFault::Compression(CompressionError::TooLarge { .. }) => ErrorCode::MESSAGE_TOO_LARGE,
        _ => ErrorCode::INVALID_RECORD,
    };
    let message = error.to_string();
    let record_errors = match error.index {
        Some(index) if code == ErrorCode::INVALID_RECORD => {
            alloc::vec![RecordError { index, message: error.fault.to_string() }]
        }
        _ => Vec::new(),
    };
    BatchRejection { code, message, record_errors }
}

/// Names the records that lack a key or whose timestamp is out of bounds.
#[cold]
fn reject_single_records(batch: &RecordBatch<'_>, rules: &ProduceRules, bounds: &TimestampBounds) -> BatchRejection {
    let mut record_errors = Vec::new();
    let mut wrong_timestamps = false;
    let mut count = 0;
    let judge = |record: Outline| {
        let message = if rules.keys_required && !record.has_key {
            "a compacted topic does not accept a record without a key".to_string()
        } else if !bounds.contains(record.timestamp) {
            wrong_timestamps = true;
            format!("the timestamp {} is not within [{}, {}]", record.timestamp, bounds.first, bounds.last)
        } else {
            return Ok(Walk::On);
        };
        count += 1;
        if record_errors.len() < RECORD_ERRORS_MAX {
            record_errors.push(RecordError { index: record.index, message });
        }
        Ok(Walk::On)
    };
    let walked = walk(batch, rules.decompressed_bytes_max, judge);
    if walked.is_err() || count == 0 {
        // The records were not looked at before, and now they do not bear out what the header says of them.
        let message = format!("the batch's max timestamp {} is out of range", batch.max_timestamp());
        return BatchRejection::new(ErrorCode::INVALID_TIMESTAMP, message);
    }
    if wrong_timestamps {
        let message = "one or more records have been rejected due to invalid timestamps";
        BatchRejection { record_errors, ..BatchRejection::new(ErrorCode::INVALID_TIMESTAMP, message) }
    } else {
        let message = format!("{count} records have been rejected, they need keys");
        BatchRejection { record_errors, ..BatchRejection::invalid(message) }
    }
}

#[cfg(test)]
mod tests;
