//! What a leader changes in a producer's batch: base offset, leader epoch, and sometimes the timestamps.
//!
//! Base offset and leader epoch lie outside the CRC. A changed timestamp type or max timestamp changes the CRC, which is
//! derived from the old one: the payload is not read again. The old CRC must therefore be valid.

use super::checksum::crc_with_new_head;
use super::{
    ATTRIBUTES_AT, CRC_AT, HEADER_LEN, LEADER_EPOCH_AT, MAX_TIMESTAMP_AT, PREFIX_LEN, RecordBatch, TimestampType,
};

/// What to change in a batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderPatch {
    /// The offset that the first record gets.
    pub base_offset: i64,
    /// The epoch of the leader that appends the batch.
    pub leader_epoch: i32,
    /// The timestamp type and max timestamp (ms since 1970) to store, where they are to change. What
    /// [`super::Validated::timestamp_patch`] asks for.
    pub timestamp: Option<(TimestampType, i64)>,
}

/// Writes another base offset into the batch at the start of `batch`.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
}

/// Writes another leader epoch into the batch at the start of `batch`.
pub fn set_leader_epoch(batch: &mut [u8], leader_epoch: i32) {
    batch[LEADER_EPOCH_AT..PREFIX_LEN].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Writes another timestamp type and max timestamp (ms since 1970) into `batch`, which is exactly one batch, and the CRC
/// that fits.
pub fn set_max_timestamp(batch: &mut [u8], timestamp_type: TimestampType, max_timestamp: i64) {
    let (header, payload) = batch.split_first_chunk_mut().expect("a batch has a whole header");
    apply_timestamp(header, payload.len(), timestamp_type, max_timestamp);
}

/// Changes the header of `batch`, which is exactly one batch, in place.
pub fn patch_in_place(batch: &mut [u8], patch: &HeaderPatch) {
    let (header, payload) = batch.split_first_chunk_mut().expect("a batch has a whole header");
    apply(header, payload.len(), patch);
}

/// The changed header, for a caller who copies the batch anyway: write this, then the batch's payload.
pub fn patched_header(batch: &RecordBatch<'_>, patch: &HeaderPatch) -> [u8; HEADER_LEN] {
    let mut header = *batch.header();
    apply(&mut header, batch.payload().len(), patch);
    header
}

/// The changed first bytes where no timestamp changes: write these, then everything from [`PREFIX_LEN`] on.
pub fn patched_prefix(batch: &RecordBatch<'_>, base_offset: i64, leader_epoch: i32) -> [u8; PREFIX_LEN] {
    let mut prefix = *batch.header().first_chunk().expect("the prefix is part of the header");
    set_base_offset(&mut prefix, base_offset);
    set_leader_epoch(&mut prefix, leader_epoch);
    prefix
}

fn apply(header: &mut [u8; HEADER_LEN], payload_len: usize, patch: &HeaderPatch) {
    set_base_offset(header, patch.base_offset);
    set_leader_epoch(header, patch.leader_epoch);
    if let Some((timestamp_type, max_timestamp)) = patch.timestamp {
        apply_timestamp(header, payload_len, timestamp_type, max_timestamp);
    }
}

fn apply_timestamp(
    header: &mut [u8; HEADER_LEN],
    payload_len: usize,
    timestamp_type: TimestampType,
    max_timestamp: i64,
) {
    let old = *header;
    let attributes = super::Attributes(i16::from_be_bytes(super::field(header, ATTRIBUTES_AT)));
    let attributes = attributes.with_timestamp_type(timestamp_type);
    header[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.0.to_be_bytes());
    header[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&max_timestamp.to_be_bytes());
    let old_crc = u32::from_be_bytes(super::field(header, CRC_AT));
    let crc = crc_with_new_head(old_crc, &old[ATTRIBUTES_AT..], &header[ATTRIBUTES_AT..], payload_len);
    header[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}
