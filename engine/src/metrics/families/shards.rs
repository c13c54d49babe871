//! What is ours: each shard with its host.

use std::fmt::Error;

use super::Families;
use crate::metrics::panel::HostFigures;
use crate::metrics::report::Page;

/// Which number of a host.
type Number = fn(&HostFigures) -> u64;
/// A family of shards: its name, its meaning, and its number.
type ShardFamily = (&'static str, &'static str, Number);

const COUNTERS: [ShardFamily; 17] = [
    ("corelog_shard_turns", "Turns of the host.", |host| host.counts.turns),
    ("corelog_shard_slow_turns", "Turns above a millisecond.", |host| host.counts.slow_turns),
    ("corelog_shard_sleeps", "How often the host slept for want of work.", |host| host.counts.sleeps),
    ("corelog_shard_completions", "Completions of ring operations.", |host| host.counts.completions),
    ("corelog_shard_ring_enters", "Calls of io_uring_enter.", |host| host.ring_enters),
    ("corelog_shard_connections_accepted", "Connections accepted.", |host| host.counts.connections.accepted),
    ("corelog_shard_connections_refused", "Connections refused for a quota.", |host| host.counts.connections.refused),
    ("corelog_shard_connections_faulty", "Connections closed for a fault of the client.", |host| {
        host.counts.connections.faulty
    }),
    ("corelog_shard_request_frames", "Whole requests received.", |host| host.counts.connections.frames),
    ("corelog_shard_commits", "Journal commits.", |host| host.shard.commits.count()),
    ("corelog_shard_journal_written_bytes", "Bytes handed to the disk for commits.", |host| {
        host.shard.logs.journal_written_bytes
    }),
    ("corelog_shard_tail_hits", "Reads of partitions that memory answered.", |host| host.shard.logs.counts.tail_hits),
    ("corelog_shard_tail_misses", "Reads of partitions that went to segments.", |host| {
        host.shard.logs.counts.tail_misses
    }),
    ("corelog_shard_segment_read_bytes", "Bytes of batches from segments.", |host| {
        host.shard.logs.counts.segment_bytes
    }),
    ("corelog_shard_cleanings", "Compactions of a partition.", |host| host.shard.cleaner.cleanings),
    ("corelog_shard_cleaner_read_bytes", "Bytes that compaction read.", |host| host.shard.cleaner.bytes_read),
    ("corelog_shard_cleaner_written_bytes", "Bytes that compaction wrote.", |host| host.shard.cleaner.bytes_written),
];

const GAUGES: [ShardFamily; 22] = [
    ("corelog_shard_ring_in_flight", "Operations in flight on the ring.", |host| host.ring_in_flight),
    ("corelog_shard_ring_backlog", "Operations that wait for a place in the ring.", |host| host.ring_backlog),
    ("corelog_shard_connections", "Open connections.", |host| host.connections),
    ("corelog_shard_frames_waiting", "Requests above 16 KiB that wait for memory.", |host| host.frames_waiting),
    ("corelog_shard_requests_waiting", "Requests that wait: for a commit, records, other shards, metadata.", |host| {
        host.shard.front.requests_waiting
    }),
    ("corelog_shard_produce_waiting_for_room", "Produce requests that wait for room in the log.", |host| {
        host.shard.front.produce_waiting_for_room
    }),
    ("corelog_shard_fetches_waiting_for_memory", "Fetches that wait for memory.", |host| {
        host.shard.front.fetches_waiting_for_memory
    }),
    (
        "corelog_shard_connections_waiting_to_be_sent",
        "Connections that have to read before they are answered.",
        |host| host.shard.front.connections_waiting_to_be_sent,
    ),
    ("corelog_shard_lending_connections", "Connections that are sent batches from files.", |host| {
        host.shard.front.lending_connections
    }),
    ("corelog_shard_journal_files_used", "Files of the journal in use.", |host| host.shard.logs.journal_files_used),
    ("corelog_shard_journal_files_max", "How many files the journal may have.", |host| {
        host.shard.logs.journal_files_max
    }),
    ("corelog_shard_journal_used_bytes", "Bytes of commits in the files in use.", |host| {
        host.shard.logs.journal_used_bytes
    }),
    ("corelog_shard_journal_capacity_bytes", "Bytes of all files that the journal may have.", |host| {
        host.shard.logs.journal_files_max * host.shard.logs.journal_file_bytes
    }),
    ("corelog_shard_journal_unwritten_bytes", "Bytes of commits that are gathered or being written.", |host| {
        host.shard.logs.journal_unwritten_bytes
    }),
    ("corelog_shard_dirty_bytes", "Bytes that are not written back to segments.", |host| host.shard.logs.dirty_bytes),
    ("corelog_shard_write_back_jobs", "Jobs of the disk in flight: writing back, checkpoints, removals.", |host| {
        host.shard.logs.write_back_jobs
    }),
    ("corelog_shard_tail_capacity_bytes", "Memory that the tail cache may take.", |host| {
        host.shard.logs.tail_bytes_max
    }),
    ("corelog_shard_disk_full", "1 while records are refused for want of space.", |host| {
        u64::from(host.shard.logs.is_disk_full)
    }),
    ("corelog_shard_partitions", "Partitions of the shard.", |host| host.shard.partition_count),
    ("corelog_shard_groups", "Consumer groups of the shard.", |host| host.shard.group_count),
    ("corelog_shard_cleanable_partitions", "Partitions to be compacted, when this was last looked at.", |host| {
        host.shard.cleaner.cleanable_partitions
    }),
    ("corelog_shard_uncleanable_partitions", "Partitions that cannot be compacted.", |host| {
        host.shard.cleaner.uncleanable_partitions
    }),
];

