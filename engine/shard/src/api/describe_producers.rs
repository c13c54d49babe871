//! DescribeProducers: the idempotent producers that partitions remember (KIP-664), as they are at the log end. No transaction
//! is ever open, and no coordinator of transactions has written a marker.

use alloc::vec::Vec;

use corelog_replication::ids::PartitionIndex;
use corelog_replication::metadata::topic_name;
use corelog_wire::api::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use corelog_wire::error_code::ErrorCode;

use super::sharing::{PerPartition, Place, ShareAnswer, place};
use super::{Call, Outcome, Parked, ReplyTo, Wait};
use crate::front::Context;
use crate::log::PartitionId;
use crate::mesh::ShardIndex;

/// What there is in those fields where nothing is.
const NONE: i32 = -1;

/// The producers of one partition.
#[derive(Debug)]
pub(crate) struct Described {
    index: i32,
    outcome: Result<Vec<ProducerState>, ErrorCode>,
}

/// A request that waits for other shards.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    partitions: PerPartition<Described>,
}

/// Answers at once what this shard knows.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<DescribeProducersRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let count = request.topics.iter().map(|topic| topic.partition_indexes.len()).sum::<usize>();
    if let Err(reason) = call.check_entries(request.topics.len() + count) {
        return Outcome::Close(reason);
    }
    let mut partitions = PerPartition::new(call.is_share, request.topics.len(), count);
    for topic in request.topics {
        for index in topic.partition_indexes {
            let found = find(cx, topic.name, index);
            let outcome = match found {
                Ok(Place::Here(id)) => Ok(producers(cx, id)),
                Ok(Place::There(_) | Place::Nowhere) => Ok(Vec::new()),
                Err(error) => Err(error),
            };
            partitions.push(found.ok(), Described { index, outcome });
        }
        partitions.end_topic(topic.name);
    }
    let pending = Pending { to: call.to, partitions };
    if pending.partitions.awaits().is_empty() {
        return pending.answer();
    }
    let shares = pending.partitions.awaits().to_vec();
    let weight = size_of::<Described>() * count;
    Outcome::Wait(Parked::DescribeProducers(pending), Wait { shares, weight, ..Wait::default() })
}

fn find(cx: &Context<'_>, topic: &str, index: i32) -> Result<Place, ErrorCode> {
    topic_name::validate(topic).map_err(|_| ErrorCode::INVALID_TOPIC_EXCEPTION)?;
    let topic = cx.metadata.image().topic_by_name(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let assignment = topic.partition(PartitionIndex(index)).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    match place(cx, topic, assignment) {
        Place::Nowhere => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        found => Ok(found),
    }
}

fn producers(cx: &Context<'_>, id: PartitionId) -> Vec<ProducerState> {
    let producers = cx.logs.partition(id).producers.iter();
    let states = producers.map(|(producer_id, producer)| ProducerState {
        producer_id,
        producer_epoch: i32::from(producer.epoch),
        last_sequence: producer.batches.back().map_or(NONE, |batch| batch.last_sequence),
        last_timestamp: producer.last_timestamp_ms,
        coordinator_epoch: NONE,
        current_txn_start_offset: i64::from(NONE),
    });
    states.collect()
}

impl Described {
    fn response(&self) -> PartitionResponse<'_> {
        PartitionResponse {
            partition_index: self.index,
            error_code: self.outcome.as_ref().err().copied().unwrap_or(ErrorCode::NONE),
            error_message: None,
            active_producers: self.outcome.as_deref().unwrap_or_default().into(),
        }
    }
}

