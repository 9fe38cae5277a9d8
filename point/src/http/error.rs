//! From domain errors to problems.

use std::time::Duration;

use chassis::conditional::PreconditionFailed;
use chassis::{FieldError, Problem, idempotency, principal};
use shared_events::event::MemberStatus;
use shared_events::{MemberId, MembershipId};
use uuid::Uuid;

use crate::domain::{
    Account, AccountState, CancelRefused, ChangeRefused, EntryType, Lots, PointChange, Points,
};
use crate::usecase::forfeit_points::ForfeitError;
use crate::usecase::transact::TransactError;

/// A READY member is usually NORMAL within a second.
const READY_RETRY: Duration = Duration::from_secs(1);

pub(super) fn account_not_found() -> Problem {
    Problem::not_found("account-not-found", "There is no point account of this member.")
}

pub(super) fn transaction_not_found() -> Problem {
    Problem::not_found("transaction-not-found", "The account has no such transaction.")
}

/// As [`not_transacted`], for `PATCH`, whose field is called otherwise and told back.
pub(super) fn not_patched(error: &TransactError, change: PointChange) -> Problem {
    let pointer = "/requirePoint";
    match error {
        TransactError::Refused { account, reason } => {
            refused(account, *reason, pointer).with_member("requirePoint", change.require_point())
        }
        other => not_transacted(other),
    }
}

pub(super) fn not_transacted(error: &TransactError) -> Problem {
    match error {
        TransactError::NotFound => account_not_found(),
        TransactError::TransactionNotFound => transaction_not_found(),
        TransactError::Refused { account, reason } => refused(account, *reason, "/amount"),
        TransactError::CancelRefused { account, reason } => cancel_refused(account, *reason),
        TransactError::ReferenceTaken => {
            let detail = "A transaction of this type has this reference already.";
            Problem::conflict("reference-taken", detail)
                .with_errors(vec![FieldError::new("/reference", detail)])
        }
        TransactError::PreconditionFailed => PreconditionFailed.into(),
        TransactError::Once(error) => (*error).into(),
        TransactError::Database(error) => (&**error).into(),
    }
}

fn refused(account: &Account, reason: ChangeRefused, pointer: &str) -> Problem {
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
        ChangeRefused::TooManyLots => Problem::unprocessable("too-many-lots", format!("{reason}.")),
        ChangeRefused::BadExpiry => {
            Problem::invalid_request(vec![FieldError::new("/expiresAt", reason.to_string())])
        }
        ChangeRefused::BalanceOverflow => {
            Problem::invalid_request(vec![FieldError::new(pointer, reason.to_string())])
        }
    };
    with_balance(problem, account)
}

fn cancel_refused(account: &Account, reason: CancelRefused) -> Problem {
    let problem = match reason {
        CancelRefused::Closed => return account_not_found(),
        CancelRefused::NotCancellable(_) => Problem::unprocessable(
            "not-cancellable",
            "Only a transaction of type EARN or USE can be cancelled.",
        ),
        CancelRefused::AlreadyCancelled => {
            Problem::conflict("already-cancelled", "All of the transaction is cancelled already.")
        }
        CancelRefused::ExceedsRest { rest } => {
            Problem::invalid_request(vec![FieldError::new("/amount", format!("{reason}"))])
                .with_member("cancellablePoint", rest.get())
        }
        CancelRefused::PointsExpired => Problem::unprocessable(
            "points-expired",
            "The earned points have expired: nothing is left to take back.",
        ),
        CancelRefused::PointsSpent { shortfall } => {
            Problem::unprocessable("points-spent", format!("{reason}.")).with_member("shortfall", shortfall)
        }
        CancelRefused::TooManyLots { .. } => Problem::unprocessable("too-many-lots", format!("{reason}.")),
        CancelRefused::BalanceOverflow => {
            Problem::invalid_request(vec![FieldError::new("/amount", reason.to_string())])
        }
    };
    with_balance(problem, account)
}

fn with_balance(problem: Problem, account: &Account) -> Problem {
    problem
        .with_member("memberStatus", account.member_status())
        .with_member("remainPoint", account.balance.get())
}

/// What `PATCH` may be refused with, for the document.
pub(super) fn of_changing() -> Vec<Problem> {
    let change = PointChange::Use(Points::SIGNUP);
    let patched =
        |reason| not_patched(&TransactError::Refused { account: Box::new(example()), reason }, change);
    changes_refused().into_iter().map(patched).chain(of_commands()).collect()
}

/// What a shop's transaction may be refused with, for the document.
pub(super) fn of_transacting() -> Vec<Problem> {
    let refused = changes_refused().into_iter().map(|reason| refused(&example(), reason, "/amount"));
    refused.chain([not_transacted(&TransactError::ReferenceTaken)]).chain(of_commands()).collect()
}

/// What a cancellation may be refused with, for the document.
pub(super) fn of_cancelling() -> Vec<Problem> {
    let refused = [
        CancelRefused::NotCancellable(EntryType::Signup),
        CancelRefused::AlreadyCancelled,
        CancelRefused::PointsExpired,
        CancelRefused::PointsSpent { shortfall: 1 },
        CancelRefused::TooManyLots { rest: Points::SIGNUP },
    ];
    let refused = refused.into_iter().map(|reason| cancel_refused(&example(), reason));
    refused.chain([transaction_not_found()]).chain(of_commands()).collect()
}

/// What an adjustment may be refused with, for the document.
pub(super) fn of_adjusting() -> Vec<Problem> {
    let refused = changes_refused().into_iter().map(|reason| refused(&example(), reason, "/amount"));
    refused.chain([principal::forbidden()]).chain(of_commands()).collect()
}

fn of_commands() -> impl Iterator<Item = Problem> {
    [account_not_found(), PreconditionFailed.into()].into_iter().chain(idempotency::problems())
}

fn changes_refused() -> [ChangeRefused; 3] {
    let insufficient = ChangeRefused::InsufficientPoints { asked: Points::SIGNUP, remaining: Points::ZERO };
    [ChangeRefused::MemberNotNormal(MemberStatus::Ready), insufficient, ChangeRefused::TooManyLots]
}

fn example() -> Account {
    let state =
        AccountState::Open { member_status: MemberStatus::Ready, member_version: 1, signup_granted: false };
    let (member_id, membership_id) = (MemberId::MAX, MembershipId(Uuid::nil()));
    Account { member_id, membership_id, balance: Points::ZERO, version: 1, state, lots: Lots::default() }
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
