//! What AlterConfigs and IncrementalAlterConfigs have in common: checks, proposals, and waiting for them.
//!
//! Invariants: the settings of a resource change all together or not at all, and every resource on its own; a change is
//! answered when this shard has applied it, so it is durable and acts; a change is decided on what those before it will
//! have made of the resource, also while they are not applied yet, so that none is lost when several come at once.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_replication::controller::{self, ConfigChange, ConfigRules, Rejection};
use corelog_replication::ids::BrokerId;
use corelog_replication::metadata::ConfigResource;
use corelog_replication::quorum::ProposalId;
use corelog_wire::api::describe_configs::{
    BROKER_LOGGER_RESOURCE, BROKER_RESOURCE, CLIENT_METRICS_RESOURCE, GROUP_RESOURCE, TOPIC_RESOURCE,
};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use super::describe_configs::{check_broker_id, invalid_request, unknown_resource};
use super::{Outcome, Parked, ReplyTo, Wait, alter_configs, incremental_alter_configs};
use crate::config::{
    BrokerConfig, ClientMetricsConfig, Kind, TOPIC_KEYS, broker_list_default, check_group, client_metrics_list_default,
    group_list_default,
};
use crate::front::{Context, Shared};

/// Settings as they will be: those with changes that were proposed and are not applied yet.
#[derive(Debug, Default)]
pub(crate) struct UndecidedConfigs {
    changed: BTreeMap<Target, Undecided>,
    /// What a proposal is for.
    proposals: BTreeMap<ProposalId, Target>,
}

/// What has settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Topic(TopicId),
    /// One broker, or all of them.
    Broker(Option<BrokerId>),
    /// A group or a subscription to metrics.
    Resource(ConfigResource),
}

#[derive(Debug)]
struct Undecided {
    last: ProposalId,
    configs: BTreeMap<String, String>,
}

/// A resource of a request, and what is to become of it.
pub(super) struct Resource<'a> {
    pub(super) kind: i8,
    pub(super) name: &'a str,
    pub(super) change: Result<ConfigChange<'a>, Rejection>,
}

/// A request whose changes are proposed.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(super) to: ReplyTo,
    pub(super) resources: Vec<Altered>,
    waiting: BTreeMap<ProposalId, usize>,
}

/// What became of a resource.
#[derive(Debug)]
pub(super) struct Altered {
    pub(super) kind: i8,
    pub(super) name: String,
    pub(super) outcome: Result<(), Rejection>,
}

impl Altered {
    pub(super) fn error_code(&self) -> ErrorCode {
        self.outcome.as_ref().err().map_or(ErrorCode::NONE, |rejection| rejection.code)
    }

    pub(super) fn error_message(&self) -> Option<&str> {
        self.outcome.as_ref().err().map(|rejection| rejection.message.as_str())
    }
}

/// Proposes the changes that are right, unless they are only to be checked, and answers when they are decided.
pub(super) fn alter(
    shared: &mut Shared,
    cx: &mut Context<'_>,
    to: ReplyTo,
    resources: Vec<Resource<'_>>,
    validate_only: bool,
) -> Outcome {
    let mut times: BTreeMap<(i8, &str), usize> = BTreeMap::new();
    for resource in &resources {
        *times.entry((resource.kind, resource.name)).or_insert(0) += 1;
    }
    let mut pending = Pending { to, resources: Vec::with_capacity(resources.len()), waiting: BTreeMap::new() };
    for (index, resource) in resources.iter().enumerate() {
        let outcome = match times.get(&(resource.kind, resource.name)) {
            Some(1) => alter_resource(&mut shared.undecided_configs, cx, resource, validate_only),
            _ => Err(invalid_request("the request names this resource more than once".to_string())),
        };
        if let Ok(Some(proposal)) = outcome {
            let other = pending.waiting.insert(proposal, index);
            assert!(other.is_none(), "a proposal is for one resource, and a request names a resource once");
        }
        let (kind, name) = (resource.kind, resource.name.to_string());
        pending.resources.push(Altered { kind, name, outcome: outcome.map(|_| ()) });
    }
    if pending.waiting.is_empty() {
        return pending.answer();
    }
    let proposals = pending.waiting.keys().copied().collect();
    let weight = pending.resources.iter().map(|resource| resource.name.len() + size_of::<Altered>()).sum();
    let wait = Wait { proposals, weight, ..Wait::default() };
    Outcome::Wait(Parked::ConfigChanges(pending), wait)
}

