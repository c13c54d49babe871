//! ApiVersions: tells a client which APIs and versions there are.
//!
//! Nothing is advertised that does not work: no features either, since each of Kafka's promises something that is not
//! there yet. What clients push metrics with is advertised while somebody subscribes to any, as Kafka does it where something
//! takes them: librdkafka would otherwise ask for it on every connection, and write a line about it.

use alloc::vec::Vec;

use corelog_replication::metadata::{ConfigResource, MetadataImage};
use corelog_wire::api::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome, ReplyTo};
use crate::front::Identity;

/// A client that does not say whom it believes to talk to.
const NO_NODE: i32 = -1;

/// Answers at once.
pub(crate) fn handle(identity: &Identity, image: &MetadataImage, call: &Call<'_>) -> Outcome {
    if !ApiKey::ApiVersions.serves(call.to.version) {
        // The client is newer than the broker and tries again with a version that it finds here (KIP-511).
        return refuse(&ReplyTo { version: 0, ..call.to }, ErrorCode::UNSUPPORTED_VERSION, &ranges(image));
    }
    let request = match call.decode::<ApiVersionsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let version = call.to.version;
    let is_named = is_software_name(request.client_software_name) && is_software_name(request.client_software_version);
    if version >= 3 && !is_named {
        return refuse(&call.to, ErrorCode::INVALID_REQUEST, &[]);
    }
    match (request.cluster_id, request.node_id) {
        (None, NO_NODE) => {}
        // A client that believes to talk to somebody else has outdated addresses (KIP-1242).
        (Some(cluster_id), node_id) if node_id != NO_NODE => {
            if cluster_id != identity.cluster_id || node_id != identity.node_id {
                return refuse(&call.to, ErrorCode::REBOOTSTRAP_REQUIRED, &[]);
            }
        }
        // One without the other says nothing.
        _ => return refuse(&call.to, ErrorCode::INVALID_REQUEST, &[]),
    }
    call.to.answer(&ApiVersionsResponse { api_keys: (&ranges(image)).into(), ..Default::default() })
}

fn refuse(to: &ReplyTo, error_code: ErrorCode, ranges: &[ApiVersion]) -> Outcome {
    to.answer(&ApiVersionsResponse { error_code, api_keys: ranges.into(), ..Default::default() })
}

fn ranges(image: &MetadataImage) -> Vec<ApiVersion> {
    let has_subscriptions = image.resource_configs().keys().any(|of| matches!(of, ConfigResource::ClientMetrics(_)));
    let is_for_metrics = |api: &&ApiKey| matches!(api, ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry);
    let range = |api: &ApiKey| ApiVersion {
        api_key: api.key(),
        min_version: api.advertised_min(),
        max_version: api.max_version(),
    };
    ApiKey::ALL.iter().filter(|api| has_subscriptions || !is_for_metrics(api)).map(range).collect()
}

/// Letters, digits, `-` and `.`, with a letter or digit at both ends (KIP-511).
fn is_software_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_kafkas() {
        for good in ["a", "apache-kafka-java", "librdkafka", "2.11.0", "confluent-kafka-python.x-1"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", ".", "a b", "a/b", "ä", "a\0"] {
            assert!(!is_software_name(bad), "{bad:?}");
        }
    }
}
