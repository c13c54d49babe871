//! SyncGroup: assignments, what is stored, and members that do not ask.

use super::*;

/// A group of two that has begun its first generation.
fn begun() -> (Bench, [MemberId; 2]) {
    let mut bench = Bench::new();
    let waiters = [bench.join(&client()), bench.join(&client())];
    bench.pass_ms(6_000);
    let ids = waiters.map(|waiter| bench.join_answer(waiter).member_id);
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
    (bench, ids)
}

#[test]
fn everybody_gets_what_the_leader_assigned_when_it_is_stored() {
    let (mut bench, ids) = begun();
    bench.stores_at_once = false;
    let follower = bench.sync(&ids[1], &[]);
    let leader = bench.sync(&ids[0], &[(&ids[1], b"two"), (&ids[0], b"one"), ("nobody", b"none")]);
    assert!(!bench.is_answered(follower) && !bench.is_answered(leader));
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
    bench.store(Ok(()));
    assert_eq!(bench.state(), GroupState::Stable);
    let answer = bench.sync_answer(follower);
    assert_eq!((answer.error, &answer.assignment[..]), (OK, &b"two"[..]));
    assert_eq!((answer.protocol_type.as_deref(), answer.protocol_name.as_deref()), (Some("consumer"), Some("range")));
    assert_eq!(bench.sync_answer(leader).assignment, &b"one"[..]);
    let stored = &bench.log[0];
    assert_eq!((stored.generation, stored.leader.as_ref()), (1, Some(&ids[0])));
    let assignments: Vec<_> = stored.members.iter().map(|member| &member.assignment[..]).collect();
    assert_eq!(assignments, [b"one", b"two"]);
}

#[test]
fn a_follower_that_asks_late_is_answered_at_once() {
    let (mut bench, ids) = begun();
    bench.sync_own(&ids[0]);
    assert_eq!(bench.state(), GroupState::Stable);
    let follower = bench.sync(&ids[1], &[]);
    assert_eq!(bench.sync_answer(follower).assignment, ids[1].as_bytes());
    let again = bench.sync(&ids[1], &[]);
    assert_eq!(bench.sync_answer(again).assignment, ids[1].as_bytes());
}

#[test]
fn who_is_not_assigned_anything_gets_nothing() {
    let (mut bench, ids) = begun();
    let waiters = [bench.sync(&ids[1], &[]), bench.sync(&ids[0], &[])];
    for waiter in waiters {
        let answer = bench.sync_answer(waiter);
        assert_eq!((answer.error, answer.assignment.len()), (OK, 0));
    }
}

