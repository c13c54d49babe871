//! The built program: what it says and how it ends when the command line or the machine is not as it should be.
#![allow(clippy::unwrap_used, reason = "in a test a panic is a failure with a place")]

mod broker;

use broker::{Broker, corelog, text};
use nix::sys::signal::Signal;
use std::path::Path;

/// The command fails with this status, and says so on standard error alone.
fn refused(arguments: &[&str], status: i32, wanted: &str) {
    let output = corelog(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    assert!(said.contains(wanted), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
}

#[test]
fn help_shows_examples_and_exit_statuses() {
    for (arguments, wanted) in [
        (&["--help"][..], "corelog start"),
        (&["start", "--help"], "corelog start --cores 2 --memory 2G --set num.partitions=4"),
        (&["start", "--help"], "Exit statuses:"),
        (&["dump", "--help"], "corelog dump --records"),
        (&["topic", "--help"], "corelog topic create orders --partitions 12"),
        (&["topic", "create", "--help"], "corelog topic create orders"),
        (&["config", "--help"], "A target is topic:NAME, broker:ID, or broker"),
        (&["produce", "--help"], "--key-separator : --compression zstd"),
        (&["consume", "--help"], "%T timestamp in ms since 1970"),
        (&["consume", "--help"], "[env: CORELOG_BOOTSTRAP=]"),
        (&["consume", "--help"], "corelog consume orders --group billing"),
        (&["group", "--help"], "corelog group reset-offsets billing --topic orders --to earliest --execute"),
        (&["group", "reset-offsets", "--help"], "--all-topics --to @2026-01-31T12:00 --execute"),
        (&["cluster", "log-dirs", "--help"], "corelog cluster log-dirs --topic orders"),
        (&["cluster", "info", "--help"], "--bootstrap <HOST:PORT>"),
        (&["completions", "--help"], "corelog completions bash >"),
        (&["--version"], "corelog 0."),
    ] {
        let output = corelog(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains(wanted), "{arguments:?}: {}", text(&output.stdout));
    }
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2() {
    refused(&["start", "--listen", "nowhere"], 2, "\"nowhere\" is not HOST:PORT, such as 127.0.0.1:9092");
    refused(&["start", "--memory", "lots"], 2, "\"lots\" is not a size, such as 512MiB");
    refused(&["start", "--cores", "0"], 2, "a broker needs a core");
    refused(&["start", "--set", "num.partitions"], 2, "not KEY=VALUE");
    refused(&["begin"], 2, "unrecognized subcommand");
    refused(&["dump"], 2, "<FILE>");
    for (arguments, wanted) in [
        (&["topic"][..], "Usage: corelog topic"),
        (&["topic", "create"], "<NAME>"),
        (&["topic", "create", "a", "--partitions", "0"], "0 is not in 1.."),
        (&["topic", "create", "a", "--config", "retention.ms"], "not KEY=VALUE, such as retention.ms=86400000"),
        (&["topic", "alter", "a"], "nothing to change in a; give --partitions N, --config KEY=VALUE or --unset KEY"),
        (&["topic", "list", "--bootstrap", "9092"], "\"9092\" is not HOST:PORT, such as 127.0.0.1:9092"),
        (&["topic", "list", "--timeout", "0"], "not a number of seconds"),
        (&["config", "get", "retention.ms"], "no target is named; it is topic:NAME, broker:ID or broker"),
        (&["config", "get", "topic:a", "b=c"], "`get` changes nothing; `corelog config set` sets b"),
        (&["config", "get", "group:a"], "a target is topic:NAME, broker:ID or broker"),
        (&["config", "set", "topic:a"], "nothing to change; give KEY=VALUE, or --unset KEY"),
        (&["config", "set", "topic:a", "retention.ms"], "\"retention.ms\" is neither KEY=VALUE nor a target"),
        (&["config", "set", "a=b"], "no target is named"),
        (&["produce"], "<TOPIC>"),
        (&["produce", "a", "--acks", "2"], "acknowledgements are 0, 1 or all"),
        (&["produce", "a", "--compression", "rar"], "codecs are none, gzip, snappy, lz4 and zstd"),
        (&["produce", "a", "--header", "b"], "not KEY=VALUE, such as source=shop"),
        (&["produce", "a", "--key-separator", ""], "a separator has at least one character"),
        (&["produce", "a", "--partition=-1"], "-1 is not in 0.."),
        (&["consume", "a", "--from", "middle"], "is no place in a log; try beginning, end, 41, -10"),
        (&["consume", "a", "--format", "%q"], "%q means nothing"),
        (&["consume", "a", "--json", "--format", "%s"], "cannot be used with"),
        (&["completions", "csh"], "invalid value 'csh'"),
    ] {
        refused(arguments, 2, wanted);
    }
}

#[test]
fn wrong_settings_end_with_1_and_one_sentence() {
    refused(&["start", "--set", "num.partition=4"], 1, "did you mean num.partitions?");
    refused(&["start", "--set", "num.partitions=many"], 1, "num.partitions: \"many\" is not a whole number");
    refused(&["start", "--memory", "1M"], 1, "1048576 is not between 67108864");
    refused(&["start", "--config", "/no/such/file"], 1, "cannot read the configuration /no/such/file");
    refused(&["--log", "a=b=c", "start"], 1, "--log \"a=b=c\" is no filter");
    let output = corelog(&["start", "--set", "num.partition=4"]);
    assert_eq!(text(&output.stderr).lines().count(), 1);
}

#[test]
fn a_broker_on_several_cores_stops_with_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start_on(2, &folder.path().join("data"), &[]);
    assert!(broker.ready.contains("128 MiB of memory on 2 cores; new"), "{}", broker.ready);
    let threads = std::fs::read_dir(format!("/proc/{}/task", broker.child.id())).unwrap();
    let names = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap());
    let mut shards: Vec<_> = names.filter(|name| name.starts_with("shard-")).collect();
    shards.sort();
    shards.dedup();
    assert_eq!(shards, ["shard-0\n", "shard-1\n"]);
    std::net::TcpStream::connect(broker.address()).unwrap();
    let (status, _, err) = broker.stop(Signal::SIGTERM);
    assert_eq!(status, Some(0), "{err}");
}

#[test]
fn more_cores_than_the_memory_is_enough_for_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let arguments = ["start", "--cores", "3", "--memory", "128MiB", "--data-dir", data_dir.to_str().unwrap()];
    refused(&arguments, 1, "128 MiB are not enough for 3 shards");
}

