//! The consumer's requests: offsets to begin with, and records.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData};
use corelog_wire::api::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::batches;

use super::fetched::Fetched;
use super::{Assignment, Consumer, Position, ReadError, ReadEvent, Request, State};
use crate::cluster::{Cluster, Tag};
use crate::connection::{Answer, ConnectionError};

/// The first version that names topics by id alone.
const FETCH_BY_ID: i16 = 13;

impl Consumer {
    /// Sends requests to every leader that has none under way of that kind.
    pub(super) fn ask(&mut self, now: Duration, cluster: &mut Cluster) {
        let mut wanted: BTreeMap<(i32, bool), Vec<u64>> = BTreeMap::new();
        for (place, assignment) in &self.assignments {
            if !assignment.wants_request() || assignment.not_before > now {
                continue;
            }
            match cluster.metadata.leader(&assignment.topic, assignment.partition) {
                Some((leader, _)) => {
                    let is_fetch = matches!(assignment.state, State::At(_));
                    wanted.entry((leader, is_fetch)).or_default().push(*place);
                }
                None => cluster.metadata.mark_stale(),
            }
        }
        for request in self.requests.values() {
            wanted.remove(&(request.broker, request.is_fetch));
        }
        for ((broker, is_fetch), mut partitions) in wanted {
            if cluster.broker(now, broker).is_none() {
                continue;
            }
            let name = |place: &u64| (self.assignments[place].topic.clone(), self.assignments[place].partition);
            partitions.sort_by_key(name);
            match is_fetch {
                true => self.fetch(now, cluster, broker, partitions),
                false => self.list_offsets(now, cluster, broker, partitions),
            }
        }
    }

    /// Partitions of one topic each; they stand beside each other.
    fn by_topic<'a, T>(&'a self, partitions: &[u64], line: impl Fn(&'a Assignment) -> T) -> Vec<(&'a str, Vec<T>)> {
        let mut topics: Vec<(&str, Vec<T>)> = Vec::new();
        for place in partitions {
            let assignment = &self.assignments[place];
            if topics.last().is_none_or(|(name, _)| *name != &*assignment.topic) {
                topics.push((&assignment.topic, Vec::new()));
            }
            topics.last_mut().expect("just pushed").1.push(line(assignment));
        }
        topics
    }

