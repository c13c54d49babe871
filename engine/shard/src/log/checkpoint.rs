//! The shard's checkpoint: for every partition, what recovery must know that the journal no longer tells.
//!
//! Fault model: that of `copies`, which owns the file around it. When the newer copy is torn, the older one counts, and
//! what that one needs is still in the journal: nothing is released before the newer one is durable. When it rots later,
//! the commits tell that there was one. Format: the crate's README.

use super::Flushed;
use super::checkpoint_v1;
use super::cleaner::Cleaning;
use super::index::SegmentIndex;
use super::leader_epochs::EpochStart;
use super::producer_state::{AppendedBatch, Producer, ProducerState};
use super::{AckPoint, partition::Partition, segment::Segment};
use crate::copies::{Copy, Kind};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize, rancor};

/// The file's magic and format version. Version 1 knows nothing of cleaning.
pub const KIND: Kind = Kind { magic: *b"CLCP", version: 2, oldest: 1, name: "checkpoint" };

/// What a checkpoint says.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The offset of the metadata log that the shard had applied.
    pub metadata_offset: u64,
    /// Every partition that has or had records.
    pub partitions: Vec<PartitionCheckpoint>,
}

/// One partition at its flushed offset.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub struct PartitionCheckpoint {
    /// Topic id.
    pub topic_id: [u8; 16],
    /// Topic name.
    pub topic: String,
    /// Index within the topic.
    pub index: i32,
    /// First offset of the log.
    pub log_start: i64,
    /// Whether its folder exists.
    pub has_folder: bool,
    /// Base offset of the segment that was being written back.
    pub flushed_segment: i64,
    /// Flushed position in it.
    pub flushed_position: u64,
    /// Flushed offset.
    pub flushed_offset: i64,
    /// Where the batch at the flushed offset begins.
    pub flushed_offset_position: u64,
    /// Largest timestamp of its first batch, or -1.
    pub first_timestamp_ms: i64,
    /// Largest timestamp below the flushed offset, or -1.
    pub max_timestamp_ms: i64,
    /// Which record has it, or -1.
    pub offset_of_max_timestamp: i64,
    /// Wall clock at the creation of the segment.
    pub created_ms: i64,
    /// The segments before it.
    pub sealed: Vec<SealedSegment>,
    /// Leader epochs that began before the flushed offset: epoch and start offset.
    pub epochs: Vec<(i32, i64)>,
    /// Producers at the flushed offset.
    pub producers: Vec<ProducerCheckpoint>,
    /// How many cleanings replaced segments.
    pub cleanings: u64,
    /// Up to where it was cleaned: records from here on have not been compared with those before.
    pub first_dirty: i64,
}

/// A segment that is complete on disk.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub struct SealedSegment {
    /// Its base offset.
    pub base_offset: i64,
    /// Offset behind its last record.
    pub next_offset: i64,
    /// Its length in bytes.
    pub len: u64,
    /// Largest timestamp, or -1.
    pub max_timestamp_ms: i64,
    /// Which record has it, or -1.
    pub offset_of_max_timestamp: i64,
    /// Wall clock at its creation.
    pub created_ms: i64,
    /// Largest timestamp of its first batch, or -1.
    pub first_timestamp_ms: i64,
    /// The number of the cleaning that made it, 0 when it is as it was appended.
    pub cleaned: u64,
}

/// An idempotent producer.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub struct ProducerCheckpoint {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// When it wrote last.
    pub last_timestamp_ms: i64,
    /// Base sequence, last sequence, base offset, last offset, timestamp of its last batches, oldest first.
    pub batches: Vec<(i32, i32, i64, i64, i64)>,
}

