//! The schema of the Kafka headers: CloudEvents 1.0, Kafka protocol binding, binary mode.

use rdkafka::message::Headers;
use serde_json::{Map, Value, json};
use shared_events::Envelope;

/// What every event has, with what it means and what it has to look like.
fn required() -> Vec<(&'static str, Value)> {
    let member_id = json!({ "type": "string", "pattern": "^[1-9][0-9]{0,15}$" });
    vec![
        ("ce_specversion", described("The version of CloudEvents.", json!({ "const": "1.0" }))),
        (
            "ce_id",
            described(
                "Unique for ever (uuid v7); an event that is sent again keeps it.",
                json!({ "type": "string", "format": "uuid" }),
            ),
        ),
        (
            "ce_source",
            described("The service that published it.", json!({ "type": "string", "pattern": "^/" })),
        ),
        ("ce_type", described("The type of the event.", json!({ "type": "string", "minLength": 1 }))),
        ("ce_time", described("When it happened.", json!({ "type": "string", "format": "date-time" }))),
        ("ce_subject", described("The memberId.", member_id.clone())),
        ("ce_partitionkey", described("The memberId, as in the key.", member_id)),
        (
            "ce_sequence",
            described(
                "The version of the aggregate, counting up per memberId: what is not newer is to be ignored.",
                json!({ "type": "string", "pattern": "^[0-9]{1,19}$" }),
            ),
        ),
        ("ce_actor", described("Who asked, such as operator.", json!({ "type": "string", "minLength": 1 }))),
        ("content-type", described("Of the payload.", json!({ "const": "application/json" }))),
    ]
}

/// What an event has when it was caused by something that is traced.
fn optional() -> Vec<(&'static str, Value)> {
    let pattern = "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$";
    vec![("traceparent", described("W3C Trace Context.", json!({ "type": "string", "pattern": pattern })))]
}

fn described(description: &str, mut schema: Value) -> Value {
    schema["description"] = json!(description);
    schema
}

/// The schema of all headers. Further ones are to be ignored.
pub fn schema() -> Value {
    let required = required();
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> = required
        .iter()
        .chain(&optional())
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({
        "type": "object",
        "description": "CloudEvents 1.0 in Kafka's binary mode.",
        "properties": properties,
        "required": names,
    })
}

/// The headers of an event, as they are written.
pub fn written(envelope: &Envelope) -> Map<String, Value> {
    let headers = envelope.to_headers();
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().to_vec()).expect("UTF-8");
    headers.iter().map(|header| (header.key.to_owned(), json!(text(header.value)))).collect()
}

#[test]
fn the_schema_has_the_headers_that_are_written() {
    let example = crate::examples::examples().remove(0);
    let mut envelope = example.envelope;
    let names = |headers: Vec<(&'static str, Value)>| {
        let mut names: Vec<String> = headers.into_iter().map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    };
    envelope.provenance.traceparent = None;
    assert_eq!(written(&envelope).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names(required()));
    envelope.provenance.traceparent = Some(crate::examples::TRACEPARENT.to_owned());
    let all = [required(), optional()].concat();
    assert_eq!(written(&envelope).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names(all));
}
