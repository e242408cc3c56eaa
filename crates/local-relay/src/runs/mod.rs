//! Runs: an agent at work, its readers, and what is stored of it.

mod feed;
mod journal;
mod reader;
mod recut;
mod rival;
mod start;
mod storage;
mod view;

pub(crate) use journal::Journal;
pub(crate) use reader::{joined, original};
pub(crate) use start::{NewRun, Stream, start};