impl Pending {
    /// Another shard has done its share. Returns whether nothing is missing any more.
    pub(crate) fn joined(&mut self, from: ShardIndex, results: Vec<(usize, Described)>) -> bool {
        self.partitions.joined(from, results, |gone| gone.outcome = Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        self.partitions.awaits().is_empty()
    }

    /// Answers the client, or the shard whose request it is.
    pub(crate) fn answer(self) -> Outcome {
        let results = match self.partitions.finish() {
            Ok(results) => results,
            Err(ours) => return Outcome::Share(ShareAnswer::DescribeProducers(ours)),
        };
        let rows: Vec<(&str, Vec<PartitionResponse<'_>>)> = results
            .iter()
            .map(|(name, partitions)| (name, partitions.iter().map(Described::response).collect()))
            .collect();
        let topics: Vec<_> =
            rows.iter().map(|(name, partitions)| TopicResponse { name, partitions: partitions.into() }).collect();
        self.to.answer(&DescribeProducersResponse { topics: (&topics).into(), ..Default::default() })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use corelog_wire::api::describe_producers::TopicRequest;
    use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
    use corelog_wire::api_key::ApiKey;
    use corelog_wire::record_batch::{BatchBuilder, NewRecord};

    use super::*;
    use crate::front::testing::{Host, decode, on_shard};

    const NOW_MS: i64 = 1_700_000_000_000;

    fn batch(producer_id: i64, base_sequence: i32) -> Vec<u8> {
        let mut builder = BatchBuilder::new().producer(producer_id, 3, base_sequence);
        for value in [&b"a"[..], b"b"] {
            builder.append(&NewRecord { timestamp: NOW_MS, key: None, value: Some(value), headers: &[] });
        }
        builder.build()
    }

    #[test]
    fn producers_of_every_shard_are_described() {
        for shards in [1, 3] {
            let mut host = Host::with_shards(shards, |_| {});
            host.create_topic("t", 3, &[]);
            let id = host.open(on_shard(shards as u16 - 1, 1));
            for (index, producer_id, base_sequence) in [(0, 70, 0), (2, 90, 0), (2, 70, 0), (2, 90, 2)] {
                let records = batch(producer_id, base_sequence);
                let partitions = [PartitionProduceData { index, records: Some(&records) }];
                let topics =
                    [TopicProduceData { name: "t", partition_data: (&partitions).into(), ..Default::default() }];
                let request =
                    ProduceRequest { acks: -1, timeout_ms: 9_000, topic_data: (&topics).into(), ..Default::default() };
                host.send(id, 9, &request);
                host.commit();
                host.reply(id);
            }
            let topics = [
                TopicRequest { name: "t", partition_indexes: (&[0, 1, 2, 3]).into() },
                TopicRequest { name: "x", partition_indexes: (&[0]).into() },
                TopicRequest { name: "no/name", partition_indexes: (&[0]).into() },
            ];
            let reply = host.ask(id, 0, &DescribeProducersRequest { topics: (&topics).into() });
            let response: DescribeProducersResponse<'_> = decode(ApiKey::DescribeProducers, 0, &reply);
            let rows: Vec<_> = response
                .topics
                .iter()
                .flat_map(|topic| topic.partitions.iter())
                .map(|it| {
                    let producers = it.active_producers.iter().map(|it| (it.producer_id, it.last_sequence));
                    (it.partition_index, it.error_code, producers.collect::<Vec<_>>())
                })
                .collect();
            let unknown = |index| (index, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, vec![]);
            let expected = vec![
                (0, ErrorCode::NONE, vec![(70, 1)]),
                (1, ErrorCode::NONE, vec![]),
                (2, ErrorCode::NONE, vec![(70, 1), (90, 3)]),
                unknown(3),
                unknown(0),
                (0, ErrorCode::INVALID_TOPIC_EXCEPTION, vec![]),
            ];
            assert_eq!(rows, expected);
            let producer =
                response.topics.first().unwrap().partitions.first().unwrap().active_producers.first().unwrap();
            assert_eq!((producer.producer_epoch, producer.last_timestamp), (3, NOW_MS));
            assert_eq!((producer.coordinator_epoch, producer.current_txn_start_offset), (-1, -1));
        }
    }
}
