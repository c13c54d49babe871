//! The bytes of a batch of records: the payload of an entry of the metadata log, on disk and between brokers.
//!
//! Integers are little-endian. Every record carries its length, its kind and the version of its fields:
//!
//! ```text
//! batch     = u8 format (1), u32 record count, records
//! record    = u32 length of what follows, u8 kind, u8 version, fields
//! string    = u16 length in bytes, UTF-8
//! optional  = u8 0, or u8 1 and the value
//!
//! kind 1, version 1, topic              string name, 16 bytes id, u32 count, partitions
//!   partition                           i32 index, i32 leader, i32 leader epoch, i32 partition epoch,
//!                                       u32 count, i32 replicas
//! kind 2, version 1, remove topic       16 bytes id
//! kind 3, version 1, topic config       16 bytes id, string key, optional string value
//! kind 4, version 1, broker config      string key, optional string value
//! kind 4, version 2, broker config      i32 broker, string key, optional string value
//! kind 5, version 1, producer id block  i32 broker, i64 first, i64 next
//! kind 6, version 1, register broker    i32 broker, u64 incarnation, string host, u16 port, 16 bytes directory id
//! kind 7, version 1, raise leader epochs  i32 broker
//! kind 8, version 1, feature level      string name, i16 level
//! kind 9, version 1, more partitions    16 bytes id, u32 count, partitions as in kind 1
//! kind 10, version 1, resource config   u8 kind of resource (1 group, 2 client metrics), string name, string key,
//!                                       optional string value
//! kind 11, version 1, client quota      parts of the entity: user, client id, address; string key, optional u64 bits
//!                                       of the limit (IEEE 754, 64 bits)
//!   part                                u8 0: not there, 1: the default, 2: string name
//! ```
//!
//! A format, kind or version that this release does not know is an error and never skipped: a record that is left out
//! makes another image. So is any byte left over. Counts are checked against the bytes that are there before anything
//! is allocated. A released version stays readable for ever; new fields are a new version.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::record::{MetadataRecord, PartitionAssignment};
use super::resource::{ConfigResource, QuotaEntity, QuotaLimit, QuotaName};
use crate::ids::{
    BrokerId, DirectoryId, Incarnation, LeaderEpoch, PartitionEpoch, PartitionIndex, ProducerId, TopicId,
};
use crate::limits;

const FORMAT: u8 = 1;
const VERSION: u8 = 1;
/// The version of [`BROKER_CONFIG`] that is for one broker.
const OF_ONE_BROKER: u8 = 2;

const TOPIC: u8 = 1;
const REMOVE_TOPIC: u8 = 2;
const TOPIC_CONFIG: u8 = 3;
const BROKER_CONFIG: u8 = 4;
const PRODUCER_ID_BLOCK: u8 = 5;
const REGISTER_BROKER: u8 = 6;
const RAISE_LEADER_EPOCHS: u8 = 7;
const FEATURE_LEVEL: u8 = 8;
const MORE_PARTITIONS: u8 = 9;
const RESOURCE_CONFIG: u8 = 10;
const CLIENT_QUOTA: u8 = 11;

const GROUP: u8 = 1;
const CLIENT_METRICS: u8 = 2;

/// The least that an encoded record takes: its length, kind and version.
const RECORD_BYTES_MIN: usize = 6;
/// The least that an encoded partition takes: five numbers and no replica.
const PARTITION_BYTES_MIN: usize = 20;

/// A batch is above one of the bounds in [`crate::limits`] and cannot be an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A name, key, value or host is longer than [`limits::STRING_BYTES_MAX`].
    StringTooLong,
    /// There are more records than [`limits::RECORDS_PER_ENTRY_MAX`].
    TooManyRecords,
    /// The whole is longer than [`limits::ENTRY_BYTES_MAX`].
    TooLarge,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StringTooLong => write!(f, "a string is longer than {} bytes", limits::STRING_BYTES_MAX),
            Self::TooManyRecords => write!(f, "more than {} records", limits::RECORDS_PER_ENTRY_MAX),
            Self::TooLarge => write!(f, "more than {} bytes of records", limits::ENTRY_BYTES_MAX),
        }
    }
}

impl core::error::Error for EncodeError {}

