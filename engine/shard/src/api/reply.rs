//! A whole answer on its way to the client, and where it says for how long the client is held back.

use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::message::{FieldType, Message};

use super::ReplyTo;
use crate::io::Piece;

/// Kafka's name of the field, which stands first in nearly every response. Schemas put the struct's name in front.
const THROTTLE_TIME: &str = ".throttle_time_ms";

/// Length and correlation id.
const LENGTH_AND_CORRELATION_ID: usize = 8;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Frame {
    /// What is sent.
    pub(crate) pieces: Vec<Piece>,
    /// Where in the first piece the time stands, if the answer has it at its beginning.
    place: Option<usize>,
    throttle_ms: u32,
}

impl Frame {
    /// An answer with this message, which says how long the client is held back if that is known already.
    pub(crate) fn new<'a, M: Message<'a>>(to: &ReplyTo, _: &M, pieces: Vec<Piece>, throttle_ms: u32) -> Self {
        let header = usize::try_from(to.api.response_header_version(to.version)).expect("0 or 1");
        let place = is_first::<M>(to.version).then_some(LENGTH_AND_CORRELATION_ID + header);
        Self { pieces, place, throttle_ms }
    }

    /// How long the client is held back, in milliseconds.
    pub(crate) fn throttle_ms(&self) -> u32 {
        self.throttle_ms
    }

    /// The client is held back at least so long. It is told so where the answer has a place for it at its beginning; where
    /// it does not, the client notices only that it is not listened to.
    pub(crate) fn hold_back(&mut self, throttle_ms: u32) {
        if throttle_ms <= self.throttle_ms {
            return;
        }
        self.throttle_ms = throttle_ms;
        if let (Some(place), Some(Piece::Memory(first))) = (self.place, self.pieces.first_mut()) {
            let mut bytes = first.to_vec();
            bytes[place..place + 4].copy_from_slice(&throttle_ms.to_be_bytes());
            *first = Bytes::from(bytes);
        }
    }
}

/// Whether the time is the first field of a response in this version.
fn is_first<'a, M: Message<'a>>(version: i16) -> bool {
    let FieldType::Struct { fields, .. } = M::TYPE else { return false };
    let mut plain = fields.iter().filter(|field| field.tag.is_none() && field.versions.contains(version));
    plain.next().is_some_and(|first| first.name.ends_with(THROTTLE_TIME))
}
