//! One resource.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::{HAL_JSON, Links};
use crate::Problem;

/// A resource: the fields of its body, and `_links` to itself, once as `self` and once by its relation.
#[derive(Debug, Clone, Serialize)]
pub struct Resource<T> {
    #[serde(flatten)]
    body: T,
    #[serde(rename = "_links")]
    links: Links,
    #[serde(skip)]
    is_new: bool,
}

impl<T: Serialize> Resource<T> {
    /// A resource of a kind (`member`) at an address.
    pub fn new(relation: &'static str, href: impl Into<String>, body: T) -> Self {
        let href = href.into();
        let mut links = Links::to_self(href.clone());
        links.add(relation, href);
        Self { body, links, is_new: false }
    }

    /// Adds a link.
    pub fn link(mut self, relation: &'static str, href: impl Into<String>) -> Self {
        self.links.add(relation, href);
        self
    }

    /// Answers 201 with `Location` instead of 200.
    pub fn created(mut self) -> Self {
        self.is_new = true;
        self
    }
}

impl<T: Serialize> Resource<T> {
    fn status(&self) -> StatusCode {
        if self.is_new { StatusCode::CREATED } else { StatusCode::OK }
    }

    fn location(&self) -> Option<&str> {
        self.links.href("self").filter(|_| self.is_new)
    }

    /// The answer as text, to be given again by [`replay`](crate::idempotency::replay).
    pub fn record(&self) -> String {
        let recorded = serde_json::to_string(self).and_then(|body| {
            let location = self.location().map(str::to_owned);
            serde_json::to_string(&Recorded { status: self.status().as_u16(), location, body })
        });
        // A resource that is no JSON could not be answered in the first place.
        recorded.unwrap_or_default()
    }
}

impl<T: Serialize> IntoResponse for Resource<T> {
    fn into_response(self) -> Response {
        let location = self.location().and_then(|href| HeaderValue::from_str(href).ok());
        let mut response = hal_response(self.status(), &self);
        if let Some(location) = location {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

/// A resource that was answered before, to be answered again to the letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Recorded {
    status: u16,
    location: Option<String>,
    body: String,
}

impl IntoResponse for Recorded {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let content_type = [(CONTENT_TYPE, HeaderValue::from_static(HAL_JSON))];
        let mut response = (status, content_type, self.body).into_response();
        if let Some(location) = self.location.and_then(|href| HeaderValue::from_str(&href).ok()) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

pub(super) fn hal_response(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(json) => (status, [(CONTENT_TYPE, HeaderValue::from_static(HAL_JSON))], json).into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_fields_stand_beside_the_links() {
        let resource = Resource::new("member", "http://h/members/1", json!({"memberId": 1}))
            .link("points", "http://h/points/1");

        assert_eq!(
            serde_json::to_value(&resource).unwrap(),
            json!({
                "memberId": 1,
                "_links": {
                    "self": {"href": "http://h/members/1"},
                    "member": {"href": "http://h/members/1"},
                    "points": {"href": "http://h/points/1"},
                },
            })
        );
    }

    #[test]
    fn only_a_created_one_has_a_location() {
        let resource = Resource::new("member", "/members/1", Value::Object(Default::default()));
        let found = resource.clone().into_response();
        let created = resource.created().into_response();

        assert_eq!((found.status(), found.headers().get(LOCATION)), (StatusCode::OK, None));
        assert_eq!(created.status(), StatusCode::CREATED);
        assert_eq!(created.headers()[LOCATION], "/members/1");
        assert_eq!(created.headers()[CONTENT_TYPE], HAL_JSON);
    }
}
