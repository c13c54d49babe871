//! AlterClientQuotas and DescribeClientQuotas: which entities there are, which limits they can have, and which of them a
//! filter means (KIP-13, KIP-124, KIP-257, KIP-546, KIP-599, KIP-612).
//!
//! The changes of one entity are made all together or not at all, and every entity on its own. Refusals are INVALID_REQUEST
//! throughout, as in Kafka.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use corelog_wire::error_code::ErrorCode;

use super::Rejection;
use crate::limits;
use crate::metadata::{MetadataImage, MetadataRecord, QuotaEntity, QuotaLimit, QuotaName, encoding};

/// Bytes of produce requests that a client may send in a second.
pub const PRODUCER_BYTE_RATE: &str = "producer_byte_rate";
/// Bytes of answers to fetches that a client may get in a second.
pub const CONSUMER_BYTE_RATE: &str = "consumer_byte_rate";
/// How much of one core's time a client may take, in percent.
pub const REQUEST_PERCENTAGE: &str = "request_percentage";
/// Partitions that a client may create and delete in a second.
pub const CONTROLLER_MUTATION_RATE: &str = "controller_mutation_rate";
/// Connections that an address may open in a second.
pub const CONNECTION_CREATION_RATE: &str = "connection_creation_rate";

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// Limits of an entity as they will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredQuotas {
    /// To be proposed as a batch of its own; it fits into an entry. Empty if nothing changes.
    pub records: Vec<MetadataRecord>,
    /// The entity.
    pub entity: QuotaEntity,
    /// All of its limits.
    pub limits: BTreeMap<String, QuotaLimit>,
}

/// The entity that these parts make.
///
/// # Errors
/// INVALID_REQUEST for parts that make none.
pub fn quota_entity(parts: &[(&str, Option<&str>)]) -> Result<QuotaEntity, Rejection> {
    let mut entity = QuotaEntity::default();
    for (kind, name) in parts {
        let part = match *kind {
            USER => &mut entity.user,
            CLIENT_ID => &mut entity.client_id,
            IP => &mut entity.ip,
            other => return Err(invalid(format!("there are no quotas of '{other}'"))),
        };
        if part.replace(QuotaName::from_option(*name)).is_some() {
            return Err(invalid(format!("the entity has more than one {kind}")));
        }
        if *name == Some("") {
            return Err(invalid(format!("the entity's {kind} is empty")));
        }
    }
    match &entity {
        QuotaEntity { user: None, client_id: None, ip: None } => Err(invalid("the entity is empty")),
        QuotaEntity { user: None, client_id: None, ip: Some(QuotaName::Named(ip)) }
            if ip.parse::<IpAddr>().is_err() =>
        {
            Err(invalid(format!("'{ip}' is no address")))
        }
        QuotaEntity { user: None, client_id: None, ip: Some(_) } | QuotaEntity { ip: None, .. } => Ok(entity),
        _ => Err(invalid("an address cannot be combined with a user or a client id")),
    }
}

/// The parts that an entity is made of: kind and name; no name is the default.
pub fn quota_entity_parts(entity: &QuotaEntity) -> impl Iterator<Item = (&'static str, Option<&str>)> {
    let parts = [(USER, &entity.user), (CLIENT_ID, &entity.client_id), (IP, &entity.ip)];
    parts.into_iter().filter_map(|(kind, name)| Some((kind, name.as_ref()?.as_option())))
}

