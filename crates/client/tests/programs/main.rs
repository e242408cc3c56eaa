//! The longer examples, each in a process of its own, over a local relay in the process of the test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::duplicate_mod, reason = "each example is a program of its own")]

mod batch;
mod process;
mod review_service;
mod worker;
