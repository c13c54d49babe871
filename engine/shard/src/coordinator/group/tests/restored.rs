//! Groups that come back from the log.

use super::*;

fn restored(bench: &Bench, settings: &GroupSettings) -> Bench {
    let stored = bench.log.last().unwrap().clone();
    Bench::of(bench.now, Group::restore(bench.now, settings, "g".into(), stored))
}

#[test]
fn a_group_goes_on_where_it_was_stored() {
    let (before, ids) = Bench::stable(&[client(), client().with_topics(&["u"]), client().with_instance("i")]);
    let mut bench = restored(&before, &SETTINGS);
    assert_eq!((bench.state(), bench.group.generation), (GroupState::Stable, 1));
    assert_eq!(bench.group.leader, before.group.leader);
    assert_eq!(bench.group.subscribed_topics, before.group.subscribed_topics);
    let (described, expected) = (bench.group.describe(), before.group.describe());
    for (member, expected) in described.members.iter().zip(&expected.members) {
        assert_eq!((member.member_id, member.instance_id), (expected.member_id, expected.instance_id));
        assert_eq!((&member.metadata, &member.assignment), (&expected.metadata, &expected.assignment));
        assert_eq!((member.client_id, member.client_host), ("app", "/127.0.0.1"));
    }
    for id in &ids {
        assert_eq!(bench.heartbeat(id), OK);
    }
    assert_eq!(bench.join_now(&client().with_id(&ids[1]).with_topics(&["u"])).generation, 1);
    let back = bench.join_now(&client().with_instance("i"));
    assert_eq!((back.error, bench.state()), (OK, GroupState::Stable));
    bench.pass_ms(SESSION_MS);
    assert_eq!(bench.state(), GroupState::Empty);
}

#[test]
fn an_empty_group_keeps_its_generation() {
    let (mut before, ids) = Bench::stable(&[client()]);
    before.leave(&[(&ids[0], None)]);
    let since_ms = before.now.wall_ms;
    before.pass_ms(5_000);
    let mut bench = restored(&before, &SETTINGS);
    assert_eq!((bench.state(), bench.group.generation), (GroupState::Empty, 2));
    assert_eq!(bench.group.offset_expiry(), OffsetExpiry::SinceEmpty(since_ms));
    assert_eq!(bench.group.next_deadline_us(), None);
    bench.settle_with(&[client()]);
    assert_eq!(bench.group.generation, 3);
}

#[test]
fn a_group_that_is_too_large_now_rebalances() {
    let (before, ids) = Bench::stable(&[client(), client(), client()]);
    let mut bench = restored(&before, &GroupSettings { max_size: 2, ..SETTINGS });
    bench.settings.max_size = 2;
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
    assert!(bench.group.check_commit(bench.now, &ids[2], None, 1, false).is_ok(), "it can commit first");
    bench.join(&client().with_id(&ids[0]));
    bench.join(&client().with_id(&ids[1]));
    assert_eq!(bench.join_error(&client().with_id(&ids[2])), ErrorCode::GROUP_MAX_SIZE_REACHED);
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
}

#[test]
fn records_that_make_little_sense_are_taken_for_what_they_are() {
    let member = |id: &str, instance_id: Option<&str>| StoredMember {
        member_id: id.into(),
        instance_id: instance_id.map(Into::into),
        client_id: "c".into(),
        client_host: "h".into(),
        rebalance_timeout_ms: -1,
        session_timeout_ms: 6_000,
        subscription: Bytes::new(),
        assignment: Bytes::new(),
    };
    let stored = StoredGroup {
        protocol_type: Some("".into()),
        generation: 7,
        protocol_name: None,
        leader: Some("nobody".into()),
        current_state_timestamp_ms: None,
        members: vec![member("a", Some("i")), member("b", Some("i")), member("c", None), member("c", Some("j"))],
    };
    let now = Now { monotonic_us: 0, wall_ms: 0 };
    let mut bench = Bench::of(now, Group::restore(now, &SETTINGS, "g".into(), stored));
    assert_eq!(bench.ids(), ["b", "c"]);
    assert_eq!(bench.group.leader.as_deref(), Some("b"));
    assert_eq!(bench.group.protocol_type(), None);
    assert_eq!(bench.group.members.rebalance_timeout_us(), 6_000_000, "as a record of version 0 means it");
    let waiter = bench.sync("c", &[]);
    assert_eq!(bench.sync_answer(waiter).error, OK);
    bench.pass_ms(6_000);
    assert_eq!(bench.state(), GroupState::Empty);
}

#[test]
fn a_static_member_whose_new_id_was_lost_is_not_fenced() {
    let fixed = client().with_instance("i");
    let (before, ids) = Bench::stable(&[client(), fixed.clone()]);
    let mut bench = restored(&before, &SETTINGS);
    let (now, generation) = (bench.now, bench.group.generation);
    let told_and_lost = fixed.with_id("told-and-lost");
    let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
    assert_eq!(bench.group.heartbeat(now, "told-and-lost", Some("i"), generation + 1), unknown);
    assert_eq!(bench.join_error(&told_and_lost), unknown);
    let back = bench.join_now(&fixed);
    assert_eq!((back.error, bench.state()), (OK, GroupState::Stable), "it joins anew");
    assert_eq!(bench.join_error(&told_and_lost), ErrorCode::FENCED_INSTANCE_ID);
    let mut bench = restored(&before, &SETTINGS);
    assert_eq!(bench.group.heartbeat(now, &ids[1], Some("i"), generation), OK);
    assert_eq!(bench.join_error(&told_and_lost), ErrorCode::FENCED_INSTANCE_ID, "the stored one is alive");
}
