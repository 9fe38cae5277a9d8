//! `/points/{memberId}/transactions/{transactionId}/cancellation`: cancels an earning or a use, all or in part.

use axum::extract;
use chassis::extract::{Json, Path, Query};
use chassis::hal::{BaseUrl, Resource};
use chassis::wire::Integer;
use chassis::{Problem, RequestContext};
use serde::Deserialize;
use shared_events::MemberId;

use super::State;
use super::command::{Fields, Mode, TransactionBody, because, carry_out};
use crate::domain::TransactionId;
use crate::usecase::transact::Command;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancellation {
    amount: Option<Integer>,
    reason: String,
}

pub(super) async fn post(
    extract::State(state): extract::State<State>,
    context: RequestContext,
    base: BaseUrl,
    Path((member_id, transaction_id)): Path<(MemberId, TransactionId)>,
    Query(mode): Query<Mode>,
    Json(Cancellation { amount, reason }): Json<Cancellation>,
) -> Result<Resource<TransactionBody>, Problem> {
    let mut fields = Fields::default();
    let amount = amount.map(|Integer(amount)| fields.amount("/amount", amount));
    fields.remark("/reason", Some(&reason));
    fields.check()?;
    let command = Command::Cancel(transaction_id, amount);
    carry_out(&state, &context, &base, because(member_id, command, &reason, mode.dry_run)).await
}
