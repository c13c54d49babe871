//! Bad input against the real broker: whatever one client sends, memory stays bounded, the others are served, nothing
//! wrong is stored, and the log says what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use corelog_tests::broker::{Broker, Options, new_folder};
use corelog_tests::client::{Client, WAIT_MAX, decode, request_bytes};
use corelog_tests::sim::random::Random;
use corelog_wire::api::api_versions::ApiVersionsRequest;
use corelog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use corelog_wire::api::metadata::MetadataRequest;
use corelog_wire::compression::Compression;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::record_batch::{BatchBuilder, NewRecord};

const TOPIC: &str = "ordinary";
const CREATE_VERSION: i16 = 4;
const METADATA_VERSION: i16 = 9;
/// `--memory` for each core.
const MEMORY_MIB: u32 = 64;
/// `--memory`, and the fixed amount beside it that `Linux-only.md` names.
const RESIDENT_MAX: u64 = (2 * MEMORY_MIB as u64 + 128) << 20;
/// An ordinary request is answered within this, whatever the others do.
const SERVED_MAX: Duration = Duration::from_secs(5);

/// A broker with the least memory that it takes.
fn options(cores: u32) -> Options {
    let memory = format!("{}M", MEMORY_MIB * cores);
    Options::new().cores(cores).argument("--memory").argument(&memory).environment("RUST_LOG", "info")
}

fn start(cores: u32) -> Broker {
    let broker = options(cores).start();
    let mut client = connect(broker.address());
    assert!(client.create_topic(TOPIC, 2).expect("an answer").is_none());
    broker
}

fn connect(address: SocketAddr) -> Client {
    Client::connect(address).expect("a connection")
}

fn batch(values: &[&[u8]], compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compression(compression, None);
    for value in values {
        builder.append(&NewRecord { timestamp: 1, value: Some(value), ..Default::default() });
    }
    builder.build()
}

