//! The id of a request: the client's when it is sane, else a new one; answered, logged and passed on.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

const X_REQUEST_ID: &str = "x-request-id";
const LONGEST: usize = 128;

pub(super) fn of(headers: &HeaderMap) -> Arc<str> {
    match headers.get(X_REQUEST_ID).and_then(sane) {
        Some(id) => Arc::from(id),
        None => Arc::from(Uuid::now_v7().to_string()),
    }
}

fn sane(value: &HeaderValue) -> Option<&str> {
    let id = value.to_str().ok()?;
    let is_sane = (1..=LONGEST).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    is_sane.then_some(id)
}

pub(super) fn write(id: &str, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(value: &str) -> Arc<str> {
        of(&HeaderMap::from_iter([(X_REQUEST_ID.parse().unwrap(), HeaderValue::from_str(value).unwrap())]))
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        assert_eq!(&*id_for("abc-123"), "abc-123");
        for value in ["", "with blank", "tab\there", &"x".repeat(129)] {
            assert_eq!(id_for(value).len(), 36, "{value:?}");
        }
    }
}
