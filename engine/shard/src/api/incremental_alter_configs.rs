//! IncrementalAlterConfigs: single settings of topics and brokers. What is the same for AlterConfigs is in
//! [`super::config_changes`].

use alloc::format;
use alloc::vec::Vec;

use corelog_replication::controller::{ConfigChange, ConfigOperation, Rejection};
use corelog_wire::api::incremental_alter_configs::{
    APPEND_OPERATION, AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, DELETE_OPERATION,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, SET_OPERATION, SUBTRACT_OPERATION,
};

use super::config_changes::{self, Altered, Resource};
use super::describe_configs::invalid_request;
use super::{Call, Outcome, ReplyTo};
use crate::front::{Context, Shared};

/// Proposes what is right, and answers when it is decided.
pub(crate) fn handle(shared: &mut Shared, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<IncrementalAlterConfigsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let entries = |resource: AlterConfigsResource<'_>| 1 + resource.configs.len();
    if let Err(reason) = call.check_entries(request.resources.iter().map(entries).sum()) {
        return Outcome::Close(reason);
    }
    let resources = request.resources.iter().map(resource).collect();
    config_changes::alter(shared, cx, call.to, resources, request.validate_only)
}

fn resource<'a>(resource: AlterConfigsResource<'a>) -> Resource<'a> {
    Resource { kind: resource.resource_type, name: resource.resource_name, change: change(&resource) }
}

fn change<'a>(resource: &AlterConfigsResource<'a>) -> Result<ConfigChange<'a>, Rejection> {
    let is_null = |config: &AlterableConfig<'_>| config.value.is_none() && config.config_operation != DELETE_OPERATION;
    config_changes::null_values(resource.configs.iter().filter(is_null).map(|config| config.name))?;
    let operation = |config: AlterableConfig<'a>| {
        let value = config.value.unwrap_or_default();
        let operation = match config.config_operation {
            SET_OPERATION => ConfigOperation::Set(value),
            DELETE_OPERATION => ConfigOperation::Delete,
            APPEND_OPERATION => ConfigOperation::Append(value),
            SUBTRACT_OPERATION => ConfigOperation::Subtract(value),
            other => return Err(invalid_request(format!("there is no operation {other}"))),
        };
        Ok((config.name, operation))
    };
    Ok(ConfigChange::Incremental(resource.configs.iter().map(operation).collect::<Result<Vec<_>, _>>()?))
}

/// What became of every resource.
pub(super) fn answer(to: &ReplyTo, resources: &[Altered]) -> Outcome {
    let responses: Vec<_> = resources
        .iter()
        .map(|resource| AlterConfigsResourceResponse {
            error_code: resource.error_code(),
            error_message: resource.error_message(),
            resource_type: resource.kind,
            resource_name: &resource.name,
        })
        .collect();
    to.answer(&IncrementalAlterConfigsResponse { responses: (&responses).into(), ..Default::default() })
}

#[cfg(test)]
mod tests;
