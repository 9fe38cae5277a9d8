//! Extractors whose rejections are problems.

mod field;
mod json;
mod path;
mod query;

pub use json::Json;
pub(crate) use json::JsonBytes;
pub use path::Path;
pub use query::Query;
