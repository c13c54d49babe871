//! Shards with the topic of coordinators, and clients that ask them.

use super::*;

pub(super) const MINUTE_MS: u64 = 60_000;

/// Shards with the topic of coordinators, and a topic `t` with four partitions.
pub(super) fn host(shards: u32) -> Host {
    host_with(shards, |_| {})
}

pub(super) fn host_with(shards: u32, change: impl FnOnce(&mut BrokerConfig)) -> Host {
    let mut host = Host::with_shards(shards, |config| {
        config.set("group.initial.rebalance.delay.ms", "0").unwrap();
        config.set("offsets.topic.segment.bytes", "1048576").unwrap();
        change(config);
    });
    let id = host.open(9);
    host.send(id, 4, &FindCoordinatorRequest { key: "", key_type: GROUP_KEY, coordinator_keys: (&["g"]).into() });
    assert!(host.try_reply(id).is_none(), "the topic is not there yet");
    host.commit();
    let reply = host.reply(id);
    let found: FindCoordinatorResponse<'_> = decode(ApiKey::FindCoordinator, 4, &reply);
    assert_eq!(found.coordinators.first().unwrap().error_code, ErrorCode::NONE);
    host.create_topic("t", 4, &[]);
    host
}

/// A connection of another shard than the first, where there is one.
pub(super) fn open(host: &mut Host, shards: u32) -> ConnectionId {
    host.open(on_shard((shards - 1) as u16, 1))
}

/// A commit by a client without a group.
pub(super) struct Simple<'a> {
    pub(super) group: &'a str,
    pub(super) partitions: &'a [OffsetCommitRequestPartition<'a>],
}

pub(super) fn partition(index: i32, offset: i64, metadata: Option<&str>) -> OffsetCommitRequestPartition<'_> {
    OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: offset,
        committed_leader_epoch: 5,
        committed_metadata: metadata,
    }
}

impl Simple<'_> {
    pub(super) fn send(&self, host: &mut Host, id: ConnectionId, version: i16, topic: &str) {
        let topics =
            [OffsetCommitRequestTopic { name: topic, topic_id: TopicId::ZERO, partitions: self.partitions.into() }];
        let request = OffsetCommitRequest {
            group_id: self.group,
            generation_id_or_member_epoch: -1,
            topics: (&topics).into(),
            ..Default::default()
        };
        host.send(id, version, &request);
    }
}

pub(super) fn commit_errors(version: i16, reply: &[u8]) -> Vec<ErrorCode> {
    let response: OffsetCommitResponse<'_> = decode(ApiKey::OffsetCommit, version, reply);
    response.topics.iter().flat_map(|topic| topic.partitions.iter().map(|it| it.error_code)).collect()
}

/// Commits an offset for one partition of `t`, durably.
pub(super) fn commit(host: &mut Host, id: ConnectionId, group: &str, index: i32, offset: i64) -> ErrorCode {
    Simple { group, partitions: &[partition(index, offset, None)] }.send(host, id, 8, "t");
    host.commit();
    let reply = host.reply(id);
    commit_errors(8, &reply)[0]
}

/// What a group has committed, of all topics: topic, partition, offset, epoch, text.
pub(super) type Told = (String, i32, i64, i32, String);

pub(super) fn fetch_all(host: &mut Host, id: ConnectionId, group: &str) -> Result<Vec<Told>, ErrorCode> {
    let groups = [OffsetFetchRequestGroup { group_id: group, topics: None, ..Default::default() }];
    let request = OffsetFetchRequest { groups: (&groups).into(), ..Default::default() };
    host.send(id, 9, &request);
    let reply = host.reply(id);
    let response: OffsetFetchResponse<'_> = decode(ApiKey::OffsetFetch, 9, &reply);
    let group = response.groups.first().unwrap();
    if !group.error_code.is_none() {
        return Err(group.error_code);
    }
    let told = group.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(move |it| {
            let text = it.metadata.unwrap().to_string();
            (topic.name.to_string(), it.partition_index, it.committed_offset, it.committed_leader_epoch, text)
        })
    });
    Ok(told.collect())
}

pub(super) fn offsets(host: &mut Host, id: ConnectionId, group: &str) -> Vec<(i32, i64)> {
    fetch_all(host, id, group).unwrap().into_iter().map(|(_, index, offset, ..)| (index, offset)).collect()
}

