//! Record batches of format v2 (magic 2, KIP-98): a view over the bytes, and the iterator over a run of batches.
//!
//! Invariants:
//! - A [`RecordBatch`] covers exactly the bytes of one batch: a whole header, magic 2, the declared length. Nothing else
//!   about it is checked: its CRC may be wrong and its records may be nonsense.
//! - Reading never allocates and never panics, whatever the bytes are. What is wrong with them is a value.
//! - Offsets, timestamps and sequences that do not fit their type wrap, as they do for Kafka's consumers. What
//!   [`validate`] judges is the wrapped value.
//!
//! The layout, in bytes: base offset 8, batch length 4 (of what follows it), partition leader epoch 4, magic 1, CRC 4
//! (CRC32C of all that follows it), attributes 2, last offset delta 4, base timestamp 8, max timestamp 8, producer id 8,
//! producer epoch 2, base sequence 4, record count 4, records (compressed as one piece where the attributes say so).

mod attributes;
mod builder;
mod checksum;
mod compacted;
mod control;
mod patch;
mod record;
mod reencode;
mod timestamp_lookup;
mod validate;
mod varint;
mod walk;

use core::fmt;

pub use attributes::{Attributes, TimestampType};
pub use builder::{BatchBuilder, NewRecord};
pub use compacted::{Compacted, emptied};
pub use control::{ControlRecord, ControlType, end_transaction_marker};
pub use patch::{
    HeaderPatch, patch_in_place, patched_header, patched_prefix, set_base_offset, set_leader_epoch, set_max_timestamp,
};
pub use record::{Headers, Record, Records};
pub use reencode::Reencoding;
pub use timestamp_lookup::{find_max_timestamp, find_offset_by_timestamp};
pub use validate::{BatchRejection, Depth, ProduceRules, RecordError, Validated, validate};
pub use walk::{RecordFault, RecordsError};

/// The size of a batch's header: everything before its first record.
pub const HEADER_LEN: usize = 61;
/// The size of what stands before the magic byte: base offset, batch length, partition leader epoch. A broker patches
/// these without touching the CRC.
pub const PREFIX_LEN: usize = 16;
/// The size of base offset and batch length, which the batch length does not count.
pub const LENGTH_OVERHEAD: usize = 12;
/// The magic byte of this format, the only one that is served.
pub const MAGIC: i8 = 2;
/// The timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = -1;
/// The producer id of a batch that is not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;
/// The producer epoch of a batch that is not idempotent.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// The base sequence of a batch that is not idempotent, and of control batches.
pub const NO_SEQUENCE: i32 = -1;
/// The leader epoch of a batch that no leader has stored yet.
pub const NO_LEADER_EPOCH: i32 = -1;

const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

/// The smallest legal value of the batch length field: a header without records.
const LENGTH_MIN: i32 = (HEADER_LEN - LENGTH_OVERHEAD) as i32;

/// A borrowed record batch. See the module for what is checked.
#[derive(Clone, Copy)]
pub struct RecordBatch<'a> {
    header: &'a [u8; HEADER_LEN],
    bytes: &'a [u8],
}

/// Why bytes do not begin with a record batch of format v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedBatch {
    /// The bytes end too early; at least this many are needed from the batch's first byte on (more, where the length
    /// field itself is not there yet).
    Incomplete(usize),
    /// The batch length field is below that of an empty batch.
    Length(i32),
    /// The magic byte is not 2.
    Magic(i8),
}

impl fmt::Display for MalformedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete(needed) => write!(f, "the record batch is cut off, it needs at least {needed} bytes"),
            Self::Length(length) => {
                write!(f, "the batch length {length} is below that of an empty batch ({LENGTH_MIN})")
            }
            Self::Magic(magic) => write!(f, "the magic byte is {magic}, only {MAGIC} is supported"),
        }
    }
}

impl core::error::Error for MalformedBatch {}

