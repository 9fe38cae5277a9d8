//! `/points/{memberId}/transactions/{transactionId}/cancellation`: cancels an earning or a use, all or in part.

use axum::extract;
use axum::response::Response;
use chassis::conditional::Conditions;
use chassis::extract::{Path, Query};
use chassis::hal::BaseUrl;
use chassis::idempotency::{Command as Keyed, Once};
use chassis::wire::Integer;
use chassis::{Problem, RequestContext};
use serde::Deserialize;
use shared_events::MemberId;
use utoipa::ToSchema;

use super::State;
use super::command::{Fields, Mode, TransactionBody, carry_out, request};
use crate::domain::TransactionId;
use crate::store::ledger::Remarks;
use crate::usecase::transact::{Command, Request};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancellation {
    /// Left out, all that is left to cancel.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    amount: Option<Integer>,
    #[schema(min_length = 1, max_length = 200, example = "returned")]
    reason: String,
}

/// Cancel an earning or a use, all or in part
#[utoipa::path(
    post,
    path = "/points/{memberId}/transactions/{transactionId}/cancellation",
    operation_id = "cancel",
    params(("memberId" = MemberId, Path, description = "Whose account"), ("transactionId" = i64, Path, description = "Which transaction"), Mode, Once, Conditions),
    request_body(content = inline(Cancellation), content_type = "application/json"),
    responses(
        (status = 201, description = "What was written", content_type = "application/hal+json",
         body = TransactionBody,
         headers(("Location" = String, description = "The transaction"), ("Idempotency-Hit" = String, description = "`true` where this is what was answered before; a refusal that was has it too"))),
        (status = 200, description = "What would be written", content_type = "application/hal+json",
         body = TransactionBody),
    )
)]
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
    let request = Request {
        remarks: Remarks { reference: None, reason: Some(reason) },
        is_dry_run: mode.dry_run,
        ..request(&state, &context, member_id, command, once, conditions)
    };
    carry_out(&state, base, request).await
}
