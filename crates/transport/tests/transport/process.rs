//! Tests whose environment matters, which a test cannot change for itself: they run once more, in a process of their
//! own.

use std::process::Command;

/// Runs `story` in a process that has the variables of `set` and not those of `unset`. `test` is the whole name of the
/// test that calls this.
pub(crate) fn in_a_process_of_its_own(
    test: &str,
    set: &[(&str, &str)],
    unset: &[&str],
    story: impl AsyncFnOnce(),
) {
    if std::env::var_os("TRANSPORT_TEST_PROCESS").is_some() {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(story());
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in unset {
        command.env_remove(name);
    }
    let output = command
        .args(["--exact", test])
        .env("TRANSPORT_TEST_PROCESS", "1")
        .envs(set.iter().copied())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("1 passed"), "{stdout}");
    assert!(output.status.success(), "{stdout}");
}
