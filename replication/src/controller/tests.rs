//! What requests make of an image: the codes that Kafka answers with, and records that apply.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::ids::{DirectoryId, Incarnation, LeaderEpoch, PartitionIndex};
use crate::limits;
use crate::metadata::{MetadataChange, TopicImage};

const DEFAULTS: TopicDefaults = TopicDefaults { num_partitions: 2, replication_factor: 1, partitions_max: 20_000 };

fn broker(id: i32) -> BrokerImage {
    BrokerImage {
        id: BrokerId(id),
        incarnation: Incarnation(1),
        host: "localhost".to_string(),
        port: 9092,
        directory_id: DirectoryId([1; 16]),
    }
}

fn image(brokers: &[i32], topics: &[&str]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for id in brokers {
        apply(&mut image, &start_broker(&broker(*id), true));
    }
    for (number, name) in (100..).zip(topics) {
        let results = create_topics(&image, &[new(name)], &DEFAULTS, &mut draw_from(number), &any_config, false);
        apply(&mut image, &results[0].outcome.as_ref().expect("the name is good").records);
    }
    image
}

fn apply(image: &mut MetadataImage, records: &[MetadataRecord]) -> Vec<MetadataChange> {
    image.apply(image.offset().next(), 1, records).expect("what the controller decided applies").changes
}

fn new(name: &str) -> NewTopic<'_> {
    NewTopic { name, num_partitions: -1, replication_factor: -1, ..NewTopic::default() }
}

fn draw_from(mut number: u128) -> impl FnMut() -> TopicId {
    move || {
        number += 1;
        TopicId((number << 64 | number).to_be_bytes())
    }
}

fn any_config(_: &str, _: &str) -> Result<(), String> {
    Ok(())
}

fn only_retention(key: &str, value: &str) -> Result<(), String> {
    if key != "retention.ms" {
        return Err(format!("there is no config '{key}'"));
    }
    value.parse::<i64>().map(|_| ()).map_err(|_| format!("'{value}' is no number"))
}

fn create(image: &MetadataImage, topics: &[NewTopic<'_>]) -> Vec<TopicResult> {
    create_topics(image, topics, &DEFAULTS, &mut draw_from(1), &only_retention, false)
}

fn code_of(image: &MetadataImage, topic: NewTopic<'_>) -> ErrorCode {
    let results = create(image, &[topic]);
    assert_eq!(results.len(), 1);
    match &results[0].outcome {
        Ok(_) => ErrorCode::NONE,
        Err(rejection) => {
            assert!(!rejection.message.is_empty());
            rejection.code
        }
    }
}

fn assigned<'a>(name: &'a str, partitions: &[(i32, &[i32])]) -> NewTopic<'a> {
    let assignment = |(index, ids): &(i32, &[i32])| NewAssignment { partition_index: *index, broker_ids: ids.to_vec() };
    NewTopic { assignments: partitions.iter().map(assignment).collect(), ..new(name) }
}

fn topic(image: &MetadataImage, name: &str) -> TopicImage {
    TopicImage::clone(image.topic_by_name(name).expect("it was created"))
}

#[test]
fn a_topic_gets_the_defaults() {
    let mut image = image(&[1], &[]);
    let mut wanted = new("a");
    wanted.configs = vec![("retention.ms", Some("5"))];
    let results = create(&image, &[wanted]);
    let created = results[0].outcome.as_ref().expect("it is a good topic");
    assert_eq!((created.num_partitions, created.replication_factor), (2, 1));
    apply(&mut image, &created.records);

    let topic = topic(&image, "a");
    assert_eq!(topic.id(), created.topic_id);
    assert_eq!(topic.configs()["retention.ms"], "5");
    for (index, partition) in (0..2).zip(topic.partitions()) {
        assert_eq!((partition.index, partition.leader), (PartitionIndex(index), BrokerId(1)));
        assert_eq!(partition.replicas, [BrokerId(1)]);
        assert_eq!(partition.leader_epoch, LeaderEpoch(0));
    }
}