/// Decides on a change to the limits of an entity. `before` are those that it has, or will have when everything that was
/// proposed before has been applied.
///
/// # Errors
/// INVALID_REQUEST for a limit that cannot be or is named twice, POLICY_VIOLATION when there are limits for too many.
pub fn alter_client_quotas(
    image: &MetadataImage,
    entity: &QuotaEntity,
    before: &BTreeMap<String, QuotaLimit>,
    changes: &[(&str, Option<f64>)],
) -> Result<AlteredQuotas, Rejection> {
    let mut limits = before.clone();
    let mut seen = BTreeSet::new();
    for (key, value) in changes {
        if !seen.insert(*key) {
            return Err(invalid(format!("'{key}' is named more than once")));
        }
        match value {
            Some(value) => {
                check_limit(entity, key, *value)?;
                limits.insert(key.to_string(), QuotaLimit::new(*value));
            }
            None => {
                limits.remove(*key);
            }
        }
    }
    let keys: BTreeSet<&String> = before.keys().chain(limits.keys()).collect();
    let changed = keys.into_iter().filter(|key| before.get(*key) != limits.get(*key));
    let record = |key: &String| MetadataRecord::ClientQuota {
        entity: entity.clone(),
        key: key.clone(),
        value: limits.get(key).copied(),
    };
    let records: Vec<_> = changed.map(record).collect();
    if before.is_empty() && !limits.is_empty() && image.quotas().len() >= limits::QUOTA_ENTITIES_MAX {
        let message = format!("there are quotas for {} entities, and no more can be", limits::QUOTA_ENTITIES_MAX);
        return Err(Rejection::new(ErrorCode::POLICY_VIOLATION, message));
    }
    if !records.is_empty() {
        encoding::encode(&records)?;
    }
    Ok(AlteredQuotas { records, entity: entity.clone(), limits })
}

fn check_limit(entity: &QuotaEntity, key: &str, value: f64) -> Result<(), Rejection> {
    // Of Kafka's types: doubles, and whole numbers of 32 and 64 bits.
    let whole_max = match (key, entity.ip.is_some()) {
        (PRODUCER_BYTE_RATE | CONSUMER_BYTE_RATE, false) => Some(i64::MAX as f64),
        (REQUEST_PERCENTAGE | CONTROLLER_MUTATION_RATE, false) => None,
        (CONNECTION_CREATION_RATE, true) => Some(f64::from(i32::MAX)),
        _ => return Err(invalid(format!("the entity cannot have the quota '{key}'"))),
    };
    if value.is_nan() || value <= 0.0 {
        return Err(invalid(format!("the quota '{key}' must be above 0")));
    }
    match whole_max {
        Some(max) if value > max => Err(invalid(format!("the quota '{key}' is above {max}"))),
        Some(_) if value % 1.0 > 1e-6 => Err(invalid(format!("the quota '{key}' must be a whole number"))),
        _ => Ok(()),
    }
}

/// What an entity's part has to be for a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaMatch<'a> {
    /// Exactly this name, or the default without one.
    Name(Option<&'a str>),
    /// There, with any name or as the default.
    Any,
}

/// Which entities to describe (DescribeClientQuotas).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaFilter<'a> {
    components: BTreeMap<&'a str, QuotaMatch<'a>>,
    strict: bool,
}

impl<'a> QuotaFilter<'a> {
    /// A filter with these components; a strict one leaves out entities that have other parts as well.
    ///
    /// # Errors
    /// INVALID_REQUEST for components that contradict each other, UNSUPPORTED_VERSION for kinds that do not exist.
    pub fn new(
        components: impl IntoIterator<Item = (&'a str, QuotaMatch<'a>)>,
        strict: bool,
    ) -> Result<Self, Rejection> {
        let mut filter = Self { components: BTreeMap::new(), strict };
        for (kind, wanted) in components {
            if kind.is_empty() {
                return Err(invalid("a component names no kind of entity"));
            }
            if filter.components.insert(kind, wanted).is_some() {
                return Err(invalid(format!("more than one component is about '{kind}'")));
            }
            if ![USER, CLIENT_ID, IP].contains(&kind) {
                return Err(Rejection::new(ErrorCode::UNSUPPORTED_VERSION, format!("there are no quotas of '{kind}'")));
            }
        }
        if filter.components.contains_key(IP) && filter.components.len() > 1 {
            return Err(invalid("an address cannot be combined with a user or a client id"));
        }
        Ok(filter)
    }

