//! Several hosts in one process: connections among them, messages between them, and hosts that stall, fail or stop.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod echo;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelog_engine::host::{Counts, Decide, Exit, HostConfig};
use corelog_engine::net::listener::Listener;
use corelog_engine::node::{self, Member};
use corelog_engine::runtime::disk::DirectDisk;
use corelog_engine::runtime::ring::Features;
use corelog_engine::runtime::stop::{Stop, StopHandle};
use corelog_shard::io::{Action, ConnectionId, Disk, Event, FileId, Now, OpId, OpenMode, Piece, Step};
use corelog_shard::mesh::{Seat, ShardIndex};
use echo::{Client, HEAD, Random, request};

const MIB: usize = 1 << 20;

/// What shards say to one another here.
enum Message {
    /// Send the frame back; the number counts what this shard has asked that one.
    Ask {
        number: u64,
        connection: ConnectionId,
        frame: Bytes,
    },
    Answer {
        number: u64,
        connection: ConnectionId,
        frame: Bytes,
    },
    /// The sender has told its clients everything.
    Done,
}

/// Where a shard waits when it was asked to stall.
#[derive(Default)]
struct Gate {
    /// Whether somebody waits, and whether it is open.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(_, open)| !*open).unwrap());
    }

    fn await_waiter(&self) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |(waits, _)| !*waits).unwrap());
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// Answers requests by their command, some of them through other shards.
struct Relay {
    seat: Seat,
    gate: Arc<Gate>,
    open: BTreeMap<ConnectionId, ()>,
    closed: u64,
    /// How many were asked of each shard and are not answered.
    asked: u64,
    /// The next number for each shard, and the next that is expected of it.
    next: Vec<u64>,
    expected: Vec<u64>,
    answers: Vec<u64>,
    free: u64,
    stopping: bool,
    said_done: bool,
    done: u32,
}

type Actions = Vec<Action<Message>>;

impl Relay {
    fn new(seat: Seat, gate: &Arc<Gate>) -> Self {
        let zeros = vec![0; seat.shards as usize];
        Self {
            seat,
            gate: Arc::clone(gate),
            open: BTreeMap::new(),
            closed: 0,
            asked: 0,
            next: zeros.clone(),
            expected: zeros.clone(),
            answers: zeros,
            free: 0,
            stopping: false,
            said_done: false,
            done: 0,
        }
    }

    fn reply(actions: &mut Actions, connection: ConnectionId, frame: Bytes) {
        let prefix = Bytes::copy_from_slice(&(frame.len() as u32).to_be_bytes());
        actions.push(Action::Reply { connection, pieces: vec![Piece::Memory(prefix), Piece::Memory(frame)] });
    }

    fn frame(&mut self, connection: ConnectionId, frame: Bytes, actions: &mut Actions) {
        assert!(self.free > 0 && self.open.contains_key(&connection));
        match frame[0] {
            b'E' => Self::reply(actions, connection, frame),
            // Echo through this shard.
            b'A' => {
                let to = ShardIndex(u16::from(frame[1]) % self.seat.shards as u16);
                if to == self.seat.me {
                    return Self::reply(actions, connection, frame);
                }
                let number = &mut self.next[usize::from(to.0)];
                actions.push(Action::Send { to, message: Message::Ask { number: *number, connection, frame } });
                *number += 1;
                self.asked += 1;
            }
            // Who answers, how many connections it has, how many it had, the free space.
            b'Q' => {
                let numbers = [u64::from(self.seat.me.0), self.open.len() as u64, self.closed, self.free];
                let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
                Self::reply(actions, connection, Bytes::from(bytes));
            }
            // Read the file that was open at the start.
            b'R' => {
                let file = FileId(u64::from(self.seat.me.0) << 48 | 1);
                let read = Step::Read { file, offset: 0, len: 4096 };
                actions.push(Action::Io { op: OpId(connection.0), steps: vec![read] });
            }
            b'G' => self.gate.pass(),
            b'F' => actions.push(Action::Fatal { message: format!("shard {} was asked to", self.seat.me.0) }),
            b'X' => panic!("asked to"),
            b'T' => actions.push(Action::Stopped),
            _ => actions.push(Action::Close(connection)),
        }
    }

