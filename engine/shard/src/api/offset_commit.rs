//! OffsetCommit: how far a group has read is kept. The answer leaves when that is durable.
//!
//! Every partition succeeds or fails on its own as long as the topic and the text with the offset are concerned; the group
//! takes all the others or none.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use corelog_replication::ids::PartitionIndex;
use corelog_replication::metadata::TopicImage;
use corelog_wire::api::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use super::groups::{locate, not_here};
use super::{Call, Outcome, Parked, ReplyTo, Wait, deadline_us};
use crate::connection::RequestId;
use crate::coordinator::offsets::Committed;
use crate::coordinator::requests::{Committer, Written};
use crate::coordinator::{Coordinator, Waiter};
use crate::front::Context;

/// The first version in which clients know that a group may not exist (KIP-848).
const FIRST_WITH_GROUP_ID_NOT_FOUND: i16 = 9;
/// The first version that names topics by id.
const FIRST_WITH_IDS: i16 = 10;
/// A client that leaves it to the broker how long its offsets are kept.
const RETENTION_OF_BROKER: i64 = -1;

/// A request whose offsets are being written.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    topics: Vec<Topic>,
    partitions: Vec<OffsetCommitResponsePartition>,
}

#[derive(Debug)]
struct Topic {
    name: Name,
    partitions: Range<usize>,
}

/// How the answer names a topic.
#[derive(Debug)]
enum Name {
    Known(Arc<TopicImage>),
    Unknown(String, TopicId),
}

/// Has the offsets written.
pub(crate) fn handle(
    coordinator: &mut Coordinator,
    cx: &mut Context<'_>,
    waiter: RequestId,
    call: &Call<'_>,
) -> Outcome {
    let request = match call.decode::<OffsetCommitRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let count = request.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>();
    if let Err(reason) = call.check_entries(request.topics.len() + count) {
        return Outcome::Close(reason);
    }
    let by_id = call.to.version >= FIRST_WITH_IDS;
    let mut pending = Pending {
        to: call.to,
        topics: Vec::with_capacity(request.topics.len()),
        partitions: Vec::with_capacity(count),
    };
    let found: Vec<_> = request.topics.iter().map(|topic| find(cx, by_id, &topic)).collect();
    let mut is_about_any = false;
    let mut offsets = Vec::with_capacity(count);
    for (topic, found) in request.topics.iter().zip(&found) {
        let first = pending.partitions.len();
        for partition in topic.partitions {
            let partition_index = partition.partition_index;
            let metadata = partition.committed_metadata.unwrap_or_default();
            let exists = |image: &&Arc<TopicImage>| image.partition(PartitionIndex(partition_index)).is_some();
            let error_code = match found {
                None if by_id => ErrorCode::UNKNOWN_TOPIC_ID,
                Some(image) if exists(&image) => {
                    is_about_any = true;
                    if is_too_long(metadata, cx.config.groups.offset_metadata_max) {
                        ErrorCode::OFFSET_METADATA_TOO_LARGE
                    } else {
                        let committed = Committed {
                            offset: partition.committed_offset,
                            leader_epoch: partition.committed_leader_epoch,
                            metadata: metadata.into(),
                            commit_ms: cx.now.wall_ms,
                            expire_ms: expire_ms(cx.now.wall_ms, request.retention_time_ms),
                            topic_id: image.id(),
                        };
                        offsets.push((image.name(), partition_index, committed));
                        ErrorCode::NONE
                    }
                }
                None | Some(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            };
            pending.partitions.push(OffsetCommitResponsePartition { partition_index, error_code });
        }
        let name = match found {
            Some(image) => Name::Known(Arc::clone(image)),
            None => Name::Unknown(topic.name.to_string(), topic.topic_id),
        };
        pending.topics.push(Topic { name, partitions: first..pending.partitions.len() });
    }
    if !is_about_any {
        // As in Kafka, the group is not looked at then.
        return pending.answer(Ok(()));
    }
    let index = match locate(coordinator, cx, call, request.group_id) {
        Ok(index) => index,
        Err(reason) => return not_here(reason, |error| pending.answer(Err(error))),
    };
    let by = Committer {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id_or_member_epoch,
        no_such_group: match call.to.version >= FIRST_WITH_GROUP_ID_NOT_FOUND {
            true => ErrorCode::GROUP_ID_NOT_FOUND,
            false => ErrorCode::ILLEGAL_GENERATION,
        },
    };
    let waiter = Waiter { request: waiter, entry: 0 };
    match coordinator.commit(cx, index, request.group_id, by, offsets, waiter) {
        Ok(Written::Nothing) => pending.answer(Ok(())),
        Ok(Written::Later) => {
            let wait = Wait {
                deadline_us: Some(deadline_us(cx.now.monotonic_us, cx.config.groups.commit_timeout_ms)),
                weight: call.body.remaining() * 2,
                ..Wait::default()
            };
            Outcome::Wait(Parked::OffsetCommit(pending), wait)
        }
        Err(error) => pending.answer(Err(error)),
    }
}

fn find(cx: &Context<'_>, by_id: bool, topic: &OffsetCommitRequestTopic<'_>) -> Option<Arc<TopicImage>> {
    let image = cx.metadata.image();
    match by_id {
        true => image.topic_by_id(topic.topic_id).cloned(),
        false => image.topic_by_name(topic.name).cloned(),
    }
}

/// Whether a text is longer than allowed, counted as Java counts.
fn is_too_long(text: &str, max: usize) -> bool {
    text.len() > max && text.encode_utf16().count() > max
}

/// When an offset expires whatever the broker's settings say, or -1.
fn expire_ms(now_ms: i64, retention_ms: i64) -> i64 {
    match retention_ms {
        RETENTION_OF_BROKER => -1,
        // Nonsense is at the beginning of time at the earliest.
        ms => now_ms.saturating_add(ms).max(0),
    }
}

impl Pending {
    /// The offsets are durable, or will not be.
    pub(crate) fn answer(mut self, result: Result<(), ErrorCode>) -> Outcome {
        if let Err(error) = result {
            let concerned = self.partitions.iter_mut().filter(|partition| {
                partition.error_code.is_none() || partition.error_code == ErrorCode::OFFSET_METADATA_TOO_LARGE
            });
            concerned.for_each(|partition| partition.error_code = error);
        }
        let topics: Vec<_> = self
            .topics
            .iter()
            .map(|topic| {
                let (name, topic_id) = match &topic.name {
                    Name::Known(image) => (image.name(), image.id()),
                    Name::Unknown(name, id) => (name.as_str(), *id),
                };
                let partitions = self.partitions[topic.partitions.clone()].into();
                OffsetCommitResponseTopic { name, topic_id, partitions }
            })
            .collect();
        self.to.answer(&OffsetCommitResponse { topics: (&topics).into(), ..OffsetCommitResponse::default() })
    }

    /// It takes too long. The offsets may become durable later.
    pub(crate) fn expired(self) -> Outcome {
        self.answer(Err(ErrorCode::COORDINATOR_NOT_AVAILABLE))
    }
}
