//! From domain errors to problems.

use std::time::Duration;

use chassis::{FieldError, Problem};
use shared_events::event::MemberStatus;

use super::points::member_status;
use crate::domain::{Account, ChangeRefused, PointChange};
use crate::usecase::change_points::ChangePointsError;
use crate::usecase::forfeit_points::ForfeitError;

/// A READY member is usually NORMAL within a second.
const READY_RETRY: Duration = Duration::from_secs(1);

pub(super) fn account_not_found() -> Problem {
    Problem::not_found("account-not-found", "There is no point account of this member.")
}

pub(super) fn change_refused(error: ChangePointsError, change: PointChange) -> Problem {
    match error {
        ChangePointsError::NotFound => account_not_found(),
        ChangePointsError::Refused { account, reason } => refused(&account, reason, change),
        ChangePointsError::Database(error) => error.into(),
    }
}

fn refused(account: &Account, reason: ChangeRefused, change: PointChange) -> Problem {
    let problem = match reason {
        ChangeRefused::Closed => return account_not_found(),
        ChangeRefused::MemberNotNormal(status) => {
            let detail = format!("The member is {status}. Only NORMAL members earn and use points.");
            let problem = Problem::conflict("member-not-normal", detail);
            match status {
                MemberStatus::Ready => problem.with_retry_after(READY_RETRY),
                MemberStatus::Normal | MemberStatus::Abnormal => problem,
            }
        }
        ChangeRefused::InsufficientPoints { .. } => {
            Problem::unprocessable("insufficient-points", format!("{reason}."))
        }
        ChangeRefused::BalanceOverflow => {
            Problem::invalid_request(vec![FieldError::new("/requirePoint", reason.to_string())])
        }
    };
    problem
        .with_member("memberStatus", member_status(account))
        .with_member("remainPoint", account.balance.get())
        .with_member("requirePoint", change.require_point())
}

impl From<ForfeitError> for Problem {
    fn from(error: ForfeitError) -> Self {
        match error {
            ForfeitError::OtherMember => {
                Self::conflict("membership-of-other-member", "The membership belongs to another member.")
            }
            ForfeitError::Database(error) => error.into(),
        }
    }
}
