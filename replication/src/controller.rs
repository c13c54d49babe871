//! The controller's decisions: what a request makes of the image. Pure: an image in, records or a refusal out.
//!
//! Decide on an image that has applied everything committed ([`crate::quorum::Quorum::caught_up`]). Proposals decided on
//! the same image may still contradict each other; applying refuses the later one, and [`Rejection::from`] turns that
//! into the answer.
//!
//! This file is the one place where this crate's errors become Kafka's codes.

mod alter_client_quotas;
mod alter_configs;
mod assignment;
mod create_partitions;
mod create_topics;
mod delete_topics;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;

pub use self::alter_client_quotas::{
    AlteredQuotas, CONNECTION_CREATION_RATE, CONSUMER_BYTE_RATE, CONTROLLER_MUTATION_RATE, PRODUCER_BYTE_RATE,
    QuotaFilter, QuotaMatch, REQUEST_PERCENTAGE, alter_client_quotas, quota_entity, quota_entity_parts,
};
pub use self::alter_configs::{
    AlteredBrokerConfigs, AlteredConfigs, ConfigChange, ConfigOperation, ConfigRules, alter_broker_configs,
    alter_resource_configs, alter_topic_configs,
};
pub use self::create_partitions::{MorePartitions, PartitionsResult, create_partitions};
pub use self::create_topics::{CreatedTopic, NewAssignment, NewTopic, TopicDefaults, TopicResult, create_topics};
pub use self::delete_topics::{DeletionResult, TopicToDelete, delete_topics};
use crate::ids::{BrokerId, ProducerId, TopicId};
use crate::metadata::encoding::EncodeError;
use crate::metadata::topic_name::TopicNameError;
use crate::metadata::{ApplyError, BrokerImage, MetadataImage, MetadataRecord};
use crate::quorum::ProposeError;

/// How many producer ids a broker takes at a time, as Kafka does it.
pub const PRODUCER_ID_BLOCK_LENGTH: u32 = 1000;

/// A refusal, in Kafka's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The code.
    pub code: ErrorCode,
    /// What a person wants to know.
    pub message: String,
}

impl Rejection {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<&ApplyError> for Rejection {
    fn from(error: &ApplyError) -> Self {
        let code = match error {
            ApplyError::TopicExists(_) | ApplyError::TopicIdExists(_) => ErrorCode::TOPIC_ALREADY_EXISTS,
            ApplyError::TopicLooksAlike(..) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            ApplyError::PartitionsTaken(..) => ErrorCode::INVALID_PARTITIONS,
            ApplyError::UnknownTopicId(_) => ErrorCode::UNKNOWN_TOPIC_ID,
            ApplyError::UnknownBroker(_) => ErrorCode::BROKER_ID_NOT_REGISTERED,
            ApplyError::StaleIncarnation(_) => ErrorCode::STALE_BROKER_EPOCH,
            // The client asks again and gets the next block.
            ApplyError::ProducerIdsTaken => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ApplyError::EpochExhausted(..) | ApplyError::Malformed(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ProposeError> for Rejection {
    fn from(error: ProposeError) -> Self {
        let code = match error {
            ProposeError::NotLeader => ErrorCode::NOT_CONTROLLER,
            ProposeError::Overloaded => ErrorCode::THROTTLING_QUOTA_EXCEEDED,
            ProposeError::Unencodable(_) => ErrorCode::INVALID_REQUEST,
        };
        Self::new(code, error.to_string())
    }
}

impl From<TopicNameError> for Rejection {
    fn from(error: TopicNameError) -> Self {
        Self::new(ErrorCode::INVALID_TOPIC_EXCEPTION, error.to_string())
    }
}

impl From<EncodeError> for Rejection {
    fn from(error: EncodeError) -> Self {
        Self::new(ErrorCode::INVALID_REQUEST, error.to_string())
    }
}

/// A topic as a request names it (DeleteTopics from version 6 may use either).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRef<'a> {
    /// By name.
    Name(&'a str),
    /// By id.
    Id(TopicId),
}

/// Deletes a topic.
///
/// # Errors
/// UNKNOWN_TOPIC_OR_PARTITION for a name, UNKNOWN_TOPIC_ID for an id that the image does not have.
pub fn delete_topic(image: &MetadataImage, topic: TopicRef<'_>) -> Result<Vec<MetadataRecord>, Rejection> {
    let found = match topic {
        TopicRef::Name(name) => image.topic_by_name(name).ok_or_else(|| {
            Rejection::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic '{name}'"))
        })?,
        TopicRef::Id(id) => image
            .topic_by_id(id)
            .ok_or_else(|| Rejection::new(ErrorCode::UNKNOWN_TOPIC_ID, format!("there is no topic with id {id}")))?,
    };
    Ok(vec![MetadataRecord::RemoveTopic { topic_id: found.id() }])
}

/// A block of producer ids and the records that make it a broker's own once they have committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerIdAllocation {
    /// To be proposed. No id may be used before they have committed and applied.
    pub records: Vec<MetadataRecord>,
    /// The first id.
    pub first: ProducerId,
    /// How many there are.
    pub length: u32,
}

/// Cuts the next block of producer ids off for a broker (AllocateProducerIds, KIP-730).
///
/// # Errors
/// BROKER_ID_NOT_REGISTERED, or UNKNOWN_SERVER_ERROR when all 2^63 ids are given out.
///
/// # Panics
/// If `length` is 0.
pub fn allocate_producer_ids(
    image: &MetadataImage,
    broker_id: BrokerId,
    length: u32,
) -> Result<ProducerIdAllocation, Rejection> {
    assert!(length > 0, "a block has an id");
    if !image.brokers().contains_key(&broker_id) {
        return Err(Rejection::from(&ApplyError::UnknownBroker(broker_id)));
    }
    let first = image.next_producer_id();
    let Some(next) = first.0.checked_add(i64::from(length)).map(ProducerId) else {
        return Err(Rejection::new(ErrorCode::UNKNOWN_SERVER_ERROR, "all producer ids are given out"));
    };
    let record = MetadataRecord::ProducerIdBlock { broker_id, first_producer_id: first, next_producer_id: next };
    Ok(ProducerIdAllocation { records: vec![record], first, length })
}

/// What a broker's start puts on record: the broker as it is now and, if its last stop was not clean, a higher leader
/// epoch for every partition that it leads. The broker appends nothing before this has committed.
#[must_use]
pub fn start_broker(broker: &BrokerImage, stopped_clean: bool) -> Vec<MetadataRecord> {
    let mut records = vec![MetadataRecord::RegisterBroker {
        broker_id: broker.id,
        incarnation: broker.incarnation,
        host: broker.host.clone(),
        port: broker.port,
        directory_id: broker.directory_id,
    }];
    if !stopped_clean {
        records.push(MetadataRecord::RaiseLeaderEpochs { broker_id: broker.id });
    }
    records
}

#[cfg(test)]
mod tests;
