//! W3C trace context: <https://www.w3.org/TR/trace-context/>.

use std::fmt;
use std::str::FromStr;

/// The name of the HTTP header, and of the header of events.
pub const TRACEPARENT: &str = "traceparent";

/// A position in a distributed trace: the `traceparent` of W3C trace context, version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// The text is not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// The root of a new trace, sampled.
    pub fn new_root() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), parent_id: new_span_id(), flags: 1 }
    }

    /// A new span in the same trace.
    pub fn child(self) -> Self {
        Self { parent_id: new_span_id(), ..self }
    }

    /// The trace's id: 32 lowercase hexadecimal digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span's id: 16 lowercase hexadecimal digits.
    pub fn span_id(self) -> String {
        format!("{:016x}", self.parent_id)
    }
}

fn new_span_id() -> u64 {
    rand::random::<u64>().max(1)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Takes version 00, and the first four parts of later versions, as the recommendation asks.
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut parts = text.split('-');
        let mut next = |digits| parts.next().and_then(|part| hex(part, digits)).ok_or(InvalidTraceParent);
        let version = next(2)?;
        let trace_id = next(32)?;
        let parent_id = next(16)? as u64;
        let flags = next(2)? as u8;
        let has_more = parts.next().is_some();
        if version == 0xff || (version == 0 && has_more) || trace_id == 0 || parent_id == 0 {
            return Err(InvalidTraceParent);
        }
        Ok(Self { trace_id, parent_id, flags })
    }
}

/// Exactly so many lowercase hexadecimal digits.
fn hex(part: &str, digits: usize) -> Option<u128> {
    let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (part.len() == digits && is_hex).then(|| u128::from_str_radix(part, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn it_is_written_as_it_was_read() {
        assert_eq!(SAMPLE.parse::<TraceParent>().unwrap().to_string(), SAMPLE);
        let root = TraceParent::new_root();
        assert_eq!(root.to_string().parse(), Ok(root));
    }

    #[test]
    fn a_child_stays_in_the_trace() {
        let parent: TraceParent = SAMPLE.parse().unwrap();
        let child = parent.child();
        assert_eq!(child.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(child.span_id(), parent.span_id());
    }

    #[test]
    fn what_the_recommendation_forbids_is_refused() {
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(InvalidTraceParent), "{text}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert_eq!(later.parse::<TraceParent>().unwrap().to_string(), SAMPLE);
    }
}
