use std::collections::BTreeSet;

use corelog_shard::metrics::{GroupFigures, NodeFigures, PartitionCounts, PartitionFigures, TopicFigures};
use corelog_wire::ids::TopicId;

use super::super::panel::{HostFigures, Phase};
use super::super::report::Report;
use super::encode;

fn topic(name: &str, records_in: u64) -> TopicFigures {
    let counts = PartitionCounts { records_in, ..PartitionCounts::default() };
    TopicFigures { id: TopicId([7; 16]), name: name.to_owned(), partitions: 1, counts }
}

fn partition(topic: usize, index: i32, high_watermark: i64) -> PartitionFigures {
    PartitionFigures {
        topic,
        index,
        bytes: 100,
        segments: 1,
        log_start_offset: 0,
        log_end_offset: high_watermark,
        high_watermark,
    }
}

/// Two hosts with a topic on both; the first has another one that was deleted, and a group.
fn hosts() -> [HostFigures; 2] {
    let mut hosts = [HostFigures::default(), HostFigures::default()];
    hosts[0].cpu_us = 1_500_000;
    hosts[0].shard.node = Some(NodeFigures { topics: 1, partitions: 3, brokers: 1, metadata_offset: 9 });
    hosts[0].shard.total.records_in = 15;
    for (host, records_in) in hosts.iter_mut().zip([5, 7]) {
        host.shard.total.records_in += records_in;
        host.shard.topics.push(topic("a\"b", records_in));
    }
    hosts[0].shard.partitions = vec![partition(0, 0, 5)];
    hosts[0].shard.partition_count = 2;
    hosts[1].shard.partitions = vec![partition(0, 1, 7)];
    hosts[1].shard.partition_count = 1;
    let committed = vec![("a\"b".to_owned(), 1, 3), ("a\"b".to_owned(), 0, 9), ("gone".to_owned(), 0, 1)];
    hosts[0].shard.groups.push(GroupFigures { group: "g".to_owned(), state: "Stable", members: 2, committed });
    hosts[0].shard.group_count = 3;
    hosts
}

fn page(report: &mut Report) -> String {
    encode(report.page(Phase::Serving, 1))
}

#[test]
fn a_page_sums_over_shards_where_kafka_has_one_number() {
    let mut report = Report::new(2);
    report.asked();
    for (host, figures) in hosts().into_iter().enumerate() {
        report.answered(host, figures);
    }
    assert!(report.is_complete());
    let page = page(&mut report);
    for line in [
        "kafka_server_brokertopicmetrics_messagesin_total 27",
        "kafka_server_brokertopicmetrics_messagesin_total{topic=\"a\\\"b\"} 12",
        "kafka_topic_partitions{topic=\"a\\\"b\"} 2",
        "kafka_server_replicamanager_partitioncount 3",
        "kafka_controller_kafkacontroller_activecontrollercount 1",
        "kafka_controller_kafkacontroller_globalpartitioncount 3",
        "kafka_log_log_logendoffset{topic=\"a\\\"b\",partition=\"1\"} 7",
        "kafka_consumergroup_members{consumergroup=\"g\"} 2",
        "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"a\\\"b\",partition=\"1\"} 4",
        "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"a\\\"b\",partition=\"0\"} 0",
        "corelog_partitions_left_out 1",
        "corelog_groups_left_out 2",
        "corelog_group_state{consumergroup=\"g\",state=\"Stable\"} 1",
        "corelog_shard_cpu_seconds_total{shard=\"0\"} 1.5",
        "corelog_shard_responding{shard=\"1\"} 1",
        "corelog_phase{phase=\"serving\"} 1",
    ] {
        assert!(page.lines().any(|have| have == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("kafka_consumergroup_lag{consumergroup=\"g\",topic=\"gone\""), "its end is not known");
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn what_a_silent_host_told_before_stays() {
    let mut report = Report::new(2);
    let [first, second] = hosts();
    report.answered(0, first);
    report.answered(1, second);
    report.asked();
    report.answered(0, hosts()[0].clone());
    assert!(!report.is_complete());
    report.give_up();
    assert_eq!(report.silent().collect::<Vec<_>>(), [1]);
    let page = page(&mut report);
    assert!(page.contains("corelog_shard_responding{shard=\"1\"} 0\n"));
    assert!(page.contains("kafka_server_brokertopicmetrics_messagesin_total 27\n"), "counters do not fall");
}

/// Both text formats ask for it: a family has one head, its samples follow it, and none is there twice.
#[test]
fn every_family_stands_together_and_every_sample_once() {
    let mut report = Report::new(2);
    hosts().into_iter().enumerate().for_each(|(host, figures)| report.answered(host, figures));
    let page = page(&mut report);
    let (mut families, mut samples, mut family) = (BTreeSet::new(), BTreeSet::new(), "");
    for line in page.lines().filter(|line| *line != "# EOF") {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(families.insert(name), "{name} is there twice");
            assert!(help.ends_with('.'), "{name}: {help}");
            family = name;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "0.0.4 knows no {kind}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(samples.insert(sample), "{sample} is there twice");
            let name = sample.split('{').next().unwrap();
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{name} is not of {family}"));
            assert!(matches!(suffix, "" | "_total" | "_bucket" | "_sum" | "_count"), "{name}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(families.len() > 50);
}

#[test]
fn before_there_are_hosts_there_is_the_process() {
    let page = encode(Report::new(3).page(Phase::Recovering, 1));
    assert!(
        page.contains("corelog_phase{phase=\"recovering\"} 1\n") && page.contains("process_resident_memory_bytes ")
    );
    assert!(page.contains("corelog_shard_responding{shard=\"2\"} 0\n"));
}
