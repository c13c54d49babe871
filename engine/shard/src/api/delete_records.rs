//! DeleteRecords: the log of a partition begins further on (KIP-107).
//!
//! Answered once every new log start is durable and in force: it never falls back, and who reads below it from then on is
//! out of range. Every partition succeeds or fails on its own.

use alloc::vec::Vec;

use corelog_replication::ids::PartitionIndex;
use corelog_wire::api::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
    HIGH_WATERMARK, LOW_WATERMARK_UNKNOWN,
};
use corelog_wire::error_code::ErrorCode;

use super::sharing::{PerPartition, Place, ShareAnswer, place};
use super::{Call, Outcome, Parked, ReplyTo, Wait, deadline_us, metadata};
use crate::front::Context;
use crate::limits;
use crate::log::{AckPoint, PartitionId};
use crate::mesh::ShardIndex;

/// A request whose log starts are in the journal.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    partitions: PerPartition<Deletion>,
    /// What this shard has to delete counts as deleted.
    is_acknowledged: bool,
}

/// What becomes of one partition.
#[derive(Debug)]
enum Deletion {
    /// The log start is in the journal of this shard.
    Begun { index: i32, id: PartitionId, ack: AckPoint },
    /// It has come to its end, as far as is known.
    Ended(DeleteRecordsPartitionResult),
}

/// Writes the new log starts into the journal.
pub(crate) fn handle(cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<DeleteRecordsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let count = request.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>();
    if let Err(reason) = call.check_entries(request.topics.len() + count) {
        return Outcome::Close(reason);
    }
    let mut partitions = PerPartition::new(call.is_share, request.topics.len(), count);
    let mut last: Option<AckPoint> = None;
    for topic in request.topics {
        for wanted in topic.partitions {
            let index = wanted.partition_index;
            let found = find(cx, topic.name, index);
            let deletion = match found {
                Err(error) => Deletion::ended(index, Err(error)),
                // So it stays if the other shard does not say anything in time.
                Ok(Place::There(_) | Place::Nowhere) => Deletion::ended(index, Err(ErrorCode::REQUEST_TIMED_OUT)),
                Ok(Place::Here(id)) => match delete(cx, id, wanted.offset) {
                    Ok(ack) => {
                        let is_later = last.is_none_or(|last| ack.sequence > last.sequence);
                        last = if is_later && !cx.logs.reached(ack) { Some(ack) } else { last };
                        Deletion::Begun { index, id, ack }
                    }
                    Err(error) => Deletion::ended(index, Err(error)),
                },
            };
            partitions.push(found.ok(), deletion);
        }
        partitions.end_topic(topic.name);
    }
    let pending = Pending { to: call.to, partitions, is_acknowledged: last.is_none() };
    if pending.is_complete() {
        return pending.answer(cx);
    }
    let wait_ms = i64::from(request.timeout_ms).max(limits::CREATION_WAIT_MS_MIN as i64);
    let wait = Wait {
        deadline_us: Some(deadline_us(cx.now.monotonic_us, wait_ms)),
        ack: last,
        shares: pending.partitions.awaits().to_vec(),
        weight: call.body.remaining() * 2,
        ..Wait::default()
    };
    Outcome::Wait(Parked::DeleteRecords(pending), wait)
}

fn find(cx: &Context<'_>, topic: &str, index: i32) -> Result<Place, ErrorCode> {
    let topic = cx.metadata.image().topic_by_name(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let assignment = topic.partition(PartitionIndex(index)).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    if metadata::is_internal(topic.name()) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    match place(cx, topic, assignment) {
        Place::Nowhere => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        found => Ok(found),
    }
}

fn delete(cx: &mut Context<'_>, id: PartitionId, offset: i64) -> Result<AckPoint, ErrorCode> {
    let partition = cx.logs.partition(id);
    if !partition.config.cleanup_policy.delete {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let offset = if offset == HIGH_WATERMARK { partition.high_watermark } else { offset };
    if offset < 0 || offset > partition.high_watermark {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    // Without room in the journal the client asks again, once what is written back has made some.
    cx.logs.try_begin_log_start(id, offset).ok_or(ErrorCode::REQUEST_TIMED_OUT)
}

impl Pending {
    fn is_complete(&self) -> bool {
        self.is_acknowledged && self.partitions.awaits().is_empty()
    }

    /// Everything of this shard is durable. Returns whether the answer is complete.
    pub(crate) fn acknowledged(&mut self) -> bool {
        self.is_acknowledged = true;
        self.is_complete()
    }

    /// Another shard has done its share. Returns whether the answer is complete.
    pub(crate) fn joined(&mut self, from: ShardIndex, results: Vec<(usize, DeleteRecordsPartitionResult)>) -> bool {
        let results = results.into_iter().map(|(entry, result)| (entry, Deletion::Ended(result))).collect();
        self.partitions.joined(from, results, |gone| {
            if let Deletion::Ended(result) = gone {
                result.error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            }
        });
        self.is_complete()
    }

    /// Answers with what became of every partition: the client, or the shard whose request it is. What is not durable by
    /// now has timed out, and may be deleted later.
    pub(crate) fn answer(self, cx: &Context<'_>) -> Outcome {
        let results = match self.partitions.finish() {
            Ok(results) => results,
            Err(ours) => {
                let ours = ours.into_iter().map(|(entry, deletion)| (entry, deletion.result(cx))).collect();
                return Outcome::Share(ShareAnswer::DeleteRecords(ours));
            }
        };
        let rows: Vec<(&str, Vec<DeleteRecordsPartitionResult>)> =
            results.iter().map(|(name, of)| (name, of.iter().map(|deletion| deletion.result(cx)).collect())).collect();
        let topics: Vec<_> =
            rows.iter().map(|(name, results)| DeleteRecordsTopicResult { name, partitions: results.into() }).collect();
        self.to.answer(&DeleteRecordsResponse { topics: (&topics).into(), ..Default::default() })
    }
}

impl Deletion {
    fn ended(partition_index: i32, outcome: Result<i64, ErrorCode>) -> Self {
        Self::Ended(result(partition_index, outcome))
    }

    fn result(&self, cx: &Context<'_>) -> DeleteRecordsPartitionResult {
        let (index, outcome) = match self {
            Self::Ended(result) => return *result,
            Self::Begun { index, id, .. } if !cx.logs.exists(*id) => {
                (*index, Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))
            }
            Self::Begun { index, ack, .. } if !cx.logs.reached(*ack) => (*index, Err(ErrorCode::REQUEST_TIMED_OUT)),
            Self::Begun { index, id, .. } => (*index, Ok(cx.logs.log_start_offset(*id))),
        };
        result(index, outcome)
    }
}

fn result(partition_index: i32, outcome: Result<i64, ErrorCode>) -> DeleteRecordsPartitionResult {
    DeleteRecordsPartitionResult {
        partition_index,
        low_watermark: outcome.unwrap_or(LOW_WATERMARK_UNKNOWN),
        error_code: outcome.err().unwrap_or(ErrorCode::NONE),
    }
}

#[cfg(test)]
mod tests;
