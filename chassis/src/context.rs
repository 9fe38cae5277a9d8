//! What a use case wants to know about the request that caused it.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::http::RequestState;
use crate::{Principal, Problem, TraceParent};

/// What a use case wants to know about the request that caused it.
///
/// A handler is dropped when the client hangs up or the request timeout is over; the answer then is 503
/// `try-again-later`, which cannot say what became of the request. A handler that can say more hands the work to
/// [`Supervisor::tracker`](crate::Supervisor::tracker), waits for it with a shorter timeout and answers itself.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Who asks.
    pub principal: Principal,
    /// The trace, with this request as the parent of what it causes.
    pub trace_parent: TraceParent,
    /// The request's id: the client's, or a new one.
    pub request_id: String,
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let principal = Principal::from_request_parts(parts, state).await?;
        let request = RequestState::of(parts)?;
        Ok(Self { principal, trace_parent: request.trace_parent, request_id: request.request_id.to_string() })
    }
}
