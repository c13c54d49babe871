//! A copy of what a shard has counted, for whoever shows it.
//!
//! [`Shard::figures`] copies what does not depend on how many partitions there are; [`Shard::figures_of_partitions`] goes
//! through these, some of them a call, so that no turn lasts for it. Between two calls partitions may come and go.

use alloc::string::String;
use alloc::vec::Vec;

use corelog_wire::ids::TopicId;

use super::{Commits, LogCounts, PartitionCounts, Requests};
use crate::log::cleaner::CleanerStats;
use crate::shard::Shard;

/// Places of partitions that one call of [`Shard::figures_of_partitions`] looks at.
pub const FIGURES_PARTITIONS_PER_CALL: usize = 1_024;

/// Groups of a shard that are copied, and what they have committed, all of them together.
const FIGURES_GROUPS_MAX: usize = 1_000;
const FIGURES_COMMITTED_MAX: usize = 5_000;

/// What a shard has counted, and what it holds now.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Requests answered on connections of this shard.
    pub requests: Requests,
    /// Connections and requests.
    pub front: FrontFigures,
    /// Logs and journal.
    pub logs: LogFigures,
    /// Commits of the journal.
    pub commits: Commits,
    /// What is the node's and not a shard's; of the first shard only.
    pub node: Option<NodeFigures>,
    /// What all partitions have counted, those that are gone included.
    pub total: PartitionCounts,
    /// Partitions that this shard leads.
    pub partition_count: u64,
    /// Topics with partitions here, in the order of their creation.
    pub topics: Vec<TopicFigures>,
    /// Those of these partitions that there was room for.
    pub partitions: Vec<PartitionFigures>,
    /// Consumer groups that this shard coordinates, how many there are, and those of them that there was room for.
    pub group_count: u64,
    /// See above.
    pub groups: Vec<GroupFigures>,
    /// What compaction did and found.
    pub cleaner: CleanerStats,
}

/// What goes on between connections and the logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrontFigures {
    /// Connections that the shard knows.
    pub connections: u64,
    /// Requests that were taken up and wait: for a commit, for records, for other shards, for metadata.
    pub requests_waiting: u64,
    /// Produce requests that wait for room in the log.
    pub produce_waiting_for_room: u64,
    /// Fetches that wait for memory.
    pub fetches_waiting_for_memory: u64,
    /// Connections that have to take answers before they are answered more.
    pub connections_waiting_to_be_sent: u64,
    /// Bytes being read for fetches, and of large answers that are not sent yet.
    pub read_bytes: u64,
    /// Bytes of request frames that other shards have.
    pub lent_bytes: u64,
    /// Connections to which batches are sent from their files.
    pub lending_connections: u64,
}

/// What the logs hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogFigures {
    /// Counters.
    pub counts: LogCounts,
    /// Memory of the tail cache, clean and dirty, in bytes, and what it may have.
    pub tail_bytes: u64,
    /// See above.
    pub tail_bytes_max: u64,
    /// Bytes that the journal holds and the segments lack.
    pub dirty_bytes: u64,
    /// Jobs that write back, remove or checkpoint, in flight.
    pub write_back_jobs: u64,
    /// Memory of reads from segments in flight, in bytes.
    pub read_bytes: u64,
    /// Memory of indexes of sealed segments, in bytes.
    pub index_bytes: u64,
    /// Files of the journal in use, and how many it may have.
    pub journal_files_used: u64,
    /// See above.
    pub journal_files_max: u64,
    /// Bytes of commits in the files in use.
    pub journal_used_bytes: u64,
    /// The length of each file, in bytes.
    pub journal_file_bytes: u64,
    /// Bytes handed to the disk for commits.
    pub journal_written_bytes: u64,
    /// Bytes of commits that are gathered or being written.
    pub journal_unwritten_bytes: u64,
    /// Produce requests are refused since the disk is full.
    pub is_disk_full: bool,
    /// Free bytes and all bytes of the file system, as last measured; 0 before.
    pub volume_free_bytes: u64,
    /// See above.
    pub volume_bytes: u64,
}

/// What is known of the whole node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeFigures {
    /// Topics.
    pub topics: u64,
    /// Partitions of all topics.
    pub partitions: u64,
    /// Brokers that are registered.
    pub brokers: u64,
    /// The last applied offset of the metadata log.
    pub metadata_offset: u64,
}

/// The partitions of a topic on one shard, as far as they were created one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFigures {
    /// The topic.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// How many partitions these are.
    pub partitions: u64,
    /// What they have counted.
    pub counts: PartitionCounts,
}

/// One partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionFigures {
    /// Its topic's place in [`Figures::topics`].
    pub topic: usize,
    /// Its index within the topic.
    pub index: i32,
    /// Bytes of its segments, those not written back included.
    pub bytes: u64,
    /// How many segments it has.
    pub segments: u64,
    /// First offset of the log.
    pub log_start_offset: i64,
    /// Offset of the next record.
    pub log_end_offset: i64,
    /// Offsets below it are visible.
    pub high_watermark: i64,
}

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFigures {
    /// Its name.
    pub group: String,
    /// Kafka's name of its state.
    pub state: &'static str,
    /// How many members it has.
    pub members: u64,
    /// What it has committed: topic, partition, offset of the next record that it wants.
    pub committed: Vec<(String, i32, i64)>,
}

