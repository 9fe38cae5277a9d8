//! What HAL looks like in an OpenAPI document.

use serde_json::{Value, json};

/// A resource with a body of this schema.
pub(crate) fn resource(body: &Value) -> Value {
    let with_links = json!({ "type": "object", "required": ["_links"], "properties": { "_links": links() } });
    json!({ "allOf": [body, with_links] })
}

/// A collection of resources of a kind (`members`), each with a body of this schema.
pub(crate) fn collection(relation: &str, body: &Value) -> Value {
    let number = json!({ "type": "integer", "format": "int64", "minimum": 0 });
    json!({
        "type": "object",
        "required": ["_embedded", "_links"],
        "properties": {
            "_embedded": {
                "type": "object",
                "required": [relation],
                "properties": { relation: { "type": "array", "items": resource(body) } },
            },
            "_links": links(),
            "page": {
                "type": "object",
                "description": "Only for clients that page by number.",
                "required": ["size", "totalElements", "totalPages", "number"],
                "properties": {
                    "size": number, "totalElements": number, "totalPages": number, "number": number,
                },
            },
        },
    })
}

/// `{"self": {"href": "…"}, …}`
fn links() -> Value {
    let link = json!({
        "type": "object", "required": ["href"], "properties": { "href": { "type": "string" } },
    });
    json!({ "type": "object", "required": ["self"], "properties": { "self": link }, "additionalProperties": link })
}
