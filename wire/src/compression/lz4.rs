//! LZ4 in its frame format, one frame, as Kafka's clients write it.
//!
//! The codec's own frame reader takes an early end for the end, and more than one kind of frame. So the frame's skeleton
//! (header, block lengths, end mark) is checked before it is decompressed: exactly one frame, complete, nothing behind.

use alloc::vec::Vec;
use std::io::Read;

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::std;

const MAGIC: u32 = 0x184D_2204;
const FLAG_VERSION: u8 = 0b1100_0000;
const VERSION: u8 = 0b0100_0000;
const FLAG_BLOCK_CHECKSUM: u8 = 0b0001_0000;
const FLAG_CONTENT_SIZE: u8 = 0b0000_1000;
const FLAG_CONTENT_CHECKSUM: u8 = 0b0000_0100;
const FLAG_DICTIONARY: u8 = 0b0000_0001;
/// The bit of a block's length that says that the block is not compressed.
const BLOCK_IS_PLAIN: u32 = 1 << 31;
const CHECKSUM_LEN: usize = 4;

pub(super) struct Decoder<'a> {
    frame: FrameDecoder<&'a [u8]>,
    ended: bool,
}

impl<'a> Decoder<'a> {
    /// `None` where `input` is not exactly one frame.
    pub(super) fn new(input: &'a [u8]) -> Option<Self> {
        is_one_frame(input).then(|| Self { frame: FrameDecoder::new(input), ended: false })
    }

    /// Writes the next bytes into `out`; 0 at the end. `None` where the frame is corrupt.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Option<usize> {
        if self.ended {
            return Some(0);
        }
        let count = self.frame.read(out).ok()?;
        if count == 0 {
            self.ended = true;
            // Anything left over means that the decoder stopped before the end mark.
            return self.frame.get_ref().is_empty().then_some(0);
        }
        Some(count)
    }
}

fn is_one_frame(input: &[u8]) -> bool {
    frame_len(input) == Some(input.len())
}

/// The length of the frame at the start of `input`, from its skeleton.
fn frame_len(input: &[u8]) -> Option<usize> {
    let mut rest = input;
    if take_u32(&mut rest)? != MAGIC {
        return None;
    }
    let [flags, ..] = *take(&mut rest, 2)? else { return None };
    if flags & FLAG_VERSION != VERSION || flags & FLAG_DICTIONARY != 0 {
        return None;
    }
    if flags & FLAG_CONTENT_SIZE != 0 {
        take(&mut rest, 8)?;
    }
    take(&mut rest, 1)?; // the header's checksum
    loop {
        match take_u32(&mut rest)? {
            0 => break,
            len => take(&mut rest, (len & !BLOCK_IS_PLAIN) as usize)?,
        };
        if flags & FLAG_BLOCK_CHECKSUM != 0 {
            take(&mut rest, CHECKSUM_LEN)?;
        }
    }
    if flags & FLAG_CONTENT_CHECKSUM != 0 {
        take(&mut rest, CHECKSUM_LEN)?;
    }
    Some(input.len() - rest.len())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    Some(taken)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u32::from_le_bytes(*bytes))
}

/// Writes one frame of independent blocks of up to 64 KiB, as Java's client does, behind `out`.
pub(super) fn encoder(out: Vec<u8>) -> FrameEncoder<Vec<u8>> {
    let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    FrameEncoder::with_frame_info(info, out)
}
