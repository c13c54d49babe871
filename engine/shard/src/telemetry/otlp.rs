//! As much of OpenTelemetry's `MetricsData` as the log says: names and values. The encoding is that of Protocol Buffers.
//!
//! Bytes of clients do no harm: what does not fit is refused, nothing is allocated but what the log says, and the nesting is
//! that of the code.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use crate::limits;

/// Names and values, as many as the log says; nothing if the bytes are no metrics.
pub(super) fn describe(bytes: &[u8]) -> Option<String> {
    let mut said = String::new();
    let mut count = 0_usize;
    let mut say = |name: &str, value: Option<f64>| {
        count += 1;
        if said.len() < limits::TELEMETRY_LOGGED_BYTES {
            let separator = if said.is_empty() { "" } else { ", " };
            let name: String = name.chars().filter(|letter| !letter.is_control()).take(128).collect();
            let _ = match value {
                Some(value) => write!(said, "{separator}{name}={value}"),
                None => write!(said, "{separator}{name}"),
            };
        }
    };
    // MetricsData.resource_metrics, ResourceMetrics.scope_metrics, ScopeMetrics.metrics.
    each(bytes, 1, &mut |resource| {
        each(resource, 2, &mut |scope| each(scope, 2, &mut |metric| read(metric, &mut say)))
    })?;
    Some(format!("{count} in all: {said}"))
}

/// A metric: `name`, and the data points of a `gauge` or a `sum`.
fn read(metric: &[u8], say: &mut impl FnMut(&str, Option<f64>)) -> Option<()> {
    let mut name = "";
    let mut value = None;
    let mut fields = Fields(metric);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(text)) => name = core::str::from_utf8(text).ok()?,
            (5 | 7, Value::Bytes(data)) => each(data, 1, &mut |point| {
                value = number(point)?.or(value);
                Some(())
            })?,
            _ => {}
        }
    }
    say(name, value);
    Some(())
}

/// A data point's `as_double` or `as_int`, if it has one.
fn number(point: &[u8]) -> Option<Option<f64>> {
    let mut found = None;
    let mut fields = Fields(point);
    while let Some(field) = fields.next()? {
        match field {
            (4, Value::Fixed64(bits)) => found = Some(f64::from_bits(bits)),
            (6, Value::Fixed64(bits)) => found = Some(bits.cast_signed() as f64),
            _ => {}
        }
    }
    Some(found)
}

/// Calls for every field with this number, all of which are messages.
fn each<'a>(bytes: &'a [u8], wanted: u64, call: &mut dyn FnMut(&'a [u8]) -> Option<()>) -> Option<()> {
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        if number == wanted {
            let Value::Bytes(message) = value else { return None };
            call(message)?;
        }
    }
    Some(())
}

enum Value<'a> {
    Fixed64(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The next field; nothing inside if there is none, nothing at all if the bytes are wrong.
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => {
                self.varint()?;
                Value::Other
            }
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Other
            }
            _ => return None,
        };
        Some(Some((key >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::from([number << 3 | 2, bytes.len() as u8]);
        out.extend_from_slice(bytes);
        out
    }

    /// Metrics with these names and values, whole numbers as sums.
    pub(in super::super) fn metrics(values: &[(&str, f64)]) -> Vec<u8> {
        let metric = |(name, value): &(&str, f64)| {
            let is_whole = value.fract() == 0.0;
            let mut point = Vec::from([if is_whole { 6 << 3 | 1 } else { 4 << 3 | 1 }]);
            match is_whole {
                true => point.extend((*value as i64).to_le_bytes()),
                false => point.extend(value.to_le_bytes()),
            }
            let data = field(if is_whole { 7 } else { 5 }, &field(1, &point));
            field(2, &[field(1, name.as_bytes()), data].concat())
        };
        let scope: Vec<u8> = values.iter().flat_map(metric).collect();
        field(1, &field(2, &scope))
    }

    #[test]
    fn names_and_values_are_told() {
        let bytes = metrics(&[("a.b", 1.5), ("c\n", -7.0)]);
        assert_eq!(describe(&bytes).unwrap(), "2 in all: a.b=1.5, c=-7");
        assert_eq!(describe(&[]).unwrap(), "0 in all: ");
        for cut in 1..bytes.len() {
            assert_eq!(describe(&bytes[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn the_log_says_a_part() {
        let one = metrics(&[(&"n".repeat(60), 1.0)]);
        let bytes: Vec<u8> = core::iter::repeat_n(one, 1_000).flatten().collect();
        let said = describe(&bytes).unwrap();
        assert!(said.starts_with("1000 in all") && said.len() < limits::TELEMETRY_LOGGED_BYTES + 200);
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = describe(&bytes);
        }
    }
}
