//! UpdateFeatures: finalized levels of features change (KIP-584, KIP-778, KIP-1022). No feature of Kafka's is supported, as
//! ApiVersions says, so every level of every feature is refused; a request without any succeeds.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use corelog_wire::api::update_features::{
    FeatureUpdateKey, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE, UPGRADE, UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome};

/// Answers at once.
pub(crate) fn handle(call: &Call<'_>) -> Outcome {
    let request = match call.decode::<UpdateFeaturesRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.feature_updates.len()) {
        return Outcome::Close(reason);
    }
    let mut names = BTreeSet::new();
    let twice = request.feature_updates.iter().find(|update| !names.insert(update.feature));
    let refused = match (twice, request.feature_updates.iter().next()) {
        (Some(update), _) => {
            let message = format!("the feature '{}' is named more than once", update.feature);
            Some((ErrorCode::INVALID_REQUEST, message))
        }
        (None, Some(update)) => Some((ErrorCode::INVALID_UPDATE_VERSION, why_not(&update))),
        (None, None) => None,
    };
    call.to.answer(&UpdateFeaturesResponse {
        error_code: refused.as_ref().map_or(ErrorCode::NONE, |(code, _)| *code),
        error_message: refused.as_ref().map(|(_, message)| message.as_str()),
        ..Default::default()
    })
}

/// What is wrong with a level.
fn why_not(update: &FeatureUpdateKey<'_>) -> String {
    let FeatureUpdateKey { feature, max_version_level, upgrade_type, .. } = update;
    let level = format!("feature '{feature}' cannot have level {max_version_level}");
    match (*upgrade_type, *max_version_level) {
        (UPGRADE | SAFE_DOWNGRADE | UNSAFE_DOWNGRADE, 0..) => format!("{level}: this broker does not have the feature"),
        (UPGRADE | SAFE_DOWNGRADE | UNSAFE_DOWNGRADE, _) => format!("{level}: levels are not negative"),
        (other, _) => format!("{level}: there is no change of type {other}"),
    }
}

#[cfg(test)]
mod tests {
    use corelog_wire::api_key::ApiKey;

    use super::*;
    use crate::front::testing::{Host, decode};

    #[test]
    fn every_version_refuses_every_feature() {
        let mut host = Host::new();
        let id = host.open(1);
        let update = |feature, max_version_level, upgrade_type| FeatureUpdateKey {
            feature,
            max_version_level,
            upgrade_type,
            ..Default::default()
        };
        let cases = [
            (&[][..], ErrorCode::NONE),
            (&[update("metadata.version", 7, UPGRADE)], ErrorCode::INVALID_UPDATE_VERSION),
            (&[update("group.version", 0, UPGRADE)], ErrorCode::INVALID_UPDATE_VERSION),
            (&[update("group.version", -1, UPGRADE)], ErrorCode::INVALID_UPDATE_VERSION),
            (&[update("a", 1, UPGRADE), update("a", 1, UPGRADE)], ErrorCode::INVALID_REQUEST),
        ];
        for version in 0..=2 {
            for (updates, expected) in cases {
                let request = UpdateFeaturesRequest { feature_updates: updates.into(), ..Default::default() };
                let reply = host.ask(id, version, &request);
                let response: UpdateFeaturesResponse<'_> = decode(ApiKey::UpdateFeatures, version, &reply);
                assert_eq!(response.error_code, expected, "version {version}: {updates:?}");
                assert_eq!(response.error_message.is_some(), !expected.is_none());
            }
        }
        let updates = [update("group.version", 1, 9)];
        let request =
            UpdateFeaturesRequest { feature_updates: (&updates).into(), validate_only: true, ..Default::default() };
        let reply = host.ask(id, 2, &request);
        let response: UpdateFeaturesResponse<'_> = decode(ApiKey::UpdateFeatures, 2, &reply);
        assert_eq!(response.error_code, ErrorCode::INVALID_UPDATE_VERSION);
        assert!(response.error_message.unwrap().contains("type 9"));
    }
}
