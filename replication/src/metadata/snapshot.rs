//! The image as bytes and back, so that the log before it can go.
//!
//! A snapshot is a header of 16 bytes (u32 format version, little-endian, and zeros) and an `rkyv` archive of one of the
//! types below: of the first that can hold what there is, so that an older release can read it where possible. These types are the format: they are never changed, a new format gets a new type and the next version,
//! and every released one stays readable. They share nothing with the image in memory, which may change freely.
//!
//! Fault model: the file around a snapshot has a checksum. Bytes that get here are nevertheless validated (archive
//! structure by `bytecheck`, then the image's own invariants), so that no input panics or makes an image that could not
//! have come from a log.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

use super::image::{BrokerImage, MetadataImage, SnapshotParts};
use super::record::PartitionAssignment;
use super::replay::ApplyError;
use super::resource::{ConfigResource, QuotaEntity, QuotaLimit, QuotaName};
use super::topic::TopicImage;
use crate::ids::{
    BrokerId, DirectoryId, Incarnation, LeaderEpoch, MetadataOffset, PartitionEpoch, PartitionIndex, ProducerId,
    TopicId,
};

/// [`SnapshotV1`].
const FORMAT: u32 = 1;
/// [`SnapshotV2`].
const FORMAT_WITH_OWN_CONFIGS: u32 = 2;
/// [`SnapshotV3`].
const FORMAT_WITH_RESOURCES: u32 = 3;
const HEADER_BYTES: usize = 16;

/// Why bytes are not a snapshot that this release can load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// The format is another one.
    UnknownFormat(u32),
    /// The header is cut off or wrong, or the archive is not one.
    Damaged,
    /// The archive is sound and what it says contradicts itself.
    Inconsistent(ApplyError),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat(format) => {
                let known = FORMAT_WITH_RESOURCES;
                write!(f, "a metadata snapshot of format {format}; this release knows formats up to {known}")
            }
            Self::Damaged => f.write_str("the metadata snapshot is damaged"),
            Self::Inconsistent(what) => write!(f, "the metadata snapshot contradicts itself: {what}"),
        }
    }
}

impl core::error::Error for SnapshotError {}

#[derive(Archive, Serialize, Deserialize)]
struct SnapshotV1 {
    offset: u64,
    term: u64,
    topics: Vec<TopicV1>,
    broker_configs: Vec<(String, String)>,
    brokers: Vec<BrokerV1>,
    next_producer_id: i64,
    features: Vec<(String, i16)>,
}

/// With configs of single brokers.
#[derive(Archive, Serialize, Deserialize)]
struct SnapshotV2 {
    base: SnapshotV1,
    own_broker_configs: Vec<(i32, String, String)>,
}

/// With configs of groups and of subscriptions to metrics, and with limits of clients.
#[derive(Archive, Serialize, Deserialize)]
struct SnapshotV3 {
    base: SnapshotV2,
    group_configs: Vec<(String, String, String)>,
    client_metrics_configs: Vec<(String, String, String)>,
    quotas: Vec<QuotaV1>,
}

/// A limit. A part of the entity is missing, or the default, or a name.
#[derive(Archive, Serialize, Deserialize)]
struct QuotaV1 {
    user: Option<Option<String>>,
    client_id: Option<Option<String>>,
    ip: Option<Option<String>>,
    key: String,
    bits: u64,
}

#[derive(Archive, Serialize, Deserialize)]
struct TopicV1 {
    name: String,
    id: [u8; 16],
    partitions: Vec<PartitionV1>,
    configs: Vec<(String, String)>,
}

/// A partition; its index is its place in the list.
#[derive(Archive, Serialize, Deserialize)]
struct PartitionV1 {
    replicas: Vec<i32>,
    leader: i32,
    leader_epoch: i32,
    partition_epoch: i32,
}

#[derive(Archive, Serialize, Deserialize)]
struct BrokerV1 {
    id: i32,
    incarnation: u64,
    host: String,
    port: u16,
    directory_id: [u8; 16],
}

