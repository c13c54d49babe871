//! Which leader epoch began at which offset of a partition (KIP-101).
//!
//! Invariant: epochs and start offsets both grow strictly. The cache is derived from the batches, which carry their
//! epoch; Kafka's `leader-epoch-checkpoint` file is written from it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Who does not know a leader epoch says this.
const NO_EPOCH: i32 = -1;

/// The start of one leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The leader epoch, not negative.
    pub epoch: i32,
    /// The offset of the first record written in it.
    pub start_offset: i64,
}

/// All leader epochs that still have records, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    starts: Vec<EpochStart>,
}

impl LeaderEpochs {
    /// Records that a batch of `epoch` begins at `offset`. Only the first batch of an epoch changes anything.
    pub fn append(&mut self, epoch: i32, offset: i64) {
        match self.starts.last() {
            Some(last) if last.epoch >= epoch => {
                assert!(last.epoch == epoch, "a log never goes back to an older leader epoch");
            }
            Some(last) if last.start_offset == offset => {
                // The epoch before wrote nothing that remained.
                self.starts.pop();
                self.append(epoch, offset);
            }
            _ => self.starts.push(EpochStart { epoch, start_offset: offset }),
        }
    }

    /// The epoch in which the record at `offset` was written, or `None` before the first.
    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        let after = self.starts.partition_point(|s| s.start_offset <= offset);
        after.checked_sub(1).map(|i| self.starts[i].epoch)
    }

    /// The newest epoch with records.
    pub fn latest(&self) -> Option<i32> {
        self.starts.last().map(|s| s.epoch)
    }

    /// Where `epoch` ends in the log of a leader of `leader_epoch`, whose log ends at `log_end`: with the highest epoch not
    /// above it that is known, or itself where all known ones are newer. `None` if the leader has yet to come to it.
    /// (Kafka's `LeaderEpochFileCache.endOffsetFor`.)
    pub fn end_of(&self, epoch: i32, leader_epoch: i32, log_end: i64) -> Option<(i32, i64)> {
        assert!(self.latest().is_none_or(|latest| latest <= leader_epoch), "nobody wrote in an epoch to come");
        if epoch == NO_EPOCH || epoch > leader_epoch {
            return None;
        }
        if epoch == leader_epoch {
            return Some((epoch, log_end));
        }
        let after = self.starts.partition_point(|s| s.epoch <= epoch);
        // A leader's epoch begins with the leader; as long as nothing is written in it, that is the log end.
        let end = self.starts.get(after).map_or(log_end, |next| next.start_offset);
        let found = after.checked_sub(1).map_or(epoch, |at| self.starts[at].epoch);
        Some((found, end))
    }

    /// Forgets epochs that ended before `log_start`; the one that contains it begins there.
    pub fn drop_before(&mut self, log_start: i64) {
        let after = self.starts.partition_point(|s| s.start_offset <= log_start);
        if after > 0 {
            self.starts.drain(..after - 1);
            self.starts[0].start_offset = log_start;
        }
    }

    /// The epochs, oldest first.
    pub fn starts(&self) -> &[EpochStart] {
        &self.starts
    }

    /// Restores what a checkpoint holds.
    pub fn restore(starts: Vec<EpochStart>) -> Self {
        Self { starts }
    }

    /// The content of Kafka's `leader-epoch-checkpoint` file, limited to epochs that begin before `end_offset`.
    pub fn to_checkpoint_file(&self, end_offset: i64) -> String {
        let kept = self.starts.iter().filter(|s| s.start_offset < end_offset);
        let mut text = String::new();
        let written = write!(text, "0\n{}\n", kept.clone().count())
            .and_then(|()| kept.into_iter().try_for_each(|s| writeln!(text, "{} {}", s.epoch, s.start_offset)));
        written.expect("a String takes any text");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_belongs_to_the_epoch_that_began_at_or_before_it() {
        let mut epochs = LeaderEpochs::default();
        epochs.append(1, 0);
        epochs.append(1, 5);
        epochs.append(4, 10);
        assert_eq!(epochs.epoch_at(9), Some(1));
        assert_eq!(epochs.epoch_at(10), Some(4));
        epochs.append(5, 10);
        assert_eq!(epochs.epoch_at(10), Some(5));
        assert_eq!(epochs.to_checkpoint_file(11), "0\n2\n1 0\n5 10\n");
        assert_eq!(epochs.to_checkpoint_file(10), "0\n1\n1 0\n");
        epochs.drop_before(7);
        assert_eq!(epochs.epoch_at(7), Some(1));
        assert_eq!(epochs.epoch_at(6), None);
        epochs.drop_before(12);
        assert_eq!(epochs.starts(), &[EpochStart { epoch: 5, start_offset: 12 }]);
    }
}
