//! Regular expressions that clients send. ASCII, as Java's are unless they say otherwise; without references back and looks
//! around, so that matching takes time linear in the text.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use regex::bytes::{Regex, RegexBuilder};

use crate::limits;

/// A pattern that matches a text as a whole.
#[derive(Clone)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// Reads a pattern; otherwise what is wrong with it.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > limits::PATTERN_BYTES_MAX {
            return Err(format!("a pattern has at most {} bytes", limits::PATTERN_BYTES_MAX));
        }
        let build = |pattern: &str| {
            let mut builder = RegexBuilder::new(pattern);
            builder.unicode(false).size_limit(limits::PATTERN_COMPILED_BYTES_MAX).build()
        };
        // On its own first: half of a group must not be completed by what is put around it.
        build(pattern).map_err(|error| error.to_string())?;
        build(&format!(r"\A(?:{pattern})\z")).map(Self).map_err(|error| error.to_string())
    }

    /// Whether the whole of `text` is what the pattern says.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_matches_as_a_whole() {
        for (pattern, text, expected) in [
            ("a.c", "abc", true),
            ("a.c", "xabc", false),
            ("a|ab", "ab", true),
            (r"11\.1\..*", "11.1.7", true),
            (r"\d+", "12a", false),
            (r"\w*", "", true),
            ("(?i)java", "JAVA", true),
            ("ä", "ä", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["(", "a)|(b", "[", "*", r"(a)\1", "(?=a)", "(a{1000}){1000}"] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::new(&"a".repeat(limits::PATTERN_BYTES_MAX + 1)).is_err());
    }
}
