//! Memory limits hold: for any input, a process grows by little more than its limit.
//!
//! Each attack runs in a process of its own, which measures its resident memory. Its allocator (that of `allocation-counter`)
//! copies every buffer that grows, like the worst of allocators, so that the old and the new one exist together for a moment.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod assembler;
mod contents;
mod measure;
mod parts;
mod relay;
mod runs;
mod streams;

use std::collections::VecDeque;
use std::process::Command;
use std::sync::Mutex;

/// Runs attacks, each in a process of its own and two at a time. Returns the messages of those that fail.
fn run_each(test: &str, names: impl IntoIterator<Item = &'static str>) {
    let names = Mutex::new(names.into_iter().collect::<VecDeque<_>>());
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = names.lock().unwrap().pop_front();
            let Some(name) = next else {
                return;
            };
            let output = Command::new(std::env::current_exe().unwrap())
                .args([test, "--exact", "--ignored", "--nocapture"])
                .env("ATTACK", name)
                .output()
                .unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            for line in printed.lines().filter(|line| line.contains("MiB")) {
                println!("{line}");
            }
            if !output.status.success() {
                let errors = String::from_utf8_lossy(&output.stderr);
                failed
                    .lock()
                    .unwrap()
                    .push(format!("{name}:\n{printed}{errors}"));
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
