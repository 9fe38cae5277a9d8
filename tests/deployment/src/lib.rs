//! Helpers for the checks of what the project is deployed with.

pub mod kustomize;
pub mod settings;