/// The CRC that belongs to changed bytes.
fn with_crc(mut batch: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// Whether an ordinary client is served, in time.
fn is_served(address: SocketAddr) {
    let start = Instant::now();
    let mut client = connect(address);
    let produced = client.produce(TOPIC, 1, Some(&batch(&[b"ordinary"], Compression::None))).expect("an answer");
    assert!(produced.error.is_none(), "{produced:?}");
    let fetched = client.fetch(TOPIC, 1, produced.base_offset, 1 << 20).expect("an answer");
    assert!(fetched.error.is_none() && !fetched.records.is_empty(), "{fetched:?}");
    assert!(start.elapsed() < SERVED_MAX, "served only after {:?}", start.elapsed());
}

/// Nothing was stored in the partition that is abused, memory is in bounds, others are served, and it ends cleanly.
fn is_well(mut broker: Broker, end: i64) {
    is_served(broker.address());
    let fetched = connect(broker.address()).fetch(TOPIC, 0, 0, 1 << 20).expect("an answer");
    assert_eq!((fetched.error.code(), fetched.high_watermark), (0, end));
    if broker.is_ours() {
        let resident = broker.resident_bytes();
        println!("resident: {} KiB", resident / 1024);
        assert!(resident < RESIDENT_MAX, "{resident} bytes are resident");
        assert!(broker.stop().success(), "it ends cleanly");
        assert!(!broker.stderr().contains("panicked"), "{}", broker.stderr());
    }
}

/// Every case on one core, and on two.
macro_rules! on_one_and_two_cores {
    ($($case:ident)*) => {
        mod on_one_core {
            $(#[test] fn $case() { super::$case(1) })*
        }
        mod on_two_cores {
            $(#[test] fn $case() { super::$case(2) })*
        }
    };
}

on_one_and_two_cores! {
    frames_that_are_none_close_their_connection_only
    wrong_batches_get_an_error_and_are_not_stored
    decompression_bombs_are_bounded
    forty_announced_frames_do_not_starve_others
    ten_thousand_pipelined_requests_are_answered_in_order
    slow_readers_and_half_open_connections_hold_little
    thousands_of_idle_connections_are_held
    a_second_broker_is_refused
    a_stop_answers_what_is_in_flight
    a_burst_of_topics_is_taken_as_far_as_there_is_room
}

fn frames_that_are_none_close_their_connection_only(cores: u32) {
    let broker = start(cores);
    let good = request_bytes(7, 3, &ApiVersionsRequest { client_software_name: "x", ..Default::default() });
    let mut random = Random::new(1);
    let mut bad: Vec<Vec<u8>> = vec![
        (-1_i32).to_be_bytes().to_vec(),
        i32::MIN.to_be_bytes().to_vec(),
        i32::MAX.to_be_bytes().to_vec(),
        0_i32.to_be_bytes().to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        // Unknown APIs and versions.
        frame(&[0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff]),
        frame(&[0xff, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff]),
        frame(&[0, 0, 0x7f, 0xff, 0, 0, 0, 1, 0xff, 0xff, 0]),
        frame(&[0, 1, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff, 0]),
        // Huge and negative counts: Metadata 1, ListOffsets 1, Produce 3.
        frame(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
        frame(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]),
        frame(&[0, 2, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
        frame(&[0, 0, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0, 0, 9, 0x7f, 0xff, 0xff, 0xff]),
        // A client id of a length that is not there.
        frame(&[0, 18, 0, 0, 0, 0, 0, 1, 0x7f, 0xff]),
    ];
    for _ in 0..100 {
        let length = 8 + random.below(300);
        let bytes: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
        bad.push(frame(&[&[0x40], bytes.as_slice()].concat()));
    }
    for bytes in &bad {
        let mut client = connect(broker.address());
        client.send_bytes(bytes).expect("sent");
        client.stream().shutdown(Shutdown::Write).expect("half closed");
        assert!(client.is_closed_by_broker(), "{bytes:x?}");
    }
    // A request that ends early, in each of its bytes.
    for length in 0..good.len() {
        let mut client = connect(broker.address());
        client.send_bytes(&good[..length]).expect("sent");
        client.stream().shutdown(Shutdown::Write).expect("half closed");
        assert!(client.is_closed_by_broker(), "after {length} bytes");
    }
    assert!(broker.stderr().contains("closing the connection"), "{}", broker.stderr());
    is_well(broker, 0);
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&i32::try_from(body.len()).expect("short").to_be_bytes(), body].concat()
}

fn wrong_batches_get_an_error_and_are_not_stored(cores: u32) {
    let broker = start(cores);
    let good = batch(&[b"one", b"two", b"three"], Compression::None);
    let changed = |at: usize, bytes: &[u8]| {
        let mut batch = good.clone();
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        batch
    };
    let mut cases: Vec<(&str, Option<Vec<u8>>)> = vec![
        ("null records", None),
        ("no records", Some(Vec::new())),
        ("a bit of a value", Some(changed(good.len() - 3, b"X"))),
        ("a wrong CRC", Some(changed(17, &[1, 2, 3, 4]))),
        ("magic 0", Some(changed(16, &[0]))),
        ("magic 1", Some(changed(16, &[1]))),
        ("magic 3", Some(changed(16, &[3]))),
        ("a negative length", Some(changed(8, &(-5_i32).to_be_bytes()))),
        ("a huge length", Some(changed(8, &i32::MAX.to_be_bytes()))),
        ("a short length", Some(changed(8, &49_i32.to_be_bytes()))),
        ("a wrong last offset delta", Some(with_crc(changed(23, &7_i32.to_be_bytes())))),
        ("a negative last offset delta", Some(with_crc(changed(23, &(-1_i32).to_be_bytes())))),
        ("a wrong count", Some(with_crc(changed(57, &2_i32.to_be_bytes())))),
        ("a huge count", Some(with_crc(changed(57, &i32::MAX.to_be_bytes())))),
        ("a negative count", Some(with_crc(changed(57, &(-1_i32).to_be_bytes())))),
        ("a count of none", Some(with_crc(changed(57, &0_i32.to_be_bytes())))),
        ("unknown compression", Some(with_crc(changed(21, &7_i16.to_be_bytes())))),
        ("compression that is none", Some(with_crc(changed(21, &1_i16.to_be_bytes())))),
        ("a control batch", Some(with_crc(changed(21, &0x20_i16.to_be_bytes())))),
        // The first record: length, attributes, timestamp delta, offset delta, key length, value length.
        ("a negative record length", Some(with_crc(changed(61, &[0x01])))),
        ("a wrong offset delta", Some(with_crc(changed(64, &[0x0a])))),
        ("a wrong value length", Some(with_crc(changed(66, &[0x7e])))),
        ("a negative value length", Some(with_crc(changed(66, &[0x05])))),
        ("two batches", Some([good.clone(), good.clone()].concat())),
        ("bytes behind", Some([good.clone(), vec![0; 5]].concat())),
    ];
    for length in [1, 11, 12, 16, 17, 60, 61, good.len() - 1] {
        cases.push(("cut off", Some(good[..length].to_vec())));
    }
    for (what, records) in &cases {
        let mut client = connect(broker.address());
        let produced = client.produce(TOPIC, 0, records.as_deref()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!produced.error.is_none(), "{what}: {produced:?}");
        let fetched = client.fetch(TOPIC, 0, 0, 1 << 20).expect("the connection goes on");
        assert_eq!(fetched.high_watermark, 0, "{what} was stored");
    }
    // The good one shows that the others were refused for what is wrong with them.
    let produced = connect(broker.address()).produce(TOPIC, 0, Some(&good)).expect("an answer");
    assert!(produced.error.is_none(), "{produced:?}");
    is_well(broker, 3);
}

fn decompression_bombs_are_bounded(cores: u32) {
    let broker = start(cores);
    let zeros = vec![0; 60 << 20];
    let mut many = BatchBuilder::new().compression(Compression::Gzip, None);
    for _ in 0..2_000_000 {
        many.append(&NewRecord { timestamp: 1, ..Default::default() });
    }
    let bombs = [batch(&[&zeros], Compression::Gzip), batch(&[&zeros], Compression::Zstd), many.build()];
    let mut end = 0;
    for bomb in &bombs {
        for _ in 0..5 {
            let start = Instant::now();
            let produced = connect(broker.address()).produce(TOPIC, 0, Some(bomb)).expect("an answer");
            println!("{} bytes: {} in {:?}", bomb.len(), produced.error, start.elapsed());
            if produced.error.is_none() {
                end = connect(broker.address()).fetch(TOPIC, 0, 0, 1).expect("an answer").high_watermark;
            }
            is_served(broker.address());
            if broker.is_ours() {
                assert!(broker.resident_bytes() < RESIDENT_MAX, "{} bytes are resident", broker.resident_bytes());
            }
        }
    }
    is_well(broker, end);
}

fn forty_announced_frames_do_not_starve_others(cores: u32) {
    let broker = start(cores);
    // The largest that is taken with this memory is less: 100 MiB is refused, this one is waited for.
    let mut greedy = Vec::new();
    for (count, announced) in [(40, 100 << 20), (40, 4 << 20)] {
        for _ in 0..count {
            let mut client = connect(broker.address());
            client.send_bytes(&i32::to_be_bytes(announced)).expect("sent");
            // A broker that refuses the length may have closed by now.
            let _ = client.send_bytes(&vec![0; 60_000]);
            greedy.push(client);
        }
        for _ in 0..20 {
            is_served(broker.address());
        }
    }
    if broker.is_ours() {
        assert!(broker.resident_bytes() < RESIDENT_MAX, "{} bytes are resident", broker.resident_bytes());
        assert!(broker.stderr().contains("socket.request.max.bytes"), "{}", broker.stderr());
    }
    drop(greedy);
    is_well(broker, 0);
}

fn ten_thousand_pipelined_requests_are_answered_in_order(cores: u32) {
    const REQUESTS: i32 = 10_000;
    let broker = start(cores);
    let mut client = connect(broker.address());
    let mut writer = client.stream().try_clone().expect("a second handle");
    let writing = std::thread::spawn(move || {
        for id in 1..=REQUESTS {
            let request = request_bytes(id, 0, &ApiVersionsRequest::default());
            std::io::Write::write_all(&mut writer, &request).expect("sent");
        }
    });
    for id in 1..=REQUESTS {
        let frame = client.receive().expect("an answer");
        assert_eq!(frame[..4], id.to_be_bytes());
        if id % 1000 == 0 {
            is_served(broker.address());
        }
    }
    writing.join().expect("all sent");
    is_well(broker, 0);
}

fn slow_readers_and_half_open_connections_hold_little(cores: u32) {
    let broker = start(cores);
    let mut client = connect(broker.address());
    let value = vec![7; 900_000];
    let big = batch(&[&value], Compression::None);
    for _ in 0..60 {
        assert!(client.produce(TOPIC, 0, Some(&big)).expect("an answer").error.is_none());
    }
    let mut slow = Vec::new();
    for _ in 0..30 {
        let mut client = connect(broker.address());
        for offset in 0..20 {
            client.send_fetch(TOPIC, 0, offset, 50 << 20, 0).expect("sent");
        }
        slow.push(client);
    }
    for _ in 0..30 {
        let mut client = connect(broker.address());
        client.send_fetch(TOPIC, 0, 0, 50 << 20, 0).expect("sent");
        client.stream().shutdown(Shutdown::Write).expect("half closed");
        slow.push(client);
    }
    for number in 0..20 {
        is_served(broker.address());
        // What is no longer in memory, too, although those who do not read hold what there is for reads.
        let start = Instant::now();
        let fetched = connect(broker.address()).fetch(TOPIC, 0, number, 1 << 20).expect("an answer");
        assert!(fetched.error.is_none() && fetched.records.len() > 900_000, "{:?}", fetched.error);
        assert!(start.elapsed() < SERVED_MAX, "served only after {:?}", start.elapsed());
        if broker.is_ours() {
            assert!(broker.resident_bytes() < RESIDENT_MAX, "{} bytes are resident", broker.resident_bytes());
        }
    }
    drop(slow);
    is_well(broker, 60);
}

fn thousands_of_idle_connections_are_held(cores: u32) {
    // Ours are in this process, which has a limit, too.
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("a limit");
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard).expect("raised");
    let broker = start(cores);
    let count = usize::try_from(hard / 3).unwrap_or(usize::MAX).min(5_000);
    let before = if broker.is_ours() { broker.resident_bytes() } else { 0 };
    let idle: Vec<Client> = (0..count).map(|_| connect(broker.address())).collect();
    assert!(idle.iter().all(|client| client.stream().as_raw_fd() > 0));
    is_served(broker.address());
    if broker.is_ours() {
        let more = broker.resident_bytes().saturating_sub(before);
        println!("{count} idle connections: {} bytes each", more / count as u64);
        assert!(broker.resident_bytes() < RESIDENT_MAX);
    }
    // Each is still served.
    for mut client in idle.into_iter().step_by(100) {
        client.send(0, &ApiVersionsRequest::default()).expect("sent");
        client.receive().expect("an answer");
    }
    is_well(broker, 0);
}

fn a_second_broker_is_refused(cores: u32) {
    let broker = start(cores);
    if !broker.is_ours() {
        return;
    }
    let options = || options(cores);
    let refusal = options().try_start(new_folder(), broker.address()).err().expect("the port is taken");
    assert_eq!(refusal.status.and_then(|status| status.code()), Some(1), "{refusal:?}");
    assert!(refusal.stderr.contains("cannot listen on"), "{refusal:?}");
    let refusal = options().try_start_beside(&broker).expect_err("the data are taken");
    assert_eq!(refusal.status.and_then(|status| status.code()), Some(1), "{refusal:?}");
    assert!(refusal.stderr.contains("in use by another process"), "{refusal:?}");
    is_well(broker, 0);
}

fn a_stop_answers_what_is_in_flight(cores: u32) {
    let mut broker = start(cores);
    if !broker.is_ours() {
        return;
    }
    let mut polls: Vec<Client> = (0..20).map(|_| connect(broker.address())).collect();
    for client in &mut polls {
        client.send_fetch(TOPIC, 0, 0, 1 << 20, 25_000).expect("sent");
    }
    let mut producer = connect(broker.address());
    is_served(broker.address());
    producer.send_produce(TOPIC, 0, Some(&batch(&[b"last"], Compression::None))).expect("sent");
    let stopping = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Whatever was answered is true; the connection ends in order.
            let answered = producer.receive_produced().is_ok();
            for client in &mut polls {
                client.receive_fetched().expect("a long poll is answered");
                assert!(client.is_closed_by_broker());
            }
            assert!(answered || stopping.load(Ordering::SeqCst));
        });
        let start = Instant::now();
        stopping.store(true, Ordering::SeqCst);
        assert!(broker.stop().success());
        println!("stopped after {:?}", start.elapsed());
        assert!(start.elapsed() < SERVED_MAX);
    });
    assert!(!broker.stderr().contains("panicked"), "{}", broker.stderr());
}

