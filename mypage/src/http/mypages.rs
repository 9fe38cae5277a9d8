//! `/mypages`: what members see of themselves.

use axum::extract;
use axum::response::Response;
use chassis::conditional::{Conditions, ETag};
use chassis::extract::Path;
use chassis::hal::{BaseUrl, Collection, ListQuery, Resource};
use chassis::{Problem, RequestContext};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared_events::MemberId;
use shared_events::event::MemberStatus;
use utoipa::ToSchema;

use super::State;
use crate::domain::Transaction;
use crate::store::pages::{self, Page};

#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "memberId": 1, "phoneNo": "01012345678", "nickname": "kim", "memberStatus": "NORMAL", "remainPoint": 1_500, "nextExpiration": { "points": 1_500, "expiresAt": "2031-11-30T15:00:00Z" } }))]
#[serde(rename_all = "camelCase")]
pub(super) struct PageBody {
    #[schema(value_type = MemberId)]
    member_id: i64,
    /// In digits.
    phone_no: String,
    nickname: String,
    #[schema(value_type = MemberStatus)]
    member_status: String,
    #[schema(minimum = 0)]
    remain_point: i64,
    /// What expires next, if anything does.
    next_expiration: Option<Expiration>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Expiration {
    points: i64,
    expires_at: DateTime<Utc>,
}

/// A page with the latest transactions, newest first.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "memberId": 1, "phoneNo": "01012345678", "nickname": "kim", "memberStatus": "NORMAL", "remainPoint": 1_500, "nextExpiration": { "points": 1_500, "expiresAt": "2031-11-30T15:00:00Z" }, "transactions": [{ "transactionId": 7, "type": "EARN", "amount": 500, "remainPoint": 1_500, "reference": "R-1", "occurredAt": "2026-11-24T12:00:00Z" }] }))]
pub(super) struct FullPage {
    #[serde(flatten)]
    page: PageBody,
    transactions: Vec<TransactionBody>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TransactionBody {
    transaction_id: i64,
    #[serde(rename = "type")]
    entry_type: String,
    amount: i64,
    remain_point: i64,
    reference: Option<String>,
    occurred_at: DateTime<Utc>,
}

impl From<Page> for PageBody {
    fn from(page: Page) -> Self {
        let next = page.next_expiration_points.zip(page.next_expires_at);
        Self {
            member_id: page.member_id,
            phone_no: page.phone_no,
            nickname: page.nickname,
            member_status: page.member_status,
            remain_point: page.remain_point,
            next_expiration: next.map(|(points, expires_at)| Expiration { points, expires_at }),
        }
    }
}

impl From<Transaction> for TransactionBody {
    fn from(transaction: Transaction) -> Self {
        let Transaction { transaction_id, entry_type, amount, remain_point, reference, occurred_at } =
            transaction;
        Self { transaction_id, entry_type, amount, remain_point, reference, occurred_at }
    }
}

pub(super) fn page_not_found() -> Problem {
    Problem::not_found("page-not-found", "There is no page of this member.")
}

fn href(base: &BaseUrl, member_id: i64) -> String {
    base.href(format_args!("/mypages/{member_id}"))
}

/// A member's page
#[utoipa::path(
    get,
    path = "/mypages/{memberId}",
    operation_id = "getMypage",
    params(
        ("memberId" = MemberId, Path, description = "Whose page"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of the page that the client has"),
        ("If-Match" = Option<String>, Header, description = "ETag of the page that the client relies on"),
    ),
    responses(
        (status = 200, description = "The page", content_type = "application/hal+json",
         body = FullPage, headers(("ETag" = String, description = "Names this state of the page"))),
        (status = 304, description = "The client has the page as it is",
         headers(("ETag" = String, description = "Names this state of the page"))),
    )
)]
pub(super) async fn get(
    extract::State(state): extract::State<State>,
    _context: RequestContext,
    base: BaseUrl,
    conditions: Conditions,
    Path(member_id): Path<MemberId>,
) -> Result<Response, Problem> {
    let (page, latest) = state.pages.find(member_id).await?.ok_or_else(page_not_found)?;
    let transactions = latest.into_iter().map(TransactionBody::from).collect();
    let body = FullPage { page: page.into(), transactions };
    let etag = ETag::of(&body);
    Ok(conditions.answer(&etag, Resource::new("mypage", href(&base, member_id.get()), body)))
}

/// Pages by ascending memberId
#[utoipa::path(
    get,
    path = "/mypages",
    operation_id = "listMypages",
    params(ListQuery),
    responses((status = 200, description = "Some pages", content_type = "application/hal+json",
               body = [PageBody]))
)]
pub(super) async fn list(
    extract::State(state): extract::State<State>,
    _context: RequestContext,
    base: BaseUrl,
    query: ListQuery,
) -> Result<Collection<PageBody>, Problem> {
    let window = query.window();
    let found = pages::list(&state.pool, window.after, window.offset, window.limit).await?;
    let total = if query.wants_total() { pages::count(&state.pool).await? } else { 0 };
    Ok(query.collection(&base, "/mypages", "mypages", found, total, |page| {
        (page.member_id, Resource::new("mypage", href(&base, page.member_id), page.into()))
    }))
}
