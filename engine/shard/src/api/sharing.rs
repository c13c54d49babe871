//! Requests whose partitions are on several shards, as their handlers see them.
//!
//! A handler does what its shard owns. On the home of the request it also notes what is elsewhere ([`Place::There`]) and
//! waits for these shards; on another shard ([`super::Call::is_share`]) it answers with the results of its own partitions,
//! each with its entry in the request, and leaves the rest, whatever is wrong with it, to the home.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use corelog_replication::metadata::{PartitionAssignment, TopicImage};
use corelog_wire::api::delete_records::DeleteRecordsPartitionResult;
use corelog_wire::api::describe_log_dirs::DescribeLogDirsPartition;
use corelog_wire::api::list_offsets::ListOffsetsPartitionResponse;
use corelog_wire::api::offset_for_leader_epoch::EpochEndOffset;
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;

use super::{describe_groups, describe_producers, fetch, offset_fetch, produce};
use crate::coordinator::requests::Listed;
use crate::front::Context;
use crate::log::PartitionId;
use crate::mesh::ShardIndex;

/// What a shard did of a request that is another shard's: results of its partitions, each with the entry of the request
/// that it belongs to.
#[derive(Debug)]
pub(crate) enum ShareAnswer {
    /// Of Produce.
    Produce(Vec<(usize, produce::PartitionResult)>),
    /// Of Fetch.
    Fetch(Vec<(usize, fetch::Found)>),
    /// Of ListOffsets.
    ListOffsets(Vec<(usize, ListOffsetsPartitionResponse)>),
    /// Of OffsetForLeaderEpoch.
    OffsetForLeaderEpoch(Vec<(usize, EpochEndOffset)>),
    /// Of DeleteRecords.
    DeleteRecords(Vec<(usize, DeleteRecordsPartitionResult)>),
    /// Of OffsetFetch, with the entry of the request for each group.
    OffsetFetch(Vec<(usize, offset_fetch::Found)>),
    /// Of DescribeGroups, likewise.
    DescribeGroups(Vec<(usize, describe_groups::Found)>),
    /// Of ListGroups.
    ListGroups(Result<Vec<Listed>, ErrorCode>),
    /// Of DeleteGroups: the group and its error, with its entry.
    DeleteGroups(Vec<(usize, (String, ErrorCode))>),
    /// Of DescribeLogDirs, by topic.
    DescribeLogDirs(BTreeMap<String, Vec<DescribeLogDirsPartition>>),
    /// Of DescribeProducers.
    DescribeProducers(Vec<(usize, describe_producers::Described)>),
}

/// Whether a request changes metadata: the shard with the metadata log handles it.
pub(crate) fn changes_metadata(api: ApiKey) -> bool {
    match api {
        ApiKey::CreateTopics
        | ApiKey::CreatePartitions
        | ApiKey::DeleteTopics
        | ApiKey::AlterConfigs
        | ApiKey::IncrementalAlterConfigs
        | ApiKey::AlterClientQuotas
        | ApiKey::InitProducerId => true,
        // It tells of the log itself.
        ApiKey::DescribeQuorum => true,
        // Only where it creates topics, which it finds out itself.
        ApiKey::Metadata => false,
        ApiKey::ApiVersions
        | ApiKey::Produce
        | ApiKey::Fetch
        | ApiKey::ListOffsets
        | ApiKey::DeleteRecords
        | ApiKey::OffsetForLeaderEpoch
        | ApiKey::DescribeCluster
        | ApiKey::DescribeLogDirs
        | ApiKey::FindCoordinator
        | ApiKey::JoinGroup
        | ApiKey::SyncGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::OffsetDelete
        | ApiKey::DescribeGroups
        | ApiKey::ListGroups
        | ApiKey::DeleteGroups
        | ApiKey::DescribeTopicPartitions
        | ApiKey::AlterReplicaLogDirs
        | ApiKey::ElectLeaders
        | ApiKey::AlterPartitionReassignments
        | ApiKey::ListPartitionReassignments
        | ApiKey::DescribeClientQuotas
        | ApiKey::UpdateFeatures
        | ApiKey::DescribeProducers
        | ApiKey::UnregisterBroker
        | ApiKey::ListTransactions
        | ApiKey::ListConfigResources
        | ApiKey::GetTelemetrySubscriptions
        | ApiKey::PushTelemetry
        | ApiKey::DescribeConfigs => false,
    }
}

