//! Writing the journal: a state machine that is told of entries, turns and completions, and asks for writes and syncs.
//!
//! Owns the order of things. Entries are copied into the open commit as they arrive; at the end of a turn commits are
//! written, up to `depth` at once. A commit that somebody waits for is written durably; what came before it and was not
//! is synced, after all of it has completed, because a durable write makes only itself durable.
//!
//! Invariants: `durable_sequence <= written_sequence < next sequence`; both only rise, and only over a prefix without a
//! gap. A commit's place is fixed when it is opened, so an entry's sequence and file are known when it is appended.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::buffer::AlignedBuf;

use super::commit::{PendingCommit, Place, Pool};
use super::format::{
    COMMIT_HEADER_LEN, CommitHeader, Durability, ENTRY_HEADER_LEN, EntryHeader, EntryKind, FLAG_CLOSING, FileHeader,
};
use super::ring::Ring;
use super::{CLOSE_AFTER_US, Geometry, JournalError, UNSYNCED_COMMITS_MAX, UNWRITTEN_BYTES_MAX};
use crate::ids::Ids;
use crate::io::{Action, IoError, OpId, Step};

/// An entry to be appended; the journal adds sequence, incarnation and the payload's length.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry {
    /// What the payload is.
    pub kind: EntryKind,
    /// What its acknowledgement will promise.
    pub level: Durability,
    /// The topic; all zero in the metadata log.
    pub topic_id: [u8; 16],
    /// The partition.
    pub partition: i32,
    /// The leader epoch in the batch.
    pub leader_epoch: i32,
    /// The offset of the batch's first record, or the new log start offset.
    pub base_offset: i64,
    /// The offset of the batch's last record.
    pub last_offset: i64,
    /// Where the segment of this batch begins.
    pub segment_base_offset: i64,
    /// The payload's checksum: of a record batch, the batch's own checksum field.
    pub payload_crc: u32,
}

/// Where an entry will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The sequence of its commit.
    pub sequence: u64,
    /// The ordinal of its file.
    pub ordinal: u64,
}

/// Where a journal goes on: what the recovery found and the start decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// The incarnation that begins.
    pub(super) incarnation: u64,
    /// The last sequence that counted, durable by now; 0 in a new journal.
    pub(super) end: u64,
    /// The checksum field of that commit.
    pub(super) end_crc: u32,
    /// The ordinal of its file; 0 in a new journal.
    pub(super) end_ordinal: u64,
    /// The highest sequence that is marked as durable on disk.
    pub(super) marked: u64,
    /// The ordinal of the next file.
    pub(super) next_ordinal: u64,
    /// How many whole files there were: each number below it has one.
    pub(super) files: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The write was submitted.
    InFlight,
    /// The write has completed, but a power cut may take it back.
    Written,
    /// It survives a power cut.
    Stable,
}

/// A commit from its submission until it and all before it are durable.
struct Commit {
    sequence: u64,
    ordinal: u64,
    slot: u32,
    state: State,
    /// Somebody waits for it to be durable.
    wanted: bool,
    durable_write: bool,
    carries: bool,
    mark: u64,
    write_len: usize,
    memory: Option<Arc<AlignedBuf>>,
}

#[derive(Clone, Copy)]
struct Position {
    ordinal: u64,
    slot: u32,
    offset: u64,
}

struct Syncing {
    op: OpId,
    upto: u64,
    slot: u32,
}

/// The writing side of one journal.
pub struct Journal {
    geometry: Geometry,
    ring: Ring,
    pool: Pool,
    incarnation: u64,
    previous_end: u64,
    /// The sequence of the next commit that is opened.
    next_sequence: u64,
    next_ordinal: u64,
    /// The checksum field of the commit that was submitted last.
    predecessor: u32,
    /// Behind the last commit that is full or submitted; `None`: the next commit starts a file.
    position: Option<Position>,
    full: VecDeque<PendingCommit>,
    open: Option<PendingCommit>,
    /// What was submitted and is not durable yet; the first has the sequence `durable + 1`.
    commits: VecDeque<Commit>,
    writes: Vec<(OpId, u64)>,
    unwritten_bytes: usize,
    /// Of all commits that were submitted since the start.
    submitted_bytes: u64,
    wanted: usize,
    syncing: Option<Syncing>,
    written: u64,
    durable: u64,
    durable_ordinal: u64,
    /// The last durable commit that carries entries.
    durable_entries: u64,
    marked: u64,
    last_cut_us: u64,
    /// The generation of the newest checkpoint or snapshot that is durable.
    copy_generation: u32,
    /// How many whole files the start found: each number below it has one.
    files_found: u32,
    failed: bool,
}

