//! Join. Needs nothing but this service's own Postgres: it is open 24 hours, 365 days (the requirement).

mod group;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chassis::group_transaction::{GroupPerformed, GroupTransaction, GroupTransactions, Locking};
use chassis::idempotency::{Once, OnceError};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared_events::delivery::{AfterCommit, Wake};
use shared_events::{MemberId, MembershipId, Provenance};
use sqlx::{PgConnection, PgPool};

use crate::domain::{Member, Nickname, PhoneNo};

/// Who wants to join.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// The id to be known by, where the client chose one.
    pub member_id: Option<MemberId>,
    /// Where the notification goes.
    pub phone_no: PhoneNo,
    /// What the member wants to be called.
    pub nickname: Nickname,
}

/// Somebody's application.
#[derive(Clone, Debug)]
pub struct Application {
    /// Who wants to join.
    pub applicant: Applicant,
    /// What to call the membership.
    pub membership_id: MembershipId,
    /// Lets it be granted once.
    pub once: Once,
    /// Who asks.
    pub provenance: Provenance,
    /// When.
    pub now: DateTime<Utc>,
}

/// What became of an application.
#[derive(Clone, Debug)]
pub enum Joined {
    /// Somebody is a member now.
    Now(Member),
    /// The same application was decided before.
    Before(Decision),
}

/// What was decided on an application, as it is recorded: the rest of the answer is in the application, and personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Decision {
    /// It was granted, to a member of this id.
    Granted(MemberId),
    /// It was not.
    Refused(Refusal),
}

/// Why the rules do not let somebody join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The memberId is taken.
    #[error("the memberId is taken")]
    MemberIdTaken,
    /// The phone number belongs to a READY or NORMAL member.
    #[error("the phone number is taken")]
    PhoneTaken,
}

/// Why nobody joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The rules refused it.
    #[error("the application was refused")]
    Refused(#[from] Refusal),
    /// The application came under a key that stands in its way.
    #[error("the application is not taken up")]
    Once(#[source] OnceError),
    /// The database failed, for all applications of a group; nobody joined unless the commit itself was cut off.
    #[error("the database failed")]
    Database(#[source] Arc<sqlx::Error>),
}

impl From<OnceError> for JoinError {
    fn from(error: OnceError) -> Self {
        Self::Once(error)
    }
}

impl From<sqlx::Error> for JoinError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

/// Takes up applications, those that come at the same moment in one transaction.
#[derive(Clone, Debug)]
pub struct Registrar(GroupTransactions<Applications>);

impl Registrar {
    /// Tells the relay of who joined.
    #[must_use]
    pub fn new(pool: PgPool, relay: Wake) -> Self {
        Self(GroupTransactions::new(pool, Applications { relay }))
    }

    /// Makes somebody a member and publishes `MemberJoined`, unless that was decided before. What becomes of other applications
    /// has no influence on this one.
    ///
    /// # Errors
    /// [`JoinError`]
    pub async fn join(&self, application: Application) -> Result<Joined, JoinError> {
        self.0.carry_out(application).await
    }
}

/// Applications as they are taken up in groups.
struct Applications {
    relay: Wake,
}

impl GroupTransaction for Applications {
    type Item = Application;
    type Outcome = Result<Joined, JoinError>;
    type AfterCommit = AfterCommit;

    /// Those who want the same phone number do not stand in each other's way.
    fn key(application: &Application) -> u64 {
        let mut hasher = DefaultHasher::new();
        application.applicant.phone_no.as_str().hash(&mut hasher);
        hasher.finish()
    }

    async fn perform_in_tx(
        &self,
        tx: &mut PgConnection,
        applications: &[Application],
        _locking: Locking,
    ) -> sqlx::Result<GroupPerformed<Self>> {
        group::join_in_tx(tx, applications).await
    }

    fn committed(&self, after: AfterCommit) {
        after.run();
        self.relay.wake();
    }

    fn failed(error: Arc<sqlx::Error>) -> Self::Outcome {
        Err(JoinError::Database(error))
    }
}
