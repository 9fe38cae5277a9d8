//! SQL of the read model.

pub mod pages;
pub mod transactions;
