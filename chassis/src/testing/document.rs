//! The committed OpenAPI documents.

use std::path::Path;

use crate::openapi::Document;

/// Set to write the documents instead of comparing them.
const UPDATE: &str = "UPDATE_OPENAPI";

/// Fails when `docs/openapi/<name>.json` is not the document of the code.
///
/// # Panics
/// Then, and when the file cannot be read or written.
pub fn assert_committed(document: &Document, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi");
    let file = folder.join(format!("{name}.json"));
    if std::env::var_os(UPDATE).is_some() {
        std::fs::create_dir_all(&folder).expect("the folder of the documents");
        std::fs::write(&file, document.to_json()).expect("the document can be written");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == document.to_json(), "{name}: run {UPDATE}=1 cargo test -p {name} document");
}