pub(super) fn list(
    host: &mut Host,
    id: ConnectionId,
    states: &[&str],
    types: &[&str],
) -> Result<Vec<(String, String)>, ErrorCode> {
    let request = ListGroupsRequest { states_filter: states.into(), types_filter: types.into() };
    host.send(id, 5, &request);
    let reply = host.reply(id);
    let response: ListGroupsResponse<'_> = decode(ApiKey::ListGroups, 5, &reply);
    if !response.error_code.is_none() {
        return Err(response.error_code);
    }
    let mut groups: Vec<_> =
        response.groups.iter().map(|it| (it.group_id.to_string(), it.group_state.to_string())).collect();
    groups.sort_unstable();
    Ok(groups)
}

/// A member with one assignor, and what it learns.
pub(super) struct Member {
    pub(super) id: ConnectionId,
    pub(super) member_id: String,
    pub(super) generation: i32,
}

impl Member {
    pub(super) fn new(host: &mut Host, connection: u64) -> Self {
        Self { id: host.open(connection), member_id: String::new(), generation: -1 }
    }

    pub(super) fn send_join(&self, host: &mut Host, group: &str) {
        let protocols = [JoinGroupRequestProtocol { name: "range", metadata: b"\0\0\0\0\0\0\0\0\0\0" }];
        let request = JoinGroupRequest {
            group_id: group,
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            member_id: &self.member_id,
            protocol_type: "consumer",
            protocols: (&protocols).into(),
            ..Default::default()
        };
        host.send(self.id, 5, &request);
    }

    /// Gets an id and joins alone, up to the assignment.
    pub(super) fn join_alone(&mut self, host: &mut Host, group: &str) {
        self.send_join(host, group);
        let reply = host.reply(self.id);
        let response: JoinGroupResponse<'_> = decode(ApiKey::JoinGroup, 5, &reply);
        assert_eq!(response.error_code, ErrorCode::MEMBER_ID_REQUIRED);
        self.member_id = response.member_id.to_string();
        self.send_join(host, group);
        host.advance_ms(1);
        let reply = host.reply(self.id);
        let response: JoinGroupResponse<'_> = decode(ApiKey::JoinGroup, 5, &reply);
        assert_eq!((response.error_code, response.leader), (ErrorCode::NONE, &*self.member_id));
        assert_eq!(response.members.len(), 1);
        self.generation = response.generation_id;
        self.send_sync(host, group);
        assert!(host.try_reply(self.id).is_none(), "the assignment is not durable yet");
        host.commit();
        let reply = host.reply(self.id);
        let response: SyncGroupResponse<'_> = decode(ApiKey::SyncGroup, 5, &reply);
        assert_eq!((response.error_code, response.assignment), (ErrorCode::NONE, &b"mine"[..]));
    }

    pub(super) fn send_sync(&self, host: &mut Host, group: &str) {
        let assignments = [SyncGroupRequestAssignment { member_id: &self.member_id, assignment: b"mine" }];
        let request = SyncGroupRequest {
            group_id: group,
            generation_id: self.generation,
            member_id: &self.member_id,
            protocol_type: Some("consumer"),
            protocol_name: Some("range"),
            assignments: (&assignments).into(),
            ..Default::default()
        };
        host.send(self.id, 5, &request);
    }

    pub(super) fn heartbeat(&self, host: &mut Host, group: &str) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: group,
            generation_id: self.generation,
            member_id: &self.member_id,
            ..Default::default()
        };
        host.send(self.id, 4, &request);
        let reply = host.reply(self.id);
        decode::<HeartbeatResponse>(ApiKey::Heartbeat, 4, &reply).error_code
    }

    pub(super) fn commit(&self, host: &mut Host, group: &str, offset: i64) -> ErrorCode {
        let partitions = [partition(0, offset, Some("text"))];
        let topics =
            [OffsetCommitRequestTopic { name: "t", topic_id: TopicId::ZERO, partitions: (&partitions).into() }];
        let request = OffsetCommitRequest {
            group_id: group,
            generation_id_or_member_epoch: self.generation,
            member_id: &self.member_id,
            topics: (&topics).into(),
            ..Default::default()
        };
        host.send(self.id, 9, &request);
        host.commit();
        let reply = host.reply(self.id);
        commit_errors(9, &reply)[0]
    }

    pub(super) fn leave(&self, host: &mut Host, group: &str) -> Vec<ErrorCode> {
        let members = [MemberIdentity { member_id: &self.member_id, ..Default::default() }];
        host.send(self.id, 5, &LeaveGroupRequest { group_id: group, members: (&members).into(), ..Default::default() });
        let reply = host.reply(self.id);
        let response: LeaveGroupResponse<'_> = decode(ApiKey::LeaveGroup, 5, &reply);
        assert_eq!(response.error_code, ErrorCode::NONE);
        host.commit();
        response.members.iter().map(|it| it.error_code).collect()
    }
}
