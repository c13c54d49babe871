//! UpdateFeatures: changes the finalized levels of features (KIP-584).
//!
//! - 1: kinds of change, and checks alone (KIP-778).
//! - 2: no results of single features any more (KIP-1022).

use crate::array::Array;
use crate::error_code::ErrorCode;

/// The level may only rise.
pub const UPGRADE: i8 = 1;
/// The level may fall where nothing is lost by it.
pub const SAFE_DOWNGRADE: i8 = 2;
/// The level may fall, whatever is lost by it.
pub const UNSAFE_DOWNGRADE: i8 = 3;

request!(UpdateFeatures: UpdateFeaturesRequest<'a> => UpdateFeaturesResponse<'r>);

message! {
    versions 0-2, flexible 0+;

    /// Levels to change.
    pub struct UpdateFeaturesRequest<'a> {
        /// How long that may take, in milliseconds.
        timeout_ms: i32 [0+],
        /// The features.
        feature_updates: Array<'a, FeatureUpdateKey<'a>> [0+],
        /// Whether the change is only checked.
        validate_only: bool [1+],
    }

    /// A feature and its new level.
    pub struct FeatureUpdateKey<'a> {
        /// The feature's name.
        feature: &'a str [0+],
        /// The new level; below 1 the feature is given up.
        max_version_level: i16 [0+],
        /// Whether the level may fall.
        allow_downgrade: bool [0],
        /// [`UPGRADE`], [`SAFE_DOWNGRADE`] or [`UNSAFE_DOWNGRADE`].
        upgrade_type: i8 [1+, default 1],
    }
}

message! {
    versions 0-2, flexible 0+;

    /// What became of it.
    pub struct UpdateFeaturesResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Why nothing was changed, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
        /// The features.
        results: Array<'a, UpdatableFeatureResult<'a>> [0-1, ignorable],
    }

    /// What became of a feature.
    pub struct UpdatableFeatureResult<'a> {
        /// The feature's name.
        feature: &'a str [0+],
        /// Why it was not changed, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
    }
}
