//! Which partition of the topic a group belongs to, and which shard has it.

use corelog_replication::ids::PartitionIndex;
use corelog_wire::error_code::ErrorCode;

use super::OFFSETS_TOPIC;
use crate::front::Context;
use crate::mesh::ShardIndex;

/// Where a group is coordinated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// On this shard, by this partition.
    Here(i32),
    /// On another shard of this node.
    There(ShardIndex),
    /// Not on this node, or nowhere yet: clients look for it again.
    Nowhere(ErrorCode),
}

/// Where a group is coordinated.
pub(crate) fn route(cx: &Context<'_>, group: &str) -> Route {
    let nowhere = Route::Nowhere(ErrorCode::NOT_COORDINATOR);
    let Some(topic) = cx.metadata.image().topic_by_name(OFFSETS_TOPIC) else { return nowhere };
    let Ok(count) = i32::try_from(topic.partitions().len()) else { return nowhere };
    let index = partition_of(group, count);
    match topic.partition(PartitionIndex(index)) {
        Some(assignment) if assignment.leader.0 == cx.config.node_id => {}
        _ => return nowhere,
    }
    match cx.seat.owner(topic.id(), index) {
        owner if owner == cx.seat.me => Route::Here(index),
        owner => Route::There(owner),
    }
}

/// The partition that a group belongs to, as every broker and tool of Kafka computes it.
fn partition_of(group: &str, partitions: i32) -> i32 {
    // Java's absolute value, but for the one number that has none.
    let hash = java_hash(group);
    let positive = if hash == i32::MIN { 0 } else { hash.abs() };
    positive % partitions.max(1)
}

/// `String.hashCode` of Java: over UTF-16 units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_fall_on_kafkas_partitions() {
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("group", 98_629_247),
            ("my-group", -1_906_497_762),
            ("console-consumer-12345", 158_455_506),
            // The well-known string whose hash has no absolute value.
            ("polygenelubricants", i32::MIN),
            // Two units of a surrogate pair: 0xd83d and 0xde00.
            ("\u{1f600}", 0xd83d * 31 + 0xde00),
            ("é", 233),
        ] {
            assert_eq!(java_hash(text), hash, "{text}");
        }
        assert_eq!(partition_of("polygenelubricants", 50), 0);
        assert_eq!(partition_of("group", 50), 47);
        assert_eq!(partition_of("my-group", 50), 12);
        assert_eq!(partition_of("", 50), 0);
        assert_eq!(partition_of("a", 1), 0);
    }
}
