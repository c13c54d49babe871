//! ListOffsets: offsets by timestamp, and the ends of partitions.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use corelog_replication::ids::PartitionIndex;
use corelog_wire::api::list_offsets::{
    EARLIEST_LOCAL_TIMESTAMP, EARLIEST_PENDING_UPLOAD_TIMESTAMP, EARLIEST_TIMESTAMP, LATEST_TIERED_TIMESTAMP,
    LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse, MAX_TIMESTAMP,
};
use corelog_wire::error_code::ErrorCode;

use super::sharing::{PerPartition, Place, ShareAnswer, place};
use super::{Call, Outcome, Parked, ReplyTo, Wait};
use crate::front::Context;
use crate::log::{FoundOffset, Lookup, PartitionId, ReadId, TimestampTarget};
use crate::mesh::ShardIndex;

/// The first version that speaks of leader epochs (KIP-320).
const FIRST_WITH_EPOCHS: i16 = 4;
/// "Not known" in every field of a partition's answer.
const UNKNOWN: i64 = -1;
const UNKNOWN_EPOCH: i32 = -1;

/// A request of which some lookups wait for the disk, or for other shards.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    partitions: PerPartition<ListOffsetsPartitionResponse>,
    /// Lookups that have not ended.
    waiting: usize,
}

/// Looks up what the request asks for.
pub(crate) fn handle(cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<ListOffsetsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let count = request.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>();
    if let Err(reason) = call.check_entries(request.topics.len() + count) {
        return Outcome::Close(reason);
    }
    let partitions = PerPartition::new(call.is_share, request.topics.len(), count);
    let mut pending = Pending { to: call.to, partitions, waiting: 0 };
    let repeated = repeated(&request);
    let mut lookups = Vec::new();
    for topic in request.topics {
        for partition in topic.partitions {
            let mut answer = ListOffsetsPartitionResponse {
                partition_index: partition.partition_index,
                error_code: ErrorCode::NONE,
                timestamp: UNKNOWN,
                offset: UNKNOWN,
                leader_epoch: UNKNOWN_EPOCH,
            };
            let mut place = None;
            if repeated.contains(&(topic.name, partition.partition_index)) {
                answer.error_code = ErrorCode::INVALID_REQUEST;
            } else if !is_supported(partition.timestamp, call.to.version) {
                answer.error_code = ErrorCode::UNSUPPORTED_VERSION;
            } else {
                match find(cx, topic.name, &partition) {
                    Ok(found) => {
                        place = Some(found);
                        if let Place::Here(id) = found
                            && let Some(read) = look_up(cx, id, &partition, &mut answer)
                        {
                            lookups.push((read, pending.partitions.len()));
                        }
                    }
                    Err(error) => answer.error_code = error,
                }
            }
            pending.partitions.push(place, answer);
        }
        pending.partitions.end_topic(topic.name);
    }
    pending.waiting = lookups.len();
    if pending.is_complete() {
        return pending.answer();
    }
    let shares = pending.partitions.awaits().to_vec();
    let weight = core::mem::size_of::<ListOffsetsPartitionResponse>() * pending.partitions.len();
    Outcome::Wait(Parked::ListOffsets(pending), Wait { lookups, shares, weight, ..Wait::default() })
}

/// Partitions that the request names more than once.
fn repeated<'a>(request: &ListOffsetsRequest<'a>) -> BTreeSet<(&'a str, i32)> {
    let (mut seen, mut repeated) = (BTreeSet::new(), BTreeSet::new());
    for topic in request.topics {
        for partition in topic.partitions {
            let key = (topic.name, partition.partition_index);
            if !seen.insert(key) {
                repeated.insert(key);
            }
        }
    }
    repeated
}

/// Whether a version knows what a negative timestamp means.
fn is_supported(timestamp: i64, version: i16) -> bool {
    let since = match timestamp {
        0.. | LATEST_TIMESTAMP | EARLIEST_TIMESTAMP => 1,
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL_TIMESTAMP => 8,
        LATEST_TIERED_TIMESTAMP => 9,
        EARLIEST_PENDING_UPLOAD_TIMESTAMP => 11,
        _ => i16::MAX,
    };
    version >= since
}

