//! One configuration key: its row in a table, how its text is read, and what is wrong with it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// A configuration that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key at fault.
    pub key: String,
    /// What is wrong and what would be right; a sentence without its subject and full stop.
    pub message: String,
}

impl ConfigError {
    pub(crate) fn new(key: &str, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl core::error::Error for ConfigError {}

/// A row of a table of keys. `C` is the configuration that the key belongs to.
pub struct ConfigKey<C: 'static> {
    /// Kafka's name, or one of ours, which begin with `corelog.`.
    pub name: &'static str,
    /// The type, with the values that are allowed.
    pub kind: Kind,
    /// The default as text; `None` where Kafka has null.
    pub default: Option<&'static str>,
    /// For a topic's key: the broker's keys that give its default, the strongest first.
    pub synonyms: &'static [Synonym],
    /// What it does, for people.
    pub doc: &'static str,
    /// What setting it changes.
    pub effect: Effect<C>,
}

/// What setting a key changes.
pub enum Effect<C: 'static> {
    /// Fields of the configuration. The error says what is wrong with the value.
    Field(fn(&mut C, &Value) -> Result<(), String>),
    /// The default of the topic's key that names this one as its synonym.
    TopicDefault,
    /// Nothing: the value is checked, kept, and shown, but this version does not act on it.
    Nothing,
}

/// A broker's key that gives the default of a topic's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The broker's key.
    pub name: &'static str,
    /// The topic's value is the broker's times this (hours to milliseconds, say).
    pub factor: i64,
}

/// The type of a key's value, with what is allowed (both ends included). The names are those of Kafka's types.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number of 16 bits.
    Short(i64, i64),
    /// A whole number of 32 bits.
    Int(i64, i64),
    /// A whole number of 64 bits.
    Long(i64, i64),
    /// A number.
    Double(f64, f64),
    /// Any text.
    Text,
    /// Any text, never shown.
    Password,
    /// The name of a Java class.
    Class,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words, in capitals or not.
    AnyCase(&'static [&'static str]),
    /// Words separated by commas; one or more of these, or anything when there are none here.
    List(&'static [&'static str]),
}

/// A value that has passed its key's check.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of [`Kind::Boolean`].
    Boolean(bool),
    /// Of [`Kind::Short`], [`Kind::Int`] and [`Kind::Long`].
    Number(i64),
    /// Of [`Kind::Double`].
    Double(f64),
    /// Of every other kind.
    Text(String),
    /// Of [`Kind::List`].
    List(Vec<String>),
}

impl<C> ConfigKey<C> {
    /// Reads and checks a value given as text.
    pub fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        self.kind.parse(text).map_err(|message| ConfigError::new(self.name, message))
    }
}

impl Kind {
    /// Reads and checks a value given as text; the error says what would be right.
    pub(super) fn parse(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match *self {
            Self::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
            Self::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
            Self::Boolean => Err(format!("\"{text}\" is neither true nor false")),
            Self::Short(min, max) | Self::Int(min, max) | Self::Long(min, max) => match text.parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
                Ok(number) => Err(outside(number, min, max)),
                Err(_) => Err(format!("\"{text}\" is not a whole number")),
            },
            Self::Double(min, max) => match text.parse::<f64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(Value::Double(number)),
                Ok(number) => Err(format!("{number} is not between {min} and {max}")),
                Err(_) => Err(format!("\"{text}\" is not a number")),
            },
            Self::Text | Self::Password | Self::Class => Ok(Value::Text(text.to_owned())),
            Self::AnyCase(words) => match words.iter().any(|word| word.eq_ignore_ascii_case(text)) {
                true => Ok(Value::Text(text.to_owned())),
                false => Err(format!("\"{text}\" is not one of {}", words.join(", "))),
            },
            Self::Choice(words) => match words.contains(&text) {
                true => Ok(Value::Text(text.to_owned())),
                false => Err(format!("\"{text}\" is not one of {}", words.join(", "))),
            },
            Self::List(words) => {
                let list: Vec<String> =
                    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(ToOwned::to_owned).collect();
                match list.iter().find(|item| !words.is_empty() && !words.contains(&item.as_str())) {
                    Some(item) => Err(format!("\"{item}\" is not one of {}", words.join(", "))),
                    None => Ok(Value::List(list)),
                }
            }
        }
    }
}

impl Kind {
    /// A broker's value as that of a topic's key of this kind: where -1 means "none", everything below does too.
    pub(super) fn of_topic(self, value: &Value) -> Value {
        match (self, value) {
            (Self::Long(-1, _), Value::Number(..-1)) => Value::Number(-1),
            _ => value.clone(),
        }
    }
}

/// The sentence for a number outside its range.
pub(super) fn outside(number: i64, min: i64, max: i64) -> String {
    match (min, max) {
        (min, i64::MAX) => format!("{number} is below the smallest value allowed, {min}"),
        (i64::MIN, max) => format!("{number} is above the largest value allowed, {max}"),
        (min, max) => format!("{number} is not between {min} and {max}"),
    }
}

impl Value {
    /// The flag.
    ///
    /// # Panics
    /// When the key is not [`Kind::Boolean`]: a row whose effect does not fit its kind.
    #[must_use]
    pub fn boolean(&self) -> bool {
        match self {
            Self::Boolean(flag) => *flag,
            other => panic!("a row reads {other:?} as a boolean"),
        }
    }

