//! Links by relation.

use std::collections::BTreeMap;

use serde::Serialize;

/// `{"self": {"href": "…"}, …}`
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Links(BTreeMap<&'static str, Link>);

#[derive(Debug, Clone, Serialize)]
struct Link {
    href: String,
}

impl Links {
    pub(super) fn to_self(href: impl Into<String>) -> Self {
        let mut links = Self::default();
        links.add("self", href);
        links
    }

    pub(super) fn add(&mut self, relation: &'static str, href: impl Into<String>) {
        self.0.insert(relation, Link { href: href.into() });
    }

    pub(super) fn href(&self, relation: &str) -> Option<&str> {
        self.0.get(relation).map(|link| link.href.as_str())
    }
}
