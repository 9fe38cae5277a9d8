//! Who asks.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::Problem;
use crate::http::RequestState;
use crate::settings::Auth;

/// Who asks. As an extractor it stands in every handler; with `--auth none` everybody is an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Runs the programme and may do everything.
    Operator,
    /// A member, by memberId.
    Member(String),
    /// A shop, by its id.
    Shop(String),
    /// Another service, by name.
    Service(String),
    /// Nobody known.
    Anonymous,
}

impl Principal {
    /// The form stored with ledger entries and events: `operator`, `member:1`, `shop:…`, `service:…`, `anonymous`.
    pub fn actor(&self) -> String {
        match self {
            Self::Operator => "operator".to_owned(),
            Self::Member(id) => format!("member:{id}"),
            Self::Shop(id) => format!("shop:{id}"),
            Self::Service(name) => format!("service:{name}"),
            Self::Anonymous => "anonymous".to_owned(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match RequestState::of(parts)?.server.auth {
            Auth::None => Ok(Self::Operator),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Principal;

    #[test]
    fn an_actor_names_kind_and_id() {
        assert_eq!(Principal::Operator.actor(), "operator");
        assert_eq!(Principal::Member("1".to_owned()).actor(), "member:1");
        assert_eq!(Principal::Service("message".to_owned()).actor(), "service:message");
    }
}
