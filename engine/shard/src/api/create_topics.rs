//! CreateTopics: every topic of a request succeeds or fails on its own.
//!
//! The decision is the controller's (`corelog-replication`). What may be created is proposed, one entry of the metadata
//! log per topic, and answered once this shard has applied it: who has the answer can use the topic.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_replication::controller::{self, CreatedTopic, NewAssignment, NewTopic, Rejection};
use corelog_replication::quorum::ProposalId;
use corelog_wire::api::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome, Parked, ReplyTo, Wait, deadline_us, metadata};
use crate::config::{BrokerConfig, Synonym, TOPIC_KEYS};
use crate::front::{Context, Shared, draw_topic_id};
use crate::limits;

/// The first version whose clients know THROTTLING_QUOTA_EXCEEDED.
const FIRST_WITH_THROTTLING: i16 = 6;

/// Where a config's value comes from, by Kafka's numbers.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;
const STATIC_BROKER_CONFIG: i8 = 4;
const DEFAULT_CONFIG: i8 = 5;

/// A request whose topics are being created.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    topics: Vec<Topic>,
    waiting: BTreeMap<ProposalId, usize>,
    throttle_ms: u32,
}

#[derive(Debug)]
struct Topic {
    name: String,
    outcome: Result<CreatedTopic, Rejection>,
    /// The configs that the request sets.
    configs: BTreeMap<String, String>,
}

/// Proposes the topics that may be created.
pub(crate) fn handle(shared: &mut Shared, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<CreateTopicsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let entries = |topic: CreatableTopic<'_>| {
        let replicas = topic.assignments.iter().map(|assignment| 1 + assignment.broker_ids.len()).sum::<usize>();
        1 + topic.configs.len() + replicas
    };
    if let Err(reason) = call.check_entries(request.topics.iter().map(entries).sum()) {
        return Outcome::Close(reason);
    }
    let topics: Vec<NewTopic<'_>> = request.topics.iter().map(new_topic).collect();
    let config = cx.config;
    let results = controller::create_topics(
        cx.metadata.image(),
        &topics,
        &metadata::topic_defaults(config),
        &mut || draw_topic_id(&mut shared.creation.random),
        &|key, value| check_config(config, key, value),
        request.validate_only,
    );
    let mut pending =
        Pending { to: call.to, topics: Vec::with_capacity(results.len()), waiting: BTreeMap::new(), throttle_ms: 0 };
    for mut result in results {
        let partitions = result.outcome.as_ref().map_or(0, |created| created.num_partitions);
        if partitions > 0 && !request.validate_only {
            let strict = call.to.version >= FIRST_WITH_THROTTLING;
            let taken = cx.quotas.take_mutations(call.to.client, partitions as usize, strict, cx.now.monotonic_us);
            pending.throttle_ms = pending.throttle_ms.max(taken.throttle_ms);
            if taken.refused {
                result.outcome = Err(quota_exceeded());
            }
        }
        if let Ok(created) = &mut result.outcome
            && !request.validate_only
        {
            match cx.metadata.propose(&core::mem::take(&mut created.records)) {
                Ok(proposal) => {
                    pending.waiting.insert(proposal, pending.topics.len());
                }
                Err(error) => result.outcome = Err(error.into()),
            }
        }
        let configs = topics.iter().find(|topic| topic.name == result.name).map(set_configs).unwrap_or_default();
        pending.topics.push(Topic { name: result.name, outcome: result.outcome, configs });
    }
    if pending.waiting.is_empty() {
        return pending.answer(cx);
    }
    let wait_ms = i64::from(request.timeout_ms).max(limits::CREATION_WAIT_MS_MIN as i64);
    let wait = Wait {
        deadline_us: Some(deadline_us(cx.now.monotonic_us, wait_ms)),
        proposals: pending.waiting.keys().copied().collect(),
        weight: call.body.remaining() * 2,
        ..Wait::default()
    };
    Outcome::Wait(Parked::CreateTopics(pending), wait)
}

/// The client creates and deletes more partitions than it may.
pub(super) fn quota_exceeded() -> Rejection {
    let message = "the quota on changes of topics is used up for now".to_string();
    Rejection { code: ErrorCode::THROTTLING_QUOTA_EXCEEDED, message }
}

