//! One shard's files at a start: its journal and its checkpoint, read and judged.
//!
//! Invariant: what the journal proves acknowledged and does not hold any more is either in the segments or refuses the
//! start, unless the operator accepts the loss.

use super::layout::Layout;
use super::replay::Replay;
use super::saved::Saved;
use super::{Run, StartError, damaged, refuse};
use crate::config::BrokerConfig;
use crate::ids::Ids;
use crate::io::Disk;
use crate::journal::{Damage, EntryHeader, EntryKind, Files, GATHER_BYTES_MAX, Geometry, JournalKind, Recovered};
use crate::log::checkpoint::{self, Checkpoint};
use crate::mesh::{Seat, ShardIndex};
use crate::metadata;
use crate::superblock::Superblock;
use alloc::format;
use alloc::string::{String, ToString};
use core::cmp::Ordering;
use corelog_replication::metadata::MetadataImage;
use corelog_wire::ids::TopicId;

/// A commit gathers no more than this share of a file.
const GATHER_SHARE: u64 = 64;

/// The journal of a shard, open and locked.
pub(super) struct ShardFiles {
    pub(super) seat: Seat,
    pub(super) folder: String,
    pub(super) files: Files,
}

/// What the disk held of a shard.
pub(super) struct RecoveredShard {
    pub(super) seat: Seat,
    pub(super) folder: String,
    /// The journal's end.
    pub(super) journal: Recovered,
    /// The newest checkpoint's generation, 0 without one.
    pub(super) generation: u64,
    /// The first use of a journal file that is needed besides it.
    pub(super) first_ordinal: u64,
    /// What the partitions are restored from.
    pub(super) replay: Replay,
}

/// The shape of a journal in this data directory.
pub(super) fn geometry(
    superblock: &Superblock,
    kind: JournalKind,
    shard: ShardIndex,
    dir: &str,
    config: &BrokerConfig,
) -> Geometry {
    let contents = superblock.contents();
    let (file_len, files_max) = match kind {
        JournalKind::Shard => (contents.journal_file_len, config.journal.files_max),
        JournalKind::Metadata => (contents.metadata_file_len, config.journal.metadata_files_max),
    };
    Geometry {
        block: contents.block as usize,
        file_len,
        files_max,
        depth: crate::journal::DEPTH,
        gather_bytes: GATHER_BYTES_MAX.min((file_len / GATHER_SHARE) as usize),
        kind,
        shard: u32::from(shard.0),
        directory: superblock.directory_mark(),
        dir: dir.to_string(),
    }
}

impl ShardFiles {
    /// Opens and locks the journal of a shard.
    pub(super) fn open(
        disk: &mut dyn Disk,
        superblock: &Superblock,
        layout: Layout,
        seat: Seat,
        config: &BrokerConfig,
        ids: &mut Ids,
    ) -> Result<Self, StartError> {
        let folder = layout.folder(seat.me);
        let geometry = geometry(superblock, JournalKind::Shard, seat.me, &folder, config);
        Ok(Self { seat, files: Files::open(disk, geometry, ids)?, folder })
    }

    /// Reads checkpoint and journal, and refuses what is damaged. There are at least `journal_files` files, as the
    /// superblock says.
    pub(super) fn read(
        mut self,
        run: &mut Run<'_>,
        layout: Layout,
        journal_files: u32,
        image: &MetadataImage,
    ) -> Result<RecoveredShard, StartError> {
        self.files.expect(journal_files);
        let saved = Saved::read(run, &checkpoint::KIND, &self.folder)?;
        if layout.generation > 0 {
            saved.require()?;
        }
        let checkpoint = match &saved.copy {
            Some(copy) => Checkpoint::from_copy(copy).map_err(refuse)?,
            None => Checkpoint::default(),
        };
        let mut replay = Replay::default();
        let journal = self.files.scan(run.disk, saved.first_ordinal, &mut |found| {
            replay.take(found.header, found.payload, found.ordinal);
        })?;
        saved.check(&journal, run)?;
        // After a loss was accepted, a later incarnation may have applied less than one before.
        let applied = match saved.incarnation.cmp(&journal.end_incarnation) {
            Ordering::Less => journal.metadata_offset,
            Ordering::Equal => journal.metadata_offset.max(checkpoint.metadata_offset),
            Ordering::Greater => checkpoint.metadata_offset,
        };
        check_metadata_offset(&self.folder, applied, image, run)?;
        judge_damage(&journal.damage, &checkpoint, image, run)?;
        run.report.entries += replay.entries;
        replay.take_checkpoint(checkpoint);
        Ok(RecoveredShard {
            seat: self.seat,
            folder: self.folder,
            journal,
            generation: saved.generation,
            first_ordinal: saved.first_ordinal,
            replay,
        })
    }
}

fn check_metadata_offset(
    folder: &str,
    applied: u64,
    image: &MetadataImage,
    run: &mut Run<'_>,
) -> Result<(), StartError> {
    if applied <= image.offset().0 {
        return Ok(());
    }
    let line = format!(
        "the metadata log ends at {}, but {folder} had applied it up to {applied}: metadata that was acknowledged is lost",
        image.offset().0
    );
    if run.options.accept_loss {
        run.report.warn(line);
        return Ok(());
    }
    Err(damaged(format!(
        "{line}; restore the folder {} from a copy, or go on without: --accept-loss",
        metadata::FOLDER
    )))
}

/// Damage to acknowledged entries refuses the start, unless the segments hold them or nobody needs them any more.
fn judge_damage(
    damage: &[Damage],
    checkpoint: &Checkpoint,
    image: &MetadataImage,
    run: &mut Run<'_>,
) -> Result<(), StartError> {
    let elsewhere = |entry: &EntryHeader| {
        let saved = checkpoint.partitions.iter().find(|p| p.topic_id == entry.topic_id && p.index == entry.partition);
        let written_back = saved.is_some_and(|p| match entry.kind {
            EntryKind::LogStart => p.log_start >= entry.base_offset,
            EntryKind::Replaced => p.cleanings >= entry.last_offset.unsigned_abs(),
            _ => p.flushed_offset > entry.last_offset,
        });
        written_back || image.topic_by_id(TopicId(entry.topic_id)).is_none()
    };
    for d in damage {
        if d.complete && d.lost.iter().all(elsewhere) {
            run.report.warn(format!("the journal is damaged, and nothing is lost by it: {d}"));
            continue;
        }
        if !run.options.accept_loss {
            return Err(damaged(format!(
                "the journal is damaged and acknowledged records are lost: {d}; restore the data directory from a copy, or go \
                 on without them: --accept-loss"
            )));
        }
        run.report.warn(format!("acknowledged records are lost: {d}"));
    }
    Ok(())
}