/// Why bytes are not a batch that this release understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The batch's format is another one.
    UnknownFormat(u8),
    /// No such kind of record is known.
    UnknownKind(u8),
    /// The kind is known, this version of it is not.
    UnknownVersion {
        /// The kind.
        kind: u8,
        /// The version of its fields.
        version: u8,
    },
    /// A length or count goes beyond the end.
    Truncated,
    /// Bytes are left over behind the last field or record.
    TrailingBytes,
    /// A string is not UTF-8.
    InvalidString,
    /// The mark of an optional value is neither 0 nor 1.
    InvalidFlag(u8),
    /// The batch is above the bounds for an entry.
    TooLarge,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat(format) => {
                write!(f, "metadata records of format {format}; this release knows format {FORMAT}")
            }
            Self::UnknownKind(kind) => write!(f, "a metadata record of kind {kind}, which this release does not know"),
            Self::UnknownVersion { kind, version } => {
                write!(f, "a metadata record of kind {kind} in version {version}; this release knows {VERSION}")
            }
            Self::Truncated => f.write_str("a metadata record is cut off"),
            Self::TrailingBytes => f.write_str("bytes are left over behind a metadata record"),
            Self::InvalidString => f.write_str("a string in a metadata record is not UTF-8"),
            Self::InvalidFlag(flag) => write!(f, "{flag} marks an optional value in a metadata record"),
            Self::TooLarge => f.write_str("a metadata entry is above its bounds"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Encodes a batch.
///
/// # Errors
/// The bound that it exceeds.
pub fn encode(records: &[MetadataRecord]) -> Result<Vec<u8>, EncodeError> {
    if records.len() > limits::RECORDS_PER_ENTRY_MAX {
        return Err(EncodeError::TooManyRecords);
    }
    let mut out = Vec::with_capacity(64 * records.len().max(1));
    out.push(FORMAT);
    put_count(&mut out, records.len());
    for record in records {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        encode_record(record, &mut out)?;
        if out.len() > limits::ENTRY_BYTES_MAX {
            return Err(EncodeError::TooLarge);
        }
        let length = u32::try_from(out.len() - start - 4).expect("an entry is far below 4 GiB");
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }
    Ok(out)
}

/// Decodes a batch.
///
/// # Errors
/// What is wrong with the bytes. No input makes this panic or allocate more than a small multiple of its length.
pub fn decode(bytes: &[u8]) -> Result<Vec<MetadataRecord>, DecodeError> {
    if bytes.len() > limits::ENTRY_BYTES_MAX {
        return Err(DecodeError::TooLarge);
    }
    let mut reader = Reader { bytes };
    let format = reader.u8()?;
    if format != FORMAT {
        return Err(DecodeError::UnknownFormat(format));
    }
    let count = reader.count(RECORD_BYTES_MIN)?;
    if count > limits::RECORDS_PER_ENTRY_MAX {
        return Err(DecodeError::TooLarge);
    }
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        let length = reader.u32()?;
        let mut fields = Reader { bytes: reader.take(usize::try_from(length).map_err(|_| DecodeError::Truncated)?)? };
        records.push(decode_record(&mut fields)?);
        fields.finish()?;
    }
    reader.finish()?;
    Ok(records)
}

