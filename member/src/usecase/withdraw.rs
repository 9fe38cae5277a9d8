//! Withdraw: a saga with one pivot. Before the forfeiture nothing has happened; after it the withdrawal always
//! completes, here or by the policy on `PointsForfeited`.

mod removal;

use std::sync::Arc;

use chassis::group_read::GroupRead;
use chassis::group_transaction::GroupTransactions;
use chrono::{DateTime, Utc};
use shared_events::delivery::Wake;
use shared_events::{MemberId, MembershipId, Provenance};
use sqlx::PgPool;

use self::removal::Removals;
pub(crate) use self::removal::{Leaving, remove_all_in_tx, withdrawal};
use crate::domain::Member;
use crate::point_client::{ForfeitError, PointClient};

/// Why a withdrawal is not known to be complete.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// There is no such member.
    #[error("there is no such member")]
    NotFound,
    /// The points could not be forfeited; the error says whether they may have been all the same.
    #[error("the points could not be forfeited")]
    Forfeit(#[from] ForfeitError),
    /// The database failed before the points were forfeited: nothing has happened.
    #[error("the database failed before the forfeiture")]
    BeforePivot(#[source] Arc<sqlx::Error>),
    /// The database failed after the points were forfeited: the policy finishes the withdrawal.
    #[error("the database failed after the forfeiture")]
    AfterPivot(#[source] Arc<sqlx::Error>),
}

/// Carries out withdrawals.
#[derive(Clone, Debug)]
pub struct Withdrawals {
    members: GroupRead<MemberId, Member>,
    point: PointClient,
    removals: GroupTransactions<Removals>,
}

impl Withdrawals {
    /// Of members that are looked up, after `point` has forfeited their points. The relay is told.
    #[must_use]
    pub fn new(pool: PgPool, members: GroupRead<MemberId, Member>, point: PointClient, relay: Wake) -> Self {
        Self { members, point, removals: GroupTransactions::new(pool, Removals { relay }) }
    }

    /// Forfeits the points and removes the member. Repeating it is always safe. Holds neither a transaction nor a
    /// connection across the call to point.
    ///
    /// # Errors
    /// [`WithdrawError`]
    pub async fn withdraw(
        &self,
        member_id: MemberId,
        provenance: Provenance,
        now: impl Fn() -> DateTime<Utc>,
    ) -> Result<(), WithdrawError> {
        let found = self.members.find(member_id).await.map_err(WithdrawError::BeforePivot)?;
        let membership_id = found.ok_or(WithdrawError::NotFound)?.membership_id;
        if let Err(error) = self.point.forfeit(member_id, membership_id, &provenance).await {
            // An attempt that was not answered may have forfeited all the same, and the policy been quicker.
            let is_gone = error.may_have_happened && self.is_gone(member_id, membership_id).await;
            return if is_gone { Ok(()) } else { Err(error.into()) };
        }
        let leaving = Leaving { member_id, membership_id, provenance, now: now() };
        self.removals.carry_out(leaving).await.map_err(WithdrawError::AfterPivot)
    }

    /// Whether the membership is known to have ended.
    async fn is_gone(&self, member_id: MemberId, membership_id: MembershipId) -> bool {
        let found = self.members.find(member_id).await;
        found.is_ok_and(|member| member.is_none_or(|member| member.membership_id != membership_id))
    }
}