#[test]
fn every_topic_of_a_request_fails_or_succeeds_alone() {
    let mut image = image(&[1], &["there"]);
    let mut no_config = new("no-config");
    no_config.configs = vec![("retention.mss", Some("1"))];
    let mut no_number = new("no-number");
    no_number.configs = vec![("retention.ms", Some("one"))];
    let mut no_value = new("no-value");
    no_value.configs = vec![("retention.ms", None)];
    let mut two_values = new("two-values");
    two_values.configs = vec![("retention.ms", Some("1")), ("retention.ms", Some("2"))];
    let request = [
        new("good"),
        new("there"),
        new("twice"),
        no_config,
        no_number,
        new("twice"),
        no_value,
        two_values,
        new("fine"),
    ];
    let results = create(&image, &request);
    let codes: Vec<(&str, ErrorCode)> = results
        .iter()
        .map(|result| (result.name.as_str(), result.outcome.as_ref().map_or_else(|no| no.code, |_| ErrorCode::NONE)))
        .collect();
    assert_eq!(
        codes,
        [
            ("good", ErrorCode::NONE),
            ("there", ErrorCode::TOPIC_ALREADY_EXISTS),
            ("twice", ErrorCode::INVALID_REQUEST),
            ("no-config", ErrorCode::INVALID_CONFIG),
            ("no-number", ErrorCode::INVALID_CONFIG),
            ("no-value", ErrorCode::INVALID_CONFIG),
            ("two-values", ErrorCode::NONE),
            ("fine", ErrorCode::NONE),
        ]
    );
    for created in results.iter().filter_map(|result| result.outcome.as_ref().ok()) {
        apply(&mut image, &created.records);
    }
    assert_eq!(image.topics().map(|topic| topic.name()).collect::<Vec<_>>(), ["fine", "good", "there", "two-values"]);
    assert_eq!(topic(&image, "two-values").configs()["retention.ms"], "2", "the later value is meant");
}

#[test]
fn names_are_kafkas() {
    let image = image(&[1], &["a.b"]);
    for name in ["", ".", "..", "a b", "a/b", &"x".repeat(250)] {
        assert_eq!(code_of(&image, new(name)), ErrorCode::INVALID_TOPIC_EXCEPTION, "{name:?}");
    }
    assert_eq!(code_of(&image, new("a_b")), ErrorCode::INVALID_TOPIC_EXCEPTION, "looks like a.b");
    assert_eq!(code_of(&image, new("a.b")), ErrorCode::TOPIC_ALREADY_EXISTS);
    assert_eq!(code_of(&image, new("__cluster_metadata")), ErrorCode::INVALID_REQUEST);
    assert_eq!(code_of(&image, new(&"x".repeat(249))), ErrorCode::NONE);

    let results = create(&image, &[new("c.d"), new("c_d")]);
    assert!(results[0].outcome.is_ok());
    let refused = results[1].outcome.as_ref().expect_err("it looks like the first");
    assert_eq!(refused.code, ErrorCode::INVALID_TOPIC_EXCEPTION);
}

