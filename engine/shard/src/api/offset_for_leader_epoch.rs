//! OffsetForLeaderEpoch: where leader epochs end (KIP-101, KIP-320).
//!
//! A consumer that was somewhere else, or slept, finds out with it whether what it read is still there. So no end is above
//! the high watermark: what is behind it may be gone tomorrow.

use alloc::vec::Vec;

use corelog_replication::ids::PartitionIndex;
use corelog_wire::api::offset_for_leader_epoch::{
    END_OFFSET_UNDEFINED, EpochEndOffset, LEADER_EPOCH_UNDEFINED, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use corelog_wire::error_code::ErrorCode;

use super::sharing::{PerPartition, Place, ShareAnswer, place};
use super::{Call, Outcome, Parked, ReplyTo, Wait, list_offsets};
use crate::front::Context;
use crate::mesh::ShardIndex;

/// A request that waits for other shards.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    partitions: PerPartition<EpochEndOffset>,
}

/// Answers at once what this shard knows.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<OffsetForLeaderEpochRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let count = request.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>();
    if let Err(reason) = call.check_entries(request.topics.len() + count) {
        return Outcome::Close(reason);
    }
    let mut partitions = PerPartition::new(call.is_share, request.topics.len(), count);
    for topic in request.topics {
        for wanted in topic.partitions {
            let found = find(cx, topic.topic, &wanted);
            partitions.push(found.ok(), look_up(cx, found, &wanted));
        }
        partitions.end_topic(topic.topic);
    }
    let pending = Pending { to: call.to, partitions };
    if pending.partitions.awaits().is_empty() {
        return pending.answer();
    }
    let shares = pending.partitions.awaits().to_vec();
    let weight = core::mem::size_of::<EpochEndOffset>() * count;
    Outcome::Wait(Parked::OffsetForLeaderEpoch(pending), Wait { shares, weight, ..Wait::default() })
}

impl Pending {
    /// Another shard has done its share. Returns whether nothing is missing any more.
    pub(crate) fn joined(&mut self, from: ShardIndex, results: Vec<(usize, EpochEndOffset)>) -> bool {
        self.partitions.joined(from, results, |gone| gone.error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        self.partitions.awaits().is_empty()
    }

    /// Answers the client, or the shard whose request it is.
    pub(crate) fn answer(self) -> Outcome {
        let results = match self.partitions.finish() {
            Ok(results) => results,
            Err(ours) => return Outcome::Share(ShareAnswer::OffsetForLeaderEpoch(ours)),
        };
        let topics: Vec<_> = results
            .iter()
            .map(|(topic, partitions)| OffsetForLeaderTopicResult { topic, partitions: partitions.into() })
            .collect();
        self.to.answer(&OffsetForLeaderEpochResponse { topics: (&topics).into(), ..Default::default() })
    }
}

fn look_up(cx: &Context<'_>, found: Result<Place, ErrorCode>, wanted: &OffsetForLeaderPartition) -> EpochEndOffset {
    let nothing = EpochEndOffset {
        error_code: ErrorCode::NONE,
        partition: wanted.partition,
        leader_epoch: LEADER_EPOCH_UNDEFINED,
        end_offset: END_OFFSET_UNDEFINED,
    };
    let id = match found {
        Ok(Place::Here(id)) => id,
        Ok(Place::There(_) | Place::Nowhere) => return nothing,
        Err(error_code) => return EpochEndOffset { error_code, ..nothing },
    };
    if let Err(error_code) = list_offsets::check_leader_epoch(cx, id, wanted.current_leader_epoch) {
        return EpochEndOffset { error_code, ..nothing };
    }
    let partition = cx.logs.partition(id);
    match partition.epochs.end_of(wanted.leader_epoch, partition.leader_epoch, partition.log_end) {
        Some((leader_epoch, end)) => {
            EpochEndOffset { leader_epoch, end_offset: end.min(partition.high_watermark), ..nothing }
        }
        None => nothing,
    }
}

fn find(cx: &Context<'_>, topic: &str, wanted: &OffsetForLeaderPartition) -> Result<Place, ErrorCode> {
    let topic = cx.metadata.image().topic_by_name(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let index = PartitionIndex(wanted.partition);
    let assignment = topic.partition(index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    match place(cx, topic, assignment) {
        Place::Nowhere => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        found => Ok(found),
    }
}

#[cfg(test)]
mod tests;