/// What to wait for, if for anything.
fn alter_resource(
    undecided: &mut UndecidedConfigs,
    cx: &mut Context<'_>,
    resource: &Resource<'_>,
    validate_only: bool,
) -> Result<Option<ProposalId>, Rejection> {
    let change = resource.change.as_ref().map_err(Clone::clone)?;
    change.check_keys()?;
    match resource.kind {
        TOPIC_RESOURCE => alter_topic(undecided, cx, resource.name, change, validate_only),
        BROKER_RESOURCE => {
            let broker = match resource.name {
                "" => None,
                name => Some(check_broker_id(cx, name)?),
            };
            alter_brokers(undecided, cx, broker, change, validate_only)
        }
        GROUP_RESOURCE => {
            let group = ConfigResource::Group(resource.name.to_string());
            alter_other(undecided, cx, group, change, validate_only)
        }
        CLIENT_METRICS_RESOURCE => {
            let subscription = ConfigResource::ClientMetrics(resource.name.to_string());
            alter_other(undecided, cx, subscription, change, validate_only)
        }
        BROKER_LOGGER_RESOURCE => {
            check_broker_id(cx, resource.name)?;
            match (change, first_key(change)) {
                (ConfigChange::Replacement(_), _) => Err(unknown_resource(resource.kind)),
                (_, Some(logger)) => Err(invalid_config(format!("there is no logger '{logger}'"))),
                (_, None) => Ok(None),
            }
        }
        other => Err(unknown_resource(other)),
    }
}

fn alter_topic(
    undecided: &mut UndecidedConfigs,
    cx: &mut Context<'_>,
    name: &str,
    change: &ConfigChange<'_>,
    validate_only: bool,
) -> Result<Option<ProposalId>, Rejection> {
    let topic = cx.metadata.image().topic_by_name(name);
    let before = topic.and_then(|topic| undecided.of(&Target::Topic(topic.id())));
    let current = topic.map(|topic| (topic.id(), before.map_or(topic.configs(), |before| &before.configs)));
    let altered = controller::alter_topic_configs(name, current, change, &TopicRules(cx.config))?;
    if validate_only {
        return Ok(None);
    }
    if altered.records.is_empty() {
        // It may be so only because of a change that is not durable yet.
        return Ok(before.map(|before| before.last));
    }
    let last = cx.metadata.propose(&altered.records)?;
    undecided.proposed(Target::Topic(altered.topic_id), Undecided { last, configs: altered.configs });
    Ok(Some(last))
}

fn alter_brokers(
    undecided: &mut UndecidedConfigs,
    cx: &mut Context<'_>,
    broker: Option<BrokerId>,
    change: &ConfigChange<'_>,
    validate_only: bool,
) -> Result<Option<ProposalId>, Rejection> {
    let node = BrokerId(cx.config.node_id);
    let image = cx.metadata.image();
    let configs = |target: Target, applied: BTreeMap<String, String>| {
        undecided.of(&target).map_or(applied, |undecided| undecided.configs.clone())
    };
    let of_all = configs(Target::Broker(None), image.broker_configs().clone());
    let of_one = configs(Target::Broker(Some(node)), image.configs_of_broker(node));
    let (before, other) = if broker.is_some() { (of_one, of_all) } else { (of_all, of_one) };
    let rules = BrokerRules { config: cx.config, other, is_own: broker.is_some() };
    let altered = controller::alter_broker_configs(broker, &before, change, &rules)?;
    if validate_only {
        return Ok(None);
    }
    let target = Target::Broker(broker);
    if altered.records.is_empty() {
        return Ok(undecided.of(&target).map(|before| before.last));
    }
    let last = cx.metadata.propose(&altered.records)?;
    undecided.proposed(target, Undecided { last, configs: altered.configs });
    Ok(Some(last))
}

/// Of a group or a subscription to metrics.
fn alter_other(
    undecided: &mut UndecidedConfigs,
    cx: &mut Context<'_>,
    resource: ConfigResource,
    change: &ConfigChange<'_>,
    validate_only: bool,
) -> Result<Option<ProposalId>, Rejection> {
    let image = cx.metadata.image();
    let target = Target::Resource(resource.clone());
    let none = BTreeMap::new();
    let changed = undecided.of(&target);
    let before = changed
        .map_or_else(|| image.resource_configs().get(&resource).unwrap_or(&none), |undecided| &undecided.configs);
    let rules = ResourceRules { config: cx.config, resource: &resource };
    let altered = controller::alter_resource_configs(image, &resource, before, change, &rules)?;
    if matches!(resource, ConfigResource::ClientMetrics(_))
        && !ClientMetricsConfig::read(&altered.configs).is_ok_and(|config| config.has_sound_interval())
    {
        return Err(invalid_request("interval.ms: is not between 100 and 3600000".to_string()));
    }
    if validate_only {
        return Ok(None);
    }
    if altered.records.is_empty() {
        return Ok(changed.map(|undecided| undecided.last));
    }
    let last = cx.metadata.propose(&altered.records)?;
    undecided.proposed(target, Undecided { last, configs: altered.configs });
    Ok(Some(last))
}

