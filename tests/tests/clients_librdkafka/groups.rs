//! Consumers in groups: rebalances of every strategy, static members, commits, statistics, and what the admin client does
//! with groups. A group goes on where it stopped when the broker is killed in between.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use corelog_tests::broker::{Broker, Options};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupList;
use rdkafka::message::Message;
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::{Record, WAIT_MAX, block_on, client_config, create_topic, new_topic_name, produce};

const PARTITIONS: i32 = 4;

/// Long enough for a busy machine; nothing here waits for it.
const SESSION_TIMEOUT_MS: u32 = 20_000;

/// What a consumer was told.
#[derive(Default)]
struct Told {
    partitions: Mutex<BTreeSet<i32>>,
    statistics: Mutex<Option<Statistics>>,
}

impl ClientContext for Told {
    fn stats(&self, statistics: Statistics) {
        *self.statistics.lock().expect("not poisoned") = Some(statistics);
    }
}

impl ConsumerContext for Told {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut partitions = self.partitions.lock().expect("not poisoned");
        let numbers = |list: &TopicPartitionList| -> Vec<i32> {
            list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect()
        };
        match rebalance {
            Rebalance::Assign(assigned) => partitions.extend(numbers(assigned)),
            Rebalance::Revoke(revoked) => numbers(revoked).iter().for_each(|revoked| _ = partitions.remove(revoked)),
            Rebalance::Error(error) => panic!("{error}"),
        }
    }
}

/// A consumer in a group that commits at once what it reads.
struct Member {
    consumer: BaseConsumer<Told>,
    /// Partition and offset of all that it read.
    read: Vec<(i32, i64)>,
}

impl Member {
    fn join(broker: &Broker, topic: &str, settings: &[(&str, &str)]) -> Self {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", broker.bootstrap())
            .set("group.id", topic)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("session.timeout.ms", SESSION_TIMEOUT_MS.to_string())
            .set("heartbeat.interval.ms", "300")
            .set("statistics.interval.ms", "300");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let consumer: BaseConsumer<Told> = config.create_with_context(Told::default()).expect("a good config");
        consumer.subscribe(&[topic]).expect("a good topic");
        Self { consumer, read: Vec::new() }
    }

    /// Reads a record, if one comes soon. An error is one that the client does not get over by itself.
    fn poll(&mut self) -> Result<(), KafkaError> {
        match self.consumer.poll(Duration::from_millis(50)) {
            None => Ok(()),
            Some(Ok(message)) => {
                self.read.push((message.partition(), message.offset()));
                match self.consumer.commit_message(&message, CommitMode::Sync) {
                    // Whoever gets the partition reads the record once more.
                    Err(KafkaError::ConsumerCommit(
                        RDKafkaErrorCode::RebalanceInProgress
                        | RDKafkaErrorCode::IllegalGeneration
                        | RDKafkaErrorCode::UnknownMemberId,
                    )) => Ok(()),
                    committed => committed,
                }
            }
            Some(Err(error)) => Err(error),
        }
    }

    fn has(&self) -> BTreeSet<i32> {
        self.consumer.context().partitions.lock().expect("not poisoned").clone()
    }

    fn statistics(&self) -> Option<Statistics> {
        self.consumer.context().statistics.lock().expect("not poisoned").clone()
    }
}

/// Polls all members in turn until something holds.
#[track_caller]
fn until(members: &mut [&mut Member], holds: impl Fn(&[&mut Member]) -> bool) {
    let deadline = Instant::now() + 2 * WAIT_MAX;
    while !holds(members) {
        let state = || members.iter().map(|member| (member.has(), member.read.len())).collect::<Vec<_>>();
        assert!(Instant::now() < deadline, "not in time: {:?}", state());
        for member in members.iter_mut() {
            member.poll().expect("a record or nothing");
        }
    }
}

/// Writes so many records into every partition.
fn write(broker: &Broker, topic: &str, each: usize) {
    let records: Vec<Record> = (0..PARTITIONS)
        .flat_map(|partition| (0..each).map(move |_| Record { partition, ..Record::new(None, Some(b"value")) }))
        .collect();
    produce(&client_config(broker), topic, &records);
}

