//! A host with a stand-in for the shard, and clients for it.
//!
//! A request is a command byte, seven bytes that nobody reads, and what the command needs; see [`Echo`].

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use corelog_engine::host::{self, Counts, Decide, Exit, HostConfig};
use corelog_engine::net::listener::Listener;
use corelog_engine::runtime::disk::DirectDisk;
use corelog_engine::runtime::stop::{Stop, StopHandle};
use corelog_shard::io::{Action, ConnectionId, Event, FileId, FileRange, Now, OpId, OpenMode, Piece, Step};
use corelog_wire::buffer::AlignedBuf;

/// Bytes in front of what a command needs.
pub(crate) const HEAD: usize = 8;
const FILE: FileId = FileId(1);
const BLOCK: usize = 4096;
/// The file in the data directory from which parts are sent.
pub(crate) const SEGMENT: &str = "segment";
/// What stands between two parts.
pub(crate) const BETWEEN: &[u8] = &[b'|'; 300];

/// Answers every request by its command.
#[derive(Default)]
pub(crate) struct Echo {
    open: BTreeSet<ConnectionId>,
    paused: BTreeMap<ConnectionId, u64>,
    held: Vec<(ConnectionId, Bytes)>,
    writes: BTreeMap<OpId, (ConnectionId, Bytes)>,
    /// Answers that wait for their files to be open.
    lending: BTreeMap<OpId, (ConnectionId, Vec<FileRange>)>,
    /// Files that could not be sent.
    failed: u64,
    ops: u64,
    stopping: bool,
    closed: u64,
    free: u64,
}

impl Echo {
    fn reply(actions: &mut Vec<Action<std::convert::Infallible>>, connection: ConnectionId, segments: Vec<Bytes>) {
        let len: usize = segments.iter().map(Bytes::len).sum();
        let prefix = Bytes::copy_from_slice(&(len as u32).to_be_bytes());
        let pieces = [prefix].into_iter().chain(segments).map(Piece::Memory).collect();
        actions.push(Action::Reply { connection, pieces });
    }

    fn frame(
        &mut self,
        now: Now,
        connection: ConnectionId,
        frame: Bytes,
        actions: &mut Vec<Action<std::convert::Infallible>>,
    ) {
        assert!(self.free > 0, "the free space is told before the first frame");
        assert!(self.open.contains(&connection), "a frame of a connection that is not open");
        assert!(!self.paused.contains_key(&connection), "a frame of a paused connection");
        match frame[0] {
            // Echo.
            b'E' => Self::reply(actions, connection, vec![frame]),
            // The same, in many segments.
            b'M' => {
                let pieces = (0..frame.len()).step_by(10).map(|at| frame.slice(at..frame.len().min(at + 10))).collect();
                Self::reply(actions, connection, pieces);
            }
            // So many zeros.
            b'B' => {
                let count = u32::from_be_bytes(frame[HEAD..HEAD + 4].try_into().unwrap()) as usize;
                let mebibyte = Bytes::from(vec![0; 1 << 20]);
                let segments = (0..count).step_by(1 << 20).map(|at| mebibyte.slice(..(count - at).min(1 << 20)));
                Self::reply(actions, connection, segments.collect());
            }
            // Echo, then close.
            b'C' => {
                Self::reply(actions, connection, vec![frame]);
                actions.push(Action::Close(connection));
            }
            // Echo, and take nothing for 10 ms.
            b'P' => {
                Self::reply(actions, connection, vec![frame]);
                actions.push(Action::PauseInput(connection));
                self.paused.insert(connection, now.monotonic_us + 10_000);
            }
            // Echo when asked to stop.
            b'H' => self.held.push((connection, frame)),
            // How many connections are open, how many have closed, how many requests are held, how many files failed.
            b'Q' => {
                let numbers = [self.open.len() as u64, self.closed, self.held.len() as u64, self.failed];
                let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
                Self::reply(actions, connection, vec![Bytes::from(bytes)]);
            }
            // Write it durably, read it again, echo what was read.
            b'W' => {
                self.ops += 1;
                let mut data = AlignedBuf::with_capacity(BLOCK);
                data.extend_from_slice(&frame);
                data.pad_with_zeros_to(BLOCK);
                let offset = self.ops * BLOCK as u64;
                let write = Step::Write { file: FILE, offset, data: vec![data.freeze()], durable: true };
                let steps = vec![write, Step::Read { file: FILE, offset, len: BLOCK }];
                self.writes.insert(OpId(self.ops), (connection, frame));
                actions.push(Action::Io { op: OpId(self.ops), steps });
            }
            // These parts of the segment, with something between them.
            b'S' => {
                let mut ranges = Vec::new();
                let mut steps = Vec::new();
                for part in frame[HEAD..].chunks_exact(12) {
                    self.ops += 1;
                    let file = FileId(1_000 + self.ops);
                    let position = u64::from_be_bytes(part[..8].try_into().unwrap());
                    let len = u32::from_be_bytes(part[8..].try_into().unwrap()) as usize;
                    ranges.push(FileRange { file, position, len });
                    steps.push(Step::Open { file, path: SEGMENT.into(), mode: OpenMode::READ_BUFFERED });
                }
                self.lending.insert(OpId(self.ops), (connection, ranges));
                actions.push(Action::Io { op: OpId(self.ops), steps });
            }
            b'F' => actions.push(Action::Fatal { message: "asked to".into() }),
            b'T' => nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).unwrap(),
            _ => actions.push(Action::Close(connection)),
        }
    }
}

impl Decide for Echo {
    type Message = std::convert::Infallible;

