//! Out of descriptors. A program of its own, because the limit is the process's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod echo;

use std::sync::mpsc;

use corelog_engine::host::{Exit, HostConfig};
use corelog_engine::net::listener::Listener;
use corelog_engine::node::{self, Member};
use corelog_engine::runtime::disk::DirectDisk;
use corelog_engine::runtime::stop::Stop;
use echo::{Client, Echo, Host, request};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};

/// Clients connect before anybody accepts: they wait in the backlog, and cost no descriptor of a host's yet.
fn clients(listener: &Listener) -> Vec<Client> {
    let clients = (0..100).map(|_| Client::new(listener.address())).collect();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    // A limit is lowered for good.
    let limit = (open + 60).min(getrlimit(Resource::RLIMIT_NOFILE).unwrap().1);
    assert!(limit > open + 50, "the first host left {open} descriptors open");
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).unwrap();
    clients
}

/// The first is served, the last one as soon as others leave.
fn rests_and_recovers(mut clients: Vec<Client>) {
    assert_eq!(clients[0].ask(&request(b'E', 20)).len(), 20);
    let mut last = clients.pop().unwrap();
    last.send(&request(b'E', 30));
    last.0.set_read_timeout(Some(std::time::Duration::from_millis(700))).unwrap();
    let before = cpu_us();
    let waiting = std::io::Read::read(&mut last.0, &mut [0]).unwrap_err();
    assert_eq!(waiting.kind(), std::io::ErrorKind::WouldBlock, "there is no descriptor for it");
    let spent = cpu_us() - before;
    assert!(spent < 350_000, "{spent} us of CPU to wait");
    clients.clear();
    last.0.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    assert_eq!(last.receive().len(), 30);
}

fn cpu_us() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time = usage.user_time() + usage.system_time();
    time.tv_sec() * 1_000_000 + time.tv_usec()
}

fn config() -> HostConfig {
    let mut config = HostConfig::default();
    config.connections.connections_max = 1_000;
    config
}

#[test]
fn running_out_of_descriptors_rests_and_recovers() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let clients_of_one = clients(&listener);
    let host = Host::start_on(config(), listener);
    rests_and_recovers(clients_of_one);
    let counts = host.stop();
    assert!(counts.turns < 2_000, "it spun: {counts:?}");

    // The same with a door.
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let clients_of_two = clients(&listener);
    let data = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let files = DirectDisk::open(data.path()).unwrap().into_files().split(2).unwrap();
    let member = |files| Member { decide: Echo::default(), files, cpu: None };
    let members = files.into_iter().map(member).collect();
    let stop = Stop::new().unwrap();
    let handle = stop.handle();
    let (ready, is_ready) = mpsc::channel();
    let node =
        std::thread::spawn(move || node::run(config(), listener, members, stop, |_| ready.send(()).unwrap()).unwrap());
    is_ready.recv().unwrap();
    rests_and_recovers(clients_of_two);
    handle.stop();
    assert!(matches!(node.join().unwrap(), Exit::Stopped(_)));
}
