//! Metrics of clients (KIP-714): who is to push what, how often, and what became of it. What is pushed goes to the log.
//!
//! Every shard knows the clients of its own connections. A client keeps its id when it connects again, wherever: an id that
//! is not known here is taken up as it is, as Kafka's brokers do with ids of each other.
//!
//! Invariants: instances are bounded ([`limits::TELEMETRY_INSTANCES_MAX`]) and expire; what a push unfolds to is bounded by
//! [`limits::TELEMETRY_UNFOLDED_MAX`] times what it may be on the wire; the log says a bounded part of it.

mod otlp;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

use corelog_wire::compression::{Compression, CompressionError, decompress};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::ClientInstanceId;

use crate::config::{ClientMetricsConfig, MatchField};
use crate::front::draw_topic_id;
use crate::limits;

/// How often a client asks whom nobody wants metrics of, in milliseconds. Kafka's default.
const INTERVAL_MS: u64 = 300_000;

/// How long an instance is remembered at least that does nothing, in milliseconds.
const EXPIRY_MS_MIN: u64 = 60_000;

/// Stands for all metrics.
const ALL: &str = "*";

/// Who pushes: what subscriptions can look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// What it calls itself.
    pub(crate) client_id: &'a str,
    /// The name and version of its software, where it has told them.
    pub(crate) software: (&'a str, &'a str),
    /// Where it is.
    pub(crate) peer: SocketAddr,
}

/// What a client is to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its id.
    pub(crate) id: ClientInstanceId,
    /// Names this set of subscriptions.
    pub(crate) subscription_id: i32,
    /// Prefixes of names; one that is empty for all.
    pub(crate) metrics: Vec<String>,
    /// The time between two pushes, in milliseconds.
    pub(crate) interval_ms: u64,
}

/// A push.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Push<'a> {
    /// Whose it is.
    pub(crate) id: ClientInstanceId,
    /// What it answers.
    pub(crate) subscription_id: i32,
    /// The client goes away.
    pub(crate) is_terminating: bool,
    /// The codec, by its number.
    pub(crate) codec: i8,
    /// The metrics, compressed.
    pub(crate) metrics: &'a [u8],
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Telemetry {
    subscriptions: BTreeMap<String, ClientMetricsConfig>,
    /// Grows with every change of the subscriptions.
    version: u64,
    instances: BTreeMap<ClientInstanceId, Instance>,
    by_expiry: BTreeSet<(u64, ClientInstanceId)>,
    random: u64,
}

#[derive(Debug)]
struct Instance {
    version: u64,
    wanted: Wanted,
    last_get_ms: Option<u64>,
    last_push_ms: Option<u64>,
    last_error: ErrorCode,
    is_terminating: bool,
    expires_ms: u64,
}

