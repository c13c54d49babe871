//! What the members of a group are answered, step by step, beside what Kafka answers: the expected lines are Apache
//! Kafka's. With `CORELOG_BOOTSTRAP` against Kafka itself, which shows whether they are right.
//!
//! Members' ids are written as letters, in the order in which they are told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use corelog_tests::broker::{Broker, Options};
use corelog_tests::client::{Client, WAIT_MAX, decode};
use corelog_tests::groups::Group;
use corelog_wire::api::describe_groups::DescribeGroupsRequest;
use corelog_wire::api::heartbeat::HeartbeatRequest;
use corelog_wire::api::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use corelog_wire::api::leave_group::{LeaveGroupRequest, MemberIdentity};
use corelog_wire::api::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use corelog_wire::api::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use corelog_wire::error_code::ErrorCode;

const SYNC_VERSION: i16 = 5;
const HEARTBEAT_VERSION: i16 = 4;
const LEAVE_VERSION: i16 = 5;
const COMMIT_VERSION: i16 = 8;
const DESCRIBE_VERSION: i16 = 5;

/// A JoinGroup request.
#[derive(Clone, Copy)]
struct Join<'a> {
    version: i16,
    member: &'a str,
    instance: Option<&'a str>,
    kind: &'a str,
    protocols: &'a [(&'a str, &'a [u8])],
    session_ms: i32,
}

/// What consumers of the topic `answers` say; version 1, without user data and without partitions.
const METADATA: &[u8] = b"\0\x01\0\0\0\x01\0\x07answers\xff\xff\xff\xff\0\0\0\0";
const OTHER_METADATA: &[u8] = b"\0\x01\0\0\0\x01\0\x05other\xff\xff\xff\xff\0\0\0\0";

/// Without an id, as before version 4: it joins at once.
const OLD: Join<'static> = Join {
    version: 3,
    member: "",
    instance: None,
    kind: "consumer",
    protocols: &[("range", METADATA)],
    session_ms: 30_000,
};
const NEW: Join<'static> = Join { version: 9, ..OLD };

/// A group, and what was answered so far.
struct Lab {
    broker: Broker,
    group: String,
    letters: BTreeMap<String, char>,
    lines: Vec<String>,
    client: Client,
}

impl Lab {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_micros();
        let group = format!("answers-{now}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let broker = Options::new().cores(1).set("group.initial.rebalance.delay.ms", "2000").start();
        let mut client = Client::connect(broker.address()).expect("a connection");
        client.await_coordinator(&group).expect("a coordinator");
        let mut lab = Self { broker, group, letters: BTreeMap::new(), lines: Vec::new(), client };
        lab.create_topic();
        // A coordinator that was named may still have to look at its log.
        let deadline = Instant::now() + WAIT_MAX;
        while lab.commit_code("", None, -1).is_retriable() {
            assert!(Instant::now() < deadline, "the coordinator does not come to serve");
        }
        lab
    }

    fn create_topic(&mut self) {
        let code = self.client.create_topic("answers", 1).expect("an answer");
        assert!([ErrorCode::NONE, ErrorCode::TOPIC_ALREADY_EXISTS].contains(&code), "{code}");
    }

    fn connect(&self) -> Client {
        Client::connect(self.broker.address()).expect("a connection")
    }

    fn letter(&mut self, id: &str) -> String {
        if id.is_empty() || id == "stranger" {
            return if id.is_empty() { "-".into() } else { id.into() };
        }
        let next = char::from(b'A' + u8::try_from(self.letters.len()).expect("few"));
        self.letters.entry(id.to_owned()).or_insert(next).to_string()
    }

    fn note(&mut self, what: &str, line: &str) {
        self.lines.push(format!("{what}: {line}"));
    }

    fn send_join(&self, client: &mut Client, join: Join<'_>) {
        let mut protocols = Vec::new();
        for (name, metadata) in join.protocols {
            protocols.push(JoinGroupRequestProtocol { name, metadata });
        }
        let request = JoinGroupRequest {
            group_id: &self.group,
            session_timeout_ms: join.session_ms,
            rebalance_timeout_ms: 30_000,
            member_id: join.member,
            group_instance_id: join.instance,
            protocol_type: join.kind,
            protocols: (&protocols).into(),
            ..Default::default()
        };
        client.send(join.version, &request).expect("sent");
    }