/// Memory by what it is for; that for large requests is the node's and stands apart.
const MEMORY: [(&str, Number); 6] = [
    ("tail", |host| host.shard.logs.tail_bytes),
    ("reads", |host| host.shard.logs.read_bytes),
    ("answers", |host| host.shard.front.read_bytes),
    ("indexes", |host| host.shard.logs.index_bytes),
    ("lent_frames", |host| host.shard.front.lent_bytes),
    ("unfinished_frames", |host| host.unfinished_bytes),
];

pub(super) fn encode(page: &Page, out: &mut Families<'_>) -> Result<(), Error> {
    let mut family = out.gauge("corelog_shard_responding", "1 if the shard answered this scrape within a second.")?;
    for (shard, (_, responds)) in page.hosts.iter().enumerate() {
        family.sample(&[("shard", &shard.to_string())], u64::from(*responds))?;
    }
    let mut family = out.counter("corelog_shard_cpu_seconds", "CPU time of the shard's thread.")?;
    for (shard, host) in page.known() {
        family.real(&[("shard", &shard.to_string())], host.cpu_us as f64 / 1e6)?;
    }
    for (name, help, value) in COUNTERS {
        let mut family = out.counter(name, help)?;
        for (shard, host) in page.known() {
            family.sample(&[("shard", &shard.to_string())], value(host))?;
        }
    }
    for (name, help, value) in GAUGES {
        let mut family = out.gauge(name, help)?;
        for (shard, host) in page.known() {
            family.sample(&[("shard", &shard.to_string())], value(host))?;
        }
    }
    let mut family = out.gauge("corelog_shard_memory_bytes", "Memory in use by what it is for.")?;
    for (shard, host) in page.known() {
        for (purpose, bytes) in MEMORY {
            family.sample(&[("shard", &shard.to_string()), ("purpose", purpose)], bytes(host))?;
        }
    }
    // All hosts borrow from the same budget, so each knows all of it.
    if let Some(bytes) = page.known().map(|(_, host)| host.frame_bytes).max() {
        out.gauge("corelog_frame_memory_bytes", "Memory lent for requests above 16 KiB.")?.sample(&[], bytes)?;
    }
    let mut family =
        out.histogram("corelog_shard_commit_seconds", "From a commit's submission until it is durable.")?;
    for (shard, host) in page.known() {
        family.sample(&[("shard", &shard.to_string())], host.shard.commits.latency())?;
    }
    if let Some(logs) = page.known().map(|(_, host)| host.shard.logs).find(|logs| logs.volume_bytes > 0) {
        out.gauge("corelog_volume_free_bytes", "Free space of the data directory's file system.")?
            .sample(&[], logs.volume_free_bytes)?;
        out.gauge("corelog_volume_bytes", "All of that file system.")?.sample(&[], logs.volume_bytes)?;
    }
    Ok(())
}
