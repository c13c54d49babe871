//! A host for tests: a whole shard, or several, over a disk in memory. Feeds them requests and shows what they answer.
//!
//! Nothing becomes durable and no read ends before [`Host::commit`]: what is to wait can be seen waiting. Connections are of
//! the first shard, unless their number says otherwise ([`on_shard`]).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use corelog_replication::controller;
use corelog_replication::metadata::{MetadataImage, MetadataRecord};
use corelog_wire::api_key::ApiKey;
use corelog_wire::decoder::Decoder;
use corelog_wire::frame::encode_request;
use corelog_wire::header::{RequestHeader, ResponseHeader};
use corelog_wire::ids::TopicId;
use corelog_wire::message::{Message, Request};
use corelog_wire::record_batch::{BatchBuilder, NewRecord};

use super::Front;
use crate::config::{BrokerConfig, ConnectionBounds};
use crate::io::{
    Action, ConnectionId, DirEntry, Disk, EIO, ENOENT, Event, FileId, FileRange, IoError, LogLevel, Now, OpId,
    OpenMode, Piece, Step,
};
use crate::log::{Logs, PartitionId};
use crate::mesh::{self, FIRST, ShardIndex};
use crate::metadata::Metadata;
use crate::shard::Shard;
use crate::start::{StartOptions, run_chain, start};

/// The broker under test.
pub(crate) const NODE_ID: i32 = 1;
/// What the cluster is called that the host makes.
pub(crate) const CLUSTER_ID: &str = "BwcHBwcHBwcHBwcHBwcHBw";

/// The number of a connection of a shard.
pub(crate) fn on_shard(shard: u16, number: u64) -> u64 {
    u64::from(shard) << 48 | number
}