    /// The answer to a JoinGroup, noted; gives the member's id.
    fn receive_join(&mut self, what: &str, client: &mut Client, version: i16) -> String {
        let frame = client.receive().expect("an answer");
        let (_, answer) = decode::<JoinGroupRequest<'_>>(&frame, version).expect("an answer of its kind");
        let me = self.letter(answer.member_id);
        let leader = self.letter(answer.leader);
        let mut members: Vec<_> = answer.members.iter().map(|member| self.letter(member.member_id)).collect();
        members.sort_unstable();
        let line = format!(
            "{} {me} generation {} {}/{} leader {leader} of [{}]{}",
            answer.error_code,
            answer.generation_id,
            answer.protocol_type.unwrap_or("null"),
            answer.protocol_name.unwrap_or("null"),
            members.join(" "),
            if answer.skip_assignment { " skips" } else { "" },
        );
        self.note(what, &line);
        answer.member_id.to_owned()
    }

    fn join(&mut self, what: &str, client: &mut Client, join: Join<'_>) -> String {
        self.send_join(client, join);
        self.receive_join(what, client, join.version)
    }

    /// Joins clients one after the other to an empty group; gives their ids, the leader's first. None of it is noted.
    fn settle(&mut self, clients: &mut [Client], joins: &[Join<'_>]) -> Vec<String> {
        for (index, (client, join)) in clients.iter_mut().zip(joins).enumerate() {
            self.send_join(client, *join);
            let deadline = Instant::now() + WAIT_MAX;
            let has_come = |group: Group| group.clients.len() > index;
            while !self.client.describe_group(&self.group).expect("an answer").is_some_and(has_come) {
                assert!(Instant::now() < deadline, "member {index} is not seen");
            }
        }
        let lines = self.lines.len();
        let of_each = clients.iter_mut().zip(joins);
        let ids = of_each.map(|(client, join)| self.receive_join("settles", client, join.version)).collect();
        self.lines.truncate(lines);
        ids
    }

    fn send_sync(&self, client: &mut Client, sync: Sync<'_>) {
        let mut assignments = Vec::new();
        for id in sync.assigns {
            assignments.push(SyncGroupRequestAssignment { member_id: id, assignment: id.as_bytes() });
        }
        let request = SyncGroupRequest {
            group_id: &self.group,
            generation_id: sync.generation,
            member_id: sync.member,
            group_instance_id: sync.instance,
            protocol_type: sync.kind,
            protocol_name: sync.protocol,
            assignments: (&assignments).into(),
        };
        client.send(SYNC_VERSION, &request).expect("sent");
    }

    fn receive_sync(&mut self, what: &str, client: &mut Client) {
        let frame = client.receive().expect("an answer");
        let (_, answer) = decode::<SyncGroupRequest<'_>>(&frame, SYNC_VERSION).expect("an answer of its kind");
        let assigned = self.letter(std::str::from_utf8(answer.assignment).expect("an id"));
        let (kind, protocol) = (answer.protocol_type.unwrap_or("null"), answer.protocol_name.unwrap_or("null"));
        let line = format!("{} {kind}/{protocol} {assigned}", answer.error_code);
        self.note(what, &line);
    }

    fn sync(&mut self, what: &str, client: &mut Client, sync: Sync<'_>) {
        self.send_sync(client, sync);
        self.receive_sync(what, client);
    }

    fn heartbeat(&mut self, what: &str, member_id: &str, group_instance_id: Option<&str>, generation_id: i32) {
        let request = HeartbeatRequest { group_id: &self.group, generation_id, member_id, group_instance_id };
        self.client.send(HEARTBEAT_VERSION, &request).expect("sent");
        let frame = self.client.receive().expect("an answer");
        let (_, answer) = decode::<HeartbeatRequest<'_>>(&frame, HEARTBEAT_VERSION).expect("an answer of its kind");
        self.note(what, &answer.error_code.to_string());
    }

    fn commit_code(&mut self, member_id: &str, group_instance_id: Option<&str>, generation: i32) -> ErrorCode {
        let partitions = [OffsetCommitRequestPartition { committed_offset: 7, ..Default::default() }];
        let topics =
            [OffsetCommitRequestTopic { name: "answers", partitions: (&partitions).into(), ..Default::default() }];
        let request = OffsetCommitRequest {
            group_id: &self.group,
            generation_id_or_member_epoch: generation,
            member_id,
            group_instance_id,
            topics: (&topics).into(),
            ..Default::default()
        };
        self.client.send(COMMIT_VERSION, &request).expect("sent");
        let frame = self.client.receive().expect("an answer");
        let (_, answer) = decode::<OffsetCommitRequest<'_>>(&frame, COMMIT_VERSION).expect("an answer of its kind");
        let topic = answer.topics.first().expect("the topic");
        topic.partitions.first().expect("the partition").error_code
    }

    fn commit(&mut self, what: &str, member_id: &str, instance: Option<&str>, generation: i32) {
        let code = self.commit_code(member_id, instance, generation);
        self.note(what, &code.to_string());
    }

    fn leave(&mut self, what: &str, members: &[(&str, Option<&str>)]) {
        let mut leaving = Vec::new();
        for (member_id, group_instance_id) in members {
            let group_instance_id = *group_instance_id;
            leaving.push(MemberIdentity { member_id, group_instance_id, ..Default::default() });
        }
        let request = LeaveGroupRequest { group_id: &self.group, members: (&leaving).into(), ..Default::default() };
        self.client.send(LEAVE_VERSION, &request).expect("sent");
        let frame = self.client.receive().expect("an answer");
        let (_, answer) = decode::<LeaveGroupRequest<'_>>(&frame, LEAVE_VERSION).expect("an answer of its kind");
        let codes: Vec<_> = answer.members.iter().map(|member| member.error_code.to_string()).collect();
        let line = format!("{} [{}]", answer.error_code, codes.join(" "));
        self.note(what, &line);
    }

    fn describe(&mut self, what: &str) {
        let groups = [&*self.group];
        let request = DescribeGroupsRequest { groups: (&groups).into(), ..Default::default() };
        self.client.send(DESCRIBE_VERSION, &request).expect("sent");
        let frame = self.client.receive().expect("an answer");
        let (_, answer) = decode::<DescribeGroupsRequest<'_>>(&frame, DESCRIBE_VERSION).expect("an answer of its kind");
        let group = answer.groups.first().expect("the group");
        let mut members = Vec::new();
        for member in &group.members {
            let letter = self.letter(member.member_id);
            let assigned = self.letter(std::str::from_utf8(member.member_assignment).expect("an id"));
            let instance = member.group_instance_id.unwrap_or("dynamic");
            let says = if member.member_metadata.is_empty() { "nothing" } else { "something" };
            members.push(format!("{letter} {instance} says {says} has {assigned}"));
        }
        members.sort_unstable();
        let (code, kind, protocol) = (group.error_code, group.protocol_type, group.protocol_data);
        let line = format!("{code} {} {kind}/{protocol} [{}]", group.group_state, members.join(", "));
        self.note(what, &line);
    }

    #[track_caller]
    fn are(&self, expected: &[&str]) {
        assert_eq!(self.lines, expected, "\n{:#?}", self.lines);
    }
}

/// A SyncGroup request.
#[derive(Clone, Copy)]
struct Sync<'a> {
    member: &'a str,
    instance: Option<&'a str>,
    generation: i32,
    kind: Option<&'a str>,
    protocol: Option<&'a str>,
    assigns: &'a [String],
}

