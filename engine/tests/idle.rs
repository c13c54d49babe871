//! Idle connections cost next to nothing. A program of its own, because it measures the process's memory.

mod echo;

use corelog_engine::host::HostConfig;
use echo::{Host, request, resident_bytes};

#[test]
fn five_thousand_idle_connections_hold_no_buffers() {
    corelog_engine::runtime::limits::raise_open_files();
    let host = Host::start(HostConfig::default());
    let mut first = host.connect();
    first.ask(&request(b'E', 16_000));
    let before = resident_bytes();
    let mut clients: Vec<_> = (0..5_000).map(|_| host.connect()).collect();
    first.await_counts(|[open, ..]| open == 5_001);
    let idle = resident_bytes().saturating_sub(before);
    println!("{} bytes per idle connection", idle / clients.len());
    assert!(idle < 10_000_000, "{idle} bytes for 5,000 connections");
    // Every one of them works, small and large, and is idle again afterwards.
    for size in [16_000, 40_000] {
        let frame = request(b'E', size);
        for client in &mut clients {
            assert!(client.ask(&frame) == frame);
        }
    }
    let used = resident_bytes().saturating_sub(before);
    println!("{} bytes per connection that was used", used / clients.len());
    assert!(used < 20_000_000, "{used} bytes for 5,000 connections");
    drop(clients);
    first.await_counts(|[open, ..]| open == 1);
    host.stop();
}
