//! The only synchronous call between services: forfeit the points before a withdrawal. Whatever becomes of point, the
//! call ends in time and takes nothing from the rest of this service.

mod call;
mod error;
mod observe;
mod protection;
mod retry;
mod settings;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use reqwest::Url;
use shared_events::{MemberId, MembershipId, Provenance};
use tower::ServiceExt;

use self::call::Call;
pub use self::error::{ForfeitError, Reason};
use self::protection::Protected;
pub use self::settings::ProtectionSettings;

/// What point is asked for: to forfeit what a membership has left and to close its account.
#[derive(Clone, Debug)]
struct Forfeiture {
    member_id: MemberId,
    membership_id: MembershipId,
    provenance: Provenance,
    /// Whether an attempt may have reached point. Shared by all attempts of one call.
    may_have_reached: Arc<AtomicBool>,
}

/// Calls point's internal listener.
#[derive(Clone, Debug)]
pub struct PointClient {
    protected: Protected,
    open: Duration,
}

impl PointClient {
    /// A client of the point service at `base`.
    ///
    /// # Errors
    /// When the HTTP client or its protection cannot be made of these settings.
    pub fn new(base: Url, settings: &ProtectionSettings) -> anyhow::Result<Self> {
        observe::start(settings);
        let call = Call::new(base, settings.attempt_timeout())?;
        Ok(Self { protected: protection::protect(call, settings)?, open: settings.circuit_open() })
    }

    /// Forfeits what a membership has left and closes its account, in the name of who asked. Idempotent.
    ///
    /// # Errors
    /// [`ForfeitError`], which tells whether point may have done it all the same.
    pub async fn forfeit(
        &self,
        member_id: MemberId,
        membership_id: MembershipId,
        provenance: &Provenance,
    ) -> Result<(), ForfeitError> {
        let may_have_reached = Arc::new(AtomicBool::new(false));
        let forfeiture = Forfeiture {
            member_id,
            membership_id,
            provenance: provenance.clone(),
            may_have_reached: Arc::clone(&may_have_reached),
        };
        let began = Instant::now();
        let answer = self.protected.clone().oneshot(forfeiture).await;
        let outcome = answer.map_err(|error| ForfeitError::new(error, &may_have_reached, self.open));
        observe::finished(began.elapsed(), outcome.as_ref().err());
        outcome
    }
}
