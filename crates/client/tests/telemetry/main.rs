//! Telemetry of runs: spans over OTLP at a collector, and metrics at an exporter.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod collector;
mod contents;
mod conventions;
mod ends;
mod handlers;
mod metrics;
mod spans;
mod support;
