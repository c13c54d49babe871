//! The codecs of record batches: gzip, snappy, lz4, zstd.
//!
//! Invariants:
//! - Decompression never yields more than the bound that its caller gives, and never holds much more than a codec's own
//!   window: an error comes before the memory. The exception is snappy, whose blocks are decompressed whole; a block is
//!   refused if it claims to unfold further than the format can.
//! - Whatever the input is, the outcome is bytes or a [`CompressionError`], never a panic.
//! - Input that ends early, or goes on behind its end, is corrupt (a snappy stream has no end mark: it may end after any
//!   block).
//!
//! This module alone may name the standard library: the codecs want its `Read` and `Write`.

extern crate std;

mod lz4;
mod snappy;
mod writer;

use alloc::vec::Vec;
use core::fmt;
use std::io::Read;

use flate2::bufread::MultiGzDecoder;

pub use self::writer::Writer;
use crate::limits::DECOMPRESSED_PIECE_BYTES_MAX;

/// How the records of a batch are compressed (`compression.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Gzip, RFC 1952.
    Gzip,
    /// Snappy, raw or in the frames of snappy-java.
    Snappy,
    /// LZ4 in its own frames.
    Lz4,
    /// Zstandard, RFC 8878 (KIP-110).
    Zstd,
}

impl Compression {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in a batch's attributes.
    pub fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec with that number in a batch's attributes.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|compression| compression.id() == id)
    }

    /// The name in configs.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec with that name in configs; `uncompressed` is another name of none.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if name == "uncompressed" { "none" } else { name };
        Self::ALL.into_iter().find(|compression| compression.name() == name)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionError {
    /// They are not what the codec writes, or not all of it.
    Corrupt(Compression),
    /// They unfold to more bytes than the caller allows.
    TooLarge {
        /// How many the caller allows.
        bytes_max: usize,
    },
}

impl fmt::Display for CompressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(compression) => write!(f, "the {compression} data is corrupt"),
            Self::TooLarge { bytes_max } => write!(f, "the data decompresses to more than {bytes_max} bytes"),
        }
    }
}

impl core::error::Error for CompressionError {}

/// Decompresses piece by piece.
pub struct Reader<'a> {
    compression: Compression,
    decoder: Decoder<'a>,
    bytes_max: usize,
    produced: usize,
}

enum Decoder<'a> {
    Plain(&'a [u8]),
    Gzip(MultiGzDecoder<&'a [u8]>),
    Snappy(snappy::Decoder<'a>),
    Lz4(lz4::Decoder<'a>),
    Zstd(zstd::stream::read::Decoder<'static, &'a [u8]>),
    /// The codec could not start on the input.
    Failed,
}

impl<'a> Reader<'a> {
    /// Decompresses `input`, at most `bytes_max` bytes of it.
    pub fn new(compression: Compression, input: &'a [u8], bytes_max: usize) -> Self {
        let decoder = match compression {
            Compression::None => Decoder::Plain(input),
            Compression::Gzip => Decoder::Gzip(MultiGzDecoder::new(input)),
            Compression::Snappy => snappy::Decoder::new(input).map_or(Decoder::Failed, Decoder::Snappy),
            Compression::Lz4 => lz4::Decoder::new(input).map_or(Decoder::Failed, Decoder::Lz4),
            Compression::Zstd => zstd::stream::read::Decoder::with_buffer(input).map_or(Decoder::Failed, Decoder::Zstd),
        };
        Self { compression, decoder, bytes_max, produced: 0 }
    }

    /// Writes the next bytes into `out`, which is not empty, and returns how many; 0 at the end. An error comes again if
    /// asked again.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, CompressionError> {
        assert!(!out.is_empty(), "there is room to read into");
        // One byte more than is allowed tells a batch that fits exactly from one that does not.
        let room = out.len().min(self.bytes_max.saturating_sub(self.produced).saturating_add(1));
        match self.read_unbounded(&mut out[..room]) {
            Ok(count) => {
                self.produced += count;
                if self.produced > self.bytes_max { Err(self.fail_too_large()) } else { Ok(count) }
            }
            Err(error) => {
                self.decoder = Decoder::Failed;
                Err(error)
            }
        }
    }

    fn read_unbounded(&mut self, out: &mut [u8]) -> Result<usize, CompressionError> {
        let corrupt = CompressionError::Corrupt(self.compression);
        match &mut self.decoder {
            Decoder::Plain(input) => input.read(out).map_err(|_| corrupt),
            Decoder::Gzip(decoder) => decoder.read(out).map_err(|_| corrupt),
            Decoder::Snappy(decoder) => decoder.read(out, self.bytes_max).map_err(|refusal| match refusal {
                snappy::Refusal::Corrupt => corrupt,
                snappy::Refusal::TooLarge => CompressionError::TooLarge { bytes_max: self.bytes_max },
            }),
            Decoder::Lz4(decoder) => decoder.read(out).ok_or(corrupt),
            Decoder::Zstd(decoder) => decoder.read(out).map_err(|_| corrupt),
            Decoder::Failed if self.produced > self.bytes_max => {
                Err(CompressionError::TooLarge { bytes_max: self.bytes_max })
            }
            Decoder::Failed => Err(corrupt),
        }
    }

    fn fail_too_large(&mut self) -> CompressionError {
        self.decoder = Decoder::Failed;
        CompressionError::TooLarge { bytes_max: self.bytes_max }
    }
}

/// Decompresses all of `input`, at most `bytes_max` bytes.
pub fn decompress(compression: Compression, input: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    let mut reader = Reader::new(compression, input, bytes_max);
    let mut output = Vec::new();
    let mut filled = 0;
    loop {
        if output.len() - filled < PIECE_LEN_MIN {
            let more = output.len().clamp(input.len().max(PIECE_LEN_MIN), DECOMPRESSED_PIECE_BYTES_MAX);
            output.resize(output.len() + more, 0);
        }
        match reader.read(&mut output[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    output.truncate(filled);
    Ok(output)
}

/// Room for at least this much is offered to a codec at once.
const PIECE_LEN_MIN: usize = 4 * 1024;

/// Appends `input`, compressed, to `out`. See [`Writer::new`].
pub fn compress(compression: Compression, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) {
    let mut writer = Writer::new(compression, level, core::mem::take(out));
    writer.write(input);
    *out = writer.finish();
}

#[cfg(test)]
mod tests;
