//! A coordinator and other members, as a script plays them.

use super::*;

pub(super) const GROUP: &str = "g";
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn places(partitions: &[i32]) -> Vec<(Arc<str>, i32)> {
    partitions.iter().map(|partition| (Arc::from(TOPIC), *partition)).collect()
}

pub(super) fn set(partitions: &[i32]) -> Partitions {
    places(partitions).into_iter().collect()
}

impl World {
    /// A client that has just been told to join, of a topic with so many partitions, which broker 3 leads: what nobody
    /// answers there holds up nothing else.
    pub(super) fn joining(partitions: usize, change: impl FnOnce(&mut GroupConfig)) -> Self {
        let mut world = Self::ready(&vec![3; partitions], |_| {});
        let mut config = GroupConfig::new(GROUP, vec![TOPIC.to_owned()]);
        config.assignors = vec![Assignor::Range];
        change(&mut config);
        world.client.join_group(config);
        world.run();
        world
    }

    /// Answers the search for the coordinator: it is this broker.
    pub(super) fn coordinate(&mut self, broker: i32) {
        self.answer_coordinator(ErrorCode::NONE, broker);
    }

    pub(super) fn answer_coordinator(&mut self, error_code: ErrorCode, node_id: i32) {
        let sent = self.next(ApiKey::FindCoordinator);
        let request: FindCoordinatorRequest<'_> = sent.decode();
        let has_many = sent.version >= 4;
        let key = if has_many { request.coordinator_keys.first().unwrap() } else { request.key };
        assert_eq!((key, request.key_type), (GROUP, 0));
        let port = 9000 + node_id;
        let one = [Coordinator { key: GROUP, node_id, host: "b", port, error_code, error_message: None }];
        let response = match has_many {
            true => FindCoordinatorResponse { coordinators: (&one).into(), ..Default::default() },
            false => FindCoordinatorResponse { error_code, node_id, host: "b", port, ..Default::default() },
        };
        self.answer(&sent, &response);
        self.run();
    }

    /// The next JoinGroup, and what it says of the member.
    pub(super) fn join(&mut self) -> (Sent, String, Subscription) {
        let sent = self.next(ApiKey::JoinGroup);
        let request: JoinGroupRequest<'_> = sent.decode();
        assert_eq!((request.group_id, request.protocol_type), (GROUP, "consumer"));
        let subscription = Subscription::decode(request.protocols.first().unwrap().metadata).unwrap();
        let member_id = request.member_id.to_owned();
        (sent, member_id, subscription)
    }

    pub(super) fn answer_join(&mut self, sent: &Sent, response: &JoinGroupResponse<'_>) {
        self.answer(sent, response);
        self.run();
    }

    pub(super) fn refuse_join(&mut self, sent: &Sent, error_code: ErrorCode) {
        self.answer_join(sent, &JoinGroupResponse { error_code, protocol_name: Some(""), ..Default::default() });
    }

    /// Makes the member a follower in a generation, with these partitions.
    pub(super) fn follow(&mut self, sent: &Sent, generation_id: i32, protocol: &str, partitions: &[i32]) {
        let response = JoinGroupResponse {
            generation_id,
            protocol_name: Some(protocol),
            leader: "other",
            member_id: "me",
            ..Default::default()
        };
        self.answer_join(sent, &response);
        self.hand_out(partitions);
    }

    /// Answers SyncGroup with these partitions.
    pub(super) fn hand_out(&mut self, partitions: &[i32]) {
        let sent = self.next(ApiKey::SyncGroup);
        let request: SyncGroupRequest<'_> = sent.decode();
        assert!(request.assignments.is_empty());
        self.answer_sync(&sent, &encode_assignment(&set(partitions)));
    }

    pub(super) fn answer_sync(&mut self, sent: &Sent, assignment: &[u8]) {
        self.answer(sent, &SyncGroupResponse { assignment, ..Default::default() });
        self.run();
    }

