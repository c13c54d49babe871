//! From what the disk holds to the running shards of a node: superblock, metadata log, then each shard's checkpoint and
//! journal.
//!
//! Reads checkpoints and journals, never the segments, so the cost is bounded by the journals. Everything here may be cut
//! at any instant and begun again: nothing is reused or removed that a second attempt would need.
//!
//! Invariants: what a journal proves acknowledged and does not hold any more is either in the segments or refuses the
//! start (unless the operator accepts the loss); the metadata log is never behind what a shard had applied.

mod folders;
mod layout;
mod metadata_log;
mod relayout;
mod replay;
mod saved;
mod shard_files;

use crate::config::BrokerConfig;
use crate::front::{Front, Identity};
use crate::ids::Ids;
use crate::io::{Action, Disk, IoError, LogLevel, Now, Step};
use crate::journal::{Files, Journal, JournalKind, OpenError};
use crate::log::cleaner::replacement;
use crate::log::write_back::{TOPICS, WriteBack};
use crate::log::{LogLimits, Logs};
use crate::log::{producer_snapshot, segment};
use crate::mesh::{FIRST, SHARDS_MAX, Seat, ShardIndex};
use crate::metadata::{self, Metadata};
use crate::shard::{Shard, StartError, StartErrorKind, create_partitions, set_dynamic, topic_config};
use crate::superblock::{NewDirectory, Superblock};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_replication::ids::{BrokerId, PartitionIndex};
use corelog_replication::metadata::MetadataImage;
use corelog_wire::ids::TopicId;
use folders::Unclaimed;
use layout::Layout;
use shard_files::{RecoveredShard, ShardFiles, geometry};

/// How far the seeds of two shards lie apart.
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a start needs besides the disk and the configuration.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The time.
    pub now: Now,
    /// Randomness for everything that the shards draw.
    pub seed: u64,
    /// The cluster id of a data directory that does not exist yet, drawn at random.
    pub cluster_id: [u8; 16],
    /// Its directory id, drawn at random.
    pub directory_id: [u8; 16],
    /// Where clients reach this broker.
    pub advertised: (String, u16),
    /// How many shards there are to be, from 1 to [`SHARDS_MAX`]; [`BrokerConfig::check_shards`] allows as many.
    pub shards: u32,
    /// Go on although acknowledged data is damaged.
    pub accept_loss: bool,
}

/// What a start has to say to the operator.
#[derive(Debug, Default)]
pub struct StartReport {
    /// Lines in the order in which they came up.
    pub lines: Vec<(LogLevel, String)>,
    /// Entries of the journals that were replayed.
    pub entries: u64,
    /// Bytes of records that the journals held and the segments did not.
    pub replayed_bytes: u64,
    /// Whether the last stop was clean (true for a new directory).
    pub was_clean: bool,
    /// Whether the data directory was created.
    pub is_new: bool,
    /// The cluster's id, as clients see it.
    pub cluster_id: String,
}

/// What was recovered, before shards are made of it.
pub struct Parts {
    /// The logs of each shard, in the order of the seats.
    pub logs: Vec<(Seat, Logs)>,
    /// The metadata log of the node, whose files belong to the first shard.
    pub metadata: Metadata,
    /// The superblock, which the first shard writes.
    pub superblock: Superblock,
    /// What is in force for each of the shards.
    pub config: BrokerConfig,
}

/// Starts the shards of a node from its data directory, creating it when there is none. They come in the order of their
/// seats. A file that is open for a shard has an id of that shard.
///
/// # Errors
/// What is wrong, where, and what to do.
pub fn start(
    disk: &mut dyn Disk,
    config: BrokerConfig,
    options: &StartOptions,
) -> Result<(Vec<Shard>, StartReport), StartError> {
    let (parts, report) = recover(disk, config, options)?;
    Ok((assemble(parts, options), report))
}

/// Makes shards of what was recovered: the first has the metadata log and the superblock, the others follow it.
fn assemble(parts: Parts, options: &StartOptions) -> Vec<Shard> {
    let Parts { logs, metadata, superblock, config } = parts;
    let cluster_id = TopicId(superblock.contents().cluster_id).to_string();
    let image = metadata.image().clone();
    let mut first = Some((metadata, superblock));
    let shard = |(seat, logs): (Seat, Logs)| {
        let identity = Identity { cluster_id: cluster_id.clone(), node_id: config.node_id };
        let seed = options.seed ^ u64::from(seat.me.0).wrapping_mul(SEED_STEP);
        let front = Front::new(&config, seed, identity);
        let (metadata, superblock) = match first.take() {
            Some((metadata, superblock)) => (metadata, Some(superblock)),
            None => (Metadata::follower(image.clone()), None),
        };
        Shard::new(seat, config.clone(), logs, metadata, front, superblock)
    };
    logs.into_iter().map(shard).collect()
}

