//! The examples that are programs people need, in processes of their own over a local relay in this one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::duplicate_mod, reason = "each example is a program of its own")]

mod batch;
mod process;
mod review_service;
mod worker;
