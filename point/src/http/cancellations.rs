//! `/points/{memberId}/transactions/{transactionId}/cancellation`: cancels an earning or a use, all or in part.

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
    conditions: Conditions,
    Path((member_id, transaction_id)): Path<(MemberId, TransactionId)>,
    Query(mode): Query<Mode>,
    Keyed { body: Cancellation { amount, reason }, once }: Keyed<Cancellation>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let amount = amount.map(|Integer(amount)| fields.amount("/amount", amount));
    fields.remark("/reason", Some(&reason));
    fields.check()?;
    let command = Command::Cancel(transaction_id, amount);
    carry_out(&state, &context, &base, because(member_id, command, &reason, mode.dry_run, &once, &conditions))
        .await
}
