//! SQL of the point service.

pub mod accounts;
pub mod ledger;
