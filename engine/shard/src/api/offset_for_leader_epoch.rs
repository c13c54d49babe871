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

use super::{Call, Outcome, list_offsets};
use crate::front::Context;
use crate::log::PartitionId;

/// Answers at once.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<OffsetForLeaderEpochRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let count = request.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>();
    if let Err(reason) = call.check_entries(request.topics.len() + count) {
        return Outcome::Close(reason);
    }
    let ends: Vec<Vec<EpochEndOffset>> = request
        .topics
        .iter()
        .map(|topic| topic.partitions.iter().map(|wanted| look_up(cx, topic.topic, &wanted)).collect())
        .collect();
    let topics: Vec<_> = request
        .topics
        .iter()
        .zip(&ends)
        .map(|(topic, ends)| OffsetForLeaderTopicResult { topic: topic.topic, partitions: ends.into() })
        .collect();
    call.to.answer(&OffsetForLeaderEpochResponse { topics: (&topics).into(), ..Default::default() })
}

fn look_up(cx: &Context<'_>, topic: &str, wanted: &OffsetForLeaderPartition) -> EpochEndOffset {
    let nothing = EpochEndOffset {
        error_code: ErrorCode::NONE,
        partition: wanted.partition,
        leader_epoch: LEADER_EPOCH_UNDEFINED,
        end_offset: END_OFFSET_UNDEFINED,
    };
    let id = match find(cx, topic, wanted) {
        Ok(id) => id,
        Err(error_code) => return EpochEndOffset { error_code, ..nothing },
    };
    let partition = cx.logs.partition(id);
    match partition.epochs.end_of(wanted.leader_epoch, partition.leader_epoch, partition.log_end) {
        Some((leader_epoch, end)) => {
            EpochEndOffset { leader_epoch, end_offset: end.min(partition.high_watermark), ..nothing }
        }
        None => nothing,
    }
}

fn find(cx: &Context<'_>, topic: &str, wanted: &OffsetForLeaderPartition) -> Result<PartitionId, ErrorCode> {
    let topic = cx.metadata.image().topic_by_name(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let index = wanted.partition;
    topic.partition(PartitionIndex(index)).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let id = cx.logs.find(topic.id(), index).ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
    list_offsets::check_leader_epoch(cx, id, wanted.current_leader_epoch)?;
    Ok(id)
}

#[cfg(test)]
mod tests;