impl PartitionCheckpoint {
    /// What a checkpoint keeps of a partition; `None` when it has nothing that an empty one has not.
    pub fn of(partition: &Partition) -> Option<Self> {
        let flushed = partition.flushed;
        let segments = &partition.segments;
        let current = partition.segment_of(flushed.segment);
        if flushed == Flushed::begin(0) && partition.log_start == 0 && !partition.has_folder && current == 0 {
            return None;
        }
        Some(Self {
            topic_id: partition.topic_id.0,
            topic: partition.topic.clone(),
            index: partition.index,
            log_start: partition.log_start,
            has_folder: partition.has_folder,
            flushed_segment: flushed.segment,
            flushed_position: flushed.position,
            flushed_offset: flushed.offset,
            flushed_offset_position: flushed.offset_position,
            first_timestamp_ms: flushed.first_timestamp_ms,
            max_timestamp_ms: flushed.max_timestamp_ms,
            offset_of_max_timestamp: flushed.offset_of_max_timestamp,
            created_ms: segments[current].created_ms,
            sealed: segments.range(..current).map(SealedSegment::of).collect(),
            epochs: (partition.epochs.starts().iter())
                .filter(|s| s.start_offset < flushed.offset)
                .map(|s| (s.epoch, s.start_offset))
                .collect(),
            producers: partition.flushed_producers.iter().map(|(id, p)| ProducerCheckpoint::of(id, p)).collect(),
            cleanings: partition.cleaning.cleanings,
            first_dirty: partition.cleaning.first_dirty,
        })
    }

    /// The flushed state it stands for.
    pub fn flushed(&self) -> Flushed {
        Flushed {
            segment: self.flushed_segment,
            position: self.flushed_position,
            offset: self.flushed_offset,
            offset_position: self.flushed_offset_position,
            first_timestamp_ms: self.first_timestamp_ms,
            max_timestamp_ms: self.max_timestamp_ms,
            offset_of_max_timestamp: self.offset_of_max_timestamp,
        }
    }

    /// Puts a new partition into the state that this describes.
    pub fn restore(&self, partition: &mut Partition) {
        let flushed = self.flushed();
        partition.log_start = self.log_start;
        partition.has_folder = self.has_folder;
        partition.flushed = flushed;
        partition.log_end = flushed.offset;
        partition.high_watermark = flushed.offset;
        partition.segments = self.sealed.iter().map(SealedSegment::restore).collect();
        let index_loaded = flushed.position == 0;
        let index = if flushed.offset_position == 0 { SegmentIndex::default() } else { SegmentIndex::resume() };
        partition.segments.push_back(Segment {
            next_offset: flushed.offset,
            len: flushed.offset_position,
            first_timestamp_ms: flushed.first_timestamp_ms,
            max_timestamp_ms: flushed.max_timestamp_ms,
            offset_of_max_timestamp: flushed.offset_of_max_timestamp,
            index,
            index_loaded,
            ..Segment::new(flushed.segment, self.created_ms)
        });
        partition.epochs = super::leader_epochs::LeaderEpochs::restore(
            self.epochs.iter().map(|&(epoch, start_offset)| EpochStart { epoch, start_offset }).collect(),
        );
        let mut producers = ProducerState::default();
        self.producers.iter().for_each(|p| producers.restore(p.id, p.producer()));
        partition.cleaning = Cleaning::restore(self);
        partition.flushed_producers = producers.clone();
        partition.producers = producers;
    }
}

impl SealedSegment {
    pub(super) fn of(segment: &Segment) -> Self {
        Self {
            base_offset: segment.base_offset,
            next_offset: segment.next_offset,
            len: segment.len,
            max_timestamp_ms: segment.max_timestamp_ms,
            offset_of_max_timestamp: segment.offset_of_max_timestamp,
            created_ms: segment.created_ms,
            first_timestamp_ms: segment.first_timestamp_ms,
            cleaned: segment.cleaned,
        }
    }

    pub(super) fn restore(&self) -> Segment {
        Segment {
            next_offset: self.next_offset,
            len: self.len,
            max_timestamp_ms: self.max_timestamp_ms,
            offset_of_max_timestamp: self.offset_of_max_timestamp,
            first_timestamp_ms: self.first_timestamp_ms,
            cleaned: self.cleaned,
            index_loaded: false,
            ..Segment::new(self.base_offset, self.created_ms)
        }
    }
}

impl ProducerCheckpoint {
    fn of(id: i64, producer: &Producer) -> Self {
        let fields =
            |b: &AppendedBatch| (b.base_sequence, b.last_sequence, b.base_offset, b.last_offset, b.timestamp_ms);
        Self {
            id,
            epoch: producer.epoch,
            last_timestamp_ms: producer.last_timestamp_ms,
            batches: producer.batches.iter().map(fields).collect(),
        }
    }

