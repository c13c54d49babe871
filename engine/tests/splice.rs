//! Parts of files on their way to clients, over loopback: whole, in order, however slowly, and nothing left open.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod echo;

use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use corelog_engine::host::{ConnectionLimits, HostConfig};
use corelog_engine::runtime::ring::Features;
use echo::{BETWEEN, HEAD, Host, Random, SEGMENT, request};

const MIB: usize = 1 << 20;
const SEGMENT_BYTES: usize = 24 * MIB + 12_345;

/// One test at a time: they count the descriptors of the process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A host with a segment, and the segment's bytes.
fn start(config: HostConfig) -> (Host, Vec<u8>) {
    let host = Host::start(config);
    let mut random = Random(11);
    let mut bytes = Vec::with_capacity(SEGMENT_BYTES + 8);
    while bytes.len() < SEGMENT_BYTES {
        bytes.extend((random.below(usize::MAX) as u64).to_le_bytes());
    }
    bytes.truncate(SEGMENT_BYTES);
    std::fs::write(host.directory().join(SEGMENT), &bytes).unwrap();
    (host, bytes)
}

fn impatient() -> HostConfig {
    let connections = ConnectionLimits {
        input_stall_us: 300_000,
        input_stall_pressed_us: 100_000,
        output_stall_us: 300_000,
        ..ConnectionLimits::default()
    };
    HostConfig { connections, ..HostConfig::default() }
}

fn parts(ranges: &[(usize, usize)]) -> Vec<u8> {
    let mut frame = request(b'S', HEAD);
    for (position, len) in ranges {
        frame.extend((*position as u64).to_be_bytes());
        frame.extend((*len as u32).to_be_bytes());
    }
    frame
}

fn expected(segment: &[u8], ranges: &[(usize, usize)]) -> Vec<u8> {
    ranges.iter().flat_map(|&(position, len)| [&segment[position..position + len], BETWEEN].concat()).collect()
}

/// Descriptors of this process that lead to something with this in its name.
fn open(what: &str) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let names = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    names.filter(|name| name.to_string_lossy().contains(what)).count()
}

fn open_in(directory: &Path) -> usize {
    open(directory.join(SEGMENT).to_str().unwrap())
}

/// Waits until workers of the kernel have closed what they were asked to close.
fn await_closed(host: &Host) {
    let start = Instant::now();
    while open_in(host.directory()) > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "a segment stays open");
        std::thread::yield_now();
    }
}

#[test]
fn parts_of_every_shape_arrive_whole_and_in_order() {
    let _alone = alone();
    for (features, shared_executor) in [(Features::NEWEST, false), (Features::NEWEST, true), (Features::OLDEST, true)] {
        let (host, segment) = start(HostConfig { features, shared_executor, ..HostConfig::default() });
        let mut client = host.connect();
        let mut ask = |ranges: &[(usize, usize)]| {
            assert!(client.ask(&parts(ranges)) == expected(&segment, ranges), "{ranges:?}");
            // Behind it, frames are where they belong.
            assert_eq!(client.ask(&request(b'E', 50)), request(b'E', 50));
        };
        ask(&[(0, 1)]);
        ask(&[(SEGMENT_BYTES - 1, 1)]);
        ask(&[(0, SEGMENT_BYTES)]);
        for len in [4095, 4096, 4097, 65_535, 65_537, MIB - 1, MIB, MIB + 1, 3 * MIB + 17] {
            ask(&[(0, len)]);
            ask(&[(4095, len), (1, 1), (7 * MIB + 3, len)]);
        }
        let mut random = Random(5);
        for _ in 0..200 {
            let count = 1 + random.below(6);
            let ranges: Vec<_> = (0..count)
                .map(|_| {
                    let bound = [10, 5_000, 100_000, 2 * MIB][random.below(4)];
                    (random.below(SEGMENT_BYTES - 2 * MIB), 1 + random.below(bound))
                })
                .collect();
            ask(&ranges);
        }
        await_closed(&host);
        assert_eq!(host.stop().connections.faulty, 0);
    }
}

#[test]
fn many_connections_get_their_parts_and_idle_ones_hold_no_pipe() {
    let _alone = alone();
    let pipes = open("pipe:");
    let (host, segment) = start(HostConfig::default());
    let mut clients: Vec<_> = (0..30).map(|_| host.connect()).collect();
    for round in 0..5 {
        let ranges = |index: usize| [((index * 31 + round) * 1000, 2 * MIB + index), (index, 100)];
        for (index, client) in clients.iter_mut().enumerate() {
            client.send(&parts(&ranges(index)));
        }
        for (index, client) in clients.iter_mut().enumerate() {
            assert!(client.receive() == expected(&segment, &ranges(index)), "connection {index}");
        }
    }
    await_closed(&host);
    assert!(open("pipe:") <= pipes + 2 * 8, "only a few are kept");
    host.stop();
    assert_eq!(open("pipe:"), pipes);
}

