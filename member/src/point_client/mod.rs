//! The only synchronous call between services: forfeit the points before a withdrawal.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};
use shared_events::{MemberId, MembershipId, Provenance};

/// Calls point's internal listener.
#[derive(Clone, Debug)]
pub struct PointClient {
    http: Client,
    base: Url,
}

/// Why a forfeiture is not known to have happened.
#[derive(Debug, thiserror::Error)]
pub enum ForfeitError {
    /// Point was not reached, so the account is unchanged.
    #[error("point was not reached")]
    NotReached(#[source] Box<dyn Error + Send + Sync>),
    /// Point was reached and did not answer in time, or not with what was agreed: it may have happened.
    #[error("point gave no usable answer")]
    Unknown(#[source] Box<dyn Error + Send + Sync>),
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

impl PointClient {
    /// A client of the point service at `base`, with a limit on the whole call.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(base: Url, timeout: Duration) -> reqwest::Result<Self> {
        let http = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .tcp_nodelay(true)
            .no_proxy()
            .build()?;
        Ok(Self { http, base })
    }

    /// Forfeits what a membership has left and closes its account, in the name of who asked. Idempotent.
    ///
    /// # Errors
    /// [`ForfeitError`]
    pub async fn forfeit(
        &self,
        member_id: MemberId,
        membership_id: MembershipId,
        provenance: &Provenance,
    ) -> Result<(), ForfeitError> {
        let url =
            self.base.join(&format!("forfeitures/{member_id}")).map_err(|error| not_reached(error.into()))?;
        let mut request =
            self.http.put(url).header("x-actor", &provenance.actor).json(&Request { membership_id });
        if let Some(traceparent) = &provenance.traceparent {
            request = request.header("traceparent", traceparent);
        }
        let response = request.send().await.map_err(|error| {
            if error.is_connect() { not_reached(error.into()) } else { unknown(error.into()) }
        })?;
        if response.status() != StatusCode::OK {
            return Err(unknown(format!("point answered {}", response.status()).into()));
        }
        let answer: Answer = response.json().await.map_err(|error| unknown(error.into()))?;
        if answer.member_id != member_id || answer.remain_point != 0 {
            return Err(unknown("point answered for another account".into()));
        }
        Ok(())
    }
}

fn not_reached(error: Box<dyn Error + Send + Sync>) -> ForfeitError {
    ForfeitError::NotReached(error)
}

fn unknown(error: Box<dyn Error + Send + Sync>) -> ForfeitError {
    ForfeitError::Unknown(error)
}
