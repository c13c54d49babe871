//! Groups over whole shards: requests go in, answers come out, the log is on a disk in memory.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use corelog_wire::api::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use corelog_wire::api::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
use corelog_wire::api::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse, GROUP_KEY};
use corelog_wire::api::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use corelog_wire::api::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use corelog_wire::api::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use corelog_wire::api::list_groups::{ListGroupsRequest, ListGroupsResponse};
use corelog_wire::api::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use corelog_wire::api::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use corelog_wire::api::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use corelog_wire::api::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use corelog_wire::api::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use super::OFFSETS_TOPIC;
use crate::config::BrokerConfig;
use crate::front::testing::{Host, decode, on_shard};
use crate::io::{ConnectionId, Event};

mod world;

use world::*;

#[test]
fn the_first_question_for_a_coordinator_makes_the_topic() {
    for shards in [1, 3] {
        let mut host = host_with(shards, |config| config.set("offsets.topic.num.partitions", "7").unwrap());
        let topic = host.image().topic_by_name(OFFSETS_TOPIC).unwrap().clone();
        assert_eq!(topic.partitions().len(), 7);
        assert_eq!(topic.configs().get("cleanup.policy").map(String::as_str), Some("compact"));
        let id = open(&mut host, shards);
        let topics = [MetadataRequestTopic { name: Some(OFFSETS_TOPIC), ..Default::default() }];
        let reply = host.ask(id, 12, &MetadataRequest { topics: Some((&topics).into()), ..Default::default() });
        let response: MetadataResponse<'_> = decode(ApiKey::Metadata, 12, &reply);
        assert!(response.topics.first().unwrap().is_internal);
    }
}

#[test]
fn without_the_topic_nobody_coordinates() {
    let mut host = Host::with_shards(2, |_| {});
    let id = host.open(on_shard(1, 1));
    assert_eq!(fetch_all(&mut host, id, "g"), Err(ErrorCode::NOT_COORDINATOR));
    assert_eq!(list(&mut host, id, &[], &[]), Ok(vec![]));
    let member = Member::new(&mut host, 2);
    assert_eq!(member.heartbeat(&mut host, "g"), ErrorCode::NOT_COORDINATOR);
}

