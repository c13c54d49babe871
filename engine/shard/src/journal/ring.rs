//! The ring's files: which are prepared, which are in use, which may be used again.
//!
//! Invariants: a file is begun only after it was prepared (created, allocated, written once, synced, its name synced);
//! a file in use becomes free only when it was released *and* a commit in a later file is durable.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::buffer::{ALIGN, AlignedBuf};

use super::{Geometry, JournalError, PREPARE_AGAIN_AFTER_US};
use crate::ids::Ids;
use crate::io::{Action, FileId, IoError, LogLevel, OpId, OpenMode, Step, is_full};

/// How much of a new file one write fills with zeros, in bytes.
const PREPARE_PIECE: usize = 1 << 20;

/// One that is full, one that is filled, and the reserve.
const FILES_THAT_TURN: usize = 3;

/// What is known of one file of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// There is no such file.
    Missing,
    /// It is open, but nobody knows whether it was ever prepared to its end.
    Raw(FileId),
    /// It is being prepared.
    Preparing(FileId),
    /// It is open and prepared: free or in use.
    Ready(FileId),
}

/// One use of a file, from its first commit to its recycling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileUse {
    pub(super) ordinal: u64,
    pub(super) slot: u32,
    /// The bytes of commits in it, whole blocks, without the file header.
    pub(super) bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Preparing {
    op: OpId,
    slot: u32,
    file: FileId,
    /// It was open before the preparation began.
    was_open: bool,
    /// The preparation failed for want of space; what it left behind is being removed.
    removing: bool,
}

/// The files of one journal.
#[derive(Debug)]
pub(super) struct Ring {
    geometry: Geometry,
    slots: Vec<Slot>,
    free: VecDeque<u32>,
    in_use: VecDeque<FileUse>,
    released_below: u64,
    preparing: Option<Preparing>,
    out_of_space: bool,
    prepare_again_at_us: u64,
    /// Whether files may be made that are not there yet.
    may_grow: bool,
}

impl Ring {
    /// The ring as a start found it: `in_use` by ordinal, every other [`Slot::Ready`] file free.
    pub(super) fn new(geometry: Geometry, slots: Vec<Slot>, in_use: VecDeque<FileUse>, released_below: u64) -> Self {
        assert!(in_use.iter().zip(in_use.iter().skip(1)).all(|(a, b)| a.ordinal < b.ordinal), "files by ordinal");
        let used = |slot: u32| in_use.iter().any(|used| used.slot == slot);
        let ready = (0u32..).zip(&slots).filter(|(_, state)| matches!(state, Slot::Ready(_))).map(|(slot, _)| slot);
        let free = ready.filter(|&slot| !used(slot)).collect();
        Self {
            geometry,
            slots,
            free,
            in_use,
            released_below,
            preparing: None,
            out_of_space: false,
            prepare_again_at_us: 0,
            may_grow: true,
        }
    }

    /// How many files there are for sure, whatever happens: each number below it.
    pub(super) fn slots(&self) -> u32 {
        self.slots.iter().take_while(|slot| matches!(slot, Slot::Ready(_))).count() as u32
    }

    /// How many files can be begun at once.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// How many files are free, or will be as soon as a commit in a later file is durable.
    pub(super) fn spare(&self) -> usize {
        let last = self.in_use.len().saturating_sub(1);
        self.free.len() + self.in_use.iter().take(last).filter(|used| used.ordinal < self.released_below).count()
    }

    /// The files in use, by ordinal.
    pub(super) fn in_use(&self) -> &VecDeque<FileUse> {
        &self.in_use
    }

    /// The first file in use that was not released.
    pub(super) fn first_needed(&self) -> Option<u64> {
        self.in_use.iter().map(|used| used.ordinal).find(|&ordinal| ordinal >= self.released_below)
    }

    /// Begins a use of a free file. There must be one.
    pub(super) fn begin(&mut self, ordinal: u64) -> u32 {
        assert!(self.in_use.back().is_none_or(|used| used.ordinal < ordinal), "ordinals rise");
        let slot = self.free.pop_front().expect("a journal file is begun only when one is free");
        self.in_use.push_back(FileUse { ordinal, slot, bytes: 0 });
        slot
    }

