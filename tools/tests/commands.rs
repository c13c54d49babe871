//! The commands that talk to a broker, as the built program: what they print, how they end, and what they leave behind.
//!
//! With `CORELOG_BOOTSTRAP=HOST:PORT` they talk to a broker that is already there, Apache Kafka for example, which shows
//! whether they do what they should with any broker; tests that need a broker of their own then do nothing.
#![allow(clippy::unwrap_used, reason = "in a test a panic is a failure with a place")]

mod broker;

use broker::{Broker, corelog, text};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The bound of every wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A cluster to talk to.
struct Cluster {
    bootstrap: String,
    /// Absent where it was there before us.
    broker: Option<(Broker, tempfile::TempDir)>,
}

/// How a command ended, and what it said.
struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Cluster {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Self {
        if let Ok(bootstrap) = std::env::var("CORELOG_BOOTSTRAP") {
            return Self { bootstrap, broker: None };
        }
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::start_on(2, &folder.path().join("data"), more);
        Self { bootstrap: broker.address().to_owned(), broker: Some((broker, folder)) }
    }

    fn is_ours(&self) -> bool {
        self.broker.is_some()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corelog"));
        command.args(arguments).env_remove("RUST_LOG").env("CORELOG_BOOTSTRAP", &self.bootstrap);
        command
    }

    /// Runs a command to its end, with this on its standard input.
    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Said {
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

    fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, b"")
    }

    /// Runs a command that does what it should, quietly; what it printed.
    fn done_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let said = self.run_with(arguments, input);
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{arguments:?}");
        said.out
    }

    fn done(&self, arguments: &[&str]) -> String {
        self.done_with(arguments, b"")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let out = self.done(&[arguments, &["--json"]].concat());
        assert_eq!(out.lines().count(), 1, "a pipe gets one line: {out}");
        serde_json::from_str(&out).unwrap()
    }

    /// Runs a command that fails with this status and one sentence, which contains these words.
    fn refused(&self, arguments: &[&str], status: i32, wanted: &str) {
        let said = self.run(arguments);
        assert_eq!((said.status, said.out.as_str()), (status, ""), "{arguments:?}: {}", said.err);
        assert!(said.err.starts_with("corelog: ") && said.err.contains(wanted), "{arguments:?}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{arguments:?}: {}", said.err);
    }
}

/// A name that no other test and no other run uses.
fn name(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("{what}-{since}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits for the end of a process that was told to end.
fn end_of(child: &mut Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the command does not end");
        std::thread::yield_now();
    }
}

#[test]
fn a_topic_is_created_listed_described_changed_and_deleted() {
    let cluster = Cluster::start();
    let topic = name("life");
    let topic = topic.as_str();
    let out = cluster.done(&["topic", "create", topic, "--partitions", "3", "--config", "retention.ms=86400000"]);
    let cells: Vec<_> = out.trim_end().split('\t').collect();
    assert_eq!(cells[..3], [topic, "3", "1"]);
    assert_eq!(cells[3].len(), 22, "the topic's id");
    let listed = cluster.done(&["topic", "list"]);
    assert!(listed.lines().any(|line| line == format!("{topic}\t3\t1")), "{listed}");

    cluster.done_with(&["produce", topic, "--partition", "1"], b"one\ntwo\n");
    let out = cluster.done(&["topic", "describe", topic]);
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split('\t').collect()).collect();
    let offsets: Vec<_> = lines.iter().map(|cells| (cells[1], cells[6], cells[7])).collect();
    assert_eq!(offsets, [("0", "0", "0"), ("1", "0", "2"), ("2", "0", "0")]);
    assert!(lines.iter().all(|cells| cells[2] == "1" && cells[4] == "1" && cells[5] == "1"), "{out}");

    assert_eq!(
        cluster.done(&[
            "topic",
            "alter",
            topic,
            "--partitions",
            "5",
            "--config",
            "segment.ms=7200000",
            "--unset",
            "retention.ms"
        ]),
        ""
    );
    let described = &cluster.json(&["topic", "describe", topic])[0];
    assert_eq!(described["topic"], topic);
    assert_eq!(described["id"], cells[3]);
    assert_eq!(described["configs"]["segment.ms"], "7200000");
    assert_eq!(described["configs"]["retention.ms"], Value::Null);
    assert_eq!(described["partitions"].as_array().unwrap().len(), 5);
    assert_eq!(described["partitions"][1]["nextOffset"], 2);

    assert_eq!(cluster.done(&["topic", "delete", topic]), format!("{topic}\n"));
    let listed = cluster.done(&["topic", "list"]);
    assert!(!listed.contains(topic), "{listed}");
}