#[test]
fn a_commit_is_told_to_nobody_before_it_is_durable() {
    for shards in [1, 3] {
        let mut host = host(shards);
        let (id, other) = (open(&mut host, shards), host.open(2));
        for group in ["a", "b", "c", "d", ""] {
            let partitions = [partition(0, 10, Some("text")), partition(3, 7, None), partition(9, 1, None)];
            Simple { group, partitions: &partitions }.send(&mut host, id, 8, "t");
            assert!(host.try_reply(id).is_none());
            assert_eq!(fetch_all(&mut host, other, group), Ok(vec![]));
            assert!(!list(&mut host, other, &[], &[]).unwrap().iter().any(|(name, _)| name == group));
            host.commit();
            let reply = host.reply(id);
            let none = ErrorCode::NONE;
            assert_eq!(commit_errors(8, &reply), [none, none, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
            let told = |index, offset, text: &str| ("t".to_string(), index, offset, 5, text.to_string());
            assert_eq!(fetch_all(&mut host, other, group), Ok(vec![told(0, 10, "text"), told(3, 7, "")]));
        }
        let empty = |name: &str| (name.to_string(), "Empty".to_string());
        assert_eq!(list(&mut host, id, &[], &[]), Ok(["", "a", "b", "c", "d"].map(empty).into()));
    }
}

#[test]
fn commits_of_one_turn_share_a_batch() {
    let mut host = host_with(1, |config| config.set("offsets.topic.num.partitions", "1").unwrap());
    let topic = host.image().topic_by_name(OFFSETS_TOPIC).unwrap().id();
    let ids: Vec<_> = (0..50).map(|number| host.open(100 + number)).collect();
    let log = host.partition(topic, 0);
    let mut actions = vec![];
    let before = host.logs().log_end_offset(log);
    for (index, id) in ids.iter().enumerate() {
        let partitions = [partition(0, index as i64, None)];
        let request_topics =
            [OffsetCommitRequestTopic { name: "t", topic_id: TopicId::ZERO, partitions: (&partitions).into() }];
        let group = alloc::format!("g{index}");
        let request = OffsetCommitRequest {
            group_id: &group,
            generation_id_or_member_epoch: -1,
            topics: (&request_topics).into(),
            ..Default::default()
        };
        let frame = host.frame(8, &request);
        host.queue(Event::Frame { connection: *id, frame: frame.into() }, &mut actions);
    }
    host.act(actions);
    host.turn();
    host.commit();
    assert_eq!(host.logs().log_end_offset(log), before + 50);
    let batches = host.logs().partition(log).unflushed().filter(|batch| batch.last_offset >= before).count();
    assert_eq!(batches, 1);
    for id in ids {
        let reply = host.reply(id);
        assert_eq!(commit_errors(8, &reply), [ErrorCode::NONE]);
    }
}

#[test]
fn what_a_commit_may_say() {
    for shards in [1, 3] {
        let mut host = host(shards);
        let id = open(&mut host, shards);
        let long = "é".repeat(4_097);
        let partitions = [partition(0, 1, Some(&long)), partition(1, 2, Some(&long[..8_192]))];
        Simple { group: "g", partitions: &partitions }.send(&mut host, id, 8, "t");
        host.commit();
        let reply = host.reply(id);
        assert_eq!(commit_errors(8, &reply), [ErrorCode::OFFSET_METADATA_TOO_LARGE, ErrorCode::NONE]);
        Simple { group: "g", partitions: &[partition(0, 1, None)] }.send(&mut host, id, 8, "nothing");
        let reply = host.reply(id);
        assert_eq!(commit_errors(8, &reply), [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
        // By id.
        let topic = host.image().topic_by_name("t").unwrap().id();
        for (topic_id, expected) in [(topic, ErrorCode::NONE), (TopicId([77; 16]), ErrorCode::UNKNOWN_TOPIC_ID)] {
            let partitions = [partition(2, 3, None)];
            let topics = [OffsetCommitRequestTopic { name: "", topic_id, partitions: (&partitions).into() }];
            let request = OffsetCommitRequest {
                group_id: "g",
                generation_id_or_member_epoch: -1,
                topics: (&topics).into(),
                ..Default::default()
            };
            host.send(id, 10, &request);
            host.commit();
            let reply = host.reply(id);
            assert_eq!(commit_errors(10, &reply), [expected]);
        }
        assert_eq!(offsets(&mut host, id, "g"), [(1, 2), (2, 3)]);
        // A generation that no group has.
        for (version, expected) in [(8, ErrorCode::ILLEGAL_GENERATION), (9, ErrorCode::GROUP_ID_NOT_FOUND)] {
            let partitions = [partition(2, 3, None)];
            let topics =
                [OffsetCommitRequestTopic { name: "t", topic_id: TopicId::ZERO, partitions: (&partitions).into() }];
            let request = OffsetCommitRequest {
                group_id: "unknown",
                generation_id_or_member_epoch: 1,
                member_id: "m",
                topics: (&topics).into(),
                ..Default::default()
            };
            host.send(id, version, &request);
            let reply = host.reply(id);
            assert_eq!(commit_errors(version, &reply), [expected]);
        }
    }
}

#[test]
fn every_version_of_a_fetch_tells_the_same() {
    for shards in [1, 3] {
        let mut host = host(shards);
        let id = open(&mut host, shards);
        assert_eq!(commit(&mut host, id, "g", 1, 42), ErrorCode::NONE);
        let topic_id = host.image().topic_by_name("t").unwrap().id();
        for version in 1..=10 {
            let old = [OffsetFetchRequestTopic { name: "t", partition_indexes: (&[1, 2]).into() }];
            let topics = [OffsetFetchRequestTopics { name: "t", topic_id, partition_indexes: (&[1, 2]).into() }];
            let groups = ["g", "nobody"].map(|group_id| OffsetFetchRequestGroup {
                group_id,
                topics: Some((&topics).into()),
                ..Default::default()
            });
            let request = match version < 8 {
                true => OffsetFetchRequest { group_id: "g", topics: Some((&old).into()), ..Default::default() },
                false => OffsetFetchRequest { groups: (&groups).into(), require_stable: true, ..Default::default() },
            };
            host.send(id, version, &request);
            let reply = host.reply(id);
            let response: OffsetFetchResponse<'_> = decode(ApiKey::OffsetFetch, version, &reply);
            assert_eq!(response.error_code, ErrorCode::NONE);
            if version < 8 {
                let told = response.topics.first().unwrap();
                let told: Vec<_> = told.partitions.iter().map(|it| (it.partition_index, it.committed_offset)).collect();
                assert_eq!(told, [(1, 42), (2, -1)]);
                continue;
            }
            let told: Vec<_> = response
                .groups
                .iter()
                .map(|group| {
                    let topic = group.topics.first().unwrap();
                    assert!(version < 10 || topic.topic_id == topic_id);
                    topic.partitions.iter().map(|it| (it.committed_offset, it.error_code)).collect::<Vec<_>>()
                })
                .collect();
            let none = ErrorCode::NONE;
            assert_eq!(told, [[(42, none), (-1, none)], [(-1, none), (-1, none)]]);
        }
        // All topics, in the versions that can say so.
        let request = OffsetFetchRequest { group_id: "g", topics: None, ..Default::default() };
        host.send(id, 2, &request);
        let reply = host.reply(id);
        let response: OffsetFetchResponse<'_> = decode(ApiKey::OffsetFetch, 2, &reply);
        assert_eq!(response.topics.first().unwrap().partitions.first().unwrap().committed_offset, 42);
        // An id that no topic has.
        let topics =
            [OffsetFetchRequestTopics { topic_id: TopicId([9; 16]), partition_indexes: (&[1]).into(), name: "" }];
        let groups = [OffsetFetchRequestGroup { group_id: "g", topics: Some((&topics).into()), ..Default::default() }];
        host.send(id, 10, &OffsetFetchRequest { groups: (&groups).into(), ..Default::default() });
        let reply = host.reply(id);
        let response: OffsetFetchResponse<'_> = decode(ApiKey::OffsetFetch, 10, &reply);
        let partition = response.groups.first().unwrap().topics.first().unwrap().partitions.first().unwrap();
        assert_eq!((partition.error_code, partition.committed_offset), (ErrorCode::UNKNOWN_TOPIC_ID, -1));
    }
}

#[test]
fn who_wants_stable_offsets_waits_for_commits() {
    for shards in [1, 3] {
        let mut host = host(shards);
        let (id, other) = (open(&mut host, shards), host.open(2));
        for version in [7, 9] {
            let offset = i64::from(version);
            Simple { group: "g", partitions: &[partition(0, offset, None)] }.send(&mut host, id, 8, "t");
            let old = [OffsetFetchRequestTopic { name: "t", partition_indexes: (&[0]).into() }];
            let topics =
                [OffsetFetchRequestTopics { name: "t", partition_indexes: (&[0]).into(), ..Default::default() }];
            let groups = ["g", "other"].map(|group_id| OffsetFetchRequestGroup {
                group_id,
                topics: Some((&topics).into()),
                ..Default::default()
            });
            let request = match version < 8 {
                true => OffsetFetchRequest { group_id: "g", topics: Some((&old).into()), ..Default::default() },
                false => OffsetFetchRequest { groups: (&groups).into(), ..Default::default() },
            };
            host.send(other, version, &OffsetFetchRequest { require_stable: true, ..request });
            assert!(host.try_reply(other).is_none(), "the commit is not durable");
            host.commit();
            host.reply(id);
            let reply = host.reply(other);
            let response: OffsetFetchResponse<'_> = decode(ApiKey::OffsetFetch, version, &reply);
            let told = match version < 8 {
                true => response.topics.first().unwrap().partitions.first().unwrap().committed_offset,
                false => {
                    let group = response.groups.first().unwrap();
                    group.topics.first().unwrap().partitions.first().unwrap().committed_offset
                }
            };
            assert_eq!(told, offset);
        }
    }
}

#[test]
fn members_commit_and_come_back_on_another_number_of_shards() {
    for (before, after) in [(1, 1), (1, 3), (3, 1), (3, 2)] {
        let mut host = host(before);
        let mut members = vec![];
        for group in ["a", "b", "c"] {
            let mut member = Member::new(&mut host, on_shard((before - 1) as u16, 10 + members.len() as u64));
            member.join_alone(&mut host, group);
            assert_eq!(member.commit(&mut host, group, 5), ErrorCode::NONE);
            assert_eq!(member.heartbeat(&mut host, group), ErrorCode::NONE);
            members.push((group, member));
        }
        let id = host.open(3);
        assert_eq!(commit(&mut host, id, "simple", 3, 8), ErrorCode::NONE);
        host.restart_with(after);
        host.commit();
        let id = open(&mut host, after);
        for (group, member) in &mut members {
            assert_eq!(offsets(&mut host, id, group), [(0, 5)], "{before} to {after}");
            // The member is still one, and goes on.
            member.id = host.open(20);
            assert_eq!(member.heartbeat(&mut host, group), ErrorCode::NONE);
            assert_eq!(member.commit(&mut host, group, 6), ErrorCode::NONE);
            host.disconnect(member.id);
        }
        assert_eq!(offsets(&mut host, id, "simple"), [(3, 8)]);
        let state = |name: &str, state: &str| (name.to_string(), state.to_string());
        let groups = vec![state("a", "Stable"), state("b", "Stable"), state("c", "Stable"), state("simple", "Empty")];
        assert_eq!(list(&mut host, id, &[], &[]), Ok(groups));
        // Who says nothing is gone in the end.
        host.advance_ms(11_000);
        host.commit();
        let groups = ["a", "b", "c", "simple"].map(|name| state(name, "Empty"));
        assert_eq!(list(&mut host, id, &[" empty "], &["Classic"]), Ok(groups.into()));
        assert_eq!(list(&mut host, id, &["Stable"], &[]), Ok(vec![]));
        assert_eq!(list(&mut host, id, &[], &["consumer"]), Ok(vec![]));
    }
}

#[test]
fn groups_are_described() {
    for shards in [1, 3] {
        let mut host = host(shards);
        let mut member = Member::new(&mut host, on_shard((shards - 1) as u16, 10));
        member.join_alone(&mut host, "g");
        let id = open(&mut host, shards);
        assert_eq!(commit(&mut host, id, "simple", 3, 8), ErrorCode::NONE);
        for version in 0..=6 {
            let request = DescribeGroupsRequest {
                groups: (&["g", "simple", "nobody"]).into(),
                include_authorized_operations: version >= 3,
            };
            host.send(id, version, &request);
            let reply = host.reply(id);
            let response: DescribeGroupsResponse<'_> = decode(ApiKey::DescribeGroups, version, &reply);
            let told: Vec<_> = response.groups.iter().collect();
            let row =
                |at: usize| (told[at].group_state, told[at].protocol_type, told[at].protocol_data, told[at].error_code);
            assert_eq!(row(0), ("Stable", "consumer", "range", ErrorCode::NONE));
            assert_eq!(row(1), ("Empty", "", "", ErrorCode::NONE));
            let error = if version < 6 { ErrorCode::NONE } else { ErrorCode::GROUP_ID_NOT_FOUND };
            assert_eq!(row(2), ("Dead", "", "", error));
            let of_g = told[0].members.first().unwrap();
            assert_eq!((of_g.client_id, of_g.client_host), ("test", "/127.0.0.1"));
            assert_eq!((of_g.member_id, of_g.member_assignment), (&*member.member_id, &b"mine"[..]));
            if version >= 3 {
                assert_eq!(told[0].authorized_operations, 3_400);
            }
        }
    }
}

#[test]
fn groups_without_members_can_be_deleted() {
    for shards in [1, 3] {
        let mut host = host(shards);
        let mut member = Member::new(&mut host, on_shard((shards - 1) as u16, 10));
        member.join_alone(&mut host, "g");
        let id = open(&mut host, shards);
        for group in ["a", "b"] {
            assert_eq!(commit(&mut host, id, group, 3, 8), ErrorCode::NONE);
        }
        let names = ["a", "g", "nobody", "b"];
        host.send(id, 2, &DeleteGroupsRequest { groups_names: (&names).into() });
        assert!(host.try_reply(id).is_none(), "it is not durable");
        let other = host.open(4);
        assert_eq!(list(&mut host, other, &[], &[]).unwrap().iter().filter(|(name, _)| name != "g").count(), 2);
        host.commit();
        let reply = host.reply(id);
        let response: DeleteGroupsResponse<'_> = decode(ApiKey::DeleteGroups, 2, &reply);
        let told: Vec<_> = response.results.iter().map(|it| (it.group_id, it.error_code)).collect();
        let none = ErrorCode::NONE;
        let expected =
            [("a", none), ("g", ErrorCode::NON_EMPTY_GROUP), ("nobody", ErrorCode::GROUP_ID_NOT_FOUND), ("b", none)];
        assert_eq!(told, expected);
        let gone = |host: &mut Host, id| {
            assert_eq!(list(host, id, &[], &[]), Ok(vec![("g".to_string(), "Stable".to_string())]));
            assert_eq!(offsets(host, id, "a"), []);
        };
        gone(&mut host, id);
        host.restart_with(1);
        host.commit();
        let id = host.open(1);
        gone(&mut host, id);
        assert_eq!(commit(&mut host, id, "a", 1, 1), ErrorCode::NONE, "its name is free again");
    }
}

#[test]
fn offsets_can_be_deleted() {
    let mut host = host(3);
    let id = open(&mut host, 3);
    for index in 0..3 {
        assert_eq!(commit(&mut host, id, "g", index, 8), ErrorCode::NONE);
    }
    let mut delete = |group: &str, indexes: &[i32]| {
        let partitions: Vec<_> =
            indexes.iter().map(|index| OffsetDeleteRequestPartition { partition_index: *index }).collect();
        let topics = [OffsetDeleteRequestTopic { name: "t", partitions: (&partitions).into() }];
        host.send(id, 0, &OffsetDeleteRequest { group_id: group, topics: (&topics).into() });
        host.commit();
        let reply = host.reply(id);
        let response: OffsetDeleteResponse<'_> = decode(ApiKey::OffsetDelete, 0, &reply);
        let errors = response.topics.iter().flat_map(|topic| topic.partitions.iter().map(|it| it.error_code));
        (response.error_code, errors.collect::<Vec<_>>())
    };
    let none = ErrorCode::NONE;
    assert_eq!(delete("nobody", &[0]), (ErrorCode::GROUP_ID_NOT_FOUND, vec![]));
    assert_eq!(delete("", &[0]), (ErrorCode::INVALID_GROUP_ID, vec![]));
    assert_eq!(delete("g", &[0, 3, 9]), (none, vec![none, none, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]));
    assert_eq!(delete("g", &[3]), (none, vec![none]), "nothing is written, and it is answered");
    assert_eq!(offsets(&mut host, id, "g"), [(1, 8), (2, 8)]);
}

#[test]
fn offsets_past_their_time_go_and_groups_with_them() {
    for shards in [1, 3] {
        let mut host = host_with(shards, |config| {
            config.set("offsets.retention.minutes", "10").unwrap();
            config.set("offsets.retention.check.interval.ms", "60000").unwrap();
        });
        let id = open(&mut host, shards);
        let mut member = Member::new(&mut host, 10);
        member.join_alone(&mut host, "members");
        assert_eq!(member.commit(&mut host, "members", 5), ErrorCode::NONE);
        assert_eq!(commit(&mut host, id, "simple", 0, 1), ErrorCode::NONE);
        // Its own time, in a version that can say so.
        let partitions = [partition(1, 2, None)];
        let topics = [OffsetCommitRequestTopic { name: "t", partitions: (&partitions).into(), ..Default::default() }];
        let request = OffsetCommitRequest {
            group_id: "short",
            generation_id_or_member_epoch: -1,
            retention_time_ms: 1_000,
            topics: (&topics).into(),
            ..Default::default()
        };
        host.send(id, 4, &request);
        host.commit();
        host.reply(id);
        for minute in 0..9 {
            for _ in 0..10 {
                host.advance_ms(MINUTE_MS / 10);
                assert_eq!(member.heartbeat(&mut host, "members"), ErrorCode::NONE);
            }
            host.commit();
            assert_eq!(offsets(&mut host, id, "simple"), [(0, 1)], "minute {minute}");
        }
        assert_eq!(offsets(&mut host, id, "short"), [], "it had a time of its own");
        assert_eq!(member.leave(&mut host, "members"), [ErrorCode::NONE]);
        for _ in 0..3 {
            host.advance_ms(MINUTE_MS);
            host.commit();
        }
        assert_eq!(offsets(&mut host, id, "simple"), []);
        assert_eq!(offsets(&mut host, id, "members"), [(0, 5)], "it had members until a moment ago");
        assert_eq!(list(&mut host, id, &[], &[]).unwrap().len(), 1, "a group without anything is gone");
        for _ in 0..9 {
            host.advance_ms(MINUTE_MS);
            host.commit();
        }
        assert_eq!(offsets(&mut host, id, "members"), []);
        assert_eq!(list(&mut host, id, &[], &[]), Ok(vec![]));
        host.restart();
        host.commit();
        let id = open(&mut host, shards);
        assert_eq!(list(&mut host, id, &[], &[]), Ok(vec![]), "the log says so too");
    }
}

#[test]
fn offsets_go_with_their_topic() {
    for shards in [1, 3] {
        let mut host = host(shards);
        let id = open(&mut host, shards);
        host.create_topic("u", 1, &[]);
        for group in ["a", "b"] {
            assert_eq!(commit(&mut host, id, group, 0, 5), ErrorCode::NONE);
            Simple { group, partitions: &[partition(0, 6, None)] }.send(&mut host, id, 8, "u");
            host.commit();
            host.reply(id);
        }
        host.delete_topic("t");
        host.commit();
        let topics = [CreatableTopic { name: "t", num_partitions: 4, replication_factor: 1, ..Default::default() }];
        host.send(id, 5, &CreateTopicsRequest { topics: (&topics).into(), timeout_ms: 5_000, validate_only: false });
        host.commit();
        host.reply(id);
        for group in ["a", "b"] {
            let told: Vec<_> = fetch_all(&mut host, id, group).unwrap().into_iter().map(|it| (it.0, it.2)).collect();
            assert_eq!(told, [("u".to_string(), 6)]);
        }
        host.restart();
        host.commit();
        let id = open(&mut host, shards);
        assert_eq!(fetch_all(&mut host, id, "a").unwrap().len(), 1);
    }
}

#[test]
fn the_end_of_the_topic_ends_the_groups() {
    for shards in [1, 3] {
        let mut host = host(shards);
        let id = open(&mut host, shards);
        assert_eq!(commit(&mut host, id, "g", 0, 5), ErrorCode::NONE);
        let mut waits = Member::new(&mut host, 10);
        waits.join_alone(&mut host, "m");
        let second = Member::new(&mut host, 11);
        let request = JoinGroupRequest {
            group_id: "m",
            session_timeout_ms: 10_000,
            protocol_type: "consumer",
            protocols: (&[JoinGroupRequestProtocol { name: "range", metadata: b"x" }]).into(),
            ..Default::default()
        };
        host.send(second.id, 0, &request);
        assert!(host.try_reply(second.id).is_none(), "it waits for the first member");
        host.delete_topic(OFFSETS_TOPIC);
        host.commit();
        let reply = host.reply(second.id);
        let response: JoinGroupResponse<'_> = decode(ApiKey::JoinGroup, 0, &reply);
        assert_eq!(response.error_code, ErrorCode::NOT_COORDINATOR);
        assert_eq!(fetch_all(&mut host, id, "g"), Err(ErrorCode::NOT_COORDINATOR));
        assert_eq!(waits.heartbeat(&mut host, "m"), ErrorCode::NOT_COORDINATOR);
        assert_eq!(list(&mut host, id, &[], &[]), Ok(vec![]));
    }
}

#[test]
fn a_stop_answers_who_waits_and_waits_for_what_is_written() {
    for shards in [1, 3] {
        let mut host = host(shards);
        let mut first = Member::new(&mut host, on_shard((shards - 1) as u16, 10));
        first.join_alone(&mut host, "m");
        let second = Member::new(&mut host, on_shard((shards - 1) as u16, 11));
        let request = JoinGroupRequest {
            group_id: "m",
            session_timeout_ms: 10_000,
            protocol_type: "consumer",
            protocols: (&[JoinGroupRequestProtocol { name: "range", metadata: b"x" }]).into(),
            ..Default::default()
        };
        host.send(second.id, 0, &request);
        let id = host.open(on_shard((shards - 1) as u16, 12));
        Simple { group: "g", partitions: &[partition(0, 10, None)] }.send(&mut host, id, 8, "t");
        host.stop_all();
        let reply = host.reply(second.id);
        let response: JoinGroupResponse<'_> = decode(ApiKey::JoinGroup, 0, &reply);
        assert_eq!(response.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
        assert!(host.try_reply(id).is_none(), "it is not durable yet");
        host.commit();
        let reply = host.reply(id);
        assert_eq!(commit_errors(8, &reply), [ErrorCode::NONE]);
        let before = host.now.monotonic_us;
        host.restart();
        assert!(host.now.monotonic_us < before + 1_000_000, "nothing held it up");
        host.commit();
        let id = open(&mut host, shards);
        assert_eq!(offsets(&mut host, id, "g"), [(0, 10)]);
    }
}

#[test]
fn while_groups_are_read_from_the_disk_clients_are_told_to_wait() {
    let mut host = host_with(1, |config| config.set("offsets.topic.num.partitions", "1").unwrap());
    let id = host.open(1);
    let text = "x".repeat(4_000);
    let mut expected = vec![];
    for round in 0..400_i64 {
        let group = alloc::format!("g{}", round % 7);
        let partitions = [partition((round % 4) as i32, round, Some(&text))];
        Simple { group: &group, partitions: &partitions }.send(&mut host, id, 8, "t");
        if round >= 393 {
            expected.push((group, round));
        }
    }
    host.commit();
    let mut member = Member::new(&mut host, 10);
    member.join_alone(&mut host, "m");
    host.restart();
    let id = host.open(1);
    member.id = host.open(2);
    assert_eq!(fetch_all(&mut host, id, "g1"), Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    assert_eq!(list(&mut host, id, &[], &[]), Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    assert_eq!(member.heartbeat(&mut host, "m"), ErrorCode::NONE, "it need not join again");
    Simple { group: "g1", partitions: &[partition(0, 1, None)] }.send(&mut host, id, 8, "t");
    let reply = host.reply(id);
    assert_eq!(commit_errors(8, &reply), [ErrorCode::COORDINATOR_LOAD_IN_PROGRESS]);
    host.fail_reads();
    assert_eq!(fetch_all(&mut host, id, "g1"), Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    host.advance_ms(1_001);
    host.commit();
    for (group, offset) in expected {
        assert!(fetch_all(&mut host, id, &group).unwrap().iter().any(|it| it.2 == offset && it.4 == text));
    }
    assert_eq!(member.heartbeat(&mut host, "m"), ErrorCode::NONE);
}

#[test]
fn a_full_disk_is_an_error_that_clients_come_again_for() {
    let mut host = host(1);
    let id = host.open(1);
    assert_eq!(commit(&mut host, id, "g", 0, 5), ErrorCode::NONE);
    host.event(Event::FreeSpace { bytes: 0, total_bytes: 1 << 40 });
    Simple { group: "g", partitions: &[partition(0, 6, None)] }.send(&mut host, id, 8, "t");
    let reply = host.reply(id);
    assert_eq!(commit_errors(8, &reply), [ErrorCode::NOT_COORDINATOR]);
    Simple { group: "new", partitions: &[partition(0, 6, None)] }.send(&mut host, id, 8, "t");
    host.reply(id);
    host.send(id, 2, &DeleteGroupsRequest { groups_names: (&["g"]).into() });
    let reply = host.reply(id);
    let response: DeleteGroupsResponse<'_> = decode(ApiKey::DeleteGroups, 2, &reply);
    assert_eq!(response.results.first().unwrap().error_code, ErrorCode::NOT_COORDINATOR);
    assert_eq!(offsets(&mut host, id, "g"), [(0, 5)]);
    assert_eq!(list(&mut host, id, &[], &[]).unwrap().len(), 1, "the new group never came into being");
    host.event(Event::FreeSpace { bytes: 1 << 39, total_bytes: 1 << 40 });
    assert_eq!(commit(&mut host, id, "g", 0, 7), ErrorCode::NONE, "the group is still there");
    assert_eq!(offsets(&mut host, id, "g"), [(0, 7)]);
}

#[test]
fn commits_wait_for_room_in_the_log() {
    let mut host = host(1);
    let id = host.open(1);
    host.logs().set_room(10);
    Simple { group: "g", partitions: &[partition(0, 6, None)] }.send(&mut host, id, 8, "t");
    assert!(host.try_reply(id).is_none());
    host.advance_ms(5_001);
    let reply = host.reply(id);
    assert_eq!(commit_errors(8, &reply), [ErrorCode::COORDINATOR_NOT_AVAILABLE]);
    host.logs().set_room(1 << 20);
    host.turn();
    host.commit();
    assert_eq!(offsets(&mut host, id, "g"), [(0, 6)], "it has become durable later");
}

#[test]
fn clients_that_go_away_leave_nothing_behind() {
    for shards in [1, 3] {
        let mut host = host(shards);
        let mut first = Member::new(&mut host, on_shard((shards - 1) as u16, 10));
        first.join_alone(&mut host, "m");
        let second = Member::new(&mut host, on_shard((shards - 1) as u16, 11));
        let request = JoinGroupRequest {
            group_id: "m",
            session_timeout_ms: 10_000,
            protocol_type: "consumer",
            protocols: (&[JoinGroupRequestProtocol { name: "range", metadata: b"x" }]).into(),
            ..Default::default()
        };
        host.send(second.id, 0, &request);
        Simple { group: "g", partitions: &[partition(0, 10, None)] }.send(&mut host, second.id, 8, "t");
        host.disconnect(second.id);
        host.commit();
        host.advance_ms(30_000);
        host.commit();
        let id = open(&mut host, shards);
        assert_eq!(offsets(&mut host, id, "g"), [(0, 10)], "it was asked for before");
        for shard in 0..shards as u16 {
            assert_eq!(host.front_of(shard).size().1, 0, "nobody waits");
        }
    }
}

#[test]
fn a_group_takes_so_many_offsets_and_no_more() {
    let mut host = host_with(1, |config| config.set("corelog.memory.bytes", "67108864").unwrap());
    host.create_topic("wide", 10_000, &[]);
    host.commit();
    let id = host.open(1);
    let text = "x".repeat(2_000);
    let mut refused = 0;
    for first in (0..10_000).step_by(400) {
        let partitions: Vec<_> = (first..first + 400).map(|index| partition(index, 1, Some(&text))).collect();
        Simple { group: "g", partitions: &partitions }.send(&mut host, id, 8, "wide");
        host.commit();
        let reply = host.reply(id);
        refused += commit_errors(8, &reply).iter().filter(|it| **it == ErrorCode::INVALID_COMMIT_OFFSET_SIZE).count();
    }
    // An eighth of the memory.
    let taken = offsets(&mut host, id, "g").len();
    assert_eq!(taken, 10_000 - refused);
    assert!((3_600..=4_400).contains(&taken), "{taken} were taken");
    // What is there can be changed.
    Simple { group: "g", partitions: &[partition(0, 2, None)] }.send(&mut host, id, 8, "wide");
    host.commit();
    let reply = host.reply(id);
    assert_eq!(commit_errors(8, &reply), [ErrorCode::NONE]);
}
