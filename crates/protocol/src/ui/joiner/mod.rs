//! Joins halves of surrogate pairs that were split between deltas.

mod chunks;
mod half;

pub(super) use half::Half;

pub use chunks::{Joined, Joiner};
