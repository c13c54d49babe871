//! DescribeConfigs: settings of topics, of this broker, of groups and of subscriptions to metrics, each with its value, its source and what it means.
//!
//! Every resource is described or refused on its own. The broker without a name stands for all brokers: it has what was set
//! for all of them while they ran. A broker has no loggers whose levels could be set.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_replication::controller::Rejection;
use corelog_replication::ids::BrokerId;
use corelog_replication::metadata::{ConfigResource, topic_name};
use corelog_wire::api::describe_configs::{
    BOOLEAN_TYPE, BROKER_LOGGER_RESOURCE, BROKER_RESOURCE, CLASS_TYPE, CLIENT_METRICS_RESOURCE, DOUBLE_TYPE,
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym, GROUP_RESOURCE, INT_TYPE, LIST_TYPE, LONG_TYPE, PASSWORD_TYPE,
    SHORT_TYPE, STRING_TYPE, TOPIC_RESOURCE,
};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome};
use crate::config::{
    ConfigDescription, ConfigPlace, Kind, describe_broker, describe_client_metrics, describe_cluster, describe_group,
    describe_topic,
};
use crate::front::Context;
use crate::limits;

/// Answers at once.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<DescribeConfigsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let entries = |resource: DescribeConfigsResource<'_>| 1 + resource.configuration_keys.map_or(0, |keys| keys.len());
    if let Err(reason) = call.check_entries(request.resources.iter().map(entries).sum()) {
        return Outcome::Close(reason);
    }
    let mut count = 0;
    let described: Vec<Described<'_>> = request
        .resources
        .iter()
        .map(|resource| {
            if count >= limits::DESCRIBED_CONFIGS_MAX {
                return Described { resource, outcome: Err(too_many()) };
            }
            let mut outcome = describe(cx, &resource);
            if let Ok(configs) = &mut outcome {
                count += configs.len();
                if !request.include_synonyms {
                    configs.iter_mut().for_each(|config| config.places = Vec::new());
                }
            }
            Described { resource, outcome }
        })
        .collect();

    let synonyms: Vec<Vec<Vec<DescribeConfigsSynonym<'_>>>> =
        described.iter().map(|one| one.configs().iter().map(synonyms).collect()).collect();
    let with_docs = request.include_documentation;
    let configs: Vec<Vec<DescribeConfigsResourceResult<'_>>> = described
        .iter()
        .zip(&synonyms)
        .map(|(one, synonyms)| {
            let rows = one.configs().iter().zip(synonyms);
            rows.map(|(config, synonyms)| row(config, synonyms, with_docs)).collect()
        })
        .collect();
    let results: Vec<_> = described.iter().zip(&configs).map(|(one, configs)| one.response(configs)).collect();
    call.to.answer(&DescribeConfigsResponse { results: (&results).into(), ..Default::default() })
}

/// A resource of a request, and what it was found to be.
struct Described<'a> {
    resource: DescribeConfigsResource<'a>,
    outcome: Result<Vec<ConfigDescription>, Rejection>,
}

impl Described<'_> {
    fn configs(&self) -> &[ConfigDescription] {
        self.outcome.as_deref().unwrap_or_default()
    }

    fn response<'r>(&'r self, configs: &'r [DescribeConfigsResourceResult<'r>]) -> DescribeConfigsResult<'r> {
        let refused = self.outcome.as_ref().err();
        DescribeConfigsResult {
            error_code: refused.map_or(ErrorCode::NONE, |rejection| rejection.code),
            error_message: refused.map(|rejection| rejection.message.as_str()),
            resource_type: self.resource.resource_type,
            resource_name: self.resource.resource_name,
            configs: configs.into(),
        }
    }
}

