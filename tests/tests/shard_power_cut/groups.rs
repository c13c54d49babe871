//! Groups commit offsets while the power is cut, or the process killed, at boundaries between two disk steps: what was
//! acknowledged is there afterwards, on as many shards as before or on others, and nothing that was never asked for.

use std::collections::BTreeMap;

use corelog_shard::config::BrokerConfig;
use corelog_shard::io::{ConnectionId, Now};
use corelog_tests::sim::disk::FaultDisk;
use corelog_tests::sim::node::{Node, decode};
use corelog_tests::sim::random::Random;
use corelog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use corelog_wire::api::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use corelog_wire::api::find_coordinator::{FindCoordinatorRequest, GROUP_KEY};
use corelog_wire::api::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use corelog_wire::api::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use crate::ledger::{BLOCK, config};

const GROUPS: usize = 7;
const COMMIT: i16 = 8;
const FETCH: i16 = 9;
const DELETE: i16 = 2;
/// Commits that one group may have under way.
const DEEP: usize = 3;

/// What a group was promised.
#[derive(Clone, Debug, Default)]
struct Promised {
    /// The highest offset that is acknowledged; none before the first and after a deletion.
    acknowledged: Option<i64>,
    /// The lowest that may be there, if any is: those below were deleted.
    lowest: i64,
    /// The highest that was asked for.
    asked: i64,
    /// A deletion was asked for and is not acknowledged.
    is_going: bool,
}

/// What is under way on a group's connection.
enum Asked {
    Commit(i64),
    Delete,
}

struct World {
    node: Node,
    config: BrokerConfig,
    groups: Vec<(String, ConnectionId, Promised)>,
    under_way: Vec<std::collections::VecDeque<Asked>>,
}

fn settings() -> BrokerConfig {
    let mut config = config(65_536, 1 << 20);
    for (key, value) in [("offsets.topic.num.partitions", "3"), ("offsets.topic.segment.bytes", "6000")] {
        config.set(key, value).unwrap();
    }
    config
}

impl World {
    fn new(seed: u64, shards: u32) -> Self {
        let config = settings();
        let now = Now { monotonic_us: 1_000_000, wall_ms: 1_700_000_000_000 };
        let disk = FaultDisk::new(BLOCK, seed);
        let started = Node::start_with(disk, &config, now, false, shards);
        let (mut node, _) = started.map_err(|(_, error)| error).unwrap();
        node.settle();
        let id = node.connect();
        node.send(id, 4, &FindCoordinatorRequest { key: "", key_type: GROUP_KEY, coordinator_keys: (&["g"]).into() });
        let topics = [CreatableTopic { name: "t", num_partitions: 1, replication_factor: 1, ..Default::default() }];
        node.send(id, 5, &CreateTopicsRequest { topics: (&topics).into(), timeout_ms: 5_000, validate_only: false });
        node.settle();
        assert!(node.reply(id).is_some() && node.reply(id).is_some(), "{:?}", node.messages);
        let groups = (0..GROUPS).map(|at| (format!("group-{at}"), node.connect(), Promised::default())).collect();
        Self { node, config, groups, under_way: (0..GROUPS).map(|_| Default::default()).collect() }
    }

