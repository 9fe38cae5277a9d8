//! `/points/{memberId}/adjustments`: an operator puts a balance right.

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
use crate::domain::PointChange;
use crate::store::ledger::Remarks;
use crate::usecase::transact::{Command, Request};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Adjustment {
    /// Positive makes a lot, negative burns.
    #[schema(value_type = i64, example = -100)]
    amount: Integer,
    #[schema(min_length = 1, max_length = 200, example = "goodwill")]
    reason: String,
}

/// Put a balance right (operators)
#[utoipa::path(
    post,
    path = "/points/{memberId}/adjustments",
    operation_id = "adjust",
    params(("memberId" = MemberId, Path, description = "Whose account"), Mode, Once, Conditions),
    request_body(content = inline(Adjustment), content_type = "application/json"),
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
    let request = Request {
        remarks: Remarks { reference: None, reason: Some(reason) },
        is_dry_run: mode.dry_run,
        ..request(&state, &context, member_id, command, once, conditions)
    };
    carry_out(&state, base, request).await
}
