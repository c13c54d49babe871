//! What the journal of a shard holds of its partitions, and how they get it back.
//!
//! Invariant: the entries of a partition are taken by offset, not in the order in which they stand: a carried batch is
//! older than what stands before it. A gap is damage unless the log begins behind it.

use super::{Run, StartError, damaged, refuse};
use crate::journal::{EntryHeader, EntryKind};
use crate::log::AckPoint;
use crate::log::checkpoint::{Checkpoint, PartitionCheckpoint};
use crate::log::cleaner::Replacement;
use crate::log::partition::{NewBatch, Partition, Place};
use crate::log::producer_state::ProducerBatch;
use crate::log::tail::ChunkPool;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use bytes::Bytes;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{RecordBatch, find_max_timestamp};

/// How far a recovered batch is unfolded to find its largest timestamp.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

struct ReplayEntry {
    header: EntryHeader,
    payload: Bytes,
    ordinal: u64,
}

/// What the journal holds of each partition, by offset, and what the checkpoint says of it.
#[derive(Default)]
pub(super) struct Replay {
    records: BTreeMap<(TopicId, i32), BTreeMap<i64, ReplayEntry>>,
    log_starts: BTreeMap<(TopicId, i32), i64>,
    /// By their numbers.
    replacements: BTreeMap<(TopicId, i32), BTreeMap<u64, Bytes>>,
    saved: BTreeMap<(TopicId, i32), PartitionCheckpoint>,
    /// Entries that the journal delivered.
    pub(super) entries: u64,
}

impl Replay {
    pub(super) fn take(&mut self, header: &EntryHeader, payload: Bytes, ordinal: u64) {
        self.entries += 1;
        let key = (TopicId(header.topic_id), header.partition);
        match header.kind {
            EntryKind::Records | EntryKind::CarriedRecords => {
                let entry = ReplayEntry { header: *header, payload, ordinal };
                self.records.entry(key).or_default().insert(header.base_offset, entry);
            }
            EntryKind::LogStart => {
                let log_start = self.log_starts.entry(key).or_insert(0);
                *log_start = (*log_start).max(header.base_offset);
            }
            EntryKind::Replaced => {
                let number = header.last_offset.unsigned_abs();
                self.replacements.entry(key).or_default().insert(number, payload);
            }
            EntryKind::RaftEntries | EntryKind::RaftHardState => {}
        }
    }

    pub(super) fn take_checkpoint(&mut self, checkpoint: Checkpoint) {
        self.saved.extend(checkpoint.partitions.into_iter().map(|p| ((TopicId(p.topic_id), p.index), p)));
    }

    /// Brings a new partition to where it was.
    pub(super) fn restore(&mut self, partition: &mut Partition, run: &mut Run<'_>) -> Result<(), StartError> {
        let key = (partition.topic_id, partition.index);
        if let Some(saved) = self.saved.remove(&key) {
            saved.restore(partition);
        }
        for (number, payload) in self.replacements.remove(&key).unwrap_or_default() {
            if number > partition.cleaning.cleanings {
                replay_replacement(partition, &payload, run)?;
            }
        }
        let log_start = self.log_starts.remove(&key).unwrap_or(0).max(partition.log_start);
        let wall_ms = run.options.now.wall_ms;
        for (base_offset, entry) in self.records.remove(&key).unwrap_or_default() {
            if base_offset < partition.log_end {
                continue;
            }
            if base_offset > partition.log_end {
                if log_start < base_offset {
                    note_gap(partition, base_offset, run)?;
                }
                partition.restart_at(base_offset, wall_ms);
            }
            replay_batch(partition, &entry, wall_ms).map_err(|what| {
                refuse(format!(
                    "{}-{} offset {base_offset}: the journal holds no valid batch: {what}",
                    partition.topic, partition.index
                ))
            })?;
            run.report.replayed_bytes += entry.payload.len() as u64;
        }
        partition.cut_lost();
        partition.high_watermark = partition.log_end;
        partition.log_start = log_start.min(partition.log_end);
        partition.epochs.drop_before(partition.log_start);
        Ok(())
    }
}

/// Segments were replaced after the checkpoint was made.
fn replay_replacement(partition: &mut Partition, payload: &[u8], run: &mut Run<'_>) -> Result<(), StartError> {
    let replaced = Replacement::decode(payload).and_then(|replacement| partition.replace_segments(&replacement));
    let Err(what) = replaced else { return Ok(()) };
    let line = format!("{}-{}: {what}", partition.topic, partition.index);
    if !run.options.accept_loss {
        return Err(damaged(format!(
            "{line}; restore the data directory from a copy, or go on without what was in them: --accept-loss"
        )));
    }
    run.report.warn(line);
    Ok(())
}

/// Records before `base_offset` that were acknowledged are nowhere.
fn note_gap(partition: &Partition, base_offset: i64, run: &mut Run<'_>) -> Result<(), StartError> {
    let lost = format!("{}-{}: offsets {} to {}", partition.topic, partition.index, partition.log_end, base_offset - 1);
    if !run.options.accept_loss {
        return Err(damaged(format!(
            "acknowledged records are missing in the journal, {lost}; restore the data directory from a copy, or go on \
             without them: --accept-loss"
        )));
    }
    run.report.warn(format!("acknowledged records are lost, {lost}"));
    Ok(())
}

fn replay_batch(partition: &mut Partition, entry: &ReplayEntry, now_ms: i64) -> Result<(), String> {
    let header = &entry.header;
    let (batch, rest) = RecordBatch::split_from(&entry.payload).map_err(|e| e.to_string())?;
    if !rest.is_empty() || batch.base_offset() != header.base_offset || batch.last_offset() != header.last_offset {
        return Err(String::from("its offsets differ from its entry's"));
    }
    if header.segment_base_offset != partition.active().base_offset && partition.active().len > 0 {
        partition.roll(now_ms);
    }
    let largest = find_max_timestamp(&batch, batch.base_offset(), DECOMPRESSED_BYTES_MAX).ok().flatten();
    let delta = largest.map_or(batch.last_offset_delta(), |(offset, _)| (offset - batch.base_offset()) as i32);
    let (id, epoch, sequence) = (batch.producer_id(), batch.producer_epoch(), batch.base_sequence());
    let new = NewBatch {
        size: batch.size() as u32,
        last_offset_delta: batch.last_offset_delta(),
        max_timestamp_ms: batch.max_timestamp(),
        max_timestamp_delta: delta,
        crc: batch.crc(),
        producer: ProducerBatch::new(id, epoch, sequence, batch.last_offset_delta()),
    };
    let ack = AckPoint { sequence: header.sequence, level: header.level };
    let place = Place { ordinal: entry.ordinal, ack, leader_epoch: header.leader_epoch };
    partition.append(&new, place, &[&entry.payload], now_ms, &mut ChunkPool::default());
    Ok(())
}
