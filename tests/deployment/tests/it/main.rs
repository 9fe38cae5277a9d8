//! What the project is deployed with, checked without a cluster or a container engine.

mod observability;
