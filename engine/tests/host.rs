//! The host end to end over loopback: frames in, answers out, and clients that behave badly.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod echo;

use std::io::{ErrorKind, Write};
use std::net::TcpStream;

use corelog_engine::host::{ConnectionLimits, Exit, HostConfig};
use corelog_engine::runtime::ring::Features;
use echo::{Client, HEAD, Host, Random, request};

const MIB: usize = 1 << 20;
/// What the kernel may lack, and how the host sleeps.
const VARIANTS: [(Features, bool); 3] = [(Features::NEWEST, false), (Features::NEWEST, true), (Features::OLDEST, true)];

fn impatient() -> HostConfig {
    let connections = ConnectionLimits {
        input_stall_us: 300_000,
        input_stall_pressed_us: 100_000,
        output_stall_us: 300_000,
        ..ConnectionLimits::default()
    };
    HostConfig { connections, ..HostConfig::default() }
}

/// Sends while another thread receives.
fn pipeline(host: &Host, frames: &[Vec<u8>]) {
    let mut client = host.connect();
    let mut sender = Client(client.0.try_clone().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut bytes = Vec::new();
            for frame in frames {
                bytes.extend((frame.len() as u32).to_be_bytes());
                bytes.extend_from_slice(frame);
            }
            sender.0.write_all(&bytes).unwrap();
        });
        for (index, frame) in frames.iter().enumerate() {
            assert!(client.receive() == *frame, "answer {index} of {} bytes", frame.len());
        }
    });
}

#[test]
fn pipelined_requests_are_answered_in_order_on_every_connection() {
    for (features, shared_executor) in VARIANTS {
        let host = Host::start(HostConfig { features, shared_executor, ..HostConfig::default() });
        std::thread::scope(|scope| {
            for connection in 0..3 {
                let host = &host;
                scope.spawn(move || {
                    let frames: Vec<_> =
                        (0..10_000).map(|index| request(b'E', HEAD + (index * 7 + connection) % 200)).collect();
                    pipeline(host, &frames);
                });
            }
        });
        let counts = host.stop();
        assert_eq!((counts.connections.accepted, counts.connections.frames), (3, 30_000));
    }
}

