//! Requests, answers, errors and the UI message stream of 21st Agents, without IO.

pub mod sse;
pub mod ui;
mod utf_8;