#[test]
fn a_topic_that_is_there_or_is_not_can_be_accepted() {
    let cluster = Cluster::start();
    let topic = name("there");
    let created = cluster.json(&["topic", "create", &topic]);
    assert_eq!((&created["created"], &created["partitions"]), (&Value::Bool(true), &1.into()));
    cluster.refused(&["topic", "create", &topic], 1, &format!("there is a topic {topic} already"));
    assert_eq!(cluster.done(&["topic", "create", &topic, "--if-not-exists"]), "");
    assert_eq!(cluster.json(&["topic", "create", &topic, "--if-not-exists"])["created"], false);
    let missing = name("missing");
    let said = cluster.run(&["topic", "delete", &missing, &topic]);
    assert_eq!((said.status, said.out), (1, format!("{topic}\n")), "the other is deleted");
    assert!(said.err.contains(&format!("there is no topic {missing}")), "{}", said.err);
    assert_eq!(cluster.done(&["topic", "delete", &missing, "--if-exists"]), "");
    assert_eq!(cluster.json(&["topic", "create", &missing, "--validate-only"])["created"], false);
    cluster.refused(&["topic", "describe", &missing], 1, &format!("there is no topic {missing}"));
}

#[test]
fn what_cannot_be_done_to_a_topic_is_said_with_the_reason() {
    let cluster = Cluster::start();
    let topic = name("refused");
    cluster.done(&["topic", "create", &topic, "--partitions", "2"]);
    let missing = name("missing");
    for (arguments, wanted) in [
        (&["topic", "create", "a b"][..], "topic a b was not created: "),
        (&["topic", "create", &missing, "--config", "retention.mss=1"], "retention.mss"),
        (&["topic", "create", &missing, "--config", "retention.ms=soon"], "INVALID_CONFIG"),
        (&["topic", "create", &missing, "--replication-factor", "3"], "INVALID_REPLICATION_FACTOR"),
        (&["topic", "alter", &topic, "--partitions", "1"], "INVALID_PARTITIONS"),
        (&["topic", "alter", &topic, "--config", "cleanup.policy=burn"], "INVALID_CONFIG"),
        (&["topic", "alter", &missing, "--partitions", "3"], "`corelog topic create "),
        (&["topic", "alter", &missing, "--config", "retention.ms=1"], "there is no topic "),
        (&["topic", "describe", &missing], "`corelog topic list` shows those there are"),
    ] {
        cluster.refused(arguments, 1, wanted);
    }
    let listed = cluster.done(&["topic", "list"]);
    assert!(!listed.contains(&missing), "{listed}");
}

#[test]
fn settings_are_shown_and_changed() {
    let cluster = Cluster::start();
    let (one, two) = (name("config"), name("config"));
    cluster.done(&["topic", "create", &one]);
    cluster.done(&["topic", "create", &two]);
    let (target, other) = (format!("topic:{one}"), format!("topic:{two}"));
    assert_eq!(cluster.done(&["config", "get", &target]), "");
    assert_eq!(cluster.done(&["config", "set", &target, &other, "retention.ms=60000", "segment.ms=7200000"]), "");
    assert_eq!(
        cluster.done(&["config", "get", &target, &other, "retention.ms"]),
        format!("{target}\tretention.ms\t60000\ttopic\n{other}\tretention.ms\t60000\ttopic\n")
    );
    assert_eq!(cluster.json(&["config", "set", &target, "--unset", "retention.ms"])["changed"][0], target);
    assert_eq!(cluster.done(&["config", "get", &target]), format!("{target}\tsegment.ms\t7200000\ttopic\n"));
    let out = cluster.done(&["config", "get", &target, "retention.ms"]);
    assert_eq!(out, format!("{target}\tretention.ms\t604800000\tdefault\n"));
    cluster.done(&["config", "set", &target, "cleanup.policy+=compact"]);
    assert_eq!(
        cluster.done(&["config", "get", &target, "cleanup.policy"]),
        format!("{target}\tcleanup.policy\tdelete,compact\ttopic\n")
    );
    cluster.done(&["config", "set", &target, "cleanup.policy-=delete"]);
    let found = cluster.json(&["config", "get", &target, "cleanup.policy"]);
    let setting = &found[0]["settings"][0];
    assert_eq!(
        (&setting["value"], &setting["type"], &setting["readOnly"], &setting["source"]),
        (&"compact".into(), &"list".into(), &false.into(), &"topic".into())
    );
    assert!(setting["documentation"].as_str().unwrap().len() > 20);
    let all = cluster.done(&["config", "get", &target, "--all", "--docs"]);
    assert!(all.lines().count() > 20 && all.lines().all(|line| line.split('\t').count() == 6), "{all}");

    assert_eq!(cluster.done(&["config", "set", &other, "segment.ms=1", "--validate-only"]), "");
    assert!(cluster.done(&["config", "get", &other, "segment.ms"]).contains("7200000"));
    let out = cluster.done(&["config", "get", "broker:1", "message.max.bytes"]);
    assert!(out.starts_with("broker:1\tmessage.max.bytes\t"), "{out}");
}

#[test]
fn what_is_no_setting_is_said_with_the_reason() {
    let cluster = Cluster::start();
    let topic = name("config");
    cluster.done(&["topic", "create", &topic]);
    let target = format!("topic:{topic}");
    for (arguments, wanted) in [
        (&["config", "get", &target, "retention.mss"][..], "did you mean retention.ms?"),
        (&["config", "get", "broker:77"], "there is no broker 77; the cluster has 1"),
        (&["config", "get", "topic:missing"], "there is no topic missing"),
        (&["config", "set", &target, "retention.ms=soon"], "INVALID_CONFIG"),
        (&["config", "set", "broker:77", "a=b"], "there is no broker 77"),
    ] {
        cluster.refused(arguments, 1, wanted);
    }
}

