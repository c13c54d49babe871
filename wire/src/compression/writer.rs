//! Compression piece by piece, so that a caller can stop in between.

use alloc::vec::Vec;
use core::fmt;
use std::io::Write;

use flate2::write::GzEncoder;
use lz4_flex::frame::FrameEncoder;

use super::{Compression, lz4, snappy, std};

/// Compresses what is written into it.
pub struct Writer(Encoder);

enum Encoder {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Snappy(snappy::Encoder),
    Lz4(FrameEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

impl Writer {
    /// What is compressed comes behind `out`. `level` is the codec's own, brought into its range; `None` is its default.
    /// Snappy and lz4 have one level only.
    pub fn new(compression: Compression, level: Option<i32>, out: Vec<u8>) -> Self {
        Self(match compression {
            Compression::None => Encoder::Plain(out),
            Compression::Gzip => {
                let level = level.map_or(flate2::Compression::default(), |level| {
                    flate2::Compression::new(level.clamp(0, 9).unsigned_abs())
                });
                Encoder::Gzip(GzEncoder::new(out, level))
            }
            Compression::Snappy => Encoder::Snappy(snappy::Encoder::new(out)),
            Compression::Lz4 => Encoder::Lz4(lz4::encoder(out)),
            Compression::Zstd => {
                let range = zstd::compression_level_range();
                let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL).clamp(*range.start(), *range.end());
                Encoder::Zstd(zstd::stream::write::Encoder::new(out, level).expect("the level is in range"))
            }
        })
    }

    /// Takes in the next bytes.
    pub fn write(&mut self, piece: &[u8]) {
        match &mut self.0 {
            Encoder::Plain(out) => {
                out.extend_from_slice(piece);
                Ok(())
            }
            Encoder::Gzip(encoder) => encoder.write_all(piece),
            Encoder::Snappy(encoder) => {
                encoder.write(piece);
                Ok(())
            }
            Encoder::Lz4(encoder) => encoder.write_all(piece),
            Encoder::Zstd(encoder) => encoder.write_all(piece),
        }
        .expect("writing to memory does not fail");
    }

    /// Everything was written: what there was before, and what it was compressed to.
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            Encoder::Plain(out) => out,
            Encoder::Gzip(encoder) => encoder.finish().expect("writing to memory does not fail"),
            Encoder::Snappy(encoder) => encoder.finish(),
            Encoder::Lz4(encoder) => encoder.finish().expect("writing to memory does not fail"),
            Encoder::Zstd(encoder) => encoder.finish().expect("writing to memory does not fail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::decompress;
    use alloc::vec;

    #[test]
    fn pieces_make_the_same_as_the_whole_would() {
        let input: Vec<u8> = (0..200_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        for compression in Compression::ALL {
            for piece in [1_000, 32 * 1024, 100_000, input.len()] {
                let mut writer = Writer::new(compression, None, b"head".to_vec());
                input.chunks(piece).for_each(|piece| writer.write(piece));
                let out = writer.finish();
                assert_eq!(out[..4], *b"head");
                assert_eq!(
                    decompress(compression, &out[4..], input.len()).as_ref(),
                    Ok(&input),
                    "{compression} {piece}"
                );
            }
            let empty = Writer::new(compression, None, vec![]).finish();
            assert_eq!(decompress(compression, &empty, 0), Ok(vec![]), "{compression}");
        }
    }

    #[test]
    fn a_level_counts() {
        let input: Vec<u8> =
            (0..100_000_u32).flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect();
        for compression in [Compression::Gzip, Compression::Zstd] {
            let len = |level| {
                let mut writer = Writer::new(compression, Some(level), vec![]);
                writer.write(&input);
                writer.finish().len()
            };
            assert!(len(9) < len(1), "{compression}");
        }
    }
}
