//! Proxy variables and their URLs: those that are accepted and those that are refused.

use proptest::prelude::*;
use twentyfirst_transport::{HttpTransport, Proxy};

use crate::process::in_a_process_of_its_own;
use crate::proxies::{VARIABLES, routes};

const PROXY: &str = "http://proxy.example:3128";
const THROUGH: &str = "http://proxy.example:3128/";

fn run<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(story)
}

#[tokio::test]
async fn lists_of_exceptions_are_read_as_curl_and_go_read_them() {
    for (list, url, is_direct) in [
        // A name matches itself and the names below it, with or without a dot before it.
        ("example.com", "https://example.com/", true),
        ("example.com", "https://a.b.example.com/", true),
        ("example.com", "https://notexample.com/", false),
        (".example.com", "https://example.com/", true),
        (".example.com", "https://a.example.com/", true),
        ("*.example.com", "https://a.b.example.com/", true),
        ("*.example.com", "https://example.com/", false),
        ("*.example.com", "https://notexample.com/", false),
        // Case and a final dot do not matter, on either side.
        ("EXAMPLE.com", "https://example.COM/", true),
        ("example.com.", "https://example.com/", true),
        ("example.com", "https://example.com./", true),
        (" a.test ,\texample.com , ", "https://example.com/", true),
        ("a.test b.test", "https://b.test/", true),
        (",,", "https://example.com/", false),
        // A port, even one that the URL leaves out.
        ("example.com:8443", "https://example.com:8443/", true),
        ("example.com:8443", "https://example.com/", false),
        ("example.com:443", "https://example.com/", true),
        ("example.com:80", "http://a.example.com/", true),
        ("*.example.com:443", "https://a.example.com/", true),
        ("10.0.0.1:80", "http://10.0.0.1/", true),
        ("10.0.0.1:80", "https://10.0.0.1/", false),
        ("[fd00::1]:443", "https://[fd00::1]/", true),
        ("[fd00::1]:443", "http://[fd00::1]/", false),
        ("example.com:", "https://example.com/", true),
        // Addresses and networks.
        ("[fd00::1]", "https://[fd00::1]/", true),
        ("FD00:0:0::1", "https://[fd00::1]/", true),
        ("fd00::/8", "https://[fd12:3456::1]/", true),
        ("fd00::/8", "https://[fe00::1]/", false),
        ("[fd00::]/8", "https://[fd00::1]/", true),
        ("10.1.2.3/8", "http://10.9.8.7/", true),
        ("0.0.0.0/0", "http://[fd00::1]/", false),
        ("10.0.0.1", "http://[::ffff:10.0.0.1]/", true),
        ("::ffff:10.0.0.1", "http://10.0.0.1/", true),
        ("::ffff:10.0.0.0/104", "http://10.2.3.4/", true),
        ("::ffff:10.0.0.0/104", "http://11.2.3.4/", false),
        ("10.0.0.1.", "http://10.0.0.1/", true),
        // Everything.
        ("*", "https://example.com/", true),
        ("*", "http://10.0.0.1/", true),
        ("a.test, *", "http://[fd00::1]/", true),
        ("*:80", "http://10.0.0.1/", true),
        ("*:80", "https://10.0.0.1/", false),
        ("", "https://example.com/", false),
    ] {
        let asked = routes(Proxy::all_except(PROXY, list).unwrap(), [url]).await;
        let expected = if is_direct { url } else { THROUGH };
        assert_eq!(asked, [expected], "{list:?}");
    }
}

#[test]
fn an_exception_that_cannot_be_read_is_refused() {
    for entry in [
        "ex*mple.com",
        "192.168.*",
        "*example.com",
        "*.",
        ".",
        "..example.com",
        "a..b",
        "https://example.com",
        "example.com/",
        "example.com:http",
        "example.com:0",
        "example.com:99999",
        "example.com:+80",
        ":80",
        "10.0.0.256",
        "10.0.0",
        "10.0/16",
        "10.0.0.0/33",
        "10.0.0.0/+8",
        "10.0.0.0/",
        "example.com/8",
        "*.10.0.0.1",
        "[fd00::1",
        "[10.0.0.1]",
        "[fd00::1]x",
        "fd00::1.",
        "fe80::1%eth0",
        "<local>",
        "b\u{fc}cher.example",
        "user:secret@example.com",
    ] {
        let list = format!("a.test, {entry},b.test");
        let error = Proxy::all_except(PROXY, &list).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the list of servers without proxy cannot be read: entry 2 is neither a name, an address, a network nor \
             `*`, with or without a port",
            "{entry}"
        );
    }
}

