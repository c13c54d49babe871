//! The types that a field of a message can have, and how each lies on the wire.
//!
//! | Kafka's type | here |
//! |---|---|
//! | bool, int8, int16, uint16, int32, int64, float64 | `bool`, `i8`, `i16`, `u16`, `i32`, `i64`, `f64` |
//! | string, nullable string | `&'a str`, `Option<&'a str>` |
//! | bytes, nullable bytes | `&'a [u8]`, `Option<&'a [u8]>` |
//! | records (read) | `Option<&'a [u8]>` |
//! | records (spliced on write) | `Option<Records<'a>>` |
//! | uuid | `TopicId`, `DirectoryId`, `ClientInstanceId` |
//! | error code (int16) | `ErrorCode` |
//! | `[]T`, nullable `[]T` | `Array<'a, T>`, `Option<Array<'a, T>>` |
//! | a struct, nullable struct | `T<'a>`, `Option<T<'a>>` |

use bytes::Bytes;

use crate::array::Array;
use crate::decoder::{DecodeError, DecodeErrorKind, Decoder};
use crate::encoder::{EncodeError, Encoder};
use crate::error_code::ErrorCode;
use crate::ids::{ClientInstanceId, DirectoryId, TopicId};
use crate::message::{FieldType, MessageVersion};

/// A value that can stand in a message.
pub trait Field<'a>: Copy {
    /// The type, as schemas name it.
    const TYPE: FieldType;

    /// The length on the wire, where it is the same for every value and any bytes are a good value.
    const FIXED_BYTES: Option<usize> = None;

    /// Whether the type has a null.
    const HAS_NULL: bool = false;

    /// Reads the value as it lies in messages of this version. A null is taken in every version; whether it is allowed
    /// is for the schema to say.
    fn read(decoder: &mut Decoder<'a>, version: MessageVersion) -> Result<Self, DecodeError>;

    /// Writes the value as it lies in messages of this version.
    fn write(&self, encoder: &mut Encoder, version: MessageVersion) -> Result<(), EncodeError>;

    /// Whether this value is the type's null.
    fn is_null(&self) -> bool {
        false
    }
}

macro_rules! fixed_size_fields {
    ($($ty:ty: $field_type:expr, $bytes:literal $get:ident $put:ident;)*) => {$(
        impl<'a> Field<'a> for $ty {
            const TYPE: FieldType = $field_type;
            const FIXED_BYTES: Option<usize> = Some($bytes);

            fn read(decoder: &mut Decoder<'a>, _: MessageVersion) -> Result<Self, DecodeError> {
                decoder.$get()
            }

            fn write(&self, encoder: &mut Encoder, _: MessageVersion) -> Result<(), EncodeError> {
                encoder.$put(*self);
                Ok(())
            }
        }
    )*};
}

fixed_size_fields! {
    i8: FieldType::Int(1), 1 int8 put_int8;
    i16: FieldType::Int(2), 2 int16 put_int16;
    u16: FieldType::Uint16, 2 uint16 put_uint16;
    i32: FieldType::Int(4), 4 int32 put_int32;
    i64: FieldType::Int(8), 8 int64 put_int64;
    f64: FieldType::Float64, 8 float64 put_float64;
}

/// False is 0; everything else is true.
impl<'a> Field<'a> for bool {
    const TYPE: FieldType = FieldType::Bool;
    const FIXED_BYTES: Option<usize> = Some(1);

    fn read(decoder: &mut Decoder<'a>, _: MessageVersion) -> Result<Self, DecodeError> {
        decoder.int8().map(|byte| byte != 0)
    }

    fn write(&self, encoder: &mut Encoder, _: MessageVersion) -> Result<(), EncodeError> {
        encoder.put_int8(i8::from(*self));
        Ok(())
    }
}

impl<'a> Field<'a> for ErrorCode {
    const TYPE: FieldType = FieldType::Int(2);
    const FIXED_BYTES: Option<usize> = Some(2);

    fn read(decoder: &mut Decoder<'a>, _: MessageVersion) -> Result<Self, DecodeError> {
        decoder.int16().map(ErrorCode)
    }

    fn write(&self, encoder: &mut Encoder, _: MessageVersion) -> Result<(), EncodeError> {
        encoder.put_int16(self.0);
        Ok(())
    }
}

macro_rules! uuid_fields {
    ($($ty:ident)*) => {$(
        impl<'a> Field<'a> for $ty {
            const TYPE: FieldType = FieldType::Uuid;
            const FIXED_BYTES: Option<usize> = Some(16);

            fn read(decoder: &mut Decoder<'a>, _: MessageVersion) -> Result<Self, DecodeError> {
                decoder.take_array().map($ty)
            }

            fn write(&self, encoder: &mut Encoder, _: MessageVersion) -> Result<(), EncodeError> {
                encoder.put_slice(&self.0);
                Ok(())
            }
        }
    )*};
}

uuid_fields! { TopicId DirectoryId ClientInstanceId }

