//! What every message can do, and the version rules that its schema states.

use crate::api_key::ApiKey;
use crate::decoder::{DecodeError, DecodeErrorKind, Decoder};
use crate::encoder::{EncodeError, EncodeErrorKind, Encoder};
use crate::primitives::Field;

/// Versions from `min` to `max`, both included; none if `min` is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// The lowest version.
    pub min: i16,
    /// The highest version; `i16::MAX` where a schema says "and all later ones".
    pub max: i16,
}

impl VersionRange {
    /// No version.
    pub const NONE: Self = Self { min: 0, max: -1 };

    /// Whether `version` is in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

/// The version a message is read or written in, and what follows from it for every field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageVersion {
    /// The version of the API.
    pub number: i16,
    /// Whether lengths are compact and structs end in tagged fields (KIP-482).
    pub flexible: bool,
}

/// The body of a request or a response.
pub trait Message<'a>: Field<'a> {
    /// The versions that the schema describes.
    const VERSIONS: VersionRange;

    /// The first flexible version; `i16::MAX` if there is none.
    const FLEXIBLE_FROM: i16;

    /// Reads a message of this version, all of it: what comes back can be used without another check. Borrows from the
    /// decoder's bytes and allocates nothing. Bytes behind the message are left in the decoder.
    fn decode(decoder: &mut Decoder<'a>, version: i16) -> Result<Self, DecodeError> {
        let version = message_version::<Self>(version).ok_or(DecodeErrorKind::UnsupportedVersion(version))?;
        Self::read(decoder, version)
    }

    /// Writes the message in this version.
    ///
    /// Fields that the version lacks are left out. As in Kafka, that is an error if such a field is set to something
    /// else than its default, unless its schema calls it ignorable.
    fn encode(&self, encoder: &mut Encoder, version: i16) -> Result<(), EncodeError> {
        let version = message_version::<Self>(version).ok_or(EncodeErrorKind::UnsupportedVersion(version))?;
        self.write(encoder, version)
    }
}

/// A message that a client sends.
pub trait Request<'a>: Message<'a> {
    /// The API it belongs to.
    const KEY: ApiKey;

    /// What answers it.
    type Response<'r>: Message<'r>;
}

fn message_version<'a, M: Message<'a>>(number: i16) -> Option<MessageVersion> {
    M::VERSIONS.contains(number).then_some(MessageVersion { number, flexible: number >= M::FLEXIBLE_FROM })
}

/// The type of a field, for those who read schemas: tests and tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// A boolean.
    Bool,
    /// A number of this many bytes with sign.
    Int(usize),
    /// Two bytes without sign.
    Uint16,
    /// Eight bytes, IEEE 754.
    Float64,
    /// 16 bytes.
    Uuid,
    /// UTF-8.
    String,
    /// Any bytes.
    Bytes,
    /// Elements of one type.
    Array(&'static FieldType),
    /// A struct.
    Struct {
        /// Its name.
        name: &'static str,
        /// Its fields in the order of the wire.
        fields: &'static [FieldSchema],
    },
}

/// What a schema says of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSchema {
    /// `Struct.field`.
    pub name: &'static str,
    /// Its type.
    pub ty: FieldType,
    /// The versions that have the field.
    pub versions: VersionRange,
    /// The versions in which it may be null.
    pub nullable: VersionRange,
    /// What it is where a version lacks it, as the schema writes it; empty where the schema leaves it to the type.
    pub default: &'static str,
    /// Its number, if it stands among the tagged fields.
    pub tag: Option<u32>,
    /// Whether it is dropped silently where a version lacks it.
    pub ignorable: bool,
}

/// Where a field stands in a message of some version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In its turn.
    Plain,
    /// Among the tagged fields.
    Tagged(u32),
    /// Nowhere.
    Absent,
}

impl FieldSchema {
    #[inline]
    pub(crate) const fn place(&self, version: MessageVersion) -> Place {
        match self.tag {
            _ if !self.versions.contains(version.number) => Place::Absent,
            None => Place::Plain,
            Some(tag) => Place::Tagged(tag),
        }
    }

    #[inline]
    pub(crate) fn read<'a, T: Field<'a>>(
        &self,
        decoder: &mut Decoder<'a>,
        version: MessageVersion,
    ) -> Result<T, DecodeError> {
        let value = T::read(decoder, version).map_err(|error| error.in_field(self.name))?;
        if value.is_null() && !self.nullable.contains(version.number) {
            return Err(DecodeError { kind: DecodeErrorKind::UnexpectedNull, field: self.name });
        }
        Ok(value)
    }

    #[inline]
    pub(crate) fn write<'a, T: Field<'a>>(
        &self,
        value: &T,
        encoder: &mut Encoder,
        version: MessageVersion,
    ) -> Result<(), EncodeError> {
        if value.is_null() && !self.nullable.contains(version.number) {
            return Err(EncodeError { kind: EncodeErrorKind::UnexpectedNull, field: self.name });
        }
        value.write(encoder, version).map_err(|error| error.in_field(self.name))
    }

    /// Decides what becomes of a field that the version lacks.
    #[inline]
    pub(crate) fn leave_out(&self, is_default: bool, version: MessageVersion) -> Result<(), EncodeError> {
        if self.ignorable || is_default {
            return Ok(());
        }
        Err(EncodeError { kind: EncodeErrorKind::NotInVersion(version.number), field: self.name })
    }
}

/// Whether the tagged fields of a struct stand in the order of their tags, as they must on the wire, and only in
/// flexible versions.
pub(crate) const fn tags_are_sound(fields: &[FieldSchema], flexible_from: i16) -> bool {
    let mut next = 0;
    let mut index = 0;
    while index < fields.len() {
        if let Some(tag) = fields[index].tag {
            if tag < next || fields[index].versions.min < flexible_from {
                return false;
            }
            next = tag + 1;
        }
        index += 1;
    }
    true
}