#[test]
fn frames_of_every_size_arrive_whole() {
    for (features, shared_executor) in VARIANTS {
        let host = Host::start(HostConfig { features, shared_executor, ..HostConfig::default() });
        let around = |size: usize| [size - 5, size - 4, size - 3, size, size + 1];
        let mut sizes: Vec<_> =
            [16 << 10, 32 << 10, 64 << 10, 256 << 10, MIB, 2 * MIB].into_iter().flat_map(around).collect();
        sizes.extend([HEAD, 10 * MIB, 20, 40 * MIB, HEAD, 99 * MIB, 100, 70_000, 70_000]);
        pipeline(&host, &sizes.iter().map(|&size| request(b'E', size)).collect::<Vec<_>>());
        pipeline(
            &host,
            &[request(b'M', 50_000), request(b'E', 9), request(b'M', 3)].map(|mut frame| {
                frame.resize(frame.len().max(HEAD), 1);
                frame
            }),
        );
        let mut random = Random(7);
        let mixed: Vec<_> = (0..2_000)
            .map(|_| {
                let bound = [64, 2_000, 20_000, 200_000][random.below(4)];
                request(b'E', HEAD + random.below(bound))
            })
            .collect();
        pipeline(&host, &mixed);
        host.stop();
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let host = Host::start(HostConfig::default());
    for size in [HEAD, 100, 17_000] {
        let mut client = host.connect();
        let frame = request(b'E', size);
        // The first answer makes a large frame's successor take the way by its length alone.
        for _ in 0..2 {
            let mut bytes = (size as u32).to_be_bytes().to_vec();
            bytes.extend_from_slice(&frame);
            let (slow, rest) = bytes.split_at(200.min(bytes.len()));
            for byte in slow {
                client.0.write_all(&[*byte]).unwrap();
                // The answer on another connection says that the host has had its turn.
                if size == 100 {
                    host.connect().counts();
                }
            }
            client.0.write_all(rest).unwrap();
            assert_eq!(client.receive(), frame);
        }
    }
    host.stop();
}

#[test]
fn impossible_lengths_close_the_connection_and_nothing_else() {
    let host = Host::start(HostConfig::default());
    let mut other = host.connect();
    for length in [-1, i32::MIN, i32::MAX, 100 * MIB as i32 + 1, 0, 7] {
        let mut client = host.connect();
        assert_eq!(client.ask(&request(b'E', 20)), request(b'E', 20));
        client.0.write_all(&length.to_be_bytes()).unwrap();
        assert!(client.is_closed(), "{length}");
        assert_eq!(other.ask(&request(b'E', 30)), request(b'E', 30));
        // The same where the length is received by itself.
        let mut client = host.connect();
        client.ask(&request(b'E', 40_000));
        client.0.write_all(&length.to_be_bytes()).unwrap();
        assert!(client.is_closed(), "{length} behind a large frame");
    }
    assert_eq!(host.stop().connections.faulty, 12);
}

#[test]
fn garbage_harms_nobody() {
    let host = Host::start(impatient());
    let mut other = host.connect();
    let mut random = Random(3);
    let mut connections = Vec::new();
    for _ in 0..200 {
        let mut client = host.connect();
        let garbage: Vec<u8> = (0..random.below(40_000)).map(|_| random.below(256) as u8).collect();
        match client.0.write_all(&garbage) {
            Ok(()) => {}
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}")
            }
        }
        connections.push(client);
        assert_eq!(other.ask(&request(b'E', 99)), request(b'E', 99));
    }
    drop(connections);
    other.await_counts(|[open, closed, _]| (open, closed) == (1, 200));
    host.stop();
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_request_is_closed() {
    let host = Host::start(impatient());
    let mut other = host.connect();
    let starts: [&[u8]; 4] =
        [&[0, 0], &[0, 0, 0, 50, 1, 2, 3], &[0, 16, 0, 0, 1, 2, 3], &[&[0, 16, 0, 0][..], &[7; 100_000]].concat()];
    let mut clients: Vec<_> = starts
        .iter()
        .map(|start| {
            let mut client = host.connect();
            client.0.write_all(start).unwrap();
            client
        })
        .collect();
    let mut idle = host.connect();
    assert_eq!(idle.ask(&request(b'E', 10)), request(b'E', 10));
    for client in &mut clients {
        assert!(client.is_closed());
    }
    other.await_counts(|[open, closed, _]| (open, closed) == (2, 4));
    assert_eq!(idle.ask(&request(b'E', 11)), request(b'E', 11), "an idle connection stays");
    assert_eq!(host.stop().connections.faulty, 4);
}

#[test]
fn a_slow_sender_that_gets_on_is_not_closed() {
    let host = Host::start(impatient());
    let mut client = host.connect();
    let mut other = host.connect();
    let frame = request(b'E', 200_000);
    client.0.write_all(&(frame.len() as u32).to_be_bytes()).unwrap();
    let start = std::time::Instant::now();
    let mut pieces = frame.chunks(8_000);
    // More than three deadlines long, 8,000 bytes whenever a twentieth of that has passed.
    for step in 1..=25 {
        client.0.write_all(pieces.next().unwrap()).unwrap();
        while start.elapsed().as_millis() < step * 50 {
            other.counts();
        }
    }
    assert_eq!(client.receive(), frame);
    host.stop();
}

#[test]
fn a_client_that_never_reads_is_closed_and_its_answers_are_freed() {
    let host = Host::start(impatient());
    let mut other = host.connect();
    let mut readers: Vec<_> = (0..4)
        .map(|_| {
            let mut client = host.connect();
            let mut wanted = request(b'B', HEAD);
            wanted.extend((64 * MIB as u32).to_be_bytes());
            client.send(&wanted);
            client
        })
        .collect();
    other.await_counts(|[open, closed, _]| (open, closed) == (1, 4));
    for client in &mut readers {
        let mut all = Vec::new();
        let _ = std::io::Read::read_to_end(&mut client.0, &mut all);
        assert!(all.len() < 64 * MIB, "it was closed before everything was sent");
    }
    assert_eq!(host.stop().connections.faulty, 4);
}

