//! DescribeLogDirs: the data directory, as the one log directory that there is, and what the partitions in it take.
//!
//! What is asked for and is not here is left out, as Kafka does it. A partition takes what its segments take: the bytes of
//! its batches from the log start's segment on, written back or not. Nothing ever moves between directories, so there are
//! no future replicas, and the one replica never lags.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use corelog_wire::api::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic, VOLUME_BYTES_UNKNOWN,
};
use corelog_wire::error_code::ErrorCode;

use super::sharing::ShareAnswer;
use super::{Call, Outcome, Parked, ReplyTo, Wait};
use crate::front::Context;
use crate::log::Volume;
use crate::mesh::ShardIndex;

/// The partitions of the topics that are wanted.
type Found = BTreeMap<String, Vec<DescribeLogDirsPartition>>;

/// A request that waits for other shards.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    found: Found,
    awaits: Vec<ShardIndex>,
}

/// Answers at once what this shard knows.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<DescribeLogDirsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let named = request.topics.iter().flatten().map(|topic| 1 + topic.partitions.len()).sum();
    if let Err(reason) = call.check_entries(named) {
        return Outcome::Close(reason);
    }
    let found = find(cx, &request);
    if call.is_share {
        return Outcome::Share(ShareAnswer::DescribeLogDirs(found));
    }
    let awaits: Vec<ShardIndex> = cx.seat.others().collect();
    let pending = Pending { to: call.to, found, awaits: awaits.clone() };
    if awaits.is_empty() {
        return pending.answer(cx);
    }
    let weight = call.body.remaining() * 2;
    Outcome::Wait(Parked::DescribeLogDirs(pending), Wait { shares: awaits, weight, ..Wait::default() })
}

fn find(cx: &Context<'_>, request: &DescribeLogDirsRequest<'_>) -> Found {
    let mut wanted: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for topic in request.topics.into_iter().flatten() {
        wanted.entry(topic.topic).or_default().extend(topic.partitions);
    }
    let is_wanted = |topic: &str, index: i32| {
        request.topics.is_none() || wanted.get(topic).is_some_and(|indexes| indexes.contains(&index))
    };
    let mut found = Found::new();
    for partition in cx.logs.iter().filter(|partition| is_wanted(&partition.topic, partition.index)) {
        found.entry(partition.topic.clone()).or_default().push(DescribeLogDirsPartition {
            partition_index: partition.index,
            partition_size: bytes(partition.size_bytes()),
            offset_lag: 0,
            is_future_key: false,
        });
    }
    found
}

impl Pending {
    /// Another shard has done its share. Returns whether nothing is missing any more.
    pub(crate) fn joined(&mut self, from: ShardIndex, found: Found) -> bool {
        self.awaits.retain(|shard| *shard != from);
        for (topic, partitions) in found {
            self.found.entry(topic).or_default().extend(partitions);
        }
        self.awaits.is_empty()
    }

    /// Answers with what was found.
    pub(crate) fn answer(mut self, cx: &Context<'_>) -> Outcome {
        for partitions in self.found.values_mut() {
            partitions.sort_unstable_by_key(|partition| partition.partition_index);
        }
        let topics: Vec<_> = self
            .found
            .iter()
            .map(|(name, partitions)| DescribeLogDirsTopic { name, partitions: partitions.into() })
            .collect();
        let volume = cx.logs.volume();
        let results = [DescribeLogDirsResult {
            error_code: ErrorCode::NONE,
            log_dir: &cx.config.data_dir,
            topics: (&topics).into(),
            total_bytes: volume.map_or(VOLUME_BYTES_UNKNOWN, |Volume { total_bytes, .. }| bytes(total_bytes)),
            usable_bytes: volume.map_or(VOLUME_BYTES_UNKNOWN, |Volume { free_bytes, .. }| bytes(free_bytes)),
            is_cordoned: false,
        }];
        self.to.answer(&DescribeLogDirsResponse { results: (&results).into(), ..DescribeLogDirsResponse::default() })
    }
}

/// As the protocol has it; what is larger than it can say is said as the largest, as Kafka does it.
fn bytes(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