#[test]
fn a_slow_reader_gets_everything_also_of_a_file_that_is_gone() {
    let _alone = alone();
    let (host, segment) = start(impatient());
    let (mut client, mut other) = (host.connect(), host.connect());
    client.send(&parts(&[(0, SEGMENT_BYTES)]));
    let begin = Instant::now();
    let mut length = [0; 4];
    client.0.read_exact(&mut length).unwrap();
    assert_eq!(u32::from_be_bytes(length) as usize, SEGMENT_BYTES + BETWEEN.len());
    client.send(&request(b'E', 20));
    std::fs::remove_file(host.directory().join(SEGMENT)).unwrap();
    let mut bytes = vec![0; SEGMENT_BYTES + BETWEEN.len()];
    for (step, piece) in bytes.chunks_mut(MIB).enumerate() {
        client.0.read_exact(piece).unwrap();
        while begin.elapsed().as_millis() < (step as u128 + 1) * 60 {
            other.counts();
        }
    }
    assert!(bytes == expected(&segment, &[(0, SEGMENT_BYTES)]));
    assert_eq!(client.receive(), request(b'E', 20));
    await_closed(&host);
    let counts = host.stop();
    assert_eq!(counts.connections.faulty, 0);
}

#[test]
fn clients_that_do_not_read_are_closed_and_hold_nothing() {
    let _alone = alone();
    let pipes = open("pipe:");
    let (host, _) = start(impatient());
    let mut other = host.connect();
    let mut clients: Vec<_> = (0..12).map(|_| host.connect()).collect();
    for client in &mut clients {
        client.send(&parts(&[(0, SEGMENT_BYTES), (5, 100)]));
    }
    other.await_counts(|[open, closed, _]| (open, closed) == (1, 12));
    await_closed(&host);
    assert_eq!(open("pipe:"), pipes, "a pipe with bytes in it is closed");
    assert_eq!(other.failed(), 0);
    assert_eq!(host.stop().connections.faulty, 12);
}

#[test]
fn clients_that_leave_in_the_middle_harm_nobody() {
    let _alone = alone();
    let pipes = open("pipe:");
    let (host, segment) = start(HostConfig::default());
    let mut other = host.connect();
    for round in 0..20 {
        let mut client = host.connect();
        client.send(&parts(&[(0, 100), (round, SEGMENT_BYTES - round)]));
        let mut some = vec![0; round * 50_000];
        client.0.read_exact(&mut some).unwrap();
        drop(client);
        assert!(other.ask(&parts(&[(round, MIB)])) == expected(&segment, &[(round, MIB)]));
    }
    other.await_counts(|[open, closed, _]| (open, closed) == (1, 20));
    await_closed(&host);
    host.stop();
    assert_eq!(open("pipe:"), pipes);
}

#[test]
fn a_file_that_ends_too_early_closes_the_connection_and_is_told() {
    let _alone = alone();
    let (host, segment) = start(HostConfig::default());
    let mut other = host.connect();
    for (index, ranges) in
        [[(SEGMENT_BYTES - 10, 11), (0, 5)], [(SEGMENT_BYTES, 5), (0, 5)], [(5, 100), (MIB, SEGMENT_BYTES)]]
            .into_iter()
            .enumerate()
    {
        let mut client = host.connect();
        client.send(&parts(&ranges));
        let mut came = Vec::new();
        // A reset is an end, too.
        let _ = client.0.read_to_end(&mut came);
        let promised: usize = ranges.iter().map(|(_, len)| len + BETWEEN.len()).sum();
        assert!(came.len() < 4 + promised, "it cannot be whole");
        assert_eq!(other.failed(), index as u64 + 1);
    }
    assert!(other.ask(&parts(&[(3, 4)])) == expected(&segment, &[(3, 4)]));
    await_closed(&host);
    assert_eq!(host.stop().connections.faulty, 3);
}

#[test]
fn a_stop_sends_what_was_answered() {
    let _alone = alone();
    let (host, segment) = start(HostConfig::default());
    let mut client = host.connect();
    client.send(&parts(&[(0, SEGMENT_BYTES)]));
    let mut first = [0; 4];
    client.0.read_exact(&mut first).unwrap();
    host.handle.stop();
    let mut bytes = vec![0; u32::from_be_bytes(first) as usize];
    client.0.read_exact(&mut bytes).unwrap();
    assert!(bytes == expected(&segment, &[(0, SEGMENT_BYTES)]));
    drop(client);
    host.exit();
}
