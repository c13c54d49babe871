//! OffsetFetch: how far groups have read, as far as it is durable.
//!
//! Several groups may be asked for; each shard tells what it has of those that it coordinates. Who wants stable offsets is
//! answered when the commits before are durable, as in Kafka; there are no transactions yet that could be open. Members' ids
//! and epochs count for groups of the new protocols only.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use bytes::Bytes;
use corelog_wire::api::offset_fetch::{
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use super::groups::PerGroup;
use super::sharing::ShareAnswer;
use super::{Call, Outcome, Parked, ReplyTo, Wait, deadline_us};
use crate::connection::RequestId;
use crate::coordinator::offsets::{Committed, Offsets};
use crate::coordinator::requests::NotHere;
use crate::coordinator::{Coordinator, Waiter};
use crate::front::Context;
use crate::limits;
use crate::mesh::ShardIndex;

/// The first version with an error for the whole answer.
const FIRST_WITH_ERROR: i16 = 2;
/// The first version that asks for several groups.
const FIRST_WITH_GROUPS: i16 = 8;
/// The first version that names topics by id.
const FIRST_WITH_IDS: i16 = 10;
/// What is told where nothing was committed.
const NONE: i64 = -1;

/// A request while other shards have not told of their groups.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    groups: PerGroup<Found>,
}

/// A request that is answered when commits are durable: it is taken up again then.
#[derive(Debug)]
pub(crate) struct Unstable {
    pub(crate) frame: Bytes,
    pub(crate) peer: IpAddr,
    is_share: bool,
    /// Writes that are not durable.
    left: usize,
}

/// What is told of a group.
#[derive(Debug)]
pub(crate) struct Found {
    group: String,
    error: ErrorCode,
    topics: Vec<Topic>,
}

#[derive(Debug)]
struct Topic {
    name: String,
    id: TopicId,
    partitions: Vec<Partition>,
}

#[derive(Debug)]
struct Partition {
    index: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: Box<str>,
    error: ErrorCode,
}

/// A topic that is asked for.
#[derive(Clone, Copy)]
struct Wanted<'a, P> {
    name: &'a str,
    id: TopicId,
    partitions: P,
}

/// Answers at once, unless other shards have some of the groups, or commits are to become durable before.
pub(crate) fn handle(
    coordinator: &mut Coordinator,
    cx: &mut Context<'_>,
    waiter: RequestId,
    frame: &Bytes,
    call: &Call<'_>,
) -> Outcome {
    if !call.has_waited
        && let Ok(request) = call.decode::<OffsetFetchRequest<'_>>()
        && request.require_stable
        && request.groups.len() <= limits::REQUEST_ENTRIES_MAX
    {
        let mut left = 0;
        let single = (call.to.version < FIRST_WITH_GROUPS).then_some(request.group_id);
        for group in single.into_iter().chain(request.groups.iter().map(|group| group.group_id)) {
            let waiter = Waiter { request: waiter, entry: left };
            let found = coordinator.locate(cx, group);
            left += usize::from(found.is_ok_and(|index| coordinator.wait_for_commits(index, waiter)));
        }
        if left > 0 {
            let unstable = Unstable { frame: frame.clone(), peer: call.peer, is_share: call.is_share, left };
            let wait = Wait {
                deadline_us: Some(deadline_us(cx.now.monotonic_us, cx.config.groups.commit_timeout_ms)),
                weight: frame.len(),
                ..Wait::default()
            };
            return Outcome::Wait(Parked::UnstableOffsets(unstable), wait);
        }
    }
    look(Some(coordinator), cx, call)
}

impl Unstable {
    /// One of the writes is durable, or will not be. Returns whether it was the last one.
    pub(crate) fn written(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }

    /// It takes too long: clients look for the coordinator again, as Kafka has them do.
    pub(crate) fn expired(self, cx: &mut Context<'_>) -> Outcome {
        let mut call = Call::decode_header(&self.frame).expect("it was decoded before");
        call.is_share = self.is_share;
        look(None, cx, &call)
    }
}

