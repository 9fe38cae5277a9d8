//! `/mypages`: what members see of themselves.

use axum::extract;
use chassis::extract::Path;
use chassis::hal::{BaseUrl, Collection, ListQuery, Resource};
use chassis::{Problem, RequestContext};
use serde::Serialize;
use shared_events::MemberId;

use super::State;
use crate::store::pages::{self, Page};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageBody {
    member_id: i64,
    phone_no: String,
    nickname: String,
    member_status: String,
    remain_point: i64,
}

fn resource(base: &BaseUrl, page: Page) -> Resource<PageBody> {
    let Page { member_id, phone_no, nickname, member_status, remain_point } = page;
    let body = PageBody { member_id, phone_no, nickname, member_status, remain_point };
    Resource::new("mypage", base.href(format_args!("/mypages/{member_id}")), body)
}

pub(super) async fn get(
    extract::State(state): extract::State<State>,
    _context: RequestContext,
    base: BaseUrl,
    Path(member_id): Path<MemberId>,
) -> Result<Resource<PageBody>, Problem> {
    let page = pages::find(&state.pool, member_id).await?;
    page.map(|page| resource(&base, page))
        .ok_or_else(|| Problem::not_found("page-not-found", "There is no page of this member."))
}

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
        (page.member_id, resource(&base, page))
    }))
}