/// Implements `Field` for a type that wraps its nullable form.
macro_rules! non_null_fields {
    ($([$($generics:tt)*] $ty:ty;)*) => {$(
        impl<'a, $($generics)*> Field<'a> for $ty {
            const TYPE: FieldType = Option::<$ty>::TYPE;

            fn read(decoder: &mut Decoder<'a>, version: MessageVersion) -> Result<Self, DecodeError> {
                Option::<$ty>::read(decoder, version)?.ok_or(DecodeErrorKind::UnexpectedNull.into())
            }

            fn write(&self, encoder: &mut Encoder, version: MessageVersion) -> Result<(), EncodeError> {
                Some(*self).write(encoder, version)
            }
        }
    )*};
}

non_null_fields! {
    [] &'a str;
    [] &'a [u8];
    [] Records<'a>;
    [T: Field<'a>] Array<'a, T>;
}

impl<'a> Field<'a> for Option<&'a str> {
    const TYPE: FieldType = FieldType::String;
    const HAS_NULL: bool = true;

    fn read(decoder: &mut Decoder<'a>, version: MessageVersion) -> Result<Self, DecodeError> {
        decoder.string(version.flexible)
    }

    fn write(&self, encoder: &mut Encoder, version: MessageVersion) -> Result<(), EncodeError> {
        encoder.put_string(*self, version.flexible)
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

impl<'a> Field<'a> for Option<&'a [u8]> {
    const TYPE: FieldType = FieldType::Bytes;
    const HAS_NULL: bool = true;

    fn read(decoder: &mut Decoder<'a>, version: MessageVersion) -> Result<Self, DecodeError> {
        decoder.byte_string(version.flexible)
    }

    fn write(&self, encoder: &mut Encoder, version: MessageVersion) -> Result<(), EncodeError> {
        encoder.put_byte_string(*self, version.flexible)
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

impl<'a, T: Field<'a>> Field<'a> for Option<Array<'a, T>> {
    const TYPE: FieldType = FieldType::Array(&T::TYPE);
    const HAS_NULL: bool = true;

    fn read(decoder: &mut Decoder<'a>, version: MessageVersion) -> Result<Self, DecodeError> {
        Array::read(decoder, version)
    }

    fn write(&self, encoder: &mut Encoder, version: MessageVersion) -> Result<(), EncodeError> {
        match self {
            Some(array) => array.write(encoder, version),
            None => encoder.put_length(None, version.flexible),
        }
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

/// Record bytes of a message: a list of segments to splice in, or the bytes that were read.
#[derive(Clone, Copy, Debug)]
pub enum Records<'a> {
    /// To be written, without a copy; joined, they are the record batches.
    Segments(&'a [Bytes]),
    /// As read, or to be written with a copy.
    Slice(&'a [u8]),
    /// So many bytes that whoever sends the message takes from elsewhere: a gap in what is written.
    Elsewhere(usize),
}

impl<'a> Records<'a> {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Elsewhere(len) => *len,
            Self::Segments(segments) => segments.iter().map(Bytes::len).sum(),
            Self::Slice(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, piece by piece; none of those that are elsewhere.
    pub fn pieces(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (segments, slice): (&'a [Bytes], &'a [u8]) = match *self {
            Self::Segments(segments) => (segments, &[]),
            Self::Slice(bytes) => (&[], bytes),
            Self::Elsewhere(_) => (&[], &[]),
        };
        segments.iter().map(Bytes::as_ref).chain((!slice.is_empty()).then_some(slice))
    }

    /// The bytes in one piece: always those of a message that was read; of one to be written, if it has one segment.
    pub fn as_slice(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Slice(bytes) => Some(bytes),
            Self::Segments([]) => Some(&[]),
            Self::Segments([one]) => Some(one),
            Self::Segments(_) | Self::Elsewhere(_) => None,
        }
    }
}

/// Equal if the bytes are, however they are cut.
impl PartialEq for Records<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.pieces().flatten().eq(other.pieces().flatten())
    }
}

impl<'a> Field<'a> for Option<Records<'a>> {
    const TYPE: FieldType = FieldType::Bytes;
    const HAS_NULL: bool = true;

    fn read(decoder: &mut Decoder<'a>, version: MessageVersion) -> Result<Self, DecodeError> {
        Ok(decoder.byte_string(version.flexible)?.map(Records::Slice))
    }

    fn write(&self, encoder: &mut Encoder, version: MessageVersion) -> Result<(), EncodeError> {
        encoder.put_length(self.map(|records| records.len()), version.flexible)?;
        match self {
            Some(Records::Segments(segments)) => segments.iter().for_each(|bytes| encoder.splice(bytes.clone())),
            Some(Records::Slice(bytes)) => encoder.put_slice(bytes),
            Some(Records::Elsewhere(len)) => encoder.leave_gap(*len),
            None => {}
        }
        Ok(())
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

/// Reads what stands in front of a nullable struct: whether the struct follows.
pub(crate) fn decode_presence(decoder: &mut Decoder<'_>) -> Result<bool, DecodeError> {
    match decoder.int8()? {
        -1 => Ok(false),
        1 => Ok(true),
        marker => Err(DecodeErrorKind::InvalidPresence(marker).into()),
    }
}
