//! What Kafka's brokers show: `kafka.server`, `kafka.network`, `kafka.log`, `kafka.controller`.

use std::fmt::Error;

use corelog_shard::metrics::{PartitionCounts, PartitionFigures};

use super::Families;
use crate::metrics::report::{Page, QUANTILES};

pub(super) fn encode(page: &Page, out: &mut Families<'_>) -> Result<(), Error> {
    topics(page, out)?;
    requests(page, out)?;
    partitions(page, out)?;
    node(page, out)?;
    let mut family = out.gauge("kafka_server_socket_server_metrics_connection_count", "Open connections.")?;
    for (host, figures) in page.known() {
        let labels = [("listener", "PLAINTEXT"), ("network_processor", &*host.to_string())];
        family.sample(&labels, figures.connections)?;
    }
    Ok(())
}

/// A family of the broker's topics: its name, its meaning, and which count it is.
type TopicFamily = (&'static str, &'static str, fn(&PartitionCounts) -> u64);

const TOPICS: [TopicFamily; 7] = [
    ("messagesin", "Records appended, of all topics and of each.", |counts| counts.records_in),
    ("bytesin", "Bytes of record batches appended, as they are stored.", |counts| counts.bytes_in),
    ("bytesout", "Bytes of record batches read for consumers.", |counts| counts.bytes_out),
    ("totalproducerequests", "Partitions in produce requests, by topic.", |counts| counts.produce_requests),
    ("failedproducerequests", "Those whose records were refused.", |counts| counts.failed_produce_requests),
    ("totalfetchrequests", "Partitions in fetch requests from which was read, by topic.", |counts| {
        counts.fetch_requests
    }),
    ("failedfetchrequests", "Those that could not be read.", |counts| counts.failed_fetch_requests),
];

fn topics(page: &Page, out: &mut Families<'_>) -> Result<(), Error> {
    let mut total = PartitionCounts::default();
    page.known().for_each(|(_, figures)| total.add(&figures.shard.total));
    for (name, help, count) in TOPICS {
        let name = format!("kafka_server_brokertopicmetrics_{name}");
        let mut family = out.counter(&name, help)?;
        family.sample(&[], count(&total))?;
        for (name, topic) in &page.topics {
            family.sample(&[("topic", name)], count(&topic.counts))?;
        }
    }
    let mut family = out.gauge("kafka_topic_partitions", "Partitions of a topic that this node leads.")?;
    for (name, topic) in &page.topics {
        family.sample(&[("topic", name)], topic.partitions)?;
    }
    out.gauge("corelog_topics_left_out", "Topics that are not shown one by one, since there are too many.")?
        .sample(&[], page.topics_left_out)
}

fn requests(page: &Page, out: &mut Families<'_>) -> Result<(), Error> {
    let mut family = out.counter("kafka_network_requestmetrics_requests", "Requests answered.")?;
    for (api, figures) in page.requests.iter() {
        for (version, count) in figures.versions.iter().enumerate().filter(|(_, count)| **count > 0) {
            family.sample(&[("request", api.name()), ("version", &version.to_string())], *count)?;
        }
    }
    let name = "kafka_network_requestmetrics_totaltimems";
    let help = "Milliseconds from a whole request to its answer's way to the socket, over the last minute of scrapes.";
    let mut family = out.gauge(name, help)?;
    for times in &page.recent {
        for (quantile, us) in QUANTILES.iter().zip(times.quantiles_us) {
            family.real(&[("request", times.api), ("quantile", quantile)], us as f64 / 1e3)?;
        }
    }
    // Its type would be a counter, if its name could end as that of one.
    let mut family =
        out.gauge("kafka_network_requestmetrics_totaltimems_count", "Requests answered, since the start.")?;
    for (api, figures) in page.requests.iter() {
        family.sample(&[("request", api.name())], figures.latency.count())?;
    }
    let help = "From a whole request to its answer's way to the socket.";
    let mut family = out.histogram("corelog_request_seconds", help)?;
    for (api, figures) in page.requests.iter() {
        family.sample(&[("request", api.name())], &figures.latency)?;
    }
    Ok(())
}