#[test]
fn a_wrong_line_of_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.properties");
    std::fs::write(&path, "# ours\nnum.partitions=3\nlog.retention.hors=1\n").unwrap();
    let wanted = format!(
        "{}, line 3: log.retention.hors: is not a known setting; did you mean log.retention.hours?",
        path.display()
    );
    refused(&["start", "--config", path.to_str().unwrap()], 1, &wanted);
}

#[test]
fn dumping_what_is_no_file_of_ours_ends_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "nothing of ours").unwrap();
    let dump = |path: &Path| corelog(&["dump", path.to_str().unwrap()]);
    for (path, wanted) in [
        (path.as_path(), "is no file that Corelog writes"),
        (Path::new("/no/such.log"), "cannot be read: No such file"),
        (folder.path(), "cannot be read: is a directory"),
    ] {
        let output = dump(path);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(wanted), "{}", text(&output.stderr));
    }
}

#[test]
fn a_broker_says_when_it_is_ready_and_stops_when_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let broker = Broker::start(&data_dir, &["--set", "num.io.threads=3"]);
    assert!(broker.ready.starts_with("ready 127.0.0.1:"), "{}", broker.ready);
    assert!(
        broker.ready.contains("node 1, ") && broker.ready.contains("64 MiB of memory on 1 core; new"),
        "{}",
        broker.ready
    );
    std::net::TcpStream::connect(broker.address()).unwrap();
    let (status, out, err) = broker.stop(Signal::SIGTERM);
    assert_eq!((status, out.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("these settings are Kafka's, but change nothing here: num.io.threads"), "{err}");

    let broker = Broker::start(&data_dir, &[]);
    assert!(broker.ready.contains("after a clean stop"), "{}", broker.ready);
    let (status, _, err) = broker.stop(Signal::SIGINT);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let files = ["superblock-a", "superblock-b", "shard-0/journal-0000", "metadata/journal-0000"];
    let files: Vec<_> = files.iter().map(|name| data_dir.join(name)).collect();
    let files: Vec<_> = files.iter().map(|path| path.to_str().unwrap()).collect();
    let dump = corelog(&[&["dump"], files.as_slice()].concat());
    assert_eq!(dump.status.code(), Some(0), "{}", text(&dump.stdout));
    assert!(text(&dump.stdout).contains("the last stop was clean"), "{}", text(&dump.stdout));
}

#[test]
fn a_second_broker_on_the_port_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(&folder.path().join("one"), &[]);
    let other = folder.path().join("two");
    let arguments = ["start", "--listen", broker.address(), "--data-dir", other.to_str().unwrap()];
    refused(&arguments, 1, "is another broker running?");
    assert!(!other.exists(), "data was touched before the port was had");
    let other = other.to_str().unwrap();
    let arguments = ["start", "--listen", "127.0.0.1:0", "--metrics", broker.address(), "--data-dir", other];
    refused(&arguments, 1, "choose another address with --metrics HOST:PORT, or --metrics off");
    assert!(!std::path::Path::new(other).exists(), "data was touched before the ports were had");
}

#[test]
fn the_ready_line_says_where_the_metrics_are() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &["--metrics", "127.0.0.1:0"]);
    let (_, rest) = broker.ready.split_once("; metrics at http://").unwrap();
    let address = rest.split('/').next().unwrap();
    assert_ne!(address, broker.address());
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    let (status, _, err) = broker.stop(Signal::SIGTERM);
    assert_eq!((status, err.as_str()), (Some(0), ""));
}

#[test]
fn another_node_id_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Broker::start(folder.path(), &[]).stop(Signal::SIGTERM);
    let data_dir = folder.path().to_str().unwrap();
    refused(
        &["start", "--listen", "127.0.0.1:0", "--metrics", "off", "--data-dir", data_dir, "--set", "node.id=2"],
        1,
        "node",
    );
}

#[test]
fn a_check_names_what_it_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let output = corelog(&["check", "--data-dir", folder.path().to_str().unwrap()]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for name in ["kernel", "io_uring", "open files", "direct I/O", "free space"] {
        assert!(said.contains(&format!("ok       {name}: ")), "{said}");
    }
    let output = corelog(&["check", "--data-dir", "/proc/self/nowhere"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("MISSING  direct I/O: /proc/self") && said.contains("         cure: "), "{said}");
    refused(&["start", "--data-dir", "/proc/self/nowhere"], 1, "this machine cannot run the broker: direct I/O: ");
}
