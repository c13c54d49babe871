//! A client against a script: the test is the cluster, decides what it answers, and when.

mod calling;
mod connecting;
mod consuming;
mod grouping;
mod producing;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use corelog_wire::api::api_versions::{ApiVersion, ApiVersionsResponse};
use corelog_wire::api::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use corelog_wire::api::produce::ProduceRequest;
use corelog_wire::api_key::ApiKey;
use corelog_wire::decoder::Decoder;
use corelog_wire::frame::encode_response;
use corelog_wire::header::RequestHeader;
use corelog_wire::ids::TopicId;
use corelog_wire::message::{Message, Request, VersionRange};

use super::*;

const TOPIC: &str = "t";
const TOPIC_ID: TopicId = TopicId([7; 16]);

/// A request that the client sent.
#[derive(Clone, Debug)]
struct Sent {
    connection: ConnectionId,
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    frame: Bytes,
}

impl Sent {
    fn decode<'a, R: Request<'a>>(&'a self) -> R {
        assert_eq!(self.api, R::KEY);
        let mut decoder = Decoder::new(&self.frame);
        RequestHeader::decode(&mut decoder).unwrap();
        let request = R::decode(&mut decoder, self.version).unwrap();
        decoder.finish().unwrap();
        request
    }
}

/// The correlation id of a request, and its answer, if that is there.
type Unanswered = (i32, Option<Vec<u8>>);

/// The cluster, and the time.
struct World {
    client: Client,
    now: Duration,
    /// Connections that the client asked for and nobody answered yet.
    connecting: VecDeque<(ConnectionId, Address)>,
    open: BTreeMap<ConnectionId, Address>,
    closed: Vec<ConnectionId>,
    sent: VecDeque<Sent>,
    /// The requests of each connection that are not answered, with the answers that wait for those before them.
    unanswered: BTreeMap<ConnectionId, VecDeque<Unanswered>>,
    versions: Vec<ApiVersion>,
    /// The leader of each partition of the one topic.
    leaders: Vec<i32>,
    topic_id: TopicId,
}

fn address(broker: i32) -> Address {
    Address::new("b", 9000 + broker as u16)
}

fn all_versions() -> Vec<ApiVersion> {
    let range = |api: &ApiKey| {
        let VersionRange { min, max } = api.versions();
        ApiVersion { api_key: api.key(), min_version: min, max_version: max }
    };
    ApiKey::ALL.iter().map(range).collect()
}

impl World {
    fn new(change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = ClientConfig::new(vec![address(1)]);
        config.producer.linger = Duration::ZERO;
        change(&mut config);
        Self {
            client: Client::new(config),
            now: Duration::from_secs(1000),
            connecting: VecDeque::new(),
            open: BTreeMap::new(),
            closed: Vec::new(),
            sent: VecDeque::new(),
            unanswered: BTreeMap::new(),
            versions: all_versions(),
            leaders: vec![1],
            topic_id: TOPIC_ID,
        }
    }

    /// A world whose client knows the topic, with these leaders.
    fn ready(leaders: &[i32], change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut world = Self::new(change);
        world.leaders = leaders.to_vec();
        world.client.want_topic(TOPIC);
        world.run();
        assert!(world.sent.is_empty() && world.client.metadata().partition_count(TOPIC).is_some());
        // What is asked again is asked at once: the last time was long ago.
        world.now += Duration::from_secs(10);
        world
    }

    /// Does what the client wants done, once.
    fn poll(&mut self) {
        let mut actions = Vec::new();
        self.client.poll(self.now, &mut actions);
        for action in actions {
            match action {
                Action::Connect(id, address) => self.connecting.push_back((id, address)),
                Action::Send(id, segments) => self.take_frames(id, &segments.concat()),
                Action::Close(id) => {
                    self.open.remove(&id);
                    self.closed.push(id);
                }
            }
        }
    }

    fn take_frames(&mut self, connection: ConnectionId, mut bytes: &[u8]) {
        assert!(self.open.contains_key(&connection), "something is sent on a connection that is not open");
        while let Some((prefix, rest)) = bytes.split_first_chunk::<4>() {
            let (frame, rest) = rest.split_at(i32::from_be_bytes(*prefix) as usize);
            bytes = rest;
            let mut decoder = Decoder::new(frame);
            let header = RequestHeader::decode(&mut decoder).unwrap();
            let is_answered = header.api() != Some(ApiKey::Produce)
                || ProduceRequest::decode(&mut decoder, header.request_api_version).unwrap().acks != 0;
            if is_answered {
                self.unanswered.entry(connection).or_default().push_back((header.correlation_id, None));
            }
            self.sent.push_back(Sent {
                connection,
                api: header.api().unwrap(),
                version: header.request_api_version,
                correlation_id: header.correlation_id,
                frame: Bytes::copy_from_slice(frame),
            });
        }
    }