/// Shards with everything around them.
pub(crate) struct Host {
    shards: Vec<Shard>,
    /// What they said to each other and was not told yet; nothing is told to or by these.
    mail: VecDeque<(ShardIndex, ShardIndex, mesh::Message)>,
    pub(crate) stalled: BTreeSet<ShardIndex>,
    /// What the first shard says to this one is held up.
    slow_from_first: Option<ShardIndex>,
    disk: MemoryDisk,
    pub(crate) now: Now,
    /// What was logged.
    pub(crate) messages: Vec<(LogLevel, String)>,
    pub(crate) paused: BTreeSet<ConnectionId>,
    pub(crate) closed: BTreeSet<ConnectionId>,
    replies: BTreeMap<ConnectionId, VecDeque<Vec<u8>>>,
    /// Chains that were asked for and did not run yet.
    asked: VecDeque<(OpId, Vec<Step>)>,
    correlation_id: i32,
    stopped: BTreeSet<ShardIndex>,
    /// Clients that do not read: what they were sent never leaves.
    pub(crate) slow: BTreeSet<ConnectionId>,
    /// Bytes that were sent from files.
    pub(crate) from_files: usize,
    /// How many connections the host takes in.
    pub(crate) bounds: ConnectionBounds,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let mut config = BrokerConfig::default();
        for key in ["corelog.journal.file.bytes", "corelog.metadata.journal.file.bytes"] {
            config.set(key, "1048576").unwrap();
        }
        config.set("corelog.segment.bytes.min", "1").unwrap();
        change(&mut config);
        Self::start(MemoryDisk::default(), config, 1)
    }

    /// Several shards.
    pub(crate) fn with_shards(shards: u32, change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let mut alone = Self::with(change);
        let config = alone.config().clone();
        Self::start(MemoryDisk::default(), config, shards)
    }

    /// A metadata log that holds what [`Self::overload_metadata`] proposes.
    pub(crate) fn with_large_metadata() -> Self {
        Self::with(|config| config.set("corelog.metadata.journal.file.bytes", "8388608").unwrap())
    }

    fn start(mut disk: MemoryDisk, config: BrokerConfig, shards: u32) -> Self {
        let now = Now { monotonic_us: 1_000_000, wall_ms: 1_700_000_000_000 };
        let options = StartOptions {
            now,
            seed: 7,
            cluster_id: [7; 16],
            directory_id: [8; 16],
            advertised: ("broker.example".to_string(), 9092),
            accept_loss: false,
            shards,
        };
        let (shards, report) = start(&mut disk, config, &options).unwrap();
        assert_eq!((report.cluster_id.as_str(), report.was_clean), (CLUSTER_ID, true));
        let mut host = Self {
            shards,
            mail: VecDeque::new(),
            stalled: BTreeSet::new(),
            slow_from_first: None,
            disk,
            now,
            messages: vec![],
            paused: BTreeSet::new(),
            closed: BTreeSet::new(),
            replies: BTreeMap::new(),
            asked: VecDeque::new(),
            correlation_id: 0,
            stopped: BTreeSet::new(),
            slow: BTreeSet::new(),
            from_files: 0,
            bounds: ConnectionBounds::default(),
        };
        host.turn();
        host
    }

    /// Stops and starts again: complete segments are on disk only now ([`filler`] completes one). All connections are gone.
    pub(crate) fn restart(&mut self) {
        let shards = self.shards.len() as u32;
        self.restart_with(shards);
    }

    /// As [`Self::restart`], with another number of shards.
    pub(crate) fn restart_with(&mut self, shards: u32) {
        for shard in self.seats() {
            self.turn_of(shard, Event::Stop);
        }
        self.commit();
        for _ in 0..100 {
            // A stop waits for times too.
            let Some(at_us) = self.next_deadline_us().filter(|_| !self.has_stopped()) else { break };
            self.now.monotonic_us = self.now.monotonic_us.max(at_us);
            self.turn();
            self.commit();
        }
        assert!(self.has_stopped(), "a stop comes to its end");
        let config = self.config().clone();
        *self = Self::start(core::mem::take(&mut self.disk), config, shards);
    }

    fn has_stopped(&self) -> bool {
        self.stopped.len() == self.shards.len()
    }

    fn seats(&self) -> Vec<ShardIndex> {
        self.shards.iter().map(|shard| shard.seat().me).collect()
    }

    fn next_deadline_us(&self) -> Option<u64> {
        let stands = |seat| self.stopped.contains(&seat) || self.stalled.contains(&seat);
        let running = self.shards.iter().filter(|shard| !stands(shard.seat().me));
        running.filter_map(Shard::next_deadline_us).min()
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shards[0]
    }

    pub(crate) fn front(&mut self) -> &mut Front {
        self.shards[0].parts().0
    }

    pub(crate) fn front_of(&mut self, shard: u16) -> &mut Front {
        self.shards[usize::from(shard)].parts().0
    }

    pub(crate) fn logs(&mut self) -> &mut Logs {
        self.shards[0].parts().1
    }

    pub(crate) fn logs_of(&mut self, shard: u16) -> &mut Logs {
        self.shards[usize::from(shard)].parts().1
    }

    pub(crate) fn metadata(&mut self) -> &mut Metadata {
        self.shards[0].parts().2
    }

    pub(crate) fn image(&mut self) -> &MetadataImage {
        self.shards[0].parts().2.image()
    }

    pub(crate) fn config(&mut self) -> &mut BrokerConfig {
        self.shards[0].parts().3
    }

    /// A turn with one event, on the shard that it belongs to.
    pub(crate) fn event(&mut self, event: Event) {
        let shard = match &event {
            Event::ConnectionOpened { connection, .. }
            | Event::ConnectionClosed { connection }
            | Event::ReplyFailed { connection, .. }
            | Event::Drained { connection }
            | Event::Frame { connection, .. } => connection.shard(),
            Event::Completed { op, .. } => op.shard(),
            _ => FIRST,
        };
        self.turn_of(shard, event);
        self.deliver();
    }

    /// A turn of one shard with one event.
    fn turn_of(&mut self, index: ShardIndex, event: Event) {
        if self.stopped.contains(&index) || self.stalled.contains(&index) {
            return;
        }
        let mut actions = Vec::new();
        let shard = &mut self.shards[usize::from(index.0)];
        shard.handle(self.now, event, &mut actions);
        shard.end_of_turn(self.now, &mut actions);
        self.act_for(index, actions);
    }

    /// The last call of the first shard took so long.
    pub(crate) fn took(&mut self, took_us: u64) {
        assert!(self.shards[0].measures_time());
        self.shards[0].time_passed(self.now, took_us);
    }

    /// Tells the shards what they have said to each other, but for those that stand still.
    pub(crate) fn deliver(&mut self) {
        let mut kept = VecDeque::new();
        while let Some((from, to, message)) = self.mail.pop_front() {
            let is_held = from == FIRST && self.slow_from_first == Some(to);
            match is_held || self.stalled.contains(&to) {
                true => kept.push_back((from, to, message)),
                false => self.turn_of(to, Event::Message { from, message }),
            }
        }
        self.mail = kept;
    }

    /// What the first shard says to another one does not arrive for now.
    pub(crate) fn hold_mail_from_first_to(&mut self, shard: ShardIndex) {
        self.slow_from_first = Some(shard);
    }

    /// It arrives.
    pub(crate) fn release_mail(&mut self) {
        self.slow_from_first = None;
        self.deliver();
    }

    /// A turn in which nothing happens, on every shard.
    pub(crate) fn turn(&mut self) {
        for shard in self.seats() {
            self.turn_of(shard, Event::Tick);
        }
        self.deliver();
    }

    pub(crate) fn act(&mut self, actions: Vec<Action>) {
        self.act_for(FIRST, actions);
    }

    fn act_for(&mut self, shard: ShardIndex, actions: Vec<Action>) {
        let (mut answered, mut broken) = (BTreeSet::new(), vec![]);
        for action in actions {
            match action {
                Action::Reply { connection, pieces } => {
                    assert!(!self.closed.contains(&connection), "nothing is sent after the close");
                    let frame = match self.send_pieces(pieces) {
                        Ok(frame) => frame,
                        Err(file) => {
                            broken.push((connection, file));
                            continue;
                        }
                    };
                    let length = i32::from_be_bytes(*frame.first_chunk().unwrap());
                    assert_eq!(length as usize, frame.len() - 4, "one whole frame per reply");
                    answered.insert(connection);
                    self.replies.entry(connection).or_default().push_back(frame[4..].to_vec());
                }
                Action::PauseInput(connection) => assert!(self.paused.insert(connection), "it was not paused"),
                Action::Send { to, message } => self.mail.push_back((shard, to, message)),
                Action::ResumeInput(connection) => assert!(self.paused.remove(&connection), "it was paused"),
                Action::Close(connection) => assert!(self.closed.insert(connection), "it was open"),
                Action::LimitConnections(bounds) => self.bounds = bounds,
                Action::Log { level, message } => self.messages.push((level, message)),
                Action::Io { op, steps } => self.asked.push_back((op, steps)),
                Action::Stopped => assert!(self.stopped.insert(shard), "it stops once"),
                Action::Fatal { message } => panic!("{message}"),
            }
        }
        for (connection, file) in broken {
            let mut more = Vec::new();
            let home = &mut self.shards[usize::from(connection.shard().0)];
            home.handle(self.now, Event::ReplyFailed { connection, file }, &mut more);
            home.handle(self.now, Event::ConnectionClosed { connection }, &mut more);
            self.closed.insert(connection);
            self.act_for(connection.shard(), more);
        }
        // Every answer leaves at once.
        for connection in answered {
            if !self.slow.contains(&connection) {
                self.drain(connection);
            }
        }
    }

    /// Everything that was sent on a connection has left.
    pub(crate) fn drain(&mut self, connection: ConnectionId) {
        let mut more = Vec::new();
        let home = &mut self.shards[usize::from(connection.shard().0)];
        home.handle(self.now, Event::Drained { connection }, &mut more);
        self.act_for(connection.shard(), more);
    }

    /// The bytes of a reply, or the file that was too short for it.
    fn send_pieces(&mut self, pieces: Vec<Piece>) -> Result<Vec<u8>, FileId> {
        let mut frame = vec![];
        let mut failed = None;
        for piece in pieces {
            match piece {
                Piece::Memory(bytes) => frame.extend_from_slice(&bytes),
                Piece::File(range) => match self.disk.send(range) {
                    Some(bytes) => {
                        self.from_files += bytes.len();
                        frame.extend_from_slice(&bytes);
                    }
                    None => failed = failed.or(Some(range.file)),
                },
            }
        }
        failed.map_or(Ok(frame), Err)
    }

    /// How many files of the data directory are open, but for those of the journals.
    pub(crate) fn open_segments(&self) -> usize {
        self.disk.open.values().filter(|path| path.starts_with("topics/")).count()
    }

    /// The content of a file, to be looked at or damaged.
    pub(crate) fn file(&mut self, path: &str) -> &mut Vec<u8> {
        self.disk.files.get_mut(path).unwrap_or_else(|| panic!("no file {path}"))
    }

    /// The names of all files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.disk.files.keys().map(String::as_str)
    }

    /// Everything that the shard asked the disk for is done, and what follows from it.
    pub(crate) fn commit(&mut self) {
        loop {
            match self.asked.pop_front() {
                Some((op, steps)) => {
                    let result = run_chain(&mut self.disk, steps);
                    self.event(Event::Completed { op, result });
                }
                None if self.has_more() => self.turn(),
                None => break,
            }
        }
    }

    /// Does the next thing that the shard asked the disk for. False if there is none.
    pub(crate) fn step(&mut self) -> bool {
        let Some((op, steps)) = self.asked.pop_front() else { return false };
        let result = run_chain(&mut self.disk, steps);
        self.event(Event::Completed { op, result });
        true
    }

    /// One turn with this event and the ends of everything that the shard has asked the disk for so far.
    pub(crate) fn commit_with(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.shards[0].handle(self.now, event, &mut actions);
        while let Some((op, steps)) = self.asked.pop_front() {
            let result = run_chain(&mut self.disk, steps);
            self.shards[0].handle(self.now, Event::Completed { op, result }, &mut actions);
        }
        self.shards[0].end_of_turn(self.now, &mut actions);
        self.act(actions);
    }

    /// An event of the first shard, without the end of the turn.
    pub(crate) fn queue(&mut self, event: Event, actions: &mut Vec<Action>) {
        self.shards[0].handle(self.now, event, actions);
    }

    /// Every shard is asked to stop.
    pub(crate) fn stop_all(&mut self) {
        for shard in self.seats() {
            self.turn_of(shard, Event::Stop);
        }
        self.deliver();
    }

    /// Whether the shard wants another turn at once.
    pub(crate) fn has_more(&self) -> bool {
        self.next_deadline_us().is_some_and(|at_us| at_us <= self.now.monotonic_us)
    }

    /// As [`Self::commit`], but nothing can be read.
    pub(crate) fn fail_reads(&mut self) {
        self.disk.reads_fail = true;
        self.commit();
        self.disk.reads_fail = false;
    }

    /// A new connection.
    pub(crate) fn open(&mut self, number: u64) -> ConnectionId {
        let connection = ConnectionId(number);
        self.closed.remove(&connection);
        self.event(Event::ConnectionOpened { connection, peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000)) });
        connection
    }

    /// The client went away.
    pub(crate) fn disconnect(&mut self, connection: ConnectionId) {
        self.event(Event::ConnectionClosed { connection });
        self.paused.remove(&connection);
    }

    /// Sends bytes as one frame.
    pub(crate) fn send_bytes(&mut self, connection: ConnectionId, frame: Vec<u8>) {
        self.event(Event::Frame { connection, frame: Bytes::from(frame) });
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
        self.replies.get_mut(&id)?.pop_front()
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

    /// Time passes.
    pub(crate) fn advance_ms(&mut self, ms: u64) {
        self.now.monotonic_us += ms * 1_000;
        self.now.wall_ms += ms as i64;
        self.turn();
    }

    /// Commits and applies everything proposed. Returns how many entries of the metadata log that were.
    pub(crate) fn apply_metadata(&mut self) -> u64 {
        let before = self.image().offset().0;
        self.commit();
        self.image().offset().0 - before
    }

    /// Proposes metadata behind the front's back.
    pub(crate) fn propose(&mut self, records: &[MetadataRecord]) {
        self.metadata().propose(records).unwrap();
        self.turn();
    }

    /// Fills the metadata log with proposals until it takes no more.
    pub(crate) fn overload_metadata(&mut self) {
        let value = Some("x".repeat(30_000));
        let record = |index| MetadataRecord::BrokerConfig { key: alloc::format!("key{index}"), value: value.clone() };
        let records: Vec<_> = (0..30).map(record).collect();
        while self.metadata().propose(&records).is_ok() {}
        let small = [MetadataRecord::BrokerConfig { key: "k".to_string(), value: None }];
        while self.metadata().propose(&small).is_ok() {}
    }

    /// Creates a topic behind the front's back. The ids are 01..01, 02..02 and so on.
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
        let next = self.image().topics().len() as u8 + 1;
        let draw = &mut || TopicId([next; 16]);
        let created = controller::create_topics(self.image(), &[topic], &defaults, draw, &|_, _| Ok(()), false);
        let created = created.into_iter().next().unwrap().outcome.unwrap();
        self.propose(&created.records);
        self.apply_metadata();
        created.topic_id
    }

    /// Deletes a topic.
    pub(crate) fn delete_topic(&mut self, name: &str) {
        let records = controller::delete_topic(self.image(), controller::TopicRef::Name(name)).unwrap();
        self.propose(&records);
        self.apply_metadata();
    }

    /// A partition of a topic.
    pub(crate) fn partition(&mut self, topic: TopicId, index: i32) -> PartitionId {
        self.logs().find(topic, index).unwrap()
    }

    /// Takes a partition from the shard, as if another node led it.
    pub(crate) fn lose_partition(&mut self, topic: TopicId, index: i32) {
        let partition = self.partition(topic, index);
        let mut actions = vec![];
        self.logs().remove(partition, &mut actions);
        self.act(actions);
        self.turn();
    }
}