fn describe(cx: &Context<'_>, resource: &DescribeConfigsResource<'_>) -> Result<Vec<ConfigDescription>, Rejection> {
    // No keys at all mean every key, as null does.
    let keys = resource.configuration_keys.filter(|keys| !keys.is_empty());
    let keys: Option<BTreeSet<&str>> = keys.map(|keys| keys.iter().collect());
    let wanted = |name: &str| keys.as_ref().is_none_or(|keys| keys.contains(name));
    let name = resource.resource_name;
    match resource.resource_type {
        TOPIC_RESOURCE => {
            topic_name::validate(name)?;
            let topic = cx.metadata.image().topic_by_name(name).ok_or_else(|| unknown_topic(name))?;
            Ok(describe_topic(cx.config, topic.configs(), wanted))
        }
        BROKER_RESOURCE if name.is_empty() => Ok(describe_cluster(cx.config, wanted)),
        BROKER_RESOURCE => {
            check_broker_id(cx, name)?;
            Ok(describe_broker(cx.config, wanted))
        }
        GROUP_RESOURCE | CLIENT_METRICS_RESOURCE if name.is_empty() => {
            Err(invalid_request("the resource has no name".to_string()))
        }
        GROUP_RESOURCE => {
            let own = own_configs(cx, &ConfigResource::Group(name.to_string()));
            Ok(describe_group(cx.config, &own, wanted))
        }
        CLIENT_METRICS_RESOURCE => {
            let own = own_configs(cx, &ConfigResource::ClientMetrics(name.to_string()));
            Ok(describe_client_metrics(cx.config, &own, wanted))
        }
        // The log levels of a broker; it has none that can be set.
        BROKER_LOGGER_RESOURCE => check_broker_id(cx, name).map(|_| Vec::new()),
        other => Err(unknown_resource(other)),
    }
}

fn own_configs(cx: &Context<'_>, resource: &ConfigResource) -> BTreeMap<String, String> {
    cx.metadata.image().resource_configs().get(resource).cloned().unwrap_or_default()
}

pub(super) fn unknown_topic(name: &str) -> Rejection {
    Rejection { code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message: format!("there is no topic '{name}'") }
}

pub(super) fn unknown_resource(resource_type: i8) -> Rejection {
    invalid_request(format!("there are no resources of type {resource_type}"))
}

pub(super) fn invalid_request(message: String) -> Rejection {
    Rejection { code: ErrorCode::INVALID_REQUEST, message }
}

/// Whether a resource's name is that of this broker: a broker speaks for itself only.
pub(super) fn check_broker_id(cx: &Context<'_>, name: &str) -> Result<BrokerId, Rejection> {
    let node = cx.config.node_id;
    match name.parse::<i32>() {
        Ok(id) if id == node => Ok(BrokerId(id)),
        Ok(id) => Err(invalid_request(format!("this is broker {node}, not {id}"))),
        Err(_) => Err(invalid_request(format!("a broker's id is a number, not '{name}'"))),
    }
}

fn too_many() -> Rejection {
    let max = limits::DESCRIBED_CONFIGS_MAX;
    invalid_request(format!("an answer describes about {max} settings; ask for fewer resources or keys at a time"))
}

fn synonyms<'a>(config: &'a ConfigDescription) -> Vec<DescribeConfigsSynonym<'a>> {
    let synonym = |place: &'a ConfigPlace| DescribeConfigsSynonym {
        name: place.name,
        value: place.value.as_deref(),
        source: place.source,
    };
    config.places.iter().map(synonym).collect()
}

fn row<'r>(
    config: &'r ConfigDescription,
    synonyms: &'r [DescribeConfigsSynonym<'r>],
    with_docs: bool,
) -> DescribeConfigsResourceResult<'r> {
    DescribeConfigsResourceResult {
        name: config.name,
        value: config.value.as_deref(),
        read_only: config.read_only,
        config_source: config.source,
        is_sensitive: config.is_sensitive(),
        synonyms: synonyms.into(),
        config_type: type_of(config.kind),
        documentation: with_docs.then_some(&*config.doc),
    }
}

fn type_of(kind: Kind) -> i8 {
    match kind {
        Kind::Boolean => BOOLEAN_TYPE,
        Kind::Short(..) => SHORT_TYPE,
        Kind::Int(..) => INT_TYPE,
        Kind::Long(..) => LONG_TYPE,
        Kind::Double(..) => DOUBLE_TYPE,
        Kind::Text | Kind::Choice(_) | Kind::AnyCase(_) => STRING_TYPE,
        Kind::Password => PASSWORD_TYPE,
        Kind::Class => CLASS_TYPE,
        Kind::List(_) => LIST_TYPE,
    }
}

#[cfg(test)]
mod tests;
