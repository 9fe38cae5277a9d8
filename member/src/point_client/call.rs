//! One attempt, without any protection.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::{Deserialize, Serialize};
use shared_events::{MemberId, MembershipId};
use tower::{BoxError, Service};

use super::Forfeiture;

/// Puts a forfeiture to point, once.
#[derive(Clone, Debug)]
pub(super) struct Call {
    http: Client,
    base: Url,
}

/// Why one attempt came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    /// No connection was made.
    #[error("point cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// A fault of point or of the connection.
    #[error("point gave no usable answer")]
    Failed(#[source] BoxError),
    /// Point says that the request is wrong. Another attempt would be as well.
    #[error("point refuses the request with {0}")]
    Refused(StatusCode),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    membership_id: MembershipId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    member_id: MemberId,
    remain_point: i64,
}

impl Call {
    /// Half of an attempt's time is for connecting, so that an address where nobody answers is known as such.
    pub(super) fn new(base: Url, attempt_timeout: Duration) -> reqwest::Result<Self> {
        let http = Client::builder()
            .connect_timeout(attempt_timeout / 2)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { http, base })
    }

    fn request(&self, forfeiture: &Forfeiture) -> Result<RequestBuilder, AttemptError> {
        let Forfeiture { member_id, membership_id, provenance, .. } = forfeiture;
        let url = self.base.join(&format!("forfeitures/{member_id}")).map_err(failed)?;
        let request = self
            .http
            .put(url)
            .header("x-actor", &provenance.actor)
            .json(&Request { membership_id: *membership_id });
        Ok(match &provenance.traceparent {
            Some(traceparent) => request.header("traceparent", traceparent),
            None => request,
        })
    }
}

impl Service<Forfeiture> for Call {
    type Response = ();
    type Error = AttemptError;
    type Future = Pin<Box<dyn Future<Output = Result<(), AttemptError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), AttemptError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, forfeiture: Forfeiture) -> Self::Future {
        let request = self.request(&forfeiture);
        Box::pin(async move { attempt(request?, &forfeiture).await })
    }
}

/// Notes that point may have been reached before it may have been, as a timeout can end this at any await.
async fn attempt(request: RequestBuilder, forfeiture: &Forfeiture) -> Result<(), AttemptError> {
    let had_reached = forfeiture.may_have_reached.swap(true, Ordering::AcqRel);
    let was_not_done = || forfeiture.may_have_reached.store(had_reached, Ordering::Release);
    let response = request.send().await.map_err(|error| {
        if error.is_connect() {
            was_not_done();
            AttemptError::Unreachable(error)
        } else {
            failed(error)
        }
    })?;
    match response.status() {
        StatusCode::OK => {}
        status if status.is_client_error() => {
            was_not_done();
            return Err(AttemptError::Refused(status));
        }
        status => return Err(failed(format!("point answered {status}"))),
    }
    let answer: Answer = response.json().await.map_err(failed)?;
    if answer.member_id != forfeiture.member_id || answer.remain_point != 0 {
        return Err(failed("point answered for another account"));
    }
    Ok(())
}

fn failed(error: impl Into<BoxError>) -> AttemptError {
    AttemptError::Failed(error.into())
}
