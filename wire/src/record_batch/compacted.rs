//! What compaction leaves of a batch: some of its records, or none, at their offsets (KIP-98, KIP-534).
//!
//! Invariants: base offset, last offset, leader epoch, producer fields, flags and type of timestamps stay, so that the batch
//! stands for the same offsets and sequence numbers as before.

use alloc::vec::Vec;

use super::{
    ATTRIBUTES_AT, Attributes, BASE_TIMESTAMP_AT, BatchBuilder, CRC_AT, HEADER_LEN, LENGTH_AT, LENGTH_MIN,
    MAX_TIMESTAMP_AT, NO_TIMESTAMP, NewRecord, RECORD_COUNT_AT, Record, RecordBatch, TimestampType,
};

/// Collects the records that stay.
#[derive(Debug)]
pub struct Compacted {
    builder: BatchBuilder,
}

impl Compacted {
    /// Nothing is kept yet. With `delete_horizon_ms` the batch carries it in place of its base timestamp, also where it had
    /// another one.
    pub fn new(batch: &RecordBatch<'_>, delete_horizon_ms: Option<i64>) -> Self {
        let attributes = batch.attributes();
        let mut builder = BatchBuilder::new()
            .base_offset(batch.base_offset())
            .leader_epoch(batch.partition_leader_epoch())
            .producer(batch.producer_id(), batch.producer_epoch(), batch.base_sequence())
            .transactional(attributes.is_transactional())
            .control(attributes.is_control());
        if let Some(horizon_ms) = delete_horizon_ms {
            builder = builder.delete_horizon(horizon_ms);
        }
        if attributes.timestamp_type() == TimestampType::LogAppendTime {
            builder = builder.log_append_time(batch.max_timestamp());
        }
        Self { builder }
    }

    /// Keeps a record of the batch. Those that stay come in the order of their offsets.
    pub fn keep(&mut self, batch: &RecordBatch<'_>, record: &Record<'_>) {
        let headers: Vec<_> = record.headers.collect();
        let delta =
            i32::try_from(record.offset - batch.base_offset()).expect("a record's offset is a delta of 32 bits");
        let Record { timestamp, key, value, .. } = *record;
        self.builder.append_at(delta, &NewRecord { timestamp, key, value, headers: &headers });
    }

    /// The batch with what was kept, which is something, not compressed.
    pub fn finish(self, batch: &RecordBatch<'_>) -> Vec<u8> {
        assert!(self.builder.record_count() > 0, "something was kept");
        self.builder.last_offset_delta(batch.last_offset_delta()).build()
    }
}

/// The batch without any record: its header stays for the offsets and the sequence numbers that it stands for.
pub fn emptied(batch: &RecordBatch<'_>) -> [u8; HEADER_LEN] {
    let mut header = *batch.header();
    let before = batch.attributes();
    let attributes = Attributes::default()
        .with_timestamp_type(before.timestamp_type())
        .with_transactional(before.is_transactional())
        .with_control(before.is_control());
    header[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&LENGTH_MIN.to_be_bytes());
    header[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.0.to_be_bytes());
    header[BASE_TIMESTAMP_AT..MAX_TIMESTAMP_AT].copy_from_slice(&NO_TIMESTAMP.to_be_bytes());
    header[RECORD_COUNT_AT..].fill(0);
    let crc = crc32c::crc32c(&header[ATTRIBUTES_AT..]);
    header[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::Compression;

    const NOW: i64 = 1_700_000_000_000;

    fn batch(compression: Compression, append_time: Option<i64>) -> Vec<u8> {
        let mut builder = BatchBuilder::new()
            .base_offset(1_000)
            .leader_epoch(5)
            .producer(7, 3, i32::MAX - 2)
            .transactional(true)
            .compression(compression, None);
        if let Some(ms) = append_time {
            builder = builder.log_append_time(ms);
        }
        for number in 0..10_i64 {
            let key = [number as u8];
            let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"1")), (b"none", None)];
            let value = (number % 4 != 0).then_some(&b"value"[..]);
            builder.append(&NewRecord { timestamp: NOW + number % 7, key: Some(&key), value, headers });
        }
        builder.build()
    }

    /// Offset, timestamp, sequence, key, value, number of headers.
    type Fields = (i64, i64, i32, Vec<u8>, Option<Vec<u8>>, usize);

    fn records(bytes: &[u8]) -> Vec<Fields> {
        let (batch, rest) = RecordBatch::split_from(bytes).unwrap();
        assert!(rest.is_empty() && batch.has_valid_crc());
        let payload = batch.decompressed_payload(1 << 20).unwrap();
        let fields = |r: Record<'_>| {
            (r.offset, r.timestamp, r.sequence, r.key.unwrap().to_vec(), r.value.map(<[u8]>::to_vec), r.headers.len())
        };
        batch.records(&payload).map(|record| fields(record.unwrap())).collect()
    }

    #[test]
    fn what_stays_is_as_it_was_and_the_batch_stands_for_the_same() {
        for compression in Compression::ALL {
            for append_time in [None, Some(NOW + 99)] {
                let source = batch(compression, append_time);
                let (before, _) = RecordBatch::split_from(&source).unwrap();
                let payload = before.decompressed_payload(1 << 20).unwrap();
                for horizon in [None, Some(NOW + 5_000)] {
                    let mut compacted = Compacted::new(&before, horizon);
                    let kept = |record: &Record<'_>| record.offset % 3 == 0;
                    let wanted = before.records(&payload).map(Result::unwrap).filter(kept);
                    wanted.for_each(|record| compacted.keep(&before, &record));
                    let made = compacted.finish(&before);
                    let wanted: Vec<_> = records(&source).into_iter().filter(|r| r.0 % 3 == 0).collect();
                    assert_eq!(records(&made), wanted);
                    let (after, _) = RecordBatch::split_from(&made).unwrap();
                    assert_eq!(after.header()[..8], before.header()[..8]);
                    assert_eq!(after.header()[12..16], before.header()[12..16]);
                    assert_eq!(after.header()[23..27], before.header()[23..27], "last offset");
                    assert_eq!(after.header()[43..57], before.header()[43..57], "producer");
                    assert_eq!(after.last_sequence(), before.last_sequence());
                    assert_eq!(after.attributes().has_delete_horizon(), horizon.is_some());
                    assert!(horizon.is_none_or(|ms| after.base_timestamp() == ms));
                    assert_eq!(after.attributes().timestamp_type(), before.attributes().timestamp_type());
                    let largest = append_time.unwrap_or_else(|| wanted.iter().map(|r| r.1).max().unwrap());
                    assert_eq!(after.max_timestamp(), largest);
                }
            }
        }
    }

    #[test]
    fn an_emptied_batch_keeps_its_offsets_and_its_sequences() {
        let source = batch(Compression::Zstd, None);
        let (before, _) = RecordBatch::split_from(&source).unwrap();
        let bytes = emptied(&before);
        assert_eq!(records(&bytes), []);
        let (after, _) = RecordBatch::split_from(&bytes).unwrap();
        let span = |b: &RecordBatch<'_>| {
            (
                b.base_offset(),
                b.last_offset(),
                b.producer_id(),
                b.producer_epoch(),
                b.base_sequence(),
                b.last_sequence(),
            )
        };
        assert_eq!(span(&after), span(&before));
        assert_eq!((after.base_timestamp(), after.max_timestamp()), (NO_TIMESTAMP, before.max_timestamp()));
        assert!(after.attributes().is_transactional() && after.attributes().compression() == Some(Compression::None));
    }
}