/// Where a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this shard.
    Here(PartitionId),
    /// On another one.
    There(ShardIndex),
    /// Not on this node: another broker leads it.
    Nowhere,
}

/// Where the partition of a topic is.
pub(crate) fn place(cx: &Context<'_>, topic: &TopicImage, assignment: &PartitionAssignment) -> Place {
    let index = assignment.index.0;
    match cx.logs.find(topic.id(), index) {
        Some(id) => Place::Here(id),
        None if assignment.leader.0 != cx.config.node_id || cx.seat.owns(topic.id(), index) => Place::Nowhere,
        None => Place::There(cx.seat.owner(topic.id(), index)),
    }
}

/// The results of a request about partitions, in its order, while other shards have not told theirs.
#[derive(Debug)]
pub(crate) struct PerPartition<R> {
    is_share: bool,
    topics: Vec<(String, Range<usize>)>,
    results: Vec<R>,
    /// Where each partition is that exists.
    places: Vec<Option<Place>>,
    awaits: Vec<ShardIndex>,
}

impl<R> PerPartition<R> {
    /// For so many topics and partitions.
    pub(crate) fn new(is_share: bool, topics: usize, partitions: usize) -> Self {
        Self {
            is_share,
            topics: Vec::with_capacity(topics),
            results: Vec::with_capacity(partitions),
            places: Vec::with_capacity(partitions),
            awaits: Vec::new(),
        }
    }

    /// The next partition; `result` is what it would be if nobody said more.
    pub(crate) fn push(&mut self, place: Option<Place>, result: R) {
        if let Some(Place::There(shard)) = place
            && !self.is_share
            && !self.awaits.contains(&shard)
        {
            self.awaits.push(shard);
        }
        self.places.push(place);
        self.results.push(result);
    }

    /// How many partitions there are so far.
    pub(crate) fn len(&self) -> usize {
        self.results.len()
    }

    /// The partitions since the last topic were those of this one.
    pub(crate) fn end_topic(&mut self, name: &str) {
        let first = self.topics.last().map_or(0, |(_, range)| range.end);
        self.topics.push((name.to_string(), first..self.results.len()));
    }

    /// The shards whose results are missing.
    pub(crate) fn awaits(&self) -> &[ShardIndex] {
        &self.awaits
    }

    /// A result, to be filled in.
    pub(crate) fn result_mut(&mut self, entry: usize) -> &mut R {
        &mut self.results[entry]
    }

    /// All of them.
    pub(crate) fn results_mut(&mut self) -> &mut [R] {
        &mut self.results
    }

    /// Another shard has told its results. A partition of it that has none is gone, together with its topic.
    pub(crate) fn joined(&mut self, from: ShardIndex, results: Vec<(usize, R)>, gone: impl Fn(&mut R)) {
        self.awaits.retain(|shard| *shard != from);
        let theirs = self.places.iter().zip(&mut self.results).filter(|(place, _)| **place == Some(Place::There(from)));
        theirs.for_each(|(_, result)| gone(result));
        for (entry, result) in results {
            self.results[entry] = result;
        }
    }

    /// In a share: what its home has to know. Otherwise the results come back, by topic.
    pub(crate) fn finish(self) -> Result<ByTopic<R>, Vec<(usize, R)>> {
        if !self.is_share {
            return Ok(ByTopic { topics: self.topics, results: self.results });
        }
        let all = self.results.into_iter().enumerate().zip(self.places);
        Err(all.filter(|(_, place)| matches!(place, Some(Place::Here(_)))).map(|(result, _)| result).collect())
    }
}

/// All results of a request.
#[derive(Debug)]
pub(crate) struct ByTopic<R> {
    topics: Vec<(String, Range<usize>)>,
    results: Vec<R>,
}

impl<R> ByTopic<R> {
    /// The topics with their results, in the order of the request.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[R])> {
        self.topics.iter().map(|(name, range)| (name.as_str(), &self.results[range.clone()]))
    }
}
