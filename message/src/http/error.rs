//! From domain errors to problems.

use chassis::Problem;

use crate::usecase::resend_message::ResendError;

pub(super) fn message_not_found() -> Problem {
    Problem::not_found("message-not-found", "There is no such message.")
}

pub(super) fn resend_refused(error: ResendError) -> Problem {
    match error {
        ResendError::NotFound => message_not_found(),
        ResendError::NotFailed(message) => {
            Problem::conflict("message-not-failed", "Only a message that has failed can be sent again.")
                .with_member("messageStatus", message.status)
        }
        ResendError::Erased => Problem::conflict(
            "phone-number-erased",
            "The member has withdrawn: there is no phone number to send the message to.",
        ),
        ResendError::Database(error) => error.into(),
    }
}
