//! Git repositories in a sandbox.

mod clone;

pub use clone::{CloneRepository, ClonedRepository};