/// Far more topics at once than the metadata journal has room for: each is created or refused, and none is both.
fn a_burst_of_topics_is_taken_as_far_as_there_is_room(cores: u32) {
    const CONNECTIONS: usize = 20;
    const REQUESTS: usize = 10;
    const TOPICS: usize = 50;
    let options = options(cores).set("corelog.metadata.journal.file.bytes", "65536");
    let mut broker = options.start();
    if !broker.is_ours() {
        return;
    }
    assert!(connect(broker.address()).create_topic(TOPIC, 2).expect("an answer").is_none());
    let name = |connection: usize, request: usize, topic: usize| format!("topic-{connection}-{request}-{topic}");
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| connect(broker.address())).collect();
    for request in 0..REQUESTS {
        for (connection, client) in clients.iter_mut().enumerate() {
            let names: Vec<String> = (0..TOPICS).map(|topic| name(connection, request, topic)).collect();
            let new = |name| CreatableTopic { name, num_partitions: 1, replication_factor: 1, ..Default::default() };
            let topics: Vec<_> = names.iter().map(|name| new(name.as_str())).collect();
            let request = CreateTopicsRequest { topics: (&topics).into(), timeout_ms: 20_000, ..Default::default() };
            client.send(CREATE_VERSION, &request).expect("sent");
        }
    }
    let mut outcomes: BTreeMap<String, ErrorCode> = BTreeMap::new();
    for client in &mut clients {
        for _ in 0..REQUESTS {
            let frame = client.receive().expect("an answer");
            let (_, answer) = decode::<CreateTopicsRequest<'_>>(&frame, CREATE_VERSION).expect("sound");
            outcomes.extend(answer.topics.iter().map(|topic| (topic.name.to_owned(), topic.error_code)));
        }
    }
    let mut counts: BTreeMap<ErrorCode, usize> = BTreeMap::new();
    outcomes.values().for_each(|error| *counts.entry(*error).or_default() += 1);
    println!("{counts:?}");
    assert_eq!(outcomes.len(), CONNECTIONS * REQUESTS * TOPICS);
    let known = [ErrorCode::NONE, ErrorCode::THROTTLING_QUOTA_EXCEEDED];
    assert!(counts.keys().all(|error| known.contains(error)), "{counts:?}");
    assert!(counts.get(&ErrorCode::NONE).is_some_and(|created| *created > 0), "{counts:?}");
    let exist_as_answered = |broker: &Broker, outcomes: &BTreeMap<String, ErrorCode>| {
        let mut client = connect(broker.address());
        client.send(METADATA_VERSION, &MetadataRequest { topics: None, ..Default::default() }).expect("sent");
        let frame = client.receive().expect("an answer");
        let (_, answer) = decode::<MetadataRequest<'_>>(&frame, METADATA_VERSION).expect("sound");
        let there: BTreeSet<String> = answer.topics.iter().filter_map(|t| t.name.map(str::to_owned)).collect();
        for (name, error) in outcomes {
            assert_eq!(there.contains(name), error.is_none(), "{name}: {error}");
        }
    };
    exist_as_answered(&broker, &outcomes);
    is_served(broker.address());
    // Who was refused and asks again comes in.
    let mut client = connect(broker.address());
    let deadline = Instant::now() + WAIT_MAX;
    for topic in 0..TOPICS {
        let name = name(0, REQUESTS - 1, topic);
        while !outcomes[&name].is_none() {
            assert!(Instant::now() < deadline, "{name} is refused again and again");
            outcomes.insert(name.clone(), client.create_topic(&name, 1).expect("an answer"));
        }
    }
    exist_as_answered(&broker, &outcomes);
    // And everything is there after a crash.
    broker.kill();
    broker.start_again();
    exist_as_answered(&broker, &outcomes);
    is_well(broker, 0);
}