    fn message(&mut self, from: ShardIndex, message: Message, actions: &mut Actions) {
        let index = usize::from(from.0);
        match message {
            Message::Ask { number, connection, frame } => {
                assert_eq!((connection.shard(), number), (from, self.expected[index]), "once and in order");
                self.expected[index] += 1;
                let message = Message::Answer { number, connection, frame };
                actions.push(Action::Send { to: from, message });
            }
            Message::Answer { number, connection, frame } => {
                assert_eq!((connection.shard(), number), (self.seat.me, self.answers[index]), "once and in order");
                self.answers[index] += 1;
                self.asked -= 1;
                Self::reply(actions, connection, frame);
            }
            Message::Done => self.done += 1,
        }
    }
}

impl Decide for Relay {
    type Message = Message;

    fn handle(&mut self, _now: Now, event: Event<Message>, actions: &mut Actions) {
        match event {
            Event::ConnectionOpened { connection, .. } => {
                assert_eq!(connection.shard(), self.seat.me);
                assert!(self.open.insert(connection, ()).is_none());
            }
            Event::ConnectionClosed { connection } => {
                assert!(self.open.remove(&connection).is_some());
                self.closed += 1;
            }
            Event::Frame { connection, frame } => self.frame(connection, frame, actions),
            Event::Message { from, message } => self.message(from, message, actions),
            Event::Completed { op, result } => {
                Self::reply(actions, ConnectionId(op.0), result.expect("the file is there").remove(0));
            }
            Event::FreeSpace { bytes, .. } => self.free = bytes,
            Event::Stop => self.stopping = true,
            Event::Drained { .. } | Event::ReplyFailed { .. } | Event::Tick => {}
        }
    }

    /// A shard has stopped when everything that it asked is answered, and all others say the same: they ask it nothing
    /// any more.
    fn end_of_turn(&mut self, _now: Now, actions: &mut Actions) {
        if self.stopping && self.asked == 0 && !self.said_done {
            self.said_done = true;
            let done = |to| Action::Send { to, message: Message::Done };
            actions.extend(self.seat.others().map(done));
        }
        if self.said_done && self.done == self.seat.shards - 1 {
            actions.push(Action::Stopped);
        }
    }

    fn next_deadline_us(&self) -> Option<u64> {
        None
    }
}

/// A running node.
struct Node {
    address: SocketAddr,
    handle: StopHandle,
    thread: JoinHandle<Exit>,
    gate: Arc<Gate>,
    data: tempfile::TempDir,
}

impl Node {
    fn start(shards: u32) -> Self {
        Self::start_with(shards, HostConfig::default())
    }

    fn start_with(shards: u32, config: HostConfig) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let data = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        let mut disk = DirectDisk::open(data.path()).unwrap();
        for seat in Seat::all(shards) {
            let path = format!("shard-{}", seat.me.0);
            std::fs::write(data.path().join(&path), format!("{:4096}", seat.me.0)).unwrap();
            disk.run(Step::Open { file: FileId(u64::from(seat.me.0) << 48 | 1), path, mode: OpenMode::READ }).unwrap();
        }
        let gate = Arc::new(Gate::default());
        let files = disk.into_files().split(shards as usize).unwrap();
        let member = |(seat, files)| Member { decide: Relay::new(seat, &gate), files, cpu: None };
        let members = Seat::all(shards).zip(files).map(member).collect();
        let (ready, is_ready) = mpsc::channel();
        let stop = Stop::new().unwrap();
        let handle = stop.handle();
        let thread = std::thread::spawn(move || {
            node::run(config, listener, members, stop, |address| ready.send(address).unwrap()).unwrap()
        });
        Self { address: is_ready.recv().unwrap(), handle, thread, gate, data }
    }

    fn connect(&self) -> Client {
        Client::new(self.address)
    }

    fn exit(self) -> Exit {
        self.thread.join().unwrap()
    }

    fn stop(self) -> Counts {
        self.handle.stop();
        match self.exit() {
            Exit::Stopped(counts) => counts,
            fatal => panic!("{fatal:?}"),
        }
    }
}

/// Who answers, how many connections it has, how many it had, the free space.
fn query(client: &mut Client) -> [u64; 4] {
    let answer = client.ask(&request(b'Q', HEAD));
    [0, 1, 2, 3].map(|index| u64::from_be_bytes(answer[index * 8..][..8].try_into().unwrap()))
}

