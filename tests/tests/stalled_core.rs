//! A core that stands still holds up its own partitions and connections, and nobody else's: one thread of the real broker
//! is stopped as a debugger stops it.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Instant;

use corelog_shard::mesh::{Seat, ShardIndex};
use corelog_tests::broker::{Broker, Options};
use corelog_tests::client::{Client, WAIT_MAX, decode};
use corelog_wire::api::api_versions::ApiVersionsRequest;
use corelog_wire::api::metadata::{MetadataRequest, MetadataRequestTopic};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{BatchBuilder, NewRecord};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

const TOPIC: &str = "spread";
const PARTITIONS: i32 = 4;
const METADATA_VERSION: i16 = 12;
/// So many that each shard has one, although the door counts some that are just being closed.
const CONNECTIONS: usize = 6;
/// Requests that the others serve meanwhile.
const SERVED: usize = 50;

/// A thread of the broker that does not run until this value goes.
struct Stalled(Pid);

impl Stalled {
    fn shard(broker: &Broker, shard: u16) -> Self {
        let name = format!("shard-{shard}");
        let tasks = fs::read_dir(format!("/proc/{}/task", broker.process_id())).expect("the broker runs");
        let is_it = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        let task = tasks.map(|task| task.expect("a thread")).find(is_it).expect("each shard has a thread");
        let id = Pid::from_raw(task.file_name().to_str().and_then(|id| id.parse().ok()).expect("a number"));
        ptrace::seize(id, ptrace::Options::empty()).expect("a child may be traced");
        ptrace::interrupt(id).expect("it is traced");
        waitpid(id, Some(WaitPidFlag::__WALL)).expect("it stops");
        Self(id)
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        ptrace::detach(self.0, None).expect("it is stopped");
    }
}

fn topic_id(client: &mut Client) -> TopicId {
    let topics = [MetadataRequestTopic { name: Some(TOPIC), ..Default::default() }];
    let request = MetadataRequest { topics: Some((&topics).into()), ..Default::default() };
    client.send(METADATA_VERSION, &request).expect("sent");
    let frame = client.receive().expect("an answer");
    let (_, response) = decode::<MetadataRequest<'_>>(&frame, METADATA_VERSION).expect("well-formed");
    response.topics.iter().next().expect("the topic").topic_id
}

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.append(&NewRecord { timestamp: 1, value: Some(b"value"), ..Default::default() });
    builder.build()
}

/// Whether an answer is there, without waiting for it.
fn has_answer(client: &Client) -> bool {
    let stream = client.stream();
    stream.set_nonblocking(true).expect("a socket");
    let peeked = stream.peek(&mut [0; 1]);
    stream.set_nonblocking(false).expect("a socket");
    match peeked {
        Ok(bytes) => {
            assert!(bytes > 0, "the broker keeps the connection");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

/// A connection of each shard: while the other one stands still, only its own are answered.
fn connect_to_each(broker: &Broker) -> [Client; 2] {
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| connect(broker.address())).collect();
    [0, 1].map(|shard| {
        let stalled = Stalled::shard(broker, 1 - shard);
        for client in &mut clients {
            client.send(0, &ApiVersionsRequest::default()).expect("sent");
        }
        let begun = Instant::now();
        let found = loop {
            assert!(begun.elapsed() < WAIT_MAX, "some connection is served by shard {shard}");
            match clients.iter().position(has_answer) {
                Some(found) => break found,
                None => std::thread::yield_now(),
            }
        };
        drop(stalled);
        for client in &mut clients {
            client.receive().expect("an answer");
        }
        clients.swap_remove(found)
    })
}

fn connect(address: SocketAddr) -> Client {
    Client::connect(address).expect("a connection")
}

#[test]
fn the_partitions_and_connections_of_other_cores_go_on() {
    let mut broker = Options::new().cores(2).argument("--memory").argument("128M").start();
    if !broker.is_ours() {
        return;
    }
    let mut client = connect(broker.address());
    assert!(client.create_topic(TOPIC, PARTITIONS).expect("an answer").is_none());
    let topic = topic_id(&mut client);
    drop(client);
    let partition_of = |shard| {
        let seat = Seat { me: ShardIndex(shard), shards: 2 };
        (0..PARTITIONS).find(|index| seat.owns(topic, *index)).expect("four partitions lie on both")
    };
    let mut expected = [0; 2];
    for stalled in [1, 0] {
        let running = 1 - stalled;
        let mut clients = connect_to_each(&broker);
        let mut waiting = connect_to_each(&broker);
        let thread = Stalled::shard(&broker, stalled as u16);
        // A connection of the core that runs wants something of the one that does not.
        let there = partition_of(stalled as u16);
        waiting[running].send_produce(TOPIC, there, Some(&batch())).expect("sent");
        for _ in 0..SERVED {
            let produced = clients[running].produce(TOPIC, partition_of(running as u16), Some(&batch()));
            let produced = produced.expect("the other core answers");
            assert_eq!((produced.error, produced.base_offset), (ErrorCode::NONE, expected[running]));
            expected[running] += 1;
            let fetched = clients[running].fetch(TOPIC, partition_of(running as u16), 0, 1 << 20).expect("an answer");
            assert_eq!((fetched.error, fetched.high_watermark), (ErrorCode::NONE, expected[running]));
        }
        assert!(!has_answer(&waiting[running]), "nobody can have answered it");
        drop(thread);
        let produced = waiting[running].receive_produced().expect("it is answered in the end");
        assert_eq!((produced.error, produced.base_offset), (ErrorCode::NONE, expected[stalled]));
        expected[stalled] += 1;
        let produced = clients[stalled].produce(TOPIC, there, Some(&batch())).expect("an answer");
        assert_eq!(produced.base_offset, expected[stalled]);
        expected[stalled] += 1;
    }
    assert!(broker.stop().success());
}
