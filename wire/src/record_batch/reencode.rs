//! Writes a batch anew with another codec: what `compression.type` of a topic asks a leader for.
//!
//! The records stay as they are, byte for byte, and so does everything in the header but the codec, the length and the
//! CRC. Invariants: a caller decides how much is compressed at a time; the batch is one that [`super::validate`] has
//! accepted, and the same in every call.

use alloc::vec::Vec;

use super::{ATTRIBUTES_AT, CRC_AT, HEADER_LEN, LENGTH_AT, LENGTH_OVERHEAD, RecordBatch};
use crate::compression::{Compression, CompressionError, Writer, decompress};

/// A batch on its way to another codec.
#[derive(Debug)]
pub struct Reencoding {
    compression: Compression,
    /// The records, where they were compressed.
    plain: Option<Vec<u8>>,
    /// How far they are written.
    at: usize,
    writer: Writer,
}

impl Reencoding {
    /// Begins. Unfolds the batch if it is compressed, to at most `plain_bytes_max` bytes.
    ///
    /// # Errors
    /// It unfolds to more, or not at all.
    pub fn new(
        batch: &RecordBatch<'_>,
        compression: Compression,
        level: Option<i32>,
        plain_bytes_max: usize,
    ) -> Result<Self, CompressionError> {
        let from = batch.attributes().compression().ok_or(CompressionError::Corrupt(compression))?;
        let plain = match from {
            Compression::None => None,
            from => Some(decompress(from, batch.payload(), plain_bytes_max)?),
        };
        let len = plain.as_ref().map_or(batch.payload().len(), Vec::len);
        let mut out = Vec::with_capacity(HEADER_LEN + if compression == Compression::None { len } else { len / 2 });
        out.extend_from_slice(batch.header());
        Ok(Self { compression, plain, at: 0, writer: Writer::new(compression, level, out) })
    }

    /// Compresses up to `bytes_max` bytes more and returns how many; 0 when nothing is left.
    pub fn step(&mut self, batch: &RecordBatch<'_>, bytes_max: usize) -> usize {
        let records = self.plain.as_deref().unwrap_or(batch.payload());
        let rest = &records[self.at..];
        let piece = &rest[..rest.len().min(bytes_max)];
        self.writer.write(piece);
        self.at += piece.len();
        piece.len()
    }

    /// The batch with the other codec. Everything has been compressed.
    pub fn finish(self, batch: &RecordBatch<'_>) -> Vec<u8> {
        let records = self.plain.as_ref().map_or(batch.payload().len(), Vec::len);
        assert_eq!(self.at, records, "all records are written");
        let mut out = self.writer.finish();
        let length = i32::try_from(out.len() - LENGTH_OVERHEAD).expect("records of a frame stay below 2 GiB");
        out[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
        let attributes = batch.attributes().with_compression(self.compression);
        out[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.0.to_be_bytes());
        let crc = crc32c::crc32c(&out[ATTRIBUTES_AT..]);
        out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_batch::{BatchBuilder, NewRecord, ProduceRules, TimestampType, validate};

    const NOW: i64 = 1_700_000_000_000;

    fn batch(compression: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new().compression(compression, None).producer(7, 3, 40).transactional(true);
        for number in 0..500_u32 {
            let value = number.to_le_bytes().repeat(20);
            let key = (number % 3 != 0).then_some(&value[..3]);
            let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"1")), (b"none", None)];
            builder.append(&NewRecord { timestamp: NOW + i64::from(number % 10), key, value: Some(&value), headers });
        }
        builder.build()
    }

    fn reencoded(bytes: &[u8], compression: Compression, step: usize) -> Vec<u8> {
        let (batch, _) = RecordBatch::split_from(bytes).unwrap();
        let mut work = Reencoding::new(&batch, compression, None, 1 << 20).unwrap();
        while work.step(&batch, step) > 0 {}
        work.finish(&batch)
    }

    #[test]
    fn every_codec_becomes_every_other_and_nothing_else_changes() {
        let plain = batch(Compression::None);
        for from in Compression::ALL {
            let source = batch(from);
            for to in Compression::ALL {
                let out = reencoded(&source, to, 777);
                let (changed, rest) = RecordBatch::split_from(&out).unwrap();
                assert!(rest.is_empty() && changed.has_valid_crc(), "{from} to {to}");
                assert_eq!(changed.attributes().compression(), Some(to));
                assert_eq!(reencoded(&out, Compression::None, usize::MAX), plain, "{from} to {to}");
            }
        }
    }

    #[test]
    fn what_is_made_is_as_valid_as_what_it_was_made_of() {
        for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
            let rules = ProduceRules { now_ms: NOW, timestamp_type, ..ProduceRules::default() };
            let source = batch(Compression::Gzip);
            let (before, known) = validate(&source, &rules).unwrap();
            let out = reencoded(&source, Compression::Zstd, 4096);
            let (after, found) = validate(&out, &rules).unwrap();
            assert_eq!(known.reencoded(&after), found);
            assert_ne!(before.crc(), after.crc());
        }
    }

    #[test]
    fn what_unfolds_too_far_is_refused() {
        let source = batch(Compression::Zstd);
        let (batch, _) = RecordBatch::split_from(&source).unwrap();
        let refused = Reencoding::new(&batch, Compression::Gzip, None, 100).err();
        assert_eq!(refused, Some(CompressionError::TooLarge { bytes_max: 100 }));
        let mut damaged = source.clone();
        damaged.truncate(source.len() - 1);
        let length = i32::try_from(damaged.len() - LENGTH_OVERHEAD).unwrap();
        damaged[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
        let (batch, _) = RecordBatch::split_from(&damaged).unwrap();
        assert_eq!(
            Reencoding::new(&batch, Compression::Gzip, None, 1 << 20).err(),
            Some(CompressionError::Corrupt(Compression::Zstd))
        );
    }
}
