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