impl Journal {
    pub(super) fn new(geometry: Geometry, ring: Ring, origin: Origin) -> Self {
        let keep = geometry.depth + 2;
        Self {
            pool: Pool::new(geometry.block, geometry.file_len, keep),
            writes: Vec::with_capacity(geometry.depth),
            geometry,
            ring,
            incarnation: origin.incarnation,
            previous_end: origin.end,
            next_sequence: origin.end + 1,
            next_ordinal: origin.next_ordinal,
            predecessor: origin.end_crc,
            position: None,
            full: VecDeque::new(),
            open: None,
            commits: VecDeque::new(),
            unwritten_bytes: 0,
            submitted_bytes: 0,
            wanted: 0,
            syncing: None,
            written: origin.end,
            durable: origin.end,
            durable_ordinal: origin.end_ordinal,
            durable_entries: origin.end,
            marked: origin.marked,
            last_cut_us: 0,
            copy_generation: 0,
            files_found: origin.files,
            failed: false,
        }
    }

    /// All commits up to this sequence are written: they survive the end of the process.
    pub fn written_sequence(&self) -> u64 {
        self.written
    }

    /// All commits up to this sequence are on stable storage.
    pub fn durable_sequence(&self) -> u64 {
        self.durable
    }

    /// Whether an acknowledgement at `level` for the commit `sequence` may leave.
    pub fn reached(&self, sequence: u64, level: Durability) -> bool {
        match level {
            Durability::Fsync => sequence <= self.durable,
            Durability::Write => sequence <= self.written,
            Durability::Memory => true,
        }
    }

    /// The last commit that was submitted.
    pub fn submitted_sequence(&self) -> u64 {
        self.commits.back().map_or(self.durable, |commit| commit.sequence)
    }

    /// Bytes of the commits that were submitted since the start.
    pub fn submitted_bytes(&self) -> u64 {
        self.submitted_bytes
    }

    /// Bytes of commits that are gathered or being written.
    pub fn unwritten_bytes(&self) -> usize {
        self.unwritten_bytes
    }

    /// The ordinal of the oldest file in use.
    pub fn oldest_ordinal(&self) -> Option<u64> {
        self.ring.in_use().front().map(|used| used.ordinal)
    }

    /// The ordinal of the newest file in use.
    pub fn newest_ordinal(&self) -> Option<u64> {
        self.ring.in_use().back().map(|used| used.ordinal)
    }

    /// The ordinal that the next file will have: a checkpoint that needs nothing of the journal names it.
    pub fn next_ordinal(&self) -> u64 {
        self.next_ordinal
    }

    /// How many files there are for sure, also after a power cut: each number below it has one.
    pub fn files(&self) -> u32 {
        self.ring.slots().max(self.files_found)
    }

    /// How many files are in use.
    pub fn files_in_use(&self) -> usize {
        self.ring.in_use().len()
    }

    /// How many files could be begun without releasing one.
    pub fn files_free(&self) -> usize {
        self.ring.free()
    }

    /// The bytes of commits in the files in use, in whole blocks; what is still being gathered is not in it.
    pub fn bytes_in_use(&self) -> u64 {
        self.ring.in_use().iter().map(|used| used.bytes).sum()
    }

