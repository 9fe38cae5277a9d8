//! Who asks.

use axum::extract::FromRequestParts;
use http::StatusCode;
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

    /// Lets only an operator go on.
    ///
    /// # Errors
    /// 403 `forbidden` for anybody else.
    pub fn require_operator(&self) -> Result<(), Problem> {
        match self {
            Self::Operator => Ok(()),
            Self::Member(_) | Self::Shop(_) | Self::Service(_) | Self::Anonymous => Err(forbidden()),
        }
    }
}

/// 403 `forbidden`: only an operator may.
#[must_use]
pub fn forbidden() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "Only an operator may do this.")
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
    fn only_an_operator_passes_for_one() {
        assert!(Principal::Operator.require_operator().is_ok());
        let others =
            [Principal::Member, Principal::Shop, Principal::Service].map(|of| of("operator".to_owned()));
        for other in others.into_iter().chain([Principal::Anonymous]) {
            let problem = other.require_operator().unwrap_err();
            assert_eq!((problem.status().as_u16(), problem.code()), (403, "forbidden"), "{other:?}");
        }
    }

    #[test]
    fn an_actor_names_kind_and_id() {
        assert_eq!(Principal::Operator.actor(), "operator");
        assert_eq!(Principal::Member("1".to_owned()).actor(), "member:1");
        assert_eq!(Principal::Service("message".to_owned()).actor(), "service:message");
    }
}
