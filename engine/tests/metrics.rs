//! `/metrics`, `/healthz` and `/readyz` over hosts that run, stand still and stop, and clients that misbehave.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corelog_engine::host::{Decide, Exit, HostConfig};
use corelog_engine::metrics::{Metrics, Panel, Phase};
use corelog_engine::net::listener::Listener;
use corelog_engine::node::{self, Member};
use corelog_engine::runtime::disk::DirectDisk;
use corelog_engine::runtime::ring::Features;
use corelog_engine::runtime::stop::{Stop, StopHandle};
use corelog_shard::io::{Action, Event, Now};
use corelog_shard::mesh::Seat;
use corelog_shard::metrics::{Figures, PartitionCounts, TopicFigures};
use corelog_wire::ids::TopicId;

const ANY_PORT: &str = "127.0.0.1:0";
/// How many calls it takes to see all partitions of a shard.
const CALLS: usize = 5;

/// A shard that stands still when it is told to, and has some partitions.
struct Stand {
    shard: usize,
    /// What it tells when it was reached, and what it waits for then.
    reached: mpsc::Sender<usize>,
    opened: mpsc::Receiver<()>,
    stopping: bool,
}

impl Decide for Stand {
    type Message = Infallible;

    fn handle(&mut self, _now: Now, event: Event<Infallible>, _actions: &mut Vec<Action<Infallible>>) {
        match event {
            Event::Frame { .. } => {
                self.reached.send(self.shard).unwrap();
                self.opened.recv().unwrap();
            }
            Event::Stop => self.stopping = true,
            _ => {}
        }
    }

    fn end_of_turn(&mut self, _now: Now, actions: &mut Vec<Action<Infallible>>) {
        if self.stopping {
            actions.push(Action::Stopped);
        }
    }

    fn next_deadline_us(&self) -> Option<u64> {
        None
    }

    fn figures(&self) -> Figures {
        Figures { partition_count: 1_000, ..Figures::default() }
    }

    fn figures_of_partitions(&self, from: usize, _partitions_max: usize, figures: &mut Figures) -> Option<usize> {
        figures.partition_count += 1;
        let (id, counts) = (TopicId([from as u8; 16]), PartitionCounts::default());
        figures.topics.push(TopicFigures { id, name: format!("t-{from}"), partitions: 1, counts });
        (from + 1 < CALLS).then_some(from + 1)
    }
}

struct Node {
    address: SocketAddr,
    handle: StopHandle,
    thread: JoinHandle<Exit>,
    /// Which shard stands still, and how each is let go.
    reached: mpsc::Receiver<usize>,
    opens: Vec<mpsc::Sender<()>>,
    _data: tempfile::TempDir,
}

impl Node {
    fn start(shards: u32, features: Features, panel: &Panel) -> Self {
        let data = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        let files = DirectDisk::open(data.path()).unwrap().into_files().split(shards as usize).unwrap();
        let (reached, was_reached) = mpsc::channel();
        let mut opens = Vec::new();
        let member = |(seat, files): (Seat, _)| {
            let (open, opened) = mpsc::channel();
            opens.push(open);
            let shard = usize::from(seat.me.0);
            Member { decide: Stand { shard, reached: reached.clone(), opened, stopping: false }, files, cpu: None }
        };
        let members = Seat::all(shards).zip(files).map(member).collect();
        let config = HostConfig { features, metrics: Some(panel.clone()), ..HostConfig::default() };
        let listener = Listener::bind(ANY_PORT.parse().unwrap()).unwrap();
        let stop = Stop::new().unwrap();
        let handle = stop.handle();
        let (ready, is_ready) = mpsc::channel();
        let panel = panel.clone();
        let thread = std::thread::spawn(move || {
            let ready = |address| {
                panel.enter(Phase::Serving);
                ready.send(address).unwrap();
            };
            node::run(config, listener, members, stop, ready).unwrap()
        });
        let address = is_ready.recv().unwrap();
        Self { address, handle, thread, reached: was_reached, opens, _data: data }
    }

    fn stop(self) {
        self.handle.stop();
        assert!(matches!(self.thread.join().unwrap(), Exit::Stopped(_)));
    }
}

