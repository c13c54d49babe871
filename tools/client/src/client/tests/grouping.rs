//! Membership in a group: how it is entered and left, what is read and committed meanwhile, and how it goes on when the
//! group, its coordinator or the connection has other plans.

use std::sync::Arc;

use corelog_wire::api::fetch::FetchRequest;
use corelog_wire::api::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use corelog_wire::api::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use corelog_wire::api::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use corelog_wire::api::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use corelog_wire::api::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use corelog_wire::api::offset_fetch::{
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use corelog_wire::api::sync_group::{SyncGroupRequest, SyncGroupResponse};
use corelog_wire::error_code::ErrorCode;

use super::*;
use crate::group_member::assignor::Assignor;
use crate::group_member::subscription::{Partitions, Subscription, decode_assignment, encode_assignment};
use crate::group_member::{GroupConfig, GroupError, GroupEvent};

mod world;

use world::*;

#[test]
fn the_first_member_gets_an_id_leads_and_assigns_everything_to_itself() {
    let mut world = World::joining(2, |_| {});
    world.coordinate(2);
    let (sent, member_id, subscription) = world.join();
    assert_eq!(world.broker_of(&sent), 2);
    assert_eq!((member_id.as_str(), subscription.topics.len(), subscription.owned.len()), ("", 1, 0));
    let required = JoinGroupResponse {
        error_code: ErrorCode::MEMBER_ID_REQUIRED,
        member_id: "me",
        protocol_name: Some(""),
        ..Default::default()
    };
    world.answer_join(&sent, &required);
    let (sent, member_id, subscription) = world.join();
    assert_eq!(member_id, "me");
    let metadata = subscription.encode();
    let members = [JoinGroupResponseMember { member_id: "me", group_instance_id: None, metadata: &metadata }];
    let response = JoinGroupResponse {
        generation_id: 1,
        protocol_type: Some("consumer"),
        protocol_name: Some("range"),
        leader: "me",
        member_id: "me",
        members: (&members).into(),
        ..Default::default()
    };
    world.answer_join(&sent, &response);
    let sent = world.next(ApiKey::SyncGroup);
    let request: SyncGroupRequest<'_> = sent.decode();
    assert_eq!((request.generation_id, request.protocol_name), (1, Some("range")));
    let line = request.assignments.first().unwrap();
    assert_eq!((line.member_id, decode_assignment(line.assignment)), ("me", Ok(set(&[0, 1]))));
    let assignment = line.assignment.to_vec();
    world.answer_sync(&sent, &assignment);
    assert_eq!(world.events(), [GroupEvent::Assigned(places(&[0, 1]))]);
    assert!(!world.client.is_group_settled(), "nobody knows yet where to begin");
    world.answer_offsets(&[(0, 42), (1, -1)]);
    assert!(world.client.is_group_settled());
    assert_eq!(world.client.position(TOPIC, 0), Some(42));
    let apis: Vec<_> = world.sent.iter().map(|sent| sent.api).collect();
    assert_eq!(apis, [ApiKey::ListOffsets, ApiKey::Fetch]);
}

#[test]
fn what_waits_for_others_has_a_connection_of_its_own() {
    let mut world = World::joining(1, |_| {});
    world.coordinate(3);
    let (sent, ..) = world.join();
    world.client.assign(TOPIC, 0, Position::Offset(0));
    world.run();
    let fetch = world.next(ApiKey::Fetch);
    assert_ne!(fetch.connection, sent.connection);
}

#[test]
fn a_leader_assigns_to_all_and_rebalances_when_topics_change() {
    let mut world = World::joining(3, |_| {});
    world.coordinate(1);
    let (sent, _, subscription) = world.join();
    let metadata = subscription.encode();
    let member = |member_id| JoinGroupResponseMember { member_id, group_instance_id: None, metadata: &metadata };
    let garbled = JoinGroupResponseMember { member_id: "odd", group_instance_id: None, metadata: &[255, 255, 1] };
    let members = [member("me"), member("you"), garbled];
    let response = JoinGroupResponse {
        generation_id: 1,
        protocol_name: Some("range"),
        leader: "me",
        member_id: "me",
        members: (&members).into(),
        ..Default::default()
    };
    world.answer_join(&sent, &response);
    let sent = world.next(ApiKey::SyncGroup);
    let request: SyncGroupRequest<'_> = sent.decode();
    let lines: Vec<_> = request
        .assignments
        .iter()
        .map(|line| (line.member_id.to_owned(), decode_assignment(line.assignment).unwrap()))
        .collect();
    let expected = [("me", &[0, 1][..]), ("you", &[2]), ("odd", &[])];
    assert!(lines.into_iter().eq(expected.map(|(id, partitions)| (id.to_owned(), set(partitions)))));
    world.answer_sync(&sent, &encode_assignment(&set(&[0, 1])));
    world.answer_offsets(&[(0, 0), (1, 0)]);
    world.leaders = vec![3; 5];
    world.client.refresh_metadata();
    world.pass(SECOND);
    world.forget_reads();
    let (_, _, subscription) = world.join();
    assert_eq!(subscription.owned.len(), 0, "an eager member has given up everything");
    assert_eq!(world.events()[1..], [GroupEvent::Revoked(places(&[0, 1]))]);
}

#[test]
fn only_what_was_dealt_with_is_committed() {
    let mut world = World::member(&[0, 1], |_| {});
    (0..3).for_each(|_| world.beat(ErrorCode::NONE));
    assert!(world.sent.is_empty(), "nothing was dealt with");
    assert!(world.client.consumed(TOPIC, 1, 17, 3));
    assert!(!world.client.consumed(TOPIC, 2, 17, 3), "it is not its own");
    world.pass(Duration::from_millis(2500));
    world.forget_reads();
    let (sent, offsets) = world.commit();
    assert_eq!(offsets, [(1, 17)]);
    let request: OffsetCommitRequest<'_> = sent.decode();
    assert_eq!(request.generation_id_or_member_epoch, 5);
    assert_eq!(request.topics.first().unwrap().partitions.first().unwrap().committed_leader_epoch, 3);
    world.client.consumed(TOPIC, 1, 18, 3);
    assert!(!world.client.is_group_committed());
    world.answer_commit(&sent, ErrorCode::NONE);
    assert!(!world.client.is_group_committed(), "more was dealt with meanwhile");
    world.client.commit_group();
    world.run();
    let (sent, offsets) = world.commit();
    assert_eq!(offsets, [(1, 18)]);
    world.answer_commit(&sent, ErrorCode::NONE);
    assert!(world.client.is_group_committed());
}

#[test]
fn an_eager_member_commits_and_gives_up_everything_before_it_joins_again() {
    let mut world = World::member(&[0, 1], |_| {});
    world.client.consumed(TOPIC, 0, 12, -1);
    world.beat(ErrorCode::REBALANCE_IN_PROGRESS);
    world.pass(Duration::from_millis(200));
    world.forget_reads();
    let (sent, offsets) = world.commit();
    assert_eq!(offsets, [(0, 12)]);
    assert!(world.sent.is_empty() && world.events().is_empty(), "it holds them until they are committed");
    world.answer_commit(&sent, ErrorCode::NONE);
    assert_eq!(world.events(), [GroupEvent::Revoked(places(&[0, 1]))]);
    let (sent, member_id, subscription) = world.join();
    assert_eq!((member_id.as_str(), subscription.owned.len()), ("me", 0));
    assert_eq!(world.client.position(TOPIC, 0), None);
    world.follow(&sent, 6, "range", &[1]);
    world.answer_offsets(&[(1, 10)]);
    assert_eq!(world.events(), [GroupEvent::Assigned(places(&[1]))]);
    assert_eq!(world.client.position(TOPIC, 1), Some(10));
}

#[test]
fn a_commit_that_does_not_come_back_holds_up_the_others_for_so_long_only() {
    let mut world = World::member(&[0], |_| {});
    world.client.consumed(TOPIC, 0, 12, -1);
    world.beat(ErrorCode::REBALANCE_IN_PROGRESS);
    world.pass(4 * SECOND);
    world.forget_reads();
    let _ = world.commit();
    assert!(world.sent.is_empty());
    world.pass(2 * SECOND);
    world.join();
    assert_eq!(world.events(), [GroupEvent::Revoked(places(&[0]))]);
}

#[test]
fn a_cooperative_member_keeps_reading_and_gives_up_only_what_goes() {
    let cooperative = |config: &mut GroupConfig| config.assignors = vec![Assignor::CooperativeSticky];
    let mut world = World::member(&[0, 1, 2], cooperative);
    world.beat(ErrorCode::REBALANCE_IN_PROGRESS);
    world.pass(Duration::from_millis(200));
    world.forget_reads();
    let (sent, member_id, subscription) = world.join();
    assert_eq!((member_id.as_str(), subscription.owned, subscription.generation), ("me", set(&[0, 1, 2]), Some(5)));
    assert_eq!((world.owned(), world.client.position(TOPIC, 2)), (vec![0, 1, 2], Some(10)));
    world.client.consumed(TOPIC, 2, 15, -1);
    world.follow(&sent, 6, "cooperative-sticky", &[0, 1, 3]);
    assert_eq!(world.events(), [GroupEvent::Assigned(places(&[3]))]);
    // The new one is looked up, what goes is committed, and then it joins again.
    let lookup = world.sent.iter().position(|sent| sent.api == ApiKey::OffsetFetch).unwrap();
    let lookup = world.sent.remove(lookup).unwrap();
    let (sent, offsets) = world.commit();
    assert_eq!(offsets, [(2, 15)]);
    world.sent.push_back(lookup);
    world.answer_offsets(&[(3, 7)]);
    world.forget_reads();
    world.answer_commit(&sent, ErrorCode::NONE);
    assert_eq!(world.events(), [GroupEvent::Revoked(places(&[2]))]);
    assert_eq!(world.client.position(TOPIC, 2), None);
    world.forget_reads();
    let (sent, _, subscription) = world.join();
    assert_eq!((subscription.owned, subscription.generation), (set(&[0, 1, 3]), Some(6)));
    world.follow(&sent, 7, "cooperative-sticky", &[0, 1, 3]);
    assert_eq!(world.events(), [GroupEvent::Assigned(Vec::new())]);
    assert!(world.client.is_group_settled() && world.sent.iter().all(|sent| sent.api == ApiKey::Fetch));
}

#[test]
fn with_an_eager_assignor_among_them_cooperation_is_off() {
    let mut world = World::member(&[0], |config| config.assignors = vec![Assignor::CooperativeSticky, Assignor::Range]);
    world.beat(ErrorCode::REBALANCE_IN_PROGRESS);
    world.pass(SECOND);
    assert_eq!(world.join().2.owned.len(), 0);
}

#[test]
fn a_coordinator_that_is_not_there_yet_is_looked_for_again() {
    let mut world = World::joining(1, |_| {});
    for error in [ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS] {
        world.answer_coordinator(error, -1);
        assert!(world.sent.is_empty(), "not without a pause");
        world.pass(Duration::from_millis(150));
    }
    world.coordinate(3);
    let (sent, ..) = world.join();
    assert_eq!(world.broker_of(&sent), 3);
    world.refuse_join(&sent, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    assert!(world.sent.is_empty());
    world.pass(Duration::from_millis(150));
    let (sent, ..) = world.join();
    world.refuse_join(&sent, ErrorCode::NOT_COORDINATOR);
    world.pass(Duration::from_millis(150));
    world.coordinate(2);
    let (sent, ..) = world.join();
    assert_eq!(world.broker_of(&sent), 2);
}

#[test]
fn a_coordinator_that_moves_takes_its_members_along() {
    let mut world = World::member(&[0], |_| {});
    world.client.consumed(TOPIC, 0, 12, -1);
    world.beat(ErrorCode::NOT_COORDINATOR);
    world.pass(Duration::from_millis(150));
    world.forget_reads();
    world.coordinate(2);
    world.pass(3 * SECOND);
    world.forget_reads();
    assert!(world.events().is_empty(), "it stays in its generation");
    let mut apis: Vec<_> = world.sent.iter().map(|sent| (sent.api, world.broker_of(sent))).collect();
    apis.sort_unstable();
    assert_eq!(apis, [(ApiKey::OffsetCommit, 2), (ApiKey::Heartbeat, 2)]);
}

#[test]
fn a_connection_that_breaks_costs_no_membership() {
    let mut world = World::joining(1, |_| {});
    world.coordinate(2);
    let (sent, ..) = world.join();
    let required = JoinGroupResponse {
        error_code: ErrorCode::MEMBER_ID_REQUIRED,
        member_id: "me",
        protocol_name: Some(""),
        ..Default::default()
    };
    world.answer_join(&sent, &required);
    let (sent, ..) = world.join();
    world.break_connection(sent.connection);
    world.pass(SECOND);
    world.coordinate(2);
    world.pass(SECOND);
    let (sent, member_id, _) = world.join();
    assert_eq!(member_id, "me", "the id that it was given is still its own");
    // The same in the middle of SyncGroup.
    let response = JoinGroupResponse {
        generation_id: 1,
        protocol_name: Some("range"),
        leader: "other",
        member_id: "me",
        ..Default::default()
    };
    world.answer_join(&sent, &response);
    let sent = world.next(ApiKey::SyncGroup);
    world.break_connection(sent.connection);
    world.pass(SECOND);
    world.coordinate(2);
    world.pass(SECOND);
    assert_eq!(world.join().1, "me");
}

#[test]
fn a_member_that_was_forgotten_loses_everything_and_joins_again() {
    for (error, id) in [(ErrorCode::UNKNOWN_MEMBER_ID, ""), (ErrorCode::ILLEGAL_GENERATION, "me")] {
        let mut world = World::member(&[0, 1], |config| config.assignors = vec![Assignor::CooperativeSticky]);
        world.client.consumed(TOPIC, 0, 12, -1);
        world.beat(error);
        assert_eq!(world.events(), [GroupEvent::Lost(places(&[0, 1]))]);
        world.pass(Duration::from_millis(150));
        let (_, member_id, subscription) = world.join();
        assert_eq!((member_id.as_str(), subscription.owned.len(), subscription.generation), (id, 0, None));
        assert_eq!((world.client.position(TOPIC, 0), world.client.is_group_committed()), (None, true));
    }
}

#[test]
fn a_commit_that_comes_too_late_says_that_the_group_has_gone_on() {
    let mut world = World::member(&[0], |_| {});
    world.client.consumed(TOPIC, 0, 12, -1);
    world.client.commit_group();
    world.run();
    let (sent, _) = world.commit();
    world.answer_commit(&sent, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.events(), [GroupEvent::Lost(places(&[0]))]);
}

#[test]
fn a_commit_that_is_refused_is_told_and_reading_goes_on() {
    let mut world = World::member(&[0], |_| {});
    world.client.consumed(TOPIC, 0, 12, -1);
    world.client.commit_group();
    world.run();
    let (sent, _) = world.commit();
    world.answer_commit(&sent, ErrorCode::OFFSET_METADATA_TOO_LARGE);
    let refused = GroupError::Refused(ApiKey::OffsetCommit, ErrorCode::OFFSET_METADATA_TOO_LARGE);
    assert_eq!(world.events(), [GroupEvent::CommitFailed(refused)]);
    assert!(world.client.is_group_settled());
}

#[test]
fn another_with_its_name_ends_a_static_member() {
    let mut world = World::member(&[0], |config| config.instance_id = Some("one".to_owned()));
    world.beat(ErrorCode::FENCED_INSTANCE_ID);
    let error = GroupError::Refused(ApiKey::Heartbeat, ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(world.events(), [GroupEvent::Lost(places(&[0])), GroupEvent::Failed(error)]);
    assert!(world.client.is_out_of_group());
    world.pass(60 * SECOND);
    assert!(world.sent.is_empty(), "nothing more is said");
}

#[test]
fn a_static_member_says_its_name_and_goes_without_a_word() {
    let mut world = World::joining(1, |config| config.instance_id = Some("one".to_owned()));
    world.coordinate(1);
    let (sent, ..) = world.join();
    assert_eq!(sent.decode::<JoinGroupRequest<'_>>().group_instance_id, Some("one"));
    world.follow(&sent, 5, "range", &[0]);
    world.answer_offsets(&[(0, 10)]);
    world.events();
    world.client.consumed(TOPIC, 0, 12, -1);
    world.client.leave_group(world.now, 5 * SECOND);
    world.forget_reads();
    world.run();
    let (sent, offsets) = world.commit();
    assert_eq!(offsets, [(0, 12)]);
    assert_eq!(sent.decode::<OffsetCommitRequest<'_>>().group_instance_id, Some("one"));
    world.answer_commit(&sent, ErrorCode::NONE);
    assert_eq!(world.events(), [GroupEvent::Left]);
    assert!(world.sent.is_empty() && world.client.is_out_of_group());
}

#[test]
fn leaving_commits_and_then_says_so() {
    let mut world = World::member(&[0, 1], |_| {});
    world.client.consumed(TOPIC, 1, 12, -1);
    world.client.leave_group(world.now, 5 * SECOND);
    world.run();
    let (sent, offsets) = world.commit();
    assert_eq!(offsets, [(1, 12)]);
    assert!(world.sent.is_empty());
    world.answer_commit(&sent, ErrorCode::NONE);
    let sent = world.next(ApiKey::LeaveGroup);
    world.answer(&sent, &LeaveGroupResponse { error_code: ErrorCode::NOT_COORDINATOR, ..Default::default() });
    world.pass(Duration::from_millis(150));
    world.coordinate(2);
    let sent = world.next(ApiKey::LeaveGroup);
    let request: LeaveGroupRequest<'_> = sent.decode();
    assert_eq!((request.group_id, request.members.first().unwrap().member_id), (GROUP, "me"));
    world.answer(&sent, &LeaveGroupResponse::default());
    world.run();
    assert_eq!(world.events(), [GroupEvent::Left]);
    assert!(world.closed.contains(&sent.connection), "nobody needs that connection any more");
    world.pass(20 * SECOND);
    assert!(world.sent.is_empty());
}

#[test]
fn leaving_ends_in_time_whatever_the_broker_does() {
    let mut world = World::member(&[0], |_| {});
    world.client.consumed(TOPIC, 0, 12, -1);
    world.client.leave_group(world.now, 5 * SECOND);
    world.pass(4 * SECOND);
    assert!(!world.client.is_out_of_group());
    world.pass(2 * SECOND);
    assert_eq!(world.events(), [GroupEvent::CommitFailed(GroupError::TimedOut), GroupEvent::Left]);
}

#[test]
fn leaving_waits_for_nobody_who_still_joins() {
    let mut world = World::member(&[0], |_| {});
    world.beat(ErrorCode::REBALANCE_IN_PROGRESS);
    world.pass(Duration::from_millis(200));
    let (join, ..) = world.join();
    world.client.leave_group(world.now, 5 * SECOND);
    world.run();
    let sent = world.next(ApiKey::LeaveGroup);
    assert_ne!(sent.connection, join.connection, "on the old one it would wait for all others");
    assert!(world.closed.contains(&join.connection));
    // Who never got an id has nothing to leave.
    let mut world = World::joining(1, |_| {});
    world.coordinate(1);
    world.join();
    world.client.leave_group(world.now, 5 * SECOND);
    world.run();
    assert_eq!(world.events(), [GroupEvent::Left]);
}

#[test]
fn without_automatic_commits_nothing_is_committed_unasked() {
    let mut world = World::member(&[0], |config| config.commit_interval = None);
    world.client.consumed(TOPIC, 0, 12, -1);
    world.pass(20 * SECOND);
    world.sent.retain(|sent| sent.api == ApiKey::OffsetCommit);
    assert!(world.sent.is_empty());
    world.client.leave_group(world.now, 5 * SECOND);
    world.run();
    world.next(ApiKey::LeaveGroup);
}

#[test]
fn what_the_log_no_longer_has_is_begun_anew() {
    use corelog_wire::api::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
    let mut world = World::joining(1, |config| config.reset = Position::End);
    world.coordinate(1);
    let (sent, ..) = world.join();
    world.follow(&sent, 5, "range", &[0]);
    world.answer_offsets(&[(0, 10)]);
    world.events();
    let sent = world.next(ApiKey::Fetch);
    let request: FetchRequest<'_> = sent.decode();
    assert_eq!(request.topics.first().unwrap().partitions.first().unwrap().fetch_offset, 10);
    let data = [PartitionData { error_code: ErrorCode::OFFSET_OUT_OF_RANGE, ..Default::default() }];
    let topics = [FetchableTopicResponse { topic: TOPIC, topic_id: TOPIC_ID, partitions: (&data).into() }];
    world.answer(&sent, &FetchResponse { responses: (&topics).into(), ..Default::default() });
    world.run();
    assert!(world.client.take_read().is_none());
    assert_eq!(world.events(), [GroupEvent::OutOfRange(TOPIC.into(), 0, 10)]);
    world.run();
    world.next(ApiKey::ListOffsets);
}

#[test]
fn answers_that_make_no_sense_end_the_membership_with_an_error() {
    let sound = JoinGroupResponse {
        generation_id: 1,
        protocol_name: Some("range"),
        leader: "other",
        member_id: "me",
        ..Default::default()
    };
    let joins = [
        JoinGroupResponse { generation_id: -1, ..sound },
        JoinGroupResponse { member_id: "", ..sound },
        JoinGroupResponse { protocol_name: Some("sticky"), ..sound },
        JoinGroupResponse { protocol_name: None, ..sound },
        JoinGroupResponse { protocol_type: Some("connect"), ..sound },
    ];
    for response in joins {
        let mut world = World::joining(1, |_| {});
        world.coordinate(1);
        let (sent, ..) = world.join();
        world.answer_join(&sent, &response);
        let events = world.events();
        assert!(matches!(events[..], [GroupEvent::Failed(GroupError::Nonsense(_))]), "{response:?}: {events:?}");
    }
    for assignment in [vec![0], vec![0, 0, 127, 0, 0, 0], vec![255, 255, 0, 0, 0, 0]] {
        let mut world = World::joining(1, |_| {});
        world.coordinate(1);
        let (sent, ..) = world.join();
        world.answer_join(&sent, &sound);
        let sent = world.next(ApiKey::SyncGroup);
        world.answer_sync(&sent, &assignment);
        let events = world.events();
        assert!(matches!(events[..], [GroupEvent::Failed(GroupError::Nonsense(_))]), "{assignment:?}: {events:?}");
    }
    // A coordinator that is nowhere, and one that asks for an id again and again.
    let mut world = World::joining(1, |_| {});
    let sent = world.next(ApiKey::FindCoordinator);
    let nowhere = [Coordinator { key: GROUP, node_id: 1, host: "b", port: 70_000, ..Default::default() }];
    world.answer(&sent, &FindCoordinatorResponse { coordinators: (&nowhere).into(), ..Default::default() });
    world.run();
    assert!(matches!(world.events()[..], [GroupEvent::Failed(GroupError::Nonsense(_))]));
    let mut world = World::joining(1, |_| {});
    world.coordinate(1);
    for _ in 0..2 {
        let (sent, ..) = world.join();
        let error_code = ErrorCode::MEMBER_ID_REQUIRED;
        let response = JoinGroupResponse { error_code, member_id: "me", protocol_name: Some(""), ..Default::default() };
        world.answer_join(&sent, &response);
    }
    assert!(world.client.is_out_of_group());
}

#[test]
fn what_it_did_not_ask_for_it_joins_again_for() {
    let mut world = World::joining(1, |_| {});
    world.coordinate(1);
    let (sent, ..) = world.join();
    let response = JoinGroupResponse {
        generation_id: 1,
        protocol_name: Some("range"),
        leader: "other",
        member_id: "me",
        ..Default::default()
    };
    world.answer_join(&sent, &response);
    let sent = world.next(ApiKey::SyncGroup);
    let other: Partitions = [(Arc::from("other"), 0)].into();
    world.answer_sync(&sent, &encode_assignment(&other));
    assert!(world.sent.is_empty() && world.owned().is_empty(), "not without a pause");
    world.pass(Duration::from_millis(150));
    assert_eq!(world.join().2.generation, None);
}

#[test]
fn what_is_refused_for_good_is_not_tried_again() {
    for error in [
        ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        ErrorCode::GROUP_MAX_SIZE_REACHED,
        ErrorCode::GROUP_AUTHORIZATION_FAILED,
        ErrorCode::INVALID_SESSION_TIMEOUT,
    ] {
        let mut world = World::joining(1, |_| {});
        world.coordinate(1);
        let (sent, ..) = world.join();
        world.refuse_join(&sent, error);
        assert_eq!(world.events(), [GroupEvent::Failed(GroupError::Refused(ApiKey::JoinGroup, error))]);
        world.pass(60 * SECOND);
        assert!(world.sent.is_empty());
    }
}

#[test]
fn offsets_that_are_not_there_yet_are_asked_for_again() {
    let mut world = World::joining(2, |_| {});
    world.coordinate(1);
    let (sent, ..) = world.join();
    world.follow(&sent, 5, "range", &[0, 1]);
    let sent = world.next(ApiKey::OffsetFetch);
    let error_code = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
    let groups = [OffsetFetchResponseGroup { group_id: GROUP, error_code, ..Default::default() }];
    world.answer(&sent, &OffsetFetchResponse { groups: (&groups).into(), ..Default::default() });
    world.pass(SECOND);
    world.forget_reads();
    // Of one partition it says that a transaction is open, of the other nothing.
    let sent = world.next(ApiKey::OffsetFetch);
    assert!(sent.decode::<OffsetFetchRequest<'_>>().require_stable);
    let lines = [OffsetFetchResponsePartitions {
        partition_index: 1,
        error_code: ErrorCode::UNSTABLE_OFFSET_COMMIT,
        metadata: Some(""),
        ..Default::default()
    }];
    let topics = [OffsetFetchResponseTopics { topic_id: TOPIC_ID, partitions: (&lines).into(), ..Default::default() }];
    let groups = [OffsetFetchResponseGroup { group_id: GROUP, topics: (&topics).into(), ..Default::default() }];
    world.answer(&sent, &OffsetFetchResponse { groups: (&groups).into(), ..Default::default() });
    world.pass(SECOND);
    world.answer_offsets(&[(0, 3), (1, 4)]);
    assert_eq!((world.client.position(TOPIC, 0), world.client.position(TOPIC, 1)), (Some(3), Some(4)));
}

#[test]
fn brokers_of_every_age_are_understood() {
    for age in 0..=10 {
        let mut world = World::new(|_| {});
        world.leaders = vec![1];
        world.versions.iter_mut().for_each(|api| {
            if !matches!(ApiKey::from_key(api.api_key), Some(ApiKey::Fetch | ApiKey::Metadata | ApiKey::ApiVersions)) {
                api.max_version = api.max_version.min(api.min_version.max(age));
            }
        });
        world.client.join_group(GroupConfig::new(GROUP, vec![TOPIC.to_owned()]));
        world.run();
        world.coordinate(1);
        let (sent, ..) = world.join();
        assert_eq!(sent.version, age.min(9));
        world.follow(&sent, 5, "range", &[0]);
        world.answer_offsets(&[(0, 10)]);
        assert_eq!(world.client.position(TOPIC, 0), Some(10), "version {age}");
        world.client.consumed(TOPIC, 0, 12, 1);
        world.client.leave_group(world.now, 5 * SECOND);
        world.forget_reads();
        world.run();
        let (sent, _) = world.commit();
        world.answer_commit(&sent, ErrorCode::NONE);
        let sent = world.next(ApiKey::LeaveGroup);
        assert_eq!(sent.decode::<LeaveGroupRequest<'_>>().members.len(), usize::from(sent.version >= 3));
    }
}
