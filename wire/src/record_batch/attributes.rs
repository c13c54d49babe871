//! The attributes of a batch, bit by bit: 0-2 compression, 3 timestamp type, 4 transactional, 5 control, 6 delete
//! horizon (KIP-534). The others are unused; they are kept and ignored.

use crate::compression::Compression;

const COMPRESSION: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// Who gave the records of a batch their timestamps (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// The producer, record by record.
    #[default]
    CreateTime,
    /// The broker, when it appended the batch: the batch's max timestamp counts for all its records.
    LogAppendTime,
}

/// The attributes of a record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    /// How the records are compressed. `None` where the bits stand for no known codec.
    pub fn compression(self) -> Option<Compression> {
        Compression::from_id((self.0 & COMPRESSION) as u8)
    }

    /// Who gave the timestamps.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & LOG_APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & TRANSACTIONAL != 0
    }

    /// Whether the records are not for applications: the end of a transaction, say.
    pub fn is_control(self) -> bool {
        self.0 & CONTROL != 0
    }

    /// Whether the base timestamp is the time from which the cleaner may remove tombstones and markers.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & DELETE_HORIZON != 0
    }

    /// These attributes with another codec.
    #[must_use]
    pub fn with_compression(self, compression: Compression) -> Self {
        Self(self.0 & !COMPRESSION | i16::from(compression.id()))
    }

    /// These attributes with another timestamp type.
    #[must_use]
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        self.with(LOG_APPEND_TIME, timestamp_type == TimestampType::LogAppendTime)
    }

    /// These attributes with the transactional flag set or not.
    #[must_use]
    pub fn with_transactional(self, on: bool) -> Self {
        self.with(TRANSACTIONAL, on)
    }

    /// These attributes with the control flag set or not.
    #[must_use]
    pub fn with_control(self, on: bool) -> Self {
        self.with(CONTROL, on)
    }

    /// These attributes with the delete horizon flag set or not.
    #[must_use]
    pub fn with_delete_horizon(self, on: bool) -> Self {
        self.with(DELETE_HORIZON, on)
    }

    fn with(self, flag: i16, on: bool) -> Self {
        Self(if on { self.0 | flag } else { self.0 & !flag })
    }
}
