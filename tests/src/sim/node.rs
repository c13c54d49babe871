//! A whole shard on the fault disk: feeds it frames and time, runs its chains in an order drawn at random, decodes what
//! it answers.
//!
//! Owns the shard, its disk and the clock; what was promised to whom is kept by the test. Invariants: one call of
//! [`Node::advance`] completes one disk step; after every event the shard comes to rest: a turn that asks for another one
//! without having done anything, again and again, is a panic.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use corelog_replication::metadata::MetadataRecord;
use corelog_replication::quorum::ProposeError;
use corelog_shard::config::BrokerConfig;
use corelog_shard::io::{Action, ConnectionId, Event, LogLevel, Now, Piece};
use corelog_shard::shard::{Shard, StartError};
use corelog_shard::start::{StartOptions, StartReport, start};
use corelog_wire::api_key::ApiKey;
use corelog_wire::decoder::Decoder;
use corelog_wire::frame::encode_request;
use corelog_wire::header::{RequestHeader, ResponseHeader};
use corelog_wire::message::{Message, Request};

use super::disk::{Advance, FaultDisk};

/// How many turns in a row may ask for the next one at once and do nothing.
const EMPTY_TURNS_MAX: usize = 20;

/// See the module's description.
pub struct Node {
    shard: Shard,
    /// What it runs on.
    pub disk: FaultDisk,
    /// The time that the next event gets.
    pub now: Now,
    /// What was logged.
    pub messages: Vec<(LogLevel, String)>,
    /// Why the shard gave up, if it did. It is never called again then.
    pub fatal: Option<String>,
    /// The connections that the shard closed.
    pub closed: Vec<ConnectionId>,
    /// Runs every call of the shard; a test may count there what the call costs.
    pub around: fn(&mut dyn FnMut()),
    stopped: bool,
    replies: BTreeMap<ConnectionId, VecDeque<Vec<u8>>>,
    correlation_id: i32,
    connections: u64,
    deepest: usize,
}

impl Node {
    /// Starts on what the disk holds. An error gives the disk back.
    #[expect(clippy::result_large_err, reason = "the disk is wanted back, and nobody counts copies here")]
    pub fn start(
        mut disk: FaultDisk,
        config: &BrokerConfig,
        now: Now,
        accept_loss: bool,
    ) -> Result<(Self, StartReport), (FaultDisk, StartError)> {
        let options = StartOptions {
            now,
            seed: 7,
            cluster_id: [7; 16],
            directory_id: [8; 16],
            advertised: ("broker.example".to_owned(), 9092),
            shards: 1,
            accept_loss,
        };
        let (mut shards, report) = match start(&mut disk, config.clone(), &options) {
            Ok(started) => started,
            Err(error) => return Err((disk, error)),
        };
        let mut node = Self {
            shard: shards.remove(0),
            disk,
            now,
            messages: Vec::new(),
            fatal: None,
            closed: Vec::new(),
            around: |call| call(),
            stopped: false,
            replies: BTreeMap::new(),
            correlation_id: 0,
            connections: 0,
            deepest: 0,
        };
        node.event(Event::FreeSpace { bytes: 1 << 40 });
        Ok((node, report))
    }

    /// The shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// The most chains that were in flight at once.
    pub fn deepest(&self) -> usize {
        self.deepest
    }

    /// Whether the shard said that it has stopped.
    pub fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// A turn with one event, and those that it asks for.
    pub fn event(&mut self, event: Event) {
        let mut event = Some(event);
        let mut empty = 0;
        while self.fatal.is_none() && !self.stopped {
            let mut actions = Vec::new();
            let (shard, now) = (&mut self.shard, self.now);
            (self.around)(&mut || {
                if let Some(event) = event.take() {
                    shard.handle(now, event, &mut actions);
                }
                shard.end_of_turn(now, &mut actions);
            });
            empty = if actions.is_empty() { empty + 1 } else { 0 };
            assert!(empty < EMPTY_TURNS_MAX, "the shard asks for turn after turn and does nothing in them");
            self.act(actions);
            if self.shard.next_deadline_us().is_none_or(|at_us| at_us > self.now.monotonic_us) {
                break;
            }
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
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
                Action::Stopped => self.stopped = true,
                Action::Send { message, .. } => match message {},
                Action::PauseInput(_) | Action::ResumeInput(_) => {}
                Action::Close(connection) => self.closed.push(connection),
            }
        }
        // Every answer leaves at once.
        for connection in answered {
            let mut more = Vec::new();
            self.shard.handle(self.now, Event::Drained { connection }, &mut more);
            self.act(more);
        }
        self.deepest = self.deepest.max(self.disk.in_flight());
    }

    /// Completes one disk step. False when nothing is in flight, or nothing more can be.
    pub fn advance(&mut self) -> bool {
        if self.fatal.is_some() {
            return false;
        }
        match self.disk.advance() {
            Advance::Idle | Advance::PowerOff => return false,
            Advance::Stepped => {}
            Advance::Done(op, result) => self.event(Event::Completed { op, result }),
        }
        true
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
        self.event(Event::Tick);
    }

    /// A new connection.
    pub fn connect(&mut self) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
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
        while let Err(error) = self.shard.propose(records) {
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
        self.event(Event::Stop);
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
