//! A page of resources.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use super::resource::hal_response;
use super::{Links, Resource};

/// A page of a collection: `_embedded`, `_links` with `self` and perhaps `next`, and for old clients `page`.
#[derive(Debug, Clone, Serialize)]
pub struct Collection<T> {
    #[serde(rename = "_embedded")]
    embedded: BTreeMap<&'static str, Vec<Resource<T>>>,
    #[serde(rename = "_links")]
    links: Links,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<Page>,
}

/// Where a page is in the whole, for clients that page by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// Resources on a full page.
    pub size: i64,
    /// Resources in the whole collection.
    pub total_elements: i64,
    /// Pages in the whole collection.
    pub total_pages: i64,
    /// Number of this page, from 0.
    pub number: i64,
}

impl Page {
    /// A page of a collection with so many elements.
    pub fn of(number: i64, size: i64, total_elements: i64) -> Self {
        let size = size.max(1);
        let total_pages = total_elements / size + i64::from(total_elements % size > 0);
        Self { size, total_elements, total_pages, number }
    }

    /// Whether another page follows.
    pub fn has_next(&self) -> bool {
        self.number + 1 < self.total_pages
    }
}

impl<T: Serialize> Collection<T> {
    /// Resources of a kind (`members`), found at an address.
    pub fn new(relation: &'static str, self_href: impl Into<String>, resources: Vec<Resource<T>>) -> Self {
        Self {
            embedded: BTreeMap::from([(relation, resources)]),
            links: Links::to_self(self_href),
            page: None,
        }
    }

    /// Links to the next page, if there is one.
    pub fn next(mut self, href: Option<String>) -> Self {
        if let Some(href) = href {
            self.links.add("next", href);
        }
        self
    }

    /// Says where this page is in the whole.
    pub fn page(mut self, page: Page) -> Self {
        self.page = Some(page);
        self
    }
}

impl<T: Serialize> IntoResponse for Collection<T> {
    fn into_response(self) -> Response {
        hal_response(StatusCode::OK, &self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_embeds_resources_and_links_to_the_next() {
        let member = Resource::new("member", "/members/1", json!({"memberId": 1}));
        let collection = Collection::new("members", "/members?page=0&size=1", vec![member])
            .next(Some("/members?page=1&size=1".to_owned()))
            .page(Page::of(0, 1, 3));

        assert_eq!(
            serde_json::to_value(&collection).unwrap(),
            json!({
                "_embedded": {"members": [{
                    "memberId": 1,
                    "_links": {"self": {"href": "/members/1"}, "member": {"href": "/members/1"}},
                }]},
                "_links": {"self": {"href": "/members?page=0&size=1"}, "next": {"href": "/members?page=1&size=1"}},
                "page": {"size": 1, "totalElements": 3, "totalPages": 3, "number": 0},
            })
        );
    }

    #[test]
    fn the_last_page_has_no_next() {
        assert!(Page::of(0, 20, 21).has_next());
        assert!(!Page::of(1, 20, 21).has_next());
        assert!(!Page::of(0, 20, 0).has_next());
    }
}
