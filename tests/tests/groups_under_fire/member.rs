//! A member of a group in a process of its own, so that it can be killed and stopped: this test's executable, started
//! again as the test that [`MEMBER_TEST`] names, tells on stdout what it has consumed and committed.
//!
//! Invariants: a record is told before its offset is committed; a commit is told when it is acknowledged. The process ends
//! with its parent: it leaves the group when its stdin is closed, and it is killed when its handle is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// The test that is a member if it is told to be one.
pub(crate) const MEMBER_TEST: &str = "a_member_consumes_commits_and_leaves";

/// Tells a process of this test which member it is.
const MEMBER_VARIABLE: &str = "CORELOG_TEST_MEMBER";

/// So many records are consumed between two commits.
const RECORDS_PER_COMMIT: usize = 20;

/// Whom to be.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    /// Where the broker is.
    pub(crate) bootstrap: String,
    /// The group.
    pub(crate) group: String,
    /// The topic to consume.
    pub(crate) topic: String,
    /// librdkafka's `partition.assignment.strategy`.
    pub(crate) strategy: &'static str,
    /// The client id.
    pub(crate) name: String,
    /// Whether it is a static member of that name.
    pub(crate) is_static: bool,
}

/// What a member tells.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// It has consumed this.
    Record(i32, i64),
    /// The broker has acknowledged that the group goes on there.
    Committed(i32, i64),
    /// It cannot go on.
    Failed(String),
}

/// A member's process.
pub(crate) struct Member {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Member {
    /// Starts one, which tells through `told`.
    pub(crate) fn start(role: &Role, told: Sender<Told>) -> Self {
        let own = std::env::current_exe().expect("a test knows its executable");
        let kind = if role.is_static { "static" } else { "dynamic" };
        let words = [&*role.bootstrap, &role.group, &role.topic, role.strategy, kind, &role.name].join(" ");
        let mut child = Command::new(own)
            .args(["--exact", MEMBER_TEST, "--nocapture"])
            .env(MEMBER_VARIABLE, words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this executable can be started again");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if parse(&line).is_some_and(|what| told.send(what).is_err()) {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Self { name: role.name.clone(), child, stdin }
    }

    /// Its client id.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Ends it as a power cut of its machine would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// It does nothing until [`Self::go_on`], but its connections stay.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// It goes on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Has it leave the group and end.
    pub(crate) fn leave(mut self) {
        drop(self.stdin.take());
        let status = self.child.wait().expect("a child can be waited for");
        assert!(status.success(), "the member ends with {status}");
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("process ids are small");
        kill(Pid::from_raw(id), signal).expect("our own child can be signalled");
    }

    fn end(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

/// Is a member if this process was started for that, until its stdin is closed.
pub(crate) fn is_member_process() -> bool {
    let Ok(words) = std::env::var(MEMBER_VARIABLE) else { return false };
    let words: Vec<_> = words.split(' ').collect();
    let &[bootstrap, group, topic, strategy, kind, name] = &words[..] else { panic!("not a role: {words:?}") };
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("client.id", name)
        .set("partition.assignment.strategy", strategy)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("session.timeout.ms", "3000")
        .set("heartbeat.interval.ms", "200")
        .set("max.poll.interval.ms", "6000")
        .set("fetch.wait.max.ms", "100")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200");
    if kind == "static" {
        config.set("group.instance.id", name);
    }
    let consumer: BaseConsumer = config.create().expect("a good config");
    consumer.subscribe(&[topic]).expect("a good name");
    let must_end = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&must_end);
    thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ends.store(true, Ordering::Relaxed);
    });
    let mut uncommitted = 0;
    while !must_end.load(Ordering::Relaxed) {
        let polled = consumer.poll(Duration::from_millis(50));
        // Of other errors (the broker is away, the member has lost its place in the group) librdkafka recovers by itself.
        if let Some((error, why)) = consumer.client().fatal_error() {
            let line = format!("failed {error} {why}\n");
            std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent listens");
            std::process::exit(1);
        }
        if let Some(Ok(message)) = &polled {
            tell("record", message.partition(), message.offset());
            uncommitted += 1;
        }
        let is_idle = polled.is_none();
        if uncommitted >= RECORDS_PER_COMMIT || (is_idle && uncommitted > 0) {
            commit(&consumer);
            uncommitted = 0;
        }
    }
    // Leaves the group.
    drop(consumer);
    true
}

fn commit(consumer: &BaseConsumer) {
    let mut offsets = TopicPartitionList::new();
    for element in consumer.position().expect("positions").elements() {
        if let Offset::Offset(_) = element.offset() {
            offsets
                .add_partition_offset(element.topic(), element.partition(), element.offset())
                .expect("a good offset");
        }
    }
    // A member that was removed, or is to join again, may not commit: what it has consumed is consumed once more.
    if offsets.count() == 0 || consumer.commit(&offsets, CommitMode::Sync).is_err() {
        return;
    }
    for element in offsets.elements() {
        if let Offset::Offset(offset) = element.offset() {
            tell("committed", element.partition(), offset);
        }
    }
}

fn tell(what: &str, partition: i32, offset: i64) {
    let line = format!("{what} {partition} {offset}\n");
    // Around the harness, which may keep what is printed to itself.
    if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
        std::process::exit(1);
    }
}

fn parse(line: &str) -> Option<Told> {
    if let Some(why) = line.strip_prefix("failed ") {
        return Some(Told::Failed(why.to_owned()));
    }
    let mut words = line.split(' ');
    let (what, partition, offset) = (words.next()?, words.next()?, words.next()?);
    let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
    match what {
        "record" => Some(Told::Record(partition, offset)),
        "committed" => Some(Told::Committed(partition, offset)),
        _ => None,
    }
}
