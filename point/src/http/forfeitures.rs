//! `/forfeitures/{memberId}`: closes an account. Internal: only member calls it, before a withdrawal.

use std::convert::Infallible;

use axum::Json as Answer;
use axum::extract::{self, FromRequestParts};
use axum::http::request::Parts;
use chassis::extract::{Json, Path};
use chassis::{Problem, RequestContext};
use serde::{Deserialize, Serialize};
use shared_events::{MemberId, MembershipId, Provenance};

use super::{State, provenance};
use crate::usecase::forfeit_points;

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

/// Who asked member for the withdrawal, as its header `x-actor` says. Believed on the internal listener only, where
/// none but services ask; what no service would send is ignored.
pub(super) struct ForwardedActor(Option<String>);

impl ForwardedActor {
    const HEADER: &str = "x-actor";
    const MAX_LENGTH: usize = 128;
}

impl<S: Sync> FromRequestParts<S> for ForwardedActor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let actor = parts.headers.get(Self::HEADER).and_then(|value| value.to_str().ok());
        let is_plausible = |actor: &&str| {
            (1..=Self::MAX_LENGTH).contains(&actor.len()) && actor.bytes().all(|byte| byte.is_ascii_graphic())
        };
        Ok(Self(actor.filter(is_plausible).map(str::to_owned)))
    }
}

pub(super) async fn put(
    extract::State(state): extract::State<State>,
    context: RequestContext,
    ForwardedActor(actor): ForwardedActor,
    Path(member_id): Path<MemberId>,
    Json(Request { membership_id }): Json<Request>,
) -> Result<Answer<Forfeiture>, Problem> {
    if let Some(delay) = state.forfeit_delay {
        delay.pass().await;
    }
    let now = (state.clock)();
    let own = provenance(&context);
    let provenance = Provenance { actor: actor.unwrap_or(own.actor), ..own };
    let request = forfeit_points::Request { member_id, membership_id, provenance, now };
    let forfeited = state.forfeiter.forfeit(request).await?;
    Ok(Answer(Forfeiture { member_id, forfeited_point: forfeited.get(), remain_point: 0 }))
}