/// Writes the image down. The same image gives the same bytes.
#[must_use]
pub fn to_bytes(image: &MetadataImage) -> Vec<u8> {
    let has_resources = !image.resource_configs().is_empty() || !image.quotas().is_empty();
    let (format, archive) = match (has_resources, image.own_broker_configs().is_empty()) {
        (false, true) => (FORMAT, rkyv::to_bytes::<rkyv::rancor::Error>(&SnapshotV1::of(image))),
        (false, false) => (FORMAT_WITH_OWN_CONFIGS, rkyv::to_bytes(&SnapshotV2::of(image))),
        (true, _) => (FORMAT_WITH_RESOURCES, rkyv::to_bytes(&SnapshotV3::of(image))),
    };
    let archive = archive.expect("an image is far below the 2 GiB that an archive can hold");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + archive.len());
    bytes.extend_from_slice(&format.to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    bytes.extend_from_slice(&archive);
    bytes
}

/// Reads an image; [`MetadataImage::offset`] and [`MetadataImage::term`] say where in the log it stands.
///
/// # Errors
/// What is wrong with the bytes.
pub fn from_bytes(bytes: &[u8]) -> Result<MetadataImage, SnapshotError> {
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(SnapshotError::Damaged)?;
    let (format, zeros) = header.split_first_chunk::<4>().ok_or(SnapshotError::Damaged)?;
    let format = u32::from_le_bytes(*format);
    if !(FORMAT..=FORMAT_WITH_RESOURCES).contains(&format) {
        return Err(SnapshotError::UnknownFormat(format));
    }
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(SnapshotError::Damaged);
    }
    // The archive is read where it lies, so it must lie aligned.
    let mut aligned = AlignedVec::<16>::with_capacity(body.len());
    aligned.extend_from_slice(body);
    let snapshot = match format {
        FORMAT => rkyv::from_bytes::<SnapshotV1, rkyv::rancor::Error>(&aligned)
            .map(|base| SnapshotV3::from(SnapshotV2 { base, own_broker_configs: Vec::new() })),
        FORMAT_WITH_OWN_CONFIGS => rkyv::from_bytes::<SnapshotV2, rkyv::rancor::Error>(&aligned).map(SnapshotV3::from),
        _ => rkyv::from_bytes::<SnapshotV3, rkyv::rancor::Error>(&aligned),
    };
    snapshot.map_err(|_| SnapshotError::Damaged)?.into_image().map_err(SnapshotError::Inconsistent)
}

impl SnapshotV1 {
    fn of(image: &MetadataImage) -> Self {
        let own = |(key, value): (&String, &String)| (key.clone(), value.clone());
        Self {
            offset: image.offset().0,
            term: image.term(),
            topics: image.topics().map(|topic| TopicV1::of(topic)).collect(),
            broker_configs: image.broker_configs().iter().map(own).collect(),
            brokers: image.brokers().values().map(BrokerV1::of).collect(),
            next_producer_id: image.next_producer_id().0,
            features: image.features().iter().map(|(name, level)| (name.clone(), *level)).collect(),
        }
    }
}

impl SnapshotV2 {
    fn of(image: &MetadataImage) -> Self {
        let own = image.own_broker_configs().iter();
        let own = own.map(|((broker, key), value)| (broker.0, key.clone(), value.clone()));
        Self { base: SnapshotV1::of(image), own_broker_configs: own.collect() }
    }
}

impl From<SnapshotV2> for SnapshotV3 {
    fn from(base: SnapshotV2) -> Self {
        Self { base, group_configs: Vec::new(), client_metrics_configs: Vec::new(), quotas: Vec::new() }
    }
}

impl SnapshotV3 {
    fn of(image: &MetadataImage) -> Self {
        let mut snapshot = Self::from(SnapshotV2::of(image));
        for (resource, configs) in image.resource_configs() {
            let of_kind = match resource {
                ConfigResource::Group(_) => &mut snapshot.group_configs,
                ConfigResource::ClientMetrics(_) => &mut snapshot.client_metrics_configs,
            };
            let name = resource.name();
            of_kind.extend(configs.iter().map(|(key, value)| (name.to_string(), key.clone(), value.clone())));
        }
        for (entity, limits) in image.quotas() {
            snapshot.quotas.extend(limits.iter().map(|(key, limit)| QuotaV1::of(entity, key, *limit)));
        }
        snapshot
    }