/// The table of a group's or a subscription's keys.
struct ResourceRules<'a> {
    config: &'a BrokerConfig,
    resource: &'a ConfigResource,
}

impl ConfigRules for ResourceRules<'_> {
    fn list_default(&self, key: &str) -> Option<&str> {
        match self.resource {
            ConfigResource::Group(_) => group_list_default(key),
            ConfigResource::ClientMetrics(_) => client_metrics_list_default(key),
        }
    }

    fn check(&self, configs: &BTreeMap<String, String>) -> Result<(), String> {
        let checked = match self.resource {
            ConfigResource::Group(_) => check_group(self.config, configs),
            ConfigResource::ClientMetrics(_) => ClientMetricsConfig::read(configs).map(|_| ()),
        };
        checked.map_err(|error| error.to_string())
    }
}

/// The table of topics' keys, as the controller wants to know it.
struct TopicRules<'a>(&'a BrokerConfig);

impl ConfigRules for TopicRules<'_> {
    fn list_default(&self, key: &str) -> Option<&str> {
        let row = TOPIC_KEYS.iter().find(|row| row.name == key)?;
        matches!(row.kind, Kind::List(_)).then_some(row.default.unwrap_or(""))
    }

    fn check(&self, configs: &BTreeMap<String, String>) -> Result<(), String> {
        self.0.topic_defaults.with_overrides(configs).map(|_| ()).map_err(|error| error.to_string())
    }
}

/// The table of brokers' keys, with what was set in the other place: for all brokers, or for this one.
struct BrokerRules<'a> {
    config: &'a BrokerConfig,
    other: BTreeMap<String, String>,
    is_own: bool,
}

impl ConfigRules for BrokerRules<'_> {
    fn list_default(&self, key: &str) -> Option<&str> {
        broker_list_default(key)
    }

    fn check(&self, configs: &BTreeMap<String, String>) -> Result<(), String> {
        let mut changed = self.config.clone();
        let (cluster, own) = if self.is_own { (&self.other, configs) } else { (configs, &self.other) };
        let refused = changed.set_dynamic(cluster, own);
        match refused.into_iter().find(|error| configs.contains_key(&error.key)) {
            Some(error) => Err(error.to_string()),
            None => Ok(()),
        }
    }
}

fn first_key<'a>(change: &ConfigChange<'a>) -> Option<&'a str> {
    match change {
        ConfigChange::Incremental(operations) => operations.first().map(|(key, _)| *key),
        ConfigChange::Replacement(all) => all.first().map(|(key, _)| *key),
    }
}

fn invalid_config(message: String) -> Rejection {
    Rejection { code: ErrorCode::INVALID_CONFIG, message }
}

/// Kafka's refusal of settings without a value.
pub(super) fn null_values<'a>(keys: impl Iterator<Item = &'a str>) -> Result<(), Rejection> {
    let keys: Vec<&str> = keys.collect();
    match keys.is_empty() {
        true => Ok(()),
        false => Err(invalid_request(format!("without a value: {}", keys.join(", ")))),
    }
}

impl Pending {
    /// A proposal was decided. Returns whether it was the last one.
    pub(crate) fn decided(&mut self, proposal: ProposalId, outcome: &Result<(), Rejection>) -> bool {
        if let Some(index) = self.waiting.remove(&proposal)
            && let Err(rejection) = outcome
        {
            let mut rejection = rejection.clone();
            if rejection.code == ErrorCode::UNKNOWN_TOPIC_ID {
                // It was named, and deleted meanwhile.
                rejection.code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            }
            self.resources[index].outcome = Err(rejection);
        }
        self.waiting.is_empty()
    }

    /// Answers with what became of every resource.
    pub(crate) fn answer(self) -> Outcome {
        match self.to.api {
            ApiKey::AlterConfigs => alter_configs::answer(&self.to, &self.resources),
            ApiKey::IncrementalAlterConfigs => incremental_alter_configs::answer(&self.to, &self.resources),
            other => unreachable!("{other} changes no settings"),
        }
    }
}

impl UndecidedConfigs {
    fn of(&self, target: &Target) -> Option<&Undecided> {
        self.changed.get(target)
    }

    fn proposed(&mut self, target: Target, undecided: Undecided) {
        self.proposals.insert(undecided.last, target.clone());
        self.changed.insert(target, undecided);
    }

    /// A proposal was decided; perhaps it was the last one for what it changes.
    pub(crate) fn decided(&mut self, proposal: ProposalId) {
        let Some(target) = self.proposals.remove(&proposal) else { return };
        if self.changed.get(&target).is_some_and(|undecided| undecided.last == proposal) {
            self.changed.remove(&target);
        }
    }
}
