//! The shards of a node on the fault disk: feeds them frames and time, carries what they send to each other, runs their
//! chains in an order drawn at random, decodes what they answer.
//!
//! Owns the shards, their disk and the clock; what was promised to whom is kept by the test. Invariants: one call of
//! [`Node::advance`] completes one disk step or delivers one message, and those of one shard to another arrive in order;
//! after every event a shard comes to rest: a turn that asks for another one without having done anything, again and again,
//! is a panic.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use corelog_replication::metadata::MetadataRecord;
use corelog_replication::quorum::ProposeError;
use corelog_shard::config::BrokerConfig;
use corelog_shard::io::{Action, ConnectionId, Event, LogLevel, Now, Piece};
use corelog_shard::log::Logs;
use corelog_shard::mesh::{self, FIRST, ShardIndex};
use corelog_shard::shard::{Shard, StartError};
use corelog_shard::start::{StartOptions, StartReport, start};
use corelog_wire::api_key::ApiKey;
use corelog_wire::decoder::Decoder;
use corelog_wire::frame::encode_request;
use corelog_wire::header::{RequestHeader, ResponseHeader};
use corelog_wire::ids::TopicId;
use corelog_wire::message::{Message, Request};

use super::disk::{Advance, FaultDisk};
use super::random::Random;

/// How many turns in a row may ask for the next one at once and do nothing.
const EMPTY_TURNS_MAX: usize = 20;

/// See the module's description.
pub struct Node {
    shards: Vec<Shard>,
    /// What was sent and has not arrived, by sender and receiver.
    mail: BTreeMap<(ShardIndex, ShardIndex), VecDeque<mesh::Message>>,
    /// Draws what happens next when there is mail.
    random: Random,
    /// What it runs on.
    pub disk: FaultDisk,
    /// The time that the next event gets.
    pub now: Now,
    /// What was logged.
    pub messages: Vec<(LogLevel, String)>,
    /// Why a shard gave up, if one did. None is called again then.
    pub fatal: Option<String>,
    /// The connections that were closed.
    pub closed: Vec<ConnectionId>,
    /// Runs every call of a shard; a test may count there what the call costs.
    pub around: fn(&mut dyn FnMut()),
    stopped: BTreeSet<ShardIndex>,
    replies: BTreeMap<ConnectionId, VecDeque<Vec<u8>>>,
    correlation_id: i32,
    connections: u64,
    deepest: usize,
}

impl Node {
    /// Starts with one shard on what the disk holds. An error gives the disk back.
    #[expect(clippy::result_large_err, reason = "the disk is wanted back, and nobody counts copies here")]
    pub fn start(
        disk: FaultDisk,
        config: &BrokerConfig,
        now: Now,
        accept_loss: bool,
    ) -> Result<(Self, StartReport), (FaultDisk, StartError)> {
        Self::start_with(disk, config, now, accept_loss, 1)
    }

    /// Starts with so many shards.
    #[expect(clippy::result_large_err, reason = "the disk is wanted back, and nobody counts copies here")]
    pub fn start_with(
        mut disk: FaultDisk,
        config: &BrokerConfig,
        now: Now,
        accept_loss: bool,
        shards: u32,
    ) -> Result<(Self, StartReport), (FaultDisk, StartError)> {
        let options = StartOptions {
            now,
            seed: 7,
            cluster_id: [7; 16],
            directory_id: [8; 16],
            advertised: ("broker.example".to_owned(), 9092),
            shards,
            accept_loss,
        };
        let (shards, report) = match start(&mut disk, config.clone(), &options) {
            Ok(started) => started,
            Err(error) => return Err((disk, error)),
        };
        let mut node = Self {
            shards,
            mail: BTreeMap::new(),
            random: Random::new(1),
            disk,
            now,
            messages: Vec::new(),
            fatal: None,
            closed: Vec::new(),
            around: |call| call(),
            stopped: BTreeSet::new(),
            replies: BTreeMap::new(),
            correlation_id: 0,
            connections: 0,
            deepest: 0,
        };
        node.everywhere(|| Event::FreeSpace { bytes: 1 << 40, total_bytes: 2 << 40 });
        Ok((node, report))
    }