/// Files in memory that lose nothing.
#[derive(Debug, Default)]
struct MemoryDisk {
    files: BTreeMap<String, Vec<u8>>,
    open: BTreeMap<FileId, String>,
    reads_fail: bool,
}

impl MemoryDisk {
    fn file(&mut self, file: FileId) -> &mut Vec<u8> {
        let path = self.open.get(&file).expect("the file is open");
        self.files.get_mut(path).expect("open files exist")
    }

    /// Sends a part of an open file and closes it; `None` where the file is shorter.
    fn send(&mut self, range: FileRange) -> Option<Vec<u8>> {
        let FileRange { file, position, len } = range;
        let content = self.file(file).get(position as usize..position as usize + len).map(<[u8]>::to_vec);
        self.open.remove(&file);
        content
    }

    fn rename(&mut self, from: &str, to: &str) {
        let is_in = |path: &str| path.strip_prefix(from).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let moved: Vec<String> = self.files.keys().filter(|path| is_in(path)).cloned().collect();
        for path in moved {
            let content = self.files.remove(&path).expect("it was listed");
            self.files.insert(alloc::format!("{to}{}", &path[from.len()..]), content);
        }
    }
}

impl Disk for MemoryDisk {
    fn run(&mut self, step: Step) -> Result<Bytes, IoError> {
        let fail = |errno, what: &str| Err(IoError { step: 0, errno, what: what.to_string() });
        match step {
            Step::Open { file, path, mode: OpenMode { create, .. } } => {
                if !self.files.contains_key(&path) {
                    if !create {
                        return fail(ENOENT, &path);
                    }
                    self.files.insert(path.clone(), vec![]);
                }
                self.open.insert(file, path);
            }
            Step::Close { file } => {
                // After an error, also files are closed whose turn to be opened never came.
                self.open.remove(&file);
            }
            Step::Write { file, offset, data, .. } => {
                let data = data.concat();
                let content = self.file(file);
                let end = offset as usize + data.len();
                content.resize(content.len().max(end), 0);
                content[offset as usize..end].copy_from_slice(&data);
            }
            Step::Read { file, offset, len } => {
                if self.reads_fail {
                    return fail(EIO, "read");
                }
                let content = self.file(file);
                let start = content.len().min(offset as usize);
                let end = content.len().min(start + len);
                return Ok(Bytes::copy_from_slice(&content[start..end]));
            }
            Step::Allocate { file, len } => {
                let content = self.file(file);
                content.resize(content.len().max(len as usize), 0);
            }
            Step::SetLen { file, len } => self.file(file).resize(len as usize, 0),
            Step::Rename { from, to } => self.rename(&from, &to),
            Step::RemoveFile { path } => {
                self.files.remove(&path);
            }
            Step::RemoveDir { path } => {
                self.files.retain(|file, _| !file.strip_prefix(&*path).is_some_and(|rest| rest.starts_with('/')));
            }
            Step::Sync { .. } | Step::SyncDir { .. } | Step::CreateDir { .. } => {}
        }
        Ok(Bytes::new())
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirEntry>, IoError> {
        let mut entries = BTreeMap::new();
        for (file, content) in &self.files {
            let inside = if path.is_empty() {
                Some(&file[..])
            } else {
                file.strip_prefix(path).and_then(|r| r.strip_prefix('/'))
            };
            let Some(inside) = inside else { continue };
            let (name, is_dir) = inside.split_once('/').map_or((inside, false), |(name, _)| (name, true));
            let len = if is_dir { 0 } else { content.len() as u64 };
            entries.insert(name, DirEntry { name: name.to_string(), is_dir, len });
        }
        Ok(entries.into_values().collect())
    }

    fn block_size(&self) -> usize {
        4096
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

/// A topic config with which [`filler`] begins a new segment.
pub(crate) const SMALL_SEGMENTS: (&str, &str) = ("segment.bytes", "5100");

/// A value for which a segment with [`SMALL_SEGMENTS`] has room only if it is the first.
pub(crate) fn filler() -> String {
    "x".repeat(5_000)
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
