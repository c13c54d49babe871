//! Every offset of segments of all shapes, against the batches that were put there.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{BatchBuilder, NewRecord};
use proptest::prelude::*;

use super::*;
use crate::config::BrokerConfig;
use crate::log::partition::{NewBatch, Place};
use crate::log::tail::ChunkPool;
use crate::log::{AckPoint, Flushed, PartitionId};

const EPOCH: i32 = 3;

/// A partition whose first segment is sealed, with the segment's bytes and its batches: base offset, position, size.
struct Sealed {
    partition: Partition,
    bytes: Vec<u8>,
    batches: Vec<(i64, u64, usize)>,
}

/// `shapes`: records and value length of each batch.
fn sealed(shapes: &[(usize, usize)]) -> Sealed {
    let config = BrokerConfig::default().topic_defaults;
    let mut partition = Partition::new(PartitionId(0), TopicId([1; 16]), "t".to_string(), 0, 4096, config);
    let (mut bytes, mut batches) = (vec![], vec![]);
    let mut pool = ChunkPool::default();
    for &(records, len) in shapes {
        let mut builder = BatchBuilder::new();
        for _ in 0..records {
            builder.append(&NewRecord { timestamp: 5, key: None, value: Some(&vec![7; len]), headers: &[] });
        }
        let mut batch = builder.build();
        batch[..8].copy_from_slice(&partition.log_end.to_be_bytes());
        batch[12..16].copy_from_slice(&EPOCH.to_be_bytes());
        batches.push((partition.log_end, bytes.len() as u64, batch.len()));
        let new = NewBatch {
            size: batch.len() as u32,
            last_offset_delta: records as i32 - 1,
            max_timestamp_ms: 5,
            max_timestamp_delta: 0,
            crc: 0,
            producer: None,
        };
        let place = Place { ordinal: 1, ack: AckPoint::NOW, leader_epoch: EPOCH };
        partition.append(&new, place, &[&batch], 0, &mut pool);
        bytes.extend_from_slice(&batch);
    }
    partition.roll(0);
    partition.flushed = Flushed::begin(partition.log_end);
    partition.high_watermark = partition.log_end;
    Sealed { partition, bytes, batches }
}

impl Sealed {
    /// Looks as the reads do, with the index that the segment has.
    fn find(&self, from: i64) -> (Look, u32) {
        let index = &self.partition.segments[0].index;
        let (mut position, mut expected) = (index.position_before(from as u32).map_or(0, u64::from), None);
        let mut len = FIRST_LOOK_BYTES as usize;
        for looks in 1..=LOOKS_MAX {
            let end = self.bytes.len().min(position as usize + len);
            match look(&self.partition, 0, from, position, expected, &self.bytes[position as usize..end]) {
                Look::GoOn { position: next, expected: offset } => {
                    assert!(next > position, "it gets on");
                    (position, expected, len) = (next, Some(offset), NEXT_LOOK_BYTES as usize);
                }
                found => return (found, looks),
            }
        }
        (Look::Odd, LOOKS_MAX)
    }
}

