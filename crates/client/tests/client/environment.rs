//! A client in an environment with an invalid proxy.

use std::process::Command;

use twentyfirst_client::AgentClient;
use twentyfirst_client::transport::HttpTransport;

/// This test starts itself again in another process, because a test cannot change its own environment.
#[test]
fn an_invalid_proxy_is_reported_without_its_value() {
    if std::env::var_os("CLIENT_TEST_PROCESS").is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "environment::an_invalid_proxy_is_reported_without_its_value",
            ])
            .env("CLIENT_TEST_PROCESS", "1")
            .env_remove("https_proxy")
            .env("HTTPS_PROXY", "http://user:1#secret@proxy.example")
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            stdout.contains("1 passed") && output.status.success(),
            "{stdout}"
        );
        return;
    }
    let builder = || AgentClient::builder().api_key("an_sk_test");
    let error = builder().build().unwrap_err();
    let text = error.to_string();
    let expected =
        "the client cannot be made: HTTPS_PROXY is not the URL of a proxy: it holds a `/`";
    assert!(text.starts_with(expected), "{text}");
    assert!(error.invalid_setting().is_some() && !error.maybe_sent());
    assert!(!format!("{error:?}").contains("secret"));

    let proxy = twentyfirst_client::transport::Proxy::none();
    let transport = HttpTransport::builder().proxy(proxy).build().unwrap();
    assert!(builder().transport(transport).build().is_ok());
}