impl<'a> RecordBatch<'a> {
    /// The batch at the start of `bytes`, and the bytes behind it.
    pub fn split_from(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), MalformedBatch> {
        let Some(prefix) = bytes.first_chunk::<{ MAGIC_AT + 1 }>() else {
            return Err(MalformedBatch::Incomplete(declared_size(bytes).unwrap_or(MAGIC_AT + 1)));
        };
        let magic = i8::from_be_bytes(field(prefix, MAGIC_AT));
        if magic != MAGIC {
            return Err(MalformedBatch::Magic(magic));
        }
        let length = i32::from_be_bytes(field(prefix, LENGTH_AT));
        if length < LENGTH_MIN {
            return Err(MalformedBatch::Length(length));
        }
        let size = LENGTH_OVERHEAD + length as usize;
        let Some((batch, rest)) = bytes.split_at_checked(size) else {
            return Err(MalformedBatch::Incomplete(size));
        };
        let header = batch.first_chunk().expect("a batch is at least as long as its header");
        Ok((Self { header, bytes: batch }, rest))
    }

    /// All bytes of the batch.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The header.
    pub fn header(&self) -> &'a [u8; HEADER_LEN] {
        self.header
    }

    /// What follows the header: the records, compressed where the attributes say so.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// The size of the batch in bytes, with everything.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The offset of the first record at the time the batch was written. Compaction may have removed that record.
    pub fn base_offset(&self) -> i64 {
        i64::from_be_bytes(field(self.header, 0))
    }

    /// The declared number of bytes behind the length field.
    pub fn batch_length(&self) -> i32 {
        i32::from_be_bytes(field(self.header, LENGTH_AT))
    }

    /// The leader epoch under which the batch was appended. -1 in a producer's batch.
    pub fn partition_leader_epoch(&self) -> i32 {
        i32::from_be_bytes(field(self.header, LEADER_EPOCH_AT))
    }

    /// The format version, always [`MAGIC`].
    pub fn magic(&self) -> i8 {
        i8::from_be_bytes(field(self.header, MAGIC_AT))
    }

    /// The stored CRC32C of everything from the attributes on.
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(field(self.header, CRC_AT))
    }

    /// The CRC32C that the batch should have.
    pub fn computed_crc(&self) -> u32 {
        crc32c::crc32c(&self.bytes[ATTRIBUTES_AT..])
    }

    /// Whether the stored CRC fits the bytes. Reads all of them.
    pub fn has_valid_crc(&self) -> bool {
        self.crc() == self.computed_crc()
    }

    /// Compression, timestamp type and flags.
    pub fn attributes(&self) -> Attributes {
        Attributes(i16::from_be_bytes(field(self.header, ATTRIBUTES_AT)))
    }

    /// The last offset of the batch relative to its base offset. Compaction does not change it.
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(field(self.header, LAST_OFFSET_DELTA_AT))
    }

    /// The offset of the last record at the time the batch was written.
    pub fn last_offset(&self) -> i64 {
        self.base_offset().wrapping_add(i64::from(self.last_offset_delta()))
    }

    /// The offset behind the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// What the records' timestamp deltas count from, in ms since 1970: the first record's timestamp, or the delete
    /// horizon where the attributes say that it is one (KIP-534).
    pub fn base_timestamp(&self) -> i64 {
        i64::from_be_bytes(field(self.header, BASE_TIMESTAMP_AT))
    }

    /// The greatest timestamp of the records, or the broker's append time, in ms since 1970. -1 where there is none.
    pub fn max_timestamp(&self) -> i64 {
        i64::from_be_bytes(field(self.header, MAX_TIMESTAMP_AT))
    }

    /// The producer's id, [`NO_PRODUCER_ID`] where the producer is not idempotent.
    pub fn producer_id(&self) -> i64 {
        i64::from_be_bytes(field(self.header, PRODUCER_ID_AT))
    }

    /// The producer's epoch, [`NO_PRODUCER_EPOCH`] where the producer is not idempotent.
    pub fn producer_epoch(&self) -> i16 {
        i16::from_be_bytes(field(self.header, PRODUCER_EPOCH_AT))
    }

    /// The sequence number of the first record, [`NO_SEQUENCE`] where the producer is not idempotent.
    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(field(self.header, BASE_SEQUENCE_AT))
    }

    /// The sequence number of the last record; sequence numbers go on with 0 after `i32::MAX`. [`NO_SEQUENCE`] where
    /// the batch has none.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence() {
            NO_SEQUENCE => NO_SEQUENCE,
            base => advance_sequence(base, self.last_offset_delta()),
        }
    }

    /// How many records the batch says it has. Negative only in a malformed one; 0 after compaction removed them all.
    pub fn record_count(&self) -> i32 {
        i32::from_be_bytes(field(self.header, RECORD_COUNT_AT))
    }

    /// The records in `payload`: this batch's [`RecordBatch::payload`], decompressed where it was compressed.
    pub fn records<'p>(&self, payload: &'p [u8]) -> Records<'p> {
        Records::new(self, payload)
    }

    /// The bytes of the records: borrowed where they are not compressed, decompressed otherwise. At most
    /// `decompressed_bytes_max` bytes, then it is an error.
    pub fn decompressed_payload(
        &self,
        decompressed_bytes_max: usize,
    ) -> Result<alloc::borrow::Cow<'a, [u8]>, RecordsError> {
        let compression = self.attributes().compression().ok_or(RecordsError::UNKNOWN_COMPRESSION)?;
        if compression == crate::compression::Compression::None {
            return Ok(self.payload().into());
        }
        let bytes = crate::compression::decompress(compression, self.payload(), decompressed_bytes_max)
            .map_err(|error| RecordsError { index: None, fault: RecordFault::Compression(error) })?;
        Ok(bytes.into())
    }
}