impl Shard {
    /// Copies what was counted, all but topics and partitions.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures {
            requests: self.front().requests().clone(),
            front: self.front().figures(),
            logs: self.logs().figures(),
            commits: self.logs().commits().clone(),
            total: self.logs().counts().removed,
            cleaner: self.logs().cleaner_stats(),
            ..Figures::default()
        };
        self.figures_of_groups(&mut figures);
        if self.seat().is_first() {
            let image = self.metadata().image();
            figures.node = Some(NodeFigures {
                topics: image.topics().count() as u64,
                partitions: image.topics().map(|topic| topic.partitions().len() as u64).sum(),
                brokers: image.brokers().len() as u64,
                metadata_offset: image.offset().0,
            });
        }
        figures
    }

    fn figures_of_groups(&self, figures: &mut Figures) {
        let mut room = FIGURES_COMMITTED_MAX;
        for numbers in self.groups() {
            figures.group_count += 1;
            if room == 0 || figures.groups.len() == FIGURES_GROUPS_MAX {
                continue;
            }
            let committed = numbers.offsets().take(room);
            let committed: Vec<_> = committed.map(|it| (String::from(it.topic), it.partition, it.offset)).collect();
            room -= committed.len();
            let (group, members) = (String::from(numbers.group()), numbers.members() as u64);
            figures.groups.push(GroupFigures { group, state: numbers.state(), members, committed });
        }
    }

    /// Adds the next partitions from this place on, at most `partitions_max` of all calls one by one and the others only to
    /// their topics. Returns where the next call goes on; `None` when that was all.
    pub fn figures_of_partitions(&self, from: usize, partitions_max: usize, figures: &mut Figures) -> Option<usize> {
        let (partitions, next) = self.logs().some(from, FIGURES_PARTITIONS_PER_CALL);
        for partition in partitions {
            let is_new = figures.topics.last().is_none_or(|topic| topic.id != partition.topic_id);
            if is_new {
                let (id, name) = (partition.topic_id, partition.topic.clone());
                figures.topics.push(TopicFigures { id, name, partitions: 0, counts: PartitionCounts::default() });
            }
            let topic = figures.topics.last_mut().expect("it was just added");
            topic.partitions += 1;
            topic.counts.add(&partition.counts);
            figures.total.add(&partition.counts);
            figures.partition_count += 1;
            if figures.partitions.len() < partitions_max {
                figures.partitions.push(PartitionFigures {
                    topic: figures.topics.len() - 1,
                    index: partition.index,
                    bytes: partition.size_bytes(),
                    segments: partition.segments.len() as u64,
                    log_start_offset: partition.log_start,
                    log_end_offset: partition.log_end,
                    high_watermark: partition.high_watermark,
                });
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::testing::Host;

    /// What calls bring until one says that it was all, and how many there were.
    fn all(host: &Host, partitions_max: usize) -> (Figures, usize) {
        let mut figures = host.shard().figures();
        let (mut from, mut calls) = (Some(0), 0);
        while let Some(place) = from {
            from = host.shard().figures_of_partitions(place, partitions_max, &mut figures);
            calls += 1;
        }
        (figures, calls)
    }

    #[test]
    fn partitions_are_gone_through_some_at_a_time_and_counts_outlive_them() {
        let mut host = Host::new();
        let partitions = FIGURES_PARTITIONS_PER_CALL as i32 + 100;
        let gone = host.create_topic("gone", 2, &[]);
        let stays = host.create_topic("stays", partitions, &[]);
        host.logs().note_refused(gone, 1);
        host.logs().note_refused(stays, 0);
        host.logs().note_refused(stays, partitions - 1);
        let (figures, calls) = all(&host, 10);
        assert_eq!((calls, figures.partition_count, figures.partitions.len()), (2, partitions as u64 + 2, 10));
        let topic = |name| figures.topics.iter().find(|topic| topic.name == name).unwrap();
        assert_eq!(
            (figures.topics.len(), topic("stays").partitions, topic("gone").partitions),
            (2, partitions as u64, 2)
        );
        assert_eq!((topic("stays").counts.failed_produce_requests, figures.total.failed_produce_requests), (2, 3));
        assert_eq!(figures.node.map(|node| (node.topics, node.partitions)), Some((2, partitions as u64 + 2)));
        host.delete_topic("gone");
        let (figures, _) = all(&host, usize::MAX);
        assert_eq!((figures.topics.len(), figures.partitions.len()), (1, partitions as usize));
        assert_eq!(figures.total.failed_produce_requests, 3, "what was counted stays");
        let last = figures.partitions.last().unwrap();
        assert_eq!((last.topic, last.index, last.segments, last.bytes), (0, partitions - 1, 1, 0));
    }
}