    /// The first shard, which holds the metadata log.
    pub fn shard(&self) -> &Shard {
        &self.shards[0]
    }

    /// All shards, in the order of their seats.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The logs of the shard that owns a partition.
    pub fn logs_of(&self, topic: TopicId, partition: i32) -> &Logs {
        let owner = self.shards[0].seat().owner(topic, partition);
        self.shards[usize::from(owner.0)].logs()
    }

    /// The most chains that were in flight at once.
    pub fn deepest(&self) -> usize {
        self.deepest
    }

    /// Whether all shards said that they have stopped.
    pub fn has_stopped(&self) -> bool {
        self.stopped.len() == self.shards.len()
    }

    /// A turn of the shard whom an event concerns, and those that it asks for. What concerns none in particular goes to the
    /// first.
    pub fn event(&mut self, event: Event) {
        let to = match &event {
            Event::ConnectionOpened { connection, .. }
            | Event::ConnectionClosed { connection }
            | Event::ReplyFailed { connection, .. }
            | Event::Drained { connection }
            | Event::Frame { connection, .. } => connection.shard(),
            Event::Completed { op, .. } => ShardIndex((op.0 >> 48) as u16),
            _ => FIRST,
        };
        self.event_of(to, event);
    }

    /// The same event for every shard.
    fn everywhere(&mut self, event: impl Fn() -> Event) {
        for shard in 0..self.shards.len() as u16 {
            self.event_of(ShardIndex(shard), event());
        }
    }

    fn event_of(&mut self, to: ShardIndex, event: Event) {
        let mut event = Some(event);
        let mut empty = 0;
        while self.fatal.is_none() && !self.stopped.contains(&to) {
            let mut actions = Vec::new();
            let (shard, now) = (&mut self.shards[usize::from(to.0)], self.now);
            (self.around)(&mut || {
                if let Some(event) = event.take() {
                    shard.handle(now, event, &mut actions);
                }
                shard.end_of_turn(now, &mut actions);
            });
            empty = if actions.is_empty() { empty + 1 } else { 0 };
            assert!(empty < EMPTY_TURNS_MAX, "the shard asks for turn after turn and does nothing in them");
            self.act(to, actions);
            let deadline = self.shards[usize::from(to.0)].next_deadline_us();
            if deadline.is_none_or(|at_us| at_us > self.now.monotonic_us) {
                break;
            }
        }
    }

    fn act(&mut self, from: ShardIndex, actions: Vec<Action>) {
        let mut answered = BTreeSet::new();
        for action in actions {
            match action {
                Action::Reply { connection, pieces } => {
                    let bytes = |piece| match piece {
                        Piece::Memory(bytes) => bytes.to_vec(),
                        Piece::File(range) => self.disk.send(range).expect("the file is as long as was written to it"),
                    };
                    let frame = pieces.into_iter().map(bytes).collect::<Vec<_>>().concat();
                    let length = i32::from_be_bytes(*frame.first_chunk().expect("a frame begins with its length"));
                    assert_eq!(length as usize, frame.len() - 4, "one whole frame per reply");
                    answered.insert(connection);
                    self.replies.entry(connection).or_default().push_back(frame[4..].to_vec());
                }
                Action::Log { level, message } => self.messages.push((level, message)),
                Action::Io { op, steps } => self.disk.submit(op, steps),
                Action::Fatal { message } => {
                    // The host runs no further action.
                    self.fatal = Some(message);
                    return;
                }
                Action::LimitConnections(_) => {}
                Action::Stopped => {
                    self.stopped.insert(from);
                }
                Action::Send { to, message } => self.mail.entry((from, to)).or_default().push_back(message),
                Action::PauseInput(_) | Action::ResumeInput(_) => {}
                Action::Close(connection) => self.closed.push(connection),
            }
        }
        // Every answer leaves at once.
        for connection in answered {
            let mut more = Vec::new();
            self.shards[usize::from(from.0)].handle(self.now, Event::Drained { connection }, &mut more);
            self.act(from, more);
        }
        self.deepest = self.deepest.max(self.disk.in_flight());
    }