fn through(shard: u8, len: usize) -> Vec<u8> {
    let mut frame = request(b'A', len);
    frame[1] = shard;
    frame
}

#[test]
fn connections_are_spread_evenly_and_each_stays_with_its_shard() {
    for shards in [1, 2, 3] {
        let node = Node::start(shards);
        let mut counts = vec![0; shards as usize];
        let mut connect = || {
            let mut client = node.connect();
            // Its shard has taken it in before the next one comes.
            counts[query(&mut client)[0] as usize] += 1;
            client
        };
        let mut clients: Vec<_> = (0..30).map(|_| connect()).collect();
        for index in 0..30 {
            assert_eq!(query(&mut clients[index])[0], query(&mut clients[index % shards as usize])[0]);
        }
        assert!(counts.iter().all(|count| *count == 30 / shards), "{counts:?}");
        // Those of one shard go; the next ones come to it.
        clients.retain_mut(|client| query(client)[0] != 0);
        let mut client = node.connect();
        let start = Instant::now();
        while query(&mut client)[2] < u64::from(30 / shards) {
            assert!(start.elapsed() < Duration::from_secs(20));
            client = node.connect();
        }
        assert_eq!(query(&mut client)[0], 0);
        let free = nix::sys::statvfs::statvfs(node.data.path()).unwrap();
        let free = free.blocks_available() * free.fragment_size();
        let told = query(&mut client)[3];
        assert!(told > free / 2 && told < 2 * free, "{told} of {free}");
        node.stop();
    }
}

#[test]
fn every_shard_has_its_own_open_files() {
    let node = Node::start(3);
    let mut clients: Vec<_> = (0..3).map(|_| node.connect()).collect();
    let mut seen: Vec<_> = clients.iter_mut().map(|client| client.ask(&request(b'R', HEAD))).collect();
    seen.sort();
    let expected: Vec<_> = (0..3).map(|shard| format!("{shard:4096}").into_bytes()).collect();
    assert!(seen == expected, "each has read its own");
    node.stop();
}

/// The expectations of order and number are in [`Relay`].
#[test]
fn messages_under_load_arrive_once_and_in_order() {
    for features in [Features::NEWEST, Features::OLDEST] {
        let node = Node::start_with(3, HostConfig { features, ..HostConfig::default() });
        let requests = 3_000;
        std::thread::scope(|scope| {
            for number in 0..6 {
                let node = &node;
                scope.spawn(move || {
                    let mut client = node.connect();
                    let mut sender = Client(client.0.try_clone().unwrap());
                    let mut random = Random(number);
                    let frames: Vec<_> = (0..requests)
                        .map(|_| through(random.below(3) as u8, HEAD + [10, 300, 20_000][random.below(3)]))
                        .collect();
                    std::thread::scope(|scope| {
                        scope.spawn(|| frames.iter().for_each(|frame| sender.send(frame)));
                        // Answers of different shards overtake one another.
                        let mut got: Vec<_> = frames.iter().map(|_| client.receive()).collect();
                        let mut frames = frames.clone();
                        got.sort();
                        frames.sort();
                        assert!(got == frames);
                    });
                    // One at a time: each wakes a host that sleeps.
                    for index in 0..requests / 10 {
                        let frame = through(index as u8, HEAD);
                        assert_eq!(client.ask(&frame), frame);
                    }
                });
            }
        });
        assert_eq!(node.stop().connections.frames, 6 * (requests + requests / 10));
    }
}

#[test]
fn large_requests_of_all_shards_share_one_budget() {
    let config = HostConfig { frame_memory_bytes: 24 * MIB, request_bytes_max: 10 * MIB, ..HostConfig::default() };
    let node = Node::start_with(2, config);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let node = &node;
            scope.spawn(move || {
                let mut client = node.connect();
                let mut sender = Client(client.0.try_clone().unwrap());
                // Half of them are let go of by another shard than the one that received them.
                let frame = through(number % 2, 8 * MIB);
                std::thread::scope(|scope| {
                    scope.spawn(|| (0..3).for_each(|_| sender.send(&frame)));
                    (0..3).for_each(|_| assert!(client.receive() == frame));
                });
            });
        }
    });
    assert_eq!(node.stop().connections.frames, 24);
}