    fn handle(&mut self, now: Now, event: Event<Self::Message>, actions: &mut Vec<Action<Self::Message>>) {
        match event {
            Event::ConnectionOpened { connection, .. } => assert!(self.open.insert(connection)),
            Event::Drained { .. } => {}
            Event::ConnectionClosed { connection } => {
                assert!(self.open.remove(&connection), "closed twice");
                self.paused.remove(&connection);
                self.closed += 1;
            }
            Event::Frame { connection, frame } => self.frame(now, connection, frame, actions),
            Event::ReplyFailed { connection, .. } => {
                assert!(self.open.contains(&connection), "told before the connection closes");
                self.failed += 1;
            }
            Event::Completed { op, result } if self.lending.contains_key(&op) => {
                result.expect("the segment is there");
                let (connection, ranges) = self.lending.remove(&op).unwrap();
                let len: usize = ranges.iter().map(|range| range.len + BETWEEN.len()).sum();
                let mut pieces = vec![Piece::Memory(Bytes::copy_from_slice(&(len as u32).to_be_bytes()))];
                for range in ranges {
                    pieces.extend([Piece::File(range), Piece::Memory(Bytes::from_static(BETWEEN))]);
                }
                actions.push(Action::Reply { connection, pieces });
            }
            Event::Completed { op, result } => {
                let (connection, frame) = self.writes.remove(&op).expect("a completion of what was started");
                let read = result.expect("the disk works");
                assert_eq!(&read[0][..frame.len()], &frame[..]);
                Self::reply(actions, connection, vec![read[0].slice(..frame.len())]);
            }
            Event::FreeSpace { bytes, .. } => self.free = bytes,
            Event::Tick => {
                let due: Vec<_> =
                    self.paused.iter().filter(|(_, at)| **at <= now.monotonic_us).map(|(id, _)| *id).collect();
                for connection in due {
                    self.paused.remove(&connection);
                    actions.push(Action::ResumeInput(connection));
                }
            }
            Event::Stop => {
                self.stopping = true;
                for (connection, frame) in self.held.drain(..) {
                    Self::reply(actions, connection, vec![frame]);
                }
            }
        }
    }

    fn end_of_turn(&mut self, _now: Now, actions: &mut Vec<Action<std::convert::Infallible>>) {
        if self.stopping && self.writes.is_empty() {
            actions.push(Action::Stopped);
        }
    }

    fn next_deadline_us(&self) -> Option<u64> {
        self.paused.values().min().copied()
    }
}

/// A running host.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) handle: StopHandle,
    thread: JoinHandle<Exit>,
    data: tempfile::TempDir,
}

impl Host {
    pub(crate) fn start(config: HostConfig) -> Self {
        Self::start_on(config, Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap())
    }

    pub(crate) fn start_on(config: HostConfig, listener: Listener) -> Self {
        let program = std::env::current_exe().unwrap();
        let data = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let path = data.path().to_owned();
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let stop = Stop::on_signals().unwrap();
            let handle = stop.handle();
            let mut disk = DirectDisk::open(&path).unwrap();
            let open = Step::Open { file: FILE, path: "f".into(), mode: OpenMode::WRITE };
            corelog_shard::io::Disk::run(&mut disk, open).unwrap();
            host::run(config, listener, disk.into_files(), Echo::default(), stop, |address| {
                ready.send((address, handle)).unwrap();
            })
            .unwrap()
        });
        let (address, handle) = is_ready.recv().unwrap();
        Self { address, handle, thread, data }
    }

    /// The data directory.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.data.path()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::new(self.address)
    }

    /// Waits for the end.
    pub(crate) fn exit(self) -> Exit {
        self.thread.join().unwrap()
    }

    /// Asks it to stop, and waits.
    pub(crate) fn stop(self) -> Counts {
        self.handle.stop();
        match self.exit() {
            Exit::Stopped(counts) => counts,
            fatal => panic!("{fatal:?}"),
        }
    }
}

pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, frame: &[u8]) {
        let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(frame);
        self.0.write_all(&bytes).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut frame).unwrap();
        frame
    }

    pub(crate) fn ask(&mut self, frame: &[u8]) -> Vec<u8> {
        self.send(frame);
        self.receive()
    }

    /// Open and closed connections and held requests, as the shard knows them.
    pub(crate) fn counts(&mut self) -> [u64; 3] {
        let answer = self.ask(&request(b'Q', HEAD));
        [0, 1, 2].map(|index| u64::from_be_bytes(answer[index * 8..][..8].try_into().unwrap()))
    }

    /// How many files could not be sent to their end.
    pub(crate) fn failed(&mut self) -> u64 {
        u64::from_be_bytes(self.ask(&request(b'Q', HEAD))[24..32].try_into().unwrap())
    }

    /// Asks until the shard's counts are as wanted.
    pub(crate) fn await_counts(&mut self, wanted: impl Fn([u64; 3]) -> bool) {
        let start = std::time::Instant::now();
        loop {
            let counts = self.counts();
            if wanted(counts) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "still {counts:?}");
        }
    }

    /// Whether the host has closed the connection; waits for it.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0; 1]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A request of `len` bytes with this command and recognisable bytes behind it.
pub(crate) fn request(command: u8, len: usize) -> Vec<u8> {
    let pattern: Vec<u8> = (0..len.min(65_521)).map(|index| (index * 31 + index / 251) as u8).collect();
    let mut frame = pattern.repeat(len.div_ceil(pattern.len()));
    frame.truncate(len);
    frame[0] = command;
    frame
}

/// A reproducible source of numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// The resident memory of this process in bytes.
pub(crate) fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
