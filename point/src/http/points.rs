//! `/points/{memberId}`: a member's balance.

use axum::extract;
use axum::response::Response;
use chassis::conditional::Conditions;
use chassis::extract::Path;
use chassis::hal::{BaseUrl, Resource};
use chassis::idempotency::{Command as Keyed, Once};
use chassis::wire::Integer;
use chassis::{FieldError, Problem, RequestContext};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared_events::MemberId;
use shared_events::event::MemberStatus;
use utoipa::ToSchema;

use super::State;
use super::command::{answer, request};
use super::error::{account_not_found, not_patched};
use crate::domain::{Account, PointChange};
use crate::usecase::transact::{Command, Done, EXPIRING_SOON, etag};

#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "memberId": 1, "memberStatus": "NORMAL", "remainPoint": 1_500, "requirePoint": 500 }))]
#[serde(rename_all = "camelCase")]
pub(super) struct Point {
    member_id: MemberId,
    member_status: Option<MemberStatus>,
    /// The balance.
    #[schema(minimum = 0)]
    remain_point: i64,
    /// What was asked for; `null` where nothing was.
    require_point: Option<i64>,
}

#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "memberId": 1, "memberStatus": "NORMAL", "remainPoint": 1_500, "requirePoint": null, "expirations": [{ "points": 1_500, "expiresAt": "2031-11-30T15:00:00Z" }], "expiringSoon": 0 }))]
#[serde(rename_all = "camelCase")]
pub(super) struct Balance {
    #[serde(flatten)]
    point: Point,
    /// Soonest first.
    expirations: Vec<Expiration>,
    /// How many points expire within 30 days.
    expiring_soon: i64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Expiration {
    points: i64,
    expires_at: DateTime<Utc>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Patch {
    /// Positive earns, negative uses.
    #[schema(value_type = i64, example = 500)]
    require_point: Integer,
}

/// The balance, and what of it expires when
#[utoipa::path(
    get,
    path = "/points/{memberId}",
    operation_id = "getPoint",
    params(
        ("memberId" = MemberId, Path, description = "Whose account"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of the state that the client has"),
        ("If-Match" = Option<String>, Header, description = "ETag of the state that the client relies on"),
    ),
    responses(
        (status = 200, description = "The balance", content_type = "application/hal+json",
         body = Balance, headers(("ETag" = String, description = "Names this state of the account"))),
        (status = 304, description = "The client has the balance as it is", headers(("ETag" = String, description = "Names this state of the account"))),
    )
)]
pub(super) async fn get(
    extract::State(state): extract::State<State>,
    _context: RequestContext,
    base: BaseUrl,
    conditions: Conditions,
    Path(member_id): Path<MemberId>,
) -> Result<Response, Problem> {
    let now = (state.clock)();
    let account = state.accounts.find(member_id).await?.ok_or_else(account_not_found)?;
    let point = Point {
        member_id,
        member_status: account.member_status(),
        remain_point: account.usable(now),
        require_point: None,
    };
    let expiring_soon = account.expiring(now, EXPIRING_SOON);
    let balance = Balance { point, expirations: expirations(&account, now), expiring_soon };
    let resource = Resource::new("point", base.href(format_args!("/points/{member_id}")), balance);
    Ok(conditions.answer(&etag(&account, now), resource))
}

fn expirations(account: &Account, now: DateTime<Utc>) -> Vec<Expiration> {
    let mut expirations: Vec<Expiration> = Vec::new();
    for lot in account.lots.iter().filter(|lot| lot.is_valid(now)) {
        match expirations.last_mut().filter(|last| last.expires_at == lot.expires_at) {
            Some(last) => last.points += lot.remaining.get(),
            None => expirations.push(Expiration { points: lot.remaining.get(), expires_at: lot.expires_at }),
        }
    }
    expirations
}

/// Earn or use points
#[utoipa::path(
    patch,
    path = "/points/{memberId}",
    operation_id = "changePoint",
    params(("memberId" = MemberId, Path, description = "Whose account"), Once, Conditions),
    request_body(content = inline(Patch), content_type = "application/json"),
    responses((status = 200, description = "The balance after it", content_type = "application/hal+json",
               body = Point, headers(("Idempotency-Hit" = String, description = "`true` where this is what was answered before; a refusal that was has it too"))))
)]
pub(super) async fn patch(
    extract::State(state): extract::State<State>,
    context: RequestContext,
    base: BaseUrl,
    conditions: Conditions,
    Path(member_id): Path<MemberId>,
    Keyed { body: Patch { require_point }, once }: Keyed<Patch>,
) -> Result<Response, Problem> {
    let change = PointChange::from_require_point(require_point.0).map_err(|error| {
        Problem::invalid_request(vec![FieldError::new("/requirePoint", error.to_string())])
            .with_member("requirePoint", require_point)
    })?;
    let request = request(&state, &context, member_id, Command::Change(change, None), once, conditions);
    let resource = move |done: &Done| {
        let Done { member_status, ref transaction } = *done;
        let (remain_point, require_point) = (transaction.balance_after, Some(require_point.0));
        let body = Point { member_id, member_status, remain_point, require_point };
        Resource::new("point", base.href(format_args!("/points/{member_id}")), body)
    };
    answer(&state, request, resource, move |error| not_patched(error, change)).await
}
