//! What the host's paths cost: receive, send, durable write.
//!
//! `cargo run --release -p corelog-engine --example paths -- receive 65536`, `send 1048576`, `write 262144 4`,
//! `echo 100` (one request at a time). The host runs on core 0, the load in a process of its own on core 1, over
//! loopback. CPU is counted twice, per GB (10^9 bytes): the host's process, and the whole machine less idle and less the
//! load, which also sees the kernel's own threads. Other work on the machine spoils the second figure.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelog_engine::host::{self, Decide, HostConfig};
use corelog_engine::net::listener::Listener;
use corelog_engine::runtime::disk::DirectDisk;
use corelog_engine::runtime::stop::{Stop, StopHandle};
use corelog_shard::io::{Action, ConnectionId, Disk, Event, FileId, Now, OpId, OpenMode, Piece, Step};
use corelog_wire::buffer::AlignedBuf;
use nix::poll::{PollFd, PollFlags};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const CONNECTIONS: usize = 8;
const SECONDS: u64 = 5;
const FILE: FileId = FileId(1);
/// The prewritten file that is written over and over.
const FILE_BYTES: u64 = 256 << 20;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| -> usize { arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(1) };
    match arguments.first().map(String::as_str) {
        Some("load") => load(arguments[1].parse()?, &arguments[2], number(3), number(4)),
        Some(path @ ("receive" | "send" | "echo")) => network(path, number(1), number(2)),
        Some("write") => write(number(1), number(2)),
        _ => Err("receive SIZE [DEPTH] | send SIZE [DEPTH] | echo SIZE | write SIZE DEPTH".into()),
    }
}

/// Answers each request with the same bytes.
struct Answer {
    frame: Vec<Bytes>,
    bytes: u64,
}

impl Decide for Answer {
    type Message = std::convert::Infallible;

    fn handle(&mut self, _now: Now, event: Event<Self::Message>, actions: &mut Vec<Action<Self::Message>>) {
        match event {
            Event::Frame { connection, frame } => {
                let sent: usize = self.frame.iter().map(Bytes::len).sum();
                self.bytes += frame.len().max(sent) as u64;
                self.reply(connection, actions);
            }
            Event::Stop => actions.push(Action::Stopped),
            _ => {}
        }
    }

    fn end_of_turn(&mut self, _now: Now, _actions: &mut Vec<Action<std::convert::Infallible>>) {}

    fn next_deadline_us(&self) -> Option<u64> {
        None
    }
}

impl Answer {
    fn reply(&self, connection: ConnectionId, actions: &mut Vec<Action<std::convert::Infallible>>) {
        actions.push(Action::Reply { connection, pieces: self.frame.iter().cloned().map(Piece::Memory).collect() });
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        BYTES.store(self.bytes, std::sync::atomic::Ordering::Relaxed);
    }
}

static BYTES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

fn network(path: &str, size: usize, depth: usize) -> Fallible<()> {
    let answer = if path == "send" { size } else { 8 };
    let mut head = (answer as u32).to_be_bytes().to_vec();
    head.resize(12, 0);
    let body = Bytes::from(vec![1; answer - 8]);
    let frame = vec![Bytes::from(head), body];
    let listener = Listener::bind("127.0.0.1:0".parse()?)?;
    let stop = Stop::new()?;
    let (handle, path) = (stop.handle(), path.to_owned());
    let decide = Answer { frame, bytes: 0 };
    let ready = move |address| measured(address, &path, size, depth, handle);
    println!("{:?}", host::run(config(), listener, disk()?.into_files(), decide, stop, ready)?);
    report(BYTES.load(std::sync::atomic::Ordering::Relaxed));
    Ok(())
}

fn config() -> HostConfig {
    HostConfig { cpu: Some(0), ..HostConfig::default() }
}

fn disk() -> Fallible<DirectDisk> {
    let program = std::env::current_exe()?;
    Ok(DirectDisk::create(&program.with_extension("data"))?)
}

/// Starts the load and, when it is through, stops the host.
fn measured(address: SocketAddr, path: &str, size: usize, depth: usize, handle: StopHandle) {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["load", &address.to_string(), path, &size.to_string(), &depth.to_string()]);
    start_clock();
    std::thread::spawn(move || {
        let status = command.status().expect("the load runs");
        assert!(status.success());
        handle.stop();
    });
}

