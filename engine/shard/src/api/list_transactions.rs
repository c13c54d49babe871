//! ListTransactions: the transactional ids that this broker coordinates (KIP-664, KIP-994, KIP-1152). No producer is ever
//! given a transactional id, so the list is empty, and that is the whole truth; what a tool asks wrongly is still told.
//!
//! DescribeTransactions is not served before there are transactions: its client first looks for a coordinator, and would do
//! so until its time is up.

use alloc::vec::Vec;

use corelog_wire::api::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome};
use crate::pattern::Pattern;

/// Kafka's states of a transactional id.
const STATES: [&str; 8] = [
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Empty",
    "Dead",
    "PrepareEpochFence",
];

/// Answers at once.
pub(crate) fn handle(call: &Call<'_>) -> Outcome {
    let request = match call.decode::<ListTransactionsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.state_filters.len() + request.producer_id_filters.len()) {
        return Outcome::Close(reason);
    }
    let pattern = request.transactional_id_pattern.filter(|pattern| !pattern.is_empty());
    if pattern.is_some_and(|pattern| Pattern::new(pattern).is_err()) {
        let error_code = ErrorCode::INVALID_REGULAR_EXPRESSION;
        return call.to.answer(&ListTransactionsResponse { error_code, ..Default::default() });
    }
    let mut unknown: Vec<&str> = request.state_filters.iter().filter(|state| !STATES.contains(state)).collect();
    unknown.sort_unstable();
    unknown.dedup();
    call.to.answer(&ListTransactionsResponse { unknown_state_filters: (&unknown).into(), ..Default::default() })
}

#[cfg(test)]
mod tests {
    use corelog_wire::api_key::ApiKey;

    use super::*;
    use crate::front::testing::{Host, decode};

    #[test]
    fn every_version_lists_nothing() {
        let mut host = Host::new();
        let id = host.open(1);
        for version in 0..=2 {
            let request = ListTransactionsRequest {
                state_filters: (&["Ongoing", "Nonsense", "Nonsense"]).into(),
                producer_id_filters: (&[7]).into(),
                duration_filter: if version >= 1 { 1_000 } else { -1 },
                transactional_id_pattern: (version >= 2).then_some("a.*"),
            };
            let reply = host.ask(id, version, &request);
            let response: ListTransactionsResponse<'_> = decode(ApiKey::ListTransactions, version, &reply);
            assert_eq!((response.error_code, response.transaction_states.len()), (ErrorCode::NONE, 0));
            assert!(response.unknown_state_filters.iter().eq(["Nonsense"]));
        }
        let request = ListTransactionsRequest { transactional_id_pattern: Some("("), ..Default::default() };
        let reply = host.ask(id, 2, &request);
        let response: ListTransactionsResponse<'_> = decode(ApiKey::ListTransactions, 2, &reply);
        assert_eq!(response.error_code, ErrorCode::INVALID_REGULAR_EXPRESSION);
    }
}