#[test]
fn the_cluster_is_described() {
    let cluster = Cluster::start();
    let topic = name("info");
    cluster.done(&["topic", "create", &topic, "--partitions", "3"]);
    let out = cluster.done(&["cluster", "info"]);
    let cells: Vec<_> = out.trim_end().split('\t').collect();
    assert_eq!((cells[0], cells[1], cells[3]), ("1", cluster.bootstrap.as_str(), "yes"), "{out}");
    assert!(cells[4].parse::<u32>().unwrap() >= 3, "{out}");
    let info = cluster.json(&["cluster", "info"]);
    assert_eq!(info["controller"], 1);
    assert_eq!(info["cluster"].as_str().unwrap().len(), 22);
    assert_eq!(info["brokers"][0]["id"], 1);
}

#[test]
fn lines_come_back_as_they_went_in() {
    let cluster = Cluster::start();
    let lines: String = (0..3000).map(|number| format!("key-{}:value {number}\n", number % 50)).collect();
    for (codec, acks) in [("none", "all"), ("gzip", "1"), ("snappy", "all"), ("lz4", "0"), ("zstd", "all")] {
        let topic = name(codec);
        cluster.done(&["topic", "create", &topic, "--partitions", "1"]);
        let arguments = ["produce", &topic, "--key-separator", ":", "--compression", codec, "--acks", acks];
        let began = Instant::now();
        assert_eq!(cluster.done_with(&arguments, lines.as_bytes()), "");
        assert!(began.elapsed() < WAIT_MAX / 2, "acks {acks}: it waits for what does not come");
        // With acks 0 nobody waits for the write; so many records do.
        let read = cluster.done(&["consume", &topic, "--count", "3000", "--format", "%k:%s\\n"]);
        assert_eq!(read, lines, "{codec}");
        if acks != "0" {
            assert_eq!(cluster.done(&["consume", &topic, "--exit", "--format", "%k:%s\\n"]), lines, "{codec}");
        }
    }
}

#[test]
fn keys_and_partitions_decide_where_a_line_goes() {
    let cluster = Cluster::start();
    let topic = name("places");
    cluster.done(&["topic", "create", &topic, "--partitions", "6"]);
    let lines: String = (0..300).map(|number| format!("{}\t{number}\n", number % 20)).collect();
    cluster.done_with(&["produce", &topic, "--key-separator", "\\t"], lines.as_bytes());
    let read = cluster.done(&["consume", &topic, "--exit", "--format", "%k %p\\n"]);
    let places: std::collections::BTreeSet<&str> = read.lines().collect();
    assert_eq!((read.lines().count(), places.len()), (300, 20), "a key has one partition");
    let read = cluster.done(&["produce", &topic, "--partition", "4", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&read).unwrap()["records"], 0, "nothing came in");
    let before = read_count(&cluster, &topic, "4");
    cluster.done_with(&["produce", &topic, "--partition", "4", "--key-separator", "="], b"a=1\nb=2\nc=3");
    assert_eq!(read_count(&cluster, &topic, "4"), before + 3, "the last line needs no end");
}

fn read_count(cluster: &Cluster, topic: &str, partition: &str) -> usize {
    cluster.done(&["consume", topic, "--exit", "--partition", partition]).lines().count()
}

