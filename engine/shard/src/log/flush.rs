//! Takes a whole partition to its segments while nobody writes to it: for a start that lays the shards out anew.
//!
//! Invariant: until a checkpoint says so, nothing of it counts. A start that is cut off after this finds the partition as it
//! was and writes the same bytes to the same places.

use super::index_files;
use super::partition::Partition;
use super::segment;
use super::write_back_steps::{note_index, note_written_back, write_back_steps};
use crate::ids::Ids;
use crate::io::{Disk, IoError, Step};
use crate::start::run_chain;
use alloc::vec::Vec;
use bytes::Bytes;

/// Writes back all that only the journal holds; it must be durable there. A segment whose end does not fill a block is
/// sealed.
///
/// # Errors
/// What the disk said. The partition is of no use then.
pub(crate) fn flush(disk: &mut dyn Disk, p: &mut Partition, block: usize, ids: &mut Ids) -> Result<(), IoError> {
    let block = block as u64;
    if !p.active().len.is_multiple_of(block) {
        p.roll(0);
    }
    while let Some(plan) = p.plan_write_back(u64::MAX, block) {
        let at = p.segment_of(plan.segment);
        if !p.segments[at].index_loaded {
            let files = read_index(disk, p, plan.segment, ids);
            note_index(p, plan.segment, &files);
        }
        let indexed = index_files::entries_below(&p.segments[at], &plan);
        let steps = write_back_steps(p, &plan, Some(indexed), None, ids);
        run_chain(disk, steps)?;
        note_written_back(p, &plan, indexed);
    }
    assert!(p.unflushed().next().is_none() && p.flushed.offset == p.log_end, "everything is in the segments");
    Ok(())
}

/// The index files of a segment, as far as they can be read: they are derivable.
fn read_index(disk: &mut dyn Disk, p: &Partition, base_offset: i64, ids: &mut Ids) -> Vec<Bytes> {
    let current = &p.segments[p.segment_of(base_offset)];
    let steps = index_files::reads(&segment::folder(&p.topic, p.index), current, ids);
    let opened = steps.iter().filter_map(|s| if let Step::Open { file, .. } = s { Some(*file) } else { None });
    let opened: Vec<_> = opened.collect();
    run_chain(disk, steps).unwrap_or_else(|_| {
        for file in opened {
            // There is nothing to be done about an error of close, and nothing was written.
            let _ = disk.run(Step::Close { file });
        }
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TopicConfig;
    use crate::log::partition::{NewBatch, Place};
    use crate::log::tail::ChunkPool;
    use crate::log::{AckPoint, Flushed, PartitionId};
    use alloc::string::String;
    use alloc::vec;
    use corelog_wire::ids::TopicId;

    fn append(p: &mut Partition, size: u32) {
        let new = NewBatch {
            size,
            last_offset_delta: 0,
            max_timestamp_ms: 5,
            max_timestamp_delta: 0,
            crc: 0,
            producer: None,
        };
        let place = Place { ordinal: 1, ack: AckPoint::NOW, leader_epoch: 0 };
        p.append(&new, place, &[&vec![7; size as usize]], 0, &mut ChunkPool::default());
    }

    /// A partition whose segment at `base` is flushed up to `position`, in the middle of a batch that begins at
    /// `offset_position`.
    fn flushed_within_a_batch(offset: i64, offset_position: u64, position: u64) -> Partition {
        let topic = String::from("t");
        let mut p = Partition::new(PartitionId(0), TopicId([1; 16]), topic, 0, 4_096, TopicConfig::default());
        p.flushed = Flushed { offset, offset_position, position, ..Flushed::begin(0) };
        p.log_end = offset;
        let segment = p.segments.back_mut().unwrap();
        (segment.len, segment.next_offset) = (offset_position, offset);
        p
    }

    #[test]
    fn what_is_left_of_a_lost_batch_is_cut_off() {
        let mut p = flushed_within_a_batch(3, 3_000, 8_192);
        p.cut_lost();
        append(&mut p, 100);
        let plan = p.plan_write_back(u64::MAX, 4_096).expect("the segment is sealed");
        assert_eq!((plan.segment, plan.seal, plan.from, plan.to), (0, Some(3_000), 8_192, 8_192));
        p.written_back(plan.after);
        assert_eq!((p.active().base_offset, p.flushed), (3, Flushed::begin(3)));

        let mut first = flushed_within_a_batch(0, 0, 8_192);
        first.cut_lost();
        assert_eq!(first.flushed, Flushed::begin(0), "its segment is written from the beginning");

        let mut whole = flushed_within_a_batch(3, 3_000, 8_192);
        append(&mut whole, 6_000);
        whole.cut_lost();
        assert_eq!((whole.segments.len(), whole.flushed.position), (1, 8_192), "nothing is lost");
    }
}
