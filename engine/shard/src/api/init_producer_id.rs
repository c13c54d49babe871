//! InitProducerId: identities for idempotent producers.
//!
//! Ids come in blocks from the metadata log; none is given out before its block has committed. The next block is asked
//! for before the last one is used up, so that hardly any producer waits. Transactional producers are refused: there is
//! no transaction coordinator yet.

use corelog_replication::controller::{self, PRODUCER_ID_BLOCK_LENGTH, Rejection};
use corelog_replication::ids::BrokerId;
use corelog_replication::quorum::ProposalId;
use corelog_wire::api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome, Parked, ReplyTo, Wait};
use crate::front::{Context, Shared};
use crate::limits;

/// "None", for an id and for an epoch.
const NO_PRODUCER_ID: i64 = -1;
const NO_PRODUCER_EPOCH: i16 = -1;

/// A request that waits for a block of ids.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
}

/// The ids that this broker may give out.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    current: Block,
    next: Block,
    asked_for: Option<(ProposalId, Block)>,
}

/// Ids from `first` up to, without, `end`.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    first: i64,
    end: i64,
}

/// Answers at once if there are ids.
pub(crate) fn handle(shared: &mut Shared, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<InitProducerIdRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let pending = Pending { to: call.to };
    let has_half = (request.producer_id == NO_PRODUCER_ID) != (request.producer_epoch == NO_PRODUCER_EPOCH);
    match request.transactional_id {
        _ if has_half => pending.refuse(ErrorCode::INVALID_REQUEST),
        Some("") => pending.refuse(ErrorCode::INVALID_REQUEST),
        // What Kafka answers where a feature that a request needs is not there.
        Some(_) => pending.refuse(ErrorCode::UNSUPPORTED_VERSION),
        // An idempotent producer always gets a new id, whatever it had.
        None => pending.go_on(shared, cx),
    }
}

impl Pending {
    /// Ids may be there now.
    pub(crate) fn go_on(self, shared: &mut Shared, cx: &mut Context<'_>) -> Outcome {
        let node = BrokerId(shared.identity.node_id);
        match shared.producer_ids.take(cx, node) {
            Ok(Ok(producer_id)) => {
                self.to.answer(&InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() })
            }
            Ok(Err(proposal)) => {
                let wait = Wait { proposals: [proposal].into(), ..Wait::default() };
                Outcome::Wait(Parked::InitProducerId(self), wait)
            }
            Err(rejection) => self.refuse(rejection.code),
        }
    }

    fn refuse(&self, error_code: ErrorCode) -> Outcome {
        self.to.answer(&InitProducerIdResponse {
            error_code,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            ..Default::default()
        })
    }
}

impl ProducerIds {
    /// An id, or what to wait for.
    fn take(&mut self, cx: &mut Context<'_>, node: BrokerId) -> Result<Result<i64, ProposalId>, Rejection> {
        if self.current.left() == 0 {
            self.current = core::mem::take(&mut self.next);
        }
        let asked = if self.current.left() + self.next.left() <= limits::PRODUCER_IDS_LOW {
            self.ask(cx, node)
        } else {
            Ok(None)
        };
        if self.current.left() == 0 {
            return Ok(Err(asked?.expect("without ids, some are asked for")));
        }
        let id = self.current.first;
        self.current.first += 1;
        Ok(Ok(id))
    }

    /// Asks for a block, unless one is on its way.
    fn ask(&mut self, cx: &mut Context<'_>, node: BrokerId) -> Result<Option<ProposalId>, Rejection> {
        if let Some((proposal, _)) = self.asked_for {
            return Ok(Some(proposal));
        }
        let allocation = controller::allocate_producer_ids(cx.metadata.image(), node, PRODUCER_ID_BLOCK_LENGTH)?;
        let proposal = cx.metadata.propose(&allocation.records)?;
        let first = allocation.first.0;
        self.asked_for = Some((proposal, Block { first, end: first + i64::from(allocation.length) }));
        Ok(Some(proposal))
    }

    /// A proposal was decided; perhaps it was ours.
    pub(crate) fn decided(&mut self, proposal: ProposalId, outcome: &Result<(), Rejection>) {
        let Some((_, block)) = self.asked_for.take_if(|(asked_for, _)| *asked_for == proposal) else { return };
        if outcome.is_ok() {
            assert!(self.next.left() == 0, "one block is asked for at a time");
            self.next = block;
        }
    }
}

impl Block {
    fn left(self) -> i64 {
        self.end - self.first
    }
}

#[cfg(test)]
mod tests;
