//! Parked events for people and for scripts. Personal data is shown only where it is asked for.

use std::collections::HashSet;
use std::fmt::Write;

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::store::Parked;
use crate::event;

/// The fields of a payload that hold personal data.
const PERSONAL: [&str; 2] = ["phoneNo", "nickname"];
const MASK: &str = "***";
/// What a cell holds when the record has nothing for it.
const NOTHING: &str = "-";

/// A line of headings and one for each event.
pub(super) fn rows(parked: &[Parked], limit: i64) -> String {
    if parked.is_empty() {
        return "nothing is parked\n".to_owned();
    }
    let mut text = format!(
        "{:>6}  {:<8} {:>16}  {:<20} {:>9}  {:<20}  {}\n",
        "ID", "TOPIC", "MEMBER", "TYPE", "SEQUENCE", "PARKED AT", "REASON"
    );
    for event in parked {
        let _ = writeln!(
            text,
            "{:>6}  {:<8} {:>16}  {:<20} {:>9}  {:<20}  {}",
            event.id,
            event.topic,
            event.key.as_deref().unwrap_or(NOTHING),
            event.header("ce_type").unwrap_or(NOTHING),
            event.header("ce_sequence").unwrap_or(NOTHING),
            time(event),
            event.reason,
        );
    }
    if let Some(last) = parked.last().filter(|_| parked.len() as i64 == limit) {
        let _ = writeln!(text, "there may be more: --after {}", last.id);
    }
    text
}

/// One JSON object a line, without the payload.
pub(super) fn json_lines(parked: &[Parked]) -> String {
    parked.iter().map(|event| format!("{}\n", summary(event))).collect()
}

fn summary(event: &Parked) -> Value {
    json!({
        "id": event.id,
        "ceId": event.ce_id,
        "topic": event.topic,
        "key": event.key,
        "type": event.header("ce_type"),
        "sequence": event.header("ce_sequence"),
        "partition": event.kafka_partition,
        "offset": event.kafka_offset,
        "parkedAt": time(event),
        "reason": event.reason,
    })
}

/// Everything that is known of one event, as JSON. Without `personal_data` what is not known to be harmless is masked,
/// and of a payload that is no JSON object only the size is told.
pub(super) fn in_full(event: &Parked, personal_data: bool) -> String {
    let mut all = summary(event);
    all["headers"] = headers(event, personal_data);
    all["payload"] = payload(event, personal_data);
    format!("{all:#}\n")
}

fn headers(event: &Parked, personal_data: bool) -> Value {
    let is_ours = |name: &str| name.starts_with("ce_") || name == "content-type" || name == "traceparent";
    let headers = event.headers.as_object().into_iter().flatten();
    let headers = headers.map(|(name, value)| {
        let shown = if personal_data || is_ours(name) { value.clone() } else { MASK.into() };
        (name.clone(), shown)
    });
    headers.collect::<Map<_, _>>().into()
}

fn payload(event: &Parked, personal_data: bool) -> Value {
    let text = String::from_utf8_lossy(&event.payload);
    match serde_json::from_slice(&event.payload) {
        Ok(payload) if personal_data => payload,
        Ok(Value::Object(mut payload)) => {
            let harmless = harmless_fields();
            for (_, value) in payload.iter_mut().filter(|(name, _)| !harmless.contains(*name)) {
                *value = MASK.into();
            }
            payload.into()
        }
        _ if personal_data => text.into(),
        _ => format!("{} bytes that cannot be read; --personal-data shows them", event.payload.len()).into(),
    }
}

/// The fields of the contract that hold no personal data. What is not of the contract may hold anything.
fn harmless_fields() -> HashSet<String> {
    let mut names = HashSet::new();
    for (_, schema) in event::schemas() {
        let definitions = schema.get("$defs").and_then(Value::as_object).into_iter().flat_map(Map::values);
        let objects = definitions.chain([schema.as_value()]);
        let properties = objects.filter_map(|object| object.get("properties")?.as_object());
        names.extend(
            properties.flat_map(Map::keys).filter(|name| !PERSONAL.contains(&name.as_str())).cloned(),
        );
    }
    names
}

fn time(event: &Parked) -> String {
    event.parked_at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
