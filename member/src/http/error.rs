//! From domain errors to problems.

use std::time::Duration;

use chassis::error::chain;
use chassis::{FieldError, Problem};
use serde::Serialize;

use crate::point_client::ForfeitError;
use crate::store::members::InsertError;
use crate::usecase::withdraw::WithdrawError;

const TRY_AGAIN_AFTER: Duration = Duration::from_secs(3);

/// What a withdrawal that did not complete has left behind.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// The member and the points are as they were.
    Unchanged,
    /// The points may be forfeited, now or soon; then the withdrawal finishes by itself.
    Unknown,
}

pub(super) fn member_not_found() -> Problem {
    Problem::not_found("member-not-found", "There is no such member.")
}

pub(super) fn insert_refused(error: InsertError) -> Problem {
    match error {
        InsertError::MemberIdTaken => taken("member-id-taken", "/memberId", "The memberId is taken."),
        InsertError::PhoneTaken => taken("phone-taken", "/phoneNo", "The phone number belongs to a member."),
        InsertError::Database(error) => error.into(),
    }
}

fn taken(code: &'static str, pointer: &str, detail: &str) -> Problem {
    Problem::conflict(code, detail).with_errors(vec![FieldError::new(pointer, detail)])
}

/// Logs why a withdrawal did not complete. Apart from [`withdrawal_refused`], as the client may be gone by then.
pub(super) fn log_withdrawal(error: &WithdrawError) {
    if !matches!(error, WithdrawError::NotFound) {
        tracing::warn!(error = chain(error), "a withdrawal did not complete");
    }
}

pub(super) fn withdrawal_refused(error: &WithdrawError) -> Problem {
    match error {
        WithdrawError::NotFound => member_not_found(),
        WithdrawError::BeforePivot(_) | WithdrawError::Forfeit(ForfeitError::NotReached(_)) => {
            withdrawal_incomplete(Outcome::Unchanged)
        }
        WithdrawError::AfterPivot(_) | WithdrawError::Forfeit(ForfeitError::Unknown(_)) => {
            withdrawal_incomplete(Outcome::Unknown)
        }
    }
}

/// The withdrawal takes longer than its client is to wait, and goes on.
pub(super) fn withdrawal_under_way() -> Problem {
    withdrawal_incomplete(Outcome::Unknown)
}

fn withdrawal_incomplete(outcome: Outcome) -> Problem {
    let detail = match outcome {
        Outcome::Unchanged => {
            "The withdrawal is not possible at the moment; nothing has changed. Please try again shortly."
        }
        Outcome::Unknown => {
            "The withdrawal has not been confirmed yet; it may finish by itself. Please try again shortly."
        }
    };
    Problem::try_again_later(detail, TRY_AGAIN_AFTER).with_member("outcome", outcome)
}