#[test]
fn the_url_of_a_proxy_is_read_or_refused() {
    for (url, problem) in [
        ("", "it names no host"),
        ("/path", "it holds a `/`"),
        ("http://", "it names no host"),
        ("http://user:secret@", "it names no host"),
        ("ftp://user:secret@proxy.example", "its scheme"),
        ("socks5://user:secret@proxy.example", "its scheme"),
        (" http://secret.example", "it holds a blank"),
        ("http://secret.example\n", "it holds a blank"),
        ("http://user:sec ret@proxy.example", "it holds a blank"),
        (
            "\"http://secret.example\"",
            "it begins with a quotation mark",
        ),
        ("'secret.example:3128'", "it begins with a quotation mark"),
        (
            "http://user:sec\"ret@proxy.example",
            "its user name or password holds",
        ),
        (
            "http://user:secr\u{e9}t@proxy.example",
            "its user name or password holds",
        ),
        ("http://secret.example:99999", "its port"),
        ("http://secret.example:0", "its port"),
        ("http://secret.example:+80", "its port"),
        ("http://secret.example:port", "its port"),
        (
            "http://user:sec#ret@proxy.example",
            "it holds a `/`, `?`, `#`",
        ),
        (
            "http://user:1#secret@proxy.example",
            "it holds a `/`, `?`, `#`",
        ),
        (
            "http://user:1/secret@proxy.example",
            "it holds a `/`, `?`, `#`",
        ),
        (
            "http://user:1?secret@proxy.example",
            "it holds a `/`, `?`, `#`",
        ),
        (
            "http://user:1\\secret@proxy.example",
            "it holds a `/`, `?`, `#`",
        ),
        (
            "http://proxy.example:1/secret.pac",
            "it holds a `/`, `?`, `#`",
        ),
        ("http://user:sec%ret@proxy.example", "a `%`"),
        ("http://user:secret%4@proxy.example", "a `%`"),
        (
            "http://user:secret%ff@proxy.example",
            "its user name or password is not UTF-8",
        ),
        (
            "http://user:secret%0a@proxy.example",
            "its user name or password holds a control",
        ),
        (
            "http://us%3Aer:secret@proxy.example",
            "its user name holds a colon",
        ),
        ("http:secret.example", "its port"),
        ("http:/secret.example", "it holds a `/`"),
        ("http://secret_.10", "it names no host"),
        ("http://[fd00::secret]", "it names no host"),
    ] {
        let error = Proxy::all(url).unwrap_err();
        let shown = format!("{error} {error:?}");
        let expected = format!("the proxy is not the URL of a proxy: {problem}");
        assert!(error.to_string().starts_with(&expected), "{url}: {error}");
        assert!(!shown.contains("sec"), "{shown}");
    }
    for (url, to) in [
        ("proxy.example", "http://proxy.example/"),
        ("HTTP://proxy.example:3128/", THROUGH),
        ("https://user@proxy.example:1", "https://proxy.example:1/"),
        // The last `@` ends the password, as with curl and Go.
        ("http://user:p@ss@proxy.example:3128", THROUGH),
        ("user:p:ss'@proxy.example:3128", THROUGH),
        ("http://@proxy.example:3128", THROUGH),
        ("http://:pass@proxy.example:3128", THROUGH),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128/"),
        ("http://10.0.0.1:", "http://10.0.0.1/"),
    ] {
        let asked = run(routes(Proxy::all(url).unwrap(), ["https://relay.example/"]));
        assert_eq!(asked, [to], "{url}");
    }
}