impl fmt::Debug for RecordBatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordBatch")
            .field("base_offset", &self.base_offset())
            .field("last_offset_delta", &self.last_offset_delta())
            .field("size", &self.size())
            .field("partition_leader_epoch", &self.partition_leader_epoch())
            .field("crc", &self.crc())
            .field("attributes", &self.attributes())
            .field("base_timestamp", &self.base_timestamp())
            .field("max_timestamp", &self.max_timestamp())
            .field("producer_id", &self.producer_id())
            .field("producer_epoch", &self.producer_epoch())
            .field("base_sequence", &self.base_sequence())
            .field("record_count", &self.record_count())
            .finish()
    }
}

/// Which offsets a batch has and where it ends, from its header alone: nothing of its records was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSpan {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset of its last record at the time it was written.
    pub last_offset: i64,
    /// The epoch of the leader that appended it.
    pub leader_epoch: i32,
    /// Its bytes.
    pub size: usize,
}

impl BatchSpan {
    /// Reads the header at the start of `bytes`, which need not hold more of the batch than that.
    pub fn read(bytes: &[u8]) -> Result<Self, MalformedBatch> {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(MalformedBatch::Incomplete(HEADER_LEN));
        };
        match RecordBatch::split_from(header) {
            Ok(_) | Err(MalformedBatch::Incomplete(_)) => {}
            Err(error) => return Err(error),
        }
        let view = RecordBatch { header, bytes: header };
        Ok(Self {
            base_offset: view.base_offset(),
            last_offset: view.last_offset(),
            leader_epoch: view.partition_leader_epoch(),
            size: LENGTH_OVERHEAD + view.batch_length() as usize,
        })
    }
}

/// The size that the first bytes of a batch declare for it, as soon as its length field is there and legal.
pub fn declared_size(bytes: &[u8]) -> Option<usize> {
    let start = bytes.first_chunk::<LENGTH_OVERHEAD>()?;
    let length = i32::from_be_bytes(field(start, LENGTH_AT));
    (length >= LENGTH_MIN).then(|| LENGTH_OVERHEAD + length as usize)
}

/// The sequence number `count` records after `sequence`. Sequence numbers go on with 0 after `i32::MAX`.
pub fn advance_sequence(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

/// The batches that stand one behind the other in `bytes`.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes, position: 0, failed: false }
}

/// The iterator of [`batches`]. It ends without an error at a batch that is cut off, and after the error at one that is
/// malformed; [`Batches::position`] then tells where that one begins.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    position: usize,
    failed: bool,
}

impl<'a> Batches<'a> {
    /// How many bytes the batches yielded so far have.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The bytes behind the batches yielded so far.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<RecordBatch<'a>, MalformedBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match RecordBatch::split_from(self.rest) {
            Ok((batch, rest)) => {
                self.rest = rest;
                self.position += batch.size();
                Some(Ok(batch))
            }
            Err(MalformedBatch::Incomplete(_)) => None,
            Err(malformed) => {
                self.failed = true;
                Some(Err(malformed))
            }
        }
    }
}

/// The `N` bytes of a header that begin at `at`.
fn field<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    *header[at..].first_chunk().expect("the field lies inside the header")
}

#[cfg(test)]
mod tests;
