//! A host for tests: feeds a front with requests and shows what it answers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use corelog_replication::controller::{self, Rejection};
use corelog_replication::ids::{BrokerId, DirectoryId, Incarnation};
use corelog_replication::metadata::{BrokerImage, MetadataChange};
use corelog_wire::api_key::ApiKey;
use corelog_wire::decoder::Decoder;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::frame::encode_request;
use corelog_wire::header::{RequestHeader, ResponseHeader};
use corelog_wire::ids::TopicId;
use corelog_wire::message::{Message, Request};
use corelog_wire::record_batch::{BatchBuilder, NewRecord};

use super::{Context, Front, Identity};
use crate::config::BrokerConfig;
use crate::io::{Action, ConnectionId, LogLevel, Now};
use crate::log::{Logs, PartitionId};
use crate::metadata::Metadata;

/// The broker under test.
pub(crate) const NODE_ID: i32 = 1;
pub(crate) const CLUSTER_ID: &str = "AAAAAAAAQACAAAAAAAAAAQ";

/// A front with everything around it.
pub(crate) struct Host {
    pub(crate) front: Front,
    pub(crate) logs: Logs,
    pub(crate) metadata: Metadata,
    pub(crate) config: BrokerConfig,
    pub(crate) now: Now,
    /// What was logged.
    pub(crate) messages: Vec<(LogLevel, String)>,
    pub(crate) paused: BTreeSet<ConnectionId>,
    pub(crate) closed: BTreeSet<ConnectionId>,
    replies: BTreeMap<ConnectionId, Vec<Vec<u8>>>,
    correlation_id: i32,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let mut config = BrokerConfig::default();
        change(&mut config);
        let identity = Identity { cluster_id: CLUSTER_ID.to_string(), node_id: NODE_ID };
        let mut host = Self {
            front: Front::new(&config, 7, identity),
            logs: Logs::model(),
            metadata: Metadata::default(),
            config,
            now: Now { monotonic_us: 1_000_000, wall_ms: 1_700_000_000_000 },
            messages: Vec::new(),
            paused: BTreeSet::new(),
            closed: BTreeSet::new(),
            replies: BTreeMap::new(),
            correlation_id: 0,
        };
        let broker = BrokerImage {
            id: BrokerId(NODE_ID),
            incarnation: Incarnation(1),
            host: "broker.example".to_string(),
            port: 9092,
            directory_id: DirectoryId([3; 16]),
        };
        host.metadata.propose(&controller::start_broker(&broker, true)).expect("the model takes everything");
        host.apply_metadata();
        host
    }

    /// Calls the front, ends the turn and does what it wants.
    pub(crate) fn call(&mut self, event: impl FnOnce(&mut Front, &mut Context<'_>)) {
        let mut actions = Vec::new();
        let mut cx = Context {
            now: self.now,
            logs: &mut self.logs,
            metadata: &mut self.metadata,
            config: &self.config,
            actions: &mut actions,
        };
        event(&mut self.front, &mut cx);
        self.front.end_of_turn(&mut cx);
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Reply { connection, segments } => {
                assert!(!self.closed.contains(&connection), "nothing is sent after the close");
                let frame = segments.concat();
                let length = i32::from_be_bytes(*frame.first_chunk().unwrap());
                assert_eq!(length as usize, frame.len() - 4, "one whole frame per reply");
                self.replies.entry(connection).or_default().push(frame[4..].to_vec());
            }
            Action::PauseInput(connection) => assert!(self.paused.insert(connection), "it was not paused"),
            Action::ResumeInput(connection) => assert!(self.paused.remove(&connection), "it was paused"),
            Action::Close(connection) => assert!(self.closed.insert(connection), "it was open"),
            Action::Log { level, message } => self.messages.push((level, message)),
            other => panic!("the front does not ask for {other:?}"),
        }
    }

    /// A new connection.
    pub(crate) fn open(&mut self, number: u64) -> ConnectionId {
        let id = ConnectionId(number);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        self.call(|front, cx| front.connection_opened(cx, id, peer));
        id
    }

    /// The client went away.
    pub(crate) fn disconnect(&mut self, id: ConnectionId) {
        self.call(|front, cx| front.connection_closed(cx, id));
    }

    /// Sends bytes as one frame.
    pub(crate) fn send_bytes(&mut self, id: ConnectionId, frame: Vec<u8>) {
        self.call(|front, cx| front.frame(cx, id, Bytes::from(frame)));
    }

    /// Sends a request and returns its correlation id.
    pub(crate) fn send<'a, R: Request<'a>>(&mut self, id: ConnectionId, version: i16, request: &R) -> i32 {
        self.correlation_id += 1;
        let frame = self.frame(version, request);
        self.send_bytes(id, frame);
        self.correlation_id
    }

    /// The frame of a request, without its length.
    pub(crate) fn frame<'a, R: Request<'a>>(&self, version: i16, request: &R) -> Vec<u8> {
        let header = RequestHeader {
            request_api_key: R::KEY.key(),
            request_api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some("test"),
        };
        encode_request(&header, request).unwrap().concat()[4..].to_vec()
    }

    /// The next reply on a connection, in order; `None` if there is none yet.
    pub(crate) fn try_reply(&mut self, id: ConnectionId) -> Option<Vec<u8>> {
        let replies = self.replies.get_mut(&id).filter(|replies| !replies.is_empty())?;
        Some(replies.remove(0))
    }

    /// The next reply on a connection.
    pub(crate) fn reply(&mut self, id: ConnectionId) -> Vec<u8> {
        self.try_reply(id).unwrap_or_else(|| panic!("no reply, but {:?}", self.messages))
    }

    /// Sends a request that is answered at once.
    pub(crate) fn ask<'a, R: Request<'a>>(&mut self, id: ConnectionId, version: i16, request: &R) -> Vec<u8> {
        let correlation_id = self.send(id, version, request);
        let reply = self.reply(id);
        assert_eq!(i32::from_be_bytes(*reply.first_chunk().unwrap()), correlation_id);
        reply
    }

    /// Hands on what the logs have done.
    pub(crate) fn progress(&mut self) {
        let progress = self.logs.take_progress();
        self.call(|front, cx| front.progress(cx, &progress));
    }

    /// Everything appended becomes durable.
    pub(crate) fn commit(&mut self) {
        self.logs.commit();
        self.progress();
    }

    /// The disk has answered every read.
    pub(crate) fn finish_reads(&mut self, error: Option<ErrorCode>) {
        self.logs.finish_reads(error);
        self.progress();
    }

    /// Time passes.
    pub(crate) fn advance_ms(&mut self, ms: u64) {
        self.now.monotonic_us += ms * 1_000;
        self.now.wall_ms += ms as i64;
        self.call(|front, cx| front.expire(cx));
    }

    /// Commits and applies everything proposed. Returns how many entries that were.
    pub(crate) fn apply_metadata(&mut self) -> usize {
        let mut count = 0;
        while let Some(applied) = self.metadata.apply_next() {
            count += 1;
            if let Ok(delta) = &applied.delta {
                for change in &delta.changes {
                    self.apply_change(change);
                }
            }
            let proposal = applied.proposal.unwrap();
            let outcome = applied.delta.map(|_| ()).map_err(|error| Rejection::from(&error));
            self.call(|front, cx| front.proposal_applied(cx, proposal, outcome));
        }
        count
    }

    fn apply_change(&mut self, change: &MetadataChange) {
        match change {
            MetadataChange::TopicCreated(topic) => {
                let config = self.config.topic_defaults.with_overrides(topic.configs()).unwrap();
                for partition in topic.partitions() {
                    let epoch = partition.leader_epoch.0;
                    self.logs.create(topic.id(), topic.name(), partition.index.0, epoch, config.clone());
                }
            }
            MetadataChange::TopicDeleted(topic) => {
                for partition in topic.partitions() {
                    let id = self.logs.find(topic.id(), partition.index.0).unwrap();
                    self.logs.remove(id, &mut Vec::new());
                }
            }
            _ => {}
        }
    }

    /// Creates a topic behind the front's back.
    pub(crate) fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> TopicId {
        let configs = configs.iter().map(|(key, value)| (*key, Some(*value))).collect();
        let topic = controller::NewTopic {
            name,
            num_partitions: partitions,
            replication_factor: 1,
            configs,
            ..Default::default()
        };
        let defaults =
            controller::TopicDefaults { num_partitions: 1, replication_factor: 1, partitions_max: 1_000_000 };
        let next = self.metadata.image().topics().len() as u8 + 1;
        let created = controller::create_topics(
            self.metadata.image(),
            &[topic],
            &defaults,
            &mut || TopicId([next; 16]),
            &|_, _| Ok(()),
            false,
        );
        let created = created.into_iter().next().unwrap().outcome.unwrap();
        self.metadata.propose(&created.records).unwrap();
        self.apply_metadata();
        created.topic_id
    }

    /// Deletes a topic.
    pub(crate) fn delete_topic(&mut self, name: &str) {
        let records = controller::delete_topic(self.metadata.image(), controller::TopicRef::Name(name)).unwrap();
        self.metadata.propose(&records).unwrap();
        self.apply_metadata();
        self.progress();
    }

    /// A partition of a topic.
    pub(crate) fn partition(&self, topic: TopicId, index: i32) -> PartitionId {
        self.logs.find(topic, index).unwrap()
    }
}

/// A response, header and all: nothing may be left over.
pub(crate) fn decode<'a, M: Message<'a>>(api: ApiKey, version: i16, reply: &'a [u8]) -> M {
    let mut decoder = Decoder::new(reply);
    ResponseHeader::decode(&mut decoder, api, version).unwrap();
    let message = M::decode(&mut decoder, version).unwrap();
    decoder.finish().unwrap();
    message
}

/// A batch of records with these values, a millisecond apart.
pub(crate) fn batch(values: &[&str]) -> Vec<u8> {
    batch_at(1_700_000_000_000, values)
}

/// A batch whose first record has this timestamp.
pub(crate) fn batch_at(timestamp: i64, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for (index, value) in values.iter().enumerate() {
        builder.append(&NewRecord {
            timestamp: timestamp + index as i64,
            key: None,
            value: Some(value.as_bytes()),
            headers: &[],
        });
    }
    builder.build()
}