/// Tells what is known, or that nobody coordinates any group.
fn look(mut coordinator: Option<&mut Coordinator>, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<OffsetFetchRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let version = call.to.version;
    let of_one = request.topics.into_iter().flatten().map(|topic| 1 + topic.partition_indexes.len()).sum::<usize>();
    let of_groups = request.groups.iter().map(|group| {
        1 + group.topics.into_iter().flatten().map(|topic| 1 + topic.partition_indexes.len()).sum::<usize>()
    });
    if let Err(reason) = call.check_entries(of_one + of_groups.sum::<usize>()) {
        return Outcome::Close(reason);
    }
    let mut left = limits::FETCHED_OFFSETS_MAX;
    let mut pending = Pending { to: call.to, groups: PerGroup::new(call.is_share, request.groups.len().max(1)) };
    if version < FIRST_WITH_GROUPS {
        let topics = request.topics.map(|topics| {
            topics.iter().map(|it| Wanted { name: it.name, id: TopicId::ZERO, partitions: it.partition_indexes })
        });
        pending.find(&mut coordinator, cx, request.group_id, topics, &mut left);
    }
    for group in request.groups {
        let topics = group.topics.map(|topics| {
            topics.iter().map(|it| Wanted { name: it.name, id: it.topic_id, partitions: it.partition_indexes })
        });
        pending.find(&mut coordinator, cx, group.group_id, topics, &mut left);
    }
    let shares = match call.is_share {
        true => Vec::new(),
        false => pending.groups.awaits().to_vec(),
    };
    if shares.is_empty() {
        return pending.answer();
    }
    let wait = Wait { shares, weight: call.body.remaining() * 2, ..Wait::default() };
    Outcome::Wait(Parked::OffsetFetch(pending), wait)
}

impl Pending {
    /// Adds what is known here of a group: of these topics, or of all.
    fn find<'a, P>(
        &mut self,
        coordinator: &mut Option<&mut Coordinator>,
        cx: &mut Context<'_>,
        group: &str,
        topics: Option<impl Iterator<Item = Wanted<'a, P>>>,
        left: &mut usize,
    ) where
        P: IntoIterator<Item = i32>,
    {
        let by_id = self.to.version >= FIRST_WITH_IDS;
        let carries_errors = self.to.version < FIRST_WITH_ERROR;
        let found = match coordinator {
            Some(coordinator) => coordinator.locate(cx, group),
            None => Err(NotHere::Refused(ErrorCode::NOT_COORDINATOR)),
        };
        self.groups.push(found, |place| {
            let offsets = place.map(|index| coordinator.as_ref().and_then(|it| it.offsets(index, group)));
            let mut result = Found { group: group.to_string(), error: ErrorCode::NONE, topics: Vec::new() };
            match offsets {
                Err(error) if !carries_errors => result.error = error,
                Err(error) => result.topics = topics.into_iter().flatten().map(|it| it.refused(error)).collect(),
                Ok(offsets) => match topics {
                    Some(topics) => {
                        result.topics = topics.map(|wanted| wanted.find(cx, by_id, offsets)).collect();
                    }
                    None => match offsets.filter(|offsets| offsets.len() > *left) {
                        Some(_) => result.error = ErrorCode::UNKNOWN_SERVER_ERROR,
                        None => result.topics = offsets.map(|offsets| all(cx, by_id, offsets)).unwrap_or_default(),
                    },
                },
            }
            *left -= result.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>().min(*left);
            result
        });
    }

    /// Another shard has told of its groups. Returns whether the answer is complete.
    pub(crate) fn joined(&mut self, from: ShardIndex, groups: Vec<(usize, Found)>) -> bool {
        self.groups.joined(from, groups)
    }

    /// Answers the client, or the shard whose request it is.
    pub(crate) fn answer(self) -> Outcome {
        let groups = match self.groups.finish() {
            Ok(groups) => groups,
            Err(ours) => return Outcome::Share(ShareAnswer::OffsetFetch(ours)),
        };
        if self.to.version < FIRST_WITH_GROUPS {
            let group = groups.first().expect("one group is asked for");
            let rows: Vec<Vec<_>> =
                group.topics.iter().map(|it| it.partitions.iter().map(Partition::of_one_group).collect()).collect();
            let named = group.topics.iter().zip(&rows);
            let topics: Vec<_> = named
                .map(|(topic, partitions)| OffsetFetchResponseTopic {
                    name: &topic.name,
                    partitions: partitions.into(),
                })
                .collect();
            return self.to.answer(&OffsetFetchResponse {
                topics: (&topics).into(),
                error_code: group.error,
                ..OffsetFetchResponse::default()
            });
        }
        let rows: Vec<Vec<Vec<_>>> = groups
            .iter()
            .map(|group| {
                group.topics.iter().map(|it| it.partitions.iter().map(Partition::of_groups).collect()).collect()
            })
            .collect();
        let topics: Vec<Vec<_>> = groups
            .iter()
            .zip(&rows)
            .map(|(group, rows)| {
                group.topics.iter().zip(rows).map(|(topic, partitions)| topic.response(partitions)).collect()
            })
            .collect();
        let groups: Vec<_> = groups
            .iter()
            .zip(&topics)
            .map(|(group, topics)| OffsetFetchResponseGroup {
                group_id: &group.group,
                topics: topics.into(),
                error_code: group.error,
            })
            .collect();
        self.to.answer(&OffsetFetchResponse { groups: (&groups).into(), ..OffsetFetchResponse::default() })
    }
}

