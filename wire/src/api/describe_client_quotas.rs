//! DescribeClientQuotas: the quotas of users, clients and addresses (KIP-546).
//!
//! - 1: flexible.

use crate::array::Array;
use crate::error_code::ErrorCode;

/// Entities with exactly this name.
pub const MATCH_EXACT: i8 = 0;
/// The default entity of the type.
pub const MATCH_DEFAULT: i8 = 1;
/// Every entity that names the type at all.
pub const MATCH_ANY: i8 = 2;

request!(DescribeClientQuotas: DescribeClientQuotasRequest<'a> => DescribeClientQuotasResponse<'r>);

message! {
    versions 0-1, flexible 1+;

    /// Which quotas to describe: those of entities that every component fits.
    pub struct DescribeClientQuotasRequest<'a> {
        /// What entities have to be.
        components: Array<'a, ComponentData<'a>> [0+],
        /// Whether entities are left out that have types of which no component speaks.
        strict: bool [0+],
    }

    /// What an entity has to be.
    pub struct ComponentData<'a> {
        /// `user`, `client-id` or `ip`.
        entity_type: &'a str [0+],
        /// [`MATCH_EXACT`], [`MATCH_DEFAULT`] or [`MATCH_ANY`].
        match_type: i8 [0+],
        /// The name to match; null where none is needed.
        _match: Option<&'a str> [0+, nullable 0+],
    }
}

message! {
    versions 0-1, flexible 1+;

    /// The quotas.
    pub struct DescribeClientQuotasResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Why nothing is described, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
        /// The entities; null if there is an error.
        entries: Option<Array<'a, EntryData<'a>>> [0+, nullable 0+],
    }

    /// The quotas of one entity.
    pub struct EntryData<'a> {
        /// The parts of the entity.
        entity: Array<'a, EntityData<'a>> [0+],
        /// Its quotas.
        values: Array<'a, ValueData<'a>> [0+],
    }

    /// A part of what an entity is.
    pub struct EntityData<'a> {
        /// `user`, `client-id` or `ip`.
        entity_type: &'a str [0+],
        /// The name; null for the default of the type.
        entity_name: Option<&'a str> [0+, nullable 0+],
    }

    /// A quota.
    pub struct ValueData<'a> {
        /// What is limited.
        key: &'a str [0+],
        /// The limit.
        value: f64 [0+],
    }
}