proptest! {
    #[test]
    fn a_password_never_leads_to_another_host(user in ".{0,6}", password in "\\PC{0,12}|[a-z0-9:/?#@%\\[\\]]{0,12}") {
        let url = format!("http://{user}:{password}@proxy.example:3128");
        if let Ok(proxy) = Proxy::all(&url) {
            prop_assert_eq!(run(routes(proxy, ["http://relay.example/"])), [THROUGH]);
        }
    }

    #[test]
    fn a_list_means_the_same_however_it_is_written(
        name in "[a-z][a-z0-9-]{0,5}(\\.[a-z][a-z0-9]{0,3}){0,2}",
        host in "([a-z]{1,3}\\.)?[a-z][a-z0-9-]{0,5}(\\.[a-z][a-z0-9]{0,3}){0,2}",
        same in any::<bool>(),
    ) {
        let host = if same { format!("x.{name}") } else { host };
        let url = format!("http://{host}/");
        let is_direct = host == name || host.ends_with(&format!(".{name}")) || host.ends_with("localhost");
        let expected = if is_direct { url.as_str() } else { THROUGH };
        for list in [
            name.clone(),
            format!(" other.test ,{} ", name.to_uppercase()),
            format!("{name}."),
            format!(".{name}:80"),
        ] {
            let proxy = Proxy::all_except(PROXY, &list).unwrap();
            prop_assert_eq!(run(routes(proxy, [url.as_str()])), [expected], "{}", list);
        }
    }

    #[test]
    fn an_address_is_in_its_networks(address in any::<std::net::IpAddr>(), length in 0_u8..=128) {
        // As in Go, an IPv4-mapped IPv6 address is in no larger IPv6 network.
        prop_assume!(address.is_ipv4() || address.to_canonical() == address || length >= 96);
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let network = format!("{address}/{}", length.min(longest));
        let host = if address.is_ipv4() { address.to_string() } else { format!("[{address}]") };
        let url = format!("http://{host}/");
        let proxy = Proxy::all_except(PROXY, &network).unwrap();
        prop_assert_eq!(run(routes(proxy, [url.as_str()])), [url.as_str()]);
    }

    #[test]
    fn no_setting_causes_a_panic(proxy in ".{0,20}", list in ".{0,30}|[*.:/\\[\\]a-f0-9, ]{0,30}") {
        let _ = Proxy::all(&proxy);
        let _ = Proxy::all_except(PROXY, &list);
    }
}

/// Runs `story` in a process with these variables, and without all others for proxies.
fn environment(test: &str, set: &[(&str, &str)], story: impl AsyncFnOnce()) {
    in_a_process_of_its_own(&format!("proxy_settings::{test}"), set, &VARIABLES, story);
}

/// Returns the error of building a transport with the proxies of the environment.
fn refusal() -> String {
    let error = HttpTransport::new().unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("secret"), "{shown}");
    error.to_string()
}

#[test]
fn a_variable_that_is_empty_is_not_set() {
    let set = [
        ("HTTP_PROXY", ""),
        ("http_proxy", "plain.example"),
        ("HTTPS_PROXY", ""),
        ("https_proxy", ""),
        ("all_proxy", "all.example"),
        ("NO_PROXY", ""),
        ("no_proxy", "direct.example"),
    ];
    environment("a_variable_that_is_empty_is_not_set", &set, async || {
        let urls = [
            "http://relay.example/",
            "https://relay.example/",
            "http://direct.example/",
        ];
        let asked = [
            "http://plain.example/",
            "http://all.example/",
            "http://direct.example/",
        ];
        assert_eq!(routes(Proxy::from_env(), urls).await, asked);
    });
}

#[test]
fn a_variable_that_cannot_be_read_is_named() {
    let set = [("https_proxy", "http://user:1#secret@proxy.example")];
    environment(
        "a_variable_that_cannot_be_read_is_named",
        &set,
        async || {
            assert!(
                refusal().starts_with("https_proxy is not the URL of a proxy: it holds"),
                "{}",
                refusal()
            );
            let transport = HttpTransport::builder().proxy(Proxy::none()).build();
            assert!(transport.is_ok(), "another proxy is set");
        },
    );
}

#[test]
fn a_list_in_the_environment_that_cannot_be_read_is_named() {
    let set = [
        ("ALL_PROXY", "proxy.example"),
        ("NO_PROXY", "a.test,secret*"),
    ];
    let test = "a_list_in_the_environment_that_cannot_be_read_is_named";
    environment(test, &set, async || {
        assert!(
            refusal().starts_with("NO_PROXY cannot be read: entry 2 is"),
            "{}",
            refusal()
        );
    });
}

#[test]
fn a_variable_that_does_not_apply_is_not_read() {
    let set = [
        ("HTTP_PROXY", PROXY),
        ("HTTPS_PROXY", PROXY),
        ("ALL_PROXY", "no proxy at all"),
    ];
    environment(
        "a_variable_that_does_not_apply_is_not_read",
        &set,
        async || {
            assert_eq!(
                routes(Proxy::from_env(), ["https://relay.example/"]).await,
                [THROUGH]
            );
        },
    );
}

#[test]
fn a_header_of_a_request_to_a_cgi_script_names_no_proxy() {
    let set = [
        ("REQUEST_METHOD", "GET"),
        ("HTTP_PROXY", "http://attacker.example"),
        ("HTTPS_PROXY", PROXY),
    ];
    let test = "a_header_of_a_request_to_a_cgi_script_names_no_proxy";
    environment(test, &set, async || {
        let urls = ["http://relay.example/", "https://relay.example/"];
        assert_eq!(
            routes(Proxy::from_env(), urls).await,
            ["http://relay.example/", THROUGH]
        );
    });
}