    fn into_image(self) -> Result<MetadataImage, ApplyError> {
        let Self { base, group_configs, client_metrics_configs, quotas } = self;
        let groups = group_configs.into_iter().map(|(name, key, value)| (ConfigResource::Group(name), key, value));
        let metrics = client_metrics_configs.into_iter();
        let metrics = metrics.map(|(name, key, value)| (ConfigResource::ClientMetrics(name), key, value));
        let SnapshotV2 { base, own_broker_configs } = base;
        let topics = base.topics.into_iter().map(TopicV1::into_image).collect::<Result<_, _>>()?;
        MetadataImage::from_parts(SnapshotParts {
            offset: MetadataOffset(base.offset),
            term: base.term,
            topics,
            broker_configs: base.broker_configs,
            own_broker_configs: (own_broker_configs.into_iter())
                .map(|(broker, key, value)| (BrokerId(broker), key, value))
                .collect(),
            brokers: base.brokers.into_iter().map(BrokerV1::into_image).collect(),
            next_producer_id: ProducerId(base.next_producer_id),
            features: base.features,
            resource_configs: groups.chain(metrics).collect(),
            quotas: quotas.into_iter().map(QuotaV1::into_limit).collect(),
        })
    }
}

impl QuotaV1 {
    fn of(entity: &QuotaEntity, key: &str, limit: QuotaLimit) -> Self {
        let part = |name: &Option<QuotaName>| name.as_ref().map(|name| name.as_option().map(ToString::to_string));
        Self {
            user: part(&entity.user),
            client_id: part(&entity.client_id),
            ip: part(&entity.ip),
            key: key.to_string(),
            bits: limit.bits(),
        }
    }

    fn into_limit(self) -> (QuotaEntity, String, QuotaLimit) {
        let part = |name: Option<Option<String>>| name.map(|name| QuotaName::from_option(name.as_deref()));
        let entity = QuotaEntity { user: part(self.user), client_id: part(self.client_id), ip: part(self.ip) };
        (entity, self.key, QuotaLimit::from_bits(self.bits))
    }
}

impl TopicV1 {
    fn of(topic: &TopicImage) -> Self {
        Self {
            name: topic.name().to_string(),
            id: topic.id().0,
            partitions: topic.partitions().iter().map(PartitionV1::of).collect(),
            configs: topic.configs().iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }

    fn into_image(self) -> Result<Arc<TopicImage>, ApplyError> {
        let partitions = self.partitions.into_iter().enumerate();
        let partitions =
            partitions.map(|(index, partition)| partition.into_assignment(index)).collect::<Result<_, _>>()?;
        let configs: BTreeMap<String, String> = self.configs.into_iter().collect();
        TopicImage::new(&self.name, TopicId(self.id), partitions, configs).map(Arc::new)
    }
}

impl PartitionV1 {
    fn of(partition: &PartitionAssignment) -> Self {
        Self {
            replicas: partition.replicas.iter().map(|replica| replica.0).collect(),
            leader: partition.leader.0,
            leader_epoch: partition.leader_epoch.0,
            partition_epoch: partition.partition_epoch.0,
        }
    }

    fn into_assignment(self, index: usize) -> Result<PartitionAssignment, ApplyError> {
        Ok(PartitionAssignment {
            index: PartitionIndex(i32::try_from(index)?),
            replicas: self.replicas.into_iter().map(BrokerId).collect(),
            leader: BrokerId(self.leader),
            leader_epoch: LeaderEpoch(self.leader_epoch),
            partition_epoch: PartitionEpoch(self.partition_epoch),
        })
    }
}

impl BrokerV1 {
    fn of(broker: &BrokerImage) -> Self {
        Self {
            id: broker.id.0,
            incarnation: broker.incarnation.0,
            host: broker.host.clone(),
            port: broker.port,
            directory_id: broker.directory_id.0,
        }
    }

    fn into_image(self) -> BrokerImage {
        BrokerImage {
            id: BrokerId(self.id),
            incarnation: Incarnation(self.incarnation),
            host: self.host,
            port: self.port,
            directory_id: DirectoryId(self.directory_id),
        }
    }
}
