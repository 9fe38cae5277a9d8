//! Which part of a collection a client asks for.

use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::extract::Query;
use crate::wire::Integer;
use crate::{FieldError, Problem};

const DEFAULT_SIZE: i64 = 20;
const SIZES: RangeInclusive<i64> = 1..=200;

/// The largest page number: page × size must stay an integer that JavaScript can hold.
const LAST_PAGE: i64 = 1 << 40;

/// Which part of a collection a client asks for, as an extractor: `?after=&limit=`, or for old clients
/// `?page=&size=`. Anything out of range is 422.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListQuery(ListMode);

/// How a client pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListMode {
    /// By key: cheap however far.
    Keyset {
        /// Only resources with a greater key.
        after: Option<i64>,
        /// At most so many, 1 to 200.
        limit: i64,
    },
    /// By number, as old clients do.
    Offset {
        /// Number of the page, from 0.
        page: i64,
        /// Resources on a page, 1 to 200.
        size: i64,
    },
}

impl ListQuery {
    /// How the client pages: by number only if it said `page` or `size`.
    pub fn mode(&self) -> ListMode {
        self.0
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Parameters {
    /// Only resources with a greater id.
    #[param(value_type = Option<i64>)]
    after: Option<Integer>,
    /// At most so many.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 20)]
    limit: Option<Integer>,
    /// For clients that page by number: which page, from 0. Not together with `after` or `limit`.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 1_099_511_627_776_i64)]
    page: Option<Integer>,
    /// For clients that page by number: how many are on a page.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 20)]
    size: Option<Integer>,
}

impl IntoParams for ListQuery {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        Parameters::into_params(parameter_in)
    }
}

impl TryFrom<Parameters> for ListMode {
    type Error = Problem;

    fn try_from(parameters: Parameters) -> Result<Self, Problem> {
        let size = within("size", parameters.size, SIZES, DEFAULT_SIZE)?;
        let limit = within("limit", parameters.limit, SIZES, DEFAULT_SIZE)?;
        let page = within("page", parameters.page, 0..=LAST_PAGE, 0)?;
        let by_number = parameters.page.is_some() || parameters.size.is_some();
        let by_key = parameters.after.is_some() || parameters.limit.is_some();
        match (by_number, by_key) {
            (true, true) => Err(invalid("page", "cannot be combined with after or limit")),
            (true, false) => Ok(Self::Offset { page, size }),
            (false, _) => Ok(Self::Keyset { after: parameters.after.map(i64::from), limit }),
        }
    }
}

fn within(
    name: &str,
    value: Option<Integer>,
    range: RangeInclusive<i64>,
    default: i64,
) -> Result<i64, Problem> {
    let value = value.map_or(default, i64::from);
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(invalid(name, &format!("must be {} to {}", range.start(), range.end())))
    }
}

fn invalid(name: &str, detail: &str) -> Problem {
    Problem::invalid_request(vec![FieldError::new(format!("/{name}"), detail)])
}

impl<S: Sync> FromRequestParts<S> for ListQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Query(parameters) = Query::<Parameters>::from_uri(&parts.uri)?;
        ListMode::try_from(parameters).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    fn mode(query: &str) -> Result<ListMode, String> {
        let uri: Uri = format!("/members?{query}").parse().unwrap();
        Query::<Parameters>::from_uri(&uri)
            .and_then(|Query(parameters)| parameters.try_into())
            .map_err(|problem| problem.errors()[0].pointer.clone())
    }

    #[test]
    fn paging_is_by_key_unless_a_page_is_asked_for() {
        assert_eq!(mode(""), Ok(ListMode::Keyset { after: None, limit: 20 }));
        assert_eq!(mode("after=7&limit=200"), Ok(ListMode::Keyset { after: Some(7), limit: 200 }));
        assert_eq!(mode("page=3"), Ok(ListMode::Offset { page: 3, size: 20 }));
        assert_eq!(mode("size=5&other=x"), Ok(ListMode::Offset { page: 0, size: 5 }));
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        for (query, pointer) in [
            ("limit=0", "/limit"),
            ("limit=201", "/limit"),
            ("limit=x", "/limit"),
            ("after=1.5", "/after"),
            ("page=-1", "/page"),
            ("page=9223372036854775807", "/page"),
            ("size=0", "/size"),
            ("page=1&after=1", "/page"),
        ] {
            assert_eq!(mode(query), Err(pointer.to_owned()), "{query}");
        }
    }
}
