//! `/points/{memberId}/transactions`: earn and use points at a shop, and look at the history.

use axum::extract;
use axum::response::Response;
use chassis::conditional::Conditions;
use chassis::extract::{Path, Query};
use chassis::hal::{BaseUrl, Collection, Resource};
use chassis::idempotency::{Command as Keyed, Once};
use chassis::wire::Integer;
use chassis::{FieldError, Problem, RequestContext};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use shared_events::MemberId;
use shared_events::time::in_micros;
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::command::{Fields, Mode, TransactionBody, carry_out, request, resource};
use super::error::{account_not_found, transaction_not_found};
use crate::domain::{EntryType, PointChange, TransactionId};
use crate::store::accounts;
use crate::store::history::{self, Filter};
use crate::store::ledger::Remarks;
use crate::usecase::transact::{Command, Request};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewTransaction {
    /// `EARN` or `USE`.
    #[serde(rename = "type")]
    #[schema(example = "EARN", pattern = "^(EARN|USE)$")]
    change_type: String,
    #[schema(value_type = i64, minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 500)]
    amount: Integer,
    /// The shop's receipt: it counts once for each type.
    #[schema(min_length = 1, max_length = 200, example = "R-1")]
    reference: String,
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
    /// When what is earned expires; left out, by the programme's terms.
    expires_at: Option<DateTime<Utc>>,
}

/// Earn or use points at a shop
#[utoipa::path(
    post,
    path = "/points/{memberId}/transactions",
    operation_id = "transact",
    params(("memberId" = MemberId, Path, description = "Whose account"), Mode, Once, Conditions),
    request_body(content = inline(NewTransaction), content_type = "application/json"),
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
    Keyed { body: new, once }: Keyed<NewTransaction>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let amount = fields.amount("/amount", new.amount.0);
    fields.remark("/reference", Some(&new.reference));
    fields.remark("/reason", new.reason.as_deref());
    let change = match new.change_type.as_str() {
        "EARN" => PointChange::Earn(amount),
        "USE" => PointChange::Use(amount),
        _ => {
            fields.wrong("/type", "must be EARN or USE");
            PointChange::Earn(amount)
        }
    };
    if matches!(change, PointChange::Use(_)) && new.expires_at.is_some() {
        fields.wrong("/expiresAt", "only what is earned expires");
    }
    fields.check()?;
    let command = Command::Change(change, new.expires_at.map(in_micros));
    let request = Request {
        remarks: Remarks { reference: Some(new.reference), reason: new.reason },
        is_dry_run: mode.dry_run,
        ..request(&state, &context, member_id, command, once, conditions)
    };
    carry_out(&state, base, request).await
}

/// A transaction
#[utoipa::path(
    get,
    path = "/points/{memberId}/transactions/{transactionId}",
    operation_id = "getTransaction",
    params(("memberId" = MemberId, Path, description = "Whose account"), ("transactionId" = i64, Path, description = "Which transaction")),
    responses((status = 200, description = "The transaction", content_type = "application/hal+json",
               body = TransactionBody))
)]
pub(super) async fn get(
    extract::State(state): extract::State<State>,
    _context: RequestContext,
    base: BaseUrl,
    Path((member_id, transaction_id)): Path<(MemberId, TransactionId)>,
) -> Result<Resource<TransactionBody>, Problem> {
    let mut connection = state.pool.acquire().await?;
    let account = accounts::find_open(&mut connection, member_id).await?.ok_or_else(account_not_found)?;
    let found = history::find(&mut *connection, account.membership_id, transaction_id).await?;
    found.map(|transaction| resource(&base, member_id, transaction)).ok_or_else(transaction_not_found)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// The last transaction of the page before.
    #[param(value_type = Option<i64>, minimum = 1)]
    after: Option<Integer>,
    /// At most so many.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 20)]
    limit: Option<Integer>,
    /// Only of this type.
    #[serde(rename = "type")]
    #[param(pattern = "^(SIGNUP|EARN|EARN_CANCEL|USE|USE_CANCEL|EXPIRE|FORFEIT|ADJUST)$")]
    entry_type: Option<String>,
    /// Only from this time on.
    #[param(value_type = Option<DateTime<Utc>>)]
    from: Option<String>,
    /// Only before this time.
    #[param(value_type = Option<DateTime<Utc>>)]
    to: Option<String>,
}

/// Transactions, newest first
#[utoipa::path(
    get,
    path = "/points/{memberId}/transactions",
    operation_id = "listTransactions",
    params(("memberId" = MemberId, Path, description = "Whose account"), Parameters),
    responses((status = 200, description = "Some transactions", content_type = "application/hal+json",
               body = [TransactionBody]))
)]
pub(super) async fn list(
    extract::State(state): extract::State<State>,
    _context: RequestContext,
    base: BaseUrl,
    Path(member_id): Path<MemberId>,
    Query(parameters): Query<Parameters>,
) -> Result<Collection<TransactionBody>, Problem> {
    let (filter, limit) = parameters.filter()?;
    let mut connection = state.pool.acquire().await?;
    let account = accounts::find_open(&mut connection, member_id).await?.ok_or_else(account_not_found)?;
    let mut found = history::list(&mut *connection, account.membership_id, filter, limit + 1).await?;
    let has_more = i64::try_from(found.len()).is_ok_and(|count| count > limit);
    found.truncate(usize::try_from(limit).unwrap_or(0));
    let last = found.last().and_then(|transaction| transaction.transaction_id);
    let path = format!("/points/{member_id}/transactions{}", query(&filter));
    let joint = if path.contains('?') { '&' } else { '?' };
    let next = last.filter(|_| has_more);
    let next = next.map(|last| base.href(format_args!("{path}{joint}after={last}&limit={limit}")));
    let transactions = found.into_iter().map(|it| resource(&base, member_id, it)).collect();
    Ok(Collection::new("transactions", base.href(format_args!("{path}")), transactions).next(next))
}

impl Parameters {
    fn filter(&self) -> Result<(Filter, i64), Problem> {
        let mut errors = Vec::new();
        let limit = self.limit.map_or(20, i64::from);
        if !(1..=200).contains(&limit) {
            errors.push(FieldError::new("/limit", "must be 1 to 200"));
        }
        let before = self.after.map(i64::from);
        if before.is_some_and(|before| before < 1) {
            errors.push(FieldError::new("/after", "must be the id of a transaction"));
        }
        let entry_type = self.entry_type.as_deref().map(str::parse::<EntryType>).transpose();
        let entry_type = entry_type
            .map_err(|error| errors.push(FieldError::new("/type", error.to_string())))
            .unwrap_or_default();
        let mut time = |pointer, text: &Option<String>| {
            let time = text.as_deref().map(DateTime::parse_from_rfc3339).transpose();
            time.map_err(|_| {
                errors.push(FieldError::new(pointer, "must be a time such as 2026-11-24T12:00:00Z"))
            })
            .unwrap_or_default()
            .map(|time| time.to_utc())
        };
        let (from, to) = (time("/from", &self.from), time("/to", &self.to));
        if !errors.is_empty() {
            return Err(Problem::invalid_request(errors));
        }
        Ok((Filter { before, entry_type, from, to }, limit))
    }
}

/// What a link to the next page repeats.
fn query(filter: &Filter) -> String {
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let given = [
        ("type", filter.entry_type.map(|entry_type| entry_type.as_str().to_owned())),
        ("from", filter.from.map(time)),
        ("to", filter.to.map(time)),
    ];
    let pairs = given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    let query = pairs.collect::<Vec<_>>().join("&");
    if query.is_empty() { query } else { format!("?{query}") }
}
