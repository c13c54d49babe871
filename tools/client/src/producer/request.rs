//! Produce requests: which batches go together, and what the answers mean for them.

use std::time::Duration;

use corelog_wire::api::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use super::lane::Batch;
use super::{Acks, DeliveryError, Identity, Producer, Request};
use crate::cluster::{Cluster, Tag};
use crate::connection::{Answer, ConnectionError};
use crate::limits::{RETRY_BACKOFF, SPLIT_BATCH_BYTES_MIN};

/// The first version that names topics by id alone.
const BY_ID: i16 = 13;

impl Producer {
    /// Sends requests to a broker, as long as there is something to send and it may have one more.
    pub(super) fn send_to(&mut self, now: Duration, cluster: &mut Cluster, broker: i32) {
        loop {
            let in_flight = self.in_flight.get(&broker).copied().unwrap_or(0);
            let lanes = self.ready.get(&broker).map_or(0, |lanes| lanes.len());
            if in_flight >= self.config.requests_in_flight || lanes == 0 || cluster.broker(now, broker).is_none() {
                return;
            }
            let batches = self.take_batches(cluster, broker);
            self.send_batches(now, cluster, broker, batches);
        }
    }

    /// One batch per lane, until the request is full.
    fn take_batches(&mut self, cluster: &Cluster, broker: i32) -> Vec<(usize, Batch)> {
        let queue = self.ready.get_mut(&broker).expect("only called for one with lanes");
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for _ in 0..queue.len() {
            let index = *queue.front().expect("counted");
            let batch = self.lanes[index].take_next(self.identity).expect("a lane that is queued has a batch");
            if bytes > 0 && bytes + batch.bytes().len() > self.config.request_bytes_max {
                // It keeps its number: it is the next to be sent.
                self.lanes[index].untake(batch);
                break;
            }
            queue.pop_front();
            self.lanes[index].is_queued = false;
            bytes += batch.bytes().len();
            taken.push((index, batch));
        }
        for (index, _) in &taken {
            self.enqueue(cluster, *index);
        }
        // Those of one topic beside each other.
        taken.sort_by(|(a, _), (b, _)| {
            let key = |index: usize| (&self.lanes[index].topic, self.lanes[index].partition);
            key(*a).cmp(&key(*b))
        });
        taken
    }