    /// The ring's shape.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Whether nothing waits to be written and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.open.is_none() && self.full.is_empty() && self.writes.is_empty() && self.syncing.is_none()
    }

    /// How many bytes more the files will take when there are as many as may be.
    pub fn growth_bytes(&self) -> u64 {
        self.ring.growth_bytes()
    }

    /// Whether nothing more can be taken until there is space for another file.
    pub fn is_stuck(&self) -> bool {
        self.ring.is_stuck()
    }

    /// Whether there is space for files that are not there yet. Until told otherwise there is.
    pub fn set_may_grow(&mut self, may_grow: bool) {
        self.ring.set_may_grow(may_grow);
    }

    /// Whether an entry with a payload of `bytes` may be appended for a producer. It says no while the ring is full but
    /// for the reserve, and while too much waits to be written; ask again after a completion or a release.
    pub fn has_room(&self, bytes: usize) -> bool {
        if self.failed || (self.unwritten_bytes > 0 && self.unwritten_bytes + bytes > UNWRITTEN_BYTES_MAX) {
            return false;
        }
        if self.fits_here(bytes) { self.ring.spare() >= 1 } else { self.ring.free() >= 1 && self.ring.spare() >= 2 }
    }

    /// Whether `count` entries with payloads of `bytes` bytes together, `largest` the longest of them, may be appended one
    /// after the other.
    pub fn has_room_for(&self, count: usize, bytes: usize, largest: usize) -> bool {
        let block = self.geometry.block;
        let total = bytes + count * (ENTRY_HEADER_LEN + COMMIT_HEADER_LEN + block);
        if count <= 1 || self.fits_here(total) {
            return self.has_room(if count <= 1 { largest } else { total });
        }
        // Two files in a row hold more than one file's worth, or the second would not have been begun.
        let usable = self.geometry.file_len as usize - 2 * block;
        let files = 2 * total / usable + 1;
        !self.failed && self.ring.free() >= files && self.ring.spare() > files
    }

    /// Whether an entry of the journal's own (carried records, a log start) may be appended: as [`Self::has_room`], but
    /// the reserve is for it.
    pub fn has_reserve(&self, bytes: usize) -> bool {
        !self.failed && (self.fits_here(bytes) || self.ring.free() >= 1)
    }

    /// As [`Self::has_reserve`], for `count` entries of `bytes` bytes together, less than half a file.
    pub fn has_reserve_for(&self, count: usize, bytes: usize) -> bool {
        let between = count * (ENTRY_HEADER_LEN + COMMIT_HEADER_LEN) + 2 * self.geometry.block;
        self.has_reserve(bytes + between)
    }

    fn fits_here(&self, bytes: usize) -> bool {
        if let Some(open) = &self.open
            && open.fits(bytes)
        {
            return true;
        }
        let gathered = self.open.as_ref().map_or(0, PendingCommit::blocks_len);
        self.position.is_some_and(|at| {
            let room = self.geometry.file_len.saturating_sub(at.offset + gathered);
            room >= self.commit_len(bytes) + self.geometry.block as u64
        })
    }

    /// The bytes that a commit takes in its file when it carries one entry with a payload of `bytes`.
    fn commit_len(&self, bytes: usize) -> u64 {
        (COMMIT_HEADER_LEN + ENTRY_HEADER_LEN + bytes).next_multiple_of(self.geometry.block) as u64
    }

    /// Appends an entry; its payload is given in pieces. It is copied, nothing is written before [`Self::cut`].
    ///
    /// [`Self::has_room`] or [`Self::has_reserve`] must have said yes for this very entry.
    pub fn append(&mut self, entry: NewEntry, payload: &[&[u8]]) -> Placed {
        if self.failed {
            return Placed { sequence: self.next_sequence, ordinal: self.next_ordinal };
        }
        let len = payload.iter().map(|piece| piece.len()).sum::<usize>();
        assert!(len <= self.geometry.payload_max(), "an entry of {len} bytes does not fit into a journal file");
        if !self.open.as_ref().is_some_and(|open| open.fits(len)) {
            self.close_open();
            let place = self.place(self.commit_len(len), self.geometry.block as u64);
            self.open_commit(place, ENTRY_HEADER_LEN + len);
        }
        let open = self.open.as_mut().expect("a commit was just opened");
        let before = open.write_len();
        open.durable |= entry.level == Durability::Fsync;
        open.push(
            &EntryHeader {
                kind: entry.kind,
                level: entry.level,
                payload_len: len as u32,
                payload_crc: entry.payload_crc,
                sequence: open.sequence,
                incarnation: self.incarnation,
                topic_id: entry.topic_id,
                partition: entry.partition,
                leader_epoch: entry.leader_epoch,
                base_offset: entry.base_offset,
                last_offset: entry.last_offset,
                segment_base_offset: entry.segment_base_offset,
            },
            payload,
        );
        self.unwritten_bytes += open.write_len() - before;
        Placed { sequence: open.sequence, ordinal: open.ordinal }
    }

    /// The place of a commit of `len` bytes that leaves `spare` bytes of its file: here, or in the next file.
    fn place(&mut self, len: u64, spare: u64) -> Place {
        let file_len = self.geometry.file_len;
        let here = self.position.filter(|at| at.offset + len + spare <= file_len);
        let at = here.unwrap_or_else(|| {
            let ordinal = self.next_ordinal;
            self.next_ordinal += 1;
            Position { ordinal, slot: self.ring.begin(ordinal), offset: self.geometry.block as u64 }
        });
        self.position = Some(at);
        Place { ordinal: at.ordinal, slot: at.slot, offset: at.offset, room: file_len - at.offset - spare }
    }

    fn open_commit(&mut self, place: Place, first: usize) {
        assert!(self.open.is_none(), "one commit is open at a time");
        let open = PendingCommit::open(&mut self.pool, self.geometry.block, self.next_sequence, place, first);
        self.unwritten_bytes += open.write_len();
        self.next_sequence += 1;
        self.open = Some(open);
    }

    /// The open commit takes no more entries.
    fn close_open(&mut self) {
        let Some(open) = self.open.take() else { return };
        let at = self.position.as_mut().expect("an open commit has a place");
        assert_eq!(at.ordinal, open.ordinal, "a commit is closed before the next is opened");
        at.offset += open.blocks_len();
        self.ring.filled(open.ordinal, open.blocks_len());
        self.full.push_back(open);
    }

    /// The next commit starts a new file, so that the newest can be released too.
    pub fn end_file(&mut self) {
        self.close_open();
        self.position = None;
    }

    /// Ends a turn: submits what was gathered, as long as fewer than `depth` commits are in flight. Call it again
    /// after completions; what did not go out goes out then.
    pub fn cut(&mut self, now_us: u64, metadata_offset: u64, ids: &mut Ids, actions: &mut Vec<Action>) {
        if self.failed {
            return;
        }
        if self.open.is_some() || !self.full.is_empty() {
            self.last_cut_us = now_us;
        }
        // Also when nothing is to be written: it may be for want of a file that nothing comes in.
        self.ring.prepare_ahead(now_us, ids, actions);
        while self.writes.len() < self.geometry.depth {
            if self.full.is_empty() {
                // A small commit behind one in flight would cost a write of its own; with the next completion it has
                // become larger, and goes out then.
                let small = self.open.as_ref().is_some_and(|open| open.write_len() < self.geometry.gather_bytes);
                if small && !self.writes.is_empty() {
                    break;
                }
                self.close_open();
            }
            let Some(pending) = self.full.pop_front() else { break };
            self.submit(pending, metadata_offset, ids, actions);
        }
    }

    fn submit(&mut self, pending: PendingCommit, metadata_offset: u64, ids: &mut Ids, actions: &mut Vec<Action>) {
        let (sequence, ordinal, slot, offset) = (pending.sequence, pending.ordinal, pending.slot, pending.offset);
        let (durable, carries, write_len) = (pending.durable, !pending.is_empty(), pending.write_len());
        self.submitted_bytes += write_len as u64;
        assert_eq!(sequence, self.submitted_sequence() + 1, "commits are submitted in order");
        assert!(self.durable < sequence);
        let header = CommitHeader {
            flags: if carries { 0 } else { FLAG_CLOSING },
            entries: 0,
            ordinal,
            incarnation: self.incarnation,
            sequence,
            durable_sequence: self.durable,
            metadata_offset,
            predecessor: self.predecessor,
            body_len: 0,
            entry_headers_crc: 0,
            copy_generation: self.copy_generation,
            slots: self.ring.slots(),
            directory: self.geometry.directory,
        };
        let file_header = pending.starts_file().then(|| FileHeader {
            kind: self.geometry.kind,
            slot,
            ordinal,
            incarnation: self.incarnation,
            first_sequence: sequence,
            predecessor: self.predecessor,
            block: self.geometry.block as u32,
            previous_end: self.previous_end,
            file_len: self.geometry.file_len,
            durable_sequence: self.durable,
            first_needed: self.ring.first_needed().unwrap_or(ordinal).min(ordinal),
            shard: self.geometry.shard,
            slots: self.ring.slots(),
            directory: self.geometry.directory,
        });
        let (memory, bytes, crc) = pending.finish(header, file_header);
        self.predecessor = crc;
        let op = ids.op();
        let step = Step::Write { file: self.ring.file(slot), offset, data: vec![bytes], durable };
        actions.push(Action::Io { op, steps: vec![step] });
        self.writes.push((op, sequence));
        self.wanted += usize::from(durable);
        self.commits.push_back(Commit {
            sequence,
            ordinal,
            slot,
            state: State::InFlight,
            wanted: durable,
            durable_write: durable,
            carries,
            mark: self.durable,
            write_len,
            memory: Some(memory),
        });
    }

    /// Takes a completion. Says whether it was of an operation of this journal; an error is fatal.
    pub fn completed(
        &mut self,
        op: OpId,
        result: &Result<Vec<Bytes>, IoError>,
        ids: &mut Ids,
        actions: &mut Vec<Action>,
    ) -> Result<bool, JournalError> {
        if let Some(index) = self.writes.iter().position(|&(write, _)| write == op) {
            let (_, sequence) = self.writes.swap_remove(index);
            self.write_completed(sequence, result)?;
        } else if let Some(syncing) = self.syncing.take_if(|syncing| syncing.op == op) {
            self.sync_completed(&syncing, result)?;
        } else if let Some(outcome) = self.ring.completed(op, result, ids, actions) {
            self.failed |= outcome.is_err();
            return outcome.map(|()| true);
        } else {
            return Ok(false);
        }
        if !self.failed {
            self.advance();
            self.sync_what_is_waited_for(ids, actions);
        }
        Ok(true)
    }

    fn write_completed(&mut self, sequence: u64, result: &Result<Vec<Bytes>, IoError>) -> Result<(), JournalError> {
        let index = (sequence - self.durable - 1) as usize;
        let commit = &mut self.commits[index];
        assert!(commit.sequence == sequence && commit.state == State::InFlight, "a write completes once");
        if let Err(error) = result {
            self.failed = true;
            let path = self.geometry.path(commit.slot);
            return Err(JournalError { path, doing: "writing", error: error.clone() });
        }
        commit.state = if commit.durable_write { State::Stable } else { State::Written };
        if commit.durable_write {
            self.marked = self.marked.max(commit.mark);
        }
        self.unwritten_bytes -= commit.write_len;
        if let Some(memory) = commit.memory.take() {
            self.pool.give_back(memory);
        }
        Ok(())
    }

    fn sync_completed(&mut self, sync: &Syncing, result: &Result<Vec<Bytes>, IoError>) -> Result<(), JournalError> {
        if let Err(error) = result {
            self.failed = true;
            let path = self.geometry.path(sync.slot);
            return Err(JournalError { path, doing: "syncing", error: error.clone() });
        }
        for commit in self.commits.iter_mut().take_while(|commit| commit.sequence <= sync.upto) {
            assert_ne!(commit.state, State::InFlight, "a sync follows the writes that it covers");
            commit.state = State::Stable;
            self.marked = self.marked.max(commit.mark);
        }
        Ok(())
    }

    /// Moves the two prefixes over what has completed.
    fn advance(&mut self) {
        while let Some(commit) = self.commits.get((self.written - self.durable) as usize)
            && commit.state != State::InFlight
        {
            self.written = commit.sequence;
        }
        while let Some(commit) = self.commits.pop_front_if(|commit| commit.state == State::Stable) {
            self.durable = commit.sequence;
            self.durable_ordinal = commit.ordinal;
            self.wanted -= usize::from(commit.wanted);
            if commit.carries {
                self.durable_entries = commit.sequence;
            }
        }
        assert!(self.durable <= self.written && self.written < self.next_sequence);
        self.ring.reclaim(self.durable_ordinal);
    }

    /// Submits a sync when the first commit that has to be durable, and all before it, are written but not stable.
    fn sync_what_is_waited_for(&mut self, ids: &mut Ids, actions: &mut Vec<Action>) {
        if self.syncing.is_some() || self.written == self.durable {
            return;
        }
        let unsynced = (self.written - self.durable) as usize;
        let due = match self.commits.iter().take(unsynced).any(|commit| commit.wanted) {
            true => self.wanted > 0,
            false => unsynced >= UNSYNCED_COMMITS_MAX,
        };
        if !due {
            return;
        }
        let mut slots: Vec<u32> = Vec::new();
        for commit in self.commits.iter().take(unsynced).filter(|commit| commit.state == State::Written) {
            if !slots.contains(&commit.slot) {
                slots.push(commit.slot);
            }
        }
        let Some(&slot) = slots.first() else { return };
        let steps = slots.iter().map(|&slot| Step::Sync { file: self.ring.file(slot) }).collect();
        let op = ids.op();
        self.syncing = Some(Syncing { op, upto: self.written, slot });
        actions.push(Action::Io { op, steps });
    }

    /// Makes everything that was appended so far durable, whatever its level. The sequence to wait for is returned;
    /// what is still being gathered goes out with the next [`Self::cut`].
    pub fn request_sync(&mut self, ids: &mut Ids, actions: &mut Vec<Action>) -> u64 {
        for pending in self.full.iter_mut().chain(self.open.as_mut()) {
            pending.durable = true;
        }
        if self.full.is_empty()
            && self.open.is_none()
            && let Some(last) = self.commits.back_mut()
        {
            self.wanted += usize::from(!last.wanted);
            last.wanted = true;
        }
        if !self.failed {
            self.sync_what_is_waited_for(ids, actions);
        }
        self.next_sequence - 1
    }

    /// Nothing below `ordinal` is needed any more: call it after the checkpoint that says so is synced. The files are
    /// used again as soon as a later one holds a durable commit.
    pub fn release(&mut self, ordinal: u64) {
        assert!(ordinal <= self.next_ordinal, "only what was written can be released");
        self.ring.release(ordinal);
        self.ring.reclaim(self.durable_ordinal);
    }

    /// The checkpoint or snapshot of this generation is durable: commits say so from now on. Call it before what that one
    /// does not need is released, so that a start that misses it knows.
    pub fn saved(&mut self, generation: u64) {
        self.copy_generation = u32::try_from(generation).unwrap_or(u32::MAX);
    }

    /// Whether the ring is short of files because there was no space for another one.
    pub fn is_short(&self) -> bool {
        self.ring.is_short()
    }

    /// When [`Self::close_if_idle`] or [`Self::cut`] wants to be called.
    pub fn next_deadline_us(&self) -> Option<u64> {
        let prepare = if self.failed { None } else { self.ring.prepare_again_at_us() };
        self.closing_due_us().into_iter().chain(prepare).min()
    }

    fn closing_due_us(&self) -> Option<u64> {
        self.wants_closing().then_some(self.last_cut_us + CLOSE_AFTER_US)
    }

    /// Whether entries are durable that no mark on disk covers, and nothing is on its way that will.
    fn wants_closing(&self) -> bool {
        !self.failed && self.is_idle() && self.marked < self.durable_entries && self.has_block()
    }

    /// Whether a commit of one block fits, here or in a free file.
    fn has_block(&self) -> bool {
        let len = self.geometry.block as u64;
        self.position.is_some_and(|at| at.offset + len <= self.geometry.file_len) || self.ring.free() > 0
    }

    /// Writes a closing commit when the journal has been idle for [`CLOSE_AFTER_US`] and needs one.
    pub fn close_if_idle(&mut self, now_us: u64, metadata_offset: u64, ids: &mut Ids, actions: &mut Vec<Action>) {
        if self.closing_due_us().is_some_and(|deadline| deadline <= now_us) {
            self.close(now_us, metadata_offset, ids, actions);
        }
    }

    /// Writes a closing commit at once if the journal is idle and needs one: at a clean stop. Says whether the journal
    /// is closed: nothing is in flight and no closing commit is needed any more. Call it until it says so.
    pub fn close(&mut self, now_us: u64, metadata_offset: u64, ids: &mut Ids, actions: &mut Vec<Action>) -> bool {
        if self.wants_closing() {
            // Each file keeps its last block for this.
            let place = self.place(self.geometry.block as u64, 0);
            self.open_commit(place, 0);
            self.open.as_mut().expect("a commit was just opened").durable = true;
            self.cut(now_us, metadata_offset, ids, actions);
        }
        !self.failed && self.is_idle()
    }
}
