//! ListConfigResources: what has settings (KIP-1142): every topic and broker, and of groups and subscriptions to metrics
//! those for which something was set. Version 0 is ListClientMetricsResources (KIP-714).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_replication::metadata::ConfigResource as Resource;
use corelog_wire::api::describe_configs::{
    BROKER_LOGGER_RESOURCE, BROKER_RESOURCE, CLIENT_METRICS_RESOURCE, GROUP_RESOURCE, TOPIC_RESOURCE,
};
use corelog_wire::api::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome};
use crate::front::Context;

/// The kinds that there are.
const KINDS: [i8; 5] =
    [TOPIC_RESOURCE, BROKER_RESOURCE, BROKER_LOGGER_RESOURCE, CLIENT_METRICS_RESOURCE, GROUP_RESOURCE];

/// Answers at once.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<ListConfigResourcesRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let wanted: Vec<i8> = match (call.to.version, request.resource_types.is_empty()) {
        (0, _) => [CLIENT_METRICS_RESOURCE].into(),
        (_, true) => KINDS.into(),
        (_, false) => request.resource_types.iter().collect(),
    };
    if wanted.iter().any(|kind| !KINDS.contains(kind)) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        return call.to.answer(&ListConfigResourcesResponse { error_code, ..Default::default() });
    }
    let image = cx.metadata.image();
    let brokers: Vec<String> = image.brokers().keys().map(ToString::to_string).collect();
    let mut found: Vec<ConfigResource<'_>> = Vec::new();
    // Each kind once, however often it is named.
    for kind in KINDS.into_iter().filter(|kind| wanted.contains(kind)) {
        let row = |name| ConfigResource { resource_name: name, resource_type: kind };
        match kind {
            TOPIC_RESOURCE => found.extend(image.topics().map(|topic| row(topic.name()))),
            BROKER_RESOURCE | BROKER_LOGGER_RESOURCE => found.extend(brokers.iter().map(|id| row(id))),
            _ => {
                let is_wanted = |resource: &&Resource| match resource {
                    Resource::Group(_) => kind == GROUP_RESOURCE,
                    Resource::ClientMetrics(_) => kind == CLIENT_METRICS_RESOURCE,
                };
                found.extend(image.resource_configs().keys().filter(is_wanted).map(|resource| row(resource.name())));
            }
        }
    }
    call.to.answer(&ListConfigResourcesResponse { config_resources: (&found).into(), ..Default::default() })
}

#[cfg(test)]
mod tests {
    use corelog_replication::metadata::MetadataRecord;
    use corelog_wire::api_key::ApiKey;

    use super::*;
    use crate::front::testing::{Host, decode};

    fn list(host: &mut Host, version: i16, kinds: &[i8]) -> Result<Vec<(i8, String)>, ErrorCode> {
        let id = host.open(1);
        let reply = host.ask(id, version, &ListConfigResourcesRequest { resource_types: kinds.into() });
        host.disconnect(id);
        let response: ListConfigResourcesResponse<'_> = decode(ApiKey::ListConfigResources, version, &reply);
        match response.error_code {
            ErrorCode::NONE => {}
            other => return Err(other),
        }
        Ok(response.config_resources.iter().map(|it| (it.resource_type, it.resource_name.to_string())).collect())
    }

    #[test]
    fn every_version_lists() {
        let mut host = Host::new();
        host.create_topic("t", 1, &[]);
        let set = |resource| MetadataRecord::ResourceConfig {
            resource,
            key: "match".to_string(),
            value: Some(String::new()),
        };
        host.propose(&[set(Resource::ClientMetrics("m".to_string())), set(Resource::Group("g".to_string()))]);
        host.apply_metadata();
        let row = |kind: i8, name: &str| (kind, name.to_string());
        assert_eq!(list(&mut host, 0, &[]), Ok([row(CLIENT_METRICS_RESOURCE, "m")].into()));
        let all = [
            row(TOPIC_RESOURCE, "t"),
            row(BROKER_RESOURCE, "1"),
            row(BROKER_LOGGER_RESOURCE, "1"),
            row(CLIENT_METRICS_RESOURCE, "m"),
            row(GROUP_RESOURCE, "g"),
        ];
        assert_eq!(list(&mut host, 1, &[]), Ok(all.to_vec()));
        for expected in all {
            assert_eq!(list(&mut host, 1, &[expected.0, expected.0]), Ok([expected].into()));
        }
        assert_eq!(list(&mut host, 1, &[TOPIC_RESOURCE, 77]), Err(ErrorCode::UNSUPPORTED_VERSION));
    }
}