    fn send_batches(&mut self, now: Duration, cluster: &mut Cluster, broker: i32, batches: Vec<(usize, Batch)>) {
        let mut topics: Vec<(&str, TopicId, Vec<PartitionProduceData<'_>>)> = Vec::new();
        for (index, batch) in &batches {
            let lane = &self.lanes[*index];
            if topics.last().is_none_or(|(name, ..)| *name != &*lane.topic) {
                let id = cluster.metadata.topic_id(&lane.topic).unwrap_or(TopicId::ZERO);
                topics.push((&lane.topic, id, Vec::new()));
            }
            let data = PartitionProduceData { index: lane.partition, records: Some(batch.bytes()) };
            topics.last_mut().expect("just pushed").2.push(data);
        }
        let topic_data: Vec<_> = topics
            .iter()
            .map(|(name, topic_id, data)| TopicProduceData { name, topic_id: *topic_id, partition_data: data.into() })
            .collect();
        let request = ProduceRequest {
            transactional_id: None,
            acks: self.config.acks.code(),
            timeout_ms: i32::try_from(self.config.replicas_timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data: (&topic_data).into(),
        };
        let version_max = if topics.iter().all(|(_, id, _)| !id.is_zero()) { i16::MAX } else { BY_ID - 1 };
        let is_answered = self.config.acks != Acks::None;
        let deadline = is_answered.then(|| cluster.request_deadline(now));
        let serial = self.next_serial;
        let connection = cluster.broker(now, broker).expect("it was ready when this was begun");
        let sent = connection.send(&request, version_max, deadline, Tag::Produce(serial));
        self.next_serial += 1;
        match sent {
            Ok(_) if is_answered => {
                *self.in_flight.entry(broker).or_default() += 1;
                self.requests.insert(serial, Request { broker, batches });
            }
            result => {
                let result = result.map(|_| -1).map_err(DeliveryError::Unsendable);
                for (index, batch) in batches {
                    self.lanes[index].in_flight -= 1;
                    self.lanes[index].taken();
                    self.deliver(index, batch, result.clone());
                    self.enqueue(cluster, index);
                }
            }
        }
    }

    /// Takes the answer to a produce request, or that there is none.
    pub(crate) fn answered(
        &mut self,
        now: Duration,
        cluster: &mut Cluster,
        serial: u64,
        result: &Result<Answer, ConnectionError>,
    ) {
        let Some(request) = self.requests.remove(&serial) else { return };
        *self.in_flight.get_mut(&request.broker).expect("it was counted") -= 1;
        for (index, _) in &request.batches {
            self.lanes[*index].in_flight -= 1;
        }
        let response = match result {
            Ok(answer) => answer.decode::<ProduceResponse<'_>>().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        // In the order of the request, which is that of every broker known.
        let all = || {
            response.iter().flat_map(|response| response.responses.iter()).flat_map(|topic| {
                topic.partition_responses.iter().map(move |partition| (topic.name, topic.topic_id, partition))
            })
        };
        let mut answers = all();
        let mut lanes = Vec::with_capacity(request.batches.len());
        for (index, mut batch) in request.batches {
            let lane = &self.lanes[index];
            let id = cluster.metadata.topic_id(&lane.topic);
            let is_its = |(name, topic_id, partition): &(&str, TopicId, PartitionProduceResponse<'_>)| {
                partition.index == lane.partition && (**name == *lane.topic || Some(*topic_id) == id)
            };
            let found = answers.next().filter(&is_its).or_else(|| all().find(&is_its));
            match (&response, found) {
                (Ok(_), Some((.., partition))) => self.settle(now, cluster, index, batch, &partition),
                (unknown, _) => {
                    let reason = unknown.as_ref().err().cloned();
                    let reason = reason.unwrap_or_else(|| "an answer that leaves the partition out".to_owned());
                    batch.may_be_written = true;
                    self.retry(now, index, batch, reason);
                }
            }
            lanes.push(index);
        }
        for index in lanes {
            self.enqueue(cluster, index);
        }
    }

    /// Decides what the broker's word means for a batch.
    fn settle(
        &mut self,
        now: Duration,
        cluster: &mut Cluster,
        index: usize,
        batch: Batch,
        answer: &PartitionProduceResponse<'_>,
    ) {
        let error = answer.error_code;
        match error {
            // The numbers of a duplicate are those of the original (KIP-98): the records are there.
            ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER => {
                self.lanes[index].taken();
                self.deliver(index, batch, Ok(answer.base_offset));
            }
            // Something older is to be sent again first, and is under way or waits in front.
            // Or a new producer id is about to begin, because something older was given up.
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
                if self.lanes[index].has_older(batch.serial) || !matches!(self.identity, Identity::Known { .. }) =>
            {
                self.retry(now, index, batch, error.to_string());
            }
            // What the topic takes is less than what a batch may have here.
            ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE if batch.tokens.len() > 1 => {
                self.split(now, index, &batch);
            }
            // The broker has forgotten the producer. Under a new id the records count as new: safe only where none of them
            // can have been written, which is so if this was the first try.
            ErrorCode::UNKNOWN_PRODUCER_ID | ErrorCode::INVALID_PRODUCER_EPOCH if batch.tries == 1 => {
                if matches!(self.identity, Identity::Known { .. }) {
                    self.identity = Identity::Missing { not_before: now };
                }
                self.retry(now, index, batch, error.to_string());
            }
            _ if error.is_retriable() => {
                cluster.metadata.mark_stale();
                self.retry(now, index, batch, error.to_string());
            }
            _ => {
                let record = answer.record_errors.iter().find_map(|record| record.batch_index_error_message);
                let words = record.or(answer.error_message).map(str::to_owned);
                self.give_up(now, index, batch, DeliveryError::Refused(error, words));
            }
        }
    }

    /// Sends a batch again in two.
    fn split(&mut self, now: Duration, index: usize, batch: &Batch) {
        let (first, second) = batch.halves(&self.config).expect("a batch that was sent and has two records has halves");
        self.config.batch_bytes = (self.config.batch_bytes / 2).max(SPLIT_BATCH_BYTES_MIN);
        // Of two with the same serial, the last to be put back stands in front.
        self.lanes[index].put_back(second);
        self.retry(now, index, first, ErrorCode::MESSAGE_TOO_LARGE.to_string());
    }

    fn retry(&mut self, now: Duration, index: usize, mut batch: Batch, reason: String) {
        if batch.opened_at + self.config.delivery_timeout <= now {
            self.give_up(now, index, batch, DeliveryError::TimedOut(Some(reason)));
            return;
        }
        batch.last_failure = Some(reason);
        let lane = &mut self.lanes[index];
        lane.put_back(batch);
        if !lane.is_backing_off {
            lane.is_backing_off = true;
            self.backing_off.push_back((now + RETRY_BACKOFF, index));
        }
    }
}
