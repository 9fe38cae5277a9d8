//! `/forfeitures/{memberId}`: closes an account. Internal: only member calls it, before a withdrawal.

use axum::Json as Answer;
use axum::extract;
use chassis::extract::{Json, Path};
use chassis::{Problem, RequestContext};
use serde::{Deserialize, Serialize};
use shared_events::{MemberId, MembershipId};

use super::{State, provenance};
use crate::usecase::forfeit_points::forfeit_points;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Request {
    membership_id: MembershipId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Forfeiture {
    member_id: MemberId,
    forfeited_point: i64,
    remain_point: i64,
}

pub(super) async fn put(
    extract::State(state): extract::State<State>,
    context: RequestContext,
    Path(member_id): Path<MemberId>,
    Json(Request { membership_id }): Json<Request>,
) -> Result<Answer<Forfeiture>, Problem> {
    let now = (state.clock)();
    let forfeited =
        forfeit_points(&state.pool, &state.relay, member_id, membership_id, &provenance(&context), now)
            .await?;
    Ok(Answer(Forfeiture { member_id, forfeited_point: forfeited.get(), remain_point: 0 }))
}
