//! What has settings or limits besides topics and brokers: groups, subscriptions to metrics of clients, and the entities of
//! client quotas.

use alloc::string::{String, ToString};
use core::fmt;

/// A resource with settings that is neither a topic nor a broker. It exists as long as it has a setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A group, by its id.
    Group(String),
    /// A subscription to metrics of clients (KIP-714), by its name.
    ClientMetrics(String),
}

impl ConfigResource {
    /// Its name among those of its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Group(name) | Self::ClientMetrics(name) => name,
        }
    }
}

/// The name in a part of a quota's entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaName {
    /// Everyone for whom there is no limit of their own.
    Default,
    /// This one.
    Named(String),
}

impl QuotaName {
    /// The name as the protocol has it: null is the default.
    #[must_use]
    pub fn as_option(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(name),
        }
    }

    /// The name that the protocol's form stands for.
    #[must_use]
    pub fn from_option(name: Option<&str>) -> Self {
        name.map_or(Self::Default, |name| Self::Named(name.to_string()))
    }
}

/// Whom a client quota limits (KIP-546): those to whom every part applies. At least one part is there; an address stands
/// alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity {
    /// The user.
    pub user: Option<QuotaName>,
    /// What the client calls itself.
    pub client_id: Option<QuotaName>,
    /// The client's address.
    pub ip: Option<QuotaName>,
}

impl QuotaEntity {
    /// Whether it has the parts of an entity.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let named = [&self.user, &self.client_id, &self.ip];
        let has_name = |part: &&Option<QuotaName>| **part != Some(QuotaName::Named(String::new()));
        match (&self.user, &self.client_id, &self.ip) {
            (None, None, None) => false,
            (None, None, Some(_)) | (_, _, None) => named.iter().all(has_name),
            _ => false,
        }
    }
}

/// A limit: a number as the client gave it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimit(u64);

impl QuotaLimit {
    /// The limit of this value.
    #[must_use]
    pub fn new(value: f64) -> Self {
        Self(value.to_bits())
    }

    /// The value.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// The value's bits, as they are stored.
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    /// The limit with these bits.
    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether it limits at all.
    pub(super) fn is_sound(self) -> bool {
        self.value() > 0.0
    }
}

impl fmt::Debug for QuotaLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuotaLimit({})", self.value())
    }
}