    fn producer(&self) -> Producer {
        let batch =
            |&(base_sequence, last_sequence, base_offset, last_offset, timestamp_ms): &(i32, i32, i64, i64, i64)| {
                AppendedBatch {
                    base_sequence,
                    last_sequence,
                    base_offset,
                    last_offset,
                    timestamp_ms,
                    ack: AckPoint::NOW,
                }
            };
        Producer {
            epoch: self.epoch,
            batches: self.batches.iter().take(super::producer_state::BATCHES_KEPT).map(batch).collect(),
            last_timestamp_ms: self.last_timestamp_ms,
        }
    }
}

impl Checkpoint {
    /// The content of the file.
    pub fn to_bytes(&self) -> Bytes {
        let body = rkyv::to_bytes::<rancor::Error>(self).expect("a checkpoint serialises into memory");
        Bytes::copy_from_slice(&body)
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// In words, when the bytes are no valid archive of their version.
    pub fn from_copy(copy: &Copy) -> Result<Self, String> {
        let mut body = rkyv::util::AlignedVec::<16>::with_capacity(copy.content.len());
        body.extend_from_slice(&copy.content);
        let read = match copy.version {
            1 => rkyv::from_bytes::<checkpoint_v1::Checkpoint, rancor::Error>(&body).map(Self::from),
            _ => rkyv::from_bytes::<Self, rancor::Error>(&body),
        };
        read.map_err(|e| format!("the checkpoint is no archive: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn sample() -> Checkpoint {
        let partition = PartitionCheckpoint {
            topic_id: [7; 16],
            topic: String::from("orders"),
            index: 3,
            log_start: 5,
            has_folder: true,
            flushed_segment: 100,
            flushed_position: 8_192,
            flushed_offset: 120,
            flushed_offset_position: 8_000,
            first_timestamp_ms: 1,
            max_timestamp_ms: 2,
            offset_of_max_timestamp: 110,
            created_ms: 9,
            sealed: vec![SealedSegment {
                base_offset: 0,
                next_offset: 100,
                len: 4_000,
                max_timestamp_ms: 1,
                offset_of_max_timestamp: 4,
                created_ms: 3,
                first_timestamp_ms: 0,
                cleaned: 2,
            }],
            epochs: vec![(0, 0), (2, 50)],
            producers: vec![ProducerCheckpoint {
                id: 1,
                epoch: 2,
                last_timestamp_ms: 3,
                batches: vec![(0, 9, 0, 9, 4)],
            }],
            cleanings: 2,
            first_dirty: 90,
        };
        Checkpoint { metadata_offset: 12, partitions: vec![partition] }
    }

    fn copy(version: u16, content: &[u8]) -> Copy {
        let content = Bytes::copy_from_slice(content);
        Copy { version, generation: 1, first_ordinal: 1, incarnation: 1, content }
    }

    #[test]
    fn a_checkpoint_round_trips_and_rubbish_is_refused() {
        let checkpoint = sample();
        let bytes = checkpoint.to_bytes();
        assert_eq!(Checkpoint::from_copy(&copy(2, &bytes)), Ok(checkpoint));
        for version in [1, 2] {
            assert!(Checkpoint::from_copy(&copy(version, &bytes[..bytes.len() / 2])).is_err());
            assert!(Checkpoint::from_copy(&copy(version, &[0xff; 200])).is_err());
        }
    }

    #[test]
    fn what_an_older_program_wrote_is_read_as_never_cleaned() {
        let mut wanted = sample();
        let bytes = checkpoint_v1::tests::archive(&wanted);
        let partition = &mut wanted.partitions[0];
        (partition.cleanings, partition.first_dirty) = (0, 0);
        (partition.sealed[0].cleaned, partition.sealed[0].first_timestamp_ms) = (0, 1);
        assert_eq!(Checkpoint::from_copy(&copy(1, &bytes)), Ok(wanted));
    }

    #[test]
    fn a_partition_comes_back_as_it_was() {
        let checkpoint = sample();
        let saved = &checkpoint.partitions[0];
        let config = crate::config::TopicConfig::default();
        let id = corelog_wire::ids::TopicId(saved.topic_id);
        let mut partition = Partition::new(super::super::PartitionId(0), id, saved.topic.clone(), 3, 4_096, config);
        saved.restore(&mut partition);
        assert_eq!(PartitionCheckpoint::of(&partition).as_ref(), Some(saved));
    }
}
