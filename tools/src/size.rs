//! Sizes as people write them: `512MiB`, `2G`, `1048576`.

/// Reads a size in bytes. `K`, `M`, `G`, `T` and `KiB` to `TiB` are powers of 1,024, `KB` to `TB` powers of 1,000; a
/// bare number is bytes. Fractions such as `1.5G` are allowed. The error says what would be right.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let wrong = || format!("\"{text}\" is not a size, such as 512MiB, 2G or 1073741824");
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 9 {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let tenths: u64 = fraction.parse().map_err(|_| wrong())?;
    let part = u128::from(tenths) * u128::from(unit) / 10_u128.pow(fraction.len() as u32);
    let bytes = u128::from(whole) * u128::from(unit) + part;
    u64::try_from(bytes).map_err(|_| format!("\"{text}\" is more than any machine has"))
}

/// A size for people: in the largest binary unit of which there is at least one, with one decimal unless it is whole.
pub(crate) fn show(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} bytes"),
        Some((name, unit)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("512MiB", 512 << 20),
            ("2G", 2 << 30),
            ("2g", 2 << 30),
            ("1.5 GiB", 3 << 29),
            ("64k", 64 << 10),
            ("1TB", 1_000_000_000_000),
            ("0.5kb", 500),
            ("7b", 7),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for text in ["", "G", "-1", "2X", "1.G", ".5G", "1.2.3", "2 G B", "1e9", "two"] {
            assert!(parse(text).unwrap_err().contains("such as 512MiB"), "{text}");
        }
        assert!(parse("99999999999T").unwrap_err().contains("more than any machine has"));
        assert!(parse("99999999999999999999999").unwrap_err().contains("is not a size"));
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        assert_eq!(show(1023), "1023 bytes");
        assert_eq!(show(64 << 20), "64 MiB");
        assert_eq!(show((1 << 30) + (1 << 29)), "1.5 GiB");
    }
}