fn sync(member: &str, generation: i32) -> Sync<'_> {
    Sync { member, instance: None, generation, kind: Some("consumer"), protocol: Some("range"), assigns: &[] }
}

#[test]
fn coming_and_going() {
    let mut lab = Lab::new();
    let mut one = lab.connect();
    let told = lab.join("asks for an id", &mut one, NEW);
    lab.describe("while it has only been told");
    lab.heartbeat("with an id that has not joined", &told, None, -1);
    let id = lab.join("joins", &mut one, Join { member: &told, ..NEW });
    lab.describe("before the assignment");
    lab.heartbeat("before the assignment", &id, None, 1);
    lab.commit("before the assignment", &id, None, 1);
    lab.join("missed the answer", &mut one, Join { member: &id, ..NEW });
    lab.sync("assigns", &mut one, Sync { assigns: std::slice::from_ref(&id), ..sync(&id, 1) });
    lab.describe("afterwards");
    lab.sync("asks again", &mut one, sync(&id, 1));
    lab.commit("as a member", &id, None, 1);
    lab.join("rejoins as the leader", &mut one, Join { member: &id, ..NEW });
    lab.commit("of the old generation", &id, None, 1);
    lab.leave("leaves", &[(&id, None)]);
    lab.leave("leaves again", &[(&id, None)]);
    lab.describe("at the end");
    lab.heartbeat("of a former member", &id, None, 2);
    lab.sync("of a former member", &mut one, sync(&id, 2));
    lab.join("of a former member", &mut one, Join { member: &id, ..NEW });
    lab.commit("of a former member", &id, None, 2);
    lab.commit("from outside", "", None, -1);
    lab.are(&[
        "asks for an id: MEMBER_ID_REQUIRED A generation -1 null/null leader - of []",
        "while it has only been told: NONE Empty / []",
        "with an id that has not joined: UNKNOWN_MEMBER_ID",
        "joins: NONE A generation 1 consumer/range leader A of [A]",
        "before the assignment: NONE CompletingRebalance consumer/ [A dynamic says nothing has -]",
        "before the assignment: NONE",
        "before the assignment: REBALANCE_IN_PROGRESS",
        "missed the answer: NONE A generation 1 consumer/range leader A of [A]",
        "assigns: NONE consumer/range A",
        "afterwards: NONE Stable consumer/range [A dynamic says something has A]",
        "asks again: NONE consumer/range A",
        "as a member: NONE",
        "rejoins as the leader: NONE A generation 2 consumer/range leader A of [A]",
        "of the old generation: ILLEGAL_GENERATION",
        "leaves: NONE [NONE]",
        "leaves again: NONE [UNKNOWN_MEMBER_ID]",
        "at the end: NONE Empty consumer/ []",
        "of a former member: UNKNOWN_MEMBER_ID",
        "of a former member: UNKNOWN_MEMBER_ID null/null -",
        "of a former member: UNKNOWN_MEMBER_ID A generation -1 null/null leader - of []",
        "of a former member: UNKNOWN_MEMBER_ID",
        "from outside: NONE",
    ]);
}