#[test]
fn a_slow_reader_that_gets_on_reads_everything() {
    let host = Host::start(impatient());
    let mut client = host.connect();
    let mut other = host.connect();
    let mut wanted = request(b'B', HEAD);
    wanted.extend((24 * MIB as u32).to_be_bytes());
    client.send(&wanted);
    let start = std::time::Instant::now();
    let mut piece = vec![0; MIB];
    std::io::Read::read_exact(&mut client.0, &mut piece[..4]).unwrap();
    for step in 1..=24 {
        std::io::Read::read_exact(&mut client.0, &mut piece).unwrap();
        while start.elapsed().as_millis() < step * 60 {
            other.counts();
        }
    }
    assert_eq!(client.ask(&request(b'E', 20)), request(b'E', 20));
    assert_eq!(host.stop().connections.faulty, 0);
}

#[test]
fn answers_that_pile_up_close_the_connection() {
    let mut config = HostConfig::default();
    config.connections.unsent_bytes_max = 16 * MIB;
    let host = Host::start(config);
    let mut client = host.connect();
    let mut wanted = request(b'B', HEAD);
    wanted.extend((12 * MIB as u32).to_be_bytes());
    for _ in 0..3 {
        client.send(&wanted);
    }
    host.connect().await_counts(|[open, closed, _]| (open, closed) == (1, 1));
    host.stop();
}

#[test]
fn announcements_of_huge_requests_do_not_keep_others_out() {
    let config = HostConfig { frame_memory_bytes: 210 * MIB, ..HostConfig::default() };
    let host = Host::start(config);
    let before = echo::resident_bytes();
    let mut announced: Vec<_> = (0..40)
        .map(|_| {
            let mut client = host.connect();
            client.0.write_all(&(100 * MIB as u32).to_be_bytes()).unwrap();
            client.0.write_all(&[1; 50_000]).unwrap();
            client
        })
        .collect();
    let mut other = host.connect();
    for size in [HEAD, 10_000, 50_000, MIB, 10 * MIB, 30_000] {
        assert_eq!(other.ask(&request(b'E', size)), request(b'E', size));
    }
    let grown = echo::resident_bytes().saturating_sub(before);
    assert!(grown < 100 * MIB, "{grown} bytes");
    announced.truncate(1);
    assert_eq!(other.ask(&request(b'E', MIB)).len(), MIB);
    host.stop();
}

#[test]
fn requests_beyond_the_budget_wait_for_one_another() {
    let config = HostConfig { frame_memory_bytes: 24 * MIB, request_bytes_max: 10 * MIB, ..HostConfig::default() };
    let host = Host::start(config);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            let host = &host;
            scope.spawn(move || {
                let mut client = host.connect();
                let mut sender = Client(client.0.try_clone().unwrap());
                let frame = request(b'E', 8 * MIB);
                std::thread::scope(|scope| {
                    scope.spawn(|| (0..3).for_each(|_| sender.send(&frame)));
                    (0..3).for_each(|_| assert!(client.receive() == frame));
                });
            });
        }
    });
    assert_eq!(host.stop().connections.frames, 36);
}

#[test]
fn unfinished_small_requests_are_bounded_and_the_slowest_give_way() {
    let mut config = HostConfig::default();
    config.connections.unfinished_bytes_max = 100_000;
    let host = Host::start(config);
    let mut other = host.connect();
    let mut start = 16_000u32.to_be_bytes().to_vec();
    start.extend([1; 10_000]);
    let mut clients: Vec<_> = (0..30)
        .map(|_| {
            let mut client = host.connect();
            client.0.write_all(&start).unwrap();
            client
        })
        .collect();
    other.await_counts(|[open, closed, _]| (open, closed) == (10, 21));
    assert_eq!(other.ask(&request(b'E', 16_000)), request(b'E', 16_000));
    clients.clear();
    other.await_counts(|[open, ..]| open == 1);
    host.stop();
}

#[test]
fn more_connections_than_receive_buffers_all_get_on() {
    let host = Host::start(HostConfig { receive_buffers: 2, ..HostConfig::default() });
    let mut clients: Vec<_> = (0..64).map(|_| host.connect()).collect();
    let frame = request(b'E', 12_000);
    for _ in 0..5 {
        clients.iter_mut().for_each(|client| client.send(&frame));
        clients.iter_mut().for_each(|client| assert!(client.receive() == frame));
    }
    host.stop();
}

