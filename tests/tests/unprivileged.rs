//! The broker as a user without privileges, with the limits that a plain login has: it raises its own soft limits, makes
//! its data directory and serves.

use corelog_tests::broker::Options;
use corelog_tests::client::Client;
use corelog_wire::record_batch::{BatchBuilder, NewRecord};

/// `nobody` on every Linux.
const NOBODY: u32 = 65534;

#[test]
fn an_unprivileged_user_with_small_limits_is_served() {
    let limits = "ulimit -S -l 8192 && ulimit -S -n 1024";
    let options = match nix::unistd::geteuid().is_root() {
        true => Options::new().unprivileged(NOBODY, limits),
        // Whoever runs this is unprivileged already.
        false => Options::new(),
    };
    let mut broker = options.argument("--memory").argument("64M").start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.process_id())).expect("it runs");
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("a process has a user");
    assert!(user.split_whitespace().all(|id| id != "0"), "{user}");

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", broker.process_id())).expect("it runs");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit of files");
    let mut numbers = files.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
    let (soft, hard) = (numbers.next().expect("a soft limit"), numbers.next().expect("a hard limit"));
    assert_eq!(soft, hard, "the broker raises its soft limit");

    let mut client = Client::connect(broker.address()).expect("a connection");
    assert!(client.create_topic("t", 1).expect("an answer").is_none());
    for number in 0..100 {
        let mut batch = BatchBuilder::new();
        batch.append(&NewRecord { timestamp: 1, value: Some(&[7; 1000]), ..Default::default() });
        let produced = client.produce("t", 0, Some(&batch.build())).expect("an answer");
        assert!(produced.error.is_none(), "{produced:?}");
        assert_eq!(produced.base_offset, number);
    }
    let fetched = client.fetch("t", 0, 0, 1 << 20).expect("an answer");
    assert_eq!(fetched.high_watermark, 100);
    assert!(fetched.records.len() > 100_000);
    assert!(broker.stop().success());
    assert!(!broker.stderr().contains("panicked"), "{}", broker.stderr());
}
