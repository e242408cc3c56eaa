//! Limits of memory are real: whatever comes, a process grows by little more than they say.
//!
//! Each attack runs in a process of its own, which measures its resident memory. Its allocator (that of `allocation-counter`) copies
//! every buffer that grows, as the worst of allocators do, so that the old and the new one are both there for a moment.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod assembler;
mod measure;
mod streams;

use std::process::Command;

/// Runs one attack after the other, each in a process of its own, and gives what they say if one does not hold.
fn run_each(test: &str, names: impl IntoIterator<Item = &'static str>) {
    let only = std::env::var("ATTACK").ok();
    let mut failed = String::new();
    for name in names {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env("ATTACK", name)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        for line in said.lines().filter(|line| line.contains("MiB")) {
            println!("{line}");
        }
        if !output.status.success() {
            failed += &format!(
                "{name}:\n{said}{}\n",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    assert!(failed.is_empty(), "{failed}");
}