    fn list_offsets(&mut self, now: Duration, cluster: &mut Cluster, broker: i32, partitions: Vec<u64>) {
        let leader_epoch = |assignment: &Assignment| {
            cluster.metadata.leader(&assignment.topic, assignment.partition).map_or(-1, |(_, epoch)| epoch)
        };
        let topics = self.by_topic(&partitions, |assignment| ListOffsetsPartition {
            partition_index: assignment.partition,
            current_leader_epoch: leader_epoch(assignment),
            timestamp: match assignment.state {
                State::Unplaced(position) => position.timestamp(),
                _ => panic!("only those without a place are looked up"),
            },
        });
        let topics: Vec<_> =
            topics.iter().map(|(name, partitions)| ListOffsetsTopic { name, partitions: partitions.into() }).collect();
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: i8::from(self.config.committed_only),
            topics: (&topics).into(),
            timeout_ms: 0,
        };
        let deadline = Some(cluster.request_deadline(now));
        let connection = cluster.broker(now, broker).expect("it is ready");
        let sent = connection.send(&request, i16::MAX, deadline, Tag::Offsets(self.next_serial));
        self.sent(broker, false, partitions, sent.map(|_| ()));
    }

    fn fetch(&mut self, now: Duration, cluster: &mut Cluster, broker: i32, partitions: Vec<u64>) {
        let leader_epoch = |assignment: &Assignment| {
            cluster.metadata.leader(&assignment.topic, assignment.partition).map_or(-1, |(_, epoch)| epoch)
        };
        let topics = self.by_topic(&partitions, |assignment| FetchPartition {
            partition: assignment.partition,
            current_leader_epoch: leader_epoch(assignment),
            fetch_offset: match assignment.state {
                State::At(offset) => offset,
                _ => panic!("only those with a place are read"),
            },
            partition_max_bytes: self.config.partition_bytes_max,
            ..Default::default()
        });
        let id = |topic| cluster.metadata.topic_id(topic).unwrap_or(TopicId::ZERO);
        let topics: Vec<_> = topics
            .iter()
            .map(|(topic, partitions)| FetchTopic { topic, topic_id: id(topic), partitions: partitions.into() })
            .collect();
        let request = FetchRequest {
            max_wait_ms: i32::try_from(self.config.wait_max.as_millis()).unwrap_or(i32::MAX),
            min_bytes: self.config.bytes_min,
            max_bytes: self.config.bytes_max,
            isolation_level: i8::from(self.config.committed_only),
            topics: (&topics).into(),
            ..Default::default()
        };
        let version_max = if topics.iter().all(|topic| !topic.topic_id.is_zero()) { i16::MAX } else { FETCH_BY_ID - 1 };
        let deadline = Some(cluster.request_deadline(now) + self.config.wait_max);
        let connection = cluster.broker(now, broker).expect("it is ready");
        let sent = connection.send(&request, version_max, deadline, Tag::Fetch(self.next_serial));
        self.sent(broker, true, partitions, sent.map(|_| ()));
    }

    fn sent(
        &mut self,
        broker: i32,
        is_fetch: bool,
        partitions: Vec<u64>,
        result: Result<(), crate::connection::SendError>,
    ) {
        if let Err(error) = result {
            partitions.into_iter().for_each(|place| self.fail(place, ReadError::Unsendable(error)));
            return;
        }
        for place in &partitions {
            let Some(Assignment { state, .. }) = self.assignments.get_mut(place) else { continue };
            *state = match *state {
                State::Unplaced(position) => State::Placing(position),
                State::At(offset) => State::Fetching(offset),
                other => other,
            };
        }
        self.requests.insert(self.next_serial, Request { broker, is_fetch, partitions });
        self.next_serial += 1;
    }

    /// Takes the answer to a search for offsets, or that there is none.
    pub(crate) fn offsets_answered(
        &mut self,
        now: Duration,
        cluster: &mut Cluster,
        serial: u64,
        result: &Result<Answer, ConnectionError>,
    ) {
        let Some(request) = self.requests.remove(&serial) else { return };
        self.is_dirty = true;
        let response = result.as_ref().ok().and_then(|answer| answer.decode::<ListOffsetsResponse<'_>>().ok());
        for place in request.partitions {
            let Some(assignment) = self.assignments.get_mut(&place) else { continue };
            let State::Placing(position) = assignment.state else { continue };
            let of_topic =
                response.iter().flat_map(|response| response.topics).filter(|topic| *topic.name == *assignment.topic);
            let answer =
                of_topic.flat_map(|topic| topic.partitions).find(|one| one.partition_index == assignment.partition);
            match answer {
                Some(answer) if answer.error_code.is_none() && answer.offset >= 0 => {
                    (assignment.state, assignment.not_before) = (State::At(answer.offset), Duration::ZERO);
                }
                Some(answer) if answer.error_code.is_none() && matches!(position, Position::Timestamp(_)) => {
                    assignment.state = State::Unplaced(Position::End);
                }
                Some(answer) if !answer.error_code.is_none() && !answer.error_code.is_retriable() => {
                    self.fail(place, ReadError::Refused(answer.error_code));
                }
                _ => {
                    cluster.metadata.mark_stale();
                    assignment.step_back(now);
                }
            }
        }
    }

    /// Takes the answer to a fetch, or that there is none.
    pub(crate) fn fetch_answered(
        &mut self,
        now: Duration,
        cluster: &mut Cluster,
        serial: u64,
        result: &Result<Answer, ConnectionError>,
    ) {
        let Some(request) = self.requests.remove(&serial) else { return };
        self.is_dirty = true;
        let frame = result.as_ref().ok().map(|answer| &answer.frame);
        let response = result.as_ref().ok().and_then(|answer| answer.decode::<FetchResponse<'_>>().ok());
        let response = response.filter(|response| response.error_code.is_none());
        let all = || {
            response.iter().flat_map(|response| response.responses).flat_map(|topic| {
                topic.partitions.iter().map(move |partition| (topic.topic, topic.topic_id, partition))
            })
        };
        let mut answers = all();
        for place in request.partitions {
            let Some(assignment) = self.assignments.get_mut(&place) else { continue };
            let State::Fetching(offset) = assignment.state else { continue };
            let id = cluster.metadata.topic_id(&assignment.topic);
            let is_its = |(name, topic_id, partition): &(&str, TopicId, PartitionData<'_>)| {
                partition.partition_index == assignment.partition
                    && (**name == *assignment.topic || (!topic_id.is_zero() && Some(*topic_id) == id))
            };
            let found = answers.next().filter(&is_its).or_else(|| all().find(&is_its));
            match found.map(|(.., data)| data) {
                Some(data) if data.error_code.is_none() => {
                    self.read(place, offset, frame.expect("there is an answer"), &data);
                }
                Some(data) if data.error_code == ErrorCode::OFFSET_OUT_OF_RANGE => {
                    self.fail(place, ReadError::OutOfRange(offset));
                }
                Some(data) if !data.error_code.is_retriable() => self.fail(place, ReadError::Refused(data.error_code)),
                _ => {
                    cluster.metadata.mark_stale();
                    assignment.step_back(now);
                }
            }
        }
    }

    /// Takes what was read of a partition.
    fn read(&mut self, place: u64, offset: i64, frame: &Bytes, data: &PartitionData<'_>) {
        let records = data.records.and_then(|records| records.as_slice()).unwrap_or(&[]);
        // The headers alone say how far it goes; what is in the batches is for whoever takes them.
        let sound = batches(records).map_while(Result::ok);
        let (next, leader_epoch) = sound
            .fold((offset, -1), |(next, _), batch| (next.max(batch.next_offset()), batch.partition_leader_epoch()));
        let end = match (self.config.committed_only, data.last_stable_offset) {
            (true, stable) if stable >= 0 => stable,
            _ => data.high_watermark,
        };
        let aborted = data.aborted_transactions.iter().flat_map(|aborted| aborted.iter());
        let assignment = self.assignments.get_mut(&place).expect("it was looked at just now");
        let fetched = Fetched {
            topic: assignment.topic.clone(),
            partition: assignment.partition,
            from: offset,
            next,
            leader_epoch,
            end,
            high_watermark: data.high_watermark,
            log_start: data.log_start_offset,
            records: frame.slice_ref(records),
            aborted: match self.config.committed_only {
                true => aborted.map(|aborted| (aborted.first_offset, aborted.producer_id)).collect(),
                false => Vec::new(),
            },
            check_crcs: self.config.check_crcs,
            place,
        };
        assignment.state = State::Held(offset, next);
        self.tell(ReadEvent::Fetched(fetched));
    }
}
