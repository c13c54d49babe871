//! ListPartitionReassignments: the partitions that are being moved (KIP-455). On one node none ever is; what does not exist
//! is left out, as Kafka does it.

use corelog_wire::api::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::{Call, Outcome};

/// Answers at once.
pub(crate) fn handle(call: &Call<'_>) -> Outcome {
    let request = match call.decode::<ListPartitionReassignmentsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let named = request.topics.into_iter().flatten().map(|topic| 1 + topic.partition_indexes.len()).sum();
    if let Err(reason) = call.check_entries(named) {
        return Outcome::Close(reason);
    }
    call.to.answer(&ListPartitionReassignmentsResponse { error_message: None, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use corelog_wire::api::list_partition_reassignments::ListPartitionReassignmentsTopics;
    use corelog_wire::api_key::ApiKey;
    use corelog_wire::error_code::ErrorCode;

    use super::*;
    use crate::front::testing::{Host, decode};

    #[test]
    fn nothing_moves() {
        let mut host = Host::new();
        host.create_topic("t", 1, &[]);
        let id = host.open(1);
        let topics = [
            ListPartitionReassignmentsTopics { name: "t", partition_indexes: (&[0, 7]).into() },
            ListPartitionReassignmentsTopics { name: "x", partition_indexes: (&[0]).into() },
        ];
        for topics in [None, Some((&topics).into())] {
            let reply = host.ask(id, 0, &ListPartitionReassignmentsRequest { timeout_ms: 1_000, topics });
            let response: ListPartitionReassignmentsResponse<'_> =
                decode(ApiKey::ListPartitionReassignments, 0, &reply);
            assert_eq!((response.error_code, response.error_message), (ErrorCode::NONE, None));
            assert!(response.topics.is_empty());
        }
    }
}
