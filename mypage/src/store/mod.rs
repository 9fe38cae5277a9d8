//! SQL of the read model.

pub mod pages;
