//! Snappy in both framings that Kafka's clients write: one raw block (librdkafka), or the stream of snappy-java, a header
//! of 16 bytes and then blocks, each behind its length in 4 bytes.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use snap::raw;

/// The header of the stream: magic, version 1, compatible with version 1.
const STREAM_HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// The part of the header that tells a stream from a raw block.
const STREAM_MAGIC_LEN: usize = 8;
/// How much goes into a block that we write, as in snappy-java.
const BLOCK_LEN: usize = 32 * 1024;
/// The furthest that a byte can unfold: three bytes copy up to 64.
const EXPANSION_MAX: usize = 22;

pub(super) enum Refusal {
    Corrupt,
    TooLarge,
}

pub(super) struct Decoder<'a> {
    rest: &'a [u8],
    is_stream: bool,
    /// The current block, decompressed, and how far it was read.
    block: Vec<u8>,
    read: usize,
}

impl<'a> Decoder<'a> {
    /// `None` where the stream's header is cut off or asks for a later version.
    pub(super) fn new(input: &'a [u8]) -> Option<Self> {
        let is_stream = input.starts_with(&STREAM_HEADER[..STREAM_MAGIC_LEN]);
        let rest = if is_stream { Self::skip_header(input)? } else { input };
        Some(Self { rest, is_stream, block: Vec::new(), read: 0 })
    }

    fn skip_header(input: &'a [u8]) -> Option<&'a [u8]> {
        let (header, rest) = input.split_first_chunk::<{ STREAM_HEADER.len() }>()?;
        let compatible_version = i32::from_be_bytes(*header.last_chunk()?);
        (compatible_version <= 1).then_some(rest)
    }

    /// Writes the next bytes into `out`; 0 at the end. No block may unfold to more than `block_len_max`.
    pub(super) fn read(&mut self, out: &mut [u8], block_len_max: usize) -> Result<usize, Refusal> {
        while self.read == self.block.len() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            self.next_block(block_len_max)?;
        }
        let count = out.len().min(self.block.len() - self.read);
        out[..count].copy_from_slice(&self.block[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }

    fn next_block(&mut self, block_len_max: usize) -> Result<(), Refusal> {
        let compressed = if self.is_stream {
            let (len, rest) = self.rest.split_first_chunk().ok_or(Refusal::Corrupt)?;
            let len = usize::try_from(i32::from_be_bytes(*len)).map_err(|_| Refusal::Corrupt)?;
            let (compressed, rest) = rest.split_at_checked(len).ok_or(Refusal::Corrupt)?;
            self.rest = rest;
            compressed
        } else {
            core::mem::take(&mut self.rest)
        };
        let len = raw::decompress_len(compressed).map_err(|_| Refusal::Corrupt)?;
        if len > compressed.len().saturating_mul(EXPANSION_MAX) {
            return Err(Refusal::Corrupt);
        }
        if len > block_len_max {
            return Err(Refusal::TooLarge);
        }
        if self.block.capacity() < len {
            self.block = vec![0; len];
        } else {
            self.block.resize(len, 0);
        }
        self.read = 0;
        let written = raw::Decoder::new().decompress(compressed, &mut self.block).map_err(|_| Refusal::Corrupt)?;
        if written == len { Ok(()) } else { Err(Refusal::Corrupt) }
    }
}

/// Writes a stream of snappy-java.
pub(super) struct Encoder {
    raw: Box<raw::Encoder>,
    /// What does not fill a block yet.
    block: Vec<u8>,
    out: Vec<u8>,
}

impl Encoder {
    /// The stream comes behind `out`.
    pub(super) fn new(mut out: Vec<u8>) -> Self {
        out.extend_from_slice(&STREAM_HEADER);
        Self { raw: Box::new(raw::Encoder::new()), block: Vec::new(), out }
    }

    pub(super) fn write(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let (taken, rest) = piece.split_at(piece.len().min(BLOCK_LEN - self.block.len()));
            self.block.extend_from_slice(taken);
            piece = rest;
            if self.block.len() == BLOCK_LEN {
                self.end_block();
            }
        }
    }

    fn end_block(&mut self) {
        let compressed = self.raw.compress_vec(&self.block).expect("a block is far below snappy's limit");
        let len = i32::try_from(compressed.len()).expect("a block is far below snappy's limit");
        self.out.extend_from_slice(&len.to_be_bytes());
        self.out.extend_from_slice(&compressed);
        self.block.clear();
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if !self.block.is_empty() {
            self.end_block();
        }
        self.out
    }
}