#[test]
fn what_is_refused() {
    let mut lab = Lab::new();
    let mut one = lab.connect();
    for (what, join) in [
        ("a short session", Join { session_ms: 1, ..NEW }),
        ("a long session", Join { session_ms: i32::MAX, ..NEW }),
        ("no kind", Join { kind: "", ..NEW }),
        ("no protocols", Join { protocols: &[], ..NEW }),
        ("a stranger", Join { member: "stranger", ..NEW }),
        ("a stranger with a name", Join { member: "stranger", instance: Some("i"), ..NEW }),
    ] {
        lab.join(what, &mut one, join);
    }
    lab.sync("sync of a stranger", &mut one, sync("stranger", 1));
    lab.heartbeat("heartbeat of a stranger", "stranger", None, 1);
    lab.leave("a stranger leaves", &[("stranger", None), ("", None), ("", Some("i"))]);
    lab.commit("a stranger commits", "stranger", None, 1);
    lab.commit("a stranger commits without a generation", "stranger", None, -1);
    let mut clients = [lab.connect(), lab.connect()];
    let ids = lab.settle(&mut clients, &[OLD, OLD]);
    let leader = Sync { assigns: &ids, ..sync(&ids[0], 1) };
    let [first, second] = &mut clients;
    lab.sync("a generation too new", second, sync(&ids[1], 2));
    lab.sync("a generation too old", second, sync(&ids[1], 0));
    lab.sync("another kind", second, Sync { kind: Some("connect"), ..sync(&ids[1], 1) });
    lab.sync("another protocol", second, Sync { protocol: Some("x"), ..sync(&ids[1], 1) });
    lab.sync("with a name", second, Sync { instance: Some("i"), ..sync(&ids[1], 1) });
    lab.sync("the leader", first, leader);
    lab.sync("another kind, later", second, Sync { kind: Some("connect"), ..sync(&ids[1], 1) });
    lab.sync("without a kind", second, Sync { kind: None, protocol: None, ..sync(&ids[1], 1) });
    for (what, join) in [
        ("another kind joins", Join { kind: "connect", ..OLD }),
        ("another protocol joins", Join { protocols: &[("x", METADATA)], ..OLD }),
        ("a member with another protocol", Join { member: &ids[1], protocols: &[("x", METADATA)], ..OLD }),
        ("a member of another kind", Join { member: &ids[1], kind: "connect", ..OLD }),
        ("a stranger joins", Join { member: "stranger", ..OLD }),
        ("a member with a name", Join { version: 9, member: &ids[1], instance: Some("i"), ..OLD }),
    ] {
        lab.join(what, &mut one, join);
    }
    lab.heartbeat("heartbeat of another generation", &ids[0], None, 2);
    lab.heartbeat("heartbeat without an id", "", None, 1);
    lab.heartbeat("heartbeat with a name", &ids[0], Some("i"), 1);
    lab.heartbeat("a good heartbeat", &ids[0], None, 1);
    for (what, id, instance, generation) in [
        ("a good commit", &*ids[1], None, 1),
        ("a commit of another generation", &*ids[1], None, 2),
        ("a commit without a generation", &*ids[1], None, -1),
        ("a commit from outside", "", None, -1),
        ("a commit without an id", "", None, 1),
        ("a commit of a stranger", "stranger", None, 1),
        ("a commit with a name", &*ids[1], Some("i"), 1),
    ] {
        lab.commit(what, id, instance, generation);
    }
    lab.leave("some leave", &[("stranger", None), (&ids[0], Some("i")), ("", Some("i")), ("", None)]);
    lab.heartbeat("nobody has left", &ids[0], None, 1);
    lab.are(&[
        "a short session: INVALID_SESSION_TIMEOUT - generation -1 null/null leader - of []",
        "a long session: INVALID_SESSION_TIMEOUT - generation -1 null/null leader - of []",
        "no kind: INCONSISTENT_GROUP_PROTOCOL - generation -1 null/null leader - of []",
        "no protocols: INCONSISTENT_GROUP_PROTOCOL - generation -1 null/null leader - of []",
        "a stranger: UNKNOWN_MEMBER_ID stranger generation -1 null/null leader - of []",
        "a stranger with a name: UNKNOWN_MEMBER_ID stranger generation -1 null/null leader - of []",
        "sync of a stranger: UNKNOWN_MEMBER_ID null/null -",
        "heartbeat of a stranger: UNKNOWN_MEMBER_ID",
        "a stranger leaves: NONE [UNKNOWN_MEMBER_ID UNKNOWN_MEMBER_ID UNKNOWN_MEMBER_ID]",
        "a stranger commits: UNKNOWN_MEMBER_ID",
        "a stranger commits without a generation: NONE",
        "a generation too new: ILLEGAL_GENERATION null/null -",
        "a generation too old: ILLEGAL_GENERATION null/null -",
        "another kind: INCONSISTENT_GROUP_PROTOCOL null/null -",
        "another protocol: INCONSISTENT_GROUP_PROTOCOL null/null -",
        "with a name: UNKNOWN_MEMBER_ID null/null -",
        "the leader: NONE consumer/range A",
        "another kind, later: INCONSISTENT_GROUP_PROTOCOL null/null -",
        "without a kind: INCONSISTENT_GROUP_PROTOCOL null/null -",
        "another kind joins: INCONSISTENT_GROUP_PROTOCOL - generation -1 null/ leader - of []",
        "another protocol joins: INCONSISTENT_GROUP_PROTOCOL - generation -1 null/ leader - of []",
        "a member with another protocol: INCONSISTENT_GROUP_PROTOCOL B generation -1 null/ leader - of []",
        "a member of another kind: INCONSISTENT_GROUP_PROTOCOL B generation -1 null/ leader - of []",
        "a stranger joins: UNKNOWN_MEMBER_ID stranger generation -1 null/ leader - of []",
        "a member with a name: UNKNOWN_MEMBER_ID B generation -1 null/null leader - of []",
        "heartbeat of another generation: ILLEGAL_GENERATION",
        "heartbeat without an id: UNKNOWN_MEMBER_ID",
        "heartbeat with a name: UNKNOWN_MEMBER_ID",
        "a good heartbeat: NONE",
        "a good commit: NONE",
        "a commit of another generation: ILLEGAL_GENERATION",
        "a commit without a generation: ILLEGAL_GENERATION",
        "a commit from outside: UNKNOWN_MEMBER_ID",
        "a commit without an id: UNKNOWN_MEMBER_ID",
        "a commit of a stranger: UNKNOWN_MEMBER_ID",
        "a commit with a name: UNKNOWN_MEMBER_ID",
        "some leave: NONE [UNKNOWN_MEMBER_ID UNKNOWN_MEMBER_ID UNKNOWN_MEMBER_ID UNKNOWN_MEMBER_ID]",
        "nobody has left: NONE",
    ]);
}

