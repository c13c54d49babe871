//! DeleteTopics: which topics of a request go (KIP-4, KIP-516 for ids).
//!
//! Every topic succeeds or fails on its own. What is named in a way that leaves a doubt is not deleted: twice, by name and
//! id, or by neither.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;

use super::{Rejection, TopicRef, delete_topic};
use crate::ids::TopicId;
use crate::metadata::{MetadataImage, MetadataRecord};

/// A topic of a request, as the client names it: by its name or by its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicToDelete<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its id, or zero.
    pub topic_id: TopicId,
}

/// What becomes of one topic of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionResult {
    /// Its name: as the client has it, or that of the topic with the client's id.
    pub name: Option<String>,
    /// Its id: as the client has it, or that of the topic with the client's name; zero for a name that is not known.
    pub topic_id: TopicId,
    /// To be proposed as a batch of its own, so that topics stay independent; or why it stays.
    pub outcome: Result<Vec<MetadataRecord>, Rejection>,
}

/// Decides on a DeleteTopics request. There is one result per name and per id, in the order in which they come first, and
/// one more for each entry with both or neither. A topic that is named by name in one entry and by id in another has one
/// result, that of the name.
///
/// A topic fails with INVALID_REQUEST where the client leaves a doubt, UNKNOWN_TOPIC_OR_PARTITION for a name and
/// UNKNOWN_TOPIC_ID for an id that the image does not have.
#[must_use]
pub fn delete_topics(image: &MetadataImage, topics: &[TopicToDelete<'_>]) -> Vec<DeletionResult> {
    let mut request = Request::default();
    for topic in topics {
        match topic.by() {
            Some(TopicRef::Name(name)) => *request.names.entry(name).or_insert(0) += 1,
            Some(TopicRef::Id(id)) => *request.ids.entry(id).or_insert(0) += 1,
            None => {}
        }
    }
    let mut names = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut results = Vec::with_capacity(topics.len());
    for topic in topics {
        results.extend(match topic.by() {
            Some(TopicRef::Name(name)) => names.insert(name).then(|| request.by_name(image, name)),
            Some(TopicRef::Id(id)) => ids.insert(id).then(|| request.by_id(image, id)).flatten(),
            None => {
                let doubt = match topic.name {
                    Some(_) => "a topic is named by its name or by its id, not by both",
                    None => "a topic is named by neither name nor id",
                };
                Some(DeletionResult {
                    name: topic.name.map(ToString::to_string),
                    topic_id: topic.topic_id,
                    outcome: Err(Rejection::new(ErrorCode::INVALID_REQUEST, doubt)),
                })
            }
        });
    }
    results
}

/// How often a request names what.
#[derive(Default)]
struct Request<'a> {
    names: BTreeMap<&'a str, usize>,
    ids: BTreeMap<TopicId, usize>,
}

impl Request<'_> {
    fn by_name(&self, image: &MetadataImage, name: &str) -> DeletionResult {
        let result = |topic_id, outcome| DeletionResult { name: Some(name.to_string()), topic_id, outcome };
        let refused = |topic_id, why| result(topic_id, Err(Rejection::new(ErrorCode::INVALID_REQUEST, why)));
        if self.names[name] > 1 {
            return refused(TopicId::ZERO, "the request names this topic more than once");
        }
        match image.topic_by_name(name) {
            Some(topic) if self.ids.contains_key(&topic.id()) => {
                refused(topic.id(), "the request names this topic by its id, too")
            }
            found => result(found.map_or(TopicId::ZERO, |topic| topic.id()), delete_topic(image, TopicRef::Name(name))),
        }
    }

    /// None where the topic's name has the result.
    fn by_id(&self, image: &MetadataImage, id: TopicId) -> Option<DeletionResult> {
        let result = |name, outcome| Some(DeletionResult { name, topic_id: id, outcome });
        if self.ids[&id] > 1 {
            let why = "the request names this topic id more than once";
            return result(None, Err(Rejection::new(ErrorCode::INVALID_REQUEST, why)));
        }
        let name = image.topic_by_id(id).map(|topic| topic.name());
        if name.is_some_and(|name| self.names.get(name) == Some(&1)) {
            return None;
        }
        result(name.map(ToString::to_string), delete_topic(image, TopicRef::Id(id)))
    }
}

impl<'a> TopicToDelete<'a> {
    /// What it goes by, if by one thing only.
    fn by(&self) -> Option<TopicRef<'a>> {
        match self.name {
            Some(name) if self.topic_id.is_zero() => Some(TopicRef::Name(name)),
            None if !self.topic_id.is_zero() => Some(TopicRef::Id(self.topic_id)),
            _ => None,
        }
    }
}