#[test]
fn too_many_connections_are_refused_wherever_they_are() {
    let mut config = HostConfig::default();
    config.connections.connections_max = 10;
    let node = Node::start_with(3, config);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = node.connect();
        assert!(query(&mut client)[1] <= 4);
        clients.push(client);
    }
    assert!(node.connect().is_closed());
    clients.pop();
    let start = Instant::now();
    let refused = loop {
        let mut client = node.connect();
        client.0.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut length = 8u32.to_be_bytes().to_vec();
        length.extend(request(b'E', 8));
        if std::io::Write::write_all(&mut client.0, &length).is_ok()
            && std::io::Read::read(&mut client.0, &mut [0; 12]).is_ok_and(|count| count > 0)
        {
            clients.push(client);
            break 1;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "there is room again");
    };
    assert!(node.stop().connections.refused >= refused);
}

#[test]
fn a_stalled_shard_keeps_nobody_else_from_being_served() {
    let node = Node::start(2);
    let mut first = node.connect();
    let mut second = node.connect();
    assert_ne!(query(&mut first)[0], query(&mut second)[0]);
    let other = query(&mut second)[0];
    first.send(&request(b'G', HEAD));
    node.gate.await_waiter();
    // Messages to it wait; what does not need it does not.
    let waiting = through(1 - other as u8, 100);
    second.send(&waiting);
    for size in [20, 50_000] {
        assert_eq!(second.ask(&request(b'E', size)), request(b'E', size));
    }
    // A few connections are given to it before it is known that it does not run. None is afterwards; who waits long then
    // does so because the machine is busy.
    let start = Instant::now();
    let (mut served, mut unlucky) = (0, Vec::new());
    while served < 100 {
        let mut client = node.connect();
        client.0.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        client.send(&request(b'E', 20));
        match std::io::Read::read(&mut client.0, &mut [0; 24]) {
            Ok(24) => served += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => unlucky.push(client),
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{served} served, {} not", unlucky.len());
    }
    assert!(unlucky.len() <= 20, "{} connections were given to a shard that does not run", unlucky.len());
    node.gate.open();
    assert_eq!(second.receive(), waiting);
    for mut client in unlucky {
        client.0.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(client.receive(), request(b'E', 20));
    }
    node.stop();
}

#[test]
fn a_stop_with_messages_in_flight_answers_them() {
    let node = Node::start(3);
    let address = node.address;
    let mut clients: Vec<_> = (0..9).map(|_| node.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(&through(0, 50)).len(), 50);
        (0..200).for_each(|index| client.send(&through(index as u8, 1_000)));
    }
    node.handle.stop();
    let stopped = std::thread::spawn(move || node.exit());
    for client in &mut clients {
        // Whatever was read before the stop is answered, to the last byte of the last answer.
        let mut bytes = Vec::new();
        let _ = std::io::Read::read_to_end(&mut client.0, &mut bytes);
        assert_eq!(bytes.len() % 1_004, 0, "half an answer");
    }
    assert!(matches!(stopped.join().unwrap(), Exit::Stopped(_)));
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn one_shard_that_cannot_go_on_ends_the_node() {
    for shards in [1, 2, 3] {
        let node = Node::start(shards);
        let mut clients: Vec<_> = (0..shards).map(|_| node.connect()).collect();
        let shard = query(clients.last_mut().unwrap())[0];
        clients.last_mut().unwrap().send(&request(b'F', HEAD));
        match node.exit() {
            Exit::Fatal { message } => assert_eq!(message, format!("shard {shard} was asked to")),
            stopped => panic!("{stopped:?}"),
        }
    }
}

#[test]
fn a_shard_that_fails_ends_the_node_although_another_one_is_stalled() {
    let node = Node::start(2);
    let (mut first, mut second) = (node.connect(), node.connect());
    query(&mut second);
    first.send(&request(b'G', HEAD));
    node.gate.await_waiter();
    second.send(&request(b'F', HEAD));
    let gate = Arc::clone(&node.gate);
    assert!(matches!(node.exit(), Exit::Fatal { .. }));
    gate.open();
}

#[test]
fn a_thread_that_panics_ends_the_node() {
    let node = Node::start(2);
    node.connect().send(&request(b'X', HEAD));
    match node.exit() {
        Exit::Fatal { message } => assert!(message.contains("panicked"), "{message}"),
        stopped => panic!("{stopped:?}"),
    }
}
