//! The commands that talk to a broker, as the built program: what they print, how they end, and what they leave behind.
//!
//! With `CORELOG_BOOTSTRAP=HOST:PORT` they talk to a broker that is already there, Apache Kafka for example, which shows
//! whether they do what they should with any broker; tests that need a broker of their own then do nothing.
#![allow(clippy::unwrap_used, reason = "in a test a panic is a failure with a place")]

#[path = "../broker/mod.rs"]
mod broker;
mod cluster;
mod groups;

use broker::{corelog, text};
use cluster::*;
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
