//! OffsetDelete: a group forgets how far it has read. The answer leaves when that is durable (KIP-496).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use corelog_replication::ids::PartitionIndex;
use corelog_wire::api::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use corelog_wire::error_code::ErrorCode;

use super::groups::{check_name, locate, not_here};
use super::{Call, Outcome, Parked, ReplyTo, Wait, deadline_us};
use crate::connection::RequestId;
use crate::coordinator::requests::Written;
use crate::coordinator::{Coordinator, Waiter};
use crate::front::Context;

/// A request whose tombstones are being written.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    topics: Vec<(String, Range<usize>)>,
    partitions: Vec<OffsetDeleteResponsePartition>,
}

/// Has the tombstones written.
pub(crate) fn handle(
    coordinator: &mut Coordinator,
    cx: &mut Context<'_>,
    waiter: RequestId,
    call: &Call<'_>,
) -> Outcome {
    let request = match call.decode::<OffsetDeleteRequest<'_>>() {
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
    // The entries of the answer that the group decides about.
    let (mut wanted, mut entries) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for topic in request.topics {
        let first = pending.partitions.len();
        let image = cx.metadata.image().topic_by_name(topic.name);
        for partition in topic.partitions {
            let partition_index = partition.partition_index;
            let exists = image.is_some_and(|image| image.partition(PartitionIndex(partition_index)).is_some());
            let error_code = if exists { ErrorCode::NONE } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
            if exists {
                wanted.push((topic.name, partition_index));
                entries.push(pending.partitions.len());
            }
            pending.partitions.push(OffsetDeleteResponsePartition { partition_index, error_code });
        }
        pending.topics.push((topic.name.to_string(), first..pending.partitions.len()));
    }
    if let Err(error) = check_name(request.group_id) {
        return pending.answer(Err(error));
    }
    let index = match locate(coordinator, cx, call, request.group_id) {
        Ok(index) => index,
        Err(reason) => return not_here(reason, |error| pending.answer(Err(error))),
    };
    let waiter = Waiter { request: waiter, entry: 0 };
    match coordinator.delete_offsets(cx, index, request.group_id, &wanted, waiter) {
        Ok((errors, written)) => {
            for (entry, error) in entries.into_iter().zip(errors) {
                pending.partitions[entry].error_code = error;
            }
            if written == Written::Nothing {
                return pending.answer(Ok(()));
            }
            let wait = Wait {
                deadline_us: Some(deadline_us(cx.now.monotonic_us, cx.config.groups.commit_timeout_ms)),
                weight: call.body.remaining() * 2,
                ..Wait::default()
            };
            Outcome::Wait(Parked::OffsetDelete(pending), wait)
        }
        Err(error) => pending.answer(Err(error)),
    }
}

impl Pending {
    /// The tombstones are durable, or will not be.
    pub(crate) fn answer(self, result: Result<(), ErrorCode>) -> Outcome {
        if let Err(error_code) = result {
            return self.to.answer(&OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() });
        }
        let topics: Vec<_> = self
            .topics
            .iter()
            .map(|(name, range)| OffsetDeleteResponseTopic { name, partitions: self.partitions[range.clone()].into() })
            .collect();
        self.to.answer(&OffsetDeleteResponse { topics: (&topics).into(), ..OffsetDeleteResponse::default() })
    }

    /// It takes too long. The tombstones may become durable later.
    pub(crate) fn expired(self) -> Outcome {
        self.answer(Err(ErrorCode::COORDINATOR_NOT_AVAILABLE))
    }
}
