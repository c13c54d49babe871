//! Frames: four bytes of length, a header, a body.
//!
//! Reading: [`frame_length`] before a byte of the frame is buffered, then [`RequestHeader::decode`] and the request's own
//! `decode` on the frame's bytes. Writing: [`encode_response`] and [`encode_request`] give whole frames, length included.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::api_key::ApiKey;
use crate::encoder::{EncodeError, EncodeErrorKind, Encoder, Segment};
use crate::header::{RequestHeader, ResponseHeader};
use crate::limits::{FRAME_PREFIX_BYTES, REQUEST_HEADER_BYTES_MIN};
use crate::message::{Message, Request};

/// A length in front of a frame that no frame can have. In words it is what a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The length is negative.
    NegativeLength(i32),
    /// The length is below what the smallest header takes.
    TooShort(usize),
    /// The length is above what the broker takes.
    TooLong {
        /// The length.
        length: usize,
        /// The longest that is taken.
        limit: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NegativeLength(length) => {
                write!(f, "it announced a request of {length} bytes; it may not speak Kafka's protocol")
            }
            Self::TooShort(length) => {
                write!(f, "it announced a request of {length} bytes; the shortest has {REQUEST_HEADER_BYTES_MIN}")
            }
            Self::TooLong { length, limit } => {
                write!(f, "it announced a request of {length} bytes; the limit (socket.request.max.bytes) is {limit}")
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// The length of a request's frame behind its prefix, checked against what the broker takes.
pub const fn frame_length(prefix: [u8; FRAME_PREFIX_BYTES], limit: usize) -> Result<usize, FrameError> {
    let length = i32::from_be_bytes(prefix);
    if length < 0 {
        return Err(FrameError::NegativeLength(length));
    }
    let length = length as usize;
    if length < REQUEST_HEADER_BYTES_MIN {
        return Err(FrameError::TooShort(length));
    }
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    Ok(length)
}

/// The frame that answers a request of this API and version: segments which, joined, are length, header and body.
/// Small fields share a segment; record bytes are segments of their own, never copied.
pub fn encode_response<'a>(
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    response: &impl Message<'a>,
) -> Result<Vec<Bytes>, EncodeError> {
    response_frame(correlation_id, api, version, response).map(Encoder::into_segments)
}

/// As [`encode_response`], for a message with [`crate::primitives::Records::Elsewhere`]: these are gaps, in order.
pub fn encode_response_with_gaps<'a>(
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    response: &impl Message<'a>,
) -> Result<Vec<Segment>, EncodeError> {
    response_frame(correlation_id, api, version, response).map(Encoder::into_segments_and_gaps)
}

fn response_frame<'a>(
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    response: &impl Message<'a>,
) -> Result<Encoder, EncodeError> {
    let mut encoder = Encoder::new();
    encoder.put_int32(0);
    ResponseHeader { correlation_id }.encode(&mut encoder, api, version);
    response.encode(&mut encoder, version)?;
    finish(encoder)
}

/// The frame of a request, in the version that its header names; segments as in [`encode_response`].
pub fn encode_request<'a, R: Request<'a>>(header: &RequestHeader<'_>, request: &R) -> Result<Vec<Bytes>, EncodeError> {
    if header.api() != Some(R::KEY) {
        return Err(EncodeErrorKind::WrongApi.into());
    }
    let mut encoder = Encoder::new();
    encoder.put_int32(0);
    header.encode(&mut encoder)?;
    request.encode(&mut encoder, header.request_api_version)?;
    finish(encoder).map(Encoder::into_segments)
}

/// Writes the length of the whole frame.
fn finish(mut encoder: Encoder) -> Result<Encoder, EncodeError> {
    let length = encoder.len() - FRAME_PREFIX_BYTES;
    encoder.patch_int32(0, i32::try_from(length).map_err(|_| EncodeErrorKind::TooLong(length))?);
    Ok(encoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked() {
        assert_eq!(frame_length(8_i32.to_be_bytes(), 100), Ok(8));
        assert_eq!(frame_length(100_i32.to_be_bytes(), 100), Ok(100));
        assert_eq!(frame_length(7_i32.to_be_bytes(), 100), Err(FrameError::TooShort(7)));
        assert_eq!(frame_length(101_i32.to_be_bytes(), 100), Err(FrameError::TooLong { length: 101, limit: 100 }));
        assert_eq!(frame_length([0xff; 4], 100), Err(FrameError::NegativeLength(-1)));
        assert_eq!(
            frame_length(*b"GET ", 104_857_600),
            Err(FrameError::TooLong { length: 0x4745_5420, limit: 104_857_600 })
        );
    }
}
