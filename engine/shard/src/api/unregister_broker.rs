//! UnregisterBroker: a broker that is gone leaves the metadata (KIP-631). The only broker there is runs, or nobody would
//! answer, so it is refused.

use alloc::format;

use corelog_replication::ids::BrokerId;
use corelog_wire::api::unregister_broker::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome};
use crate::front::Context;

/// Answers at once.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<UnregisterBrokerRequest>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let id = request.broker_id;
    let (error_code, message) = match cx.metadata.image().brokers().contains_key(&BrokerId(id)) {
        true => (ErrorCode::INVALID_REQUEST, format!("broker {id} is part of this cluster and stays in it")),
        false => (ErrorCode::BROKER_ID_NOT_REGISTERED, format!("there is no broker {id}")),
    };
    call.to.answer(&UnregisterBrokerResponse { error_code, error_message: Some(&message), ..Default::default() })
}

#[cfg(test)]
mod tests {
    use corelog_wire::api_key::ApiKey;

    use super::*;
    use crate::front::testing::{Host, NODE_ID, decode};

    #[test]
    fn the_broker_stays() {
        let mut host = Host::new();
        let id = host.open(1);
        for (broker_id, expected) in [
            (NODE_ID, ErrorCode::INVALID_REQUEST),
            (NODE_ID + 1, ErrorCode::BROKER_ID_NOT_REGISTERED),
            (-1, ErrorCode::BROKER_ID_NOT_REGISTERED),
        ] {
            let reply = host.ask(id, 0, &UnregisterBrokerRequest { broker_id });
            let response: UnregisterBrokerResponse<'_> = decode(ApiKey::UnregisterBroker, 0, &reply);
            assert_eq!(response.error_code, expected);
            assert!(response.error_message.is_some());
        }
    }
}
