//! Runs tests that depend on the environment again, in a process of their own, because a test cannot change its own
//! environment.

use std::process::Command;

/// Runs `story` in a process with the variables of `set` and without those of `unset`. `test` is the full name of the
/// calling test.
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