#[test]
fn a_rebalance() {
    let mut lab = Lab::new();
    let mut clients = [lab.connect(), lab.connect()];
    let ids = lab.settle(&mut clients, &[OLD, OLD]);
    let [first, second] = &mut clients;
    lab.sync("the leader assigns", first, Sync { assigns: &ids, ..sync(&ids[0], 1) });
    lab.join("a follower says the same", second, Join { member: &ids[1], ..OLD });
    lab.send_join(second, Join { member: &ids[1], protocols: &[("range", OTHER_METADATA)], ..OLD });
    let mut probe = lab.connect();
    // Only when it is taken in does the group rebalance.
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let lines = lab.lines.len();
        lab.heartbeat("it has news", &ids[0], None, 1);
        if lab.lines.last().is_some_and(|line| !line.ends_with("NONE")) {
            break;
        }
        lab.lines.truncate(lines);
        assert!(Instant::now() < deadline, "no rebalance");
    }
    lab.describe("while it waits");
    lab.sync("a sync meanwhile", &mut probe, sync(&ids[0], 1));
    lab.commit("a commit meanwhile", &ids[0], None, 1);
    lab.commit("a commit from outside meanwhile", "", None, -1);
    lab.join("the leader comes", first, Join { member: &ids[0], ..OLD });
    lab.receive_join("and so does the follower", second, OLD.version);
    lab.commit("a commit of the old generation", &ids[0], None, 1);
    lab.commit("a commit of the new generation", &ids[0], None, 2);
    lab.heartbeat("a heartbeat of the new generation", &ids[0], None, 2);
    lab.send_sync(second, sync(&ids[1], 2));
    lab.sync("the leader assigns again", first, Sync { assigns: &ids, ..sync(&ids[0], 2) });
    lab.receive_sync("the follower hears", second);
    lab.leave("the leader leaves", &[(&ids[0], None)]);
    lab.heartbeat("the follower learns", &ids[1], None, 2);
    lab.join("it leads now", second, Join { member: &ids[1], ..OLD });
    lab.are(&[
        "the leader assigns: NONE consumer/range A",
        "a follower says the same: NONE B generation 1 null/range leader A of []",
        "it has news: REBALANCE_IN_PROGRESS",
        "while it waits: NONE PreparingRebalance consumer/ [A dynamic says nothing has A, B dynamic says nothing has B]",
        "a sync meanwhile: REBALANCE_IN_PROGRESS null/null -",
        "a commit meanwhile: NONE",
        "a commit from outside meanwhile: UNKNOWN_MEMBER_ID",
        "the leader comes: NONE A generation 2 null/range leader A of [A B]",
        "and so does the follower: NONE B generation 2 null/range leader A of []",
        "a commit of the old generation: ILLEGAL_GENERATION",
        "a commit of the new generation: REBALANCE_IN_PROGRESS",
        "a heartbeat of the new generation: NONE",
        "the leader assigns again: NONE consumer/range A",
        "the follower hears: NONE consumer/range B",
        "the leader leaves: NONE [NONE]",
        "the follower learns: REBALANCE_IN_PROGRESS",
        "it leads now: NONE B generation 3 null/range leader B of [B]",
    ]);
}

