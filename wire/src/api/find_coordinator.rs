//! FindCoordinator: which brokers coordinate groups, transactions or share partitions.
//!
//! - 1: transactions, too; throttle time and errors in words.
//! - 3: flexible.
//! - 4: many keys at once (KIP-699).
//! - 5: TRANSACTION_ABORTABLE may be answered (KIP-890).
//! - 6: share partitions, too (KIP-932).

use crate::array::Array;
use crate::error_code::ErrorCode;

/// A key type: group ids.
pub const GROUP_KEY: i8 = 0;
/// A key type: transactional ids.
pub const TRANSACTION_KEY: i8 = 1;
/// A key type: share partitions, each `group:topic id:partition` (KIP-932).
pub const SHARE_KEY: i8 = 2;

request!(FindCoordinator: FindCoordinatorRequest<'a> => FindCoordinatorResponse<'r>);

message! {
    versions 0-6, flexible 3+;

    /// Whose coordinators to find.
    pub struct FindCoordinatorRequest<'a> {
        /// The key.
        key: &'a str [0-3],
        /// What the keys are: a constant of this file.
        key_type: i8 [1+],
        /// The keys.
        coordinator_keys: Array<'a, &'a str> [4+],
    }
}

message! {
    versions 0-6, flexible 3+;

    /// The coordinators.
    pub struct FindCoordinatorResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [1+, ignorable],
        /// Why there is no coordinator, or none.
        error_code: ErrorCode [0-3],
        /// The same in words, or null.
        error_message: Option<&'a str> [1-3, nullable 1-3, default Some(""), ignorable],
        /// The coordinator's broker id; -1 with an error.
        node_id: i32 [0-3],
        /// Its host name; empty with an error.
        host: &'a str [0-3],
        /// Its port; -1 with an error.
        port: i32 [0-3],
        /// A coordinator for every key.
        coordinators: Array<'a, Coordinator<'a>> [4+],
    }

    /// The coordinator for one key.
    pub struct Coordinator<'a> {
        /// The key.
        key: &'a str [4+],
        /// The coordinator's broker id; -1 with an error.
        node_id: i32 [4+],
        /// Its host name; empty with an error.
        host: &'a str [4+],
        /// Its port; -1 with an error.
        port: i32 [4+],
        /// Why there is no coordinator, or none.
        error_code: ErrorCode [4+],
        /// The same in words, or null.
        error_message: Option<&'a str> [4+, nullable 4+, ignorable],
    }
}
