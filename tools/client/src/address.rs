//! Where a broker is: a host and a port.

use std::fmt;
use std::str::FromStr;

/// The port of brokers where none is said.
pub const DEFAULT_PORT: u16 = 9092;

/// A host, by name or by number, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The host; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// An address.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Text that is no address; it says what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseAddressError(String);

impl fmt::Display for ParseAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not HOST:PORT, such as 127.0.0.1:{DEFAULT_PORT}", self.0)
    }
}

impl std::error::Error for ParseAddressError {}

/// `HOST:PORT`, `[IPV6]:PORT`, or a host alone, whose port is then [`DEFAULT_PORT`].
impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let wrong = || ParseAddressError(text.to_owned());
        let trimmed = text.trim();
        let (host, port) = match trimmed.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or_else(wrong)?;
                (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':').ok_or_else(wrong)?) })
            }
            None => match trimmed.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (trimmed, None),
            },
        };
        let port = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| wrong())?;
        let is_number = host.bytes().all(|byte| byte.is_ascii_digit());
        if is_number || port == 0 || host.contains(|letter: char| letter.is_whitespace() || "/@".contains(letter)) {
            return Err(wrong());
        }
        Ok(Self::new(host, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, host, port) in [
            ("127.0.0.1:9092", "127.0.0.1", 9092),
            (" broker.example:19092 ", "broker.example", 19092),
            ("broker-1", "broker-1", DEFAULT_PORT),
            ("[::1]:9093", "::1", 9093),
            ("[::1]", "::1", DEFAULT_PORT),
        ] {
            assert_eq!(text.parse(), Ok(Address::new(host, port)), "{text}");
        }
        assert_eq!(Address::new("::1", 1).to_string(), "[::1]:1");
        assert_eq!(Address::new("a", 1).to_string(), "a:1");
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in ["", "9092", ":9092", "a:", "a:b", "a:0", "a:99999", "a b:1", "http://a:1", "::1", "[::1", "[::1]9"]
        {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.to_string().contains("such as 127.0.0.1:9092"), "{text}");
        }
    }
}
