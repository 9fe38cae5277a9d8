//! From domain errors to problems.

use chassis::{Problem, principal};

use crate::domain::MessageStatus;
use crate::usecase::resend_message::ResendError;

const NOT_FAILED: &str = "Only a message that has failed can be sent again.";

pub(super) fn message_not_found() -> Problem {
    Problem::not_found("message-not-found", "There is no such message.")
}

/// What resending may be refused with, for the document.
pub(super) fn of_resending() -> Vec<Problem> {
    let not_failed =
        Problem::conflict("message-not-failed", NOT_FAILED).with_member("messageStatus", MessageStatus::Sent);
    vec![message_not_found(), not_failed, resend_refused(ResendError::Erased), principal::forbidden()]
}

pub(super) fn resend_refused(error: ResendError) -> Problem {
    match error {
        ResendError::NotFound => message_not_found(),
        ResendError::NotFailed(message) => {
            Problem::conflict("message-not-failed", NOT_FAILED).with_member("messageStatus", message.status)
        }
        ResendError::Erased => Problem::conflict(
            "phone-number-erased",
            "The member has withdrawn: there is no phone number to send the message to.",
        ),
        ResendError::Database(error) => error.into(),
    }
}
