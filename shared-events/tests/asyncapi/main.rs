//! The committed AsyncAPI document is the one that the code gives.

mod document;
mod examples;
mod headers;
mod services;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use shared_events::event::schemas;

use crate::document::Document;
use crate::examples::examples;

/// Set to write the document instead of comparing it, as for the schemas.
const UPDATE: &str = "UPDATE_SCHEMAS";

#[test]
fn the_committed_document_is_the_one_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("asyncapi.yaml");
    let document = format!(
        "# Generated from the payload types: {UPDATE}=1 cargo test -p shared-events\n{}",
        serde_saphyr::to_string(&Document::of(&examples())).expect("the document is YAML")
    );
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &document).expect("the document can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differing = committed.lines().zip(document.lines()).find(|(old, new)| old != new);
    assert!(
        committed == document,
        "first difference: {differing:?}; run {UPDATE}=1 cargo test -p shared-events"
    );
}

#[test]
fn every_event_type_has_an_example_and_nothing_else_has() {
    let known: BTreeSet<_> = schemas().into_iter().map(|(event_type, _)| event_type).collect();
    let shown: Vec<_> = examples().iter().map(|example| example.event_type).collect();
    assert_eq!(shown.len(), known.len(), "one each: {shown:?}");
    assert_eq!(shown.into_iter().collect::<BTreeSet<_>>(), known);
}

#[test]
fn every_event_type_is_reacted_to_by_a_service_that_exists() {
    for (event_type, _) in schemas() {
        assert!(services::REACTIONS.iter().any(|(_, types)| types.contains(&event_type)), "{event_type}");
    }
}
