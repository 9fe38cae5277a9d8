//! What the commands of a shop and an operator have in common: their fields, and the transaction they answer with.

use axum::response::{IntoResponse, Response};
use chassis::conditional::Conditions;
use chassis::hal::{BaseUrl, Resource};
use chassis::idempotency::{self, Once};
use chassis::{FieldError, Problem, RequestContext};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared_events::MemberId;
use utoipa::{IntoParams, ToSchema};

use super::error::not_transacted;
use super::{State, provenance};
use crate::domain::{LotId, Points, TransactionId};
use crate::store::history::{Movement, Transaction};
use crate::store::ledger::Remarks;
use crate::usecase::transact::{Command, Done, Performed, Request, TransactError};

/// Longest receipt and reason, in characters.
const LONGEST_REMARK: usize = 200;

/// `?dryRun=true`: only tell what would happen.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct Mode {
    /// Only tell what would happen.
    #[serde(default)]
    pub(super) dry_run: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "transactionId": 7, "memberId": 1, "type": "EARN", "amount": 500, "remainPoint": 1_500, "reference": "R-1", "reason": null, "refersTo": null, "actor": "operator", "occurredAt": "2026-11-24T12:00:00Z", "lots": [{ "lotId": 3, "points": 500, "expiresAt": "2031-11-30T15:00:00Z" }] }))]
#[serde(rename_all = "camelCase")]
pub(super) struct TransactionBody {
    /// `null` where nothing was written.
    #[schema(value_type = Option<i64>)]
    transaction_id: Option<TransactionId>,
    member_id: MemberId,
    #[serde(rename = "type")]
    entry_type: &'static str,
    amount: i64,
    remain_point: i64,
    reference: Option<String>,
    reason: Option<String>,
    #[schema(value_type = Option<i64>)]
    refers_to: Option<TransactionId>,
    actor: String,
    occurred_at: DateTime<Utc>,
    lots: Vec<LotBody>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LotBody {
    /// `null` for a new lot where nothing was written.
    #[schema(value_type = Option<i64>)]
    lot_id: Option<LotId>,
    points: i64,
    expires_at: DateTime<Utc>,
}

pub(super) fn resource(
    base: &BaseUrl,
    member_id: MemberId,
    transaction: Transaction,
) -> Resource<TransactionBody> {
    let lot = |Movement { lot_id, points, expires_at }| LotBody { lot_id, points, expires_at };
    let body = TransactionBody {
        transaction_id: transaction.transaction_id,
        member_id,
        entry_type: transaction.entry_type.as_str(),
        amount: transaction.amount,
        remain_point: transaction.balance_after,
        reference: transaction.reference,
        reason: transaction.reason,
        refers_to: transaction.refers_to,
        actor: transaction.actor,
        occurred_at: transaction.occurred_at,
        lots: transaction.lots.into_iter().map(lot).collect(),
    };
    let href = match transaction.transaction_id {
        Some(id) => base.href(format_args!("/points/{member_id}/transactions/{id}")),
        None => base.href(format_args!("/points/{member_id}/transactions")),
    };
    Resource::new("transaction", href, body)
}

/// A command as it comes: nothing is said about it, and it is meant.
pub(super) fn request(
    state: &State,
    context: &RequestContext,
    member_id: MemberId,
    command: Command,
    once: Once,
    conditions: Conditions,
) -> Request {
    Request {
        member_id,
        command,
        remarks: Remarks::default(),
        is_dry_run: false,
        once,
        conditions,
        provenance: provenance(context),
        now: (state.clock)(),
    }
}

/// Carries out a command: 201 and the transaction, or 200 and what it would be.
pub(super) async fn carry_out(state: &State, base: BaseUrl, request: Request) -> Result<Response, Problem> {
    let Request { member_id, is_dry_run, .. } = request;
    let resource = move |done: &Done| {
        let resource = resource(&base, member_id, done.transaction.clone());
        if is_dry_run { resource } else { resource.created() }
    };
    answer(state, request, resource, not_transacted).await
}

/// Carries out a command and answers with a resource made of what was done, or as was answered before.
pub(super) async fn answer<T: Serialize>(
    state: &State,
    request: Request,
    resource: impl Fn(&Done) -> Resource<T> + Clone + Send + Sync + 'static,
    problem: impl Fn(&TransactError) -> Problem + Clone + Send + Sync + 'static,
) -> Result<Response, Problem> {
    let (resource_again, problem_again) = (resource.clone(), problem.clone());
    let record = move |decided: Result<&Done, &TransactError>| match decided {
        Ok(done) => Some(resource_again(done).record()),
        Err(refused) => problem_again(refused).record(),
    };
    match state.transactor.transact(request, record).await {
        Ok(Performed::Now(done)) => Ok(resource(&done).into_response()),
        Ok(Performed::Before(text)) => idempotency::replay(&text),
        Err(error) => Err(problem(&error)),
    }
}

/// Collects what is wrong with the fields of a body.
#[derive(Default)]
pub(super) struct Fields(Vec<FieldError>);

impl Fields {
    /// Notes that a field is wrong.
    pub(super) fn wrong(&mut self, pointer: &str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    /// A receipt or a reason: 1 to 200 characters, none of them a control character.
    pub(super) fn remark(&mut self, pointer: &str, text: Option<&str>) {
        let Some(text) = text else { return };
        let length = text.chars().count();
        if text.trim().is_empty() || length > LONGEST_REMARK || text.chars().any(char::is_control) {
            self.wrong(
                pointer,
                format!("must have 1 to {LONGEST_REMARK} characters, and no control characters"),
            );
        }
    }

    /// A number of points, > 0.
    pub(super) fn amount(&mut self, pointer: &str, amount: i64) -> Points {
        match Points::try_from(amount) {
            Ok(points) if points > Points::ZERO => points,
            _ => {
                self.wrong(pointer, format!("must be an integer from 1 to {}", Points::MAX));
                Points::ZERO
            }
        }
    }

    /// Ends the collection.
    pub(super) fn check(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::invalid_request(self.0)) }
    }
}