/// The load: one thread, and every connection keeps `depth` requests in flight.
fn load(address: SocketAddr, path: &str, size: usize, depth: usize) -> Fallible<()> {
    pin(1);
    let (request, connections) = match path {
        "send" => (16, CONNECTIONS),
        "echo" => (size, 1),
        _ => (size, CONNECTIONS),
    };
    let mut bytes = (request as u32).to_be_bytes().to_vec();
    bytes.resize(4 + request, 7);
    let mut clients = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        clients.push(Client {
            stream,
            written: 0,
            answer: Vec::new(),
            left: 0,
            sent: VecDeque::new(),
            times: Vec::new(),
        });
    }
    let (start, mut buffer) = (Instant::now(), vec![0; 1 << 20]);
    loop {
        let sending = start.elapsed() < Duration::from_secs(SECONDS);
        let mut moved = false;
        for client in &mut clients {
            moved |= client.write(&bytes, if sending { depth } else { 0 })?;
            moved |= client.read(&mut buffer)?;
        }
        if !sending && clients.iter().all(|client| client.sent.is_empty()) {
            break;
        }
        if !moved {
            let wanted = |client: &Client| {
                let writes = client.written > 0 || (sending && client.sent.len() < depth);
                PollFlags::POLLIN | if writes { PollFlags::POLLOUT } else { PollFlags::empty() }
            };
            let mut polled: Vec<_> =
                clients.iter().map(|client| PollFd::new(client.stream.as_fd(), wanted(client))).collect();
            nix::poll::poll(&mut polled, 100u16)?;
        }
    }
    let mut times: Vec<u32> = clients.into_iter().flat_map(|client| client.times).collect();
    times.sort_unstable();
    let at = |part: f64| f64::from(times[((times.len() - 1) as f64 * part) as usize]) / 10.0;
    println!("{} answers, p50 {:.1} us, p99 {:.1} us", times.len(), at(0.5), at(0.99));
    Ok(())
}

/// One connection of the load.
struct Client {
    stream: TcpStream,
    /// How much of the current request is written; 0 between requests.
    written: usize,
    /// The length of the current answer, as far as it came.
    answer: Vec<u8>,
    /// What of the answer is still to come.
    left: usize,
    /// When the requests in flight were begun.
    sent: VecDeque<Instant>,
    /// Tenths of a microsecond.
    times: Vec<u32>,
}

impl Client {
    fn write(&mut self, bytes: &[u8], depth: usize) -> std::io::Result<bool> {
        let mut moved = false;
        while self.written > 0 || self.sent.len() < depth {
            if self.written == 0 {
                self.sent.push_back(Instant::now());
            }
            match self.stream.write(&bytes[self.written..]) {
                Ok(count) => self.written = (self.written + count) % bytes.len(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if self.written == 0 {
                        self.sent.pop_back();
                    }
                    break;
                }
                Err(error) => return Err(error),
            }
            moved = true;
        }
        Ok(moved)
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<bool> {
        let mut moved = false;
        loop {
            let mut came = match self.stream.read(buffer) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => &buffer[..count],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(moved),
                Err(error) => return Err(error),
            };
            moved = true;
            while !came.is_empty() {
                if self.answer.len() < 4 {
                    let (head, rest) = came.split_at((4 - self.answer.len()).min(came.len()));
                    self.answer.extend_from_slice(head);
                    came = rest;
                    if let Ok(length) = <[u8; 4]>::try_from(&self.answer[..]) {
                        self.left = u32::from_be_bytes(length) as usize;
                    }
                } else {
                    let part = self.left.min(came.len());
                    self.left -= part;
                    came = &came[part..];
                    if self.left == 0 {
                        self.answer.clear();
                        let sent = self.sent.pop_front().ok_or(std::io::ErrorKind::InvalidData)?;
                        self.times.push(sent.elapsed().as_nanos() as u32 / 100);
                    }
                }
            }
        }
    }
}

/// Writes the same buffers durably, `depth` at a time.
struct Writer {
    data: Bytes,
    depth: u64,
    started: u64,
    ended: u64,
    until_us: u64,
    starts: Vec<u64>,
    times: Vec<u64>,
}

impl Writer {
    fn start(&mut self, now: Now, actions: &mut Vec<Action<std::convert::Infallible>>) {
        let offset = self.started * self.data.len() as u64 % FILE_BYTES;
        let steps = vec![Step::Write { file: FILE, offset, data: vec![self.data.clone()], durable: true }];
        actions.push(Action::Io { op: OpId(self.started), steps });
        self.starts.push(now.monotonic_us);
        self.started += 1;
    }
}

