//! One group of a thousand members, each with a connection of its own, that come, lose some of them, and come again at
//! once: every time they settle in one generation, and soon.

use std::time::{Duration, Instant};

use corelog_tests::broker::{Broker, Options};
use corelog_tests::client::{Client, decode};
use corelog_wire::api::heartbeat::HeartbeatRequest;
use corelog_wire::api::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use corelog_wire::api::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use corelog_wire::error_code::ErrorCode;

const MEMBERS: usize = 1_000;
const GROUP: &str = "large";
const JOIN_VERSION: i16 = 9;
const SYNC_VERSION: i16 = 5;
const HEARTBEAT_VERSION: i16 = 4;

/// Beyond the delay that the broker is configured with, how long a generation may take to be joined and assigned. It takes
/// a fraction of a second; a machine may be slow, a square of the members would be slower.
const SETTLE_MAX: Duration = Duration::from_secs(20);

struct Member {
    client: Client,
    id: String,
    generation: i32,
}

fn member(broker: &Broker) -> Member {
    let client = Client::connect(broker.address()).expect("a connection");
    Member { client, id: String::new(), generation: -1 }
}

impl Member {
    fn send_join(&mut self) {
        let protocols = [JoinGroupRequestProtocol { name: "own", metadata: b"what it wants" }];
        let request = JoinGroupRequest {
            group_id: GROUP,
            session_timeout_ms: 60_000,
            rebalance_timeout_ms: 60_000,
            member_id: &self.id,
            protocol_type: "test",
            protocols: (&protocols).into(),
            ..Default::default()
        };
        self.client.send(JOIN_VERSION, &request).expect("sent");
    }

    /// The answer to [`Self::send_join`]; for a leader, the ids of all members.
    fn receive_join(&mut self) -> (ErrorCode, Vec<String>) {
        let frame = self.client.receive().expect("an answer");
        let (_, answer) = decode::<JoinGroupRequest<'_>>(&frame, JOIN_VERSION).expect("an answer of its kind");
        self.id = answer.member_id.to_owned();
        self.generation = answer.generation_id;
        (answer.error_code, answer.members.iter().map(|member| member.member_id.to_owned()).collect())
    }

    fn send_sync(&mut self, assigned: &[String]) {
        let mut assignments = Vec::with_capacity(assigned.len());
        for id in assigned {
            assignments.push(SyncGroupRequestAssignment { member_id: id, assignment: id.as_bytes() });
        }
        let request = SyncGroupRequest {
            group_id: GROUP,
            generation_id: self.generation,
            member_id: &self.id,
            protocol_type: Some("test"),
            protocol_name: Some("own"),
            assignments: (&assignments).into(),
            ..Default::default()
        };
        self.client.send(SYNC_VERSION, &request).expect("sent");
    }

    fn receive_sync(&mut self) {
        let frame = self.client.receive().expect("an answer");
        let (_, answer) = decode::<SyncGroupRequest<'_>>(&frame, SYNC_VERSION).expect("an answer of its kind");
        assert_eq!((answer.error_code, answer.assignment), (ErrorCode::NONE, self.id.as_bytes()));
    }

    fn send_heartbeat(&mut self) {
        let (generation_id, member_id) = (self.generation, self.id.as_str());
        let request = HeartbeatRequest { group_id: GROUP, generation_id, member_id, ..Default::default() };
        self.client.send(HEARTBEAT_VERSION, &request).expect("sent");
    }

    fn receive_heartbeat(&mut self) -> ErrorCode {
        let frame = self.client.receive().expect("an answer");
        let (_, answer) = decode::<HeartbeatRequest<'_>>(&frame, HEARTBEAT_VERSION).expect("an answer of its kind");
        answer.error_code
    }
}

/// Joins all at once, assigns, and checks that all have their part of one generation, which is given back.
fn settle(members: &mut [Member], what: &str) -> i32 {
    let began = Instant::now();
    members.iter_mut().for_each(Member::send_join);
    let mut told: Vec<_> = members.iter_mut().filter(|member| member.id.is_empty()).collect();
    for member in &mut told {
        assert_eq!(member.receive_join().0, ErrorCode::MEMBER_ID_REQUIRED);
    }
    told.into_iter().for_each(Member::send_join);
    let mut leader = Vec::new();
    for (index, member) in members.iter_mut().enumerate() {
        let (error, ids) = member.receive_join();
        assert_eq!(error, ErrorCode::NONE);
        if !ids.is_empty() {
            assert_eq!(ids.len(), MEMBERS);
            leader.push((index, ids));
        }
    }
    let [(leader, ids)] = &leader[..] else { panic!("one leads, not {}", leader.len()) };
    for (index, member) in members.iter_mut().enumerate() {
        member.send_sync(if index == *leader { ids } else { &[] });
    }
    members.iter_mut().for_each(Member::receive_sync);
    let took = began.elapsed();
    assert!(took < SETTLE_MAX, "{what}: {took:?}");
    println!("{what}: {took:?}");
    let generation = members[0].generation;
    assert!(members.iter().all(|member| member.generation == generation));
    generation
}

/// What all are told by their heartbeats.
fn heartbeats(members: &mut [Member]) -> Vec<ErrorCode> {
    members.iter_mut().for_each(Member::send_heartbeat);
    let mut codes: Vec<_> = members.iter_mut().map(Member::receive_heartbeat).collect();
    codes.dedup();
    codes
}

#[test]
fn a_thousand_members_settle_in_one_generation() {
    let broker = Options::new().cores(2).set("group.initial.rebalance.delay.ms", "500").start();
    let mut members: Vec<_> = (0..MEMBERS).map(|_| member(&broker)).collect();
    members[0].client.await_coordinator(GROUP).expect("a coordinator");
    let first = settle(&mut members, "all come");
    assert_eq!(heartbeats(&mut members), [ErrorCode::NONE]);
    let leaving = members.split_off(MEMBERS - 100);
    let ids: Vec<_> = leaving.iter().map(|member| member.id.as_str()).collect();
    assert_eq!(members[0].client.leave_group(GROUP, &ids).expect("an answer"), ErrorCode::NONE);
    assert_eq!(heartbeats(&mut members), [ErrorCode::REBALANCE_IN_PROGRESS]);
    members.extend((0..100).map(|_| member(&broker)));
    let second = settle(&mut members, "a tenth is replaced");
    assert!(second <= first + 2, "from generation {first} to {second}");
    assert_eq!(heartbeats(&mut members), [ErrorCode::NONE]);
}