fn find(cx: &Context<'_>, topic: &str, wanted: &ListOffsetsPartition) -> Result<Place, ErrorCode> {
    let image = cx.metadata.image();
    let topic = image.topic_by_name(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let index = PartitionIndex(wanted.partition_index);
    let assignment = topic.partition(index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    match place(cx, topic, assignment) {
        Place::Nowhere => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        found => Ok(found),
    }
}

/// Compares the leader epoch that a client believes in, -1 if it does not say (KIP-320).
pub(super) fn check_leader_epoch(cx: &Context<'_>, id: PartitionId, believed: i32) -> Result<(), ErrorCode> {
    let leader_epoch = cx.logs.leader_epoch(id);
    match believed {
        UNKNOWN_EPOCH => Ok(()),
        _ if believed < leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
        _ if believed > leader_epoch => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => Ok(()),
    }
}

/// Fills in the answer, or tells what it has to wait for.
fn look_up(
    cx: &mut Context<'_>,
    id: PartitionId,
    wanted: &ListOffsetsPartition,
    answer: &mut ListOffsetsPartitionResponse,
) -> Option<ReadId> {
    if let Err(error) = check_leader_epoch(cx, id, wanted.current_leader_epoch) {
        answer.error_code = error;
        return None;
    }
    let target = match wanted.timestamp {
        LATEST_TIMESTAMP => {
            answer.offset = cx.logs.high_watermark(id);
            answer.leader_epoch = cx.logs.leader_epoch(id);
            return None;
        }
        // Nothing is ever elsewhere than here.
        EARLIEST_TIMESTAMP | EARLIEST_LOCAL_TIMESTAMP => {
            answer.offset = cx.logs.log_start_offset(id);
            answer.leader_epoch = epoch_at(cx, id, answer.offset);
            return None;
        }
        LATEST_TIERED_TIMESTAMP | EARLIEST_PENDING_UPLOAD_TIMESTAMP => return None,
        MAX_TIMESTAMP => TimestampTarget::Max,
        timestamp => TimestampTarget::At(timestamp),
    };
    match cx.logs.lookup_timestamp(id, target, cx.actions) {
        Lookup::Done(found) => {
            fill_in(answer, found);
            None
        }
        Lookup::Pending(read) => Some(read),
        Lookup::Failed(error) => {
            answer.error_code = error;
            None
        }
    }
}

/// The leader epoch of the record at `offset`, or the one that the next record gets.
fn epoch_at(cx: &Context<'_>, id: PartitionId, offset: i64) -> i32 {
    let partition = cx.logs.partition(id);
    match partition.epochs.epoch_at(offset) {
        Some(leader_epoch) => leader_epoch,
        None if offset == partition.log_end => partition.leader_epoch,
        None => UNKNOWN_EPOCH,
    }
}

fn fill_in(answer: &mut ListOffsetsPartitionResponse, found: Option<FoundOffset>) {
    if let Some(FoundOffset { offset, timestamp_ms, leader_epoch }) = found {
        *answer = ListOffsetsPartitionResponse { offset, timestamp: timestamp_ms, leader_epoch, ..*answer };
    }
}

impl Pending {
    /// A lookup came to an end. Returns whether it was the last one.
    pub(crate) fn lookup_ended(&mut self, index: usize, result: &Result<Option<FoundOffset>, ErrorCode>) -> bool {
        match result {
            Ok(found) => fill_in(self.partitions.result_mut(index), *found),
            Err(error) => self.partitions.result_mut(index).error_code = *error,
        }
        self.waiting -= 1;
        self.is_complete()
    }

    fn is_complete(&self) -> bool {
        self.waiting == 0 && self.partitions.awaits().is_empty()
    }

    /// Another shard has done its share. Returns whether nothing is missing any more.
    pub(crate) fn joined(&mut self, from: ShardIndex, results: Vec<(usize, ListOffsetsPartitionResponse)>) -> bool {
        self.partitions.joined(from, results, |gone| gone.error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        self.is_complete()
    }

    /// Answers with what was found: the client, or the shard whose request it is.
    pub(crate) fn answer(mut self) -> Outcome {
        if self.to.version < FIRST_WITH_EPOCHS {
            self.partitions.results_mut().iter_mut().for_each(|result| result.leader_epoch = UNKNOWN_EPOCH);
        }
        let results = match self.partitions.finish() {
            Ok(results) => results,
            Err(ours) => return Outcome::Share(ShareAnswer::ListOffsets(ours)),
        };
        let topics: Vec<_> = results
            .iter()
            .map(|(name, partitions)| ListOffsetsTopicResponse { name, partitions: partitions.into() })
            .collect();
        self.to.answer(&ListOffsetsResponse { topics: (&topics).into(), ..ListOffsetsResponse::default() })
    }
}

#[cfg(test)]
mod tests;
