//! AlterConfigs: all settings of a topic or broker, those that are not named going back to their defaults. What is the same for
//! IncrementalAlterConfigs is in [`super::config_changes`].

use alloc::vec::Vec;

use corelog_replication::controller::{ConfigChange, Rejection};
use corelog_wire::api::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::config_changes::{self, Altered, Resource};
use super::{Call, Outcome, ReplyTo};
use crate::front::{Context, Shared};

/// Proposes what is right, and answers when it is decided.
pub(crate) fn handle(shared: &mut Shared, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<AlterConfigsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let entries = |resource: AlterConfigsResource<'_>| 1 + resource.configs.len();
    if let Err(reason) = call.check_entries(request.resources.iter().map(entries).sum()) {
        return Outcome::Close(reason);
    }
    let resources = request.resources.iter().map(resource).collect();
    config_changes::alter(shared, cx, call.to, resources, request.validate_only)
}

fn resource<'a>(resource: AlterConfigsResource<'a>) -> Resource<'a> {
    Resource { kind: resource.resource_type, name: resource.resource_name, change: change(&resource) }
}

fn change<'a>(resource: &AlterConfigsResource<'a>) -> Result<ConfigChange<'a>, Rejection> {
    let without = resource.configs.iter().filter(|config| config.value.is_none());
    config_changes::null_values(without.map(|config| config.name))?;
    let configs = resource.configs.iter().map(|config| (config.name, config.value.unwrap_or_default()));
    Ok(ConfigChange::Replacement(configs.collect()))
}

/// What became of every resource.
pub(super) fn answer(to: &ReplyTo, resources: &[Altered]) -> Outcome {
    let responses: Vec<_> = resources
        .iter()
        .map(|resource| AlterConfigsResourceResponse {
            error_code: resource.error_code(),
            error_message: resource.error_message(),
            resource_type: resource.kind,
            resource_name: &resource.name,
        })
        .collect();
    to.answer(&AlterConfigsResponse { responses: (&responses).into(), ..Default::default() })
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use corelog_wire::api::alter_configs::AlterableConfig;
    use corelog_wire::api::describe_configs::{BROKER_LOGGER_RESOURCE, BROKER_RESOURCE, TOPIC_RESOURCE};
    use corelog_wire::api_key::ApiKey;
    use corelog_wire::error_code::ErrorCode;

    use super::*;
    use crate::front::testing::{Host, NODE_ID, decode};
    use crate::io::ConnectionId;

    type Setting<'a> = (&'a str, Option<&'a str>);

    fn send(
        host: &mut Host,
        id: ConnectionId,
        version: i16,
        validate_only: bool,
        resources: &[(i8, &str, &[Setting<'_>])],
    ) {
        let configs: Vec<Vec<AlterableConfig<'_>>> = resources
            .iter()
            .map(|(_, _, settings)| settings.iter().map(|&(name, value)| AlterableConfig { name, value }).collect())
            .collect();
        let resources: Vec<_> = resources
            .iter()
            .zip(&configs)
            .map(|((resource_type, resource_name, _), configs)| AlterConfigsResource {
                resource_type: *resource_type,
                resource_name,
                configs: configs.into(),
            })
            .collect();
        host.send(id, version, &AlterConfigsRequest { resources: (&resources).into(), validate_only });
    }

    fn results(host: &mut Host, id: ConnectionId, version: i16) -> Vec<(String, ErrorCode)> {
        let reply = host.reply(id);
        let response: AlterConfigsResponse<'_> = decode(ApiKey::AlterConfigs, version, &reply);
        response.responses.iter().map(|one| (one.resource_name.to_string(), one.error_code)).collect()
    }

    #[test]
    fn every_version_replaces_all_that_there_was() {
        let mut host = Host::new();
        let topic = host.create_topic("t", 1, &[("retention.ms", "5"), ("max.message.bytes", "7")]);
        let id = host.open(1);
        for version in 0..=2 {
            let size = (1000 + i32::from(version)).to_string();
            send(&mut host, id, version, false, &[(TOPIC_RESOURCE, "t", &[("max.message.bytes", Some(&size))])]);
            assert_eq!(host.try_reply(id), None, "nothing is acknowledged before it is durable");
            host.apply_metadata();
            assert_eq!(results(&mut host, id, version), [("t".to_string(), ErrorCode::NONE)]);
            let partition = host.partition(topic, 0);
            let in_force = host.logs().partition(partition).config.clone();
            assert_eq!((in_force.max_message_bytes.to_string(), in_force.retention_ms), (size, 604_800_000));
        }
        host.restart();
        let configs = host.image().topic_by_name("t").unwrap().configs().clone();
        assert_eq!(configs.into_iter().collect::<Vec<_>>(), [("max.message.bytes".to_string(), "1002".to_string())]);
        let id = host.open(2);
        send(&mut host, id, 2, false, &[(TOPIC_RESOURCE, "t", &[])]);
        host.apply_metadata();
        assert!(host.image().topic_by_name("t").unwrap().configs().is_empty());
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let mut host = Host::new();
        host.create_topic("t", 1, &[("retention.ms", "5")]);
        let id = host.open(1);
        let node = NODE_ID.to_string();
        let cases: &[(i8, &str, &[Setting<'_>], ErrorCode)] = &[
            (TOPIC_RESOURCE, "t", &[("segment.ms", Some("7")), ("retention.ms", Some("x"))], ErrorCode::INVALID_CONFIG),
            (TOPIC_RESOURCE, "none", &[], ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (TOPIC_RESOURCE, "null", &[("segment.ms", None)], ErrorCode::INVALID_REQUEST),
            (TOPIC_RESOURCE, "twice", &[("a", Some("1")), ("a", Some("2"))], ErrorCode::INVALID_REQUEST),
            (BROKER_RESOURCE, &node, &[("num.partitions", Some("7"))], ErrorCode::INVALID_REQUEST),
            (BROKER_RESOURCE, "", &[], ErrorCode::NONE),
            (BROKER_LOGGER_RESOURCE, &node, &[], ErrorCode::INVALID_REQUEST),
        ];
        let resources: Vec<_> = cases.iter().map(|(kind, name, settings, _)| (*kind, *name, *settings)).collect();
        send(&mut host, id, 2, false, &resources);
        let expected: Vec<_> = cases.iter().map(|(_, name, _, code)| (name.to_string(), *code)).collect();
        assert_eq!(results(&mut host, id, 2), expected);
        send(&mut host, id, 2, true, &[(TOPIC_RESOURCE, "t", &[])]);
        assert_eq!(results(&mut host, id, 2), [("t".to_string(), ErrorCode::NONE)]);
        assert_eq!(host.apply_metadata(), 0);
        assert_eq!(host.image().topic_by_name("t").unwrap().configs().len(), 1);
    }
}
