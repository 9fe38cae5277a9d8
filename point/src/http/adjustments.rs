//! `/points/{memberId}/adjustments`: an operator puts a balance right.

use axum::extract;
use axum::response::Response;
use chassis::conditional::Conditions;
use chassis::extract::{Path, Query};
use chassis::hal::BaseUrl;
use chassis::idempotency::Command as Keyed;
use chassis::wire::Integer;
use chassis::{Problem, RequestContext};
use serde::Deserialize;
use shared_events::MemberId;

use super::State;
use super::command::{Fields, Mode, because, carry_out};
use crate::domain::PointChange;
use crate::usecase::transact::Command;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Adjustment {
    amount: Integer,
    reason: String,
}

pub(super) async fn post(
    extract::State(state): extract::State<State>,
    context: RequestContext,
    base: BaseUrl,
    conditions: Conditions,
    Path(member_id): Path<MemberId>,
    Query(mode): Query<Mode>,
    Keyed { body: Adjustment { amount, reason }, once }: Keyed<Adjustment>,
) -> Result<Response, Problem> {
    context.principal.require_operator()?;
    let mut fields = Fields::default();
    fields.remark("/reason", Some(&reason));
    let change = PointChange::from_require_point(amount.0);
    if let Err(error) = change {
        fields.wrong("/amount", error.to_string());
    }
    fields.check()?;
    let command = Command::Adjust(change.map_err(|_| Problem::invalid_request(Vec::new()))?);
    carry_out(&state, &context, &base, because(member_id, command, &reason, mode.dry_run, &once, &conditions))
        .await
}
