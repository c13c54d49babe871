//! Heartbeat, commits, LeaveGroup, sessions that end, and groups that go.

use super::*;

fn commit(bench: &mut Bench, id: &str, instance_id: Option<&str>, generation: i32) -> ErrorCode {
    bench.group.check_commit(bench.now, id, instance_id, generation, false).err().unwrap_or(OK)
}

fn commit_in_transaction(bench: &mut Bench, id: &str, generation: i32) -> ErrorCode {
    bench.group.check_commit(bench.now, id, None, generation, true).err().unwrap_or(OK)
}

#[test]
fn heartbeats_say_where_the_group_stands() {
    let mut bench = Bench::new();
    assert_eq!(bench.heartbeat("m"), ErrorCode::UNKNOWN_MEMBER_ID, "Empty");
    let waiters = [bench.join(&client()), bench.join(&client())];
    bench.pass_ms(6_000);
    let ids = waiters.map(|waiter| bench.join_answer(waiter).member_id);
    assert_eq!(bench.heartbeat(&ids[0]), OK, "CompletingRebalance");
    bench.sync_own(&ids[0]);
    assert_eq!(bench.heartbeat(&ids[1]), OK, "Stable");
    assert_eq!(bench.heartbeat("stranger"), ErrorCode::UNKNOWN_MEMBER_ID);
    let now = bench.now;
    assert_eq!(bench.group.heartbeat(now, &ids[1], None, 0), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(bench.group.heartbeat(now, &ids[1], Some("i"), 1), ErrorCode::UNKNOWN_MEMBER_ID);
    bench.join(&client());
    assert_eq!(bench.heartbeat(&ids[1]), ErrorCode::REBALANCE_IN_PROGRESS, "PreparingRebalance");
}

#[test]
fn heartbeats_keep_a_session() {
    let (mut bench, ids) = Bench::stable(&[client(), client()]);
    bench.pass_ms_with_heartbeats(60_000, &[&ids[0], &ids[1]]);
    assert_eq!((bench.state(), bench.group.size()), (GroupState::Stable, 2));
    bench.pass_ms_with_heartbeats(SESSION_MS - 1_000, &[&ids[0]]);
    assert_eq!((bench.state(), bench.group.size()), (GroupState::Stable, 2));
    bench.pass_ms_with_heartbeats(1_000, &[&ids[0]]);
    assert_eq!((bench.state(), bench.ids()), (GroupState::PreparingRebalance, vec![ids[0].clone()]));
}

#[test]
fn commits_keep_a_session_but_not_those_of_transactions() {
    let (mut bench, ids) = Bench::stable(&[client()]);
    for _ in 0..5 {
        bench.pass_ms(SESSION_MS - 1);
        assert_eq!(commit(&mut bench, &ids[0], None, 1), OK);
    }
    bench.pass_ms(SESSION_MS - 1);
    assert_eq!(commit_in_transaction(&mut bench, &ids[0], 1), OK);
    bench.pass_ms(1);
    assert_eq!(bench.state(), GroupState::Empty);
}

#[test]
fn a_group_whose_members_all_go_silent_is_empty() {
    let (mut bench, _) = Bench::stable(&[client(), client(), client()]);
    bench.pass_ms(SESSION_MS);
    assert_eq!((bench.state(), bench.group.generation), (GroupState::Empty, 2));
    assert!(bench.group.is_empty_and_idle());
    let stored = bench.log.last().unwrap();
    assert_eq!((stored.generation, stored.members.len(), stored.leader.as_ref()), (2, 0, None));
    assert_eq!((stored.protocol_type.as_deref(), stored.protocol_name.as_ref()), (Some("consumer"), None));
    assert_eq!(stored.current_state_timestamp_ms, Some(bench.now.wall_ms));
}

#[test]
fn members_that_do_not_rejoin_may_go_before_the_rebalance_times_out() {
    let (mut bench, ids) = Bench::stable(&[client(), client()]);
    let rejoins = bench.join(&client().with_id(&ids[0]));
    bench.pass_ms(SESSION_MS);
    assert_eq!(bench.join_answer(rejoins).members.len(), 1);
}

#[test]
fn commits_are_taken_from_members_of_the_generation() {
    let (mut bench, ids) = Bench::stable(&[client(), client()]);
    let cases = [
        (&*ids[0], None, 1, OK),
        (&*ids[0], None, 0, ErrorCode::ILLEGAL_GENERATION),
        (&*ids[0], None, -1, ErrorCode::ILLEGAL_GENERATION),
        (&*ids[0], Some("i"), 1, ErrorCode::UNKNOWN_MEMBER_ID),
        ("stranger", None, 1, ErrorCode::UNKNOWN_MEMBER_ID),
        ("", None, 1, ErrorCode::UNKNOWN_MEMBER_ID),
        ("", None, -1, ErrorCode::UNKNOWN_MEMBER_ID),
    ];
    for (id, instance_id, generation, error) in cases {
        assert_eq!(commit(&mut bench, id, instance_id, generation), error, "{id} {generation}");
    }
    assert_eq!(commit_in_transaction(&mut bench, "", -1), OK, "old clients name nobody");
    assert_eq!(commit_in_transaction(&mut bench, "stranger", 1), ErrorCode::UNKNOWN_MEMBER_ID);
    bench.join(&client().with_id(&ids[0]));
    assert_eq!(commit(&mut bench, &ids[1], None, 1), OK, "a rebalance waits for it");
    bench.join(&client().with_id(&ids[1]));
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
    assert_eq!(commit(&mut bench, &ids[1], None, 1), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(commit(&mut bench, &ids[1], None, 2), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(commit_in_transaction(&mut bench, &ids[1], 2), OK);
}

#[test]
fn commits_to_an_empty_group_are_taken_from_anybody_outside() {
    let mut bench = Bench::new();
    assert_eq!(commit(&mut bench, "", None, -1), OK);
    assert_eq!(commit(&mut bench, "somebody", None, -1), OK, "Kafka does not ask");
    assert_eq!(commit(&mut bench, "somebody", None, 0), ErrorCode::UNKNOWN_MEMBER_ID);
    bench.group.delete().unwrap();
    assert_eq!(commit(&mut bench, "", None, -1), ErrorCode::COORDINATOR_NOT_AVAILABLE);
}

#[test]
fn leaving_rebalances_the_rest() {
    let (mut bench, ids) = Bench::stable(&[client(), client()]);
    assert_eq!(bench.leave(&[("stranger", None)]), [ErrorCode::UNKNOWN_MEMBER_ID]);
    assert_eq!(bench.leave(&[("", None)]), [ErrorCode::UNKNOWN_MEMBER_ID]);
    assert_eq!(bench.leave(&[(&ids[0], Some("i"))]), [ErrorCode::UNKNOWN_MEMBER_ID]);
    assert_eq!(bench.leave(&[]), []);
    assert_eq!(bench.state(), GroupState::Stable);
    assert_eq!(bench.leave(&[(&ids[0], None), (&ids[0], None)]), [OK, ErrorCode::UNKNOWN_MEMBER_ID]);
    assert_eq!((bench.state(), bench.ids()), (GroupState::PreparingRebalance, vec![ids[1].clone()]));
    let rejoins = bench.join(&client().with_id(&ids[1]));
    assert_eq!(&*bench.join_answer(rejoins).leader, &*ids[1]);
    assert_eq!(bench.leave(&[(&ids[1], None)]), [OK]);
    assert_eq!(bench.state(), GroupState::Empty);
}

#[test]
fn who_leaves_while_it_waits_is_told() {
    let mut bench = Bench::new();
    let joins = bench.join(&client());
    let id = bench.ids().remove(0);
    assert_eq!(bench.leave(&[(&id, None)]), [OK]);
    assert_eq!(bench.join_answer(joins).error, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(bench.state(), GroupState::PreparingRebalance, "the first wait goes on");
    bench.pass_ms(3_000);
    assert_eq!(bench.state(), GroupState::Empty);
    let waiters = [bench.join(&client()), bench.join(&client())];
    bench.pass_ms(6_000);
    let ids = waiters.map(|waiter| bench.join_answer(waiter).member_id);
    let syncs = bench.sync(&ids[1], &[]);
    assert_eq!(bench.leave(&[(&ids[1], None)]), [OK]);
    assert_eq!(bench.sync_answer(syncs).error, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn who_was_told_an_id_can_leave() {
    let (mut bench, ids) = Bench::stable(&[client()]);
    let told = bench.join_now(&client().requiring_id()).member_id;
    let rejoins = bench.join(&client().with_id(&ids[0]));
    assert!(!bench.is_answered(rejoins));
    assert_eq!(bench.leave(&[(&told, None), ("stranger", None)]), [OK, ErrorCode::UNKNOWN_MEMBER_ID]);
    assert_eq!(bench.join_answer(rejoins).members.len(), 1);
}

#[test]
fn only_empty_groups_are_deleted() {
    let (mut bench, ids) = Bench::stable(&[client()]);
    assert_eq!(bench.group.delete(), Err(ErrorCode::NON_EMPTY_GROUP));
    bench.join(&client().with_id(&ids[0]));
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
    assert_eq!(bench.group.delete(), Err(ErrorCode::NON_EMPTY_GROUP));
    bench.join(&client());
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
    assert_eq!(bench.group.delete(), Err(ErrorCode::NON_EMPTY_GROUP));
    let all = bench.ids();
    assert_eq!(bench.leave(&[(&all[0], None), (&all[1], None)]), [OK, OK]);
    assert_eq!(bench.state(), GroupState::Empty);
    assert_eq!(bench.group.delete(), Ok(()));
    assert_eq!(bench.state(), GroupState::Dead);
    assert_eq!(bench.group.delete(), Err(ErrorCode::GROUP_ID_NOT_FOUND));
    assert!(bench.group.leave(bench.now, &[], &mut Vec::new()).is_err());
}

#[test]
fn offsets_are_deleted_where_nobody_uses_them() {
    let (mut bench, ids) = Bench::stable(&[client()]);
    assert_eq!(bench.group.check_offset_delete(), Ok(()), "by topic");
    bench.leave(&[(&ids[0], None)]);
    assert_eq!(bench.group.check_offset_delete(), Ok(()));
    bench.settle_with(&[Client { protocol_type: "connect", ..client() }]);
    assert_eq!(bench.group.check_offset_delete(), Err(ErrorCode::NON_EMPTY_GROUP));
    bench.group.shut_down(ErrorCode::NOT_COORDINATOR, &mut Vec::new());
    assert_eq!(bench.group.check_offset_delete(), Err(ErrorCode::GROUP_ID_NOT_FOUND));
}

#[test]
fn a_coordinator_that_goes_answers_everybody() {
    let mut bench = Bench::new();
    let joins = bench.join(&client());
    let mut out = Vec::new();
    bench.group.shut_down(ErrorCode::NOT_COORDINATOR, &mut out);
    bench.take(out);
    assert_eq!(bench.join_answer(joins).error, ErrorCode::NOT_COORDINATOR);
    let mut bench = Bench::new();
    let waiters = [bench.join(&client()), bench.join(&client())];
    bench.pass_ms(6_000);
    bench.stores_at_once = false;
    let ids = waiters.map(|waiter| bench.join_answer(waiter).member_id);
    let syncs = ids.each_ref().map(|id| bench.sync_own(id));
    let mut out = Vec::new();
    bench.group.shut_down(ErrorCode::NOT_COORDINATOR, &mut out);
    bench.take(out);
    for waiter in syncs {
        assert_eq!(bench.sync_answer(waiter).error, ErrorCode::NOT_COORDINATOR);
    }
    bench.store(Ok(()));
    assert_eq!(bench.state(), GroupState::Dead);
}
