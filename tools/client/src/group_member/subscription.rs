//! What consumers of a group tell each other through JoinGroup and SyncGroup: subscriptions and assignments, in the format
//! of Kafka's own clients (ConsumerProtocolSubscription and ConsumerProtocolAssignment, versions 0 to 3).
//!
//! Invariants:
//! - Later versions only add fields at the end, so a version that is not known is read as the latest that is.
//! - Bytes of others are read with every length checked against what is left; nonsense is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corelog_wire::decoder::{DecodeError, DecodeErrorKind, Decoder};

/// The latest version of both formats.
const VERSION: i16 = 3;

/// The version from which on a subscription says what its member owns (KIP-429).
const OWNED_FROM: i16 = 1;

/// The version from which on it says since which generation.
const GENERATION_FROM: i16 = 2;

/// Partitions of topics.
pub type Partitions = BTreeSet<(Arc<str>, i32)>;

/// What a member wants, and what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics that it reads.
    pub topics: BTreeSet<Arc<str>>,
    /// The partitions that it has not given up.
    pub owned: Partitions,
    /// The generation that gave it those.
    pub generation: Option<i32>,
}

impl Subscription {
    /// Writes it. Panics if a topic's name is too long to be one.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_be_bytes().to_vec();
        put_count(&mut bytes, self.topics.len());
        self.topics.iter().for_each(|topic| put_string(&mut bytes, topic));
        // Java's assignor looks for the generation here where the version has no field for it; librdkafka's ends with it.
        let user_data = self.generation.unwrap_or(-1).to_be_bytes();
        put_count(&mut bytes, user_data.len());
        bytes.extend(user_data);
        put_partitions(&mut bytes, &self.owned);
        bytes.extend(self.generation.unwrap_or(-1).to_be_bytes());
        // No rack.
        bytes.extend((-1_i16).to_be_bytes());
        bytes
    }

    /// Reads one.
    ///
    /// # Errors
    /// The bytes are no subscription.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let version = version(&mut decoder)?;
        let count = decoder.array_count(false, 2)?.unwrap_or(0);
        let topics = (0..count).map(|_| string(&mut decoder)).collect::<Result<_, _>>()?;
        let user_data = decoder.byte_string(false)?.unwrap_or(&[]);
        let owned = if version >= OWNED_FROM { partitions(&mut decoder)? } else { Partitions::new() };
        let generation = match version >= GENERATION_FROM {
            true => decoder.int32()?,
            // Both Java and librdkafka put it at the end of the user data.
            false => user_data.last_chunk().map_or(-1, |bytes| i32::from_be_bytes(*bytes)),
        };
        Ok(Self { topics, owned, generation: (generation >= 0).then_some(generation) })
    }
}

/// Writes what a member is to read. Panics if a topic's name is too long to be one.
pub(crate) fn encode_assignment(assigned: &Partitions) -> Vec<u8> {
    let mut bytes = VERSION.to_be_bytes().to_vec();
    put_partitions(&mut bytes, assigned);
    // No user data.
    bytes.extend((-1_i32).to_be_bytes());
    bytes
}

/// Reads what a member is to read; no bytes are no partitions.
///
/// # Errors
/// The bytes are no assignment.
pub fn decode_assignment(bytes: &[u8]) -> Result<Partitions, DecodeError> {
    if bytes.is_empty() {
        return Ok(Partitions::new());
    }
    let mut decoder = Decoder::new(bytes);
    version(&mut decoder)?;
    partitions(&mut decoder)
}

/// Partitions by topic, as messages want them.
pub(crate) fn by_topic<'a>(
    partitions: impl IntoIterator<Item = &'a (Arc<str>, i32)>,
) -> BTreeMap<&'a Arc<str>, Vec<i32>> {
    let mut topics: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    topics
}

fn version(decoder: &mut Decoder<'_>) -> Result<i16, DecodeError> {
    match decoder.int16()? {
        version if version < 0 => Err(DecodeErrorKind::UnsupportedVersion(version).into()),
        version => Ok(version),
    }
}

