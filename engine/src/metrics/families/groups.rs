//! Consumer groups, under the names of kafka_exporter.
//!
//! The shard that coordinates a group knows what it committed, the shards that own the partitions know where these end:
//! both come together here. A partition that is not shown by itself has no lag here either.

use std::collections::HashMap;
use std::fmt::Error;

use super::Families;
use crate::metrics::report::Page;

pub(super) fn encode(page: &Page, out: &mut Families<'_>) -> Result<(), Error> {
    let groups = || page.known().flat_map(|(_, host)| &host.shard.groups);
    let left_out = page.known().map(|(_, host)| host.shard.group_count - host.shard.groups.len() as u64).sum();
    out.gauge("corelog_groups_left_out", "Consumer groups that are not shown one by one, since there are too many.")?
        .sample(&[], left_out)?;
    if groups().next().is_none() {
        return Ok(());
    }
    let mut family = out.gauge("kafka_consumergroup_members", "Members of a consumer group.")?;
    for group in groups() {
        family.sample(&[("consumergroup", &group.group)], group.members)?;
    }
    let mut family = out.gauge("corelog_group_state", "1 for the state that a group is in.")?;
    for group in groups() {
        family.sample(&[("consumergroup", &group.group), ("state", group.state)], 1)?;
    }
    let mut family = out.gauge("kafka_consumergroup_current_offset", "What a group has committed of a partition.")?;
    for group in groups() {
        for (topic, partition, offset) in &group.committed {
            let partition = partition.to_string();
            let labels = [("consumergroup", &*group.group), ("topic", topic), ("partition", &partition)];
            family.offset(&labels, *offset)?;
        }
    }
    let mut ends: HashMap<(&str, i32), i64> = HashMap::new();
    for (_, host) in page.known() {
        let end = |partition: &corelog_shard::metrics::PartitionFigures| {
            ((&*host.shard.topics[partition.topic].name, partition.index), partition.high_watermark)
        };
        ends.extend(host.shard.partitions.iter().map(end));
    }
    let mut family = out.gauge("kafka_consumergroup_lag", "Records between what a group committed and the end.")?;
    for group in groups() {
        for (topic, partition, offset) in &group.committed {
            let Some(end) = ends.get(&(topic, *partition)) else { continue };
            let partition = partition.to_string();
            let labels = [("consumergroup", &*group.group), ("topic", topic), ("partition", &partition)];
            family.offset(&labels, (end - offset).max(0))?;
        }
    }
    Ok(())
}