#[test]
fn paused_input_holds_frames_back_and_loses_none() {
    let host = Host::start(HostConfig::default());
    let frames: Vec<_> = (0..60)
        .map(|index| request(if index % 3 == 0 { b'P' } else { b'E' }, [20, 300, 50_000][index / 2 % 3]))
        .collect();
    pipeline(&host, &frames);
    host.stop();
}

#[test]
fn the_last_answer_is_sent_before_the_shard_closes() {
    let host = Host::start(HostConfig::default());
    let mut other = host.connect();
    for size in [HEAD, 5_000, 3 * MIB] {
        let mut client = host.connect();
        client.send(&request(b'C', size));
        // What comes behind is not answered, and does not cost the client the answer.
        client.send(&request(b'E', 100));
        assert_eq!(client.receive(), request(b'C', size));
        assert!(client.is_closed());
    }
    other.await_counts(|[open, closed, _]| (open, closed) == (1, 3));
    host.stop();
}

#[test]
fn answers_leave_after_the_client_has_sent_its_last() {
    let host = Host::start(HostConfig::default());
    let mut client = host.connect();
    let mut wanted = request(b'B', HEAD);
    wanted.extend((8 * MIB as u32).to_be_bytes());
    client.send(&wanted);
    client.0.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.receive().len(), 8 * MIB);
    assert!(client.is_closed());
    host.connect().await_counts(|[open, closed, _]| (open, closed) == (1, 1));
    host.stop();
}

#[test]
fn too_many_connections_are_refused_and_room_is_used_again() {
    let mut config = HostConfig::default();
    config.connections.connections_max = 10;
    let host = Host::start(config);
    let mut clients: Vec<_> = (0..10).map(|_| host.connect()).collect();
    clients[0].await_counts(|[open, ..]| open == 10);
    assert!(host.connect().is_closed());
    clients.pop();
    clients[0].await_counts(|[open, ..]| open == 9);
    let mut client = host.connect();
    assert_eq!(client.counts(), [10, 1, 0]);
    assert_eq!(host.stop().connections.refused, 1);
}

#[test]
fn files_work_while_connections_do() {
    for (features, shared_executor) in VARIANTS {
        let host = Host::start(HostConfig { features, shared_executor, ..HostConfig::default() });
        std::thread::scope(|scope| {
            for connection in 0..4 {
                let host = &host;
                scope.spawn(move || {
                    let mut client = host.connect();
                    for index in 0..20 {
                        let frame = request(b'W', HEAD + connection * 100 + index);
                        assert_eq!(client.ask(&frame), frame);
                    }
                });
            }
        });
        host.stop();
    }
}

#[test]
fn a_stop_answers_what_is_in_flight() {
    let host = Host::start(HostConfig::default());
    let mut clients: Vec<_> = (0..20).map(|_| host.connect()).collect();
    for client in &mut clients {
        client.send(&request(b'H', 3 * MIB));
        client.send(&request(b'W', 100));
    }
    let mut other = host.connect();
    other.await_counts(|[.., held]| held == 20);
    let address = host.address;
    let stopped = std::thread::spawn(move || host.stop());
    for client in &mut clients {
        let mut sizes = [client.receive().len(), client.receive().len()];
        sizes.sort_unstable();
        assert_eq!(sizes, [100, 3 * MIB]);
        assert!(client.is_closed());
    }
    assert!(other.is_closed());
    assert_eq!(stopped.join().unwrap().connections.accepted, 21);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_signal_stops_it() {
    let host = Host::start(HostConfig::default());
    host.connect().send(&request(b'T', HEAD));
    assert!(matches!(host.exit(), Exit::Stopped(_)));
}

#[test]
fn a_fatal_action_ends_it_with_its_message() {
    let host = Host::start(HostConfig::default());
    let mut client = host.connect();
    client.send(&request(b'F', HEAD));
    match host.exit() {
        Exit::Fatal { message } => assert_eq!(message, "asked to"),
        stopped => panic!("{stopped:?}"),
    }
}

#[test]
fn a_pinned_host_serves_and_an_impossible_core_is_no_obstacle() {
    for cpu in [0, 100_000] {
        let host = Host::start(HostConfig { cpu: Some(cpu), ..HostConfig::default() });
        assert_eq!(host.connect().ask(&request(b'E', 50)), request(b'E', 50));
        host.stop();
    }
}