/// Recovers what [`start`] makes shards of.
///
/// # Errors
/// As [`start`].
pub fn recover(
    disk: &mut dyn Disk,
    mut config: BrokerConfig,
    options: &StartOptions,
) -> Result<(Parts, StartReport), StartError> {
    let mut ids: Vec<Ids> = Seat::all(options.shards).map(|seat| Ids::of_shard(seat.me)).collect();
    let mut run = Run { disk, options, ids: Ids::of_shard(NOBODY), report: StartReport::default() };
    let superblock = run.open_superblock(&config)?;
    let contents = *superblock.contents();
    let layout = Layout::of(&contents)?;
    let lens = (contents.journal_file_len, contents.metadata_file_len);
    if lens != (config.journal.file_bytes, config.journal.metadata_file_bytes) {
        config.adopt_journal_files(lens.0, lens.1).map_err(refuse)?;
    }
    let mut config = config.for_shard(options.shards);

    let shape = geometry(&superblock, JournalKind::Metadata, FIRST, metadata::FOLDER, &config);
    let metadata_files = Files::open(run.disk, shape, &mut ids[0])?;
    let mut files = Vec::new();
    let changes = layout.shards != options.shards;
    for seat in layout.seats() {
        // What is only read from is closed again.
        let ids = if changes { &mut run.ids } else { &mut ids[usize::from(seat.me.0)] };
        files.push(ShardFiles::open(run.disk, &superblock, layout, seat, &config, ids)?);
    }
    // Only now is it certain that nobody else writes: what the superblock says is read again.
    let lines = core::mem::take(&mut run.report.lines);
    let mut superblock = run.open_superblock(&config)?;
    run.report.lines = lines;
    if Layout::of(superblock.contents())? != layout {
        let message = String::from("another process has just changed the number of shards: start again");
        return Err(StartError { message, kind: StartErrorKind::Locked });
    }
    let was_clean = superblock.begin_incarnation(run.disk, &mut run.ids).map_err(refuse)?;
    run.report.was_clean = was_clean || run.report.is_new;
    run.remove_other_layouts(layout)?;
    let mut metadata = run.recover_metadata(metadata_files, &config, &superblock, &mut ids[0])?;
    let node = BrokerId(config.node_id);
    let refused = set_dynamic(&mut config, metadata.image(), node);
    refused.into_iter().for_each(|line| run.report.warn(line));

    let mut layout = layout;
    if changes {
        layout = run.change_layout(files, layout, &mut superblock, metadata.image(), &config)?;
        files = Vec::new();
        for (seat, ids) in layout.seats().zip(&mut ids) {
            files.push(ShardFiles::open(run.disk, &superblock, layout, seat, &config, ids)?);
        }
    }
    let mut logs = Vec::new();
    for (files, ids) in files.into_iter().zip(ids) {
        let shard = files.read(&mut run, layout, superblock.contents().journal_files, metadata.image())?;
        logs.push(run.restore(shard, &config, metadata.image(), &superblock, ids)?);
    }
    let journal_files = logs.iter().map(|(_, logs)| logs.journal_files()).min().unwrap_or(0);
    superblock.note_files(run.disk, &mut run.ids, journal_files, metadata.journal_files()).map_err(refuse)?;
    run.clear_folders(&mut logs)?;
    metadata.take_applied();
    run.report.cluster_id = TopicId(contents.cluster_id).to_string();
    Ok((Parts { logs, metadata, superblock, config }, run.report))
}

/// For whom files are opened that are closed before the start ends.
const NOBODY: ShardIndex = ShardIndex(u16::MAX);

const _: () = assert!(SHARDS_MAX < NOBODY.0 as u32, "no shard has its ids");

/// A start under way: what all of its parts need.
struct Run<'a> {
    disk: &'a mut dyn Disk,
    options: &'a StartOptions,
    ids: Ids,
    report: StartReport,
}

