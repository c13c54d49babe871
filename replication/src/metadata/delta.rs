//! What a batch changed, in the form that shards act on.
//!
//! A delta is the difference between the image before and after the whole batch: a topic that came and went in one
//! batch is not in it, and a created topic stands there with the configs that it got in the same batch.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::image::BrokerImage;
use super::resource::{ConfigResource, QuotaEntity, QuotaLimit};
use super::topic::TopicImage;
use crate::ids::{BrokerId, MetadataOffset, PartitionIndex, ProducerId};

/// The difference that one entry of the metadata log made. Also an entry that changed nothing has one: shards keep the
/// offset up to which they have applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataDelta {
    /// The entry's offset. Deltas are handed on in its order, without holes.
    pub offset: MetadataOffset,
    /// The changes; deleted topics come before all others, so that a name is free again before it is taken.
    pub changes: Vec<MetadataChange>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataChange {
    /// The topic is gone. This is its last state.
    TopicDeleted(Arc<TopicImage>),
    /// The topic is new. This is its state with the batch's configs.
    TopicCreated(Arc<TopicImage>),
    /// A topic that existed before the batch has other configs of its own.
    TopicConfigChanged {
        /// The topic afterwards.
        topic: Arc<TopicImage>,
        /// The keys whose value is another one now, or is gone; sorted.
        keys: Vec<String>,
    },
    /// A topic that existed before the batch has more partitions.
    PartitionsAdded {
        /// The topic afterwards.
        topic: Arc<TopicImage>,
        /// The first of the new ones; they go on to the topic's last.
        first: PartitionIndex,
    },
    /// Partitions of a topic that existed before the batch have a higher leader epoch.
    LeaderEpochsRaised {
        /// The topic afterwards.
        topic: Arc<TopicImage>,
        /// The partitions concerned, of those that existed; sorted.
        partitions: Vec<PartitionIndex>,
    },
    /// A cluster-wide broker config has another value, or none.
    BrokerConfigChanged {
        /// The key.
        key: String,
        /// The value, unless the default holds again.
        value: Option<String>,
    },
    /// A config of one broker has another value, or none.
    OwnBrokerConfigChanged {
        /// The broker.
        broker_id: BrokerId,
        /// The key.
        key: String,
        /// The value, unless that for the whole cluster holds again.
        value: Option<String>,
    },
    /// A broker is new, has started again or has moved.
    BrokerRegistered(BrokerImage),
    /// Producer ids below this one are given out.
    NextProducerIdRaised(ProducerId),
    /// A finalized feature has another level; 0 is "gone".
    FeatureLevelChanged {
        /// The feature.
        name: String,
        /// The level.
        level: i16,
    },
    /// A group or a subscription to metrics has other settings.
    ResourceConfigChanged {
        /// What has them.
        resource: ConfigResource,
        /// All of them; empty if it has none any more.
        configs: BTreeMap<String, String>,
    },
    /// Somebody has other limits.
    ClientQuotaChanged {
        /// Who.
        entity: QuotaEntity,
        /// All limits; empty if there are none any more.
        limits: BTreeMap<String, QuotaLimit>,
    },
}
