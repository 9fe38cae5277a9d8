//! How pages change: each half takes only what is newer than what it has.

mod page_change;

pub use page_change::{Half, MemberHalf, PageChanges, PointHalf, Shown, Transaction};
