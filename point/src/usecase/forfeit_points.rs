//! Forfeit what is left and close the account: the pivot of a withdrawal.

mod group;

use std::sync::Arc;

use chassis::group_transaction::{GroupPerformed, GroupTransaction, GroupTransactions, Locking};
use chrono::{DateTime, Utc};
use shared_events::delivery::{AfterCommit, Wake};
use shared_events::{MemberId, MembershipId, Provenance};
use sqlx::{PgConnection, PgPool};

use crate::domain::{Account, Forfeiture, Holder, Points};
use crate::store::{Origin, holders, lots};
use crate::usecase::Journal;

/// A membership whose account is to be closed.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// Who asks.
    pub provenance: Provenance,
    /// When.
    pub now: DateTime<Utc>,
}

/// Why an account was not closed.
#[derive(Debug, thiserror::Error)]
pub enum ForfeitError {
    /// The membership is one of another memberId.
    #[error("the membership belongs to another member")]
    OtherMember,
    /// The database failed; whether the account was closed is unknown.
    #[error("the database failed")]
    Database(#[source] Arc<sqlx::Error>),
}

/// Closes accounts, those that come at the same moment in one transaction.
#[derive(Clone, Debug)]
pub struct Forfeiter(GroupTransactions<Forfeitures>);

impl Forfeiter {
    /// Tells the relay of what was forfeited.
    #[must_use]
    pub fn new(pool: PgPool, relay: Wake) -> Self {
        Self(GroupTransactions::new(pool, Forfeitures { relay }))
    }

    /// Closes the account of a membership and returns what was forfeited, the same however often it is asked.
    /// A membership that was never heard of gets a closed account, so that nothing that arrives later can open one.
    ///
    /// # Errors
    /// [`ForfeitError`]
    pub async fn forfeit(&self, request: Request) -> Result<Points, ForfeitError> {
        self.0.carry_out(request).await
    }
}

/// Forfeitures as they are carried out in groups.
struct Forfeitures {
    relay: Wake,
}

impl GroupTransaction for Forfeitures {
    type Item = Request;
    type Outcome = Result<Points, ForfeitError>;
    type AfterCommit = AfterCommit;

    fn key(request: &Request) -> u64 {
        request.member_id.get().unsigned_abs()
    }

    async fn perform_in_tx(
        &self,
        tx: &mut PgConnection,
        requests: &[Request],
        _locking: Locking,
    ) -> sqlx::Result<GroupPerformed<Self>> {
        group::forfeit_in_tx(tx, requests).await
    }

    fn committed(&self, after: AfterCommit) {
        after.run();
        self.relay.wake();
    }

    fn failed(error: Arc<sqlx::Error>) -> Self::Outcome {
        Err(ForfeitError::Database(error))
    }
}

/// Closes an account that is locked, unless it is closed already. Returns what was forfeited then or now.
pub(crate) async fn close_in_tx(
    tx: &mut PgConnection,
    holder: &mut Holder,
    account: &mut Account,
    origin: Origin<'_>,
    after: &mut AfterCommit,
) -> sqlx::Result<Points> {
    lots::load_in_tx(tx, account).await?;
    let mut journal = Journal::default();
    let forfeited = close(&mut journal, holder, account, origin)?;
    holders::update_all_in_tx(tx, &[holder]).await?;
    journal.store_in_tx(tx, after).await?;
    Ok(forfeited)
}

/// Notes the closing of an account that has its lots, and that its holder has changed, unless it is closed already.
fn close(
    journal: &mut Journal,
    holder: &mut Holder,
    account: &mut Account,
    origin: Origin<'_>,
) -> sqlx::Result<Points> {
    journal.note_expiry(account, origin);
    let Some(Forfeiture { forfeited, booking }) = account.forfeit() else {
        return Ok(account.forfeited());
    };
    holder.go_on_from(account);
    journal.note_forfeiture(account, booking, origin)?;
    Ok(forfeited)
}