    /// Answers the search for committed offsets; -1 is none. The partitions that were asked for are those named.
    pub(super) fn answer_offsets(&mut self, offsets: &[(i32, i64)]) {
        let sent = self.next(ApiKey::OffsetFetch);
        let request: OffsetFetchRequest<'_> = sent.decode();
        let mut asked: Vec<i32> = match request.groups.first() {
            Some(group) => group.topics.unwrap().iter().flat_map(|topic| topic.partition_indexes).collect(),
            None => request.topics.unwrap().iter().flat_map(|topic| topic.partition_indexes).collect(),
        };
        asked.sort_unstable();
        assert!(offsets.iter().map(|(partition, _)| *partition).eq(asked));
        let newer: Vec<_> = offsets
            .iter()
            .map(|(partition_index, committed_offset)| OffsetFetchResponsePartitions {
                partition_index: *partition_index,
                committed_offset: *committed_offset,
                metadata: Some(""),
                ..Default::default()
            })
            .collect();
        let older: Vec<_> = offsets
            .iter()
            .map(|(partition_index, committed_offset)| OffsetFetchResponsePartition {
                partition_index: *partition_index,
                committed_offset: *committed_offset,
                metadata: Some(""),
                ..Default::default()
            })
            .collect();
        if sent.version < 8 {
            let topics = [OffsetFetchResponseTopic { name: TOPIC, partitions: (&older).into() }];
            self.answer(&sent, &OffsetFetchResponse { topics: (&topics).into(), ..Default::default() });
        } else {
            let (name, topic_id) = if sent.version > 9 { ("", TOPIC_ID) } else { (TOPIC, TopicId::ZERO) };
            let topics = [OffsetFetchResponseTopics { name, topic_id, partitions: (&newer).into() }];
            let groups =
                [OffsetFetchResponseGroup { group_id: GROUP, topics: (&topics).into(), error_code: ErrorCode::NONE }];
            self.answer(&sent, &OffsetFetchResponse { groups: (&groups).into(), ..Default::default() });
        }
        self.run();
    }

    /// The next commit, and its offsets by partition.
    pub(super) fn commit(&mut self) -> (Sent, Vec<(i32, i64)>) {
        let sent = self.next(ApiKey::OffsetCommit);
        let request: OffsetCommitRequest<'_> = sent.decode();
        assert_eq!((request.group_id, request.member_id), (GROUP, "me"));
        let lines = request.topics.iter().flat_map(|topic| topic.partitions);
        let offsets = lines.map(|line| (line.partition_index, line.committed_offset)).collect();
        (sent, offsets)
    }

    pub(super) fn answer_commit(&mut self, sent: &Sent, error_code: ErrorCode) {
        let request: OffsetCommitRequest<'_> = sent.decode();
        let topic = request.topics.first().unwrap();
        let lines = topic.partitions.iter();
        let lines: Vec<_> = lines
            .map(|line| OffsetCommitResponsePartition { partition_index: line.partition_index, error_code })
            .collect();
        let topics =
            [OffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions: (&lines).into() }];
        self.answer(sent, &OffsetCommitResponse { topics: (&topics).into(), ..Default::default() });
        self.run();
    }

    pub(super) fn answer_heartbeat(&mut self, error_code: ErrorCode) {
        let sent = self.next(ApiKey::Heartbeat);
        let request: HeartbeatRequest<'_> = sent.decode();
        assert_eq!((request.group_id, request.member_id), (GROUP, "me"));
        self.answer(&sent, &HeartbeatResponse { error_code, ..Default::default() });
        self.run();
    }

    /// Lets requests for records and offsets lie; what is left goes to the coordinator.
    pub(super) fn forget_reads(&mut self) {
        self.sent.retain(|sent| !matches!(sent.api, ApiKey::Fetch | ApiKey::ListOffsets));
    }

    /// Lets time pass until the next heartbeat, and answers it.
    pub(super) fn beat(&mut self, error_code: ErrorCode) {
        self.pass(3 * SECOND);
        self.forget_reads();
        self.answer_heartbeat(error_code);
        self.forget_reads();
    }

    pub(super) fn events(&mut self) -> Vec<GroupEvent> {
        std::iter::from_fn(|| self.client.take_group_event()).collect()
    }

    /// A follower with these partitions, of which the group has committed nothing, that begins at offset 0.
    pub(super) fn member(partitions: &[i32], change: impl FnOnce(&mut GroupConfig)) -> Self {
        let mut protocol = "";
        let mut world = Self::joining(4, |config| {
            change(config);
            protocol = config.assignors[0].name();
        });
        world.coordinate(1);
        let (sent, ..) = world.join();
        world.follow(&sent, 5, protocol, partitions);
        let offsets: Vec<_> = partitions.iter().map(|partition| (*partition, 10)).collect();
        world.answer_offsets(&offsets);
        assert_eq!(world.events(), [GroupEvent::Assigned(places(partitions))]);
        assert!(world.client.is_group_settled());
        world.forget_reads();
        world
    }

    pub(super) fn owned(&self) -> Vec<i32> {
        self.client.group_partitions().map(|(_, partition)| *partition).collect()
    }
}