fn encode_record(record: &MetadataRecord, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match record {
        MetadataRecord::Topic { name, topic_id, partitions } => {
            out.extend_from_slice(&[TOPIC, VERSION]);
            put_string(out, name)?;
            out.extend_from_slice(&topic_id.0);
            put_partitions(out, partitions)?;
        }
        MetadataRecord::RemoveTopic { topic_id } => {
            out.extend_from_slice(&[REMOVE_TOPIC, VERSION]);
            out.extend_from_slice(&topic_id.0);
        }
        MetadataRecord::TopicConfig { topic_id, key, value } => {
            out.extend_from_slice(&[TOPIC_CONFIG, VERSION]);
            out.extend_from_slice(&topic_id.0);
            put_string(out, key)?;
            put_optional(out, value.as_deref())?;
        }
        MetadataRecord::BrokerConfig { key, value } => {
            out.extend_from_slice(&[BROKER_CONFIG, VERSION]);
            put_string(out, key)?;
            put_optional(out, value.as_deref())?;
        }
        MetadataRecord::OwnBrokerConfig { broker_id, key, value } => {
            out.extend_from_slice(&[BROKER_CONFIG, OF_ONE_BROKER]);
            out.extend_from_slice(&broker_id.0.to_le_bytes());
            put_string(out, key)?;
            put_optional(out, value.as_deref())?;
        }
        MetadataRecord::ProducerIdBlock { broker_id, first_producer_id, next_producer_id } => {
            out.extend_from_slice(&[PRODUCER_ID_BLOCK, VERSION]);
            out.extend_from_slice(&broker_id.0.to_le_bytes());
            out.extend_from_slice(&first_producer_id.0.to_le_bytes());
            out.extend_from_slice(&next_producer_id.0.to_le_bytes());
        }
        MetadataRecord::RegisterBroker { broker_id, incarnation, host, port, directory_id } => {
            out.extend_from_slice(&[REGISTER_BROKER, VERSION]);
            out.extend_from_slice(&broker_id.0.to_le_bytes());
            out.extend_from_slice(&incarnation.0.to_le_bytes());
            put_string(out, host)?;
            out.extend_from_slice(&port.to_le_bytes());
            out.extend_from_slice(&directory_id.0);
        }
        MetadataRecord::RaiseLeaderEpochs { broker_id } => {
            out.extend_from_slice(&[RAISE_LEADER_EPOCHS, VERSION]);
            out.extend_from_slice(&broker_id.0.to_le_bytes());
        }
        MetadataRecord::FeatureLevel { name, level } => {
            out.extend_from_slice(&[FEATURE_LEVEL, VERSION]);
            put_string(out, name)?;
            out.extend_from_slice(&level.to_le_bytes());
        }
        MetadataRecord::MorePartitions { topic_id, partitions } => {
            out.extend_from_slice(&[MORE_PARTITIONS, VERSION]);
            out.extend_from_slice(&topic_id.0);
            put_partitions(out, partitions)?;
        }
        MetadataRecord::ResourceConfig { resource, key, value } => {
            out.extend_from_slice(&[RESOURCE_CONFIG, VERSION]);
            out.push(match resource {
                ConfigResource::Group(_) => GROUP,
                ConfigResource::ClientMetrics(_) => CLIENT_METRICS,
            });
            put_string(out, resource.name())?;
            put_string(out, key)?;
            put_optional(out, value.as_deref())?;
        }
        MetadataRecord::ClientQuota { entity, key, value } => {
            out.extend_from_slice(&[CLIENT_QUOTA, VERSION]);
            for part in [&entity.user, &entity.client_id, &entity.ip] {
                match part {
                    None => out.push(0),
                    Some(QuotaName::Default) => out.push(1),
                    Some(QuotaName::Named(name)) => {
                        out.push(2);
                        put_string(out, name)?;
                    }
                }
            }
            put_string(out, key)?;
            match value {
                None => out.push(0),
                Some(limit) => {
                    out.push(1);
                    out.extend_from_slice(&limit.bits().to_le_bytes());
                }
            }
        }
    }
    Ok(())
}

fn put_partitions(out: &mut Vec<u8>, partitions: &[PartitionAssignment]) -> Result<(), EncodeError> {
    put_count(out, partitions.len());
    partitions.iter().try_for_each(|partition| put_partition(out, partition))
}

