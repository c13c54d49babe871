//! Control records: what brokers write into partitions for brokers and consumers, never for applications.
//!
//! The key is version and type, 2 bytes each; the value of a transaction's end is version (2 bytes) and coordinator epoch
//! (4 bytes). Longer keys and values come from later versions; what is known is read from their front.

use alloc::vec::Vec;

use super::{BatchBuilder, NO_SEQUENCE, NewRecord, Record};

/// What a control record says. Types of Kafka's metadata log and unknown ones are kept as their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlType {
    /// A transaction was aborted.
    Abort,
    /// A transaction was committed.
    Commit,
    /// Something else, to be skipped.
    Other(i16),
}

impl ControlType {
    /// The number on the wire.
    pub fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::Other(id) => id,
        }
    }

    /// The type of that number.
    pub fn from_id(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            id => Self::Other(id),
        }
    }
}

/// A control record, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// What it says.
    pub control_type: ControlType,
    /// The epoch of the transaction coordinator that wrote it; `None` where it ends no transaction.
    pub coordinator_epoch: Option<i32>,
}

impl ControlRecord {
    /// Reads a record of a control batch. `None` where it is malformed.
    pub fn parse(record: &Record<'_>) -> Option<Self> {
        let [version_high, version_low, type_high, type_low, ..] = record.key? else { return None };
        if i16::from_be_bytes([*version_high, *version_low]) < 0 {
            return None;
        }
        let control_type = ControlType::from_id(i16::from_be_bytes([*type_high, *type_low]));
        if let ControlType::Other(_) = control_type {
            return Some(Self { control_type, coordinator_epoch: None });
        }
        let [version_high, version_low, a, b, c, d, ..] = record.value? else { return None };
        if i16::from_be_bytes([*version_high, *version_low]) < 0 {
            return None;
        }
        Some(Self { control_type, coordinator_epoch: Some(i32::from_be_bytes([*a, *b, *c, *d])) })
    }
}

/// The control batch that ends a transaction of a producer (KIP-98).
pub fn end_transaction_marker(
    control_type: ControlType,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: i32,
    timestamp: i64,
) -> Vec<u8> {
    assert!(matches!(control_type, ControlType::Abort | ControlType::Commit), "{control_type:?} ends no transaction");
    let mut key = [0; 4];
    key[2..].copy_from_slice(&control_type.id().to_be_bytes());
    let mut value = [0; 6];
    value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
    let mut builder =
        BatchBuilder::new().producer(producer_id, producer_epoch, NO_SEQUENCE).transactional(true).control(true);
    builder.append(&NewRecord { timestamp, key: Some(&key), value: Some(&value), headers: &[] });
    builder.build()
}
