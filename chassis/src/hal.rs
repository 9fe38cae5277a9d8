//! Resources and collections as `application/hal+json`.

mod base_url;
mod collection;
mod links;
mod list_query;
mod listing;
mod resource;
pub(crate) mod schema;

pub use base_url::BaseUrl;
pub use collection::{Collection, Page};
pub use list_query::{ListMode, ListQuery};
pub use listing::Window;
pub(crate) use resource::Recorded;
pub use resource::Resource;

use links::Links;

/// The content type of resources and collections.
pub const HAL_JSON: &str = "application/hal+json";