    /// Runs until the client waits: opens connections, answers ApiVersions and Metadata, leaves all else in `sent`.
    fn run(&mut self) {
        for _ in 0..100 {
            self.poll();
            let mut is_idle = true;
            while let Some((id, address)) = self.connecting.pop_front() {
                is_idle = false;
                self.open.insert(id, address);
                self.client.opened(self.now, id);
            }
            let mut left = VecDeque::new();
            while let Some(sent) = self.sent.pop_front() {
                match sent.api {
                    ApiKey::ApiVersions => {
                        is_idle = false;
                        let versions = self.versions.clone();
                        self.answer(&sent, &ApiVersionsResponse { api_keys: (&versions).into(), ..Default::default() });
                    }
                    ApiKey::Metadata => {
                        is_idle = false;
                        self.answer_metadata(&sent);
                    }
                    _ => left.push_back(sent),
                }
            }
            self.sent = left;
            if is_idle {
                let next = self.client.deadline(self.now);
                assert!(next.is_none_or(|at| at > self.now), "the client would turn without end");
                return;
            }
        }
        panic!("the client does not come to rest");
    }

    /// Lets time pass, to where the client wants to act and on, and runs.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.client.deadline(self.now).filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.run();
            // What is due now and cannot be done yet is no reason to stay.
            self.now += Duration::from_millis(1);
        }
        self.now = until.max(self.now);
        self.run();
    }

    /// Answers a request, after those that came before it on its connection.
    fn answer<'a>(&mut self, sent: &Sent, response: &impl Message<'a>) {
        let bytes = encode_response(sent.correlation_id, sent.api, sent.version, response).unwrap().concat();
        let waiting = self.unanswered.get_mut(&sent.connection).unwrap();
        let place = waiting.iter_mut().find(|(id, _)| *id == sent.correlation_id).expect("it is not answered yet");
        place.1 = Some(bytes);
        let mut ready = Vec::new();
        while let Some((_, Some(_))) = waiting.front() {
            ready.extend(waiting.pop_front().and_then(|(_, bytes)| bytes).unwrap());
        }
        self.receive(sent.connection, &ready);
    }

    fn receive(&mut self, connection: ConnectionId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.client.room(connection).expect("the connection is there");
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.client.received(self.now, connection, count);
            bytes = &bytes[count..];
        }
    }

    fn answer_metadata(&mut self, sent: &Sent) {
        let brokers: Vec<_> =
            (1..=3).map(|id| MetadataResponseBroker { node_id: id, host: "b", port: 9000 + id, rack: None }).collect();
        let partitions: Vec<_> = self
            .leaders
            .iter()
            .enumerate()
            .map(|(index, leader)| MetadataResponsePartition {
                partition_index: index as i32,
                leader_id: *leader,
                leader_epoch: 3,
                ..Default::default()
            })
            .collect();
        let topics = [MetadataResponseTopic {
            name: Some(TOPIC),
            topic_id: self.topic_id,
            partitions: (&partitions).into(),
            ..Default::default()
        }];
        let response = MetadataResponse {
            brokers: (&brokers).into(),
            controller_id: 2,
            topics: (&topics).into(),
            ..Default::default()
        };
        self.answer(sent, &response);
    }

    /// The next request, which is of this API.
    fn next(&mut self, api: ApiKey) -> Sent {
        let sent = self.sent.pop_front().unwrap_or_else(|| panic!("{api} was not sent"));
        assert_eq!(sent.api, api);
        sent
    }

    /// The broker that a request went to.
    fn broker_of(&self, sent: &Sent) -> i32 {
        i32::from(self.open[&sent.connection].port) - 9000
    }

    /// The connection breaks.
    fn break_connection(&mut self, id: ConnectionId) {
        self.open.remove(&id);
        self.client.closed(self.now, id, ConnectionError::Broken("reset".to_owned()));
    }
}
