//! What an entry of the metadata log can say. Meaning only; the bytes are in [`super::encoding`], the rules that decide
//! whether a record may be applied in [`super::replay`].
//!
//! A record states facts, never wishes: whatever had to be chosen (ids, placements, epochs to start with) was chosen
//! before it was proposed, so that every replay gives the same image.

use alloc::string::String;
use alloc::vec::Vec;

use super::resource::{ConfigResource, QuotaEntity, QuotaLimit};
use crate::ids::{
    BrokerId, DirectoryId, Incarnation, LeaderEpoch, PartitionEpoch, PartitionIndex, ProducerId, TopicId,
};

/// One partition: who holds it and who leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionAssignment {
    /// Its index in the topic.
    pub index: PartitionIndex,
    /// The brokers that hold a replica, the preferred leader first; no broker twice.
    pub replicas: Vec<BrokerId>,
    /// The leader, one of the replicas.
    pub leader: BrokerId,
    /// Grows with every change of the leader and every unclean start of it.
    pub leader_epoch: LeaderEpoch,
    /// Grows with every change of this partition.
    pub partition_epoch: PartitionEpoch,
}

/// One change of the metadata. Several of them form an entry of the log, which applies as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataRecord {
    /// A topic comes into being. Name and id must be free.
    Topic {
        /// Its name.
        name: String,
        /// Its id; not zero.
        topic_id: TopicId,
        /// Its partitions, in the order of their indexes, 0 first, no holes.
        partitions: Vec<PartitionAssignment>,
    },
    /// A topic has more partitions.
    MorePartitions {
        /// The topic.
        topic_id: TopicId,
        /// The new ones, in the order of their indexes, from the first that the topic does not have on, no holes.
        partitions: Vec<PartitionAssignment>,
    },
    /// A topic goes, with its configs.
    RemoveTopic {
        /// The topic.
        topic_id: TopicId,
    },
    /// A topic's own value for a config key; without a value the default holds again.
    TopicConfig {
        /// The topic.
        topic_id: TopicId,
        /// Kafka's name of the config.
        key: String,
        /// The value as the client wrote it.
        value: Option<String>,
    },
    /// The value of a broker config for the whole cluster; without a value the default holds again.
    BrokerConfig {
        /// Kafka's name of the config.
        key: String,
        /// The value as the client wrote it.
        value: Option<String>,
    },
    /// The value of a broker config for one broker, which is stronger than that for the whole cluster; without a value
    /// that one holds again.
    OwnBrokerConfig {
        /// The broker.
        broker_id: BrokerId,
        /// Kafka's name of the config.
        key: String,
        /// The value as the client wrote it.
        value: Option<String>,
    },
    /// A broker owns the producer ids from `first_producer_id` up to, without, `next_producer_id`. The first must be
    /// the image's next, so of two blocks that were cut from the same image only one can commit.
    ProducerIdBlock {
        /// The owner.
        broker_id: BrokerId,
        /// The first id of the block.
        first_producer_id: ProducerId,
        /// The first id behind the block.
        next_producer_id: ProducerId,
    },
    /// A broker has started.
    RegisterBroker {
        /// The broker.
        broker_id: BrokerId,
        /// Its run; never lower than the one known.
        incarnation: Incarnation,
        /// Where clients reach it.
        host: String,
        /// The port there.
        port: u16,
        /// Its data directory.
        directory_id: DirectoryId,
    },
    /// Every partition that the broker leads gets the next leader epoch: its last stop was not clean, so offsets that
    /// it hands out now must be told apart from those it may have handed out and lost.
    RaiseLeaderEpochs {
        /// The leader.
        broker_id: BrokerId,
    },
    /// A finalized feature's level (KIP-584); 0 takes the feature away.
    FeatureLevel {
        /// The feature.
        name: String,
        /// The level; not negative.
        level: i16,
    },
    /// A setting of a group or of a subscription to metrics; without a value it is gone.
    ResourceConfig {
        /// What has it.
        resource: ConfigResource,
        /// Kafka's name of the setting.
        key: String,
        /// The value as the client wrote it.
        value: Option<String>,
    },
    /// A limit for clients (KIP-546); without a value it is gone.
    ClientQuota {
        /// Whom it limits.
        entity: QuotaEntity,
        /// Kafka's name of what is limited.
        key: String,
        /// The limit; above 0.
        value: Option<QuotaLimit>,
    },
}
