//! What Kafka accepts as the name of a topic, and when two names look alike.

use alloc::string::String;
use core::fmt;

use crate::limits::TOPIC_NAME_BYTES_MAX;

/// Why a name is refused; Kafka's code for all of them is INVALID_TOPIC_EXCEPTION.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicNameError {
    /// It has no character.
    Empty,
    /// It is `.` or `..`.
    Dots,
    /// It is longer than 249 characters.
    TooLong,
    /// It holds something besides ASCII letters, digits, `.`, `_` and `-`.
    Character,
}

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a topic needs a name"),
            Self::Dots => f.write_str("'.' and '..' cannot name a topic"),
            Self::TooLong => write!(f, "a topic name has {TOPIC_NAME_BYTES_MAX} characters at most"),
            Self::Character => f.write_str("a topic name consists of ASCII letters, digits, '.', '_' and '-'"),
        }
    }
}

impl core::error::Error for TopicNameError {}

/// Checks a name by Kafka's rules.
///
/// # Errors
/// The rule that it breaks.
pub fn validate(name: &str) -> Result<(), TopicNameError> {
    if name.is_empty() {
        return Err(TopicNameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(TopicNameError::Dots);
    }
    if name.len() > TOPIC_NAME_BYTES_MAX {
        return Err(TopicNameError::TooLong);
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return Err(TopicNameError::Character);
    }
    Ok(())
}

/// The form in which names that look alike are equal: every `.` made a `_`, as Kafka's metrics do it. `None` if the name
/// holds neither, since nothing but itself looks like it then.
#[must_use]
pub fn look_alike_key(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_kafka_refuses() {
        assert_eq!(validate(""), Err(TopicNameError::Empty));
        assert_eq!(validate("."), Err(TopicNameError::Dots));
        assert_eq!(validate(".."), Err(TopicNameError::Dots));
        assert_eq!(validate(&"x".repeat(250)), Err(TopicNameError::TooLong));
        for name in ["a b", "a/b", "\u{e9}", "a\0", "a:b", "a\\b", "a,b"] {
            assert_eq!(validate(name), Err(TopicNameError::Character), "{name:?}");
        }
    }

    #[test]
    fn accepts_what_kafka_accepts() {
        assert_eq!(validate(&"x".repeat(249)), Ok(()));
        for name in ["...", "a", "0", "-", "_", "A.b_c-9", "__consumer_offsets"] {
            assert_eq!(validate(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn dots_look_like_underscores() {
        assert_eq!(look_alike_key("a.b"), look_alike_key("a_b"));
        assert_ne!(look_alike_key("a.b"), look_alike_key("a.c"));
        assert_eq!(look_alike_key("a-b"), None);
    }
}