    /// Counts bytes of commits into the newest file.
    pub(super) fn filled(&mut self, ordinal: u64, bytes: u64) {
        let newest = self.in_use.iter_mut().rev().find(|used| used.ordinal == ordinal);
        newest.expect("commits go to files in use").bytes += bytes;
    }

    /// The open file of a slot.
    pub(super) fn file(&self, slot: u32) -> FileId {
        match self.slots[slot as usize] {
            Slot::Ready(file) => file,
            other => panic!("journal file {slot} is used while it is {other:?}"),
        }
    }

    /// Nothing below `ordinal` is needed any more.
    pub(super) fn release(&mut self, ordinal: u64) {
        self.released_below = self.released_below.max(ordinal);
    }

    /// Frees what was released, given the ordinal of the file that holds the last durable commit.
    pub(super) fn reclaim(&mut self, durable_ordinal: u64) {
        let below = self.released_below.min(durable_ordinal);
        while let Some(used) = self.in_use.pop_front_if(|used| used.ordinal < below) {
            self.free.push_back(used.slot);
        }
    }

    /// Begins to prepare another file when less than one is free beside the reserve and the ring may grow.
    pub(super) fn prepare_ahead(&mut self, now_us: u64, ids: &mut Ids, actions: &mut Vec<Action>) {
        if self.out_of_space {
            self.out_of_space = false;
            self.prepare_again_at_us = now_us + PREPARE_AGAIN_AFTER_US;
        }
        if self.preparing.is_some() || self.spare() >= 2 || now_us < self.prepare_again_at_us {
            return;
        }
        let ready = self.slots.iter().filter(|slot| matches!(slot, Slot::Ready(_))).count();
        if ready >= self.geometry.files_max {
            return;
        }
        if !self.may_prepare() {
            return;
        }
        let (slot, file, steps) = self.preparation(ids);
        let op = ids.op();
        let was_open = !matches!(steps.first(), Some(Step::Open { .. }));
        self.preparing = Some(Preparing { op, slot, file, was_open, removing: false });
        actions.push(Action::Io { op, steps });
    }

    /// How many bytes the files take that are not there yet.
    pub(super) fn growth_bytes(&self) -> u64 {
        let there = self.slots.iter().filter(|slot| !matches!(slot, Slot::Missing)).count();
        self.geometry.files_max.saturating_sub(there) as u64 * self.geometry.file_len
    }

    /// Whether another file may be prepared: there is space for it, or it is there, or without it the ring cannot turn.
    fn may_prepare(&self) -> bool {
        let unready = self.slots.iter().find(|slot| !matches!(slot, Slot::Ready(_)));
        self.may_grow || !self.can_turn() || matches!(unready, Some(Slot::Raw(_)))
    }

