//! A broker to talk to, and the commands that do.

use super::broker::{Broker, text};
use serde_json::Value;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The bound of every wait.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// A cluster to talk to.
pub(crate) struct Cluster {
    pub(crate) bootstrap: String,
    /// Absent where it was there before us.
    pub(crate) broker: Option<(Broker, tempfile::TempDir)>,
}

/// How a command ended, and what it said.
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(more: &[&str]) -> Self {
        if let Ok(bootstrap) = std::env::var("CORELOG_BOOTSTRAP") {
            return Self { bootstrap, broker: None };
        }
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::start_on(2, &folder.path().join("data"), more);
        Self { bootstrap: broker.address().to_owned(), broker: Some((broker, folder)) }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.broker.is_some()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corelog"));
        command.args(arguments).env_remove("RUST_LOG").env("CORELOG_BOOTSTRAP", &self.bootstrap);
        command
    }

    /// Runs a command to its end, with this on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Said {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A command that ends early does not read all of it.
        let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        Said { status: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, b"")
    }

    /// Runs a command that does what it should, quietly; what it printed.
    pub(crate) fn done_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let said = self.run_with(arguments, input);
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{arguments:?}");
        said.out
    }

    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        self.done_with(arguments, b"")
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let out = self.done(&[arguments, &["--json"]].concat());
        assert_eq!(out.lines().count(), 1, "a pipe gets one line: {out}");
        serde_json::from_str(&out).unwrap()
    }

    /// Runs a command that fails with this status and one sentence, which contains these words.
    pub(crate) fn refused(&self, arguments: &[&str], status: i32, wanted: &str) {
        let said = self.run(arguments);
        assert_eq!((said.status, said.out.as_str()), (status, ""), "{arguments:?}: {}", said.err);
        assert!(said.err.starts_with("corelog: ") && said.err.contains(wanted), "{arguments:?}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{arguments:?}: {}", said.err);
    }
}

/// A name that no other test and no other run uses.
pub(crate) fn name(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("{what}-{since}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits for the end of a process that was told to end.
pub(crate) fn end_of(child: &mut Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the command does not end");
        std::thread::yield_now();
    }
}

/// Writes so many numbered lines to each partition.
pub(crate) fn fill(cluster: &Cluster, topic: &str, partitions: i32, lines: i32) {
    for partition in 0..partitions {
        let text: String = (0..lines).map(|line| format!("{partition}-{line}\n")).collect();
        cluster.done_with(&["produce", topic, "--partition", &partition.to_string()], text.as_bytes());
    }
}

/// Rows of a table as a pipe gets them.
pub(crate) fn rows(out: &str) -> Vec<Vec<&str>> {
    out.lines().map(|line| line.split('\t').collect()).collect()
}
