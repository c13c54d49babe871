//! Out of descriptors. A program of its own, because the limit is the process's.

mod echo;

use corelog_engine::host::HostConfig;
use corelog_engine::net::listener::Listener;
use echo::{Client, Host, request};
use nix::sys::resource::{Resource, setrlimit};

#[test]
fn running_out_of_descriptors_rests_and_recovers() {
    // Clients connect before anybody accepts: they wait in the backlog, and cost no descriptor of the host's yet.
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut clients: Vec<_> = (0..100).map(|_| Client::new(listener.address())).collect();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    setrlimit(Resource::RLIMIT_NOFILE, open + 60, open + 60).unwrap();
    let mut config = HostConfig::default();
    config.connections.connections_max = 1_000;
    let host = Host::start_on(config, listener);
    assert_eq!(clients[0].ask(&request(b'E', 20)).len(), 20);
    // The last one is served as soon as others leave.
    let mut last = clients.pop().unwrap();
    last.send(&request(b'E', 30));
    last.0.set_read_timeout(Some(std::time::Duration::from_millis(700))).unwrap();
    let waiting = std::io::Read::read(&mut last.0, &mut [0]).unwrap_err();
    assert_eq!(waiting.kind(), std::io::ErrorKind::WouldBlock, "there is no descriptor for it");
    clients.clear();
    last.0.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    assert_eq!(last.receive().len(), 30);
    drop(last);
    let counts = host.stop();
    assert!(counts.turns < 2_000, "it spun: {counts:?}");
}
