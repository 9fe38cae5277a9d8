//! Finds the field that a deserializer complains about.

use crate::FieldError;

/// Messages of a deserializer may repeat what the client sent; this much is enough to recognise it.
const LONGEST_DETAIL: usize = 200;

/// The error of a field. The path is that of `serde_path_to_error`: dotted, `.` for the whole. For a missing, unknown
/// or duplicate field that is the path of the object around it, so the name is taken from the message.
pub(super) fn field_error(path: &str, message: &str) -> FieldError {
    let mut pointer = pointer(path);
    if let Some(name) = named_field(message) {
        let last = format!("/{}", escape(name));
        if !pointer.ends_with(&last) {
            pointer.push_str(&last);
        }
    }
    FieldError::new(shorten(&pointer), shorten(message))
}

/// `a.b[2]` → `/a/b/2`
fn pointer(path: &str) -> String {
    let segments = path.split(['.', '[']).map(|segment| segment.trim_end_matches(']'));
    segments.filter(|segment| !segment.is_empty()).map(|segment| format!("/{}", escape(segment))).collect()
}

/// RFC 6901
fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

fn named_field(message: &str) -> Option<&str> {
    let rest = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix))?;
    let end = rest.find("`, ").or_else(|| rest.rfind('`'))?;
    rest.get(..end)
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST_DETAIL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer_of(path: &str, message: &str) -> String {
        field_error(path, message).pointer
    }

    #[test]
    fn paths_become_json_pointers() {
        assert_eq!(pointer_of(".", "invalid type"), "");
        assert_eq!(pointer_of("memberId", "invalid type"), "/memberId");
        assert_eq!(pointer_of("lines[2].amount", "invalid type"), "/lines/2/amount");
    }

    #[test]
    fn the_message_names_the_field_when_the_path_does_not() {
        assert_eq!(pointer_of(".", "missing field `nickname`"), "/nickname");
        assert_eq!(pointer_of(".", "duplicate field `phoneNo`"), "/phoneNo");
        assert_eq!(pointer_of("a/b", "unknown field `a/b`, expected `nickname`"), "/a~1b");
    }

    #[test]
    fn what_the_client_sent_is_not_repeated_at_length() {
        let name = "x".repeat(10_000);
        let error = field_error(&name, &format!("unknown field `{name}`, expected `nickname`"));

        assert!(error.pointer.len() < 300 && error.detail.len() < 300);
    }
}
