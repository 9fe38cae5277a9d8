//! `/points/{memberId}`: a member's balance.

use axum::extract;
use chassis::extract::{Json, Path};
use chassis::hal::{BaseUrl, Resource};
use chassis::wire::Integer;
use chassis::{FieldError, Problem, RequestContext};
use serde::{Deserialize, Serialize};
use shared_events::MemberId;
use shared_events::event::MemberStatus;

use super::error::account_not_found;
use super::{State, provenance};
use crate::domain::{Account, AccountState, PointChange};
use crate::store::accounts;
use crate::usecase::change_points::change_points;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Point {
    member_id: MemberId,
    member_status: Option<MemberStatus>,
    remain_point: i64,
    require_point: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Patch {
    require_point: Integer,
}

fn resource(base: &BaseUrl, account: &Account, require_point: Option<i64>) -> Resource<Point> {
    let member_id = account.member_id;
    let body = Point {
        member_id,
        member_status: member_status(account),
        remain_point: account.balance.get(),
        require_point,
    };
    Resource::new("point", base.href(format_args!("/points/{member_id}")), body)
}

pub(super) fn member_status(account: &Account) -> Option<MemberStatus> {
    match account.state {
        AccountState::Open { member_status, .. } => Some(member_status),
        AccountState::Closed { .. } => None,
    }
}

pub(super) async fn get(
    extract::State(state): extract::State<State>,
    _context: RequestContext,
    base: BaseUrl,
    Path(member_id): Path<MemberId>,
) -> Result<Resource<Point>, Problem> {
    let mut connection = state.pool.acquire().await?;
    let account = accounts::find_open(&mut connection, member_id).await?;
    account.map(|account| resource(&base, &account, None)).ok_or_else(account_not_found)
}

pub(super) async fn patch(
    extract::State(state): extract::State<State>,
    context: RequestContext,
    base: BaseUrl,
    Path(member_id): Path<MemberId>,
    Json(Patch { require_point }): Json<Patch>,
) -> Result<Resource<Point>, Problem> {
    let change = PointChange::from_require_point(require_point.0).map_err(|error| {
        Problem::invalid_request(vec![FieldError::new("/requirePoint", error.to_string())])
            .with_member("requirePoint", require_point)
    })?;
    let now = (state.clock)();
    let account = change_points(&state.pool, &state.relay, member_id, change, &provenance(&context), now)
        .await
        .map_err(|error| super::error::change_refused(error, change))?;
    Ok(resource(&base, &account, Some(require_point.0)))
}