impl Decide for Writer {
    type Message = std::convert::Infallible;

    fn handle(&mut self, now: Now, event: Event<Self::Message>, actions: &mut Vec<Action<Self::Message>>) {
        if let Event::Completed { op, result } = event {
            assert!(result.is_ok(), "{result:?}");
            self.times.push(now.monotonic_us - self.starts[op.0 as usize]);
            self.ended += 1;
        }
        if now.monotonic_us >= self.until_us && self.ended == self.started {
            actions.push(Action::Stopped);
        }
    }

    fn end_of_turn(&mut self, now: Now, actions: &mut Vec<Action<std::convert::Infallible>>) {
        while now.monotonic_us < self.until_us && self.started - self.ended < self.depth {
            self.start(now, actions);
        }
    }

    fn next_deadline_us(&self) -> Option<u64> {
        None
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.times.sort_unstable();
        let at = |part: f64| self.times[((self.times.len() - 1) as f64 * part) as usize];
        println!("{} writes, p50 {} us, p99 {} us", self.times.len(), at(0.5), at(0.99));
        BYTES.store(self.ended * self.data.len() as u64, std::sync::atomic::Ordering::Relaxed);
    }
}

fn write(size: usize, depth: usize) -> Fallible<()> {
    let mut disk = disk()?;
    let zeros = AlignedBuf::zeroed(1 << 20).freeze();
    disk.run(Step::Open { file: FILE, path: "f".into(), mode: OpenMode::WRITE }).map_err(|error| error.what)?;
    disk.run(Step::Allocate { file: FILE, len: FILE_BYTES }).map_err(|error| error.what)?;
    for offset in (0..FILE_BYTES).step_by(zeros.len()) {
        let step = Step::Write { file: FILE, offset, data: vec![zeros.clone()], durable: false };
        disk.run(step).map_err(|error| error.what)?;
    }
    disk.run(Step::Sync { file: FILE }).map_err(|error| error.what)?;
    let writer = Writer {
        data: AlignedBuf::zeroed(size).freeze(),
        depth: depth as u64,
        started: 0,
        ended: 0,
        until_us: corelog_engine::runtime::clock::monotonic_us() + SECONDS * 1_000_000,
        starts: Vec::new(),
        times: Vec::new(),
    };
    let listener = Listener::bind("127.0.0.1:0".parse()?)?;
    let exit = host::run(config(), listener, disk.into_files(), writer, Stop::new()?, |_| start_clock())?;
    println!("{exit:?}");
    report(BYTES.load(std::sync::atomic::Ordering::Relaxed));
    Ok(())
}

/// CPU seconds of the machine (not idle), of this process, and of its children, and when that was.
struct Times(f64, f64, f64, Instant);

static START: std::sync::Mutex<Option<Times>> = std::sync::Mutex::new(None);

fn start_clock() {
    *START.lock().expect("nobody panics with it") = Some(times());
}

fn times() -> Times {
    use nix::sys::resource::{UsageWho, getrusage};
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = stat.lines().next().unwrap_or("").split_whitespace().skip(1).flat_map(str::parse).collect();
    // User, nice, system, interrupts, soft interrupts.
    let machine = [0, 1, 2, 5, 6].iter().map(|&index| ticks.get(index).copied().unwrap_or(0.0)).sum::<f64>() / 100.0;
    let used = |who| {
        getrusage(who).map_or(0.0, |usage| {
            let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
            seconds(usage.user_time()) + seconds(usage.system_time())
        })
    };
    Times(machine, used(UsageWho::RUSAGE_SELF), used(UsageWho::RUSAGE_CHILDREN), Instant::now())
}

fn report(bytes: u64) {
    let Some(start) = START.lock().expect("nobody panics with it").take() else { return };
    let end = times();
    let (gb, seconds) = (bytes as f64 / 1e9, end.3.duration_since(start.3).as_secs_f64());
    let (process, load, machine) = (end.1 - start.1, end.2 - start.2, end.0 - start.0);
    println!(
        "{:.2} GB/s; CPU-s/GB: host {:.3}, machine less load {:.3}; busy: host {:.0}%, load {:.0}%",
        gb / seconds,
        process / gb,
        (machine - load) / gb,
        100.0 * process / seconds,
        100.0 * load / seconds,
    );
}

fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    let result = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    if result.is_err() {
        eprintln!("the load is not pinned to core {cpu}");
    }
}