fn new_topic(broker: &Broker, what: &str) -> String {
    let topic = new_topic_name(what);
    create_topic(broker, &topic, PARTITIONS).expect("created");
    topic
}

fn distinct(members: &[&mut Member]) -> usize {
    members.iter().flat_map(|member| &member.read).collect::<BTreeSet<_>>().len()
}

/// Waits for the least that an empty group waits before its first generation.
fn quick_broker() -> Broker {
    Options::new().set("group.initial.rebalance.delay.ms", "100").start()
}

fn members_come_and_go(strategy: &str) {
    let broker = quick_broker();
    let topic = new_topic(&broker, strategy);
    let settings = [("partition.assignment.strategy", strategy)];
    write(&broker, &topic, 25);
    let mut first = Member::join(&broker, &topic, &settings);
    until(&mut [&mut first], |members| members[0].read.len() == 100);
    assert_eq!(first.has(), (0..PARTITIONS).collect());

    let mut second = Member::join(&broker, &topic, &settings);
    let shared = |members: &[&mut Member]| members.iter().all(|member| member.has().len() == 2);
    until(&mut [&mut first, &mut second], shared);
    assert!(first.has().is_disjoint(&second.has()));
    write(&broker, &topic, 25);
    until(&mut [&mut first, &mut second], |members| distinct(members) == 200);
    assert!(first.read.len() > 100 && !second.read.is_empty(), "both read");

    drop(second);
    until(&mut [&mut first], |members| members[0].has().len() == 4);
    write(&broker, &topic, 5);
    let steady = |member: &Member| {
        let told = member.statistics().and_then(|statistics| statistics.cgrp);
        told.is_some_and(|group| group.state == "up" && group.join_state == "steady" && group.assignment_size == 4)
    };
    until(&mut [&mut first], |members| members[0].read.iter().any(|(_, offset)| *offset == 54) && steady(members[0]));
    until(&mut [&mut first], |members| (0..PARTITIONS).all(|partition| members[0].read.contains(&(partition, 54))));
    let told = first.statistics().and_then(|statistics| statistics.cgrp).expect("it is in a group");
    assert!(told.rebalance_cnt >= 3, "{told:?}");
    drop(first);

    write(&broker, &topic, 5);
    let mut later = Member::join(&broker, &topic, &settings);
    until(&mut [&mut later], |members| members[0].read.len() >= 20);
    let expected: BTreeSet<_> = (0..PARTITIONS).flat_map(|partition| (55..60).map(move |at| (partition, at))).collect();
    assert_eq!(later.read.iter().copied().collect::<BTreeSet<_>>(), expected, "it goes on where they stopped");
    assert_eq!(later.read.len(), 20, "nothing twice");
}

#[test]
fn members_come_and_go_with_range() {
    members_come_and_go("range");
}

#[test]
fn members_come_and_go_with_roundrobin() {
    members_come_and_go("roundrobin");
}

#[test]
fn members_come_and_go_with_cooperative_sticky() {
    members_come_and_go("cooperative-sticky");
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let broker = quick_broker();
    let topic = new_topic(&broker, "static");
    write(&broker, &topic, 5);
    let join = |name| Member::join(&broker, &topic, &[("group.instance.id", name)]);
    let (mut one, mut two) = (join("one"), join("two"));
    until(&mut [&mut one, &mut two], |members| {
        distinct(members) == 20 && members.iter().all(|member| member.has().len() == 2)
    });
    let (had, rebalances) = (one.has(), rebalances(&mut two));
    drop(one);
    let mut again = join("one");
    until(&mut [&mut again, &mut two], |members| members[0].has().len() == 2);
    assert_eq!(again.has(), had);
    write(&broker, &topic, 5);
    until(&mut [&mut again, &mut two], |members| members[0].read.len() >= 10 && members[1].read.len() >= 20);
    assert_eq!(self::rebalances(&mut two), rebalances, "the others have noticed nothing");

    // A second one of the same name takes its place, and the first is told so.
    let mut other = join("one");
    until(&mut [&mut other, &mut two], |members| members[0].has().len() == 2);
    let deadline = Instant::now() + WAIT_MAX;
    let fenced = loop {
        assert!(Instant::now() < deadline, "it is not told");
        if let Err(error) = again.poll() {
            break error;
        }
    };
    let code = fenced.rdkafka_error_code();
    assert!(matches!(code, Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId)), "{fenced}");
}