fn put_partition(out: &mut Vec<u8>, partition: &PartitionAssignment) -> Result<(), EncodeError> {
    if out.len() > limits::ENTRY_BYTES_MAX {
        return Err(EncodeError::TooLarge);
    }
    let PartitionAssignment { index, replicas, leader, leader_epoch, partition_epoch } = partition;
    for number in [index.0, leader.0, leader_epoch.0, partition_epoch.0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    put_count(out, replicas.len());
    for replica in replicas {
        out.extend_from_slice(&replica.0.to_le_bytes());
    }
    Ok(())
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // A count beyond 32 bits would need an entry far above its bound, which is refused.
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, string: &str) -> Result<(), EncodeError> {
    if string.len() > limits::STRING_BYTES_MAX {
        return Err(EncodeError::StringTooLong);
    }
    let length = u16::try_from(string.len()).expect("the bound is below 2^16");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(string.as_bytes());
    Ok(())
}

fn put_optional(out: &mut Vec<u8>, string: Option<&str>) -> Result<(), EncodeError> {
    match string {
        Some(string) => {
            out.push(1);
            put_string(out, string)
        }
        None => {
            out.push(0);
            Ok(())
        }
    }
}

fn decode_record(fields: &mut Reader<'_>) -> Result<MetadataRecord, DecodeError> {
    let kind = fields.u8()?;
    let version = fields.u8()?;
    if !(TOPIC..=CLIENT_QUOTA).contains(&kind) {
        return Err(DecodeError::UnknownKind(kind));
    }
    if version != VERSION && (kind, version) != (BROKER_CONFIG, OF_ONE_BROKER) {
        return Err(DecodeError::UnknownVersion { kind, version });
    }
    Ok(match kind {
        TOPIC => {
            let name = fields.string()?;
            let topic_id = TopicId(fields.array()?);
            MetadataRecord::Topic { name, topic_id, partitions: fields.partitions()? }
        }
        REMOVE_TOPIC => MetadataRecord::RemoveTopic { topic_id: TopicId(fields.array()?) },
        TOPIC_CONFIG => MetadataRecord::TopicConfig {
            topic_id: TopicId(fields.array()?),
            key: fields.string()?,
            value: fields.optional()?,
        },
        BROKER_CONFIG if version == OF_ONE_BROKER => MetadataRecord::OwnBrokerConfig {
            broker_id: fields.broker_id()?,
            key: fields.string()?,
            value: fields.optional()?,
        },
        BROKER_CONFIG => MetadataRecord::BrokerConfig { key: fields.string()?, value: fields.optional()? },
        PRODUCER_ID_BLOCK => MetadataRecord::ProducerIdBlock {
            broker_id: fields.broker_id()?,
            first_producer_id: ProducerId(i64::from_le_bytes(fields.array()?)),
            next_producer_id: ProducerId(i64::from_le_bytes(fields.array()?)),
        },
        REGISTER_BROKER => MetadataRecord::RegisterBroker {
            broker_id: fields.broker_id()?,
            incarnation: Incarnation(u64::from_le_bytes(fields.array()?)),
            host: fields.string()?,
            port: u16::from_le_bytes(fields.array()?),
            directory_id: DirectoryId(fields.array()?),
        },
        RAISE_LEADER_EPOCHS => MetadataRecord::RaiseLeaderEpochs { broker_id: fields.broker_id()? },
        FEATURE_LEVEL => {
            MetadataRecord::FeatureLevel { name: fields.string()?, level: i16::from_le_bytes(fields.array()?) }
        }
        MORE_PARTITIONS => {
            MetadataRecord::MorePartitions { topic_id: TopicId(fields.array()?), partitions: fields.partitions()? }
        }
        RESOURCE_CONFIG => {
            let resource = match fields.u8()? {
                GROUP => ConfigResource::Group(fields.string()?),
                CLIENT_METRICS => ConfigResource::ClientMetrics(fields.string()?),
                flag => return Err(DecodeError::InvalidFlag(flag)),
            };
            MetadataRecord::ResourceConfig { resource, key: fields.string()?, value: fields.optional()? }
        }
        CLIENT_QUOTA => MetadataRecord::ClientQuota {
            entity: QuotaEntity {
                user: fields.quota_name()?,
                client_id: fields.quota_name()?,
                ip: fields.quota_name()?,
            },
            key: fields.string()?,
            value: match fields.u8()? {
                0 => None,
                1 => Some(QuotaLimit::from_bits(u64::from_le_bytes(fields.array()?))),
                flag => return Err(DecodeError::InvalidFlag(flag)),
            },
        },
        unknown => return Err(DecodeError::UnknownKind(unknown)),
    })
}

/// Takes fields off the front of bytes.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn broker_id(&mut self) -> Result<BrokerId, DecodeError> {
        self.i32().map(BrokerId)
    }

    /// A count of items of which each takes `bytes_min` at least: so many must be there.
    fn count(&mut self, bytes_min: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.u32()?).map_err(|_| DecodeError::Truncated)?;
        match count.checked_mul(bytes_min) {
            Some(needed) if needed <= self.bytes.len() => Ok(count),
            _ => Err(DecodeError::Truncated),
        }
    }

    fn string(&mut self) -> Result<String, DecodeError> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let string = core::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::InvalidString)?;
        Ok(string.to_string())
    }

    fn optional(&mut self) -> Result<Option<String>, DecodeError> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.string().map(Some),
            flag => Err(DecodeError::InvalidFlag(flag)),
        }
    }

    fn quota_name(&mut self) -> Result<Option<QuotaName>, DecodeError> {
        match self.u8()? {
            0 => Ok(None),
            1 => Ok(Some(QuotaName::Default)),
            2 => Ok(Some(QuotaName::Named(self.string()?))),
            flag => Err(DecodeError::InvalidFlag(flag)),
        }
    }

    fn partitions(&mut self) -> Result<Vec<PartitionAssignment>, DecodeError> {
        let count = self.count(PARTITION_BYTES_MIN)?;
        (0..count).map(|_| self.partition()).collect()
    }

    fn partition(&mut self) -> Result<PartitionAssignment, DecodeError> {
        let index = PartitionIndex(self.i32()?);
        let leader = self.broker_id()?;
        let leader_epoch = LeaderEpoch(self.i32()?);
        let partition_epoch = PartitionEpoch(self.i32()?);
        let count = self.count(size_of::<i32>())?;
        let replicas = (0..count).map(|_| self.broker_id()).collect::<Result<_, _>>()?;
        Ok(PartitionAssignment { index, replicas, leader, leader_epoch, partition_epoch })
    }

    fn finish(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }
}
