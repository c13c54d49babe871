//! From what the disk holds to a running shard: superblock, metadata log, checkpoint, journal, in this order.
//!
//! Reads checkpoint and journal, never the segments, so the cost is bounded by the journal. Everything here may be cut
//! at any instant and begun again: nothing is reused or removed that a second attempt would need.
//!
//! Invariants: what the journal proves acknowledged and does not hold any more is either in the segments or refuses the
//! start (unless the operator accepts the loss); the metadata log is never behind what a shard had applied.

use crate::config::BrokerConfig;
use crate::copies::{Copy, Kind, read_file};
use crate::front::{Front, Identity};
use crate::ids::Ids;
use crate::io::{Action, Disk, LogLevel, Now, OpId, Step};
use crate::journal::{
    Damage, EntryHeader, EntryKind, Files, GATHER_BYTES_MAX, Geometry, Journal, JournalKind, OpenError, Recovered,
};
use crate::log::checkpoint::{self, Checkpoint, PartitionCheckpoint};
use crate::log::partition::{NewBatch, Partition, Place};
use crate::log::producer_snapshot;
use crate::log::producer_state::ProducerBatch;
use crate::log::tail::ChunkPool;
use crate::log::write_back::{TOPICS, WriteBack, doomed_folder};
use crate::log::{AckPoint, LogLimits, Logs, segment};
use crate::metadata::{self, Metadata, RecoveredLog};
use crate::shard::{Shard, StartError, StartErrorKind, create_partitions, set_dynamic, topic_config};
use crate::superblock::{NewDirectory, Superblock};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Ordering;
use corelog_replication::controller;
use corelog_replication::ids::{BrokerId, DirectoryId, Incarnation};
use corelog_replication::metadata::{BrokerImage, MetadataImage};
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{RecordBatch, find_max_timestamp};

/// The folder of the one shard.
const SHARD_FOLDER: &str = "shard-0";

/// A commit gathers no more than this share of a file.
const GATHER_SHARE: u64 = 64;

/// How far a recovered batch is unfolded to find its largest timestamp.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// What a start needs besides the disk and the configuration.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The time.
    pub now: Now,
    /// Randomness for everything that this shard draws.
    pub seed: u64,
    /// The cluster id of a data directory that does not exist yet, drawn at random.
    pub cluster_id: [u8; 16],
    /// Its directory id, drawn at random.
    pub directory_id: [u8; 16],
    /// Where clients reach this broker.
    pub advertised: (String, u16),
    /// Go on although acknowledged data is damaged.
    pub accept_loss: bool,
}

/// What a start has to say to the operator.
#[derive(Debug, Default)]
pub struct StartReport {
    /// Lines in the order in which they came up.
    pub lines: Vec<(LogLevel, String)>,
    /// Entries of the journal that were replayed.
    pub entries: u64,
    /// Bytes of records that the journal held and the segments did not.
    pub replayed_bytes: u64,
    /// Whether the last stop was clean (true for a new directory).
    pub was_clean: bool,
    /// Whether the data directory was created.
    pub is_new: bool,
    /// The cluster's id, as clients see it.
    pub cluster_id: String,
}