    /// Whether an entity is meant.
    #[must_use]
    pub fn matches(&self, entity: &QuotaEntity) -> bool {
        if self.strict && quota_entity_parts(entity).count() != self.components.len() {
            return false;
        }
        self.components.iter().all(|(wanted_kind, wanted)| {
            let part = quota_entity_parts(entity).find(|(kind, _)| kind == wanted_kind);
            match (part, wanted) {
                (None, _) => false,
                (Some(_), QuotaMatch::Any) => true,
                (Some((_, name)), QuotaMatch::Name(wanted)) => name == *wanted,
            }
        })
    }
}

fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::new(ErrorCode::INVALID_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn entity(parts: &[(&str, Option<&str>)]) -> Result<QuotaEntity, ErrorCode> {
        quota_entity(parts).map_err(|rejection| rejection.code)
    }

    #[test]
    fn entities_are_kafkas() {
        for good in [
            &[("user", Some("u"))][..],
            &[("user", None)],
            &[("client-id", Some("c")), ("user", Some("u"))],
            &[("client-id", None), ("user", None)],
            &[("ip", None)],
            &[("ip", Some("10.1.2.3"))],
            &[("ip", Some("::1"))],
        ] {
            let entity = entity(good).unwrap();
            assert!(entity.is_sound());
            let mut parts: Vec<_> = quota_entity_parts(&entity).collect();
            parts.sort_unstable();
            assert_eq!(parts, good);
        }
        for bad in [
            &[][..],
            &[("group", Some("g"))],
            &[("user", Some(""))],
            &[("user", Some("u")), ("user", Some("v"))],
            &[("user", Some("u")), ("ip", Some("::1"))],
            &[("client-id", None), ("ip", None)],
            &[("ip", Some("example.invalid"))],
        ] {
            assert_eq!(entity(bad), Err(ErrorCode::INVALID_REQUEST), "{bad:?}");
        }
    }

    #[test]
    fn limits_are_kafkas() {
        let client = entity(&[("client-id", Some("c"))]).unwrap();
        let ip = entity(&[("ip", None)]).unwrap();
        let code = |entity: &QuotaEntity, key: &str, value: f64| {
            let image = MetadataImage::default();
            let altered = alter_client_quotas(&image, entity, &BTreeMap::new(), &[(key, Some(value))]);
            altered.map_or_else(|rejection| rejection.code, |_| ErrorCode::NONE)
        };
        for (key, value) in [
            (PRODUCER_BYTE_RATE, 1.0),
            (CONSUMER_BYTE_RATE, 9e18),
            (REQUEST_PERCENTAGE, 0.5),
            (CONTROLLER_MUTATION_RATE, 1.5),
        ] {
            assert_eq!(code(&client, key, value), ErrorCode::NONE, "{key}");
            assert_eq!(code(&ip, key, value), ErrorCode::INVALID_REQUEST, "{key}");
        }
        assert_eq!(code(&ip, CONNECTION_CREATION_RATE, 7.0), ErrorCode::NONE);
        for (entity, key, value) in [
            (&client, CONNECTION_CREATION_RATE, 7.0),
            (&client, "bytes", 7.0),
            (&client, PRODUCER_BYTE_RATE, 0.0),
            (&client, PRODUCER_BYTE_RATE, -1.0),
            (&client, PRODUCER_BYTE_RATE, 1.5),
            (&client, PRODUCER_BYTE_RATE, 1e19),
            (&client, REQUEST_PERCENTAGE, f64::NAN),
            (&ip, CONNECTION_CREATION_RATE, 3e9),
        ] {
            assert_eq!(code(entity, key, value), ErrorCode::INVALID_REQUEST, "{key} {value}");
        }
    }

    #[test]
    fn only_differences_are_proposed() {
        let image = MetadataImage::default();
        let client = entity(&[("client-id", Some("c"))]).unwrap();
        let limit = |key: &str, value: f64| (key.to_string(), QuotaLimit::new(value));
        let before = BTreeMap::from([limit(PRODUCER_BYTE_RATE, 5.0), limit(REQUEST_PERCENTAGE, 7.0)]);
        let changes = [
            (PRODUCER_BYTE_RATE, Some(5.0)),
            (REQUEST_PERCENTAGE, None),
            (CONSUMER_BYTE_RATE, Some(9.0)),
            ("nothing", None),
        ];
        let altered = alter_client_quotas(&image, &client, &before, &changes).unwrap();
        let record = |key: &str, value: Option<f64>| MetadataRecord::ClientQuota {
            entity: client.clone(),
            key: key.to_string(),
            value: value.map(QuotaLimit::new),
        };
        assert_eq!(altered.records, vec![record(CONSUMER_BYTE_RATE, Some(9.0)), record(REQUEST_PERCENTAGE, None)]);
        assert_eq!(altered.limits, BTreeMap::from([limit(PRODUCER_BYTE_RATE, 5.0), limit(CONSUMER_BYTE_RATE, 9.0)]));
        let twice = [(PRODUCER_BYTE_RATE, Some(5.0)), (PRODUCER_BYTE_RATE, None)];
        let code = alter_client_quotas(&image, &client, &before, &twice).unwrap_err().code;
        assert_eq!(code, ErrorCode::INVALID_REQUEST);
    }

    #[test]
    fn there_are_limits_for_so_many_and_no_more() {
        let mut image = MetadataImage::default();
        let named = |name: usize| entity(&[("client-id", Some(&name.to_string()))]).unwrap();
        let changes = [(PRODUCER_BYTE_RATE, Some(5.0))];
        let alter = |image: &MetadataImage, entity: &QuotaEntity| {
            let before = image.quotas().get(entity).cloned().unwrap_or_default();
            alter_client_quotas(image, entity, &before, &changes).map_err(|rejection| rejection.code)
        };
        for name in 0..limits::QUOTA_ENTITIES_MAX {
            let altered = alter(&image, &named(name)).unwrap();
            image.apply(image.offset().next(), 1, &altered.records).unwrap();
        }
        assert_eq!(alter(&image, &named(usize::MAX)), Err(ErrorCode::POLICY_VIOLATION));
        assert!(alter(&image, &named(0)).is_ok());
    }

    #[test]
    fn filters_are_kafkas() {
        let entities: Vec<QuotaEntity> = [
            &[("user", Some("u"))][..],
            &[("user", None)],
            &[("client-id", Some("c")), ("user", Some("u"))],
            &[("client-id", None)],
            &[("ip", Some("::1"))],
        ]
        .iter()
        .map(|parts| entity(parts).unwrap())
        .collect();
        let matching = |components: &[(&'static str, QuotaMatch<'static>)], strict: bool| {
            let filter = QuotaFilter::new(components.iter().copied(), strict).map_err(|rejection| rejection.code)?;
            Ok((0..5).filter(|index| filter.matches(&entities[*index])).collect::<Vec<usize>>())
        };
        use QuotaMatch::{Any, Name};
        assert_eq!(matching(&[], false), Ok(vec![0, 1, 2, 3, 4]));
        assert_eq!(matching(&[], true), Ok(vec![]));
        assert_eq!(matching(&[("user", Any)], false), Ok(vec![0, 1, 2]));
        assert_eq!(matching(&[("user", Any)], true), Ok(vec![0, 1]));
        assert_eq!(matching(&[("user", Name(None))], false), Ok(vec![1]));
        assert_eq!(matching(&[("user", Name(Some("u")))], false), Ok(vec![0, 2]));
        assert_eq!(matching(&[("user", Name(Some("u"))), ("client-id", Any)], true), Ok(vec![2]));
        assert_eq!(matching(&[("ip", Any)], true), Ok(vec![4]));
        assert_eq!(matching(&[("", Any)], true), Err(ErrorCode::INVALID_REQUEST));
        assert_eq!(matching(&[("user", Any), ("user", Any)], true), Err(ErrorCode::INVALID_REQUEST));
        assert_eq!(matching(&[("user", Any), ("ip", Any)], true), Err(ErrorCode::INVALID_REQUEST));
        assert_eq!(matching(&[("group", Any)], true), Err(ErrorCode::UNSUPPORTED_VERSION));
    }
}