#[test]
fn counts_are_kafkas() {
    let image = image(&[1, 2], &[]);
    let counted = |partitions, factor| {
        code_of(&image, NewTopic { num_partitions: partitions, replication_factor: factor, ..new("a") })
    };
    assert_eq!(counted(1, 1), ErrorCode::NONE);
    assert_eq!(counted(1, 2), ErrorCode::NONE);
    assert_eq!(counted(0, 1), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(counted(-2, 1), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(counted(i32::MIN, -1), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(counted(1, 0), ErrorCode::INVALID_REPLICATION_FACTOR);
    assert_eq!(counted(1, -2), ErrorCode::INVALID_REPLICATION_FACTOR);
    assert_eq!(counted(1, 3), ErrorCode::INVALID_REPLICATION_FACTOR);
    assert_eq!(counted(1, i16::MAX), ErrorCode::INVALID_REPLICATION_FACTOR);
    assert_eq!(counted(10_000, 1), ErrorCode::NONE);
    assert_eq!(counted(10_001, 1), ErrorCode::POLICY_VIOLATION);
    assert_eq!(counted(i32::MAX, 1), ErrorCode::POLICY_VIOLATION);
}

#[test]
fn a_request_has_a_bound_on_all_its_partitions() {
    let image = image(&[1], &[]);
    let half = |name| NewTopic { num_partitions: 5_000, ..new(name) };
    assert!(create(&image, &[half("a"), half("b")]).iter().all(|result| result.outcome.is_ok()));
    let results = create(&image, &[half("a"), half("b"), new("c"), new("c")]);
    let codes: Vec<_> = results.iter().map(|result| result.outcome.as_ref().expect_err("too many").code).collect();
    assert_eq!(
        codes,
        [ErrorCode::POLICY_VIOLATION, ErrorCode::POLICY_VIOLATION, ErrorCode::INVALID_REQUEST],
        "the whole request is refused"
    );
}

#[test]
fn all_topics_together_have_a_bound() {
    let mut image = image(&[1], &[]);
    let defaults = TopicDefaults { partitions_max: 5, ..DEFAULTS };
    let results =
        create_topics(&image, &[new("a"), new("b"), new("c")], &defaults, &mut draw_from(1), &any_config, false);
    let full = results[2].outcome.as_ref().expect_err("six are too many");
    assert_eq!(full.code, ErrorCode::POLICY_VIOLATION);
    for result in &results[..2] {
        apply(&mut image, &result.outcome.as_ref().expect("four are not").records);
    }
    let one = |count| NewTopic { num_partitions: count, ..new("d") };
    let last = |count| create_topics(&image, &[one(count)], &defaults, &mut draw_from(9), &any_config, false);
    assert!(last(1)[0].outcome.is_ok());
    assert!(last(2)[0].outcome.is_err());
}

#[test]
fn assignments_are_kafkas() {
    let mut image = image(&[1, 2, 3], &[]);
    type Assignment<'a> = &'a [(i32, &'a [i32])];
    let refused: [(&str, Assignment<'_>); 9] = [
        ("hole", &[(0, &[1]), (2, &[1])]),
        ("not from 0", &[(1, &[1])]),
        ("negative", &[(-1, &[1]), (0, &[1])]),
        ("twice", &[(0, &[1]), (0, &[2])]),
        ("no replica", &[(0, &[])]),
        ("same broker", &[(0, &[1, 1])]),
        ("unknown broker", &[(0, &[4])]),
        ("negative broker", &[(0, &[-1])]),
        ("uneven", &[(0, &[1, 2]), (1, &[1])]),
    ];
    for (what, partitions) in refused {
        assert_eq!(code_of(&image, assigned("a", partitions)), ErrorCode::INVALID_REPLICA_ASSIGNMENT, "{what}");
    }
    let with_count = NewTopic { num_partitions: 1, ..assigned("a", &[(0, &[1])]) };
    assert_eq!(code_of(&image, with_count), ErrorCode::INVALID_REQUEST);
    let with_factor = NewTopic { replication_factor: 1, ..assigned("a", &[(0, &[1])]) };
    assert_eq!(code_of(&image, with_factor), ErrorCode::INVALID_REQUEST);

    let results = create(&image, &[assigned("a", &[(1, &[3, 1]), (0, &[2, 3])])]);
    let created = results[0].outcome.as_ref().expect("it is a good assignment");
    assert_eq!((created.num_partitions, created.replication_factor), (2, 2));
    apply(&mut image, &created.records);
    let replicas: Vec<_> = topic(&image, "a").partitions().iter().map(|partition| partition.replicas.clone()).collect();
    assert_eq!(replicas, [[BrokerId(2), BrokerId(3)], [BrokerId(3), BrokerId(1)]]);
}

fn more(image: &MetadataImage, name: &str, count: i32, assignments: Option<&[&[i32]]>) -> ErrorCode {
    let assignments = assignments.map(|all| all.iter().map(|ids| ids.to_vec()).collect());
    let results = create_partitions(image, &[MorePartitions { name, count, assignments }], DEFAULTS.partitions_max);
    assert_eq!((results.len(), results[0].name.as_str()), (1, name));
    match &results[0].outcome {
        Ok(records) => {
            apply(&mut image.clone(), records);
            ErrorCode::NONE
        }
        Err(rejection) => {
            assert!(!rejection.message.is_empty());
            rejection.code
        }
    }
}

#[test]
fn new_partitions_are_kafkas() {
    let mut image = image(&[1, 2, 3], &[]);
    let created = create(&image, &[assigned("a", &[(0, &[2, 1]), (1, &[1, 3])])]);
    apply(&mut image, &created[0].outcome.as_ref().expect("it is a good topic").records);
    for (count, expected) in [
        (i32::MIN, ErrorCode::INVALID_PARTITIONS),
        (0, ErrorCode::INVALID_PARTITIONS),
        (1, ErrorCode::INVALID_PARTITIONS),
        (2, ErrorCode::INVALID_PARTITIONS),
        (3, ErrorCode::NONE),
        (10_002, ErrorCode::NONE),
        (10_003, ErrorCode::POLICY_VIOLATION),
        (i32::MAX, ErrorCode::POLICY_VIOLATION),
    ] {
        assert_eq!(more(&image, "a", count, None), expected, "{count}");
    }
    assert_eq!(more(&image, "b", 1, None), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(more(&image, "b", -1, Some(&[])), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(more(&image, "a", 2, Some(&[])), ErrorCode::INVALID_PARTITIONS);

    let wrong = ErrorCode::INVALID_REPLICA_ASSIGNMENT;
    for (assignments, expected) in [
        (&[][..], wrong),
        (&[&[1, 2][..]][..], wrong),
        (&[&[1, 2], &[2, 3], &[3, 1]], wrong),
        (&[&[1, 2], &[]], wrong),
        (&[&[1, 2], &[2, 2]], wrong),
        (&[&[1, 2], &[2, 4]], wrong),
        (&[&[1, 2], &[2, -1]], wrong),
        (&[&[1, 2], &[2]], wrong),
        (&[&[1, 2], &[2, 1, 3]], wrong),
        (&[&[3, 2], &[2, 1]], ErrorCode::NONE),
    ] {
        assert_eq!(more(&image, "a", 4, Some(assignments)), expected, "{assignments:?}");
    }
    // A wrong number of them comes before what is in them, and before any bound.
    assert_eq!(more(&image, "a", i32::MAX, Some(&[&[9]])), wrong);
}

#[test]
fn new_partitions_go_on_where_the_others_end() {
    let mut image = image(&[1, 2, 3], &[]);
    let wanted = NewTopic { num_partitions: 2, replication_factor: 2, ..new("a") };
    let results = create(&image, &[wanted]);
    apply(&mut image, &results[0].outcome.as_ref().expect("it is a good topic").records);
    for count in [5, 9] {
        let wanted = [MorePartitions { name: "a", count, assignments: None }];
        let results = create_partitions(&image, &wanted, DEFAULTS.partitions_max);
        apply(&mut image, results[0].outcome.as_ref().expect("there may be more"));
    }
    let topic = topic(&image, "a");
    assert_eq!(topic.partitions().len(), 9);
    for [one, next] in topic.partitions().windows(2).map(|pair| [&pair[0], &pair[1]]) {
        assert_eq!((one.leader, one.leader_epoch), (one.replicas[0], LeaderEpoch(0)));
        assert_eq!(next.leader, one.replicas[1], "the next leader is the next broker");
    }
}

#[test]
fn topics_get_more_partitions_on_their_own() {
    let mut image = image(&[1], &["a", "b", "c"]);
    let to = |name, count| MorePartitions { name, count, assignments: None };
    let wanted = [to("a", 3), to("b", 5), to("no", 3), to("b", 6), to("c", 10_001), to("c", 2)];
    let codes: Vec<_> = create_partitions(&image, &wanted, DEFAULTS.partitions_max)
        .into_iter()
        .map(|result| {
            (result.name, result.outcome.map_err(|no| no.code).map(|records| apply(&mut image, &records).len()))
        })
        .collect();
    let twice = Err(ErrorCode::INVALID_REQUEST);
    let expected = [("a", Ok(1)), ("b", twice), ("no", Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)), ("c", twice)];
    assert_eq!(codes, expected.map(|(name, result)| (name.to_string(), result)));
    assert_eq!(topic(&image, "a").partitions().len(), 3);

    // What one request creates is bounded over all its topics, and so is what there is.
    let wanted = [to("a", 3 + 6_000), to("b", 2 + 4_001), to("c", 2 + 4_000)];
    let codes = |max| {
        create_partitions(&image, &wanted, max)
            .into_iter()
            .map(|it| it.outcome.map_err(|no| no.code).is_ok())
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(20_000), [true, false, true]);
    assert_eq!(codes(7 + 6_000), [true, false, false]);
    assert_eq!(codes(7 + 5_999), [false, true, false]);
}

#[test]
fn where_brokers_are_gone_nothing_can_be_placed() {
    let mut image = image(&[], &[]);
    let partitions = vec![crate::metadata::PartitionAssignment {
        index: PartitionIndex(0),
        replicas: vec![BrokerId(1), BrokerId(2)],
        leader: BrokerId(1),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: crate::ids::PartitionEpoch(0),
    }];
    apply(&mut image, &[MetadataRecord::Topic { name: "a".to_string(), topic_id: TopicId([5; 16]), partitions }]);
    assert_eq!(more(&image, "a", 2, None), ErrorCode::INVALID_REPLICATION_FACTOR);
    apply(&mut image, &start_broker(&broker(1), true));
    assert_eq!(more(&image, "a", 2, None), ErrorCode::INVALID_REPLICATION_FACTOR);
    apply(&mut image, &start_broker(&broker(2), true));
    assert_eq!(more(&image, "a", 2, None), ErrorCode::NONE);
}

#[test]
fn without_a_broker_nothing_can_be_placed() {
    assert_eq!(code_of(&MetadataImage::default(), new("a")), ErrorCode::INVALID_REPLICATION_FACTOR);
}

#[test]
fn to_validate_is_to_decide_and_not_to_record() {
    let image = image(&[1], &["there"]);
    let request = [new("a"), new("there")];
    let real = create_topics(&image, &request, &DEFAULTS, &mut draw_from(1), &any_config, false);
    let tried = create_topics(&image, &request, &DEFAULTS, &mut draw_from(1), &any_config, true);
    assert_eq!(tried[1], real[1]);
    let (tried, real) = (tried[0].outcome.as_ref().expect("good"), real[0].outcome.as_ref().expect("good"));
    assert_eq!(*tried, CreatedTopic { records: Vec::new(), ..real.clone() });
}

#[test]
fn topic_ids_are_neither_reserved_nor_taken() {
    let image = image(&[1], &["there"]);
    let taken = topic(&image, "there").id();
    let dash = TopicId([0xfb; 16]);
    assert!(dash.to_string().starts_with('-'));
    let one = TopicId(1_u128.to_be_bytes());
    let good = TopicId([5; 16]);
    let mut ids = vec![TopicId::ZERO, one, dash, taken, good, good, TopicId([6; 16])].into_iter();
    let mut draw = || ids.next().expect("enough");
    let results = create_topics(&image, &[new("a"), new("b")], &DEFAULTS, &mut draw, &any_config, false);
    let drawn: Vec<TopicId> =
        results.iter().map(|result| result.outcome.as_ref().expect("good names").topic_id).collect();
    assert_eq!(drawn, [good, TopicId([6; 16])]);
}

#[test]
fn a_topic_that_fits_into_no_entry_is_refused() {
    let image = image(&[1], &[]);
    let long = "v".repeat(limits::STRING_BYTES_MAX);
    let keys: Vec<String> = (0..33).map(|number| number.to_string()).collect();
    let mut wanted = new("a");
    wanted.configs = keys.iter().map(|key| (key.as_str(), Some(long.as_str()))).collect();
    let results = create_topics(&image, &[wanted], &DEFAULTS, &mut draw_from(1), &any_config, false);
    assert_eq!(results[0].outcome.as_ref().expect_err("it is too large").code, ErrorCode::INVALID_REQUEST);
}

#[test]
fn a_topic_is_deleted_by_name_or_id() {
    let mut image = image(&[1], &["a", "b"]);
    let id = topic(&image, "b").id();
    let by_name = delete_topic(&image, TopicRef::Name("a")).expect("it is there");
    let by_id = delete_topic(&image, TopicRef::Id(id)).expect("it is there");
    assert!(
        matches!(apply(&mut image, &by_name).as_slice(), [MetadataChange::TopicDeleted(gone)] if gone.name() == "a")
    );
    apply(&mut image, &by_id);
    assert_eq!(image.topics().len(), 0);
    let unknown = |topic| delete_topic(&image, topic).expect_err("it is gone").code;
    assert_eq!(unknown(TopicRef::Name("a")), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(unknown(TopicRef::Id(id)), ErrorCode::UNKNOWN_TOPIC_ID);
}

#[test]
fn deletions_are_decided_on_their_own() {
    let image = image(&[1], &["a", "b", "c", "d", "e"]);
    let id = |name: &str| topic(&image, name).id();
    let by_name = |name| TopicToDelete { name: Some(name), ..TopicToDelete::default() };
    let by_id = |topic_id| TopicToDelete { name: None, topic_id };
    let missing = TopicId([0xee; 16]);
    let request = [
        by_name("a"),
        by_id(id("b")),
        by_name("c"),
        by_name("c"),
        by_name("no"),
        by_id(missing),
        by_id(TopicId::ZERO),
        TopicToDelete { name: Some("d"), topic_id: id("d") },
        by_name(""),
        by_id(id("e")),
        by_name("e"),
    ];
    let results = delete_topics(&image, &request);
    let rows: Vec<_> = results
        .iter()
        .map(|result| {
            let outcome = result.outcome.as_ref().map(Vec::len).map_err(|rejection| rejection.code);
            (result.name.as_deref(), result.topic_id, outcome)
        })
        .collect();
    let refused = Err(ErrorCode::INVALID_REQUEST);
    let unknown = Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let expected = [
        (Some("a"), id("a"), Ok(1)),
        (Some("b"), id("b"), Ok(1)),
        (Some("c"), TopicId::ZERO, refused),
        (Some("no"), TopicId::ZERO, unknown),
        (None, missing, Err(ErrorCode::UNKNOWN_TOPIC_ID)),
        (None, TopicId::ZERO, refused),
        (Some("d"), id("d"), refused),
        (Some(""), TopicId::ZERO, unknown),
        (Some("e"), id("e"), refused),
    ];
    assert_eq!(rows, expected);
    let gone = MetadataRecord::RemoveTopic { topic_id: id("a") };
    assert_eq!(results[0].outcome, Ok(vec![gone]));

    // A name that is given twice says nothing about the topic's id.
    let results = delete_topics(&image, &[by_name("a"), by_id(id("a")), by_name("a"), by_id(id("b")), by_id(id("b"))]);
    let rows: Vec<_> = results.iter().map(|result| (result.name.as_deref(), result.outcome.is_ok())).collect();
    assert_eq!(rows, [(Some("a"), false), (Some("a"), true), (None, false)]);
}

#[test]
fn producer_ids_are_given_out_once() {
    let mut image = image(&[1], &[]);
    for round in 0..3 {
        let block = allocate_producer_ids(&image, BrokerId(1), PRODUCER_ID_BLOCK_LENGTH).expect("there are plenty");
        assert_eq!((block.first, block.length), (ProducerId(round * 1000), 1000));
        apply(&mut image, &block.records);
    }
    let unknown = allocate_producer_ids(&image, BrokerId(2), 1).expect_err("no such broker");
    assert_eq!(unknown.code, ErrorCode::BROKER_ID_NOT_REGISTERED);

    let most = MetadataRecord::ProducerIdBlock {
        broker_id: BrokerId(1),
        first_producer_id: ProducerId(3000),
        next_producer_id: ProducerId(i64::MAX),
    };
    apply(&mut image, &[most]);
    let none_left = allocate_producer_ids(&image, BrokerId(1), 1).expect_err("they are used up");
    assert_eq!(none_left.code, ErrorCode::UNKNOWN_SERVER_ERROR);
}

#[test]
fn an_unclean_start_raises_the_epochs_of_what_the_broker_leads() {
    let mut image = image(&[1, 2], &[]);
    let both = create(&image, &[assigned("a", &[(0, &[1, 2]), (1, &[2, 1])])]);
    apply(&mut image, &both[0].outcome.as_ref().expect("good").records);
    let again = BrokerImage { incarnation: Incarnation(2), ..broker(1) };
    assert_eq!(start_broker(&again, true).len(), 1);
    let changes = apply(&mut image, &start_broker(&again, false));
    let epochs: Vec<_> = topic(&image, "a").partitions().iter().map(|partition| partition.leader_epoch.0).collect();
    assert_eq!(epochs, [1, 0]);
    assert!(matches!(
        changes.as_slice(),
        [MetadataChange::LeaderEpochsRaised { partitions, .. }, MetadataChange::BrokerRegistered(broker)]
            if *partitions == [PartitionIndex(0)] && broker.incarnation == Incarnation(2)
    ));
}

#[test]
fn refusals_have_kafkas_codes() {
    let code = |error: ApplyError| Rejection::from(&error).code;
    assert_eq!(code(ApplyError::TopicExists("a".to_string())), ErrorCode::TOPIC_ALREADY_EXISTS);
    let alike = ApplyError::TopicLooksAlike("a.b".to_string(), "a_b".to_string());
    assert_eq!(code(alike), ErrorCode::INVALID_TOPIC_EXCEPTION);
    assert_eq!(code(ApplyError::UnknownTopicId(TopicId::ZERO)), ErrorCode::UNKNOWN_TOPIC_ID);
    assert_eq!(Rejection::from(ProposeError::NotLeader).code, ErrorCode::NOT_CONTROLLER);
    assert_eq!(Rejection::from(ProposeError::Overloaded).code, ErrorCode::THROTTLING_QUOTA_EXCEEDED);
    assert_eq!(Rejection::from(TopicNameError::Empty).code, ErrorCode::INVALID_TOPIC_EXCEPTION);
}

proptest! {
    #[test]
    fn whatever_is_asked_is_refused_or_applies(
        brokers in prop::collection::btree_set(0..5_i32, 0..4),
        asked in prop::collection::vec(
            (0..6_usize, -3..5_i32, -3..5_i16, prop::collection::vec((-1..4_i32, prop::collection::vec(-1..5_i32, 0..4)), 0..3)),
            0..8,
        ),
    ) {
        let mut image = image(&brokers.into_iter().collect::<Vec<_>>(), &[]);
        let names = ["a", "b", "a.b", "a_b", "", "a b"];
        let request: Vec<NewTopic<'_>> = asked
            .into_iter()
            .map(|(name, num_partitions, replication_factor, assignments)| NewTopic {
                name: names[name],
                num_partitions,
                replication_factor,
                assignments: assignments
                    .into_iter()
                    .map(|(partition_index, broker_ids)| NewAssignment { partition_index, broker_ids })
                    .collect(),
                configs: Vec::new(),
            })
            .collect();
        for result in create(&image, &request) {
            prop_assert_eq!(request.iter().filter(|topic| topic.name == result.name).count() > 1,
                matches!(&result.outcome, Err(no) if no.code == ErrorCode::INVALID_REQUEST && no.message.contains("more than once")));
            if let Ok(created) = &result.outcome {
                apply(&mut image, &created.records);
                let topic = topic(&image, &result.name);
                prop_assert_eq!(topic.partitions().len(), created.num_partitions as usize);
                let known = |id: &BrokerId| image.brokers().contains_key(id);
                prop_assert!(topic.partitions().iter().all(|partition| partition.replicas.iter().all(known)
                    && partition.leader == partition.replicas[0]
                    && partition.replicas.len() == created.replication_factor as usize));
            }
        }
    }
}