/// A family of partitions.
type PartitionFamily = (&'static str, &'static str, fn(&PartitionFigures) -> i64);

const PARTITIONS: [PartitionFamily; 6] = [
    ("kafka_log_log_size", "Bytes of a partition's segments, those still in the journal included.", |p| {
        i64::try_from(p.bytes).unwrap_or(i64::MAX)
    }),
    ("kafka_log_log_numlogsegments", "Segments of a partition.", |p| i64::try_from(p.segments).unwrap_or(i64::MAX)),
    ("kafka_log_log_logstartoffset", "The first offset of a partition.", |p| p.log_start_offset),
    ("kafka_log_log_logendoffset", "The offset of a partition's next record.", |p| p.log_end_offset),
    ("kafka_topic_partition_oldest_offset", "The first offset that consumers can read.", |p| p.log_start_offset),
    ("kafka_topic_partition_current_offset", "The offset up to which consumers can read.", |p| p.high_watermark),
];

fn partitions(page: &Page, out: &mut Families<'_>) -> Result<(), Error> {
    for (name, help, value) in PARTITIONS {
        let mut family = out.gauge(name, help)?;
        for (_, host) in page.known() {
            for partition in &host.shard.partitions {
                let topic = &host.shard.topics[partition.topic].name;
                family.offset(&[("topic", topic), ("partition", &partition.index.to_string())], value(partition))?;
            }
        }
    }
    let left_out = page.known().map(|(_, host)| host.shard.partition_count - host.shard.partitions.len() as u64).sum();
    out.gauge("corelog_partitions_left_out", "Partitions that are not shown one by one, since there are too many.")?
        .sample(&[], left_out)
}

fn node(page: &Page, out: &mut Families<'_>) -> Result<(), Error> {
    let partitions = page.known().map(|(_, host)| host.shard.partition_count).sum();
    let replica_manager = "kafka_server_replicamanager_";
    for (name, help, value) in [
        ("partitioncount", "Partitions of which this node has a replica.", partitions),
        ("leadercount", "Partitions that this node leads.", partitions),
        // The only replica of each is in sync as long as the broker runs: it ends otherwise.
        ("underreplicatedpartitions", "Partitions with replicas that are not in sync.", 0),
        ("underminisrpartitioncount", "Partitions with fewer replicas in sync than they need.", 0),
    ] {
        out.gauge(&format!("{replica_manager}{name}"), help)?.sample(&[], value)?;
    }
    let Some(node) = page.known().find_map(|(_, host)| host.shard.node) else { return Ok(()) };
    let controller = "kafka_controller_kafkacontroller_";
    for (name, help, value) in [
        ("activecontrollercount", "1 on the active controller.", 1),
        ("activebrokercount", "Brokers that are registered.", node.brokers),
        ("globaltopiccount", "Topics.", node.topics),
        ("globalpartitioncount", "Partitions of all topics.", node.partitions),
        ("offlinepartitionscount", "Partitions without a leader.", 0),
    ] {
        out.gauge(&format!("{controller}{name}"), help)?.sample(&[], value)?;
    }
    let dirty = page.known().map(|(_, host)| host.shard.cleaner.max_dirty_ratio).fold(0.0, f64::max);
    let name = "kafka_log_logcleanermanager_max_dirty_percent";
    out.gauge(name, "How much of the dirtiest compacted partition is dirty.")?.real(&[], dirty * 100.0)?;
    let uncleanable = page.known().map(|(_, host)| host.shard.cleaner.uncleanable_partitions).sum();
    let name = "kafka_log_logcleanermanager_uncleanable_partitions_count";
    out.gauge(name, "Partitions that cannot be compacted.")?.sample(&[], uncleanable)?;
    out.gauge("kafka_brokers", "Brokers that are registered.")?.sample(&[], node.brokers)?;
    out.gauge("corelog_metadata_offset", "The last offset of the metadata log that is applied.")?
        .sample(&[], node.metadata_offset)
}
