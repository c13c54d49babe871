//! The built program: what it says and how it ends when the command line or the machine is not as it should be.

use std::path::Path;
use std::process::{Command, Output};

fn corelog(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelog")).args(arguments).env_remove("RUST_LOG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

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
        (&["start", "--help"], "corelog start --memory 2G --set num.partitions=4"),
        (&["start", "--help"], "Exit statuses:"),
        (&["dump", "--help"], "corelog dump --records"),
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
    refused(&["start", "--cores", "4"], 2, "several cores are not built yet");
    refused(&["start", "--set", "num.partitions"], 2, "not KEY=VALUE");
    refused(&["begin"], 2, "unrecognized subcommand");
    refused(&["dump"], 2, "<FILE>");
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