fn server(hosts: usize) -> (Panel, Metrics) {
    let panel = Panel::new(hosts).unwrap();
    let server = Metrics::start(ANY_PORT.parse().unwrap(), panel.clone()).unwrap();
    (panel, server)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Sends these bytes and reads everything that comes.
fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The status and the body of a page.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = exchange(address, format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = format!("Content-Length: {}\r\n", body.len());
    assert!(head.contains(&length) && head.contains("Connection: close"), "{head}");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn has(page: &str, line: &str) -> bool {
    page.lines().any(|have| have == line)
}

#[test]
fn every_host_answers_awake_or_asleep() {
    for (shards, features) in
        [(1, Features::NEWEST), (1, Features::OLDEST), (3, Features::NEWEST), (3, Features::OLDEST)]
    {
        let (panel, server) = server(shards as usize);
        let node = Node::start(shards, features, &panel);
        let mut turns = 0;
        for _ in 0..20 {
            let (status, page) = get(server.address(), "/metrics");
            assert_eq!(status, 200);
            for shard in 0..shards {
                assert!(has(&page, &format!("corelog_shard_responding{{shard=\"{shard}\"}} 1")), "{page}");
                let partitions = format!("corelog_shard_partitions{{shard=\"{shard}\"}} {}", 1_000 + CALLS);
                assert!(has(&page, &partitions), "{page}");
            }
            assert!(has(&page, &format!("kafka_topic_partitions{{topic=\"t-{}\"}} {shards}", CALLS - 1)), "{page}");
            let now = page.lines().find_map(|line| line.strip_prefix("corelog_shard_turns_total{shard=\"0\"} "));
            let now: u64 = now.unwrap().parse().unwrap();
            assert!(now >= turns + CALLS as u64 || turns == 0, "some partitions a turn: {turns} turns, then {now}");
            turns = now;
        }
        assert_eq!(get(server.address(), "/readyz"), (200, "ready\n".to_owned()));
        node.stop();
    }
}

#[test]
fn a_shard_that_stands_still_is_named_and_holds_up_nothing() {
    let (panel, server) = server(2);
    let node = Node::start(2, Features::NEWEST, &panel);
    let (_, before) = get(server.address(), "/metrics");
    assert!(has(&before, "corelog_shard_responding{shard=\"0\"} 1"));
    let mut client = connect(node.address);
    let mut request = 9_u32.to_be_bytes().to_vec();
    request.extend([0; 9]);
    client.write_all(&request).unwrap();
    let silent = node.reached.recv().unwrap();
    let other = 1 - silent;
    let begun = Instant::now();
    let (status, page) = get(server.address(), "/metrics");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(status, 200);
    assert!(has(&page, &format!("corelog_shard_responding{{shard=\"{silent}\"}} 0")), "{page}");
    assert!(has(&page, &format!("corelog_shard_responding{{shard=\"{other}\"}} 1")), "{page}");
    let partitions = format!("corelog_shard_partitions{{shard=\"{silent}\"}} {}", 1_000 + CALLS);
    assert!(has(&page, &partitions), "as before: {page}");
    assert_eq!(get(server.address(), "/readyz"), (503, format!("not ready: no answer from shard {silent}\n")));
    assert_eq!(get(server.address(), "/healthz"), (200, "ok\n".to_owned()));
    node.opens[silent].send(()).unwrap();
    assert_eq!(get(server.address(), "/readyz"), (200, "ready\n".to_owned()));
    node.stop();
}

#[test]
fn readiness_follows_the_node() {
    let (panel, server) = server(1);
    let address = server.address();
    let (status, text) = get(address, "/readyz");
    assert_eq!((status, text.contains("recovered")), (503, true), "{text}");
    assert_eq!(get(address, "/healthz").0, 200);
    assert!(has(&get(address, "/metrics").1, "corelog_phase{phase=\"recovering\"} 1"));
    let node = Node::start(1, Features::NEWEST, &panel);
    assert_eq!(get(address, "/readyz").0, 200);
    node.stop();
    let (status, text) = get(address, "/readyz");
    assert_eq!((status, text.contains("stopping")), (503, true), "{text}");
    let (_, page) = get(address, "/metrics");
    assert!(has(&page, "corelog_phase{phase=\"stopping\"} 1") && has(&page, "corelog_shard_responding{shard=\"0\"} 0"));
    drop(server);
    assert!(TcpStream::connect(address).is_err(), "the port is free again");
}

#[test]
fn requests_that_are_none_are_refused() {
    let (_panel, server) = server(1);
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(10_000));
    for (request, status) in [
        ("POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "405 Method Not Allowed"),
        ("GET /other HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("\u{0}\u{0}\u{0}\u{15}\u{0}\u{12}\u{0}\u{3}\u{0}\u{0}\u{0}\u{1}", "400 Bad Request"),
        (&long, "431 Request Header Fields Too Large"),
        ("GET / HTTP/1.0\r\n\r\n", "200 OK"),
    ] {
        let answer = exchange(server.address(), request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request:.40}: {answer}");
    }
    let head = exchange(server.address(), b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let accept = b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n";
    assert!(exchange(server.address(), accept).contains("Content-Type: application/openmetrics-text; version=1.0.0;"));
}

#[test]
fn those_who_say_nothing_or_read_nothing_keep_nobody_out() {
    let (panel, server) = server(1);
    let node = Node::start(1, Features::NEWEST, &panel);
    // Far more than there may be, and one that sends byte after byte.
    let silent: Vec<_> = (0..200).map(|_| connect(server.address())).collect();
    let mut slow = connect(server.address());
    slow.write_all(b"GET /met").unwrap();
    // Those do not read their answers.
    let deaf: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = connect(server.address());
            stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
            stream
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(get(server.address(), "/metrics").0, 200);
    }
    let begun = Instant::now();
    for mut stream in silent {
        // Sooner or later each is closed, without a word.
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    drop((slow, deaf));
    node.stop();
}

#[test]
fn all_who_ask_at_once_are_answered() {
    let (panel, server) = server(2);
    let node = Node::start(2, Features::NEWEST, &panel);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for path in ["/metrics", "/readyz", "/healthz"].repeat(10) {
                    assert_eq!(get(server.address(), path).0, 200);
                }
            });
        }
    });
    node.stop();
}

#[test]
fn a_port_that_is_taken_is_refused_with_the_cure() {
    let taken = Listener::bind(ANY_PORT.parse().unwrap()).unwrap();
    let error = Metrics::start(taken.address(), Panel::new(1).unwrap()).unwrap_err().to_string();
    assert!(error.contains("is another broker running?") && error.contains("--metrics off"), "{error}");
}
