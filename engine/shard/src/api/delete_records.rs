//! DeleteRecords: the log of a partition begins further on (KIP-107).
//!
//! Answered once every new log start is durable and in force: it never falls back, and who reads below it from then on is
//! out of range. Every partition succeeds or fails on its own.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use corelog_replication::ids::PartitionIndex;
use corelog_wire::api::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult, HIGH_WATERMARK, LOW_WATERMARK_UNKNOWN,
};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome, Parked, ReplyTo, Wait, deadline_us, metadata};
use crate::front::Context;
use crate::limits;
use crate::log::{AckPoint, PartitionId};

/// A request whose log starts are in the journal.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    topics: Vec<(String, Range<usize>)>,
    partitions: Vec<Partition>,
}

#[derive(Debug)]
struct Partition {
    index: i32,
    outcome: Result<(PartitionId, AckPoint), ErrorCode>,
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
    let mut pending = Pending {
        to: call.to,
        topics: Vec::with_capacity(request.topics.len()),
        partitions: Vec::with_capacity(count),
    };
    for topic in request.topics {
        let first = pending.partitions.len();
        for wanted in topic.partitions {
            let outcome = delete(cx, topic.name, &wanted);
            pending.partitions.push(Partition { index: wanted.partition_index, outcome });
        }
        pending.topics.push((topic.name.to_string(), first..pending.partitions.len()));
    }
    let acks = pending.partitions.iter().filter_map(|partition| Some(partition.outcome.ok()?.1));
    match acks.filter(|ack| !cx.logs.reached(*ack)).max_by_key(|ack| ack.sequence) {
        None => pending.answer(cx),
        Some(ack) => {
            let wait_ms = i64::from(request.timeout_ms).max(limits::CREATION_WAIT_MS_MIN as i64);
            let wait = Wait {
                deadline_us: Some(deadline_us(cx.now.monotonic_us, wait_ms)),
                ack: Some(ack),
                weight: call.body.remaining() * 2,
                ..Wait::default()
            };
            Outcome::Wait(Parked::DeleteRecords(pending), wait)
        }
    }
}

fn delete(
    cx: &mut Context<'_>,
    topic: &str,
    wanted: &DeleteRecordsPartition,
) -> Result<(PartitionId, AckPoint), ErrorCode> {
    let topic = cx.metadata.image().topic_by_name(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let index = wanted.partition_index;
    topic.partition(PartitionIndex(index)).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    if metadata::is_internal(topic.name()) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let id = cx.logs.find(topic.id(), index).ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
    let partition = cx.logs.partition(id);
    if !partition.config.cleanup_policy.delete {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let offset = if wanted.offset == HIGH_WATERMARK { partition.high_watermark } else { wanted.offset };
    if offset < 0 || offset > partition.high_watermark {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    // Without room in the journal the client asks again, once what is written back has made some.
    let ack = cx.logs.try_begin_log_start(id, offset).ok_or(ErrorCode::REQUEST_TIMED_OUT)?;
    Ok((id, ack))
}

impl Pending {
    /// Answers with what became of every partition. What is not durable by now has timed out, and may be deleted later.
    pub(crate) fn answer(self, cx: &Context<'_>) -> Outcome {
        let results: Vec<DeleteRecordsPartitionResult> =
            self.partitions.iter().map(|partition| partition.response(cx)).collect();
        let topics: Vec<_> = self
            .topics
            .iter()
            .map(|(name, range)| DeleteRecordsTopicResult { name, partitions: results[range.clone()].into() })
            .collect();
        self.to.answer(&DeleteRecordsResponse { topics: (&topics).into(), ..Default::default() })
    }
}

impl Partition {
    fn response(&self, cx: &Context<'_>) -> DeleteRecordsPartitionResult {
        let outcome = self.outcome.and_then(|(id, ack)| {
            if !cx.logs.exists(id) {
                return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            }
            if !cx.logs.reached(ack) {
                return Err(ErrorCode::REQUEST_TIMED_OUT);
            }
            Ok(cx.logs.log_start_offset(id))
        });
        DeleteRecordsPartitionResult {
            partition_index: self.index,
            low_watermark: outcome.unwrap_or(LOW_WATERMARK_UNKNOWN),
            error_code: outcome.err().unwrap_or(ErrorCode::NONE),
        }
    }
}

#[cfg(test)]
mod tests;