    /// The number.
    ///
    /// # Panics
    /// When the key is not [`Kind::Double`]: a row whose effect does not fit its kind.
    #[must_use]
    pub fn double(&self) -> f64 {
        match self {
            Self::Double(number) => *number,
            other => panic!("a row reads {other:?} as a number"),
        }
    }

    /// The whole number.
    ///
    /// # Panics
    /// When the key is neither [`Kind::Int`] nor [`Kind::Long`]: a row whose effect does not fit its kind.
    #[must_use]
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            other => panic!("a row reads {other:?} as a whole number"),
        }
    }

    /// The whole number of a key whose range starts at 0 or above.
    ///
    /// # Panics
    /// When the key's kind allows anything else: a row whose effect does not fit its kind.
    #[must_use]
    pub fn unsigned(&self) -> u64 {
        u64::try_from(self.number()).expect("the row's range starts at 0 or above")
    }

    /// As [`Self::unsigned`], as a size in memory.
    ///
    /// # Panics
    /// As [`Self::unsigned`].
    #[must_use]
    pub fn size(&self) -> usize {
        usize::try_from(self.unsigned()).expect("the row's range fits the address space")
    }

    /// The text.
    ///
    /// # Panics
    /// When the key is neither [`Kind::Text`] nor [`Kind::Choice`]: a row whose effect does not fit its kind.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("a row reads {other:?} as text"),
        }
    }

    /// The words.
    ///
    /// # Panics
    /// When the key is not [`Kind::List`]: a row whose effect does not fit its kind.
    #[must_use]
    pub fn list(&self) -> &[String] {
        match self {
            Self::List(list) => list,
            other => panic!("a row reads {other:?} as a list"),
        }
    }

    /// The value times a [`Synonym`]'s factor. Negative numbers mean "none" and stay -1, as in Kafka.
    pub(super) fn times(&self, factor: i64) -> Self {
        match self {
            Self::Number(number) if factor != 1 => match number {
                ..0 => Self::Number(-1),
                0.. => Self::Number(number.saturating_mul(factor)),
            },
            other => other.clone(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            // Java writes a fraction even where there is none.
            Self::Double(number) => write!(f, "{number:?}"),
            Self::Text(text) => f.write_str(text),
            Self::List(list) => f.write_str(&list.join(",")),
        }
    }
}

/// The row of that name.
pub(super) fn find<C>(table: &'static [ConfigKey<C>], name: &str) -> Option<&'static ConfigKey<C>> {
    table.iter().find(|row| row.name == name)
}

/// Sets every field that the table knows to its default.
///
/// # Panics
/// When a default does not pass its own row's check.
pub(super) fn set_defaults<C>(table: &'static [ConfigKey<C>], config: &mut C) {
    for row in table {
        let (Some(default), Effect::Field(set)) = (row.default, &row.effect) else { continue };
        let outcome = row.parse(default).map_err(|error| error.to_string()).and_then(|value| set(config, &value));
        assert!(outcome.is_ok(), "the default of {} is not valid: {outcome:?}", row.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_kafka_reads_them() {
        assert_eq!(Kind::Boolean.parse(" TRUE "), Ok(Value::Boolean(true)));
        assert_eq!(Kind::Int(0, 10).parse(" 10 "), Ok(Value::Number(10)));
        assert_eq!(Kind::Double(0.0, 1.0).parse("0.5"), Ok(Value::Double(0.5)));
        assert_eq!(
            Kind::List(&["delete", "compact"]).parse("compact, delete,"),
            Ok(Value::List(["compact".into(), "delete".into()].into()))
        );
    }

    #[test]
    fn errors_say_what_would_be_right() {
        assert_eq!(Kind::Boolean.parse("yes"), Err("\"yes\" is neither true nor false".into()));
        assert_eq!(Kind::Int(1, 9).parse("10"), Err("10 is not between 1 and 9".into()));
        assert_eq!(Kind::Long(-1, i64::MAX).parse("-2"), Err("-2 is below the smallest value allowed, -1".into()));
        assert_eq!(Kind::Long(-1, i64::MAX).parse("1.5"), Err("\"1.5\" is not a whole number".into()));
        assert_eq!(Kind::Double(0.0, 1.0).parse("NaN"), Err("NaN is not between 0 and 1".into()));
        assert_eq!(Kind::Choice(&["a", "b"]).parse("c"), Err("\"c\" is not one of a, b".into()));
        assert_eq!(Kind::List(&["a", "b"]).parse("a,c"), Err("\"c\" is not one of a, b".into()));
    }

    #[test]
    fn a_factor_keeps_minus_one_and_does_not_overflow() {
        assert_eq!(Value::Number(-1).times(60_000), Value::Number(-1));
        assert_eq!(Value::Number(-5).times(60_000), Value::Number(-1));
        assert_eq!(Value::Number(-2).times(1), Value::Number(-2));
        assert_eq!(Value::Number(2).times(60_000), Value::Number(120_000));
        assert_eq!(Value::Number(i64::MAX).times(60_000), Value::Number(i64::MAX));
    }
}
