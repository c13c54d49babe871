//! Loading: a partition's records are read from its log start to its end, and make its groups.
//!
//! Until a partition is loaded, clients are told so and come again. Invariants: one call reads and applies a bounded number
//! of bytes, and at most [`limits::GROUP_LOADS_MAX`] partitions wait for the disk at a time; the order of the log decides,
//! whichever codec its batches have; a record that cannot be read is left out and named in the log.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::Arc;

use bytes::Bytes;
use corelog_wire::record_batch;

use super::group::Group;
use super::partition::{self, Entry};
use super::records::{self, Said};
use super::{Coordinator, settings};
use crate::front::Context;
use crate::io::{Action, LogLevel};
use crate::limits;
use crate::log::{Fetched, Read, ReadId};
use corelog_wire::error_code::ErrorCode;

/// How long a partition that cannot be read is left alone, in microseconds.
const RETRY_US: u64 = 1_000_000;

/// The most bytes that a compressed batch may unfold to: one of Kafka's own is far smaller.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// Partitions that are being loaded, and how far they are.
#[derive(Debug, Default)]
pub(super) struct Loads {
    stages: BTreeMap<i32, Stage>,
    /// Those that can go on.
    ready: VecDeque<i32>,
    reads: BTreeMap<ReadId, i32>,
}

#[derive(Debug)]
enum Stage {
    /// More of the log is to be read.
    Ready,
    /// The disk has been asked.
    Reading,
    /// Up to here in the log nothing is visible yet, or it could not be read: it is tried again then.
    Waiting { until_us: u64 },
    /// Everything is read; groups up to this one have their members back.
    Restoring { after: Option<Arc<str>> },
}

impl Loads {
    /// A partition is to be loaded.
    pub(super) fn begin(&mut self, index: i32) {
        self.stages.insert(index, Stage::Ready);
        self.ready.push_back(index);
    }

    /// A partition is gone.
    pub(super) fn forget(&mut self, index: i32) {
        self.stages.remove(&index);
        self.ready.retain(|it| *it != index);
        self.reads.retain(|_, it| *it != index);
    }

    /// Whether everything is loaded.
    pub(super) fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    pub(super) fn next_deadline_us(&self) -> Option<u64> {
        if !self.ready.is_empty() && self.reads.len() < limits::GROUP_LOADS_MAX {
            return Some(0);
        }
        let until = |stage: &Stage| match stage {
            Stage::Waiting { until_us } => Some(*until_us),
            _ => None,
        };
        self.stages.values().filter_map(until).min()
    }
}

impl Coordinator {
    /// Goes on with loading.
    pub(super) fn load(&mut self, cx: &mut Context<'_>) {
        if self.loads.is_empty() {
            return;
        }
        let now_us = cx.now.monotonic_us;
        for (index, stage) in &mut self.loads.stages {
            if matches!(stage, Stage::Waiting { until_us } if *until_us <= now_us) {
                *stage = Stage::Ready;
                self.loads.ready.push_back(*index);
            }
        }
        let mut bytes_left = limits::GROUP_LOAD_BYTES_PER_TURN;
        let mut groups_left = limits::GROUPS_SWEPT_PER_TURN;
        while bytes_left > 0 && groups_left > 0 && self.loads.reads.len() < limits::GROUP_LOADS_MAX {
            let Some(index) = self.loads.ready.pop_front() else { break };
            match self.loads.stages.get(&index) {
                Some(Stage::Restoring { .. }) => self.restore(cx, index, &mut groups_left),
                Some(_) => {
                    let bytes = self.read_more(cx, index, bytes_left);
                    bytes_left = bytes_left.saturating_sub(bytes);
                }
                None => {}
            }
        }
    }

    /// Reads on in the log of a partition. Gives how many bytes that brought.
    fn read_more(&mut self, cx: &mut Context<'_>, index: i32, bytes_max: usize) -> usize {
        let Some(partition) = self.partitions.get_mut(&index) else { return 0 };
        let log = partition.log;
        if !cx.logs.exists(log) {
            // The next look at the metadata takes it out.
            return 0;
        }
        partition.next_offset = partition.next_offset.max(cx.logs.log_start_offset(log));
        let from = partition.next_offset;
        if from >= cx.logs.log_end_offset(log) {
            self.set_stage(index, Stage::Restoring { after: None });
            return 0;
        }
        let bytes_max = bytes_max.min(cx.config.groups.load_buffer_bytes.max(1));
        match cx.logs.read(log, from, bytes_max, true, false, cx.actions) {
            Read::Records { segments, bytes } if bytes > 0 => {
                self.replay(cx, index, &segments);
                self.set_stage(index, Stage::Ready);
                bytes
            }
            // What is behind it is not durable yet.
            Read::Records { .. } | Read::OutOfRange => {
                let until_us = cx.now.monotonic_us.saturating_add(RETRY_US / 100);
                self.set_stage(index, Stage::Waiting { until_us });
                0
            }
            Read::Pending(read) => {
                self.loads.reads.insert(read, index);
                self.set_stage(index, Stage::Reading);
                0
            }
            Read::Failed(error) => {
                self.read_failed(cx, index, error);
                0
            }
        }
    }

    /// A read has ended. False if it is none of these.
    pub(crate) fn read_ended(
        &mut self,
        cx: &mut Context<'_>,
        read: ReadId,
        result: &Result<Fetched, ErrorCode>,
    ) -> bool {
        let Some(index) = self.loads.reads.remove(&read) else { return false };
        match result {
            Ok(Fetched::Memory(segments)) if !segments.is_empty() => {
                self.replay(cx, index, segments);
                self.set_stage(index, Stage::Ready);
            }
            Ok(Fetched::Memory(_)) => self.read_failed(cx, index, ErrorCode::KAFKA_STORAGE_ERROR),
            Ok(Fetched::InPlace(_)) => unreachable!("it was asked for in memory"),
            Err(error) => self.read_failed(cx, index, *error),
        }
        true
    }

