//! Version 1 of the checkpoint's content, read only: written by programs that did not clean compacted topics.

use super::checkpoint::{self, ProducerCheckpoint};
use alloc::string::String;
use alloc::vec::Vec;
use rkyv::{Archive, Deserialize, Serialize};

/// As [`checkpoint::Checkpoint`].
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    metadata_offset: u64,
    partitions: Vec<PartitionCheckpoint>,
}

/// As [`checkpoint::PartitionCheckpoint`].
#[derive(Archive, Serialize, Deserialize)]
struct PartitionCheckpoint {
    topic_id: [u8; 16],
    topic: String,
    index: i32,
    log_start: i64,
    has_folder: bool,
    flushed_segment: i64,
    flushed_position: u64,
    flushed_offset: i64,
    flushed_offset_position: u64,
    first_timestamp_ms: i64,
    max_timestamp_ms: i64,
    offset_of_max_timestamp: i64,
    created_ms: i64,
    sealed: Vec<SealedSegment>,
    epochs: Vec<(i32, i64)>,
    producers: Vec<ProducerCheckpoint>,
}

/// As [`checkpoint::SealedSegment`].
#[derive(Archive, Serialize, Deserialize)]
struct SealedSegment {
    base_offset: i64,
    next_offset: i64,
    len: u64,
    max_timestamp_ms: i64,
    offset_of_max_timestamp: i64,
    created_ms: i64,
}

impl From<Checkpoint> for checkpoint::Checkpoint {
    fn from(old: Checkpoint) -> Self {
        Self {
            metadata_offset: old.metadata_offset,
            partitions: old.partitions.into_iter().map(checkpoint::PartitionCheckpoint::from).collect(),
        }
    }
}

impl From<PartitionCheckpoint> for checkpoint::PartitionCheckpoint {
    fn from(old: PartitionCheckpoint) -> Self {
        Self {
            topic_id: old.topic_id,
            topic: old.topic,
            index: old.index,
            log_start: old.log_start,
            has_folder: old.has_folder,
            flushed_segment: old.flushed_segment,
            flushed_position: old.flushed_position,
            flushed_offset: old.flushed_offset,
            flushed_offset_position: old.flushed_offset_position,
            first_timestamp_ms: old.first_timestamp_ms,
            max_timestamp_ms: old.max_timestamp_ms,
            offset_of_max_timestamp: old.offset_of_max_timestamp,
            created_ms: old.created_ms,
            sealed: old.sealed.into_iter().map(checkpoint::SealedSegment::from).collect(),
            epochs: old.epochs,
            producers: old.producers,
            cleanings: 0,
            first_dirty: 0,
        }
    }
}

impl From<SealedSegment> for checkpoint::SealedSegment {
    fn from(old: SealedSegment) -> Self {
        Self {
            base_offset: old.base_offset,
            next_offset: old.next_offset,
            len: old.len,
            max_timestamp_ms: old.max_timestamp_ms,
            offset_of_max_timestamp: old.offset_of_max_timestamp,
            created_ms: old.created_ms,
            // The best that is known: it is not newer.
            first_timestamp_ms: old.max_timestamp_ms,
            cleaned: 0,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What an older program would have written.
    pub(in crate::log) fn archive(new: &checkpoint::Checkpoint) -> Vec<u8> {
        let sealed = |s: &checkpoint::SealedSegment| SealedSegment {
            base_offset: s.base_offset,
            next_offset: s.next_offset,
            len: s.len,
            max_timestamp_ms: s.max_timestamp_ms,
            offset_of_max_timestamp: s.offset_of_max_timestamp,
            created_ms: s.created_ms,
        };
        let partition = |p: &checkpoint::PartitionCheckpoint| PartitionCheckpoint {
            topic_id: p.topic_id,
            topic: p.topic.clone(),
            index: p.index,
            log_start: p.log_start,
            has_folder: p.has_folder,
            flushed_segment: p.flushed_segment,
            flushed_position: p.flushed_position,
            flushed_offset: p.flushed_offset,
            flushed_offset_position: p.flushed_offset_position,
            first_timestamp_ms: p.first_timestamp_ms,
            max_timestamp_ms: p.max_timestamp_ms,
            offset_of_max_timestamp: p.offset_of_max_timestamp,
            created_ms: p.created_ms,
            sealed: p.sealed.iter().map(sealed).collect(),
            epochs: p.epochs.clone(),
            producers: p.producers.clone(),
        };
        let partitions = new.partitions.iter().map(partition).collect();
        let old = Checkpoint { metadata_offset: new.metadata_offset, partitions };
        rkyv::to_bytes::<rkyv::rancor::Error>(&old).unwrap().to_vec()
    }
}
