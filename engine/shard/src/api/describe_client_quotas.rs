//! DescribeClientQuotas: the limits of clients (KIP-546), of those entities that a filter means. The rules are the
//! controller's.

use alloc::vec::Vec;

use corelog_replication::controller::{QuotaFilter, QuotaMatch, Rejection, quota_entity_parts};
use corelog_wire::api::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse, EntityData, EntryData, MATCH_ANY,
    MATCH_DEFAULT, MATCH_EXACT, ValueData,
};
use corelog_wire::error_code::ErrorCode;

use super::describe_configs::invalid_request;
use super::{Call, Outcome};
use crate::front::Context;

/// Answers at once.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<DescribeClientQuotasRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.components.len()) {
        return Outcome::Close(reason);
    }
    let filter = match filter(&request) {
        Ok(filter) => filter,
        Err(rejection) => {
            return call.to.answer(&DescribeClientQuotasResponse {
                error_code: rejection.code,
                error_message: Some(&rejection.message),
                entries: None,
                ..Default::default()
            });
        }
    };
    let found = cx.metadata.image().quotas().iter().filter(|(entity, _)| filter.matches(entity));
    let rows: Vec<(Vec<EntityData<'_>>, Vec<ValueData<'_>>)> = found
        .map(|(entity, limits)| {
            let part = |(entity_type, entity_name)| EntityData { entity_type, entity_name };
            let values = limits.iter().map(|(key, limit)| ValueData { key, value: limit.value() });
            (quota_entity_parts(entity).map(part).collect(), values.collect())
        })
        .collect();
    let entries: Vec<_> =
        rows.iter().map(|(entity, values)| EntryData { entity: entity.into(), values: values.into() }).collect();
    call.to.answer(&DescribeClientQuotasResponse {
        error_code: ErrorCode::NONE,
        error_message: None,
        entries: Some((&entries).into()),
        ..Default::default()
    })
}

fn filter<'a>(request: &DescribeClientQuotasRequest<'a>) -> Result<QuotaFilter<'a>, Rejection> {
    let component = |component: ComponentData<'a>| {
        let wanted = match (component.match_type, component._match) {
            (MATCH_EXACT, Some(name)) => QuotaMatch::Name(Some(name)),
            (MATCH_EXACT, None) => return Err(invalid_request("an exact component needs a name".into())),
            (MATCH_DEFAULT, None) => QuotaMatch::Name(None),
            (MATCH_ANY, None) => QuotaMatch::Any,
            (MATCH_DEFAULT | MATCH_ANY, Some(_)) => {
                return Err(invalid_request("only an exact component has a name".into()));
            }
            (other, _) => return Err(invalid_request(alloc::format!("there is no match of type {other}"))),
        };
        Ok((component.entity_type, wanted))
    };
    let components = request.components.iter().map(component).collect::<Result<Vec<_>, _>>()?;
    QuotaFilter::new(components, request.strict)
}