/// Starts a shard from its data directory, creating it when there is none.
///
/// # Errors
/// What is wrong, where, and what to do.
pub fn start(
    disk: &mut dyn Disk,
    mut config: BrokerConfig,
    options: &StartOptions,
) -> Result<(Shard, StartReport), StartError> {
    let mut ids = Ids::new();
    let mut report = StartReport::default();
    let node = BrokerId(config.node_id);
    let superblock = open_superblock(disk, &config, options, &mut ids, &mut report)?;
    let contents = *superblock.contents();
    let lens = (contents.journal_file_len, contents.metadata_file_len);
    if lens != (config.journal.file_bytes, config.journal.metadata_file_bytes) {
        config.adopt_journal_files(lens.0, lens.1).map_err(refuse)?;
    }
    let block = contents.block as usize;
    let geometry = |kind, dir: &str, file_len, files_max| Geometry {
        block,
        file_len,
        files_max,
        depth: crate::journal::DEPTH,
        gather_bytes: GATHER_BYTES_MAX.min((file_len / GATHER_SHARE) as usize),
        kind,
        shard: 0,
        directory: superblock.directory_mark(),
        dir: dir.to_string(),
    };
    let shape = config.journal;
    let (shard_len, metadata_len) = (contents.journal_file_len, contents.metadata_file_len);
    let mut metadata_files = open_files(
        disk,
        geometry(JournalKind::Metadata, metadata::FOLDER, metadata_len, shape.metadata_files_max),
        &mut ids,
    )?;
    let mut shard_files =
        open_files(disk, geometry(JournalKind::Shard, SHARD_FOLDER, shard_len, shape.files_max), &mut ids)?;
    // Only now is it certain that nobody else writes: what the superblock says is read again.
    let mut superblock = open_superblock(disk, &config, options, &mut ids, &mut StartReport::default())?;
    report.was_clean = superblock.begin_incarnation(disk, &mut ids).map_err(refuse)? || report.is_new;
    let incarnation = superblock.contents().incarnation;
    metadata_files.expect(superblock.contents().metadata_files);
    shard_files.expect(superblock.contents().journal_files);

    let mut metadata =
        recover_metadata(disk, metadata_files, node, incarnation, block, options, &mut ids, &mut report)?;
    let (host, port) = options.advertised.clone();
    let broker = BrokerImage {
        id: node,
        incarnation: Incarnation(incarnation),
        host,
        port,
        directory_id: DirectoryId(contents.directory_id),
    };
    drive_metadata(disk, &mut metadata, options.now, &mut ids)?;
    metadata
        .propose(&controller::start_broker(&broker, report.was_clean))
        .map_err(|e| refuse(format!("the broker cannot be registered: {e}")))?;
    drive_metadata(disk, &mut metadata, options.now, &mut ids)?;

    let (copy, complaints) = read_copies(disk, &checkpoint::KIND, SHARD_FOLDER, &mut ids)?;
    let (generation, first_ordinal) = copy.as_ref().map_or((0, 1), |c| (c.generation, c.first_ordinal.max(1)));
    let checkpoint_incarnation = copy.as_ref().map_or(0, |c| c.incarnation);
    let checkpoint = match copy {
        Some(copy) => Checkpoint::from_bytes(&copy.content).map_err(refuse)?,
        None => Checkpoint::default(),
    };
    let mut replay = Replay::default();
    let recovered = shard_files.scan(disk, first_ordinal, &mut |found| {
        replay.take(found.header, found.payload, found.ordinal);
    })?;
    check_copies(&checkpoint::KIND, SHARD_FOLDER, (generation, first_ordinal), &complaints, &recovered)?;
    complaints.into_iter().for_each(|c| report.warn(c));
    // After a loss was accepted, a later incarnation may have applied less than one before.
    let applied = match checkpoint_incarnation.cmp(&recovered.end_incarnation) {
        Ordering::Less => recovered.metadata_offset,
        Ordering::Equal => recovered.metadata_offset.max(checkpoint.metadata_offset),
        Ordering::Greater => checkpoint.metadata_offset,
    };
    check_metadata_offset(applied, metadata.image(), options.accept_loss, &mut report)?;
    judge_damage(&recovered.damage, &checkpoint, metadata.image(), options.accept_loss, &mut report)?;

    let mut journal = Journal::start(disk, recovered, incarnation, &mut ids)?;
    journal.saved(generation);
    superblock.note_files(disk, &mut ids, journal.files(), metadata.journal_files()).map_err(refuse)?;
    set_dynamic(&mut config, metadata.image(), node).into_iter().for_each(|line| report.warn(line));
    let limits = log_limits(&config);
    let write_back = WriteBack::new(SHARD_FOLDER.to_string(), incarnation, generation, first_ordinal, &limits);
    let mut logs = Logs::new(block, ids, journal, limits, write_back);
    logs.set_metadata_offset(metadata.image().offset().0);
    restore(&mut logs, &config, metadata.image(), node, &checkpoint, replay, options, &mut report)?;
    clear_folders(disk, &mut logs)?;
    metadata.take_applied();

    let cluster_id = TopicId(contents.cluster_id).to_string();
    report.cluster_id = cluster_id.clone();
    let front = Front::new(&config, options.seed, Identity { cluster_id, node_id: config.node_id });
    Ok((Shard::new(config, logs, metadata, front, superblock), report))
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

fn open_superblock(
    disk: &mut dyn Disk,
    config: &BrokerConfig,
    options: &StartOptions,
    ids: &mut Ids,
    report: &mut StartReport,
) -> Result<Superblock, StartError> {
    let superblock = match Superblock::read(disk, ids).map_err(refuse)? {
        Some(superblock) => superblock,
        None => {
            report.is_new = true;
            let new = NewDirectory {
                node_id: config.node_id,
                shards: 1,
                journal_file_len: config.journal.file_bytes,
                metadata_file_len: config.journal.metadata_file_bytes,
                cluster_id: options.cluster_id,
                directory_id: options.directory_id,
            };
            Superblock::create(disk, new, ids).map_err(refuse)?
        }
    };
    superblock.check_node_id(config.node_id).map_err(refuse)?;
    superblock.repaired.iter().for_each(|what| report.warn(what.clone()));
    for folder in [TOPICS, metadata::FOLDER, SHARD_FOLDER] {
        disk.run(Step::CreateDir { path: folder.to_string() }).map_err(|e| refuse(words(&e)))?;
    }
    disk.run(Step::SyncDir { path: String::new() }).map_err(|e| refuse(words(&e)))?;
    Ok(superblock)
}

fn words(error: &crate::io::IoError) -> String {
    format!("{} failed (errno {})", error.what, error.errno)
}

fn open_files(disk: &mut dyn Disk, geometry: Geometry, ids: &mut Ids) -> Result<Files, StartError> {
    Files::open(disk, geometry, ids).map_err(StartError::from)
}

#[expect(clippy::too_many_arguments, reason = "the parts of a start that are already there")]
fn recover_metadata(
    disk: &mut dyn Disk,
    files: Files,
    node: BrokerId,
    incarnation: u64,
    block: usize,
    options: &StartOptions,
    ids: &mut Ids,
    report: &mut StartReport,
) -> Result<Metadata, StartError> {
    let (copy, complaints) = read_copies(disk, &metadata::SNAPSHOT, metadata::FOLDER, ids)?;
    let (generation, first_ordinal) = copy.as_ref().map_or((0, 1), |c| (c.generation, c.first_ordinal.max(1)));
    let mut log = RecoveredLog::default();
    let mut refused = None;
    let recovered = files.scan(disk, first_ordinal, &mut |found| {
        if let Err(what) = log.take(found.header.kind, &found.payload) {
            refused.get_or_insert(what);
        }
    })?;
    check_copies(&metadata::SNAPSHOT, metadata::FOLDER, (generation, first_ordinal), &complaints, &recovered)?;
    complaints.into_iter().for_each(|c| report.warn(c));
    if let Some(what) = refused {
        return Err(refuse(format!("the metadata log cannot be read: {what}")));
    }
    for damage in &recovered.damage {
        let line = format!("the metadata log is damaged: {damage}");
        if !options.accept_loss {
            return Err(damaged(format!(
                "{line}; restore it from a copy, or go on without what is lost: --accept-loss"
            )));
        }
        report.warn(line);
    }
    let journal = Journal::start(disk, recovered, incarnation, ids)?;
    let mut lost = Vec::new();
    let loss = options.accept_loss.then_some(&mut lost);
    let metadata =
        Metadata::recover(node, options.seed, copy, log, journal, incarnation, block, loss).map_err(|what| {
            damaged(format!(
                "{what}; restore the folder {} from a copy, or go on without: --accept-loss",
                metadata::FOLDER
            ))
        })?;
    lost.into_iter().for_each(|line| report.warn(line));
    Ok(metadata)
}

/// What to do about a copy without which the journal is not enough. There is no loss to accept: what the journal lacks are
/// all topics, or the ends of all segments, and a start would remove or write over what it cannot tell from leavings.
const COPY_CURE: &str =
    "restore the data directory from a copy (the start cannot go on without this file: --accept-loss does not help)";

/// Reads a checkpoint or snapshot; also says what is wrong with a copy that does not count.
fn read_copies(
    disk: &mut dyn Disk,
    kind: &Kind,
    folder: &str,
    ids: &mut Ids,
) -> Result<(Option<Copy>, Vec<String>), StartError> {
    kind.read(disk, folder, ids).map_err(|what| refuse(format!("{what}; {COPY_CURE}")))
}

/// Refuses a copy that is older than one that was there when journal files were used again, unless the journal still has
/// all that the older one needs.
fn check_copies(
    kind: &Kind,
    folder: &str,
    (generation, first_ordinal): (u64, u64),
    complaints: &[String],
    recovered: &Recovered,
) -> Result<(), StartError> {
    let newest = u64::from(recovered.copy_generation);
    let whole = recovered.holds(first_ordinal) && recovered.damage.is_empty();
    if generation >= newest || whole {
        return Ok(());
    }
    let missing = kind.path(folder, newest);
    let older = match generation {
        0 => format!("neither is {}", kind.path(folder, newest + 1)),
        _ => format!("for the older {} parts of the journal are missing", kind.path(folder, generation)),
    };
    let details = complaints.iter().fold(String::new(), |words, what| format!("{words}{what}; "));
    Err(refuse(format!("{details}{missing} is not there as it was written, and {older}; {COPY_CURE}")))
}

/// Runs the metadata log's own actions until it has nothing more to do.
fn drive_metadata(disk: &mut dyn Disk, metadata: &mut Metadata, now: Now, ids: &mut Ids) -> Result<(), StartError> {
    loop {
        let mut actions = Vec::new();
        metadata.turn(now, ids, &mut actions);
        let mut completions: Vec<(OpId, Result<Vec<Bytes>, crate::io::IoError>)> = Vec::new();
        for action in actions {
            if let Action::Io { op, steps } = action {
                completions.push((op, run_chain(disk, steps)));
            }
        }
        if completions.is_empty() && metadata.is_caught_up() && metadata.is_quiet() {
            return Ok(());
        }
        assert!(!completions.is_empty(), "a metadata log of one node moves on by its own writes alone");
        for (op, result) in completions {
            let mut more = Vec::new();
            metadata.completed(op, &result, ids, &mut more).map_err(refuse)?;
            for action in more {
                if let Action::Io { op, steps } = action {
                    let result = run_chain(disk, steps);
                    metadata.completed(op, &result, ids, &mut Vec::new()).map_err(refuse)?;
                }
            }
        }
    }
}

/// Runs a chain of steps to its end or first error.
pub fn run_chain(disk: &mut dyn Disk, steps: Vec<Step>) -> Result<Vec<Bytes>, crate::io::IoError> {
    let mut read = Vec::new();
    for (step, what) in steps.into_iter().enumerate() {
        let is_read = matches!(what, Step::Read { .. });
        let bytes = disk.run(what).map_err(|e| crate::io::IoError { step, ..e })?;
        if is_read {
            read.push(bytes);
        }
    }
    Ok(read)
}

fn check_metadata_offset(
    applied: u64,
    image: &MetadataImage,
    accept_loss: bool,
    report: &mut StartReport,
) -> Result<(), StartError> {
    if applied <= image.offset().0 {
        return Ok(());
    }
    let line = format!(
        "the metadata log ends at {}, but the shard had applied it up to {applied}: metadata that was acknowledged is lost",
        image.offset().0
    );
    if accept_loss {
        report.warn(line);
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
    accept_loss: bool,
    report: &mut StartReport,
) -> Result<(), StartError> {
    let elsewhere = |entry: &EntryHeader| {
        let saved = checkpoint.partitions.iter().find(|p| p.topic_id == entry.topic_id && p.index == entry.partition);
        let written_back = saved.is_some_and(|p| match entry.kind {
            EntryKind::LogStart => p.log_start >= entry.base_offset,
            _ => p.flushed_offset > entry.last_offset,
        });
        written_back || image.topic_by_id(TopicId(entry.topic_id)).is_none()
    };
    for d in damage {
        if d.complete && d.lost.iter().all(elsewhere) {
            report.warn(format!("the journal is damaged, and nothing is lost by it: {d}"));
            continue;
        }
        if !accept_loss {
            return Err(damaged(format!(
                "the journal is damaged and acknowledged records are lost: {d}; restore the data directory from a copy, or go \
                 on without them: --accept-loss"
            )));
        }
        report.warn(format!("acknowledged records are lost: {d}"));
    }
    Ok(())
}

fn log_limits(config: &BrokerConfig) -> LogLimits {
    LogLimits {
        tail_bytes: config.memory.tail as usize,
        read_bytes: config.memory.reads as usize,
        retention_check_ms: config.retention_check_interval_ms,
        producer_expiration_ms: config.producer_id_expiration_ms,
        reserve_bytes: 2 * config.journal.file_bytes,
    }
}

struct ReplayEntry {
    header: EntryHeader,
    payload: Bytes,
    ordinal: u64,
}

/// What the journal holds of each partition, by offset: a carried batch is older than what stands before it.
#[derive(Default)]
struct Replay {
    records: BTreeMap<(TopicId, i32), BTreeMap<i64, ReplayEntry>>,
    log_starts: BTreeMap<(TopicId, i32), i64>,
    entries: u64,
}

impl Replay {
    fn take(&mut self, header: &EntryHeader, payload: Bytes, ordinal: u64) {
        self.entries += 1;
        let key = (TopicId(header.topic_id), header.partition);
        match header.kind {
            EntryKind::Records | EntryKind::CarriedRecords => {
                let entry = ReplayEntry { header: *header, payload, ordinal };
                self.records.entry(key).or_default().insert(header.base_offset, entry);
            }
            EntryKind::LogStart => {
                let log_start = self.log_starts.entry(key).or_insert(0);
                *log_start = (*log_start).max(header.base_offset);
            }
            EntryKind::RaftEntries | EntryKind::RaftHardState => {}
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "everything that was recovered comes together here")]
fn restore(
    logs: &mut Logs,
    config: &BrokerConfig,
    image: &MetadataImage,
    node: BrokerId,
    checkpoint: &Checkpoint,
    mut replay: Replay,
    options: &StartOptions,
    report: &mut StartReport,
) -> Result<(), StartError> {
    report.entries = replay.entries;
    let mut actions = Vec::new();
    for topic in image.topics() {
        let topic_config = topic_config(config, topic, &mut actions);
        create_partitions(logs, topic, node, &topic_config);
    }
    for action in actions {
        if let Action::Log { level, message } = action {
            report.lines.push((level, message));
        }
    }
    let saved: BTreeMap<(TopicId, i32), &PartitionCheckpoint> =
        checkpoint.partitions.iter().map(|p| ((TopicId(p.topic_id), p.index), p)).collect();
    let all: Vec<_> = logs.iter().map(|p| (p.id, (p.topic_id, p.index))).collect();
    for (id, key) in all {
        let records = replay.records.remove(&key).unwrap_or_default();
        let log_start = replay.log_starts.remove(&key).unwrap_or(0);
        let partition = logs.partition_mut(id);
        if let Some(saved) = saved.get(&key) {
            saved.restore(partition);
        }
        report.replayed_bytes += replay_partition(partition, records, log_start, options, report)?;
        logs.account_recovered(id);
    }
    Ok(())
}

fn replay_partition(
    partition: &mut Partition,
    records: BTreeMap<i64, ReplayEntry>,
    log_start: i64,
    options: &StartOptions,
    report: &mut StartReport,
) -> Result<u64, StartError> {
    let mut bytes = 0;
    let log_start = log_start.max(partition.log_start);
    for (base_offset, entry) in records {
        if base_offset < partition.log_end {
            continue;
        }
        if base_offset > partition.log_end {
            let lost = format!(
                "{}-{}: offsets {} to {}",
                partition.topic,
                partition.index,
                partition.log_end,
                base_offset - 1
            );
            if log_start < base_offset {
                if !options.accept_loss {
                    return Err(damaged(format!(
                        "acknowledged records are missing in the journal, {lost}; restore the data directory from a copy, or go on \
                         without them: --accept-loss"
                    )));
                }
                report.warn(format!("acknowledged records are lost, {lost}"));
            }
            partition.restart_at(base_offset, options.now.wall_ms);
        }
        replay_batch(partition, &entry, options.now.wall_ms).map_err(|what| {
            refuse(format!(
                "{}-{} offset {base_offset}: the journal holds no valid batch: {what}",
                partition.topic, partition.index
            ))
        })?;
        bytes += entry.payload.len() as u64;
    }
    partition.high_watermark = partition.log_end;
    partition.log_start = log_start.min(partition.log_end);
    partition.epochs.drop_before(partition.log_start);
    Ok(bytes)
}

fn replay_batch(partition: &mut Partition, entry: &ReplayEntry, now_ms: i64) -> Result<(), String> {
    let header = &entry.header;
    let (batch, rest) = RecordBatch::split_from(&entry.payload).map_err(|e| e.to_string())?;
    if !rest.is_empty() || batch.base_offset() != header.base_offset || batch.last_offset() != header.last_offset {
        return Err(String::from("its offsets differ from its entry's"));
    }
    if header.segment_base_offset != partition.active().base_offset && partition.active().len > 0 {
        partition.roll(now_ms);
    }
    let largest = find_max_timestamp(&batch, DECOMPRESSED_BYTES_MAX).ok().flatten();
    let delta = largest.map_or(batch.last_offset_delta(), |(offset, _)| (offset - batch.base_offset()) as i32);
    let (id, epoch, sequence) = (batch.producer_id(), batch.producer_epoch(), batch.base_sequence());
    let new = NewBatch {
        size: batch.size() as u32,
        last_offset_delta: batch.last_offset_delta(),
        max_timestamp_ms: batch.max_timestamp(),
        max_timestamp_delta: delta,
        crc: batch.crc(),
        producer: ProducerBatch::new(id, epoch, sequence, batch.last_offset_delta()),
    };
    let ack = AckPoint { sequence: header.sequence, level: header.level };
    let place = Place { ordinal: entry.ordinal, ack, leader_epoch: header.leader_epoch };
    partition.append(&new, place, &[&entry.payload], now_ms, &mut ChunkPool::default());
    Ok(())
}

/// Removes what deleted topics left behind, and notes which partitions have a folder.
fn clear_folders(disk: &mut dyn Disk, logs: &mut Logs) -> Result<(), StartError> {
    let mut known: BTreeMap<String, (crate::log::PartitionId, TopicId)> = BTreeMap::new();
    for p in logs.iter() {
        known.insert(segment::folder(&p.topic, p.index), (p.id, p.topic_id));
    }
    let mut removed = false;
    for entry in disk.list(TOPICS).map_err(|e| refuse(words(&e)))?.into_iter().filter(|e| e.is_dir) {
        let path = format!("{TOPICS}/{}", entry.name);
        match known.get(&path) {
            Some((id, topic_id)) => {
                if logs.partition(*id).has_folder {
                    continue;
                }
                if folder_topic(disk, &path, logs.ids_mut())? == Some(*topic_id) {
                    // Whoever made it may have been killed before it was on stable storage.
                    for path in [TOPICS.to_string(), path] {
                        disk.run(Step::SyncDir { path }).map_err(|e| refuse(words(&e)))?;
                    }
                    logs.partition_mut(*id).has_folder = true;
                    continue;
                }
                let doomed = doomed_folder(&path, [0; 16]);
                run_chain(
                    disk,
                    alloc::vec![Step::Rename { from: path, to: doomed.clone() }, Step::RemoveDir { path: doomed }],
                )
                .map_err(|e| refuse(words(&e)))?;
            }
            None => disk.run(Step::RemoveDir { path }).map(|_| ()).map_err(|e| refuse(words(&e)))?,
        }
        removed = true;
    }
    if removed {
        disk.run(Step::SyncDir { path: TOPICS.to_string() }).map_err(|e| refuse(words(&e)))?;
    }
    for path in logs.iter().filter_map(producer_snapshot::left_by_stop) {
        // Should a power cut undo it, a file remains that is true and that nobody needs.
        disk.run(Step::RemoveFile { path }).map_err(|e| refuse(words(&e)))?;
    }
    logs.trim_after_start();
    Ok(())
}

/// The topic id that a folder's `partition.metadata` names.
fn folder_topic(disk: &mut dyn Disk, folder: &str, ids: &mut Ids) -> Result<Option<TopicId>, StartError> {
    let path = format!("{folder}/partition.metadata");
    let Some(bytes) = read_file(disk, &path, ids).map_err(|e| refuse(words(&e)))? else { return Ok(None) };
    let text = core::str::from_utf8(&bytes).unwrap_or_default();
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id: "));
    Ok(id.and_then(|id| id.trim().parse().ok()))
}