#[test]
fn headers_nulls_and_bytes_survive() {
    let cluster = Cluster::start();
    let topic = name("bytes");
    cluster.done(&["topic", "create", &topic]);
    let headers = ["--header", "source=shop", "--header", "empty=", "--header", "source=again"];
    let produce = [&["produce", topic.as_str(), "--key-separator", "::", "--tombstones"], &headers[..]].concat();
    let written = cluster.done_with(&[&produce[..], &["--json"]].concat(), b"k::v::w\n::\n\xff\xfe::\x00\x01\n");
    let written: Value = serde_json::from_str(&written).unwrap();
    assert_eq!((&written["records"], &written["partitions"][0]["lastOffset"]), (&3.into(), &2.into()));
    let read = cluster.done(&["consume", &topic, "--exit", "--format", "%o %K %S %h\\n"]);
    let expected: String =
        ["0 1 4", "1 0 -1", "2 2 2"].map(|line| format!("{line} source=shop,empty=,source=again\n")).concat();
    assert_eq!(read, expected);
    let out = cluster.done(&["consume", &topic, "--exit", "--json"]);
    let records: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&records[0]["key"], &records[0]["value"]), (&"k".into(), &"v::w".into()));
    assert_eq!((&records[1]["key"], &records[1]["value"]), (&"".into(), &Value::Null));
    assert_eq!((&records[2]["keyBase64"], &records[2]["value"]), (&"//4=".into(), &"\0\u{1}".into()));
    assert_eq!(records[0]["headers"][1]["key"], "empty");
    assert!(records[0]["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
}

#[test]
fn reading_begins_where_it_is_told() {
    let cluster = Cluster::start();
    let topic = name("from");
    cluster.done(&["topic", "create", &topic]);
    let lines: String = (0..100).map(|number| format!("{number}\n")).collect();
    cluster.done_with(&["produce", &topic], lines.as_bytes());
    let from = |place: &str| {
        let out = cluster.done(&["consume", &topic, "--exit", "--from", place]);
        out.lines().map(|line| line.parse().unwrap()).collect::<Vec<u32>>()
    };
    assert_eq!(from("beginning").len(), 100);
    assert!(from("end").is_empty());
    assert_eq!(from("97"), [97, 98, 99]);
    assert!(from("100").is_empty());
    assert_eq!(from("-2"), [98, 99]);
    assert_eq!(from("-1000").len(), 100);
    assert_eq!(from("@0").len(), 100);
    assert_eq!(from("@1h").len(), 100);
    assert!(from("@32503680000000").is_empty());
    assert!(from("@2100-01-01").is_empty());
    let some = cluster.done(&["consume", &topic, "--from", "41", "--count", "3"]);
    assert_eq!(some, "41\n42\n43\n");
    assert_eq!(cluster.done(&["consume", &topic, "--count", "0"]), "");
    cluster.refused(&["consume", &topic, "--from", "101"], 1, "has no offset 101; it has 0 to 99");
    cluster.refused(&["consume", &topic, "--partition", "1"], 1, "has no partition 1; it has only 0");
    let missing = name("missing");
    cluster.refused(&["consume", &missing], 1, &format!("there is no topic {missing}; `corelog topic list` shows"));
    assert!(!cluster.done(&["topic", "list"]).contains(&missing), "to read a topic does not create it");
}

#[test]
fn an_empty_topic_ends_at_once() {
    let cluster = Cluster::start();
    let topic = name("empty");
    cluster.done(&["topic", "create", &topic, "--partitions", "4"]);
    assert_eq!(cluster.done(&["consume", &topic, "--exit"]), "");
    cluster.refused(&["consume", &topic, "--from", "7"], 1, "is empty and goes on with offset 0, not with 7");
}

#[test]
fn lines_that_cannot_be_written_are_named() {
    let cluster = Cluster::start();
    let topic = name("lines");
    cluster.done(&["topic", "create", &topic]);
    let said = cluster.run_with(&["produce", &topic, "--key-separator", ":"], b"a:1\nb:2\nc\nd:4\n");
    assert_eq!(said.status, 1);
    let wanted = "corelog: line 3 has no \":\" between key and value; --key-separator says there is one; \
                  2 records were written before it\n";
    assert_eq!(said.err, wanted);
    assert_eq!(cluster.done(&["consume", &topic, "--exit", "--format", "%k%s\\n"]), "a1\nb2\n");

    let long = [b"short\n".to_vec(), vec![b'x'; 3_000_000], b"\n".to_vec()].concat();
    let said = cluster.run_with(&["produce", &topic], &long);
    assert_eq!(said.status, 1, "{}", said.err);
    assert!(said.err.starts_with("corelog: line 2 could not be written to "), "{}", said.err);
    assert!(
        said.err.contains("MESSAGE_TOO_LARGE") && said.err.ends_with("1 record was written before it\n"),
        "{}",
        said.err
    );

    cluster.refused(&["produce", &topic, "--file", "/no/such/file"], 1, "/no/such/file cannot be read: No such file");
    cluster.refused(&["produce", &topic, "--file", "/"], 1, "/ cannot be read: Is a directory");
    cluster.refused(&["produce", &topic, "--partition", "1"], 1, "has no partition 1; it has only 0");
    cluster.refused(&["produce", "a b"], 1, "\"a b\" cannot be the name of a topic");
}

#[test]
fn a_file_is_written_and_a_missing_topic_is_created() {
    let cluster = Cluster::start();
    let topic = name("file");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for number in 0..20_000 {
        writeln!(file, "line {number}").unwrap();
    }
    let path = file.path().to_str().unwrap();
    assert_eq!(cluster.done(&["produce", &topic, "--file", path]), "");
    let read = cluster.done(&["consume", &topic, "--exit"]);
    assert_eq!(read, std::fs::read_to_string(path).unwrap());
}

#[test]
fn a_broker_that_creates_no_topics_is_respected() {
    let cluster = Cluster::start_with(&["--set", "auto.create.topics.enable=false"]);
    if cluster.is_ours() {
        cluster.refused(&["produce", "nowhere"], 1, "there is no topic nowhere; `corelog topic list` shows those");
        assert_eq!(cluster.done(&["topic", "list"]), "");
    }
}

#[test]
fn reading_follows_until_it_is_interrupted() {
    let cluster = Cluster::start();
    let topic = name("follow");
    cluster.done(&["topic", "create", &topic]);
    let mut child = cluster
        .command(&["consume", &topic, "--from", "beginning"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for line in ["first\n", "second\n"] {
        cluster.done_with(&["produce", &topic], line.as_bytes());
        let mut read = String::new();
        out.read_line(&mut read).unwrap();
        assert_eq!(read, line);
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    end_of(&mut child);
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(err, "");
}

#[test]
fn a_reader_that_goes_away_ends_reading_quietly() {
    let cluster = Cluster::start();
    let topic = name("pipe");
    cluster.done(&["topic", "create", &topic]);
    let lines: String = (0..200_000).map(|number| format!("line {number}\n")).collect();
    cluster.done_with(&["produce", &topic], lines.as_bytes());
    let mut child =
        cluster.command(&["consume", &topic]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "line 0\n");
    assert_eq!(end_of(&mut child).code(), Some(0));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(err, "");
}

#[test]
fn what_was_typed_is_written_when_typing_is_interrupted() {
    let cluster = Cluster::start();
    let topic = name("typed");
    cluster.done(&["topic", "create", &topic]);
    let mut child = cluster
        .command(&["produce", &topic, "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\nhalf a li").unwrap();
    // They are on their way as soon as they are typed.
    assert_eq!(cluster.done(&["consume", &topic, "--count", "2"]), "one\ntwo\n");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(end_of(&mut child).code(), Some(0));
    drop(stdin);
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["records"], 2);
    assert_eq!(cluster.done(&["consume", &topic, "--exit"]), "one\ntwo\n");
}

/// Writes so many numbered lines to each partition.
fn fill(cluster: &Cluster, topic: &str, partitions: i32, lines: i32) {
    for partition in 0..partitions {
        let text: String = (0..lines).map(|line| format!("{partition}-{line}\n")).collect();
        cluster.done_with(&["produce", topic, "--partition", &partition.to_string()], text.as_bytes());
    }
}

/// Rows of a table as a pipe gets them.
fn rows(out: &str) -> Vec<Vec<&str>> {
    out.lines().map(|line| line.split('\t').collect()).collect()
}

#[test]
fn a_group_goes_on_where_it_has_got_to() {
    let cluster = Cluster::start();
    let (topic, group) = (name("group"), name("group"));
    cluster.done(&["topic", "create", &topic, "--partitions", "3"]);
    fill(&cluster, &topic, 3, 10);
    let consume = |more: &[&str]| {
        let arguments = [&["consume", &topic, "--group", &group, "--exit"], more].concat();
        let out = cluster.done(&arguments);
        let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(consume(&["--no-commit"]).len(), 30);
    assert_eq!(consume(&[]).len(), 30, "nothing was remembered of the first run");
    assert!(consume(&[]).is_empty(), "all was shown, and this is remembered");
    cluster.done_with(&["produce", &topic, "--partition", "1"], b"more\n");
    assert_eq!(consume(&["--assignor", "cooperative-sticky"]), ["more"]);

    let listed = cluster.done(&["group", "list"]);
    assert!(listed.lines().any(|line| line == format!("{group}\tEmpty\tclassic\tconsumer")), "{listed}");
    let listed = cluster.json(&["group", "list", "--state", "empty"]);
    assert!(listed.as_array().unwrap().iter().any(|one| one["group"] == group.as_str() && one["state"] == "Empty"));
    let stable = cluster.done(&["group", "list", "--state", "stable"]);
    assert!(!stable.contains(&group), "{stable}");

    cluster.done_with(&["produce", &topic, "--partition", "2"], b"one\ntwo\n");
    let described = cluster.done(&["group", "describe", &group]);
    let expected = [["0", "10", "10", "0"], ["1", "11", "11", "0"], ["2", "10", "12", "2"]];
    for (row, expected) in rows(&described).iter().zip(expected) {
        assert_eq!(
            (row[0], &row[1..5], &row[5..]),
            (topic.as_str(), &expected[..], &["-", "-", "-"][..]),
            "{described}"
        );
    }
    let described = cluster.json(&["group", "describe", &group]);
    assert_eq!((&described["state"], &described["partitions"][2]["lag"]), (&"Empty".into(), &2.into()));
}

#[test]
fn a_count_in_a_group_commits_what_was_shown_and_no_more() {
    let cluster = Cluster::start();
    let (topic, group) = (name("count"), name("count"));
    cluster.done(&["topic", "create", &topic]);
    fill(&cluster, &topic, 1, 10);
    let some = |count: &str| cluster.done(&["consume", &topic, "--group", &group, "--count", count]);
    assert_eq!(some("3"), "0-0\n0-1\n0-2\n");
    assert_eq!(some("2"), "0-3\n0-4\n");
    assert_eq!(cluster.done(&["consume", &topic, "--group", &group, "--exit"]).lines().count(), 5);
    let other = name("count");
    assert_eq!(cluster.done(&["consume", &topic, "--group", &other, "--exit", "--from", "end"]), "");
    assert_eq!(
        cluster.done(&["consume", &topic, "--group", &other, "--exit", "--from", "beginning"]),
        "",
        "it has begun"
    );
    let timed = name("count");
    assert_eq!(cluster.done(&["consume", &topic, "--group", &timed, "--exit", "--from", "@1h"]).lines().count(), 10);
}

#[test]
fn members_are_shown_and_leave_when_they_are_interrupted() {
    let cluster = Cluster::start();
    let (topic, group) = (name("member"), name("member"));
    cluster.done(&["topic", "create", &topic, "--partitions", "2"]);
    fill(&cluster, &topic, 2, 5);
    let mut command = cluster.command(&["consume", &topic, "--group", &group, "--instance-id", "one"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for _ in 0..10 {
        out.read_line(&mut line).unwrap();
    }
    assert_eq!(line.lines().count(), 10);
    let members = cluster.done(&["group", "describe", &group, "--members"]);
    let cells = rows(&members);
    assert_eq!(cells.len(), 1, "{members}");
    assert!(cells[0][0].starts_with("one-"), "a static member's id begins with its name: {members}");
    assert_eq!((cells[0][1], cells[0][2]), ("one", "corelog"));
    assert_eq!((cells[0][3], cells[0][4]), ("127.0.0.1", format!("{topic}:0,1").as_str()), "{members}");
    let described = cluster.json(&["group", "describe", &group]);
    assert_eq!((&described["state"], &described["protocol"]), (&"Stable".into(), &"range".into()));
    assert_eq!(described["partitions"][1]["client"], "corelog");

    let reset = ["group", "reset-offsets", &group, "--topic", &topic, "--to", "earliest", "--execute"];
    cluster.refused(
        &reset,
        1,
        "is Stable with 1 member (corelog at 127.0.0.1); its offsets can be moved when it has no",
    );
    cluster.refused(&["group", "delete", &group], 1, "has members and was not deleted; stop them first");
    cluster.refused(&["group", "delete-offsets", &group, "--topic", &topic], 1, "nothing of topic");

    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(end_of(&mut child).code(), Some(0));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(err, "");
    let committed = cluster.done(&["group", "describe", &group]);
    let committed: Vec<String> = rows(&committed).iter().map(|row| row[2..5].join(" ")).collect();
    assert_eq!(committed, ["5 5 0", "5 5 0"], "what was shown is committed at the end");
}

#[test]
fn a_group_is_moved_only_when_it_is_said_twice() {
    let cluster = Cluster::start();
    let (topic, group) = (name("reset"), name("reset"));
    cluster.done(&["topic", "create", &topic, "--partitions", "2"]);
    fill(&cluster, &topic, 2, 10);
    assert_eq!(cluster.done(&["consume", &topic, "--group", &group, "--exit"]).lines().count(), 20);
    let moved = |arguments: &[&str]| {
        let said = cluster.run(&[&["group", "reset-offsets", &group], arguments].concat());
        assert_eq!(said.status, 0, "{arguments:?}: {}", said.err);
        let rows: Vec<String> = rows(&said.out).iter().map(|row| row[1..].join(" ")).collect();
        (rows, said.err)
    };
    let left = || cluster.done(&["consume", &topic, "--group", &group, "--exit", "--no-commit"]).lines().count();
    let (rows, said) = moved(&["--topic", &topic, "--to", "earliest"]);
    assert_eq!(rows, ["0 10 0 -10", "1 10 0 -10"]);
    assert_eq!(said, "corelog: nothing was changed; --execute sets 2 offsets\n");
    assert_eq!(left(), 0, "it was a rehearsal");
    let (rows, said) = moved(&["--all-topics", "--to", "earliest", "--execute"]);
    assert_eq!((rows.len(), said.as_str()), (2, ""));
    assert_eq!(left(), 20);
    let one = format!("{topic}:1");
    assert_eq!(moved(&["--topic", &one, "--to", "7", "--execute"]).0, ["1 0 7 7"]);
    assert_eq!(left(), 13);
    assert_eq!(moved(&["--topic", &one, "--to", "4711", "--execute"]).0, ["1 7 10 3"], "it ends there");
    assert_eq!(moved(&["--topic", &topic, "--to", "-2", "--execute"]).0, ["0 0 8 8", "1 10 8 -2"]);
    assert_eq!(moved(&["--topic", &topic, "--to", "@1h"]).0, ["0 8 0 -8", "1 8 0 -8"]);
    assert_eq!(moved(&["--topic", &topic, "--to", "@2100-01-01"]).0, ["0 8 10 2", "1 8 10 2"]);
    assert_eq!(moved(&["--topic", &topic, "--to", "latest", "--execute"]).0, ["0 8 10 2", "1 8 10 2"]);
    assert_eq!(left(), 0);
    let json = cluster.json(&["group", "reset-offsets", &group, "--topic", &one, "--to", "3"]);
    assert_eq!((&json["executed"], &json["offsets"][0]["new"]), (&Value::Bool(false), &3.into()));

    // A group that is not there yet can be made so that it begins where it should.
    let new = name("reset");
    let said = cluster.run(&["group", "reset-offsets", &new, "--topic", &one, "--to", "9"]);
    assert!(said.status == 0 && said.err.contains(&format!("there is no group {new} yet; nothing was changed")));
    cluster.done(&["group", "reset-offsets", &new, "--topic", &one, "--to", "9", "--execute"]);
    let described = cluster.done(&["group", "describe", &new]);
    assert_eq!(self::rows(&described), [[topic.as_str(), "1", "9", "10", "1", "-", "-", "-"]]);
}

#[test]
fn groups_and_offsets_are_deleted() {
    let cluster = Cluster::start();
    let (topic, group) = (name("delete"), name("delete"));
    cluster.done(&["topic", "create", &topic, "--partitions", "3"]);
    fill(&cluster, &topic, 3, 2);
    cluster.done(&["consume", &topic, "--group", &group, "--exit"]);
    let out = cluster.done(&["group", "delete-offsets", &group, "--topic", &format!("{topic}:0,2")]);
    assert_eq!(out, format!("{topic}\t0\n{topic}\t2\n"));
    assert_eq!(rows(&cluster.done(&["group", "describe", &group])).len(), 1);
    let json = cluster.json(&["group", "delete-offsets", &group, "--topic", &topic]);
    assert_eq!(json["deleted"][0]["partition"], 1);

    cluster.done(&["group", "reset-offsets", &group, "--topic", &topic, "--to", "latest", "--execute"]);
    let missing = name("missing");
    let said = cluster.run(&["group", "delete", &missing, &group]);
    assert_eq!((said.status, said.out), (1, format!("{group}\n")), "the other is deleted");
    assert!(said.err.starts_with(&format!("corelog: there is no group {missing}")), "{}", said.err);
    assert_eq!(cluster.done(&["group", "delete", &missing, "--if-exists"]), "");
    let listed = cluster.done(&["group", "list"]);
    assert!(!listed.contains(&group), "{listed}");
    cluster.refused(&["group", "describe", &group], 1, &format!("there is no group {group}"));
}

#[test]
fn what_cannot_be_done_to_a_group_is_said_with_the_reason() {
    let cluster = Cluster::start();
    let (topic, group) = (name("said"), name("said"));
    cluster.done(&["topic", "create", &topic]);
    let near = format!("{group}s");
    cluster.done(&["group", "reset-offsets", &near, "--topic", &topic, "--to", "0", "--execute"]);
    let one = format!("{topic}:1");
    for (arguments, status, wanted) in [
        (&["group", "describe", &group][..], 1, format!("there is no group {group}; did you mean {near}? `corelog")),
        (&["group", "reset-offsets", &group, "--all-topics", "--to", "0"], 1, format!("there is no group {group}")),
        (
            &["group", "reset-offsets", &near, "--topic", &one, "--to", "0"],
            1,
            "has no partition 1; it has only 0".to_owned(),
        ),
        (
            &["group", "reset-offsets", &near, "--topic", "nowhere", "--to", "0"],
            1,
            "there is no topic nowhere".to_owned(),
        ),
        (&["group", "reset-offsets", &near, "--to", "0"], 2, "--topic".to_owned()),
        (&["group", "reset-offsets", &near, "--all-topics"], 2, "--to".to_owned()),
        (
            &["group", "delete-offsets", &near, "--topic", "nowhere"],
            1,
            "has committed nothing of topic nowhere".to_owned(),
        ),
        (&["group", "list", "--state", "busy"], 2, "no state of a group".to_owned()),
        (&["consume", &topic, "--group", &group, "--partition", "0"], 2, "cannot be used with".to_owned()),
        (&["consume", &topic, "--group", &group, "--from", "7"], 2, "reset-offsets` moves a group".to_owned()),
        (&["consume", &topic, "--group", &group, "--assignor", "fair"], 2, "not range, roundrobin or".to_owned()),
        (&["consume", &topic, "--instance-id", "a"], 2, "--group".to_owned()),
    ] {
        let said = cluster.run(arguments);
        assert_eq!((said.status, said.out.as_str()), (status, ""), "{arguments:?}: {}", said.err);
        assert!(said.err.contains(&wanted), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn log_directories_are_described() {
    let cluster = Cluster::start();
    let topic = name("logs");
    cluster.done(&["topic", "create", &topic, "--partitions", "2"]);
    fill(&cluster, &topic, 1, 100);
    let out = cluster.done(&["cluster", "log-dirs", "--topic", &topic]);
    let cells = rows(&out);
    assert_eq!(cells.len(), 2, "{out}");
    assert!(cells.iter().all(|row| row[0] == "1" && row[1].starts_with('/') && row[2] == topic), "{out}");
    assert_eq!((cells[0][3], cells[1][3], cells[1][4]), ("0", "1", "0"), "{out}");
    assert!(cells[0][4].parse::<u64>().unwrap() > 500, "{out}");
    let json = cluster.json(&["cluster", "log-dirs"]);
    let replicas = json[0]["replicas"].as_array().unwrap();
    let sum: u64 = replicas.iter().map(|replica| replica["bytes"].as_u64().unwrap()).sum();
    assert_eq!(json[0]["bytes"], sum);
    assert!(json[0]["volumeFreeBytes"].as_u64().unwrap() > 0);
    let missing = name("missing");
    cluster.refused(&["cluster", "log-dirs", "--topic", &missing], 1, &format!("there is no topic {missing}"));
}

#[test]
fn without_a_broker_there_is_one_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let cluster = Cluster { bootstrap: address.clone(), broker: None };
    let wanted = format!(
        "no broker at {address}: connection refused; start one with `corelog start`, or name another with --bootstrap HOST:PORT\n"
    );
    for arguments in [
        &["topic", "list"][..],
        &["topic", "create", "a"],
        &["config", "get", "broker"],
        &["cluster", "info"],
        &["cluster", "log-dirs"],
        &["group", "list"],
        &["group", "delete", "a"],
        &["produce", "a"],
        &["consume", "a"],
    ] {
        let began = Instant::now();
        let said = cluster.run(arguments);
        assert_eq!((said.status, said.out), (1, String::new()), "{arguments:?}");
        assert_eq!(said.err, format!("corelog: {wanted}"), "{arguments:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "what is refused is refused at once");
    }
    cluster.refused(&["topic", "list", "--bootstrap", "no.such.host.invalid:1"], 1, "the name cannot be looked up");
}

#[test]
fn one_address_that_answers_is_enough() {
    let cluster = Cluster::start();
    let topic = name("second");
    cluster.done(&["topic", "create", &topic]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    let out = cluster.done(&["topic", "describe", &topic, "--bootstrap", &format!("{dead},{}", cluster.bootstrap)]);
    assert!(out.starts_with(&topic), "{out}");
    let both = format!("{dead},127.0.0.1:1");
    cluster.refused(&["topic", "list", "--bootstrap", &both], 1, "no broker at any of ");
}

#[test]
fn what_listens_but_is_no_broker_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let cluster = Cluster { bootstrap: listener.local_addr().unwrap().to_string(), broker: None };
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 64];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
    });
    cluster.refused(&["topic", "list"], 1, "it does not speak Kafka's protocol");
    serving.join().unwrap();
    // One that never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let cluster = Cluster { bootstrap: listener.local_addr().unwrap().to_string(), broker: None };
    cluster.refused(&["topic", "list", "--timeout", "0.3"], 1, "no broker");
}

#[test]
fn a_broker_that_goes_away_fails_the_lines_it_did_not_take() {
    let mut cluster = Cluster::start();
    if !cluster.is_ours() {
        return;
    }
    let mut child = cluster
        .command(&["produce", "gone", "--timeout", "2"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    assert_eq!(cluster.done(&["consume", "gone", "--count", "1", "--timeout", "30"]).as_str(), "one\n");
    cluster.broker = None;
    stdin.write_all(b"two\nthree\n").unwrap();
    drop(stdin);
    assert_eq!(end_of(&mut child).code(), Some(1));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(err.starts_with("corelog: line 2 could not be written to gone, partition 0: "), "{err}");
    assert!(err.contains("connection refused") && err.contains("1 record was written"), "{err}");
}

#[test]
fn shells_get_their_completions() {
    for (shell, wanted) in
        [("bash", "complete -F _corelog"), ("zsh", "#compdef corelog"), ("fish", "complete -c corelog")]
    {
        let output = corelog(&["completions", shell]);
        let script = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        assert!(script.contains(wanted) && script.contains("key-separator"), "{shell}");
    }
    let output = corelog(&["completions", "bash"]);
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(&output.stdout).unwrap();
    assert!(bash.wait().unwrap().success(), "bash reads its script");
}

#[test]
fn people_get_tables() {
    let cluster = Cluster::start();
    let topic = name("table");
    cluster.done(&["topic", "create", &topic, "--partitions", "2"]);
    for (arguments, wanted) in [
        (&["topic", "list"][..], "\x1b[1mTOPIC"),
        (&["topic", "describe", &topic], "2 partitions, id "),
        (&["cluster", "info"], "1 broker, "),
        (&["cluster", "log-dirs", "--topic", &topic], "2 replicas, 0 bytes, "),
        (&["group", "list", "--state", "dead"], "there are no such groups"),
        (&["group", "reset-offsets", &topic, "--topic", &topic, "--to", "latest", "--execute"], "DIFFERENCE"),
        (&["group", "describe", &topic], "Empty, 0 members, lag 0"),
        (&["group", "delete", &topic], "was deleted"),
        (&["config", "get", &format!("topic:{topic}")], "nothing is set here, so the defaults hold; --all shows them"),
        (&["topic", "alter", &topic, "--config", "retention.ms=1000"], "was changed"),
        (&["topic", "delete", &topic], "was deleted"),
    ] {
        let pty = openpty(None, None).unwrap();
        let mut command = cluster.command(arguments);
        let mut child = command.env_remove("NO_COLOR").stdout(Stdio::from(pty.slave)).spawn().unwrap();
        drop(command);
        let mut shown = Vec::new();
        // A terminal whose other side is closed gives an error at its end.
        let _ = File::from(pty.master).read_to_end(&mut shown);
        assert_eq!(end_of(&mut child).code(), Some(0));
        let shown = text(&shown);
        assert!(shown.contains(wanted), "{arguments:?}: {shown}");
    }
}
