//! The numbers of Kafka's replication protocol, each a type of its own so that no two kinds can be mixed up.
//!
//! Wrapped values are what goes over the wire. Kafka uses -1 for "none" in several of them; here absence is an
//! `Option`, and a value that was parsed is not negative unless its type says so.

use core::fmt;

pub use corelog_wire::ids::{DirectoryId, TopicId};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// A broker, Kafka's `node.id`: 0 or above.
    BrokerId(i32)
);
number!(
    /// How often the leadership of a partition has changed hands or was taken up again after an unclean start (KIP-101).
    LeaderEpoch(i32)
);
number!(
    /// How often anything about a partition's replicas has changed (KIP-497); grows with every leader epoch too.
    PartitionEpoch(i32)
);
number!(
    /// The index of a partition inside its topic, counted from 0 without holes.
    PartitionIndex(i32)
);
number!(
    /// An idempotent producer's identity, never given out twice (KIP-98).
    ProducerId(i64)
);
number!(
    /// The position of an entry in the metadata log: the raft index. The first entry has 1; 0 is "nothing applied".
    MetadataOffset(u64)
);
number!(
    /// One run of a broker's process: a later start has a higher number.
    Incarnation(u64)
);

impl MetadataOffset {
    /// The offset of the entry behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("2^64 metadata entries are out of reach"))
    }
}

impl LeaderEpoch {
    /// The next leader epoch; `None` after 2^31 - 1 of them.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl PartitionEpoch {
    /// The next partition epoch; `None` after 2^31 - 1 of them.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}