impl<P: IntoIterator<Item = i32>> Wanted<'_, P> {
    /// What is known of the topic; without offsets, that nothing is.
    fn find(self, cx: &Context<'_>, by_id: bool, offsets: Option<&Offsets>) -> Topic {
        let image = cx.metadata.image();
        let topic = match by_id {
            true => image.topic_by_id(self.id),
            false => image.topic_by_name(self.name),
        };
        if by_id && topic.is_none() {
            return self.refused(ErrorCode::UNKNOWN_TOPIC_ID);
        }
        let name = topic.map_or(self.name, |topic| topic.name());
        let id = topic.map_or(TopicId::ZERO, |topic| topic.id());
        let partition = |index| {
            let committed = offsets.and_then(|offsets| offsets.get(name, index)).filter(|it| it.is_of(id));
            committed.map_or_else(|| Partition::none(index, ErrorCode::NONE), |it| Partition::of(index, it))
        };
        Topic { name: name.to_string(), id, partitions: self.partitions.into_iter().map(partition).collect() }
    }

    fn refused(self, error: ErrorCode) -> Topic {
        let partitions = self.partitions.into_iter().map(|index| Partition::none(index, error)).collect();
        Topic { name: self.name.to_string(), id: self.id, partitions }
    }
}

/// All that a group has committed, but for topics that the client could not name.
fn all(cx: &Context<'_>, by_id: bool, offsets: &Offsets) -> Vec<Topic> {
    let image = cx.metadata.image();
    let topic = |(name, of): (&alloc::sync::Arc<str>, &alloc::collections::BTreeMap<i32, Committed>)| {
        let id = image.topic_by_name(name).map_or(TopicId::ZERO, |topic| topic.id());
        let current = of.iter().filter(|(_, it)| it.is_of(id));
        Topic { name: name.to_string(), id, partitions: current.map(|(index, it)| Partition::of(*index, it)).collect() }
    };
    let topics = offsets.topics().map(topic);
    topics.filter(|topic| !topic.partitions.is_empty() && (!by_id || !topic.id.is_zero())).collect()
}

impl Topic {
    fn response<'r>(&'r self, partitions: &'r Vec<OffsetFetchResponsePartitions<'r>>) -> OffsetFetchResponseTopics<'r> {
        OffsetFetchResponseTopics { name: &self.name, topic_id: self.id, partitions: partitions.into() }
    }
}

impl Partition {
    fn none(index: i32, error: ErrorCode) -> Self {
        Self { index, offset: NONE, leader_epoch: -1, metadata: "".into(), error }
    }

    fn of(index: i32, committed: &Committed) -> Self {
        Self {
            index,
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: committed.metadata.clone(),
            error: ErrorCode::NONE,
        }
    }

    fn of_one_group(&self) -> OffsetFetchResponsePartition<'_> {
        OffsetFetchResponsePartition {
            partition_index: self.index,
            committed_offset: self.offset,
            committed_leader_epoch: self.leader_epoch,
            metadata: Some(&self.metadata),
            error_code: self.error,
        }
    }

    fn of_groups(&self) -> OffsetFetchResponsePartitions<'_> {
        OffsetFetchResponsePartitions {
            partition_index: self.index,
            committed_offset: self.offset,
            committed_leader_epoch: self.leader_epoch,
            metadata: Some(&self.metadata),
            error_code: self.error,
        }
    }
}
