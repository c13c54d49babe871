//! Producer snapshots: what a partition knew of its idempotent producers at an offset, in a file named after it
//! (`<offset>.snapshot`), in version 1 of Kafka's format (`ProducerSnapshot`, KIP-98).
//!
//! Written for Kafka's tools, and for Kafka itself should it ever take over a folder: at the beginning of every segment
//! but the first, and at the log end when the broker stops. Nothing here reads them; the checkpoint has the authority. So
//! they gate nothing, and a partition without producers gets none: Kafka takes an absent one for an empty one, and goes
//! on from the latest that is there.
//!
//! ```text
//! i16 version (1), u32 CRC-32C of all that follows, i32 number of producers, then of each: i64 id, i16 epoch,
//! i32 last sequence, i64 last offset, i32 offset delta, i64 timestamp, i32 coordinator epoch, i64 first offset of the
//! transaction under way; all big-endian
//! ```

use super::partition::Partition;
use super::producer_state::{AppendedBatch, Producer};
use super::segment;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The format version that is written, and the only one there is.
pub const VERSION: i16 = 1;

const CRC_AT: usize = 2;
const ENTRIES_AT: usize = 6;
const ENTRY_BYTES: usize = 46;
const NONE: i32 = -1;

/// A producer in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Its id.
    pub producer_id: i64,
    /// Its current epoch.
    pub producer_epoch: i16,
    /// Sequence of the last record it wrote, or -1 when it wrote none in this epoch.
    pub last_sequence: i32,
    /// Offset of that record, or -1.
    pub last_offset: i64,
    /// Records of its last batch less one.
    pub offset_delta: i32,
    /// Largest timestamp of its last batch in milliseconds, or -1.
    pub timestamp_ms: i64,
    /// Epoch of the last transaction coordinator that ended a transaction of it, or -1.
    pub coordinator_epoch: i32,
    /// Where its transaction under way begins, or -1 when there is none.
    pub transaction_first_offset: i64,
}

impl ProducerEntry {
    fn of(producer_id: i64, producer: &Producer) -> Self {
        let last = producer.batches.back();
        Self {
            producer_id,
            producer_epoch: producer.epoch,
            last_sequence: last.map_or(NONE, |b| b.last_sequence),
            last_offset: last.map_or(NONE.into(), |b| b.last_offset),
            offset_delta: last.map_or(0, AppendedBatch::offset_delta),
            timestamp_ms: producer.last_timestamp_ms,
            coordinator_epoch: NONE,
            transaction_first_offset: NONE.into(),
        }
    }
}

/// The producers at an offset where a segment begins, at or behind the flushed offset, in the order of their ids.
pub(super) fn producers_at(p: &Partition, offset: i64) -> Vec<ProducerEntry> {
    assert!(p.flushed.offset <= offset, "what lies below the flushed offset is no longer known one by one");
    let mut newer = BTreeMap::new();
    for batch in p.unflushed().take_while(|b| b.base_offset < offset) {
        if let Some(producer) = batch.producer {
            let entry = ProducerEntry {
                producer_id: producer.producer_id,
                producer_epoch: producer.producer_epoch,
                last_sequence: producer.last_sequence,
                last_offset: batch.last_offset,
                offset_delta: offset_delta(batch.base_offset, batch.last_offset),
                timestamp_ms: batch.max_timestamp_ms,
                coordinator_epoch: NONE,
                transaction_first_offset: NONE.into(),
            };
            newer.insert(producer.producer_id, entry);
        }
    }
    let older = p.flushed_producers.iter().map(|(id, producer)| (id, ProducerEntry::of(id, producer)));
    let mut all: BTreeMap<i64, ProducerEntry> = older.collect();
    all.append(&mut newer);
    all.into_values().collect()
}

/// The producers at the log end, in the order of their ids.
pub(super) fn producers_at_end(p: &Partition) -> Vec<ProducerEntry> {
    p.producers.iter().map(|(id, producer)| ProducerEntry::of(id, producer)).collect()
}

/// The snapshot that a clean stop may have left at the log end of a partition that was just recovered: from the next
/// append on no segment goes with it.
pub(crate) fn left_by_stop(p: &Partition) -> Option<String> {
    let stray = p.has_folder && !p.producers.is_empty() && p.active().base_offset != p.log_end;
    stray.then(|| segment::file(&segment::folder(&p.topic, p.index), p.log_end, "snapshot"))
}

fn offset_delta(base_offset: i64, last_offset: i64) -> i32 {
    i32::try_from(last_offset - base_offset).expect("a batch spans fewer than 2^31 offsets")
}

impl AppendedBatch {
    fn offset_delta(&self) -> i32 {
        offset_delta(self.base_offset, self.last_offset)
    }
}

