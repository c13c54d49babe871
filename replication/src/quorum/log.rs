//! The log as raft sees it: in memory, what is behind the last snapshot.
//!
//! Invariants: offsets are without holes and begin behind the snapshot; terms never fall. What is here may not be on
//! stable storage yet; raft is told so separately.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::{LogEntry, RecoverError, Recovered, SnapshotMeta, decode_payload};
use crate::ids::MetadataOffset;

/// The entries behind the last snapshot, the hard state, and who votes.
pub(super) struct Log {
    hard_state: HardState,
    voters: ConfState,
    snapshot: SnapshotMeta,
    entries: VecDeque<Entry>,
    payload_bytes: usize,
}

impl Log {
    /// Checks that what was recovered is a log that this node alone can have written.
    pub(super) fn recover(raft_id: u64, recovered: Recovered) -> Result<Self, RecoverError> {
        let Recovered { hard_state, entries, snapshot } = recovered;
        let first_start = hard_state.is_none();
        if first_start && (snapshot.is_some() || !entries.is_empty()) {
            return Err(RecoverError::HardStateMissing);
        }
        let hard_state = hard_state.unwrap_or_default();
        if hard_state.vote != raft_id && hard_state.vote != 0 {
            return Err(RecoverError::ForeignVote(hard_state.vote));
        }
        let snapshot = snapshot.unwrap_or(SnapshotMeta { offset: MetadataOffset(0), term: 0 });
        let mut log = Self {
            hard_state: HardState::default(),
            voters: ConfState { voters: vec![raft_id], ..ConfState::default() },
            snapshot,
            entries: VecDeque::with_capacity(entries.len()),
            payload_bytes: 0,
        };
        log.recover_entries(entries)?;

        let newest_term = log.last_term();
        if hard_state.term < newest_term {
            return Err(RecoverError::HardStateStale { term: hard_state.term, newer: newest_term });
        }
        let (committed, last) = (hard_state.committed, MetadataOffset(log.last_offset()));
        if committed > last {
            return Err(RecoverError::CommittedEntriesMissing { committed, last });
        }
        log.hard_state = HardState {
            term: hard_state.term,
            vote: hard_state.vote,
            // A snapshot holds committed entries only.
            commit: committed.max(snapshot.offset).0,
            ..HardState::default()
        };
        Ok(log)
    }

    fn recover_entries(&mut self, entries: Vec<LogEntry>) -> Result<(), RecoverError> {
        let SnapshotMeta { offset: snapshot_offset, term: snapshot_term } = self.snapshot;
        let mut previous: Option<(MetadataOffset, u64)> = None;
        for entry in entries {
            let (offset, term) = (entry.offset, entry.term);
            let expected = previous.map_or(offset.min(snapshot_offset.next()), |(previous, _)| previous.next());
            if offset != expected || offset.0 == 0 {
                return Err(RecoverError::Hole(expected));
            }
            let term_before = previous.map_or(0, |(_, term)| term);
            let at_snapshot = offset == snapshot_offset && term != snapshot_term;
            let behind_snapshot = offset > snapshot_offset && term < snapshot_term;
            if term == 0 || term < term_before || at_snapshot || behind_snapshot {
                return Err(RecoverError::TermMismatch(offset));
            }
            previous = Some((offset, term));
            if offset > snapshot_offset {
                decode_payload(&entry.payload).map_err(|why| RecoverError::Undecodable(offset, why))?;
                self.push(Entry { index: offset.0, term, data: entry.payload, ..Entry::default() });
            }
        }
        Ok(())
    }

    pub(super) fn snapshot(&self) -> SnapshotMeta {
        self.snapshot
    }

    pub(super) fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    pub(super) fn set_hard_state(&mut self, hard_state: HardState) {
        assert!(hard_state.term >= self.hard_state.term, "terms never fall");
        assert!(hard_state.commit >= self.hard_state.commit, "what is committed stays so");
        self.hard_state = hard_state;
    }

    /// Appends; entries from the first one's offset on are replaced.
    pub(super) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.hard_state.commit, "committed entries are never replaced");
        assert!(first.index <= self.last_offset() + 1, "the log has no holes");
        while self.last_offset() >= first.index {
            let replaced = self.entries.pop_back().expect("it is behind the snapshot");
            self.payload_bytes -= replaced.data.len();
        }
        for entry in entries {
            self.push(entry);
        }
    }

    /// Forgets what the snapshot holds.
    pub(super) fn compact(&mut self, snapshot: SnapshotMeta) {
        assert!(snapshot.offset >= self.snapshot.offset, "snapshots go forward");
        let term = self.term_at(snapshot.offset.0).expect("the snapshot's last entry is in the log");
        assert_eq!(term, snapshot.term, "the snapshot is one of this log");
        while self.entries.front().is_some_and(|oldest| oldest.index <= snapshot.offset.0) {
            let oldest = self.entries.pop_front().expect("it was just there");
            self.payload_bytes -= oldest.data.len();
        }
        self.snapshot = snapshot;
    }

    pub(super) fn entry_count(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn byte_count(&self) -> usize {
        self.payload_bytes
    }

    fn push(&mut self, entry: Entry) {
        assert_eq!(entry.index, self.last_offset() + 1, "the log has no holes");
        assert!(entry.term >= self.last_term(), "terms never fall along the log");
        self.payload_bytes += entry.data.len();
        self.entries.push_back(entry);
    }

    fn first_offset(&self) -> u64 {
        self.snapshot.offset.0 + 1
    }

    fn last_offset(&self) -> u64 {
        self.entries.back().map_or(self.snapshot.offset.0, |entry| entry.index)
    }

    fn last_term(&self) -> u64 {
        self.entries.back().map_or(self.snapshot.term, |entry| entry.term)
    }

    fn position(&self, offset: u64) -> Result<usize, StorageError> {
        let position = offset.checked_sub(self.first_offset()).ok_or(StorageError::Compacted)?;
        usize::try_from(position).map_err(|_| StorageError::Unavailable)
    }

    fn term_at(&self, offset: u64) -> Result<u64, StorageError> {
        if offset == self.snapshot.offset.0 {
            return Ok(self.snapshot.term);
        }
        let entry = self.entries.get(self.position(offset)?).ok_or(StorageError::Unavailable)?;
        Ok(entry.term)
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.voters.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let (low, high) = (self.position(low)?, self.position(high)?);
        if high > self.entries.len() {
            return Err(StorageError::Unavailable.into());
        }
        let mut room = max_size.into().unwrap_or(u64::MAX);
        let mut entries = Vec::new();
        for entry in self.entries.range(low..high) {
            let size = entry.data.len() as u64;
            // The first one always fits, or an entry above the bound would never be seen.
            if !entries.is_empty() && size > room {
                break;
            }
            room = room.saturating_sub(size);
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    fn term(&self, offset: u64) -> raft::Result<u64> {
        Ok(self.term_at(offset)?)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first_offset())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last_offset())
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        // Raft asks for one to send to a follower that is too far behind; a quorum of one has none.
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}
