//! The problems that stand for the framework's own rejections.

use http::StatusCode;

use super::{Problem, RETRY_SHORTLY};

impl Problem {
    /// The problem that stands for a bare status of the framework.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST => Self::malformed_request("The request cannot be understood."),
            StatusCode::NOT_FOUND => Self::not_found("not-found", "There is nothing at this address."),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "method-not-allowed", "This address does not support the method.")
            }
            StatusCode::REQUEST_TIMEOUT => {
                Self::new(status, "request-timeout", "The request did not arrive in time.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(status, "payload-too-large", "The request body is too large.")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(status, "unsupported-media-type", "The request body must be application/json.")
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                Self::try_again_later("Please try again shortly.", RETRY_SHORTLY)
            }
            StatusCode::INTERNAL_SERVER_ERROR => Self::new(
                status,
                "internal-error",
                "The request failed for a reason that is not its own fault.",
            ),
            other => {
                let code = other.canonical_reason().unwrap_or("error").to_lowercase().replace(' ', "-");
                Self::new(other, code, "The request was refused.")
            }
        }
    }
}
