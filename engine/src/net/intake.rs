//! Cuts the bytes of a connection into frames.
//!
//! Invariant: a length is checked before anything is allocated for it, and what is kept of an unfinished frame is only
//! what arrived.

use std::collections::VecDeque;

use bytes::Bytes;
use corelog_wire::frame::{FrameError, frame_length};
use corelog_wire::limits::FRAME_PREFIX_BYTES;

use crate::runtime::provided::CHUNK_BYTES;

/// A frame above this gets a buffer of its own.
pub(crate) const SMALL_BYTES: usize = CHUNK_BYTES;

/// An unfinished small frame gets room for all of it when this part of it is there.
const ROOM_PART: usize = 8;

/// The unfinished small frame of a connection.
#[derive(Default)]
pub(crate) struct Intake {
    /// Its length and what came behind it; empty between frames.
    partial: Vec<u8>,
}

impl Intake {
    /// Bytes kept of an unfinished frame.
    pub(crate) fn kept(&self) -> usize {
        self.partial.len()
    }

    /// Begins with a length that was received by itself, of a small frame.
    pub(crate) fn begin(&mut self, length: [u8; FRAME_PREFIX_BYTES]) {
        assert!(self.partial.is_empty(), "a frame is unfinished");
        self.partial = length.to_vec();
    }

    /// Appends the frames that `bytes` complete. Returns the length of a large frame that began, and then the bytes of
    /// it that came are to be had from [`Intake::take_large`]: they are the last ones of `bytes`.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        limit: usize,
        frames: &mut VecDeque<Bytes>,
    ) -> Result<Option<usize>, FrameError> {
        if !self.partial.is_empty() {
            let lacking = FRAME_PREFIX_BYTES.saturating_sub(self.partial.len()).min(bytes.len());
            self.keep(&mut bytes, lacking);
            let Some((&length, came)) = self.partial.split_first_chunk() else { return Ok(None) };
            let length = frame_length(length, limit)?;
            let lacking = length - came.len();
            if length > SMALL_BYTES {
                self.keep(&mut bytes, lacking);
                return Ok(Some(length));
            }
            self.keep(&mut bytes, lacking);
            if self.partial.len() < FRAME_PREFIX_BYTES + length {
                return Ok(None);
            }
            frames.push_back(Bytes::from(std::mem::take(&mut self.partial)).slice(FRAME_PREFIX_BYTES..));
        }
        while let Some((&length, rest)) = bytes.split_first_chunk() {
            let length = frame_length(length, limit)?;
            if rest.len() < length {
                // Room for all of it where much of it came: an announcement alone is worth no memory.
                let whole = length <= SMALL_BYTES && rest.len() >= length / ROOM_PART;
                self.partial = Vec::with_capacity(if whole { FRAME_PREFIX_BYTES + length } else { bytes.len() });
                self.partial.extend_from_slice(bytes);
                return Ok((length > SMALL_BYTES).then_some(length));
            }
            frames.push_back(Bytes::copy_from_slice(&rest[..length]));
            bytes = &rest[length..];
        }
        self.partial = bytes.to_vec();
        Ok(None)
    }

    /// The bytes of the large frame that began.
    pub(crate) fn take_large(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.partial)).slice(FRAME_PREFIX_BYTES..)
    }

    /// Moves up to `count` bytes from `bytes` to the unfinished frame.
    fn keep(&mut self, bytes: &mut &[u8], count: usize) {
        let (now, later) = bytes.split_at(count.min(bytes.len()));
        self.partial.extend_from_slice(now);
        *bytes = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn frame(len: usize, byte: u8) -> Vec<u8> {
        let mut bytes = (len as u32).to_be_bytes().to_vec();
        bytes.resize(FRAME_PREFIX_BYTES + len, byte);
        bytes
    }

    /// Feeds a stream in chunks of the given sizes and reassembles large frames as a connection does.
    fn cut(stream: &[u8], mut size: impl FnMut() -> usize) -> Vec<Bytes> {
        let (mut intake, mut frames, mut rest) = (Intake::default(), VecDeque::new(), stream);
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(size().clamp(1, CHUNK_BYTES).min(rest.len()));
            rest = later;
            if let Some(length) = intake.feed(chunk, LIMIT, &mut frames).unwrap() {
                let mut large = intake.take_large().to_vec();
                let (end, later) = rest.split_at(length - large.len());
                large.extend_from_slice(end);
                frames.push_back(Bytes::from(large));
                rest = later;
            }
        }
        assert_eq!(intake.kept(), 0);
        frames.into()
    }

    #[test]
    fn frames_come_out_whole_however_the_stream_is_cut() {
        let lengths = [8, 9, 100, SMALL_BYTES - 4, SMALL_BYTES, SMALL_BYTES + 1, 40_000, 8, 12, 300_000, 1000];
        let mut stream = Vec::new();
        for (index, &len) in lengths.iter().enumerate() {
            stream.extend(frame(len, index as u8));
        }
        let mut seed = 1u32;
        for sizes in 0..200 {
            let frames = cut(&stream, || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                match sizes {
                    0 => 1,
                    1 => CHUNK_BYTES,
                    2..100 => (seed >> 8) as usize % 30,
                    _ => (seed >> 8) as usize % CHUNK_BYTES,
                }
            });
            assert_eq!(frames.iter().map(Bytes::len).collect::<Vec<_>>(), lengths);
            for (index, frame) in frames.iter().enumerate() {
                assert!(frame.iter().all(|&byte| byte == index as u8));
            }
        }
    }

    #[test]
    fn impossible_lengths_are_refused_before_anything_is_kept() {
        for (length, word) in [(-1i32, "-1 bytes"), (i32::MIN, "Kafka"), (7, "shortest"), (LIMIT as i32 + 1, "limit")] {
            let mut intake = Intake::default();
            let error = intake.feed(&length.to_be_bytes(), LIMIT, &mut VecDeque::new()).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
            assert_eq!(intake.kept(), 0);
            let mut intake = Intake::default();
            let bytes = length.to_be_bytes();
            assert_eq!(intake.feed(&bytes[..3], LIMIT, &mut VecDeque::new()), Ok(None));
            assert_eq!(intake.feed(&bytes[3..], LIMIT, &mut VecDeque::new()), Err(error));
        }
    }

    #[test]
    fn frames_in_front_of_a_bad_length_are_kept() {
        let mut stream = frame(8, 1);
        stream.extend([0xff; 4]);
        let mut frames = VecDeque::new();
        assert!(Intake::default().feed(&stream, LIMIT, &mut frames).is_err());
        assert_eq!(frames.len(), 1);
    }
}
