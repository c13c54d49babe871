//! Starting to write: from what the scan found to a journal that takes entries.
//!
//! Invariants: everything that counted is on stable storage before anything is written behind it, whoever wrote it and
//! however it ended. The file with the last commit that counts is kept, and no file that counts nothing can be taken
//! for it later.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::buffer::{ALIGN, AlignedBuf};

use super::JournalKind;
use super::ring::{FileUse, Ring, Slot};
use super::scan::{OpenError, Recovered};
use super::writer::{Journal, Origin};
use crate::ids::Ids;
use crate::io::{Disk, EWOULDBLOCK, FileId, Step, is_full};

impl Journal {
    /// Starts a new incarnation behind what was recovered. It begins with a fresh file, and prepares as many as it
    /// takes to have one to begin with and one in reserve.
    ///
    /// The superblock must name `incarnation` already, synced. Everything that was damaged in `recovered` is given up.
    pub fn start(
        disk: &mut dyn Disk,
        recovered: Recovered,
        incarnation: u64,
        ids: &mut Ids,
    ) -> Result<Self, OpenError> {
        recovered.take_over(disk, incarnation)?;
        let kept = recovered.kept();
        let mut in_use: BTreeMap<u64, (u32, u64)> = recovered.counted.clone();
        in_use.retain(|&ordinal, _| ordinal >= recovered.first_needed || Some(ordinal) == kept);
        for (&ordinal, used) in &recovered.uses {
            if Some(ordinal) == kept {
                in_use.entry(ordinal).or_insert((used.slot, 0));
            } else if !in_use.contains_key(&ordinal)
                && (ordinal >= recovered.first_needed || kept.is_some_and(|kept| ordinal > kept))
            {
                let open = recovered.files[used.slot as usize].expect("a header was read from an open file");
                recovered.wipe_header(disk, open.file)?;
            }
        }
        let in_use: VecDeque<FileUse> =
            in_use.into_iter().map(|(ordinal, (slot, bytes))| FileUse { ordinal, slot, bytes }).collect();
        let slots = recovered.slots();
        let end_ordinal = in_use.back().map_or(0, |used| used.ordinal);
        let mut ring = Ring::new(recovered.geometry.clone(), slots, in_use, recovered.first_needed);
        let kind = recovered.geometry.kind;
        // What is missing is made again, or the next start would miss it once more.
        let wanted = if recovered.damage.is_empty() { 0 } else { recovered.files_known() };
        while ring.free() == 0 || ring.spare() < 2 || ring.slots() < wanted {
            match prepare(disk, &recovered, &mut ring, ids) {
                Ok(()) => {}
                // What is there can be read, and retention makes space: only producers have to wait. Metadata does not wait:
                // every start writes some.
                Err(OpenError::Io { error, .. })
                    if is_full(&error) && ring.free() > 0 && kind == JournalKind::Shard =>
                {
                    break;
                }
                Err(OpenError::Io { doing, mut error }) if is_full(&error) => {
                    error.what.push_str("; make space on this file system");
                    return Err(OpenError::Io { doing, error });
                }
                Err(error) => return Err(error),
            }
        }
        let origin = Origin {
            incarnation,
            end: recovered.end,
            end_crc: recovered.end_crc,
            end_ordinal,
            marked: recovered.marked.min(recovered.end),
            next_ordinal: recovered.next_ordinal,
            files: recovered.whole_files(),
        };
        Ok(Self::new(recovered.geometry, ring, origin))
    }
}

fn prepare(disk: &mut dyn Disk, recovered: &Recovered, ring: &mut Ring, ids: &mut Ids) -> Result<(), OpenError> {
    let (slot, file, steps) = ring.preparation(ids);
    for step in steps {
        let opening = matches!(step, Step::Open { .. });
        disk.run(step).map_err(|error| match error.errno {
            EWOULDBLOCK if opening => OpenError::Locked { path: recovered.geometry.path(slot) },
            _ => {
                ring.left_unprepared(slot, (!opening).then_some(file));
                OpenError::Io { doing: "preparing a journal file", error }
            }
        })?;
    }
    ring.prepared(slot);
    Ok(())
}

impl Recovered {
    /// Makes what was read, whoever wrote it and however that ended, survive from now on. Refuses a journal that was
    /// written after the superblock, which names `incarnation`.
    pub(crate) fn take_over(&self, disk: &mut dyn Disk, incarnation: u64) -> Result<(), OpenError> {
        if incarnation <= self.incarnation {
            return Err(OpenError::Foreign {
                path: self.geometry.dir.clone(),
                words: alloc::format!(
                    "the journal knows incarnation {}, the superblock begins {incarnation}: it was put back from an \
                     older copy; put the whole data directory back from one copy",
                    self.incarnation
                ),
            });
        }
        let doing = OpenError::io("starting the journal");
        for open in self.files.iter().flatten() {
            disk.run(Step::Sync { file: open.file }).map_err(&doing)?;
        }
        disk.run(Step::SyncDir { path: self.geometry.dir.clone() }).map_err(&doing)?;
        Ok(())
    }

    /// Closes the files of a journal that will not be written any more.
    pub(crate) fn close(self, disk: &mut dyn Disk) {
        for open in self.files.into_iter().flatten() {
            // There is nothing to be done about an error of close, and nothing was written.
            let _ = disk.run(Step::Close { file: open.file });
        }
    }

    /// The ordinal of the file that the chain hangs on: that of the last commit that counts, or, when the walk counted
    /// none, the newest one before it, or the one where it began.
    fn kept(&self) -> Option<u64> {
        if self.end_ordinal > 0 {
            return Some(self.end_ordinal);
        }
        let below = self.uses.range(..self.first_needed).next_back();
        below.or_else(|| self.uses.first_key_value()).map(|(&ordinal, _)| ordinal)
    }

    /// How many files at the front are there in full length; they are synced by now.
    fn whole_files(&self) -> u32 {
        let whole = |open: &&Option<super::scan::OpenFile>| open.is_some_and(|o| o.len >= self.geometry.file_len);
        self.files.iter().take_while(whole).count() as u32
    }

    /// A file that was begun and counts nothing must not be taken for the end of the chain by a later scan.
    fn wipe_header(&self, disk: &mut dyn Disk, file: FileId) -> Result<(), OpenError> {
        let doing = OpenError::io("starting the journal");
        let block = self.geometry.block;
        let mut zeros = AlignedBuf::with_capacity_and_align(block, block.max(ALIGN));
        zeros.pad_with_zeros_to(block);
        let data = vec![zeros.freeze()];
        disk.run(Step::Write { file, offset: 0, data, durable: true }).map_err(doing)?;
        Ok(())
    }

    /// The files by what may be done with them: those that were used were prepared to their end once.
    fn slots(&self) -> Vec<Slot> {
        let prepared = |slot: u32| {
            let long = self.files[slot as usize].is_some_and(|open| open.len >= self.geometry.file_len);
            let counted = self.counted.values().any(|&(counted, _)| counted == slot);
            counted || (long && self.uses.values().any(|used| used.slot == slot))
        };
        let files = (0u32..).zip(&self.files);
        let state = |(slot, open): (u32, &Option<_>)| match open {
            None => Slot::Missing,
            Some(super::scan::OpenFile { file, .. }) if prepared(slot) => Slot::Ready(*file),
            Some(super::scan::OpenFile { file, .. }) => Slot::Raw(*file),
        };
        files.map(state).collect()
    }
}
