//! The driver against sockets that do not behave; what it does with a real broker is shown by `tests/tests/own_client.rs`
//! and `tools/tests/commands/`.
#![allow(clippy::unwrap_used, reason = "in a test a panic is a failure with a place")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use corelog_client::address::Address;
use corelog_client::admin;
use corelog_client::call::CallError;
use corelog_client::client::ClientConfig;
use corelog_client::driver::Driver;
use corelog_wire::api_key::ApiKey;

/// The bound of every wait.
const WAIT_MAX: Duration = Duration::from_secs(30);

fn driver(address: &str) -> Driver {
    Driver::new(ClientConfig::new(vec![address.parse().unwrap()]))
}

/// What is said of an address that cannot be reached.
fn reason(address: &str, timeout: Duration) -> String {
    driver(address).connect(timeout).unwrap_err().to_string()
}

#[test]
fn an_address_where_nobody_listens_is_refused_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let began = Instant::now();
    assert_eq!(reason(&address, WAIT_MAX), format!("no broker can be reached at {address}: connection refused"));
    assert!(began.elapsed() < WAIT_MAX);
}

#[test]
fn a_name_that_nobody_has_is_said() {
    let said = reason("no.such.host.invalid:9092", WAIT_MAX);
    assert!(said.contains("no.such.host.invalid:9092: the name cannot be looked up"), "{said}");
}

#[test]
fn a_name_with_several_addresses_is_tried_on_all() {
    // Where localhost is ::1 as well, nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4];
        stream.read_exact(&mut request).unwrap();
        u32::from_be_bytes(request)
    });
    let said = reason(&format!("localhost:{port}"), WAIT_MAX);
    assert!(said.contains("the broker closed the connection") || said.contains("reset"), "{said}");
    assert!((10..100).contains(&serving.join().unwrap()), "a request for versions came");
}

#[test]
fn a_broker_that_says_nothing_is_waited_for_no_longer_than_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let began = Instant::now();
    assert_eq!(reason(&address, Duration::from_millis(200)), "", "nothing went wrong yet");
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[test]
fn what_is_no_kafka_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").unwrap();
        // Until the client has gone.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let said = reason(&address.to_string(), WAIT_MAX);
    assert!(said.contains("it does not speak Kafka's protocol"), "{said}");
    serving.join().unwrap();
}

#[test]
fn a_call_without_a_broker_ends_in_time_and_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut config = ClientConfig::new(vec![Address::new("127.0.0.1", address.port())]);
    config.request_timeout = Duration::from_millis(300);
    let error = Driver::new(config).call(admin::describe_cluster()).unwrap_err();
    let CallError::TimedOut(ApiKey::DescribeCluster, Some(reason)) = error else { panic!("{error}") };
    assert_eq!(reason, format!("{address}: connection refused"));
}

#[test]
fn a_turn_can_be_ended_from_another_thread() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut driver = driver(&listener.local_addr().unwrap().to_string());
    let waker = driver.waker().unwrap();
    // Woken before it waits: it does not wait.
    waker.wake();
    driver.turn(WAIT_MAX);
    let waking = std::thread::spawn(move || waker.wake());
    let began = Instant::now();
    // The connection that opens ends turns, too; only the waker ends the last one in time.
    while !waking.is_finished() {
        driver.turn(Duration::from_millis(10));
    }
    driver.turn(Duration::from_millis(10));
    assert!(began.elapsed() < WAIT_MAX);
}
