//! AlterClientQuotas: limits of clients change (KIP-546). The rules are the controller's.
//!
//! Invariants: the limits of an entity change all together or not at all, and every entity on its own; a change is answered
//! when every shard has applied it; it is decided on what those before it will have made of the entity, also while they are
//! not applied yet.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_replication::controller::{Rejection, alter_client_quotas, quota_entity};
use corelog_replication::metadata::{QuotaEntity, QuotaLimit};
use corelog_replication::quorum::ProposalId;
use corelog_wire::api::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntityResult, EntryData, EntryResult,
};
use corelog_wire::error_code::ErrorCode;

use super::describe_configs::invalid_request;
use super::{Call, Outcome, Parked, ReplyTo, Wait};
use crate::front::{Context, Shared};

/// Limits as they will be: those with changes that were proposed and are not applied yet.
#[derive(Debug, Default)]
pub(crate) struct UndecidedQuotas {
    changed: BTreeMap<QuotaEntity, (ProposalId, BTreeMap<String, QuotaLimit>)>,
    /// What a proposal is for.
    proposals: BTreeMap<ProposalId, QuotaEntity>,
}

/// A request whose changes are proposed.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    entries: Vec<Altered>,
    waiting: BTreeMap<ProposalId, usize>,
}

/// What became of an entity: its parts, as the client named them.
#[derive(Debug)]
struct Altered {
    parts: Vec<(String, Option<String>)>,
    outcome: Result<(), Rejection>,
}

/// Proposes what is right, and answers when it is decided.
pub(crate) fn handle(shared: &mut Shared, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<AlterClientQuotasRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let entries = |entry: EntryData<'_>| 1 + entry.entity.len() + entry.ops.len();
    if let Err(reason) = call.check_entries(request.entries.iter().map(entries).sum()) {
        return Outcome::Close(reason);
    }
    let mut pending =
        Pending { to: call.to, entries: Vec::with_capacity(request.entries.len()), waiting: BTreeMap::new() };
    let mut times: BTreeMap<QuotaEntity, usize> = BTreeMap::new();
    for entry in request.entries {
        if let Ok(entity) = quota_entity(&parts(&entry)) {
            *times.entry(entity).or_insert(0) += 1;
        }
    }
    for (index, entry) in request.entries.iter().enumerate() {
        let outcome = alter(&mut shared.undecided_quotas, cx, &entry, &times, request.validate_only);
        if let Ok(Some(proposal)) = outcome {
            let other = pending.waiting.insert(proposal, index);
            assert!(other.is_none(), "a proposal is for one entity, and a request names an entity once");
        }
        let part = |(kind, name): (&str, Option<&str>)| (kind.to_string(), name.map(ToString::to_string));
        let parts = parts(&entry).into_iter().map(part).collect();
        pending.entries.push(Altered { parts, outcome: outcome.map(|_| ()) });
    }
    if pending.waiting.is_empty() {
        return pending.answer();
    }
    let proposals = pending.waiting.keys().copied().collect();
    let weight = call.body.remaining() * 2;
    Outcome::Wait(Parked::AlterClientQuotas(pending), Wait { proposals, weight, ..Wait::default() })
}

fn parts<'a>(entry: &EntryData<'a>) -> Vec<(&'a str, Option<&'a str>)> {
    entry.entity.iter().map(|part| (part.entity_type, part.entity_name)).collect()
}

/// What to wait for, if for anything.
fn alter(
    undecided: &mut UndecidedQuotas,
    cx: &mut Context<'_>,
    entry: &EntryData<'_>,
    times: &BTreeMap<QuotaEntity, usize>,
    validate_only: bool,
) -> Result<Option<ProposalId>, Rejection> {
    let entity = quota_entity(&parts(entry))?;
    if times.get(&entity) != Some(&1) {
        return Err(invalid_request("the request names this entity more than once".to_string()));
    }
    let changes: Vec<_> = entry.ops.iter().map(|op| (op.key, (!op.remove).then_some(op.value))).collect();
    let image = cx.metadata.image();
    let changed = undecided.changed.get(&entity);
    let none = BTreeMap::new();
    let before = changed.map_or_else(|| image.quotas().get(&entity).unwrap_or(&none), |(_, limits)| limits);
    let altered = alter_client_quotas(image, &entity, before, &changes)?;
    if validate_only {
        return Ok(None);
    }
    if altered.records.is_empty() {
        // It may be so only because of a change that is not durable yet.
        return Ok(changed.map(|(last, _)| *last));
    }
    let last = cx.metadata.propose(&altered.records)?;
    undecided.proposals.insert(last, entity.clone());
    undecided.changed.insert(entity, (last, altered.limits));
    Ok(Some(last))
}

impl Altered {
    fn entity(&self) -> Vec<EntityResult<'_>> {
        let parts = self.parts.iter();
        parts.map(|(kind, name)| EntityResult { entity_type: kind, entity_name: name.as_deref() }).collect()
    }
}

impl Pending {
    /// A proposal was decided. Returns whether it was the last one.
    pub(crate) fn decided(&mut self, proposal: ProposalId, outcome: &Result<(), Rejection>) -> bool {
        if let Some(index) = self.waiting.remove(&proposal)
            && let Err(rejection) = outcome
        {
            self.entries[index].outcome = Err(rejection.clone());
        }
        self.waiting.is_empty()
    }

    /// Answers with what became of every entity.
    pub(crate) fn answer(self) -> Outcome {
        let entities: Vec<Vec<EntityResult<'_>>> = self.entries.iter().map(Altered::entity).collect();
        let entries: Vec<_> = (self.entries.iter().zip(&entities))
            .map(|(altered, entity)| {
                let refused = altered.outcome.as_ref().err();
                EntryResult {
                    error_code: refused.map_or(ErrorCode::NONE, |rejection| rejection.code),
                    error_message: refused.map(|rejection| rejection.message.as_str()),
                    entity: entity.into(),
                }
            })
            .collect();
        self.to.answer(&AlterClientQuotasResponse { entries: (&entries).into(), ..Default::default() })
    }
}

impl UndecidedQuotas {
    /// A proposal was decided; perhaps it was the last one for what it changes.
    pub(crate) fn decided(&mut self, proposal: ProposalId) {
        let Some(entity) = self.proposals.remove(&proposal) else { return };
        if self.changed.get(&entity).is_some_and(|(last, _)| *last == proposal) {
            self.changed.remove(&entity);
        }
    }
}

#[cfg(test)]
mod tests;
