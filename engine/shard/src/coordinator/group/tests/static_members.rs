//! Static members (KIP-345, KIP-814): they come back as who they were.

use super::*;

fn leader() -> Client {
    client().with_instance("leader").with_protocols(&["range", "roundrobin"])
}

fn follower() -> Client {
    client().with_instance("follower").with_protocols(&["range", "roundrobin"])
}

fn stable() -> (Bench, Vec<String>) {
    Bench::stable(&[leader(), follower()])
}

#[test]
fn a_follower_that_comes_back_goes_on_without_a_rebalance() {
    let (mut bench, ids) = stable();
    bench.stores_at_once = false;
    let back = bench.join(&follower());
    assert!(!bench.is_answered(back), "its new id is stored first");
    bench.store(Ok(()));
    let answer = bench.join_answer(back);
    assert_eq!((answer.error, answer.generation, &*answer.leader), (OK, 1, &*ids[0]));
    assert_ne!(*answer.member_id, *ids[1]);
    assert_eq!((bench.state(), answer.members.len()), (GroupState::Stable, 0));
    assert!(bench.log.last().unwrap().members.iter().any(|member| member.member_id == answer.member_id));
    let syncs = bench.sync(&answer.member_id, &[]);
    assert_eq!(bench.sync_answer(syncs).assignment, ids[1].as_bytes(), "it has what it had");
    let now = bench.now;
    let generation = bench.group.generation;
    let fenced = ErrorCode::FENCED_INSTANCE_ID;
    assert_eq!(bench.group.heartbeat(now, &ids[1], Some("follower"), generation), fenced);
    assert_eq!(bench.group.heartbeat(now, &ids[1], None, generation), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(bench.group.check_commit(now, &ids[1], Some("follower"), generation, false), Err(fenced));
    assert_eq!(bench.join_error(&follower().with_id(&ids[1])), fenced);
    assert_eq!(bench.leave(&[(&ids[1], Some("follower"))]), [fenced]);
    let syncing = Syncing {
        member_id: &ids[1],
        instance_id: Some("follower"),
        generation,
        protocol_type: None,
        protocol_name: None,
        assignments: Vec::new(),
    };
    let waiter = bench.sync_with(syncing);
    assert_eq!(bench.sync_answer(waiter).error, fenced);
}

#[test]
fn a_leader_that_comes_back_does_not_assign() {
    let (mut bench, ids) = stable();
    let answer = bench.join_now(&leader());
    assert_eq!((answer.error, &*answer.leader, answer.members.len()), (OK, &*ids[0], 0), "it must not know");
    assert_eq!(bench.group.leader.as_ref(), Some(&answer.member_id));
    assert!(!answer.skip_assignment);
    let (mut bench, _) = stable();
    let answer = bench.join_now(&Client { supports_skip_assignment: true, ..leader() });
    assert_eq!((&answer.leader, answer.members.len()), (&answer.member_id, 2), "it can watch the topics");
    assert!(answer.skip_assignment);
    assert_eq!(bench.state(), GroupState::Stable);
    let follower = bench.join_now(&Client { supports_skip_assignment: true, ..follower() });
    assert_eq!((follower.leader, follower.skip_assignment), (answer.member_id, false));
}

#[test]
fn coming_back_with_another_preference_rebalances_if_the_choice_changes() {
    let (mut bench, ids) = stable();
    let same_choice = bench.join_now(&follower().with_protocols(&["roundrobin", "range"]));
    assert_eq!((same_choice.error, bench.state()), (OK, GroupState::Stable));
    let other_choice = bench.join(&follower().with_protocols(&["roundrobin"]));
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
    bench.join(&leader().with_id(&ids[0]));
    let answer = bench.join_answer(other_choice);
    assert_eq!((answer.generation, answer.protocol_name.as_deref()), (2, Some("roundrobin")));
}

#[test]
fn who_cannot_be_stored_keeps_its_old_id() {
    let (mut bench, ids) = stable();
    bench.stores_at_once = false;
    let back = bench.join(&Client { session_timeout_ms: 2_000, ..leader().with_protocols(&["range"]) });
    bench.store(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    let answer = bench.join_answer(back);
    assert_eq!((answer.error, &*answer.member_id), (ErrorCode::COORDINATOR_NOT_AVAILABLE, ""));
    assert_eq!((bench.state(), bench.group.leader.as_deref()), (GroupState::Stable, Some(&*ids[0])));
    let member = bench.group.members.get(&ids[0]).unwrap();
    assert_eq!((member.profile.session_timeout_ms, member.profile.protocols.len()), (10_000, 2));
    assert_eq!(member.assignment, ids[0].as_bytes());
    assert_eq!(bench.heartbeat(&ids[0]), OK);
}

#[test]
fn those_who_come_back_together_are_stored_together() {
    let instances = ["a", "b", "c", "d"];
    let clients = instances.map(|instance| client().with_instance(instance));
    let (mut bench, ids) = Bench::stable(&clients);
    bench.stores_at_once = false;
    let stored = bench.log.len();
    let first = bench.join(&clients[0]);
    let others = [1, 2, 3].map(|index: usize| bench.join(&clients[index]));
    let once_more = bench.join(&clients[3]);
    assert_eq!(bench.join_answer(others[2]).error, ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(bench.persists.len(), 1);
    bench.store(Ok(()));
    assert_eq!(bench.join_answer(first).error, OK);
    assert!(!bench.is_answered(others[0]));
    bench.store(Ok(()));
    assert_eq!((bench.persists.len(), bench.log.len()), (0, stored + 2));
    for waiter in [others[0], others[1], once_more] {
        let answer = bench.join_answer(waiter);
        assert_eq!(answer.error, OK);
        assert!(bench.log.last().unwrap().members.iter().any(|member| member.member_id == answer.member_id));
    }
    assert!(ids.iter().all(|id| !bench.ids().contains(id)));
}

#[test]
fn a_rebalance_takes_in_who_is_being_stored() {
    for result in [Ok(()), Err(ErrorCode::NOT_ENOUGH_REPLICAS)] {
        let (mut bench, ids) = stable();
        bench.stores_at_once = false;
        let back = bench.join(&follower());
        let rejoins = bench.join(&leader().with_id(&ids[0]));
        assert_eq!(bench.join_answer(rejoins).generation, 2, "all have joined");
        assert_eq!(bench.join_answer(back).generation, 2);
        bench.store(result);
        assert_eq!(bench.state(), GroupState::CompletingRebalance);
        assert!(bench.ids().contains(&bench.join_answer(back).member_id.as_ref().into()));
    }
}

#[test]
fn whoever_waits_under_the_old_id_is_fenced() {
    let (mut bench, ids) = stable();
    bench.join(&client());
    let waits = bench.join(&follower().with_id(&ids[1]));
    let back = bench.join(&follower());
    let answer = bench.join_answer(waits);
    assert_eq!((answer.error, &*answer.member_id), (ErrorCode::FENCED_INSTANCE_ID, &*ids[1]));
    assert!(!bench.is_answered(back));
    bench.join(&leader().with_id(&ids[0]));
    assert_eq!(bench.join_answer(back).generation, 2);
    let new_id = bench.join_answer(back).member_id;
    let syncs = bench.sync(&new_id, &[]);
    bench.join(&follower());
    assert_eq!(bench.sync_answer(syncs).error, ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(bench.state(), GroupState::PreparingRebalance, "the leader may have been told the old id");
}

#[test]
fn ids_must_belong_to_their_instance() {
    let (mut bench, ids) = stable();
    assert_eq!(bench.join_error(&follower().with_id(&ids[0])), ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(bench.join_error(&leader().with_id(&ids[1])), ErrorCode::FENCED_INSTANCE_ID);
    let unknown = leader().with_id(&ids[0]).with_instance("unknown");
    assert_eq!(bench.join_error(&unknown), ErrorCode::UNKNOWN_MEMBER_ID);
    let told = bench.join_now(&client().with_protocols(&["range"]).requiring_id()).member_id;
    let pending = client().with_id(&told).with_instance("new");
    assert_eq!(bench.join_error(&pending), ErrorCode::UNKNOWN_MEMBER_ID, "ids are told to dynamic members only");
    assert_eq!(bench.state(), GroupState::Stable);
}

#[test]
fn with_its_id_it_is_a_member_like_any_other() {
    let (mut bench, ids) = stable();
    let again = bench.join_now(&follower().with_id(&ids[1]));
    assert_eq!((again.error, again.generation, &*again.member_id), (OK, 1, &*ids[1]));
    bench.join(&leader().with_id(&ids[0]));
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
}

#[test]
fn who_is_away_keeps_its_place_until_its_session_ends() {
    let long = |client: Client| Client { session_timeout_ms: 200_000, ..client };
    let (mut bench, ids) = Bench::stable(&[long(leader()), long(follower())]);
    let newcomer = bench.join(&client());
    let back = bench.join(&follower().with_id(&ids[1]));
    bench.pass_ms(REBALANCE_MS);
    let answer = bench.join_answer(newcomer);
    assert_eq!((answer.generation, bench.group.size()), (2, 3), "the leader is away");
    assert_ne!(*answer.leader, *ids[0]);
    assert_eq!(bench.join_answer(back).leader, answer.leader);
    for id in [&*answer.member_id, &*ids[1]] {
        bench.sync_own(id);
    }
    assert_eq!(bench.state(), GroupState::Stable);
    bench.pass_ms_with_heartbeats(REBALANCE_MS, &[&answer.member_id, &ids[1]]);
    assert_eq!((bench.state(), bench.group.size()), (GroupState::Stable, 3), "it owes no sync");
    bench.pass_ms_with_heartbeats(90_000, &[&answer.member_id, &ids[1]]);
    assert_eq!((bench.state(), bench.group.size()), (GroupState::PreparingRebalance, 2));
}

#[test]
fn a_rebalance_that_nobody_joins_waits_for_the_sessions() {
    let long = |client: Client| Client { session_timeout_ms: 150_000, ..client };
    let (mut bench, ids) = Bench::stable(&[long(leader()), long(follower())]);
    assert_eq!(bench.leave(&[("", Some("follower"))]), [OK]);
    bench.pass_ms(2 * REBALANCE_MS);
    assert_eq!((bench.state(), bench.ids()), (GroupState::PreparingRebalance, vec![ids[0].clone()]));
    bench.pass_ms(30_000);
    assert_eq!(bench.state(), GroupState::Empty);
}

#[test]
fn an_operator_removes_members_by_their_instance() {
    let (mut bench, ids) = stable();
    let codes = bench.leave(&[("", Some("unknown")), ("", Some("follower")), (&ids[0], Some("follower"))]);
    assert_eq!(codes, [ErrorCode::UNKNOWN_MEMBER_ID, OK, ErrorCode::UNKNOWN_MEMBER_ID]);
    assert_eq!((bench.state(), bench.ids()), (GroupState::PreparingRebalance, vec![ids[0].clone()]));
    assert_eq!(bench.leave(&[(&ids[0], Some("leader"))]), [OK]);
    assert_eq!(bench.state(), GroupState::Empty);
}

#[test]
fn coming_back_to_a_rebalance_takes_the_leaders_part_along() {
    let (mut bench, ids) = stable();
    bench.join(&follower().with_id(&ids[1]).with_topics(&["u"]));
    let back = bench.join(&leader());
    let answer = bench.join_answer(back);
    assert_eq!((answer.generation, &answer.leader), (2, &answer.member_id));
    assert_eq!(answer.members.len(), 2);
}
