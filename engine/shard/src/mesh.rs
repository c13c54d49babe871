//! Several shards in one process: which of them owns a partition, and what they say to each other.
//!
//! A connection belongs to one shard, its *home*. What a request wants from partitions of other shards, the home asks of
//! their owners: each owner gets the request's frame (or its part of a fetch), does its *share*, and sends the results back;
//! the home joins them. That is one hop there and one back. What changes metadata goes to the first shard as a whole.
//!
//! Invariants:
//! - Every shard of a node computes the same owner from the topic's id, the partition and the number of shards, so that
//!   nobody has to be asked; shard 0 holds the metadata log of the node.
//! - A share is answered exactly once, unless its connection is gone. What one shard sends to another arrives in order, so
//!   that produce requests of a connection are applied in its order on every owner.
//! - A request is looked at by an owner that has applied at least the metadata that its home had.
//! - Messages are as many as requests may be under way, which the connections bound.

use alloc::string::String;
use alloc::sync::Arc;
use core::net::IpAddr;

use bytes::Bytes;
use corelog_replication::quorum::Committed;
use corelog_wire::ids::TopicId;

use crate::api::fetch;
use crate::api::reply::Frame;
use crate::api::sharing::ShareAnswer;
use crate::connection::RequestId;
use crate::io::ConnectionId;
use crate::quota::Used;

/// The shard that holds the metadata log.
pub const FIRST: ShardIndex = ShardIndex(0);

/// The most shards of a node: one for each core.
pub const SHARDS_MAX: u32 = 1024;

/// A shard among those of its node, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardIndex(pub u16);

/// A shard's place among those of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The shard.
    pub me: ShardIndex,
    /// How many shards the node has, at least one.
    pub shards: u32,
}

impl Seat {
    /// The place of a shard that is alone.
    pub const ALONE: Self = Self { me: FIRST, shards: 1 };

    /// All places of a node.
    pub fn all(shards: u32) -> impl Iterator<Item = Self> {
        assert!((1..=SHARDS_MAX).contains(&shards), "a node has at least one shard and not too many");
        (0..shards as u16).map(move |me| Self { me: ShardIndex(me), shards })
    }

    /// Whether this shard holds the metadata log.
    pub fn is_first(self) -> bool {
        self.me == FIRST
    }

    /// The other shards of the node.
    pub fn others(self) -> impl Iterator<Item = ShardIndex> {
        (0..self.shards as u16).map(ShardIndex).filter(move |shard| *shard != self.me)
    }

    /// The shard that owns a partition: those of a topic lie on consecutive shards, beginning anywhere.
    pub fn owner(self, topic: TopicId, partition: i32) -> ShardIndex {
        if self.shards == 1 {
            return FIRST;
        }
        let (high, low) = topic.0.split_at(8);
        let half = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("half of sixteen bytes"));
        // Ids need not be random: they may come from another cluster's tools.
        let mixed = (half(high) ^ half(low)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let first = mixed % u64::from(self.shards);
        ShardIndex(((first + u64::from(partition.unsigned_abs())) % u64::from(self.shards)) as u16)
    }

    /// Whether this shard owns a partition.
    pub fn owns(self, topic: TopicId, partition: i32) -> bool {
        self.owner(topic, partition) == self.me
    }
}

/// What one shard sends to another. The host only carries it.
#[derive(Debug)]
pub struct Message(pub(crate) Body);

/// What a message says.
#[derive(Debug)]
pub(crate) enum Body {
    /// From a home: this is asked, by a shard that has applied the metadata up to here.
    Asked { request: RequestId, metadata_offset: u64, what: Asked },
    /// From a home: the fetch waits no longer; what there is is wanted now.
    FetchIsDue(RequestId),
    /// From a home: nobody waits for the answer any more.
    Forget(RequestId),
    /// From an owner.
    Answered { request: RequestId, answer: Answer },
    /// From an owner: its share of a fetch that still waits could bring so many bytes.
    Available { request: RequestId, bytes: u64 },
    /// From the first shard: the metadata log goes on with this.
    Metadata(Arc<Committed>),
    /// To the first shard: the metadata was applied up to here.
    MetadataApplied(u64),
    /// What clients have used on the connections of this shard, since it told that last.
    Used(Used),
    /// To the first shard: no request is under way any more, and none will be.
    Idle,
    /// From the first shard: no request is under way anywhere.
    WriteBack,
    /// To the first shard: everything is in the segments.
    WrittenBack,
}

/// What a home wants of an owner.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To handle the request as far as it is the owner's: its partitions and groups, or all of it where it changes metadata
    /// or is about one group. With the client's address.
    Frame { frame: Bytes, peer: IpAddr },
    /// To find and read records.
    Fetch(fetch::shares::Share),
}

/// What an owner did.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Its share of the results.
    Share(ShareAnswer),
    /// All of the request: this is the frame to send.
    Whole(Frame),
    /// The connection is to be closed, for this reason.
    Close(String),
}

impl Seat {
    /// Whether a connection is one of this shard's own.
    pub(crate) fn is_home_of(self, connection: ConnectionId) -> bool {
        connection.shard() == self.me
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_one_owner_and_they_are_spread() {
        for shards in [1, 2, 3, 64] {
            let mut owned = alloc::vec![0_u32; shards as usize];
            for topic in 0..200_u64 {
                let mut id = [0; 16];
                id[..8].copy_from_slice(&topic.to_be_bytes());
                for partition in 0..shards as i32 {
                    let owners: alloc::vec::Vec<_> =
                        Seat::all(shards).filter(|seat| seat.owns(TopicId(id), partition)).collect();
                    assert_eq!(owners.len(), 1, "exactly one owner");
                    owned[usize::from(owners[0].me.0)] += 1;
                }
            }
            assert!(
                owned.iter().all(|count| *count == 200),
                "a topic with a partition for each shard is spread evenly"
            );
        }
        let firsts = (0..1_000_u64).filter(|topic| {
            let mut id = [0; 16];
            id[8..].copy_from_slice(&topic.to_be_bytes());
            Seat { me: FIRST, shards: 2 }.owns(TopicId(id), 0)
        });
        assert!((350..650).contains(&firsts.count()), "topics with one partition are spread too");
    }
}
