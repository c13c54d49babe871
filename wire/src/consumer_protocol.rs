//! What consumers say to each other through their coordinator: the metadata in JoinGroup and the assignments in SyncGroup
//! of groups whose protocol type is [`PROTOCOL_TYPE`].
//!
//! Each begins with its version in two bytes. Later versions only add fields at the end, so one that we do not know is
//! read as the newest that we know, and bytes behind it are left alone. The coordinator itself needs no more of it than
//! the topics.

pub mod assignment;
pub mod subscription;

/// The protocol type of groups of consumers.
pub const PROTOCOL_TYPE: &str = "consumer";

#[cfg(test)]
mod tests {
    use super::assignment::ConsumerProtocolAssignment;
    use super::subscription::{ConsumerProtocolSubscription, TopicPartition, subscribed_topics};
    use crate::decoder::DecodeErrorKind;

    const OWNED: [TopicPartition<'static>; 1] = [TopicPartition { topic: "b", partitions: crate::array::Array::EMPTY }];

    fn subscription() -> ConsumerProtocolSubscription<'static> {
        ConsumerProtocolSubscription {
            topics: (&["a", "b"]).into(),
            user_data: Some(b"u"),
            owned_partitions: (&OWNED).into(),
            generation_id: 4,
            rack_id: Some("r"),
        }
    }

    #[test]
    fn a_subscription_comes_back() {
        let bytes = subscription().to_bytes(3).expect("it is sound");
        assert_eq!(ConsumerProtocolSubscription::from_bytes(&bytes), Ok(subscription()));
    }

    #[test]
    fn a_version_to_come_is_read_as_the_newest_known() {
        let mut bytes = subscription().to_bytes(3).expect("it is sound");
        bytes[1] = 9;
        bytes.extend([1, 2, 3]);
        assert_eq!(ConsumerProtocolSubscription::from_bytes(&bytes), Ok(subscription()));

        let mut bytes = ConsumerProtocolAssignment::default().to_bytes(3).expect("it is sound");
        bytes[1] = 9;
        bytes.extend([1, 2, 3]);
        assert_eq!(ConsumerProtocolAssignment::from_bytes(&bytes), Ok(ConsumerProtocolAssignment::default()));
    }

    #[test]
    fn a_negative_version_is_refused() {
        let bytes = [0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        let refused = DecodeErrorKind::UnsupportedVersion(-1);
        assert_eq!(ConsumerProtocolSubscription::from_bytes(&bytes).map_err(|error| error.kind), Err(refused));
        assert_eq!(ConsumerProtocolAssignment::from_bytes(&bytes).map_err(|error| error.kind), Err(refused));
        assert_eq!(subscribed_topics(&bytes).map(|topics| topics.len()).map_err(|error| error.kind), Err(refused));
    }

    #[test]
    fn topics_are_found_where_what_follows_them_is_not_what_the_version_says() {
        // Version 1 without its owned partitions, as some clients send it.
        let bytes = [0, 1, 0, 0, 0, 1, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff];
        assert!(ConsumerProtocolSubscription::from_bytes(&bytes).is_err());
        let topics: alloc::vec::Vec<_> = subscribed_topics(&bytes).expect("the topics are there").iter().collect();
        assert_eq!(topics, ["a"]);
    }
}