impl Telemetry {
    /// Without subscriptions.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            subscriptions: BTreeMap::new(),
            version: 1,
            instances: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            random: seed,
        }
    }

    /// A subscription has these settings from now on; none, if there are none. One that does not fit any more is left out.
    pub(crate) fn set(&mut self, name: &str, configs: &BTreeMap<String, String>) {
        self.version += 1;
        match ClientMetricsConfig::read(configs) {
            Ok(config) if !configs.is_empty() => self.subscriptions.insert(name.to_string(), config),
            _ => self.subscriptions.remove(name),
        };
    }

    /// A client asks what to push. Not before its interval is over, unless something has changed.
    pub(crate) fn subscribe(
        &mut self,
        id: ClientInstanceId,
        source: &Source<'_>,
        now_ms: u64,
    ) -> Result<Wanted, ErrorCode> {
        let id = if id.is_zero() { ClientInstanceId(draw_topic_id(&mut self.random).0) } else { id };
        let instance = self.instance(id, source, now_ms);
        let last_ms = instance.last_get_ms.max(instance.last_push_ms);
        let asks_again =
            matches!(instance.last_error, ErrorCode::UNKNOWN_SUBSCRIPTION_ID | ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
        let is_early = last_ms.is_some_and(|last_ms| now_ms.saturating_sub(last_ms) < instance.wanted.interval_ms);
        if is_early && !asks_again {
            return Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED);
        }
        instance.last_get_ms = Some(now_ms);
        instance.last_error = ErrorCode::NONE;
        Ok(instance.wanted.clone())
    }

    /// A client pushes. Returns what is to be logged of it.
    pub(crate) fn push(
        &mut self,
        push: &Push<'_>,
        source: &Source<'_>,
        bytes_max: usize,
        now_ms: u64,
    ) -> Result<Option<String>, ErrorCode> {
        if push.id.is_zero() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let instance = self.instance(push.id, source, now_ms);
        let outcome = instance.take(push, bytes_max, now_ms);
        instance.is_terminating = push.is_terminating;
        instance.last_error = outcome.as_ref().err().copied().unwrap_or(ErrorCode::NONE);
        let said = outcome?;
        let ((software, version), client) = (source.software, source.client_id);
        Ok(said.map(|said| format!("metrics of client '{client}' ({software} {version}, {}): {said}", push.id)))
    }

    /// The connection of an instance is gone, and so is what is known of it.
    pub(crate) fn forget(&mut self, id: ClientInstanceId) {
        if let Some(instance) = self.instances.remove(&id) {
            self.by_expiry.remove(&(instance.expires_ms, id));
        }
    }

    /// The instance with this id, evaluated by the subscriptions that there are.
    fn instance(&mut self, id: ClientInstanceId, source: &Source<'_>, now_ms: u64) -> &mut Instance {
        while let Some(&(expires_ms, oldest)) = self.by_expiry.first() {
            let is_full = self.instances.len() >= limits::TELEMETRY_INSTANCES_MAX;
            if expires_ms > now_ms && (!is_full || self.instances.contains_key(&id)) {
                break;
            }
            self.forget(oldest);
        }
        if self.instances.get(&id).is_none_or(|instance| instance.version != self.version) {
            self.forget(id);
            let instance = Instance {
                version: self.version,
                wanted: self.wanted(id, source),
                last_get_ms: None,
                last_push_ms: None,
                last_error: ErrorCode::NONE,
                is_terminating: false,
                expires_ms: 0,
            };
            self.instances.insert(id, instance);
        }
        let instance = self.instances.get_mut(&id).expect("it was just there");
        self.by_expiry.remove(&(instance.expires_ms, id));
        instance.expires_ms = now_ms + (instance.wanted.interval_ms * 3).max(EXPIRY_MS_MIN);
        self.by_expiry.insert((instance.expires_ms, id));
        instance
    }

    fn wanted(&self, id: ClientInstanceId, source: &Source<'_>) -> Wanted {
        let mut metrics: BTreeSet<&str> = BTreeSet::new();
        let mut interval_ms = INTERVAL_MS;
        for subscription in self.subscriptions.values().filter(|it| matches(it, id, source)) {
            metrics.extend(subscription.metrics.iter().map(String::as_str));
            interval_ms = interval_ms.min(subscription.interval_ms);
        }
        let metrics: Vec<String> = match metrics.contains(ALL) {
            // The protocol's word for all is an empty prefix.
            true => [String::new()].into(),
            false => metrics.into_iter().map(ToString::to_string).collect(),
        };
        let set = crc32c::crc32c(format!("{metrics:?}{interval_ms}").as_bytes());
        let subscription_id = (set ^ crc32c::crc32c(&id.0)).cast_signed();
        Wanted { id, subscription_id, metrics, interval_ms }
    }
}

/// Whether a subscription is for this client.
fn matches(subscription: &ClientMetricsConfig, id: ClientInstanceId, source: &Source<'_>) -> bool {
    subscription.matches.iter().all(|(field, pattern)| match field {
        MatchField::ClientInstanceId => pattern.matches(&id.to_string()),
        MatchField::ClientId => pattern.matches(source.client_id),
        MatchField::ClientSoftwareName => pattern.matches(source.software.0),
        MatchField::ClientSoftwareVersion => pattern.matches(source.software.1),
        MatchField::ClientSourceAddress => pattern.matches(&source.peer.ip().to_canonical().to_string()),
        MatchField::ClientSourcePort => pattern.matches(&source.peer.port().to_string()),
    })
}

impl Instance {
    /// Checks a push, in Kafka's order, and reads it.
    fn take(&mut self, push: &Push<'_>, bytes_max: usize, now_ms: u64) -> Result<Option<String>, ErrorCode> {
        if self.is_terminating {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        // Right after it was told what to push a client may do so: it picks a moment within its interval.
        let is_due = self.last_get_ms > self.last_push_ms
            || self.last_push_ms.is_none_or(|last_ms| now_ms.saturating_sub(last_ms) >= self.wanted.interval_ms);
        if is_due {
            self.last_push_ms = Some(now_ms);
        } else if !push.is_terminating {
            return Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED);
        }
        if push.subscription_id != self.wanted.subscription_id {
            return Err(ErrorCode::UNKNOWN_SUBSCRIPTION_ID);
        }
        let codec = codec(push.codec).ok_or(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE)?;
        if push.metrics.len() > bytes_max {
            return Err(ErrorCode::TELEMETRY_TOO_LARGE);
        }
        if push.metrics.is_empty() {
            return Ok(None);
        }
        let unfolded_max = bytes_max.saturating_mul(limits::TELEMETRY_UNFOLDED_MAX);
        let unfolded = decompress(codec, push.metrics, unfolded_max).map_err(|error| match error {
            CompressionError::TooLarge { .. } => ErrorCode::TELEMETRY_TOO_LARGE,
            CompressionError::Corrupt(_) => ErrorCode::INVALID_RECORD,
        })?;
        otlp::describe(&unfolded).map(Some).ok_or(ErrorCode::INVALID_RECORD)
    }
}

/// The codec with this number.
fn codec(number: i8) -> Option<Compression> {
    Some(match number {
        0 => Compression::None,
        1 => Compression::Gzip,
        2 => Compression::Snappy,
        3 => Compression::Lz4,
        4 => Compression::Zstd,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