    /// Completes one disk step or delivers one message. False when nothing is in flight, or nothing more can be.
    pub fn advance(&mut self) -> bool {
        if self.fatal.is_some() {
            return false;
        }
        if !self.mail.is_empty() && !self.disk.is_off() && (self.disk.in_flight() == 0 || self.random.chance(70)) {
            self.deliver();
            return true;
        }
        match self.disk.advance() {
            Advance::Idle | Advance::PowerOff => return false,
            Advance::Stepped => {}
            Advance::Done(op, result) => self.event(Event::Completed { op, result }),
        }
        true
    }

    /// Delivers the oldest message of a pair of shards drawn at random.
    fn deliver(&mut self) {
        let at = self.random.below(self.mail.len());
        let entry = self.mail.iter_mut().nth(at).expect("there is mail");
        let (from, to) = *entry.0;
        let message = entry.1.pop_front().expect("nobody is kept here without mail");
        if entry.1.is_empty() {
            self.mail.remove(&(from, to));
        }
        self.event_of(to, Event::Message { from, message });
    }

    /// Completes everything that is in flight and what follows from it.
    pub fn settle(&mut self) {
        let mut steps = 0;
        while self.advance() {
            steps += 1;
            assert!(steps < 200_000, "the shard does not come to rest");
        }
    }

    /// Time passes.
    pub fn pass_us(&mut self, us: u64) {
        self.now.monotonic_us += us;
        self.now.wall_ms += (us / 1_000) as i64;
        self.everywhere(|| Event::Tick);
    }

    /// A new connection, to each shard in turn.
    pub fn connect(&mut self) -> ConnectionId {
        let shard = self.connections % self.shards.len() as u64;
        self.connections += 1;
        let connection = ConnectionId(shard << 48 | self.connections);
        self.event(Event::ConnectionOpened { connection, peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000)) });
        connection
    }

    /// Sends a request; the answers of one connection come in the order of its requests.
    pub fn send<'a, R: Request<'a>>(&mut self, connection: ConnectionId, version: i16, request: &R) {
        self.correlation_id += 1;
        let header = RequestHeader {
            request_api_key: R::KEY.key(),
            request_api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some("test"),
        };
        let frame = encode_request(&header, request).expect("the request is well-formed").concat();
        self.event(Event::Frame { connection, frame: Bytes::copy_from_slice(&frame[4..]) });
    }

    /// The next answer on a connection, if there is one.
    pub fn reply(&mut self, connection: ConnectionId) -> Option<Vec<u8>> {
        self.replies.get_mut(&connection)?.pop_front()
    }

    /// Proposes metadata, when the metadata log has room for it.
    pub fn propose(&mut self, records: &[MetadataRecord]) {
        while let Err(error) = self.shards[0].propose(records) {
            assert_eq!(error, ProposeError::Overloaded);
            let moves = self.advance();
            if self.fatal.is_some() {
                return;
            }
            assert!(moves, "the metadata log is full and does nothing about it");
        }
        self.event(Event::Tick);
    }

    /// Asks for a stop; [`Self::advance`] brings it about.
    pub fn stop(&mut self) {
        self.everywhere(|| Event::Stop);
    }
}

/// The body of an answer; nothing may be left over.
pub fn decode<'a, M: Message<'a>>(api: ApiKey, version: i16, reply: &'a [u8]) -> M {
    let mut decoder = Decoder::new(reply);
    ResponseHeader::decode(&mut decoder, api, version).expect("an answer has a header");
    let message = M::decode(&mut decoder, version).expect("an answer can be decoded");
    decoder.finish().expect("an answer has no rest");
    message
}