impl Run<'_> {
    fn open_superblock(&mut self, config: &BrokerConfig) -> Result<Superblock, StartError> {
        let superblock = match Superblock::read(self.disk, &mut self.ids).map_err(refuse)? {
            Some(superblock) => superblock,
            None => {
                self.report.is_new = true;
                let new = NewDirectory {
                    node_id: config.node_id,
                    shards: self.options.shards,
                    journal_file_len: config.journal.file_bytes,
                    metadata_file_len: config.journal.metadata_file_bytes,
                    cluster_id: self.options.cluster_id,
                    directory_id: self.options.directory_id,
                };
                Superblock::create(self.disk, new, &mut self.ids).map_err(refuse)?
            }
        };
        superblock.check_node_id(config.node_id).map_err(refuse)?;
        superblock.repaired.iter().for_each(|what| self.report.warn(what.clone()));
        for folder in [TOPICS, metadata::FOLDER] {
            self.disk.run(Step::CreateDir { path: folder.to_string() }).map_err(|e| refuse(words(&e)))?;
        }
        self.disk.run(Step::SyncDir { path: String::new() }).map_err(|e| refuse(words(&e)))?;
        Ok(superblock)
    }

    /// Starts the journal of a shard that was recovered, and gives its partitions what they had.
    fn restore(
        &mut self,
        mut shard: RecoveredShard,
        config: &BrokerConfig,
        image: &MetadataImage,
        superblock: &Superblock,
        mut ids: Ids,
    ) -> Result<(Seat, Logs), StartError> {
        let contents = superblock.contents();
        let mut journal = Journal::start(self.disk, shard.journal, contents.incarnation, &mut ids)?;
        journal.saved(shard.generation);
        let seed = self.options.seed ^ u64::from(shard.seat.me.0).wrapping_mul(SEED_STEP);
        let limits = log_limits(config, seed);
        let write_back =
            WriteBack::new(shard.folder, contents.incarnation, shard.generation, shard.first_ordinal, &limits);
        let mut logs = Logs::new(contents.block as usize, ids, journal, limits, write_back);
        logs.set_metadata_offset(image.offset().0);
        let mut actions = Vec::new();
        for topic in image.topics() {
            // What no longer fits is reported once for all shards.
            let mut ignored = Vec::new();
            let told = if shard.seat.is_first() { &mut actions } else { &mut ignored };
            let topic_config = topic_config(config, topic, told);
            create_partitions(&mut logs, shard.seat, topic, PartitionIndex(0), BrokerId(config.node_id), &topic_config);
        }
        for action in actions {
            if let Action::Log { level, message } = action {
                self.report.lines.push((level, message));
            }
        }
        let all: Vec<_> = logs.iter().map(|p| p.id).collect();
        for id in all {
            shard.replay.restore(logs.partition_mut(id), self)?;
            logs.account_recovered(id);
        }
        Ok((shard.seat, logs))
    }

    /// Removes what deleted topics left behind, and notes which partitions have a folder.
    fn clear_folders(&mut self, shards: &mut [(Seat, Logs)]) -> Result<(), StartError> {
        let mut unclaimed = Unclaimed::list(self.disk)?;
        for (_, logs) in shards.iter_mut() {
            let all: Vec<_> = logs.iter().map(|p| p.id).collect();
            for id in all {
                unclaimed.claim(self.disk, logs.partition_mut(id), &mut self.ids)?;
            }
        }
        unclaimed.remove(self.disk)?;
        for (_, logs) in shards {
            for p in
                logs.iter().filter(|p| p.has_folder && (p.config.cleanup_policy.compact || p.cleaning.cleanings > 0))
            {
                let entries = self.disk.list(&segment::folder(&p.topic, p.index)).map_err(|e| refuse(words(&e)))?;
                let steps = replacement::steps_at_start(p, entries.iter().map(|entry| entry.name.as_str()));
                run_chain(self.disk, steps).map_err(|e| refuse(words(&e)))?;
            }
            for path in logs.iter().filter_map(producer_snapshot::left_by_stop) {
                // Should a power cut undo it, a file remains that is true and that nobody needs.
                self.disk.run(Step::RemoveFile { path }).map_err(|e| refuse(words(&e)))?;
            }
            logs.trim_after_start();
        }
        Ok(())
    }
}

fn log_limits(config: &BrokerConfig, seed: u64) -> LogLimits {
    LogLimits {
        tail_bytes: config.memory.tail as usize,
        read_bytes: config.memory.reads as usize,
        retention_check_ms: config.retention_check_interval_ms,
        producer_expiration_ms: config.producer_id_expiration_ms,
        cleaner: config.cleaner,
        cleaner_bytes: config.memory.cleaner,
        seed,
        reserve_bytes: 2 * config.journal.file_bytes,
    }
}

impl StartReport {
    fn warn(&mut self, line: String) {
        self.lines.push((LogLevel::Warn, line));
    }
}

fn damaged(message: String) -> StartError {
    StartError { message, kind: StartErrorKind::Damaged }
}

fn refuse(message: impl ToString) -> StartError {
    StartError { message: message.to_string(), kind: StartErrorKind::Refused }
}

fn words(error: &IoError) -> String {
    format!("{} failed (errno {})", error.what, error.errno)
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        let locked = matches!(error, OpenError::Locked { .. });
        let kind = if locked { StartErrorKind::Locked } else { StartErrorKind::Refused };
        let message = match error {
            OpenError::Locked { path } => format!(
                "the data directory is in use by another process, which holds {path}: stop it, or choose another --data-dir"
            ),
            other => other.to_string(),
        };
        Self { message, kind }
    }
}

/// Runs a chain of steps to its end or first error.
///
/// # Errors
/// The first one, with its step.
pub fn run_chain(disk: &mut dyn Disk, steps: Vec<Step>) -> Result<Vec<Bytes>, IoError> {
    let mut read = Vec::new();
    for (step, what) in steps.into_iter().enumerate() {
        let is_read = matches!(what, Step::Read { .. });
        let bytes = disk.run(what).map_err(|e| IoError { step, ..e })?;
        if is_read {
            read.push(bytes);
        }
    }
    Ok(read)
}
