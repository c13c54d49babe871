//! Commands on groups of consumers, and members of groups.

use super::*;

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
