//! Identifiers of 16 bytes and their text form: Kafka's url-safe base64 without padding, 22 characters.

use core::fmt;
use core::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Characters of the text form: 16 bytes are 21 groups of six bits and a last one of two.
const TEXT_LENGTH: usize = 22;

/// Text that is not the base64 of a 16-byte identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an identifier of {TEXT_LENGTH} url-safe base64 characters")
    }
}

impl core::error::Error for ParseIdError {}

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// All bytes zero: none.
            pub const ZERO: Self = Self([0; 16]);

            /// Whether this is none.
            pub fn is_zero(&self) -> bool {
                *self == Self::ZERO
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(core::str::from_utf8(&to_text(&self.0)).expect("the alphabet is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                from_text(text.as_bytes()).map(Self).ok_or(ParseIdError)
            }
        }
    )*};
}

ids! {
    /// Identifies a topic for as long as it exists; a topic created again under the same name gets another (KIP-516).
    TopicId;
    /// Identifies a log directory of a broker (KIP-858).
    DirectoryId;
    /// Identifies a client that pushes metrics (KIP-714).
    ClientInstanceId;
}

fn to_text(bytes: &[u8; 16]) -> [u8; TEXT_LENGTH] {
    let number = u128::from_be_bytes(*bytes);
    core::array::from_fn(|index| {
        let bits = 128 - 6 * (index as u32 + 1).min(21);
        let group = if index + 1 < TEXT_LENGTH { number >> bits } else { number << 4 };
        ALPHABET[(group & 0x3f) as usize]
    })
}

fn from_text(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != TEXT_LENGTH {
        return None;
    }
    let mut number = 0_u128;
    for (index, character) in text.iter().enumerate() {
        let group = ALPHABET.iter().position(|known| known == character)? as u128;
        if index + 1 < TEXT_LENGTH {
            number = number << 6 | group;
        } else if group & 0x0f == 0 {
            number = number << 2 | group >> 4;
        } else {
            // Bits that no identifier has: two texts must not name one id.
            return None;
        }
    }
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn text_is_kafkas() {
        assert_eq!(TopicId::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        // What Kafka's own Uuid class prints for these bits.
        let id = TopicId(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128.to_be_bytes());
        assert_eq!(id.to_string(), "ASNFZ4mrze_-3LqYdlQyEA");
        assert_eq!("ASNFZ4mrze_-3LqYdlQyEA".parse(), Ok(id));
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in
            ["", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAA+AAAAAAAAAAAAAAAAA"]
        {
            assert_eq!(text.parse::<TopicId>(), Err(ParseIdError), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 16]) {
            proptest::prop_assert_eq!(TopicId(bytes).to_string().parse(), Ok(TopicId(bytes)));
        }
    }
}
