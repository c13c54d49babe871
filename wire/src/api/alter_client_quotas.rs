//! AlterClientQuotas: changes the quotas of users, clients and addresses (KIP-546).
//!
//! - 1: flexible.

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(AlterClientQuotas: AlterClientQuotasRequest<'a> => AlterClientQuotasResponse<'r>);

message! {
    versions 0-1, flexible 1+;

    /// Quotas to change.
    pub struct AlterClientQuotasRequest<'a> {
        /// The entities.
        entries: Array<'a, EntryData<'a>> [0+],
        /// Whether the changes are only checked.
        validate_only: bool [0+],
    }

    /// The changes for one entity.
    pub struct EntryData<'a> {
        /// The parts of the entity.
        entity: Array<'a, EntityData<'a>> [0+],
        /// The changes.
        ops: Array<'a, OpData<'a>> [0+],
    }

    /// A part of what an entity is.
    pub struct EntityData<'a> {
        /// `user`, `client-id` or `ip`.
        entity_type: &'a str [0+],
        /// The name; null for the default of the type.
        entity_name: Option<&'a str> [0+, nullable 0+],
    }

    /// The change of one quota.
    pub struct OpData<'a> {
        /// What is limited.
        key: &'a str [0+],
        /// The new limit, unless it is removed.
        value: f64 [0+],
        /// Whether the limit is removed.
        remove: bool [0+],
    }
}

message! {
    versions 0-1, flexible 1+;

    /// What became of the quotas.
    pub struct AlterClientQuotasResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// The entities, in the order of the request.
        entries: Array<'a, EntryResult<'a>> [0+],
    }

    /// What became of the quotas of one entity.
    pub struct EntryResult<'a> {
        /// Why nothing was changed, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
        /// The parts of the entity.
        entity: Array<'a, EntityResult<'a>> [0+],
    }

    /// A part of what an entity is, in an answer.
    pub struct EntityResult<'a> {
        /// `user`, `client-id` or `ip`.
        entity_type: &'a str [0+],
        /// The name; null for the default of the type.
        entity_name: Option<&'a str> [0+, nullable 0+],
    }
}
