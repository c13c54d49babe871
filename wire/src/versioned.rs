//! Messages that stand alone, with their version in two bytes in front: in records and inside other messages.

use alloc::vec::Vec;

use crate::decoder::{DecodeError, DecodeErrorKind, Decoder};
use crate::encoder::{EncodeError, Encoder};
use crate::message::Message;

/// Reads a message of a version that we have, and nothing behind it.
pub(crate) fn read<'a, M: Message<'a>>(bytes: &'a [u8]) -> Result<M, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let version = decoder.int16()?;
    let message = M::decode(&mut decoder, version)?;
    decoder.finish()?;
    Ok(message)
}

/// Reads a message whose later versions only add to its end: of a version that we do not have yet, what we know of it.
pub(crate) fn read_known_part<'a, M: Message<'a>>(bytes: &'a [u8]) -> Result<M, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let version = decoder.int16()?;
    M::decode(&mut decoder, version.min(M::VERSIONS.max))
}

/// Reads such a message as if it were of its first version.
pub(crate) fn read_first_version<'a, M: Message<'a>>(bytes: &'a [u8]) -> Result<M, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let version = decoder.int16()?;
    if version < M::VERSIONS.min {
        return Err(DecodeErrorKind::UnsupportedVersion(version).into());
    }
    M::decode(&mut decoder, M::VERSIONS.min)
}

/// Writes a message behind `prefix`, which is its version or what stands in the version's place.
pub(crate) fn write<'a>(prefix: i16, version: i16, message: &impl Message<'a>) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = Encoder::new();
    encoder.put_int16(prefix);
    message.encode(&mut encoder, version)?;
    Ok(encoder.into_contiguous())
}
