//! Which limit is a client's: the order of Kafka's default callback (KIP-55), for the one user that there is.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use corelog_replication::controller::{
    CONSUMER_BYTE_RATE, CONTROLLER_MUTATION_RATE, PRODUCER_BYTE_RATE, REQUEST_PERCENTAGE,
};
use corelog_replication::metadata::{QuotaEntity, QuotaLimit, QuotaName};

/// Who everybody is as long as nobody has to say.
pub(crate) const USER: &str = "ANONYMOUS";

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes of produce requests in a second.
    Produce,
    /// Bytes of answers to fetches in a second.
    Fetch,
    /// Of a core's time, in percent.
    Request,
    /// Partitions created and deleted in a second.
    Mutation,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Produce, Self::Fetch, Self::Request, Self::Mutation];

    fn of_key(key: &str) -> Option<Self> {
        Some(match key {
            PRODUCER_BYTE_RATE => Self::Produce,
            CONSUMER_BYTE_RATE => Self::Fetch,
            REQUEST_PERCENTAGE => Self::Request,
            CONTROLLER_MUTATION_RATE => Self::Mutation,
            _ => return None,
        })
    }
}

/// Who uses up a limit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The clients that call themselves the same.
    Client,
    /// All clients of the user.
    User,
}

/// The limits of users and clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    limits: BTreeMap<QuotaEntity, [Option<f64>; 4]>,
}

impl Rules {
    /// Whether anybody has a limit.
    pub(crate) fn are_any(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Whether anybody has a limit of this kind.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.limits.values().any(|limits| limits[kind as usize].is_some())
    }

    /// From now on these are the limits of an entity. Addresses are not for here.
    pub(crate) fn set(&mut self, entity: &QuotaEntity, limits: &BTreeMap<String, QuotaLimit>) {
        if entity.ip.is_some() {
            return;
        }
        let mut of_kinds = [None; 4];
        for (key, limit) in limits {
            if let Some(kind) = Kind::of_key(key) {
                of_kinds[kind as usize] = Some(limit.value());
            }
        }
        match of_kinds.iter().any(Option::is_some) {
            true => self.limits.insert(entity.clone(), of_kinds),
            false => self.limits.remove(entity),
        };
    }

    /// The limit of a client, if it has one, and who else counts towards it.
    pub(crate) fn of_client(&self, kind: Kind, client: &str) -> Option<(Level, f64)> {
        let me = || Some(QuotaName::Named(USER.to_string()));
        let default = || Some(QuotaName::Default);
        let get = |user: Option<QuotaName>, client_id: Option<QuotaName>| {
            self.limits.get(&QuotaEntity { user, client_id, ip: None })?[kind as usize]
        };
        let of_user = |user| Some((Level::User, get(user, None)?));
        if client.is_empty() {
            // It has no name of its own to be limited by.
            return of_user(me()).or_else(|| of_user(default()));
        }
        let named = || Some(QuotaName::Named(client.to_string()));
        let of_client = |user, client| Some((Level::Client, get(user, client)?));
        of_client(me(), named())
            .or_else(|| of_client(me(), default()))
            .or_else(|| of_user(me()))
            .or_else(|| of_client(default(), named()))
            .or_else(|| of_client(default(), default()))
            .or_else(|| of_user(default()))
            .or_else(|| of_client(None, named()))
            .or_else(|| of_client(None, default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_kafkas() {
        let name = |name: &str| Some(QuotaName::Named(name.to_string()));
        let default = || Some(QuotaName::Default);
        let entity = |user: Option<QuotaName>, client_id: Option<QuotaName>| QuotaEntity { user, client_id, ip: None };
        // The weakest first; each is stronger than all before it.
        let all = [
            (entity(None, default()), Level::Client),
            (entity(None, name("c")), Level::Client),
            (entity(default(), None), Level::User),
            (entity(default(), default()), Level::Client),
            (entity(default(), name("c")), Level::Client),
            (entity(name(USER), None), Level::User),
            (entity(name(USER), default()), Level::Client),
            (entity(name(USER), name("c")), Level::Client),
        ];
        let mut rules = Rules::default();
        assert!(!rules.are_any());
        for (value, (entity, level)) in all.iter().enumerate() {
            let limit = QuotaLimit::new(value as f64 + 1.0);
            rules.set(entity, &[(PRODUCER_BYTE_RATE.to_string(), limit)].into());
            assert_eq!(rules.of_client(Kind::Produce, "c"), Some((*level, value as f64 + 1.0)), "{entity:?}");
            assert_eq!(rules.of_client(Kind::Fetch, "c"), None);
        }
        assert_eq!(rules.of_client(Kind::Produce, "d"), Some((Level::Client, 7.0)), "the user's default for clients");
        assert_eq!(rules.of_client(Kind::Produce, ""), Some((Level::User, 6.0)), "no client at all");
        assert!(rules.has(Kind::Produce) && !rules.has(Kind::Request));
        for (entity, _) in all.iter().rev() {
            rules.set(entity, &BTreeMap::new());
        }
        assert!(!rules.are_any());
    }

    #[test]
    fn other_users_and_addresses_are_nobody() {
        let mut rules = Rules::default();
        let limits = BTreeMap::from([(PRODUCER_BYTE_RATE.to_string(), QuotaLimit::new(1.0))]);
        rules.set(&QuotaEntity { user: Some(QuotaName::Named("other".to_string())), ..Default::default() }, &limits);
        rules.set(&QuotaEntity { ip: Some(QuotaName::Default), ..Default::default() }, &limits);
        assert_eq!(rules.of_client(Kind::Produce, "c"), None);
    }
}
