//! `/points/{memberId}/adjustments`: an operator puts a balance right.

use axum::extract;
use chassis::extract::{Json, Path, Query};
use chassis::hal::{BaseUrl, Resource};
use chassis::wire::Integer;
use chassis::{Problem, RequestContext};
use serde::Deserialize;
use shared_events::MemberId;

use super::State;
use super::command::{Fields, Mode, TransactionBody, because, carry_out};
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
    Path(member_id): Path<MemberId>,
    Query(mode): Query<Mode>,
    Json(Adjustment { amount, reason }): Json<Adjustment>,
) -> Result<Resource<TransactionBody>, Problem> {
    context.principal.require_operator()?;
    let mut fields = Fields::default();
    fields.remark("/reason", Some(&reason));
    let change = PointChange::from_require_point(amount.0);
    if let Err(error) = change {
        fields.wrong("/amount", error.to_string());
    }
    fields.check()?;
    let command = Command::Adjust(change.map_err(|_| Problem::invalid_request(Vec::new()))?);
    carry_out(&state, &context, &base, because(member_id, command, &reason, mode.dry_run)).await
}