    /// Whether there are enough files to free one while the next is filled.
    fn can_turn(&self) -> bool {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Ready(_))).count() >= FILES_THAT_TURN
    }

    /// Whether nothing more can be taken until there is space for another file.
    pub(super) fn is_stuck(&self) -> bool {
        !self.can_turn() && self.is_short()
    }

    /// Whether there is space for files that are not there yet.
    pub(super) fn set_may_grow(&mut self, may_grow: bool) {
        self.may_grow = may_grow;
    }

    /// Whether there are too few files because there was no space for another one.
    pub(super) fn is_short(&self) -> bool {
        self.spare() < 2 && (self.out_of_space || self.prepare_again_at_us > 0 || !self.may_prepare())
    }

    /// When the preparation of another file is tried again, if it has to be.
    pub(super) fn prepare_again_at_us(&self) -> Option<u64> {
        (self.is_short() && self.preparing.is_none() && self.may_prepare()).then_some(self.prepare_again_at_us)
    }

    /// Chooses the next file to prepare, marks it, and says how.
    pub(super) fn preparation(&mut self, ids: &mut Ids) -> (u32, FileId, Vec<Step>) {
        let unready = self.slots.iter().position(|slot| matches!(slot, Slot::Missing | Slot::Raw(_)));
        let index = unready.unwrap_or_else(|| {
            self.slots.push(Slot::Missing);
            self.slots.len() - 1
        });
        let slot = index as u32;
        let opened = match self.slots[index] {
            Slot::Raw(file) => Some(file),
            _ => None,
        };
        let file = opened.unwrap_or_else(|| ids.file());
        self.slots[index] = Slot::Preparing(file);
        (slot, file, preparation_steps(&self.geometry, slot, file, opened.is_some()))
    }

    /// A file is prepared.
    pub(super) fn prepared(&mut self, slot: u32) {
        let Slot::Preparing(file) = self.slots[slot as usize] else { panic!("journal file {slot} was not prepared") };
        self.slots[slot as usize] = Slot::Ready(file);
        self.free.push_back(slot);
        self.prepare_again_at_us = 0;
    }

    /// A preparation failed. The file stays as it is if it could be opened: the next one writes all of it again.
    pub(super) fn left_unprepared(&mut self, slot: u32, opened: Option<FileId>) {
        self.slots[slot as usize] = opened.map_or(Slot::Missing, Slot::Raw);
    }

    /// Takes the completion of a preparation; `None` when the operation was another's.
    pub(super) fn completed(
        &mut self,
        op: OpId,
        result: &Result<Vec<Bytes>, IoError>,
        ids: &mut Ids,
        actions: &mut Vec<Action>,
    ) -> Option<Result<(), JournalError>> {
        let preparing = self.preparing.filter(|preparing| preparing.op == op)?;
        self.preparing = None;
        let path = self.geometry.path(preparing.slot);
        match result {
            Ok(_) if preparing.removing => {}
            Ok(_) => self.prepared(preparing.slot),
            Err(error) if preparing.removing => {
                // It stays as it is: the next preparation writes all of it again.
                let message = alloc::format!("cannot remove the unfinished {path}: {} ({})", error.what, error.errno);
                actions.push(Action::Log { level: LogLevel::Warn, message });
            }
            Err(error) if error.step == 0 || is_full(error) => {
                let message = alloc::format!(
                    "the journal cannot grow by {path}: {} (errno {}); it goes on with {} files",
                    error.what,
                    error.errno,
                    self.slots.iter().filter(|slot| matches!(slot, Slot::Ready(_))).count()
                );
                actions.push(Action::Log { level: LogLevel::Warn, message });
                self.out_of_space = true;
                self.remove_unfinished(preparing, error.step, ids, actions);
            }
            Err(error) => return Some(Err(JournalError { path, doing: "preparing", error: error.clone() })),
        }
        Some(Ok(()))
    }

    fn remove_unfinished(&mut self, failed: Preparing, at_step: usize, ids: &mut Ids, actions: &mut Vec<Action>) {
        if failed.was_open {
            // It was there before and headers may count it: it stays.
            self.slots[failed.slot as usize] = Slot::Raw(failed.file);
            return;
        }
        self.slots[failed.slot as usize] = Slot::Missing;
        let mut steps = Vec::new();
        if at_step > 0 {
            steps.push(Step::Close { file: failed.file });
        }
        steps.push(Step::RemoveFile { path: self.geometry.path(failed.slot) });
        steps.push(Step::SyncDir { path: self.geometry.dir.clone() });
        let op = ids.op();
        self.preparing = Some(Preparing { op, removing: true, ..failed });
        actions.push(Action::Io { op, steps });
    }
}

/// The steps that prepare a file: create, allocate, write every block once, sync it and its name.
fn preparation_steps(geometry: &Geometry, slot: u32, file: FileId, is_open: bool) -> Vec<Step> {
    let piece = PREPARE_PIECE.max(geometry.block).min(geometry.file_len as usize);
    let mut zeros = AlignedBuf::with_capacity_and_align(piece, geometry.block.max(ALIGN));
    zeros.pad_with_zeros_to(piece);
    let zeros = zeros.freeze();

    let mut steps = Vec::new();
    if !is_open {
        steps.push(Step::Open { file, path: geometry.path(slot), mode: OpenMode::JOURNAL });
    }
    steps.push(Step::Allocate { file, len: geometry.file_len });
    for offset in (0..geometry.file_len).step_by(piece) {
        let len = (geometry.file_len - offset).min(piece as u64) as usize;
        steps.push(Step::Write { file, offset, data: vec![zeros.slice(..len)], durable: false });
    }
    steps.push(Step::Sync { file });
    steps.push(Step::SyncDir { path: geometry.dir.clone() });
    steps
}
