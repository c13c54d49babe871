//! The macro whose input is the schema of a message.
//!
//! ```text
//! message! {
//!     versions 3-13, flexible 9+;             // of the whole message; `flexible none` if it never is
//!
//!     /// What the message is for.
//!     pub struct ProduceRequest<'a> {          // the first struct is the message itself
//!         /// What the field means.
//!         name: &'a str [0-12, ignorable],     // field: type [versions, options]
//!     }
//!
//!     pub struct TopicProduceData<'a> { .. }   // the structs in it; without <'a> if nothing in it borrows
//! }
//! ```
//!
//! Versions are written as in Kafka's message definitions: `3+`, `0-12`, `8`. Options, in any order:
//! - `nullable 8+`: the versions in which the field may be null; its type must be an `Option`.
//! - `tag 0`: the field stands among the tagged fields, with this number. Tagged fields ascend by number.
//! - `default -1`: what the field is in versions that lack it, and, for a tagged field, when it is not sent. Without it:
//!   zero, false, the empty string or array, null, a struct of defaults.
//! - `ignorable`: a version that lacks the field drops it silently; otherwise it is an error to set it there.

/// Declares the structs of a message and how they are read and written. See the text above.
macro_rules! message {
    (
        versions $min:literal $(- $max:literal)?, flexible $flexible:tt $(+)?;

        $(#[$meta:meta])*
        pub struct $name:ident $(<$lifetime:lifetime>)? { $($fields:tt)* }

        $(
            $(#[$inner_meta:meta])*
            pub struct $inner:ident $(<$inner_lifetime:lifetime>)? { $($inner_fields:tt)* }
        )*
    ) => {
        message_struct! {
            flexible $flexible;
            $(#[$meta])*
            pub struct $name $(<$lifetime>)? { $($fields)* }
        }

        $(message_struct! {
            flexible $flexible;
            $(#[$inner_meta])*
            pub struct $inner $(<$inner_lifetime>)? { $($inner_fields)* }
        })*

        message_trait! {
            [$name $(<$lifetime>)?] $($lifetime)?;
            schema_versions!($min $(- $max)?), schema_flexible!($flexible)
        }
    };
}

/// Declares which request belongs to which API and which response answers it; `unserved` in front of the API if it is an
/// [`UnservedApi`](crate::api_key::UnservedApi).
macro_rules! request {
    ($api:ident: $request:ident $(<$lifetime:lifetime>)? => $response:ident $(<$response_lifetime:lifetime>)?) => {
        request! { @impl [$request $(<$lifetime>)?] $($lifetime)?; [$response $(<$response_lifetime>)?]
            $($response_lifetime)?; $api }
        request! { @agree $crate::api_key::ApiKey::$api; $request $response }
    };
    (unserved $api:ident: $request:ident $(<$lifetime:lifetime>)? => $response:ident
        $(<$response_lifetime:lifetime>)?) => {
        request! { @agree $crate::api_key::UnservedApi::$api; $request $response }
    };
    (@agree $api:expr; $request:ident $response:ident) => {
        #[allow(elided_lifetimes_in_paths)]
        const _: () = {
            use $crate::message::Message;
            let (api, request) = ($api, <$request as Message>::VERSIONS);
            let response = <$response as Message>::VERSIONS;
            let (versions, flexible) = (api.versions(), api.flexible_from());
            assert!(versions.min == request.min && versions.max == request.max, "versions: see api_key.rs");
            assert!(request.min == response.min && request.max == response.max, "request and response versions differ");
            assert!(flexible == <$request as Message>::FLEXIBLE_FROM, "flexible from: see api_key.rs");
            assert!(flexible == <$response as Message>::FLEXIBLE_FROM, "flexible from: see api_key.rs");
        };
    };
    (@impl $request:tt; $response:tt $($rest:tt)*) => {
        request! { @impl $request 'a; $response $($rest)* }
    };
    (@impl $request:tt $lifetime:lifetime; $response:tt; $api:ident) => {
        request! { @impl $request $lifetime; $response 'r; $api }
    };
    (@impl [$($request:tt)*] $lifetime:lifetime; [$($response:tt)*] $response_lifetime:lifetime; $api:ident) => {
        impl<$lifetime> $crate::message::Request<$lifetime> for $($request)* {
            const KEY: $crate::api_key::ApiKey = $crate::api_key::ApiKey::$api;
            type Response<$response_lifetime> = $($response)*;
        }
    };
}

macro_rules! message_trait {
    ([$($name:tt)*]; $($rest:tt)*) => {
        message_trait! { [$($name)*] 'a; $($rest)* }
    };
    ([$($name:tt)*] $lifetime:lifetime; $versions:expr, $flexible:expr) => {
        impl<$lifetime> $crate::message::Message<$lifetime> for $($name)* {
            const VERSIONS: $crate::message::VersionRange = $versions;
            const FLEXIBLE_FROM: i16 = $flexible;
        }
    };
}

macro_rules! message_struct {
    (
        flexible $flexible:tt;
        $(#[$meta:meta])*
        pub struct $name:ident<$lifetime:lifetime> { $($fields:tt)* }
    ) => {
        message_struct! { @define flexible $flexible; [$(#[$meta])*] $name [<$lifetime>] $lifetime { $($fields)* } }
    };
    (
        flexible $flexible:tt;
        $(#[$meta:meta])*
        pub struct $name:ident { $($fields:tt)* }
    ) => {
        message_struct! { @define flexible $flexible; [$(#[$meta])*] $name [] 'a { $($fields)* } }
    };
    (
        @define flexible $flexible:tt; [$($meta:tt)*] $name:ident [$($generics:tt)*] $lifetime:lifetime {
            $($(#[$field_meta:meta])* $field:ident: $ty:ty [$($options:tt)*],)*
        }
    ) => {
        $($meta)*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name $($generics)* {
            $($(#[$field_meta])* pub $field: $ty,)*
        }

        // Each field's schema is a constant with the field's own name.
        #[allow(non_upper_case_globals)]
        impl $($generics)* $name $($generics)* {
            /// The fields in the order of the wire.
            pub const SCHEMA: &'static [$crate::message::FieldSchema] = &[$(Self::$field,)*];

            $(const $field: $crate::message::FieldSchema = $crate::message::FieldSchema {
                name: concat!(stringify!($name), ".", stringify!($field)),
                ty: <$ty as $crate::primitives::Field<'_>>::TYPE,
                versions: schema_versions!($($options)*),
                nullable: schema_nullable!($($options)*),
                default: schema_default_text!($($options)*),
                tag: schema_tag!($($options)*),
                ignorable: schema_ignorable!($($options)*),
            };)*
        }

        #[allow(elided_lifetimes_in_paths)]
        const _: () = assert!(
            $crate::message::tags_are_sound($name::SCHEMA, schema_flexible!($flexible)),
            "tagged fields ascend by tag and exist in flexible versions only",
        );

        impl $($generics)* Default for $name $($generics)* {
            fn default() -> Self {
                Self { $($field: schema_default!($ty; $($options)*),)* }
            }
        }

        impl<$lifetime> $crate::primitives::Field<$lifetime> for $name $($generics)* {
            const TYPE: $crate::message::FieldType =
                $crate::message::FieldType::Struct { name: stringify!($name), fields: Self::SCHEMA };

            fn read(
                decoder: &mut $crate::decoder::Decoder<$lifetime>,
                version: $crate::message::MessageVersion,
            ) -> Result<Self, $crate::decoder::DecodeError> {
                use $crate::message::Place;
                $(const {
                    let may_be_null = Self::$field.nullable.min <= Self::$field.nullable.max;
                    assert!(
                        <$ty as $crate::primitives::Field<$lifetime>>::HAS_NULL == may_be_null,
                        "a field is nullable if and only if its type is an Option",
                    );
                })*
                let mut message = Self::default();
                $(if Self::$field.place(version) == Place::Plain {
                    message.$field = Self::$field.read(decoder, version)?;
                })*
                if version.flexible {
                    decoder.tagged_fields(|tag, field| {
                        $(if Self::$field.place(version) == Place::Tagged(tag) {
                            message.$field = Self::$field.read(field, version)?;
                            return field.finish();
                        })*
                        let _ = (tag, field);
                        Ok(())
                    })?;
                }
                Ok(message)
            }

            fn write(
                &self,
                encoder: &mut $crate::encoder::Encoder,
                version: $crate::message::MessageVersion,
            ) -> Result<(), $crate::encoder::EncodeError> {
                use $crate::message::Place;
                let default = Self::default();
                let mut tagged = 0;
                $(match Self::$field.place(version) {
                    Place::Plain => Self::$field.write(&self.$field, encoder, version)?,
                    Place::Tagged(_) => tagged += u32::from(self.$field != default.$field),
                    Place::Absent => Self::$field.leave_out(self.$field == default.$field, version)?,
                })*
                if version.flexible {
                    encoder.put_uvarint(tagged);
                    $(if let Place::Tagged(tag) = Self::$field.place(version)
                        && self.$field != default.$field
                    {
                        encoder.put_tagged(tag, |encoder| Self::$field.write(&self.$field, encoder, version))?;
                    })*
                }
                Ok(())
            }
        }

        /// Null is -1 in front of nothing, anything else 1 in front of the struct.
        impl<$lifetime> $crate::primitives::Field<$lifetime> for Option<$name $($generics)*> {
            const TYPE: $crate::message::FieldType =
                <$name $($generics)* as $crate::primitives::Field<$lifetime>>::TYPE;
            const HAS_NULL: bool = true;

            fn read(
                decoder: &mut $crate::decoder::Decoder<$lifetime>,
                version: $crate::message::MessageVersion,
            ) -> Result<Self, $crate::decoder::DecodeError> {
                $crate::primitives::decode_presence(decoder)?
                    .then(|| $crate::primitives::Field::read(decoder, version))
                    .transpose()
            }

            fn write(
                &self,
                encoder: &mut $crate::encoder::Encoder,
                version: $crate::message::MessageVersion,
            ) -> Result<(), $crate::encoder::EncodeError> {
                encoder.put_int8(if self.is_some() { 1 } else { -1 });
                self.iter().try_for_each(|inner| $crate::primitives::Field::write(inner, encoder, version))
            }

            fn is_null(&self) -> bool {
                self.is_none()
            }
        }
    };
}

macro_rules! schema_versions {
    ($min:literal + $($options:tt)*) => {
        $crate::message::VersionRange { min: $min, max: i16::MAX }
    };
    ($min:literal - $max:literal $($options:tt)*) => {
        $crate::message::VersionRange { min: $min, max: $max }
    };
    ($only:literal $($options:tt)*) => {
        $crate::message::VersionRange { min: $only, max: $only }
    };
}

macro_rules! schema_flexible {
    (none) => {
        i16::MAX
    };
    ($from:literal) => {
        $from
    };
}

macro_rules! schema_nullable {
    () => { $crate::message::VersionRange::NONE };
    (nullable $($versions:tt)*) => { schema_versions!($($versions)*) };
    ($skip:tt $($options:tt)*) => { schema_nullable!($($options)*) };
}

macro_rules! schema_tag {
    () => { None };
    (tag $tag:literal $($options:tt)*) => { Some($tag) };
    ($skip:tt $($options:tt)*) => { schema_tag!($($options)*) };
}

macro_rules! schema_ignorable {
    () => { false };
    (ignorable $($options:tt)*) => { true };
    ($skip:tt $($options:tt)*) => { schema_ignorable!($($options)*) };
}

macro_rules! schema_default_text {
    () => { "" };
    (default $value:expr $(, $($options:tt)*)?) => { stringify!($value) };
    ($skip:tt $($options:tt)*) => { schema_default_text!($($options)*) };
}

macro_rules! schema_default {
    ($ty:ty;) => { <$ty as Default>::default() };
    ($ty:ty; default $value:expr $(, $($options:tt)*)?) => { $value };
    ($ty:ty; $skip:tt $($options:tt)*) => { schema_default!($ty; $($options)*) };
}

/// What hardly any API of ours needs: nullable structs, floating point, messages that are never flexible.
#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use crate::array::Array;
    use crate::decoder::{DecodeErrorKind, Decoder};
    use crate::encoder::{EncodeErrorKind, Encoder};
    use crate::message::Message;

    message! {
        versions 0-2, flexible 1+;

        /// A message.
        pub struct Quotas<'a> {
            /// A nullable struct that borrows.
            cursor: Option<Cursor<'a>> [0+, nullable 0+],
            /// A nullable struct among the tagged fields.
            limit: Option<Limit> [1+, nullable 1+, tag 3, ignorable],
            /// An array of structs that borrow nothing.
            limits: Array<'a, Limit> [0-1],
            /// One version only.
            once: bool [2],
            /// An array of strings.
            names: Array<'a, &'a str> [0+],
            /// Bytes that are never null.
            token: &'a [u8] [0+],
        }

        /// A struct that borrows.
        pub struct Cursor<'a> {
            /// Text.
            topic: &'a str [0+],
        }

        /// A struct that does not.
        pub struct Limit {
            /// A floating point number.
            value: f64 [0+],
            /// A number without sign.
            port: u16 [0+],
        }
    }

    mod never_flexible {
        message! {
            versions 0, flexible none;

            /// A message of one version without borrowing.
            pub struct Handshake {
                /// A number.
                number: i8 [0, default 7],
            }
        }
    }

    fn encoded<'a>(message: &impl Message<'a>, version: i16) -> Vec<u8> {
        let mut encoder = Encoder::new();
        message.encode(&mut encoder, version).expect("the message is sound");
        encoder.into_segments().concat()
    }

    const LIMIT: Limit = Limit { value: 1.5, port: 9092 };

    #[test]
    fn every_kind_of_field_round_trips() {
        let limits = [LIMIT, Limit::default()];
        let full = Quotas {
            cursor: Some(Cursor { topic: "t" }),
            limit: Some(LIMIT),
            limits: (&limits).into(),
            once: false,
            names: (&["a", ""]).into(),
            token: b"xyz",
        };
        for (version, message) in [
            (0, Quotas { limit: None, ..full }),
            (1, full),
            (1, Quotas { cursor: None, ..full }),
            (2, Quotas { once: true, limits: Array::EMPTY, ..full }),
        ] {
            let bytes = encoded(&message, version);
            let mut decoder = Decoder::new(&bytes);
            assert_eq!(Message::decode(&mut decoder, version), Ok(message));
            assert_eq!(decoder.finish(), Ok(()));
        }
    }

    #[test]
    fn nullable_structs_lie_as_kafka_has_them() {
        let message = Quotas { cursor: Some(Cursor { topic: "t" }), limit: Some(LIMIT), ..Quotas::default() };
        // Present, "t", its tagged fields; no limits; no names; no token; one tagged field: 3, of 12 bytes, present.
        let start = [1, 2, b't', 0, 1, 1, 1, 1, 3, 12, 1];
        let bytes = encoded(&message, 1);
        assert_eq!(bytes[..start.len()], start);
        assert_eq!(bytes[start.len()..], [0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0x23, 0x84, 0]);
        assert_eq!(encoded(&Quotas::default(), 1), [0xff, 1, 1, 1, 0]);

        let error = Quotas::decode(&mut Decoder::new(&[2, 2, b't', 0, 1, 1, 1, 0]), 1).expect_err("2 is no marker");
        assert_eq!((error.kind, error.field), (DecodeErrorKind::InvalidPresence(2), "Quotas.cursor"));
    }

    #[test]
    fn a_message_that_is_never_flexible() {
        use never_flexible::Handshake;
        assert_eq!(Handshake::default().number, 7);
        assert_eq!(encoded(&Handshake { number: -2 }, 0), [0xfe]);
        assert_eq!(Handshake::decode(&mut Decoder::new(&[3]), 0), Ok(Handshake { number: 3 }));
        let refused = Handshake::default().encode(&mut Encoder::new(), 1).expect_err("there is no version 1");
        assert_eq!(refused.kind, EncodeErrorKind::UnsupportedVersion(1));
    }
}