    fn read_failed(&mut self, cx: &mut Context<'_>, index: i32, error: ErrorCode) {
        let message = format!(
            "the groups of {}-{index} cannot be read for now, and clients are told to wait: {error}",
            super::OFFSETS_TOPIC
        );
        cx.actions.push(Action::Log { level: LogLevel::Error, message });
        let until_us = cx.now.monotonic_us.saturating_add(RETRY_US);
        self.set_stage(index, Stage::Waiting { until_us });
    }

    fn set_stage(&mut self, index: i32, stage: Stage) {
        let Some(before) = self.loads.stages.get_mut(&index) else { return };
        if matches!(stage, Stage::Ready | Stage::Restoring { .. }) {
            self.loads.ready.push_back(index);
        }
        *before = stage;
    }

    /// Applies what was read.
    fn replay(&mut self, cx: &mut Context<'_>, index: i32, segments: &[Bytes]) {
        let joined;
        let bytes = match segments {
            [one] => one,
            many => {
                joined = Bytes::from(many.concat());
                &joined
            }
        };
        let mut odd = 0_usize;
        for batch in record_batch::batches(bytes) {
            let Ok(batch) = batch else {
                odd += 1;
                break;
            };
            let Some(partition) = self.partitions.get_mut(&index) else { return };
            let from = partition.next_offset;
            partition.next_offset = from.max(batch.next_offset());
            if batch.attributes().is_control() || batch.next_offset() <= from {
                continue;
            }
            let Ok(payload) = batch.decompressed_payload(DECOMPRESSED_BYTES_MAX) else {
                odd += 1;
                continue;
            };
            for record in batch.records(&payload) {
                let Ok(record) = record else {
                    odd += 1;
                    break;
                };
                if record.offset < from {
                    continue;
                }
                match record.key.map(|key| records::read(key, record.value)) {
                    Some(Ok(said)) => self.replay_record(cx, index, said),
                    Some(Err(_)) | None => odd += 1,
                }
            }
        }
        if odd > 0 {
            let message = format!("{odd} records or batches of {}-{index} make no sense", super::OFFSETS_TOPIC);
            cx.actions.push(Action::Log { level: LogLevel::Error, message });
        }
    }

    fn replay_record(&mut self, cx: &mut Context<'_>, index: i32, said: Said<'_>) {
        match said {
            Said::Offset { group, topic, partition, committed: Some(committed) } => {
                let entry = self.loaded_entry(cx, index, group);
                let topic = entry.offsets.topic_name(topic).cloned().unwrap_or_else(|| topic.into());
                let memory = committed.memory();
                let before = entry.offsets.set(&topic, partition, committed);
                self.memory += memory;
                self.memory -= before.map_or(0, |it| it.memory());
            }
            Said::Offset { group, topic, partition, committed: None } => {
                let Some(entry) = self.partitions.get_mut(&index).and_then(|of| of.entry_mut(group)) else { return };
                let before = entry.offsets.remove(topic, partition);
                let is_nothing = entry.offsets.is_empty() && entry.stored.is_none();
                self.memory -= before.map_or(0, |it| it.memory());
                if is_nothing {
                    self.forget(index, &group.into());
                }
            }
            Said::Group { group, stored: Some(stored) } => {
                let entry = self.loaded_entry(cx, index, group);
                let before = core::mem::replace(&mut entry.members_memory, partition::memory_of(&stored));
                let after = entry.members_memory;
                entry.stored = Some(stored);
                self.memory = self.memory + after - before;
            }
            Said::Group { group, stored: None } => {
                let Some(entry) = self.partitions.get_mut(&index).and_then(|of| of.entry_mut(group)) else { return };
                entry.stored = None;
                self.memory -= core::mem::take(&mut entry.members_memory);
                if entry.offsets.is_empty() {
                    self.forget(index, &group.into());
                }
            }
            Said::Other => {}
        }
    }

    /// A group that the log speaks of, whatever the bounds say.
    fn loaded_entry(&mut self, cx: &Context<'_>, index: i32, group: &str) -> &mut Entry {
        let partition = self.partitions.get_mut(&index).expect("it is being loaded");
        if partition.entry(group).is_none() {
            self.groups += 1;
            let entry = Entry { is_stored: true, ..Entry::new(Group::new(cx.now, group.into())) };
            partition.insert(group.into(), entry);
        }
        partition.entry_mut(group).expect("it is there now")
    }

    /// Gives groups their members back, with sessions that begin now.
    fn restore(&mut self, cx: &mut Context<'_>, index: i32, groups_left: &mut usize) {
        let Some(Stage::Restoring { after }) = self.loads.stages.get(&index) else { return };
        let mut after = after.clone();
        let settings = settings(cx.config);
        while *groups_left > 0 {
            *groups_left -= 1;
            let partition = self.partitions.get_mut(&index).expect("it is being loaded");
            let Some(name) = partition.next_after(after.as_deref()) else {
                partition.is_loaded = true;
                self.loads.stages.remove(&index);
                return;
            };
            let entry = partition.entry_mut(&name).expect("it was just found");
            if entry.stored.is_some() {
                entry.group = entry.remembered(cx.now, &settings, &name);
                self.set_timer(index, &name);
            }
            after = Some(name);
        }
        self.set_stage(index, Stage::Restoring { after });
    }
}
