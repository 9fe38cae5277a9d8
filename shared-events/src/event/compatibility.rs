//! Whether a new JSON Schema still accepts what was published under the old one, and whether those who read under
//! the old one still understand what is published under the new one.

use serde_json::{Map, Value};

/// What breaks between two versions of a payload's schema; empty when nothing does. Payloads only ever gain
/// optional fields.
#[must_use]
pub fn breaking_changes(old: &Value, new: &Value) -> Vec<String> {
    let mut breaks = Vec::new();
    compare("", old, new, (old, new), &mut breaks);
    breaks
}

fn compare(path: &str, old: &Value, new: &Value, roots: (&Value, &Value), breaks: &mut Vec<String>) {
    let (old, new) = (resolve(old, roots.0), resolve(new, roots.1));
    for keyword in
        ["type", "format", "const", "minimum", "maximum", "pattern", "items", "additionalProperties"]
    {
        if old.get(keyword) != new.get(keyword) {
            breaks.push(format!("{path}: {keyword} changed"));
        }
    }
    compare_choices(path, old, new, breaks);
    let (old_properties, new_properties) = (members(old, "properties"), members(new, "properties"));
    for (name, old_property) in &old_properties {
        let path = format!("{path}/{name}");
        match new_properties.get(name) {
            Some(new_property) => compare(&path, old_property, new_property, roots, breaks),
            None => breaks.push(format!("{path}: removed")),
        }
    }
    let (old_required, new_required) = (strings(old, "required"), strings(new, "required"));
    for name in new_required.iter().filter(|name| !old_required.contains(name)) {
        breaks.push(format!("{path}/{name}: became required"));
    }
    for name in old_required.iter().filter(|name| !new_required.contains(name)) {
        breaks.push(format!("{path}/{name}: is no longer certain to be there"));
    }
}

/// A choice that was there must stay; a new one would be unknown to those who read today, unless they take what they do
/// not know for `UNKNOWN`.
fn compare_choices(path: &str, old: &Value, new: &Value, breaks: &mut Vec<String>) {
    for keyword in ["enum", "oneOf", "anyOf", "allOf"] {
        let old = without_descriptions(old.get(keyword));
        let new = without_descriptions(new.get(keyword));
        if old != new && !is_open_and_only_grew(old.as_ref(), new.as_ref()) {
            breaks.push(format!("{path}: {keyword} changed"));
        }
    }
}

fn is_open_and_only_grew(old: Option<&Value>, new: Option<&Value>) -> bool {
    let choices = |schema: Option<&Value>| schema.and_then(Value::as_array).cloned().unwrap_or_default();
    let (old, new) = (choices(old), choices(new));
    old.iter().any(|choice| choice["const"] == "UNKNOWN") && old.iter().all(|choice| new.contains(choice))
}

fn without_descriptions(choices: Option<&Value>) -> Option<Value> {
    let mut choices = choices?.clone();
    for choice in choices.as_array_mut().into_iter().flatten() {
        if let Some(choice) = choice.as_object_mut() {
            choice.remove("description");
        }
    }
    Some(choices)
}

fn resolve<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn members(schema: &Value, keyword: &str) -> Map<String, Value> {
    schema.get(keyword).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn strings(schema: &Value, keyword: &str) -> Vec<String> {
    let values = schema.get(keyword).and_then(Value::as_array).into_iter().flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": { "memberId": { "$ref": "#/$defs/MemberId" }, "reason": { "type": "string" } },
            "required": ["memberId"],
            "$defs": { "MemberId": { "type": "integer", "minimum": 1 } },
        })
    }

    fn breaks(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut new = schema();
        change(&mut new);
        breaking_changes(&schema(), &new)
    }

    #[test]
    fn an_optional_field_more_breaks_nothing() {
        assert!(breaks(|new| new["properties"]["note"] = json!({ "type": "string" })).is_empty());
        assert!(breaks(|new| new["description"] = json!("better words")).is_empty());
    }

    #[test]
    fn a_choice_more_breaks_nothing_where_readers_know_what_to_do_with_it() {
        let of = |names: &[&str]| {
            let choices: Vec<Value> = names.iter().map(|name| json!({ "const": name })).collect();
            json!({ "properties": { "kind": { "oneOf": choices } } })
        };
        let changed = vec!["/kind: oneOf changed".to_owned()];
        for (old, new, expected) in [
            (&["A", "UNKNOWN"][..], &["A", "B", "UNKNOWN"][..], vec![]),
            (&["A", "UNKNOWN"], &["B", "UNKNOWN"], changed.clone()),
            (&["A"], &["A", "B"], changed.clone()),
            (&["A", "B", "UNKNOWN"], &["A", "UNKNOWN"], changed),
        ] {
            assert_eq!(breaking_changes(&of(old), &of(new)), expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn everything_else_does() {
        let removed = breaks(|new| {
            new["properties"] = json!({ "memberId": { "$ref": "#/$defs/MemberId" } });
        });
        assert_eq!(removed, ["/reason: removed"]);
        assert_eq!(
            breaks(|new| new["required"] = json!(["memberId", "reason"])),
            ["/reason: became required"]
        );
        assert_eq!(
            breaks(|new| new["required"] = json!([])),
            ["/memberId: is no longer certain to be there"]
        );
        assert_eq!(
            breaks(|new| new["$defs"]["MemberId"]["type"] = json!("string")),
            ["/memberId: type changed"]
        );
        assert_eq!(
            breaks(|new| new["properties"]["reason"]["enum"] = json!(["A"])),
            ["/reason: enum changed"]
        );
    }
}