fn new_topic(topic: CreatableTopic<'_>) -> NewTopic<'_> {
    let assignments = topic.assignments.iter().map(|assignment| NewAssignment {
        partition_index: assignment.partition_index,
        broker_ids: assignment.broker_ids.iter().collect(),
    });
    NewTopic {
        name: topic.name,
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: topic.configs.iter().map(|config| (config.name, config.value)).collect(),
    }
}

fn set_configs(topic: &NewTopic<'_>) -> BTreeMap<String, String> {
    let set = |(key, value): &(&str, Option<&str>)| Some((key.to_string(), value.as_ref()?.to_string()));
    topic.configs.iter().filter_map(set).collect()
}

/// Whether a topic may set a config so.
pub(super) fn check_config(config: &BrokerConfig, key: &str, value: &str) -> Result<(), String> {
    let overrides = BTreeMap::from([(key.to_string(), value.to_string())]);
    config.topic_defaults.with_overrides(&overrides).map(|_| ()).map_err(|error| error.to_string())
}

impl Pending {
    /// A proposal was decided. Returns whether it was the last one.
    pub(crate) fn decided(&mut self, proposal: ProposalId, outcome: &Result<(), Rejection>) -> bool {
        if let Some(index) = self.waiting.remove(&proposal)
            && let Err(rejection) = outcome
        {
            self.topics[index].outcome = Err(rejection.clone());
        }
        self.waiting.is_empty()
    }

    /// The client waits no longer. Topics that are not decided may come into being later.
    pub(crate) fn expired(mut self, cx: &Context<'_>) -> Outcome {
        for index in core::mem::take(&mut self.waiting).into_values() {
            let message = "the topic is still being created".to_string();
            self.topics[index].outcome = Err(Rejection { code: ErrorCode::REQUEST_TIMED_OUT, message });
        }
        self.answer(cx)
    }

    /// Answers with what became of every topic.
    pub(crate) fn answer(self, cx: &Context<'_>) -> Outcome {
        let with_configs = self.to.version >= 5;
        let rows: Vec<Vec<ConfigRow<'_>>> = self
            .topics
            .iter()
            .map(|topic| match topic.outcome.is_ok() && with_configs {
                true => config_rows(cx.config, &topic.configs),
                false => Vec::new(),
            })
            .collect();
        let configs: Vec<Vec<CreatableTopicConfigs<'_>>> =
            rows.iter().map(|rows| rows.iter().map(ConfigRow::response).collect()).collect();
        let topics: Vec<_> = self.topics.iter().zip(&configs).map(|(topic, configs)| topic.response(configs)).collect();
        let throttle_time_ms = i32::try_from(self.throttle_ms).unwrap_or(i32::MAX);
        let response = CreateTopicsResponse { topics: (&topics).into(), throttle_time_ms };
        self.to.answer_throttled(&response, self.throttle_ms)
    }
}

impl Topic {
    fn response<'r>(&'r self, configs: &'r [CreatableTopicConfigs<'r>]) -> CreatableTopicResult<'r> {
        let result = CreatableTopicResult { name: &self.name, ..CreatableTopicResult::default() };
        match &self.outcome {
            Ok(created) => CreatableTopicResult {
                // Also one that is only validated; nobody will ever have it.
                topic_id: created.topic_id,
                num_partitions: created.num_partitions,
                replication_factor: created.replication_factor,
                configs: Some(configs.into()),
                ..result
            },
            Err(rejection) => {
                CreatableTopicResult { error_code: rejection.code, error_message: Some(&rejection.message), ..result }
            }
        }
    }
}

/// A config of a new topic as it is in force.
struct ConfigRow<'a> {
    name: &'a str,
    value: Option<String>,
    source: i8,
}

impl ConfigRow<'_> {
    fn response(&self) -> CreatableTopicConfigs<'_> {
        CreatableTopicConfigs {
            name: self.name,
            value: self.value.as_deref(),
            read_only: false,
            config_source: self.source,
            is_sensitive: false,
        }
    }
}

/// Every config that a topic has: its own value, the broker's, or Kafka's default.
fn config_rows<'a>(broker: &BrokerConfig, own: &BTreeMap<String, String>) -> Vec<ConfigRow<'a>> {
    let row = |name: &'static str, value: Option<String>, source| ConfigRow { name, value, source };
    TOPIC_KEYS
        .iter()
        .map(|key| {
            if let Some(value) = own.get(key.name) {
                return row(key.name, Some(value.clone()), DYNAMIC_TOPIC_CONFIG);
            }
            match key.synonyms.iter().find_map(|synonym| broker_value(broker, synonym)) {
                Some(value) => row(key.name, Some(value), STATIC_BROKER_CONFIG),
                None => row(key.name, key.default.map(ToString::to_string), DEFAULT_CONFIG),
            }
        })
        .collect()
}

/// What the operator set for a broker's key, in the unit of the topic's key.
fn broker_value(broker: &BrokerConfig, synonym: &Synonym) -> Option<String> {
    let text = broker.explicit(synonym.name)?;
    match text.parse::<i64>() {
        // -1 means "no limit" in every unit.
        Ok(number) if number > 0 => Some(number.saturating_mul(synonym.factor).to_string()),
        _ => Some(text),
    }
}

#[cfg(test)]
mod tests;
