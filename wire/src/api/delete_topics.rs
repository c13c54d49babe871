//! DeleteTopics: deletes topics.
//!
//! - 1: throttle time.
//! - 3: TOPIC_DELETION_DISABLED may be answered.
//! - 4: flexible.
//! - 5: errors in words; THROTTLING_QUOTA_EXCEEDED may be answered (KIP-599).
//! - 6: topics by name or by id (KIP-516); UNKNOWN_TOPIC_ID may be answered.

use crate::array::Array;
use crate::error_code::ErrorCode;
use crate::ids::TopicId;

request!(DeleteTopics: DeleteTopicsRequest<'a> => DeleteTopicsResponse<'r>);

message! {
    versions 1-6, flexible 4+;

    /// Topics to delete.
    pub struct DeleteTopicsRequest<'a> {
        /// The topics.
        topics: Array<'a, DeleteTopicState<'a>> [6+],
        /// The topics' names.
        topic_names: Array<'a, &'a str> [0-5, ignorable],
        /// How long that may take, in milliseconds.
        timeout_ms: i32 [0+],
    }

    /// A topic to delete.
    pub struct DeleteTopicState<'a> {
        /// The topic's name, or null to go by id.
        name: Option<&'a str> [6+, nullable 6+],
        /// The topic's id, or zero to go by name.
        topic_id: TopicId [6+],
    }
}

message! {
    versions 1-6, flexible 4+;

    /// What became of the topics.
    pub struct DeleteTopicsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [1+, ignorable],
        /// The topics.
        responses: Array<'a, DeletableTopicResult<'a>> [0+],
    }

    /// What became of a topic.
    pub struct DeletableTopicResult<'a> {
        /// The topic's name; null for an id that is not known.
        name: Option<&'a str> [0+, nullable 6+],
        /// The topic's id; zero for a name that is not known.
        topic_id: TopicId [6+, ignorable],
        /// Why it was not deleted, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [5+, nullable 5+, ignorable],
    }
}