/// The content of the file.
pub fn encode(producers: &[ProducerEntry]) -> Vec<u8> {
    let count = i32::try_from(producers.len()).expect("fewer than 2^31 producers");
    let mut out = Vec::with_capacity(ENTRIES_AT + 4 + producers.len() * ENTRY_BYTES);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count.to_be_bytes());
    for p in producers {
        out.extend_from_slice(&p.producer_id.to_be_bytes());
        out.extend_from_slice(&p.producer_epoch.to_be_bytes());
        out.extend_from_slice(&p.last_sequence.to_be_bytes());
        out.extend_from_slice(&p.last_offset.to_be_bytes());
        out.extend_from_slice(&p.offset_delta.to_be_bytes());
        out.extend_from_slice(&p.timestamp_ms.to_be_bytes());
        out.extend_from_slice(&p.coordinator_epoch.to_be_bytes());
        out.extend_from_slice(&p.transaction_first_offset.to_be_bytes());
    }
    let crc = crc32c::crc32c(&out[ENTRIES_AT..]);
    out[CRC_AT..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Why a file is no producer snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedSnapshot {
    /// A version that this program does not know.
    Version(i16),
    /// The checksum does not fit.
    Crc {
        /// What the file says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// It is shorter or longer than the number of producers it announces takes.
    Len {
        /// How many producers it announces.
        announced: i32,
        /// Its bytes.
        len: usize,
    },
    /// Too short for what stands in front of the producers.
    Short,
}

impl fmt::Display for MalformedSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "its version is {version}, this program knows version {VERSION}"),
            Self::Crc { stored, computed } => write!(f, "the CRC is {stored:#010x}, the bytes give {computed:#010x}"),
            Self::Len { announced, len } => write!(f, "it announces {announced} producers and has {len} bytes"),
            Self::Short => write!(f, "it ends before its first producer"),
        }
    }
}

/// Reads the content of the file.
///
/// # Errors
/// When the bytes are no whole and intact snapshot.
pub fn decode(content: &[u8]) -> Result<Vec<ProducerEntry>, MalformedSnapshot> {
    let mut fields = Fields { left: content };
    let version = fields.take().map(i16::from_be_bytes).ok_or(MalformedSnapshot::Short)?;
    if version != VERSION {
        return Err(MalformedSnapshot::Version(version));
    }
    let stored = fields.take().map(u32::from_be_bytes).ok_or(MalformedSnapshot::Short)?;
    let computed = crc32c::crc32c(fields.left);
    if stored != computed {
        return Err(MalformedSnapshot::Crc { stored, computed });
    }
    let announced = fields.take().map(i32::from_be_bytes).ok_or(MalformedSnapshot::Short)?;
    let wrong = MalformedSnapshot::Len { announced, len: content.len() };
    let fits = usize::try_from(announced).is_ok_and(|n| n.checked_mul(ENTRY_BYTES) == Some(fields.left.len()));
    if !fits {
        return Err(wrong);
    }
    let mut producers = Vec::with_capacity(fields.left.len() / ENTRY_BYTES);
    while !fields.left.is_empty() {
        producers.push(fields.producer().ok_or(wrong)?);
    }
    Ok(producers)
}