/// How many rebalances a member counts, in statistics that are newer than the call.
fn rebalances(member: &mut Member) -> i64 {
    let before = member.statistics().map_or(0, |statistics| statistics.ts);
    until(&mut [member], |members| members[0].statistics().is_some_and(|told| told.ts > before && told.cgrp.is_some()));
    member.statistics().and_then(|told| told.cgrp).expect("it is in a group").rebalance_cnt
}

#[test]
fn groups_are_described_and_deleted() {
    let broker = quick_broker();
    let topic = new_topic(&broker, "described");
    write(&broker, &topic, 1);
    let mut member = Member::join(&broker, &topic, &[("client.id", "described")]);
    until(&mut [&mut member], |members| members[0].read.len() == 4);
    let list = |group: Option<&str>| -> GroupList {
        member.consumer.fetch_group_list(group, WAIT_MAX).expect("the broker answers")
    };
    let described = list(Some(&topic));
    let group = &described.groups()[0];
    assert_eq!((group.name(), group.state(), group.protocol_type()), (topic.as_str(), "Stable", "consumer"));
    assert_eq!(group.protocol(), "range");
    let told = &group.members()[0];
    assert_eq!((told.client_id(), told.client_host()), ("described", "/127.0.0.1"));
    assert!(told.id().starts_with("described-") && told.metadata().is_some() && told.assignment().is_some());
    assert!(list(None).groups().iter().any(|group| group.name() == topic), "it is listed");

    let admin: AdminClient<DefaultClientContext> = client_config(&broker).create().expect("a good config");
    let delete = || block_on(admin.delete_groups(&[&topic], &AdminOptions::new())).expect("an answer").remove(0);
    assert_eq!(delete().map_err(|(_, code)| code), Err(RDKafkaErrorCode::NonEmptyGroup));
    drop(member);
    assert_eq!(delete(), Ok(topic.clone()));
    assert_eq!(delete().map_err(|(_, code)| code), Err(RDKafkaErrorCode::GroupIdNotFound));
}

#[test]
fn offsets_are_kept_for_a_consumer_that_is_no_member() {
    let broker = quick_broker();
    let topic = new_topic(&broker, "no-member");
    write(&broker, &topic, 3);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", &topic)
        .create()
        .expect("a good config");
    let mut offsets = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        offsets.add_partition_offset(&topic, partition, Offset::Offset(i64::from(partition))).expect("a good offset");
    }
    let last = offsets.elements().len() - 1;
    offsets.elements()[last].set_metadata("kept as it was sent");
    consumer.commit(&offsets, CommitMode::Sync).expect("committed");
    let committed = consumer.committed_offsets(offsets.clone(), WAIT_MAX).expect("an answer");
    assert_eq!(committed, offsets);
    assert_eq!(committed.elements()[last].metadata(), "kept as it was sent");
}

#[test]
fn a_group_goes_on_when_the_broker_was_killed() {
    let mut broker = quick_broker();
    if !broker.is_ours() {
        return;
    }
    let topic = new_topic(&broker, "killed");
    write(&broker, &topic, 10);
    let mut first = Member::join(&broker, &topic, &[]);
    let mut second = Member::join(&broker, &topic, &[]);
    until(&mut [&mut first, &mut second], |members| {
        distinct(members) == 40 && members.iter().all(|member| member.has().len() == 2)
    });
    for round in 1..=2 {
        broker.kill();
        broker.start_again_at(broker.address());
        write(&broker, &topic, 10);
        let deadline = Instant::now() + 2 * WAIT_MAX;
        while distinct(&[&mut first, &mut second]) < 40 * (round + 1) {
            assert!(Instant::now() < deadline, "{} and {} read", first.read.len(), second.read.len());
            for member in [&mut first, &mut second] {
                // While the broker is away there are errors that the client gets over by itself.
                let _ = member.poll();
            }
        }
    }
    // What was committed is still so, for one who asks anew.
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(&topic, 0, PARTITIONS - 1);
    let committed = first.consumer.committed_offsets(asked, WAIT_MAX).expect("an answer");
    assert!(committed.elements().iter().all(|one| one.offset() == Offset::Offset(30)), "{committed:?}");
}
