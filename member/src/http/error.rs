//! From domain errors to problems.

use std::time::Duration;

use chassis::error::chain;
use chassis::idempotency;
use chassis::{FieldError, Language, Problem};
use serde::Serialize;

use crate::metrics;
use crate::point_client::{ForfeitError, Reason};
use crate::usecase::join::{JoinError, Refusal};
use crate::usecase::withdraw::WithdrawError;

/// When to try again, where nothing better is known.
const SHORTLY: Duration = Duration::from_secs(3);

/// What a withdrawal that did not complete has left behind.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// The member and the points are as they were.
    Unchanged,
    /// The points may be forfeited, now or soon; then the withdrawal finishes by itself.
    Unknown,
}

impl Outcome {
    const fn of(error: &ForfeitError) -> Self {
        if error.may_have_happened { Self::Unknown } else { Self::Unchanged }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Unknown => "unknown",
        }
    }

    const fn in_words(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::Unchanged, Language::English) => {
                "The withdrawal is not possible at the moment; this request has changed nothing. Please try again shortly."
            }
            (Self::Unknown, Language::English) => {
                "The withdrawal has not been confirmed yet; it may finish by itself. Please try again shortly."
            }
            (Self::Unchanged, Language::Korean) => {
                "지금은 탈퇴를 처리할 수 없습니다. 이번 요청으로 변경된 내용은 없습니다. 잠시 후 다시 시도해 주세요."
            }
            (Self::Unknown, Language::Korean) => {
                "탈퇴가 아직 확인되지 않았습니다. 자동으로 완료될 수 있습니다. 잠시 후 다시 시도해 주세요."
            }
        }
    }
}

pub(super) fn member_not_found() -> Problem {
    Problem::not_found("member-not-found", "There is no such member.")
}

pub(super) fn not_joined(error: JoinError) -> Problem {
    match error {
        JoinError::Refused(refusal) => refused(refusal),
        JoinError::Once(error) => error.into(),
        JoinError::Database(error) => error.into(),
    }
}

pub(super) fn refused(refusal: Refusal) -> Problem {
    let (code, pointer, detail) = match refusal {
        Refusal::MemberIdTaken => ("member-id-taken", "/memberId", "The memberId is taken."),
        Refusal::PhoneTaken => ("phone-taken", "/phoneNo", "The phone number belongs to a member."),
    };
    Problem::conflict(code, detail).with_errors(vec![FieldError::new(pointer, detail)])
}

/// What joining may be refused with, for the document.
pub(super) fn of_joining() -> Vec<Problem> {
    let taken = [Refusal::MemberIdTaken, Refusal::PhoneTaken];
    taken.into_iter().map(refused).chain(idempotency::problems()).collect()
}

/// What withdrawing may be refused with, for the document.
pub(super) fn of_withdrawing() -> Vec<Problem> {
    vec![member_not_found(), withdrawal_under_way(Language::English)]
}

/// Logs and counts why a withdrawal did not complete. Apart from [`withdrawal_refused`], as the client may be gone by
/// then.
pub(super) fn log_withdrawal(error: &WithdrawError) {
    let (reason, outcome) = match error {
        WithdrawError::NotFound => return,
        WithdrawError::BeforePivot(_) => ("database", Outcome::Unchanged),
        WithdrawError::AfterPivot(_) => ("database", Outcome::Unknown),
        WithdrawError::Forfeit(error) => (error.reason.as_str(), Outcome::of(error)),
    };
    let outcome = outcome.as_str();
    metrics::fell_back(reason, outcome);
    match error {
        WithdrawError::Forfeit(ForfeitError { reason: Reason::Refused, .. }) => {
            tracing::error!(error = chain(error), reason, outcome, "a withdrawal did not complete");
        }
        _ => tracing::warn!(error = chain(error), reason, outcome, "a withdrawal did not complete"),
    }
}

pub(super) fn withdrawal_refused(error: &WithdrawError, language: Language) -> Problem {
    match error {
        WithdrawError::NotFound => member_not_found(),
        WithdrawError::BeforePivot(_) => withdrawal_incomplete(Outcome::Unchanged, SHORTLY, language),
        WithdrawError::AfterPivot(_) => withdrawal_incomplete(Outcome::Unknown, SHORTLY, language),
        WithdrawError::Forfeit(error) => {
            withdrawal_incomplete(Outcome::of(error), error.retry_after, language)
        }
    }
}

/// The withdrawal takes longer than its client is to wait, and goes on.
pub(super) fn withdrawal_under_way(language: Language) -> Problem {
    withdrawal_incomplete(Outcome::Unknown, SHORTLY, language)
}

fn withdrawal_incomplete(outcome: Outcome, retry_after: Duration, language: Language) -> Problem {
    Problem::try_again_later(outcome.in_words(language), retry_after)
        .in_language(language)
        .with_member("outcome", outcome)
}
