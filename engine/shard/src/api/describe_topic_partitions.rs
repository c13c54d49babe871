//! DescribeTopicPartitions: topics and their partitions in the order of names and indexes, a page at a time (KIP-966).
//!
//! A page ends where it has as many partitions as the client and `max.request.partition.size.limit` allow; the answer's
//! cursor says where the next one begins. Topics that cannot be described take no room in a page.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use corelog_replication::metadata::{MetadataImage, TopicImage};
use corelog_wire::api::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use corelog_wire::error_code::ErrorCode;

use super::metadata::{Row, TOPIC_OPERATIONS, is_internal, why_unknown};
use super::{Call, Outcome, ReplyTo};
use crate::front::Context;

/// Answers at once.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<DescribeTopicPartitionsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.topics.len()) {
        return Outcome::Close(reason);
    }
    let image = cx.metadata.image();
    let first = request.cursor.map_or("", |cursor| cursor.topic_name);
    let named: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name).filter(|name| *name >= first).collect();
    if let Some(cursor) = request.cursor {
        let is_named = request.topics.is_empty() || named.contains(cursor.topic_name);
        if !is_named || cursor.partition_index < 0 {
            return refuse(&call.to, &request);
        }
    }
    let limit = request.response_partition_limit.min(cx.config.request_partitions_max).max(1);
    let mut page = Page {
        begin: request.cursor,
        left: usize::try_from(limit).expect("it is positive"),
        topics: Vec::new(),
        next: None,
    };
    if request.topics.is_empty() {
        page.fill(image, image.topics().skip_while(|topic| topic.name() < first).map(Found::Topic));
    } else {
        let find = |name| image.topic_by_name(name).map_or(Found::Unknown(name), Found::Topic);
        page.fill(image, named.into_iter().map(find));
    }
    page.answer(&call.to)
}

/// The cursor leads nowhere. There is no error for the whole, so it stands with each topic that was named.
fn refuse(to: &ReplyTo, request: &DescribeTopicPartitionsRequest<'_>) -> Outcome {
    let refused = |name| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST,
        name: Some(name),
        ..DescribeTopicPartitionsResponseTopic::default()
    };
    let topics: Vec<_> = request.topics.iter().map(|topic| refused(topic.name)).collect();
    to.answer(&DescribeTopicPartitionsResponse { topics: (&topics).into(), ..Default::default() })
}

/// A topic that is to be described.
enum Found<'a> {
    Topic(&'a Arc<TopicImage>),
    Unknown(&'a str),
}

impl<'a> Found<'a> {
    fn name(&self) -> &'a str {
        match self {
            Self::Topic(topic) => topic.name(),
            Self::Unknown(name) => name,
        }
    }
}

/// What one answer describes.
struct Page<'a> {
    /// Where it begins, if not with the first topic.
    begin: Option<Cursor<'a>>,
    /// Partitions that there is still room for.
    left: usize,
    topics: Vec<(Found<'a>, Vec<Row>)>,
    /// Where the next page begins.
    next: Option<Cursor<'a>>,
}

impl<'a> Page<'a> {
    fn fill(&mut self, image: &MetadataImage, topics: impl Iterator<Item = Found<'a>>) {
        for found in topics {
            let topic_name = found.name();
            if self.left == 0 {
                self.next = Some(Cursor { topic_name, partition_index: 0 });
                return;
            }
            let Found::Topic(topic) = &found else {
                self.topics.push((found, Vec::new()));
                continue;
            };
            let begin = self.begin.filter(|cursor| cursor.topic_name == topic_name);
            let begin = begin.map_or(0, |cursor| usize::try_from(cursor.partition_index).unwrap_or(0));
            let partitions = topic.partitions();
            let rest = partitions.get(begin..).unwrap_or_default();
            let rows: Vec<Row> = rest.iter().take(self.left).map(|partition| Row::of(image, partition)).collect();
            self.left -= rows.len();
            let next = rest.get(rows.len()).map(|partition| partition.index.0);
            self.topics.push((found, rows));
            if let Some(partition_index) = next {
                self.next = Some(Cursor { topic_name, partition_index });
                return;
            }
        }
    }

    fn answer(&self, to: &ReplyTo) -> Outcome {
        let partitions: Vec<Vec<_>> =
            self.topics.iter().map(|(_, rows)| rows.iter().map(partition).collect()).collect();
        let topics: Vec<_> =
            self.topics.iter().zip(&partitions).map(|((found, _), partitions)| topic(found, partitions)).collect();
        to.answer(&DescribeTopicPartitionsResponse {
            topics: (&topics).into(),
            next_cursor: self.next,
            ..DescribeTopicPartitionsResponse::default()
        })
    }
}

fn topic<'r>(
    found: &Found<'r>,
    partitions: &'r [DescribeTopicPartitionsResponsePartition<'r>],
) -> DescribeTopicPartitionsResponseTopic<'r> {
    let name = found.name();
    let response = DescribeTopicPartitionsResponseTopic {
        name: Some(name),
        is_internal: is_internal(name),
        partitions: partitions.into(),
        // Always told here; this API has no flag for it.
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..DescribeTopicPartitionsResponseTopic::default()
    };
    match found {
        Found::Topic(topic) => DescribeTopicPartitionsResponseTopic { topic_id: topic.id(), ..response },
        Found::Unknown(name) => DescribeTopicPartitionsResponseTopic { error_code: why_unknown(name), ..response },
    }
}

/// Without a leader a partition has none, which is no error here.
fn partition(row: &Row) -> DescribeTopicPartitionsResponsePartition<'_> {
    DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode::NONE,
        partition_index: row.index,
        leader_id: row.leader,
        leader_epoch: row.leader_epoch,
        replica_nodes: (&row.replicas).into(),
        isr_nodes: (&row.in_sync).into(),
        eligible_leader_replicas: Some([].as_slice().into()),
        last_known_elr: Some([].as_slice().into()),
        offline_replicas: (&row.offline).into(),
    }
}

#[cfg(test)]
mod tests;