proptest! {
    #[test]
    fn every_offset_is_found_and_what_is_sent_ends_behind_a_batch(
        shapes in prop::collection::vec((1_usize..20, prop_oneof![0_usize..50, 0_usize..3_000, 8_000_usize..30_000]), 1..40),
        max_bytes in prop_oneof![1_usize..500, 1_usize..100_000, Just(10_000_000)],
    ) {
        let sealed = sealed(&shapes);
        prop_assert!(is_possible(&sealed.partition, 0));
        let index = &sealed.partition.segments[0].index;
        let ends: Vec<u64> = sealed.batches.iter().map(|(_, position, size)| position + *size as u64).collect();
        for from in 0..sealed.partition.log_end {
            let at = sealed.batches.partition_point(|(base, ..)| *base <= from) - 1;
            let (_, position, size) = sealed.batches[at];
            let (found, looks) = sealed.find(from);
            prop_assert_eq!(found, Look::Found { position, size });
            prop_assert!(looks <= 3, "the index is fine");
            let len = len_to_send(&sealed.partition, 0, Some(index), position, size, max_bytes);
            prop_assert!(len == size || (size < len && len <= max_bytes));
            prop_assert!(ends.contains(&(position + len as u64)));
            if max_bytes == 10_000_000 {
                prop_assert_eq!(position as usize + len, sealed.bytes.len());
            }
        }
    }

    /// Whatever stands in the file and in the index, a search ends, and does not name more than there is.
    #[test]
    fn rot_leads_to_the_verified_reads_or_is_the_clients_to_find(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        from in 0_i64..40,
        start in any::<prop::sample::Index>(),
    ) {
        let mut sealed = sealed(&[(4, 900); 10]);
        for (at, byte) in damage {
            let at = at.index(sealed.bytes.len());
            sealed.bytes[at] = byte;
        }
        sealed.find(from);
        let position = start.index(sealed.bytes.len());
        match look(&sealed.partition, 0, from, position as u64, None, &sealed.bytes[position..]) {
            Look::Found { position, size } => prop_assert!(position as usize + size <= sealed.bytes.len()),
            Look::GoOn { position, .. } => prop_assert!(position as usize <= sealed.bytes.len()),
            Look::Odd => {}
        }
    }
}

#[test]
fn only_what_is_sealed_and_visible_is_left_in_place() {
    let mut sealed = sealed(&[(2, 100), (2, 100)]);
    let end = sealed.partition.log_end;
    assert!(!is_possible(&sealed.partition, end), "the active segment");
    sealed.partition.high_watermark = end - 1;
    assert!(!is_possible(&sealed.partition, 0), "consumers may not see all of it");
    sealed.partition.high_watermark = end;
    sealed.partition.flushed = Flushed::begin(0);
    assert!(!is_possible(&sealed.partition, 0), "it is still written to");
}

#[test]
fn what_does_not_fit_is_odd() {
    let fine = sealed(&[(2, 100), (2, 100), (2, 100)]);
    let (_, second, size) = fine.batches[1];
    let look_at = |sealed: &Sealed, position: u64| {
        look(&sealed.partition, 0, 2, position, None, &sealed.bytes[position as usize..])
    };
    assert_eq!(look_at(&fine, second), Look::Found { position: second, size });
    assert_eq!(look_at(&fine, second + 1), Look::Odd, "not the beginning of a batch");
    assert_eq!(look_at(&fine, fine.batches[2].1), Look::Odd, "an index that points too far");
    let damaged = |at: usize, bytes: &[u8]| {
        let mut sealed = sealed(&[(2, 100), (2, 100), (2, 100)]);
        sealed.bytes[second as usize + at..][..bytes.len()].copy_from_slice(bytes);
        look_at(&sealed, 0)
    };
    assert_eq!(damaged(0, &1_i64.to_be_bytes()), Look::Odd, "an offset that was passed");
    assert_eq!(damaged(0, &9_i64.to_be_bytes()), Look::Odd, "an offset of another segment");
    assert_eq!(damaged(8, &i32::MAX.to_be_bytes()), Look::Odd, "it would be longer than the segment");
    assert_eq!(damaged(12, &(EPOCH + 1).to_be_bytes()), Look::Odd, "an epoch that was not in force");
    assert_eq!(damaged(16, &[1]), Look::Odd, "another format");
    assert_eq!(damaged(23, &(-1_i32).to_be_bytes()), Look::Odd, "it ends before it begins");
    assert_eq!(look(&fine.partition, 0, 2, second, None, &[]), Look::Odd, "the file is shorter");
}

#[test]
fn a_large_segment_without_an_index_has_lost_it() {
    let small = sealed(&[(1, 100)]);
    assert!(!is_index_lost(&small.partition, 0, &small.partition.segments[0].index));
    let large = sealed(&[(1, 30_000); 4]);
    assert!(!is_index_lost(&large.partition, 0, &large.partition.segments[0].index));
    assert!(is_index_lost(&large.partition, 0, &SegmentIndex::default()));
    let len = len_to_send(&large.partition, 0, Some(&SegmentIndex::default()), 0, large.batches[0].2, 70_000);
    assert_eq!(len, large.batches[0].2, "without an index one batch at a time");
}
