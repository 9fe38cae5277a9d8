//! From the rows of a list to its page, whichever way the client pages.

use serde::Serialize;

use super::{BaseUrl, Collection, ListMode, ListQuery, Page, Resource};

/// The rows a store has to read for a [`ListQuery`]: those with keys above `after`, without the first `offset` of
/// them, and at most `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Only rows with a greater key.
    pub after: i64,
    /// How many of those to skip.
    pub offset: i64,
    /// At most so many: one more than a page by key has, to know whether another follows.
    pub limit: i64,
}

impl ListQuery {
    /// The rows to read.
    pub fn window(&self) -> Window {
        match self.mode() {
            ListMode::Keyset { after, limit } => {
                Window { after: after.unwrap_or(0), offset: 0, limit: limit + 1 }
            }
            ListMode::Offset { page, size } => Window { after: 0, offset: page * size, limit: size },
        }
    }

    /// Whether the page has to say how many rows there are in all.
    pub fn wants_total(&self) -> bool {
        matches!(self.mode(), ListMode::Offset { .. })
    }

    /// The page of the rows in [`Self::window`]. `path` is that of the collection, with the filters in its query if
    /// it has any; `total` counts only where [`Self::wants_total`]; `resource` also gives the key that rows are ordered
    /// by.
    pub fn collection<R, T: Serialize>(
        &self,
        base: &BaseUrl,
        path: &str,
        relation: &'static str,
        rows: Vec<R>,
        total: i64,
        resource: impl Fn(R) -> (i64, Resource<T>),
    ) -> Collection<T> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let link = |query: String| base.href(format_args!("{path}{separator}{query}"));
        let mut rows: Vec<(i64, Resource<T>)> = rows.into_iter().map(resource).collect();
        let (next, page) = match self.mode() {
            ListMode::Keyset { limit, .. } => {
                let size = usize::try_from(limit).unwrap_or(usize::MAX);
                let has_next = rows.len() > size;
                rows.truncate(size);
                let last = rows.last().filter(|_| has_next).map(|(key, _)| *key);
                (last.map(|after| link(format!("after={after}&limit={limit}"))), None)
            }
            ListMode::Offset { page: number, size } => {
                let page = Page::of(number, size, total);
                let next = page.has_next().then(|| link(format!("page={}&size={size}", number + 1)));
                (next, Some(page))
            }
        };
        let resources = rows.into_iter().map(|(_, resource)| resource).collect();
        let collection = Collection::new(relation, base.href(path), resources).next(next);
        match page {
            Some(page) => collection.page(page),
            None => collection,
        }
    }
}
