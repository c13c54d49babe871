//! JoinGroup of dynamic members, the first rebalance and those after it.

use super::*;

#[test]
fn a_first_member_waits_for_others_and_leads() {
    let mut bench = Bench::new();
    let first = bench.join(&client());
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
    bench.pass_ms(2_999);
    assert!(!bench.is_answered(first));
    bench.pass_ms(1);
    let answer = bench.join_answer(first);
    assert_eq!((answer.error, answer.generation, answer.skip_assignment), (OK, 1, false));
    assert_eq!(answer.leader, answer.member_id);
    assert_eq!(answer.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(answer.protocol_name.as_deref(), Some("range"));
    assert_eq!(answer.members.len(), 1);
    assert_eq!(answer.members[0].metadata, subscription(&["t"]));
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
}

#[test]
fn member_ids_are_a_name_and_a_random_uuid() {
    let mut bench = Bench::new();
    let id = bench.join_now(&client().requiring_id()).member_id;
    assert_eq!(&*id, "app-00000000-0000-4000-8000-000000000001");
    let fixed = bench.join(&client().with_instance("i"));
    bench.pass_ms(3_000);
    assert_eq!(&*bench.join_answer(fixed).member_id, "i-00000000-0000-4000-8000-000000000002");
    assert_eq!(MemberSuffix([0xff; 16]).after("c"), "c-ffffffff-ffff-4fff-bfff-ffffffffffff".into());
}

#[test]
fn newcomers_prolong_the_first_wait() {
    let mut bench = Bench::new();
    let first = bench.join(&client());
    bench.pass_ms(2_000);
    let second = bench.join(&client());
    bench.pass_ms(1_000);
    assert!(!bench.is_answered(first), "somebody came: another delay begins");
    bench.pass_ms(2_999);
    assert!(!bench.is_answered(first));
    bench.pass_ms(1);
    assert_eq!(bench.join_answer(first).members.len(), 2, "nobody came: it is over");
    assert_eq!(bench.join_answer(second).members.len(), 0, "a follower does not assign");
    assert_eq!(bench.join_answer(second).leader, bench.join_answer(first).member_id);
}

#[test]
fn the_first_wait_lasts_no_longer_than_the_rebalance_timeout() {
    let mut bench = Bench::new();
    let hurried = Client { rebalance_timeout_ms: 7_000, ..client() };
    let first = bench.join(&hurried);
    for _ in 0..6 {
        bench.pass_ms(1_000);
        bench.join(&hurried);
    }
    bench.pass_ms(999);
    assert!(!bench.is_answered(first));
    bench.pass_ms(1);
    assert_eq!(bench.join_answer(first).members.len(), 7);
}

#[test]
fn without_a_delay_the_first_generation_begins_with_the_next_tick() {
    let mut bench = Bench::new();
    bench.settings.initial_rebalance_delay_ms = 0;
    let first = bench.join(&client());
    assert!(!bench.is_answered(first));
    assert_eq!(bench.group.next_deadline_us(), Some(bench.now.monotonic_us));
    bench.pass_ms(0);
    assert_eq!(bench.join_answer(first).generation, 1);
}

#[test]
fn the_longest_rebalance_timeout_counts() {
    let (mut bench, ids) = Bench::stable(&[client(), Client { rebalance_timeout_ms: 5_000, ..client() }]);
    let newcomer = bench.join(&Client { rebalance_timeout_ms: 1_000, ..client() });
    bench.pass_ms_with_heartbeats(59_000, &[&ids[0], &ids[1]]);
    assert!(!bench.is_answered(newcomer));
    bench.pass_ms(1_000);
    assert_eq!(bench.join_answer(newcomer).members.len(), 1);
}

#[test]
fn who_needs_an_id_is_told_one_first() {
    let mut bench = Bench::new();
    let told = bench.join_now(&client().requiring_id());
    assert_eq!((told.error, told.generation), (ErrorCode::MEMBER_ID_REQUIRED, -1));
    assert_eq!(bench.state(), GroupState::Empty);
    assert_eq!(bench.group.size(), 0);
    assert!(!bench.group.is_empty_and_idle());
    let joins = bench.join(&client().requiring_id().with_id(&told.member_id));
    bench.pass_ms(3_000);
    assert_eq!(bench.join_answer(joins).member_id, told.member_id);
    assert_eq!(bench.ids(), [&*told.member_id]);
}

#[test]
fn who_was_told_an_id_has_its_session_timeout_to_join() {
    let mut bench = Bench::new();
    let told = bench.join_now(&client().requiring_id());
    bench.pass_ms(SESSION_MS - 1);
    assert!(!bench.group.is_empty_and_idle());
    bench.pass_ms(1);
    assert!(bench.group.is_empty_and_idle());
    assert_eq!(bench.group.next_deadline_us(), None);
    assert_eq!(bench.join_error(&client().with_id(&told.member_id)), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_rebalance_waits_for_who_was_told_an_id() {
    let (mut bench, ids) = Bench::stable(&[client()]);
    let told = bench.join_now(&client().requiring_id());
    assert_eq!(bench.state(), GroupState::Stable, "nobody joined yet");
    let leader = bench.join(&client().with_id(&ids[0]));
    assert!(!bench.is_answered(leader));
    let joins = bench.join(&client().with_id(&told.member_id));
    assert_eq!(bench.join_answer(leader).members.len(), 2);
    assert_eq!(bench.join_answer(joins).generation, 2);
}

#[test]
fn a_rebalance_goes_on_when_who_was_told_an_id_does_not_come() {
    let (mut bench, ids) = Bench::stable(&[client()]);
    bench.join_now(&client().requiring_id());
    let leader = bench.join(&client().with_id(&ids[0]));
    bench.pass_ms(SESSION_MS - 1);
    assert!(!bench.is_answered(leader));
    bench.pass_ms(1);
    assert_eq!(bench.join_answer(leader).members.len(), 1);
}

#[test]
fn of_too_many_that_were_told_an_id_the_first_has_to_ask_again() {
    let mut bench = Bench::new();
    let first = bench.join_now(&client().requiring_id()).member_id;
    let second = bench.join_now(&client().requiring_id()).member_id;
    for _ in 1..crate::limits::GROUP_PENDING_MEMBERS_MAX {
        bench.join_now(&client().requiring_id());
    }
    assert_eq!(bench.join_error(&client().with_id(&first)), ErrorCode::UNKNOWN_MEMBER_ID);
    bench.join(&client().with_id(&second));
    assert_eq!(bench.ids(), [&*second]);
}

#[test]
fn refused_joins_change_nothing() {
    let not_allowed = [
        (Client { session_timeout_ms: 999, ..client() }, ErrorCode::INVALID_SESSION_TIMEOUT),
        (Client { session_timeout_ms: 600_001, ..client() }, ErrorCode::INVALID_SESSION_TIMEOUT),
        (Client { protocol_type: "", ..client() }, ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
        (client().with_protocols(&[]), ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
        (client().with_id("stranger"), ErrorCode::UNKNOWN_MEMBER_ID),
        (client().with_id("stranger").with_instance("i"), ErrorCode::UNKNOWN_MEMBER_ID),
    ];
    for (client, error) in &not_allowed {
        let mut bench = Bench::new();
        assert_eq!(bench.join_error(client), *error);
        assert!(bench.group.is_empty_and_idle());
        assert_eq!(bench.group.protocol_type(), None);
    }
    let not_compatible = [
        (Client { protocol_type: "connect", ..client() }, ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
        (client().with_protocols(&["roundrobin"]), ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
        (client().with_protocols(&["roundrobin"]).requiring_id(), ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
        (client().with_protocols(&["roundrobin"]).with_instance("i"), ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
    ];
    for (newcomer, error) in not_compatible.iter().chain(&not_allowed) {
        let (mut bench, ids) = Bench::stable(&[client()]);
        let answer = bench.join_now(newcomer);
        assert_eq!((answer.error, &*answer.member_id), (*error, &*newcomer.member_id));
        assert_eq!((answer.protocol_type, answer.protocol_name), (None, None));
        assert_eq!((bench.state(), bench.ids()), (GroupState::Stable, ids));
    }
}

#[test]
fn a_group_without_members_takes_any_kind() {
    let (mut bench, ids) = Bench::stable(&[client()]);
    bench.leave(&[(&ids[0], None)]);
    assert_eq!(bench.group.protocol_type(), Some("consumer"));
    bench.settle_with(&[Client { protocol_type: "connect", ..client().with_protocols(&["v2"]) }]);
    assert_eq!((bench.group.protocol_type(), bench.group.protocol_name()), (Some("connect"), Some("v2")));
    assert_eq!(bench.group.generation, 3);
}

#[test]
fn members_vote_among_what_all_support() {
    let cases: [(&[&[&'static str]], &str); 5] = [
        (&[&["a", "b"], &["b", "a"], &["b", "a"]], "b"),
        (&[&["a", "b", "c"], &["b", "c"], &["c", "b"]], "b"),
        (&[&["a", "b"], &["b", "a"]], "a"),
        (&[&["b", "a"], &["b"], &["a", "b"]], "b"),
        (&[&["a", "a", "b"], &["b", "a"], &["b", "a"]], "b"),
    ];
    for (supported, chosen) in cases {
        let clients: Vec<_> = supported.iter().map(|names| client().with_protocols(names)).collect();
        let (bench, _) = Bench::stable(&clients);
        assert_eq!(bench.group.protocol_name(), Some(chosen), "{supported:?}");
    }
}

#[test]
fn a_follower_that_says_nothing_new_gets_its_generation_again() {
    let (mut bench, ids) = Bench::stable(&[client(), client()]);
    let answer = bench.join_now(&client().with_id(&ids[1]));
    assert_eq!((answer.error, answer.generation, &*answer.leader), (OK, 1, &*ids[0]));
    assert_eq!(bench.state(), GroupState::Stable);
    let waiter = bench.sync(&ids[1], &[]);
    assert_eq!(bench.sync_answer(waiter).assignment, ids[1].as_bytes());
}

#[test]
fn a_leader_or_a_follower_with_news_rebalances_a_stable_group() {
    for (who, what) in
        [(0, client()), (1, client().with_topics(&["t", "u"])), (1, client().with_protocols(&["range", "x"]))]
    {
        let (mut bench, ids) = Bench::stable(&[client(), client()]);
        let joins = bench.join(&what.with_id(&ids[who]));
        assert_eq!(bench.state(), GroupState::PreparingRebalance);
        assert_eq!(bench.heartbeat(&ids[1 - who]), ErrorCode::REBALANCE_IN_PROGRESS);
        let other = bench.join(&client().with_id(&ids[1 - who]));
        assert_eq!(bench.join_answer(joins).generation, 2);
        assert_eq!(bench.join_answer(other).generation, 2);
        assert_eq!(&*bench.join_answer(other).leader, &*ids[0], "it keeps its leader");
    }
}

#[test]
fn a_member_that_missed_the_answer_gets_it_again() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(&client()), bench.join(&client()));
    bench.pass_ms(6_000);
    let (first, second) = (bench.join_answer(first), bench.join_answer(second));
    assert_eq!(bench.join_now(&client().with_id(&first.member_id)), first);
    assert_eq!(bench.join_now(&client().with_id(&second.member_id)), second);
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
}

#[test]
fn news_before_the_assignment_begin_the_rebalance_again() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(&client()), bench.join(&client()));
    bench.pass_ms(6_000);
    let ids = [first, second].map(|waiter| bench.join_answer(waiter).member_id);
    let waits = bench.sync(&ids[1], &[]);
    let again = bench.join(&client().with_topics(&["u"]).with_id(&ids[0]));
    assert_eq!(bench.sync_answer(waits).error, ErrorCode::REBALANCE_IN_PROGRESS);
    bench.join(&client().with_id(&ids[1]));
    assert_eq!(bench.join_answer(again).generation, 2);
}

#[test]
fn members_that_do_not_rejoin_are_removed_and_a_leader_replaced() {
    let (mut bench, ids) = Bench::stable(&[client(), client(), client()]);
    let newcomer = bench.join(&client());
    let follower = bench.join(&client().with_id(&ids[1]));
    bench.pass_ms_with_heartbeats(REBALANCE_MS - 1_000, &[&ids[0], &ids[2]]);
    assert!(!bench.is_answered(newcomer));
    bench.pass_ms(1_000);
    assert_eq!(bench.join_answer(follower).leader, bench.join_answer(newcomer).leader);
    assert_eq!(bench.group.size(), 2);
    assert!(bench.ids().contains(&ids[1]));
    assert_eq!(bench.heartbeat(&ids[0]), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(bench.join_error(&client().with_id(&ids[0])), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_member_that_asks_twice_is_answered_twice() {
    let (mut bench, ids) = Bench::stable(&[client(), client()]);
    let first = bench.join(&client().with_id(&ids[0]));
    let again = bench.join(&client().with_id(&ids[0]));
    assert_eq!(bench.join_answer(first).error, ErrorCode::REBALANCE_IN_PROGRESS);
    assert!(!bench.is_answered(again));
    bench.join(&client().with_id(&ids[1]));
    assert_eq!(bench.join_answer(again).generation, 2);
}

#[test]
fn new_members_do_not_wait_for_ever() {
    let (mut bench, ids) = Bench::stable(&[Client { rebalance_timeout_ms: 900_000, ..client() }]);
    let newcomer = bench.join(&client());
    bench.pass_ms_with_heartbeats(299_000, &[&ids[0]]);
    assert!(!bench.is_answered(newcomer));
    bench.pass_ms_with_heartbeats(1_000, &[&ids[0]]);
    let answer = bench.join_answer(newcomer);
    assert_eq!((answer.error, &*answer.member_id), (ErrorCode::UNKNOWN_MEMBER_ID, ""));
    assert_eq!(bench.ids(), ids);
}

#[test]
fn a_full_group_turns_newcomers_away() {
    for newcomer in [client(), client().requiring_id(), client().with_instance("i")] {
        let mut bench = Bench::new();
        bench.settings.max_size = 2;
        let waiting = [bench.join(&client()), bench.join(&client())];
        let full = ErrorCode::GROUP_MAX_SIZE_REACHED;
        assert_eq!(bench.join_error(&newcomer), full, "PreparingRebalance");
        bench.pass_ms(6_000);
        assert_eq!(bench.join_error(&newcomer), full, "CompletingRebalance");
        let ids = waiting.map(|waiter| bench.join_answer(waiter).member_id);
        bench.sync_own(&ids[0]);
        assert_eq!(bench.join_error(&newcomer), full, "Stable");
        assert_eq!(bench.join_error(&client().with_id(&ids[1])), OK, "a member is none more");
    }
}

#[test]
fn of_a_group_that_is_too_large_now_the_last_to_rejoin_are_removed() {
    let (mut bench, ids) = Bench::stable(&[client(), client(), client()]);
    bench.settings.max_size = 2;
    let first = bench.join(&client().with_id(&ids[0]));
    let second = bench.join(&client().with_id(&ids[1]));
    assert!(!bench.is_answered(first));
    let last = bench.join_now(&client().with_id(&ids[2]));
    assert_eq!((last.error, &*last.member_id), (ErrorCode::GROUP_MAX_SIZE_REACHED, ""));
    assert_eq!(bench.join_answer(first).members.len(), 2, "nobody is missing any more");
    assert_eq!(bench.join_answer(second).generation, 2);
}

#[test]
fn a_dead_group_sends_clients_to_look_for_another_coordinator() {
    let (mut bench, ids) = Bench::stable(&[client()]);
    let mut out = Vec::new();
    bench.group.shut_down(ErrorCode::NOT_COORDINATOR, &mut out);
    bench.take(out);
    for client in [client(), client().with_id(&ids[0]), client().with_instance("i")] {
        assert_eq!(bench.join_error(&client), ErrorCode::COORDINATOR_NOT_AVAILABLE);
    }
    let waiter = bench.sync(&ids[0], &[]);
    assert_eq!(bench.sync_answer(waiter).error, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(bench.heartbeat(&ids[0]), ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(bench.group.next_deadline_us(), None);
}

#[test]
fn the_topics_of_a_generation_are_known() {
    let (mut bench, ids) = Bench::stable(&[client().with_topics(&["a"]), client().with_topics(&["b", "a"])]);
    assert_eq!(bench.group.subscribed_topics, Some(["a".into(), "b".into()].into()));
    assert!(bench.group.is_subscribed_to("b") && !bench.group.is_subscribed_to("c"));
    assert_eq!(bench.group.offset_expiry(), OffsetExpiry::SinceCommit);
    bench.leave(&[(&ids[0], None), (&ids[1], None)]);
    assert!(!bench.group.is_subscribed_to("b"));
    assert_eq!(bench.group.offset_expiry(), OffsetExpiry::SinceEmpty(bench.now.wall_ms));
    let (bench, _) = Bench::stable(&[Client { protocols: vec![("range", b"?".to_vec())], ..client() }]);
    assert!(bench.group.is_subscribed_to("anything"), "what cannot be read may be subscribed");
    assert_eq!(bench.group.offset_expiry(), OffsetExpiry::Never);
    let (bench, _) = Bench::stable(&[Client { protocol_type: "connect", ..client() }]);
    assert_eq!(bench.group.subscribed_topics, None);
    assert!(!bench.group.is_subscribed_to("t"));
}

#[test]
fn offsets_of_clients_outside_a_group_expire_by_their_commits() {
    let bench = Bench::new();
    assert_eq!(bench.group.offset_expiry(), OffsetExpiry::SinceCommit);
}
