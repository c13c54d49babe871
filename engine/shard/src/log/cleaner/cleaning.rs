//! What a partition knows of its cleaning.

use super::super::checkpoint::PartitionCheckpoint;

/// How far a partition is cleaned, and what of it may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaning {
    /// How many cleanings replaced segments, in the whole life of the partition.
    pub cleanings: u64,
    /// Up to where it was cleaned (Kafka's cleaner-offset-checkpoint): records from here on have not been compared with
    /// those before.
    pub first_dirty: i64,
    /// Segments are being replaced: their files are not to be opened by name.
    pub(in crate::log) switching: bool,
    /// +1 whenever segments were replaced, in the life of the process: what was read before is of other files.
    pub(in crate::log) switches: u64,
    /// The segments below it are sealed in the newest checkpoint.
    sealed: i64,
    /// And in the one before, which counts when the newest is lost.
    sealed_before: i64,
    /// What the checkpoint says that is being written.
    sealed_next: i64,
    /// Something in it cannot be cleaned. Tried again by the next process.
    pub(in crate::log) is_uncleanable: bool,
}

impl Cleaning {
    /// As a checkpoint has it. What the other copy of it says is not known.
    pub(in crate::log) fn restore(saved: &PartitionCheckpoint) -> Self {
        Self {
            cleanings: saved.cleanings,
            first_dirty: saved.first_dirty,
            sealed: saved.flushed_segment,
            sealed_next: saved.flushed_segment,
            ..Self::default()
        }
    }

    /// A checkpoint is being written, in which the segments below `flushed_segment` are sealed.
    pub(in crate::log) fn checkpoint_begun(&mut self, flushed_segment: i64) {
        self.sealed_next = flushed_segment;
    }

    /// It is on stable storage, in the place of the older copy.
    pub(in crate::log) fn checkpoint_written(&mut self) {
        self.sealed_before = core::mem::replace(&mut self.sealed, self.sealed_next);
    }

    /// Segments that begin below this are sealed whichever copy of the checkpoint a start finds. Others may not be replaced: a
    /// start would write them anew, from the journal.
    pub fn settled(&self) -> i64 {
        self.sealed.min(self.sealed_before)
    }
}