fn string(decoder: &mut Decoder<'_>) -> Result<Arc<str>, DecodeError> {
    Ok(decoder.string(false)?.ok_or(DecodeErrorKind::UnexpectedNull)?.into())
}

fn partitions(decoder: &mut Decoder<'_>) -> Result<Partitions, DecodeError> {
    let mut partitions = Partitions::new();
    for _ in 0..decoder.array_count(false, 6)?.unwrap_or(0) {
        let topic = string(decoder)?;
        for _ in 0..decoder.array_count(false, 4)?.unwrap_or(0) {
            let partition = decoder.int32()?;
            if partition >= 0 {
                partitions.insert((topic.clone(), partition));
            }
        }
    }
    Ok(partitions)
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend(i32::try_from(count).expect("it fits into a request").to_be_bytes());
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(i16::try_from(text.len()).expect("a topic's name is short").to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn put_partitions(bytes: &mut Vec<u8>, partitions: &Partitions) {
    let topics = by_topic(partitions);
    put_count(bytes, topics.len());
    for (topic, partitions) in topics {
        put_string(bytes, topic);
        put_count(bytes, partitions.len());
        partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(partitions: &[(&str, i32)]) -> Partitions {
        partitions.iter().map(|(topic, partition)| (Arc::from(*topic), *partition)).collect()
    }

    #[test]
    fn a_subscription_is_written_as_java_writes_it() {
        let subscription = Subscription {
            topics: BTreeSet::from(["ab".into()]),
            owned: set(&[("ab", 0), ("ab", 3)]),
            generation: Some(7),
        };
        #[rustfmt::skip]
        let expected = [
            0, 3,
            0, 0, 0, 1, 0, 2, b'a', b'b',
            0, 0, 0, 4, 0, 0, 0, 7,
            0, 0, 0, 1, 0, 2, b'a', b'b', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3,
            0, 0, 0, 7,
            255, 255,
        ];
        assert_eq!(subscription.encode(), expected);
        assert_eq!(Subscription::decode(&expected), Ok(subscription));
    }

    #[test]
    fn older_and_newer_subscriptions_are_read() {
        let version_0 = [0, 0, 0, 0, 0, 1, 0, 1, b'a', 255, 255, 255, 255];
        let read = Subscription::decode(&version_0).unwrap();
        assert_eq!((read.topics.len(), read.owned.len(), read.generation), (1, 0, None));
        // As librdkafka writes version 1: the generation stands at the end of the user data.
        let version_1 = [0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0];
        assert_eq!(Subscription::decode(&version_1).unwrap().generation, Some(5));
        let version_9 = [&[0, 9], &Subscription { generation: Some(4), ..Default::default() }.encode()[2..], &[1, 2]];
        assert_eq!(Subscription::decode(&version_9.concat()).unwrap().generation, Some(4));
    }

    #[test]
    fn an_assignment_comes_back() {
        let assigned = set(&[("a", 0), ("a", 1), ("b", 5)]);
        assert_eq!(decode_assignment(&encode_assignment(&assigned)), Ok(assigned));
        assert_eq!(decode_assignment(&[]), Ok(Partitions::new()));
    }

    #[test]
    fn every_cut_and_every_large_count_is_an_error() {
        let subscription =
            Subscription { topics: BTreeSet::from(["t".into()]), owned: set(&[("t", 1)]), generation: Some(1) };
        let whole = subscription.encode();
        for length in 0..whole.len() - 2 {
            assert!(Subscription::decode(&whole[..length]).is_err(), "{length}");
        }
        let whole = encode_assignment(&set(&[("t", 1)]));
        for length in 1..whole.len() - 4 {
            assert!(decode_assignment(&whole[..length]).is_err(), "{length}");
        }
        assert!(decode_assignment(&[0, 0, 127, 255, 255, 255]).is_err());
        assert!(Subscription::decode(&[0, 0, 127, 255, 255, 255, 0]).is_err());
        assert!(decode_assignment(&[255, 255, 0, 0, 0, 0]).is_err());
    }
}