struct Fields<'a> {
    left: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, left) = self.left.split_first_chunk()?;
        self.left = left;
        Some(*field)
    }

    fn producer(&mut self) -> Option<ProducerEntry> {
        Some(ProducerEntry {
            producer_id: i64::from_be_bytes(self.take()?),
            producer_epoch: i16::from_be_bytes(self.take()?),
            last_sequence: i32::from_be_bytes(self.take()?),
            last_offset: i64::from_be_bytes(self.take()?),
            offset_delta: i32::from_be_bytes(self.take()?),
            timestamp_ms: i64::from_be_bytes(self.take()?),
            coordinator_epoch: i32::from_be_bytes(self.take()?),
            transaction_first_offset: i64::from_be_bytes(self.take()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TopicConfig;
    use crate::log::partition::{NewBatch, Place};
    use crate::log::producer_state::ProducerBatch;
    use crate::log::tail::ChunkPool;
    use crate::log::{AckPoint, Flushed, PartitionId};
    use alloc::vec;
    use corelog_wire::ids::TopicId;
    use proptest::prelude::*;

    /// Bytes of a batch in these tests.
    const SIZE: u32 = 100;

    fn partition() -> Partition {
        let topic = String::from("t");
        Partition::new(PartitionId(0), TopicId([1; 16]), topic, 0, 4_096, TopicConfig::default())
    }

    /// Appends a batch of some records, of a producer when its id is not negative.
    fn append(p: &mut Partition, id: i64, epoch: i16, base_sequence: i32, records: i32, timestamp_ms: i64) {
        let new = NewBatch {
            size: SIZE,
            last_offset_delta: records - 1,
            max_timestamp_ms: timestamp_ms,
            max_timestamp_delta: 0,
            crc: 0,
            producer: ProducerBatch::new(id, epoch, base_sequence, records - 1),
        };
        let place = Place { ordinal: 1, ack: AckPoint::NOW, leader_epoch: 0 };
        p.append(&new, place, &[&[0; SIZE as usize]], 0, &mut ChunkPool::default());
    }

    fn entry(
        id: i64,
        epoch: i16,
        last_sequence: i32,
        last_offset: i64,
        delta: i32,
        timestamp_ms: i64,
    ) -> ProducerEntry {
        ProducerEntry {
            producer_id: id,
            producer_epoch: epoch,
            last_sequence,
            last_offset,
            offset_delta: delta,
            timestamp_ms,
            coordinator_epoch: -1,
            transaction_first_offset: -1,
        }
    }

    #[test]
    fn the_bytes_are_kafkas() {
        let bytes = encode(&[entry(0x0102, 3, 4, 5, 6, 7)]);
        let fields: [&[u8]; 9] = [
            &[0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &[0, 3],
            &[0, 0, 0, 4],
            &[0, 0, 0, 0, 0, 0, 0, 5],
            &[0, 0, 0, 6],
            &[0, 0, 0, 0, 0, 0, 0, 7],
            &[0xff; 4],
            &[0xff; 8],
        ];
        assert_eq!(bytes[..2], [0, 1]);
        assert_eq!(bytes[6..], fields.concat());
        assert_eq!(bytes[2..6], crc32c::crc32c(&bytes[6..]).to_be_bytes());
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let whole = encode(&[entry(1, 0, 9, 9, 9, 5), entry(2, 1, 0, 10, 0, 6)]);
        assert_eq!(decode(&whole).unwrap().len(), 2);
        assert_eq!(decode(&encode(&[])), Ok(vec![]));
        assert_eq!(decode(&[0]), Err(MalformedSnapshot::Short));
        assert_eq!(decode(&[0, 2]), Err(MalformedSnapshot::Version(2)));
        for at in 2..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            assert!(matches!(decode(&bad), Err(MalformedSnapshot::Crc { .. })), "byte {at}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        let crc = crc32c::crc32c(&longer[6..]);
        longer[2..6].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(decode(&longer), Err(MalformedSnapshot::Len { announced: 2, len: longer.len() }));
    }

    proptest! {
        #[test]
        fn anything_can_be_decoded_or_not(version in 0_i16..3, count in any::<i32>(), rest in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut body = count.to_be_bytes().to_vec();
            body.extend_from_slice(&rest);
            let mut bytes = version.to_be_bytes().to_vec();
            bytes.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
            bytes.extend_from_slice(&body);
            if let Ok(producers) = decode(&bytes) {
                prop_assert_eq!(encode(&producers), bytes);
            }
        }
    }

    #[test]
    fn a_segment_begins_with_the_state_of_all_before_it_and_none_behind() {
        let mut p = partition();
        append(&mut p, 7, 0, 0, 10, 50);
        append(&mut p, 9, 2, 0, 1, 60);
        p.high_watermark = p.log_end;
        // The first batch is written back, the second is not.
        p.written_back(Flushed { offset: 10, offset_position: SIZE.into(), position: SIZE.into(), ..p.flushed });
        append(&mut p, -1, -1, -1, 4, 65);
        append(&mut p, 7, 0, 10, 5, 70);
        p.roll(0);
        append(&mut p, 7, 0, 15, 5, 80);
        append(&mut p, 8, 0, 0, 5, 80);
        assert_eq!(p.active().base_offset, 20);
        assert_eq!(producers_at(&p, 20), vec![entry(7, 0, 14, 19, 4, 70), entry(9, 2, 0, 10, 0, 60)]);
        let end = vec![entry(7, 0, 19, 24, 4, 80), entry(8, 0, 4, 29, 4, 80), entry(9, 2, 0, 10, 0, 60)];
        assert_eq!(producers_at_end(&p), end);
        assert_eq!(producers_at(&p, p.log_end), end);
    }

    #[test]
    fn only_a_snapshot_within_a_segment_is_left_over() {
        let mut p = partition();
        p.has_folder = true;
        append(&mut p, -1, -1, -1, 10, 50);
        assert_eq!(left_by_stop(&p), None, "nobody wrote one");
        append(&mut p, 7, 0, 0, 10, 50);
        assert_eq!(left_by_stop(&p).as_deref(), Some("topics/t-0/00000000000000000020.snapshot"));
        p.roll(0);
        assert_eq!(left_by_stop(&p), None, "a segment begins there");
    }
}