#[test]
fn static_members() {
    let mut lab = Lab::new();
    let leader = Join { instance: Some("leader"), protocols: &[("range", METADATA), ("x", METADATA)], ..NEW };
    let follower = Join { instance: Some("follower"), ..leader };
    let mut clients = [lab.connect(), lab.connect()];
    let ids = lab.settle(&mut clients, &[leader, follower]);
    let [mut one, mut two] = clients;
    lab.sync("the leader assigns", &mut one, Sync { assigns: &ids, ..sync(&ids[0], 1) });
    lab.describe("stable");
    let back = lab.join("the follower is back", &mut two, follower);
    lab.describe("with its new id");
    lab.sync("it has what it had", &mut two, Sync { instance: Some("follower"), ..sync(&back, 1) });
    lab.heartbeat("the old one", &ids[1], Some("follower"), 1);
    lab.heartbeat("the old one without its name", &ids[1], None, 1);
    lab.commit("the old one", &ids[1], Some("follower"), 1);
    lab.commit("the new one", &back, Some("follower"), 1);
    lab.sync("the old one", &mut two, Sync { instance: Some("follower"), ..sync(&ids[1], 1) });
    lab.join("the old one", &mut two, Join { member: &ids[1], ..follower });
    lab.leave("the old one", &[(&ids[1], Some("follower"))]);
    lab.join("the leader with another's name", &mut one, Join { member: &ids[0], ..follower });
    lab.join("the leader with no known name", &mut one, Join { member: &ids[0], instance: Some("none"), ..leader });
    lab.join("the new one says the same", &mut two, Join { member: &back, ..follower });
    let old_version = lab.join("the leader is back, version 8", &mut one, Join { version: 8, ..leader });
    let new_version = lab.join("the leader is back, version 9", &mut one, leader);
    lab.heartbeat("fenced", &old_version, Some("leader"), 1);
    lab.sync("it has what it had", &mut one, Sync { instance: Some("leader"), ..sync(&new_version, 1) });
    lab.leave("an operator removes the follower", &[("", Some("none")), ("", Some("follower"))]);
    lab.heartbeat("the leader learns", &new_version, Some("leader"), 1);
    lab.join("and is alone", &mut one, Join { member: &new_version, ..leader });
    lab.leave("it leaves", &[(&new_version, Some("leader"))]);
    lab.describe("at the end");
    lab.are(&[
        "the leader assigns: NONE consumer/range A",
        "stable: NONE Stable consumer/range [A leader says something has A, B follower says something has B]",
        "the follower is back: NONE C generation 1 consumer/range leader A of []",
        "with its new id: NONE Stable consumer/range [A leader says something has A, C follower says something has B]",
        "it has what it had: NONE consumer/range B",
        "the old one: FENCED_INSTANCE_ID",
        "the old one without its name: UNKNOWN_MEMBER_ID",
        "the old one: FENCED_INSTANCE_ID",
        "the new one: NONE",
        "the old one: FENCED_INSTANCE_ID null/null -",
        "the old one: FENCED_INSTANCE_ID B generation -1 null/null leader - of []",
        "the old one: NONE [FENCED_INSTANCE_ID]",
        "the leader with another's name: FENCED_INSTANCE_ID A generation -1 null/null leader - of []",
        "the leader with no known name: UNKNOWN_MEMBER_ID A generation -1 null/null leader - of []",
        "the new one says the same: NONE C generation 1 consumer/range leader A of []",
        "the leader is back, version 8: NONE D generation 1 consumer/range leader A of []",
        "the leader is back, version 9: NONE E generation 1 consumer/range leader E of [C E] skips",
        "fenced: FENCED_INSTANCE_ID",
        "it has what it had: NONE consumer/range A",
        "an operator removes the follower: NONE [UNKNOWN_MEMBER_ID NONE]",
        "the leader learns: REBALANCE_IN_PROGRESS",
        "and is alone: NONE E generation 2 consumer/range leader E of [E]",
        "it leaves: NONE [NONE]",
        "at the end: NONE Empty consumer/ []",
    ]);
}