    fn ask(&mut self, at: usize, random: &mut Random) {
        let (name, id, promised) = &mut self.groups[at];
        let under_way = &mut self.under_way[at];
        if under_way.iter().any(|it| matches!(it, Asked::Delete)) || under_way.len() >= DEEP {
            return;
        }
        if random.chance(6) && under_way.is_empty() && promised.acknowledged.is_some() {
            promised.is_going = true;
            under_way.push_back(Asked::Delete);
            self.node.send(*id, DELETE, &DeleteGroupsRequest { groups_names: (&[name.as_str()]).into() });
            return;
        }
        promised.asked += 1;
        let text = "x".repeat(random.below(300));
        let partitions = [OffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: promised.asked,
            committed_leader_epoch: -1,
            committed_metadata: Some(&text),
        }];
        let topics =
            [OffsetCommitRequestTopic { name: "t", topic_id: TopicId::ZERO, partitions: (&partitions).into() }];
        let request = OffsetCommitRequest {
            group_id: name,
            generation_id_or_member_epoch: -1,
            topics: (&topics).into(),
            ..Default::default()
        };
        under_way.push_back(Asked::Commit(promised.asked));
        self.node.send(*id, COMMIT, &request);
    }

    fn take_answers(&mut self) {
        for ((_, id, promised), under_way) in self.groups.iter_mut().zip(&mut self.under_way) {
            while let Some(reply) = self.node.reply(*id) {
                match under_way.pop_front().expect("an answer has its request") {
                    Asked::Commit(offset) => {
                        let response: OffsetCommitResponse<'_> = decode(ApiKey::OffsetCommit, COMMIT, &reply);
                        let partition = response.topics.first().unwrap().partitions.first().unwrap();
                        assert_eq!(partition.error_code, ErrorCode::NONE);
                        promised.acknowledged = Some(offset);
                    }
                    Asked::Delete => {
                        let response: DeleteGroupsResponse<'_> = decode(ApiKey::DeleteGroups, DELETE, &reply);
                        assert_eq!(response.results.first().unwrap().error_code, ErrorCode::NONE);
                        promised.acknowledged = None;
                        promised.lowest = promised.asked + 1;
                        promised.is_going = false;
                    }
                }
            }
        }
    }
}

/// Starts on a disk and holds what it says against what was promised.
fn check(disk: FaultDisk, world: &World, shards: u32) {
    let started = Node::start_with(disk, &world.config, world.node.now, false, shards);
    let (mut node, _) = started.map_err(|(_, error)| error).unwrap();
    node.settle();
    let id = node.connect();
    let mut told = BTreeMap::new();
    for (name, ..) in &world.groups {
        let groups = [OffsetFetchRequestGroup { group_id: name, topics: None, ..Default::default() }];
        node.send(id, FETCH, &OffsetFetchRequest { groups: (&groups).into(), ..Default::default() });
        node.settle();
        let reply = node.reply(id).expect("everything is loaded");
        let response: OffsetFetchResponse<'_> = decode(ApiKey::OffsetFetch, FETCH, &reply);
        let group = response.groups.first().unwrap();
        assert_eq!(group.error_code, ErrorCode::NONE);
        let offset = group.topics.first().map(|topic| topic.partitions.first().unwrap().committed_offset);
        told.insert(name.clone(), offset);
    }
    for (name, _, promised) in &world.groups {
        match told[name] {
            Some(offset) => {
                let range = promised.acknowledged.unwrap_or(promised.lowest).max(1)..=promised.asked;
                assert!(range.contains(&offset), "{name}: {offset}, promised {promised:?}");
            }
            None => {
                let may_be_none = promised.acknowledged.is_none() || promised.is_going;
                assert!(may_be_none, "{name}: nothing, promised {promised:?}");
            }
        }
    }
}

fn cut_everywhere(seed: u64, shards: u32, after: u32) {
    let mut random = Random::new(seed);
    let mut world = World::new(seed, shards);
    let (mut cuts, mut boundary) = (0, 0_u64);
    for _ in 0..220 {
        for _ in 0..random.below(3) {
            let at = random.below(GROUPS);
            world.ask(at, &mut random);
        }
        for _ in 0..random.below(5) {
            if world.node.disk.in_flight() > 0 {
                boundary += 1;
                if boundary.is_multiple_of(5) {
                    cuts += 1;
                    let disk = match cuts % 4 {
                        0 => world.node.disk.kill(boundary),
                        _ => world.node.disk.restart(boundary),
                    };
                    check(disk, &world, if cuts % 2 == 0 { shards } else { after });
                }
            }
            world.node.advance();
            world.take_answers();
        }
        world.node.pass_us(700);
        world.take_answers();
    }
    world.node.settle();
    world.take_answers();
    assert!(world.under_way.iter().all(|it| it.is_empty()), "everybody has an answer: {:?}", world.node.messages);
    assert!(world.groups.iter().all(|(.., promised)| promised.asked > 5), "every group has committed");
    assert!(cuts > 30, "{cuts} cuts");
}

#[test]
fn acknowledged_commits_survive_a_cut_at_any_step() {
    cut_everywhere(1, 1, 2);
}

#[test]
fn acknowledged_commits_of_several_shards_survive_a_cut_at_any_step() {
    cut_everywhere(2, 3, 1);
}
