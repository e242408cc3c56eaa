//! Halves of surrogate pairs that were cut apart, joined again.

mod chunks;
mod half;

pub(super) use half::Half;

pub use chunks::{Joined, Joiner};