#[test]
fn syncs_that_do_not_fit_are_refused() {
    let (mut bench, ids) = begun();
    let good = Syncing {
        member_id: &ids[1],
        instance_id: None,
        generation: 1,
        protocol_type: Some("consumer"),
        protocol_name: Some("range"),
        assignments: Vec::new(),
    };
    let cases = [
        (Syncing { member_id: "stranger", ..good.clone() }, ErrorCode::UNKNOWN_MEMBER_ID),
        (Syncing { member_id: "", ..good.clone() }, ErrorCode::UNKNOWN_MEMBER_ID),
        (Syncing { instance_id: Some("i"), ..good.clone() }, ErrorCode::UNKNOWN_MEMBER_ID),
        (Syncing { generation: 0, ..good.clone() }, ErrorCode::ILLEGAL_GENERATION),
        (Syncing { generation: 2, ..good.clone() }, ErrorCode::ILLEGAL_GENERATION),
        (Syncing { protocol_type: Some("connect"), ..good.clone() }, ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
        (Syncing { protocol_name: Some("x"), ..good.clone() }, ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
    ];
    for state in [GroupState::CompletingRebalance, GroupState::Stable, GroupState::PreparingRebalance] {
        match state {
            GroupState::Stable => _ = bench.sync_own(&ids[0]),
            GroupState::PreparingRebalance => _ = bench.join(&client()),
            _ => {}
        }
        assert_eq!(bench.state(), state);
        for (syncing, error) in &cases {
            let waiter = bench.sync_with(syncing.clone());
            assert_eq!(bench.sync_answer(waiter), SyncAnswer::refused(*error));
        }
    }
    let waiter = bench.sync_with(good);
    assert_eq!(bench.sync_answer(waiter).error, ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn an_empty_group_knows_no_member() {
    let mut bench = Bench::new();
    let waiter = bench.sync("m", &[]);
    assert_eq!(bench.sync_answer(waiter).error, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn an_assignment_that_cannot_be_stored_begins_the_rebalance_again() {
    let cases = [
        (ErrorCode::NOT_ENOUGH_REPLICAS, ErrorCode::COORDINATOR_NOT_AVAILABLE),
        (ErrorCode::REQUEST_TIMED_OUT, ErrorCode::COORDINATOR_NOT_AVAILABLE),
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::COORDINATOR_NOT_AVAILABLE),
        (ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::NOT_COORDINATOR),
        (ErrorCode::KAFKA_STORAGE_ERROR, ErrorCode::NOT_COORDINATOR),
        (ErrorCode::MESSAGE_TOO_LARGE, ErrorCode::UNKNOWN_SERVER_ERROR),
        (ErrorCode::RECORD_LIST_TOO_LARGE, ErrorCode::UNKNOWN_SERVER_ERROR),
        (ErrorCode::INVALID_FETCH_SIZE, ErrorCode::UNKNOWN_SERVER_ERROR),
        (ErrorCode::UNKNOWN_SERVER_ERROR, ErrorCode::UNKNOWN_SERVER_ERROR),
    ];
    for (of_the_log, answered) in cases {
        let (mut bench, ids) = begun();
        bench.stores_at_once = false;
        let waiters = [bench.sync_own(&ids[1]), bench.sync_own(&ids[0])];
        bench.store(Err(of_the_log));
        for waiter in waiters {
            assert_eq!(bench.sync_answer(waiter), SyncAnswer::refused(answered));
        }
        assert_eq!(bench.state(), GroupState::PreparingRebalance);
        assert!(bench.group.describe().members.iter().all(|member| member.assignment.is_empty()));
    }
}

#[test]
fn an_assignment_of_an_old_generation_reaches_nobody() {
    let (mut bench, ids) = begun();
    bench.stores_at_once = false;
    let leader = bench.sync_own(&ids[0]);
    let rejoins = bench.join(&client().with_topics(&["u"]).with_id(&ids[1]));
    assert_eq!(bench.sync_answer(leader).error, ErrorCode::REBALANCE_IN_PROGRESS);
    bench.store(Ok(()));
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
    bench.join(&client().with_id(&ids[0]));
    assert_eq!(bench.join_answer(rejoins).generation, 2);
    assert!(bench.group.describe().members.iter().all(|member| member.assignment.is_empty()));
}

#[test]
fn a_leader_that_asks_again_waits_for_its_first_assignment() {
    let (mut bench, ids) = begun();
    bench.stores_at_once = false;
    let first = bench.sync(&ids[0], &[(&ids[0], b"first")]);
    let again = bench.sync(&ids[0], &[(&ids[0], b"again")]);
    assert_eq!(bench.sync_answer(first).error, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(bench.persists.len(), 1);
    bench.store(Ok(()));
    assert_eq!(bench.sync_answer(again).assignment, &b"first"[..]);
}

#[test]
fn who_does_not_sync_in_time_is_removed() {
    let cases: [(&[usize], &[usize]); 4] = [(&[], &[]), (&[0], &[0]), (&[1], &[1]), (&[0, 1], &[0, 1])];
    for (syncing, staying) in cases {
        let (mut bench, ids) = begun();
        let waiters: Vec<_> = syncing.iter().map(|index| bench.sync_own(&ids[*index])).collect();
        bench.pass_ms_with_heartbeats(REBALANCE_MS - 1_000, &[&ids[0], &ids[1]]);
        assert_eq!(bench.group.size(), 2);
        bench.pass_ms(1_000);
        let staying: Vec<_> = staying.iter().map(|index| String::from(&*ids[*index])).collect();
        assert_eq!(bench.ids(), staying);
        match (syncing, staying.len()) {
            (_, 2) => assert_eq!(bench.state(), GroupState::Stable),
            (_, 0) => assert_eq!(bench.state(), GroupState::Empty),
            (&[0], _) => assert_eq!(bench.state(), GroupState::PreparingRebalance),
            _ => {
                assert_eq!(bench.sync_answer(waiters[0]).error, ErrorCode::REBALANCE_IN_PROGRESS);
                assert_eq!(bench.state(), GroupState::PreparingRebalance, "a leader that did not assign is gone");
                assert_eq!(bench.group.leader.as_ref(), Some(&ids[1]));
            }
        }
    }
}

#[test]
fn waiting_for_an_assignment_takes_no_heartbeats() {
    let (mut bench, ids) = begun();
    let follower = bench.sync(&ids[1], &[]);
    bench.pass_ms_with_heartbeats(50_000, &[&ids[0]]);
    assert!(!bench.is_answered(follower));
    bench.sync_own(&ids[0]);
    assert_eq!(bench.sync_answer(follower).error, OK);
    bench.pass_ms_with_heartbeats(SESSION_MS - 1_000, &[&ids[0]]);
    assert_eq!(bench.group.size(), 2, "the answer began a session");
    bench.pass_ms_with_heartbeats(1_000, &[&ids[0]]);
    assert_eq!(bench.ids(), [&*ids[0]]);
}
