//! The committed JSON Schemas are those of the payloads, and a payload never changes in a way that breaks a reader.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use shared_events::event::{compatibility, schemas};

/// Set to write the schemas instead of comparing them. A breaking change is refused all the same.
const UPDATE: &str = "UPDATE_SCHEMAS";

fn path(event_type: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas").join(format!("{event_type}.json"))
}

fn committed(event_type: &str) -> Option<Value> {
    let text = fs::read_to_string(path(event_type)).ok()?;
    Some(serde_json::from_str(&text).expect("a committed schema is JSON"))
}

#[test]
fn the_committed_schemas_are_those_of_the_payloads() {
    for (event_type, schema) in schemas() {
        let schema = schema.to_value();
        let breaks = committed(event_type).map(|old| compatibility::breaking_changes(&old, &schema));
        assert_eq!(breaks.unwrap_or_default(), Vec::<String>::new(), "{event_type}: a breaking change");
        if std::env::var_os(UPDATE).is_some() {
            let text = format!("{}\n", serde_json::to_string_pretty(&schema).expect("a schema is JSON"));
            fs::write(path(event_type), text).expect("the schema can be written");
        }
        let current = committed(event_type);
        assert_eq!(
            current,
            Some(schema),
            "{event_type}: run {UPDATE}=1 cargo test -p shared-events --test schemas"
        );
    }
}

#[test]
fn no_event_type_ever_disappears() {
    let known: Vec<String> =
        schemas().into_iter().map(|(event_type, _)| format!("{event_type}.json")).collect();
    let folder = path("x").with_file_name("");
    for file in fs::read_dir(folder).expect("the folder of schemas") {
        let name = file.expect("an entry").file_name().into_string().expect("a UTF-8 name");
        assert!(known.contains(&name), "{name} has no payload");
    }
}
