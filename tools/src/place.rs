//! Places in a log as they stand on a command line.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The first record that is there.
    Beginning,
    /// Behind the last one.
    End,
    /// An offset.
    Offset(i64),
    /// So many before the end.
    Last(u64),
    /// The first record of this time or a later one, in ms since 1970.
    Timestamp(i64),
    /// The same, counted back from now.
    Ago(Duration),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is no place in a log; try beginning, end, 41, -10, @2026-01-31T12:00 or @15m");
        match text {
            "beginning" | "start" | "earliest" => return Ok(Self::Beginning),
            "end" | "latest" => return Ok(Self::End),
            _ => {}
        }
        if let Some(time) = text.strip_prefix('@') {
            return timestamp(time).map(Self::Timestamp).or_else(|| ago(time).map(Self::Ago)).ok_or_else(wrong);
        }
        if let Some(count) = text.strip_prefix('-') {
            return count.parse().map(Self::Last).map_err(|_| wrong());
        }
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse().map(Self::Offset).map_err(|_| wrong()) } else { Err(wrong()) }
    }
}

/// The time, in ms since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How long ago: `90s`, `15m`, `12h`, `7d`.
fn ago(text: &str) -> Option<Duration> {
    let seconds = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    // More than there are milliseconds is longer ago than anything.
    number.checked_mul(seconds).filter(|seconds| *seconds <= i64::MAX as u64 / 1_000).map(Duration::from_secs)
}

/// Milliseconds since 1970, or a date, perhaps with a time of day in UTC.
fn timestamp(text: &str) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let date = numbers::<3>(date, '-', &[4, 2, 2])?;
    let (time, millis) = match time.split_once('.') {
        Some((time, fraction)) if (1..=9).contains(&fraction.len()) => {
            (time, format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?)
        }
        Some(_) => return None,
        None => (time, 0),
    };
    let [hour, minute, second] = match time.len() {
        5 => {
            let [hour, minute] = numbers::<2>(time, ':', &[2, 2])?;
            [hour, minute, 0]
        }
        _ => numbers::<3>(time, ':', &[2, 2, 2])?,
    };
    let [year, month, day] = date;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *days.get(usize::try_from(month - 1).ok()?)?;
    if year < 1970 || !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    let days = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
        + days[..(month - 1) as usize].iter().sum::<i64>()
        + day
        - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + millis)
}

/// `N` numbers with a separator between them, each with so many digits.
fn numbers<const N: usize>(text: &str, separator: char, digits: &[usize; N]) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != *digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        for (text, place) in [
            ("beginning", Place::Beginning),
            ("end", Place::End),
            ("0", Place::Offset(0)),
            ("9223372036854775807", Place::Offset(i64::MAX)),
            ("-10", Place::Last(10)),
            ("@0", Place::Timestamp(0)),
            ("@1700000000123", Place::Timestamp(1_700_000_000_123)),
            ("@1970-01-01", Place::Timestamp(0)),
            ("@2000-02-29T00:00", Place::Timestamp(951_782_400_000)),
            ("@2023-11-14T22:13:20Z", Place::Timestamp(1_700_000_000_000)),
            ("@2023-11-14 22:13:20.5", Place::Timestamp(1_700_000_000_500)),
            ("@2100-03-01", Place::Timestamp(4_107_542_400_000)),
            ("@15m", Place::Ago(Duration::from_secs(900))),
            ("@7d", Place::Ago(Duration::from_secs(604_800))),
        ] {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_examples() {
        for text in [
            "",
            "-",
            "middle",
            "1.5",
            "+1",
            "@",
            "@yesterday",
            "@2023-02-29",
            "@2023-13-01",
            "@2023-1-1",
            "@2023-01-01T24:00",
            "@2023-01-01T1:00",
            "@1969-12-31",
            "@5",
            "99999999999999999999",
            "@-5m",
            "@99999999999999999999d",
            "--1",
            "@2100-02-29",
        ] {
            match text {
                "@5" => assert_eq!(text.parse(), Ok(Place::Timestamp(5))),
                _ => assert!(text.parse::<Place>().unwrap_err().contains("@15m"), "{text}"),
            }
        }
    }
}
