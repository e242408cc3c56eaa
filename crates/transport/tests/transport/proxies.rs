//! Proxies on loopback, in front of servers whose names do not resolve.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::{fmt, io};

use http::{Request, Response, Uri};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::compat::Compat;
use tower::service_fn;
use twentyfirst_transport::{Body, Error, HttpTransport, Proxy, RootCertificates, Transport as _};

use crate::process::in_a_process_of_its_own;
use crate::secure::{Authority, SecureServer, echo};
use crate::server::{Connection, Server};
use crate::{chain, soon};

type Heads = mpsc::UnboundedReceiver<String>;

/// Starts a proxy that tunnels everything to one server and reports the requests that it got.
async fn tunnels_to(server: SocketAddr) -> (Server, Heads) {
    proxy_with(move |mut connection| async move {
        connection
            .write("HTTP/1.1 200 Connection established\r\n\r\n")
            .await;
        connection.tunnel_to(server).await;
    })
    .await
}

/// Starts a proxy that reports the requests that it got and then runs `then`.
async fn proxy_with<Fut>(
    then: impl Fn(Connection) -> Fut + Clone + Send + 'static,
) -> (Server, Heads)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let (asked, heads) = mpsc::unbounded_channel();
    let proxy = Server::start(move |mut connection| {
        let (asked, then) = (asked.clone(), then.clone());
        async move {
            let head = connection.read_head().await.unwrap();
            asked.send(head).unwrap();
            then(connection).await;
        }
    })
    .await;
    (proxy, heads)
}

async fn post(transport: &HttpTransport, url: &str) -> Result<Response<Body>, Error> {
    let request = Request::post(url)
        .header("authorization", "Bearer sk-secret")
        .body("question".into())
        .unwrap();
    transport.send(request).await
}

#[tokio::test]
async fn a_secure_server_is_reached_through_a_tunnel() {
    let authority = Authority::new();
    for (version, user, authorization) in [
        ("h2", "", ""),
        (
            "http/1.1",
            "Aladdin:open%20sesame@",
            // The user and password of RFC 7617, with a space.
            "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n",
        ),
    ] {
        let server = SecureServer::start(authority.server_config(&[version]), echo).await;
        let (proxy, mut heads) = tunnels_to(server.address).await;
        let proxy_url = proxy.url("").replace("//", &format!("//{user}"));
        let transport = HttpTransport::builder()
            .root_certificates(authority.roots())
            .proxy(Proxy::all(&proxy_url).unwrap())
            .build()
            .unwrap();

        for url in ["https://relay.example/v1", "https://other.example:8443/"] {
            let response = post(&transport, url).await.unwrap();
            assert_eq!(response.headers().get("proxy-authorization"), None);
            let body = response.into_body().collect_up_to(100).await.unwrap();
            assert_eq!(body, "question");
        }

        for host in ["relay.example:443", "other.example:8443"] {
            assert_eq!(
                soon(heads.recv()).await.unwrap(),
                format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n")
            );
        }
        // Reused like any connection.
        post(&transport, "https://relay.example/v1").await.unwrap();
        assert!(heads.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_tunnel_that_is_not_made_has_sent_nothing() {
    for (response, problem) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "proxy authorization required",
        ),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "unsuccessful"),
        ("HTTP/1.1 200 Conn", "unexpected end of file"),
        ("", "unexpected end of file"),
    ] {
        let (proxy, mut heads) =
            proxy_with(move |mut connection| async move { connection.write(response).await }).await;
        let proxy_url = proxy.url("").replace("//", "//user:proxy-secret@");
        let transport = HttpTransport::builder()
            .proxy(Proxy::all(&proxy_url).unwrap())
            .root_certificates(Authority::new().roots())
            .build()
            .unwrap();

        let error = post(&transport, "https://relay.example/")
            .await
            .unwrap_err();

        let head = soon(heads.recv()).await.unwrap();
        assert!(!head.contains("sk-secret"), "{head}");
        assert!(!error.maybe_sent());
        assert!(error.is_connect());
        assert!(chain(&error).contains(problem), "{}", chain(&error));
        let shown = format!("{} {error:?}", chain(&error));
        assert!(!shown.contains("proxy-secret") && !shown.contains("dXNlcjpwcm94eS1zZWNyZXQ="));
    }
}

#[tokio::test]
async fn a_request_to_an_http_server_is_sent_to_the_proxy_itself() {
    for (user, authorization) in [
        ("", None),
        ("user@", Some("proxy-authorization: Basic dXNlcjo=")),
    ] {
        let (proxy, mut heads) = proxy_with(async |mut connection: Connection| {
            assert_eq!(connection.read_exact(8).await, "question");
            connection.respond("200 OK", "from the proxy").await;
            connection.closed().await;
        })
        .await;
        let proxy_url = proxy.url("").replace("//", &format!("//{user}"));
        let transport = HttpTransport::builder()
            .proxy(Proxy::all(&proxy_url).unwrap())
            .build()
            .unwrap();

        let response = post(&transport, "http://relay.example/v1/chat?limit=2")
            .await
            .unwrap();

        let body = response.into_body().collect_up_to(100).await.unwrap();
        assert_eq!(body, "from the proxy");
        let head = soon(heads.recv()).await.unwrap();
        let mut lines = head.lines();
        assert_eq!(
            lines.next(),
            Some("POST http://relay.example/v1/chat?limit=2 HTTP/1.1")
        );
        assert!(lines.clone().any(|line| line == "host: relay.example"));
        assert_eq!(
            lines.find(|line| line.starts_with("proxy-authorization")),
            authorization
        );
    }
}

#[tokio::test]
async fn the_connection_to_the_proxy_may_use_tls() {
    let authority = Authority::new();
    let server = SecureServer::start(authority.server_config(&["h2"]), echo).await;
    let (proxy, mut heads) = tunnels_to(server.address).await;
    let inner = proxy.address();
    let secure_proxy = SecureServer::start(
        authority.server_config(&["h2", "http/1.1"]),
        move |mut stream| async move {
            assert_eq!(stream.get_ref().1.alpn_protocol(), None);
            let mut inner = tokio::net::TcpStream::connect(inner).await.unwrap();
            // A reset closes, too.
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
        },
    )
    .await;
    let transport = HttpTransport::builder()
        .root_certificates(authority.roots())
        .proxy(Proxy::all(&secure_proxy.url).unwrap())
        .build()
        .unwrap();

    let response = post(&transport, "https://relay.example/").await.unwrap();

    assert_eq!(response.version(), http::Version::HTTP_2);
    let head = soon(heads.recv()).await.unwrap();
    assert!(head.starts_with("CONNECT relay.example:443 "), "{head}");
}

static ROOTS: LazyLock<RootCertificates> = LazyLock::new(|| Authority::new().roots());

/// A transport that connects to nothing, and the URIs to which it should connect.
pub(crate) fn nowhere(proxy: Proxy) -> (HttpTransport, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let connector = service_fn(move |uri: Uri| {
        log.lock().unwrap().push(uri.to_string());
        async { Err::<Compat<DuplexStream>, _>(io::Error::other("nowhere")) }
    });
    let transport = HttpTransport::builder()
        .root_certificates(ROOTS.clone())
        .connector(connector)
        .proxy(proxy)
        .build()
        .unwrap();
    (transport, asked)
}

/// Returns the address to which a transport would connect for each URL.
pub(crate) async fn routes<const N: usize>(proxy: Proxy, urls: [&str; N]) -> Vec<String> {
    let (transport, asked) = nowhere(proxy);
    for url in urls {
        let error = post(&transport, url).await.unwrap_err();
        assert!(error.is_connect() && !error.maybe_sent());
        assert!(chain(&error).ends_with("nowhere"), "{}", chain(&error));
    }
    std::mem::take(&mut asked.lock().unwrap())
}

#[tokio::test]
async fn this_machine_is_never_reached_through_a_proxy() {
    let urls = [
        "http://localhost/",
        "https://LOCALHOST:8443/",
        "http://relay.localhost/",
        "http://localhost./",
        "http://127.0.0.1/",
        "https://127.8.9.10/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
    ];

    let asked = routes(Proxy::all("http://proxy.example:3128").unwrap(), urls).await;

    assert_eq!(asked, urls);
}

#[tokio::test]
async fn a_proxy_has_exceptions() {
    let except = "direct.example, .below.example,10.0.0.0/8,192.0.2.7,fd00::/8";
    let proxy = Proxy::all_except("proxy.example:3128", except).unwrap();
    let through = "http://proxy.example:3128/";
    for (url, to) in [
        ("https://relay.example/", through),
        ("https://notdirect.example/", through),
        ("http://11.0.0.1/", through),
        ("http://192.0.2.8/", through),
        ("https://direct.example/", "https://direct.example/"),
        ("https://a.direct.example:1/", "https://a.direct.example:1/"),
        ("https://a.below.example/", "https://a.below.example/"),
        ("http://10.9.8.7:80/", "http://10.9.8.7:80/"),
        ("http://192.0.2.7/", "http://192.0.2.7/"),
        ("http://[fd00::1]/", "http://[fd00::1]/"),
    ] {
        assert_eq!(routes(proxy.clone(), [url]).await, [to], "{url}");
    }

    let nothing = Proxy::all_except("proxy.example:3128", "*").unwrap();
    let urls = ["https://relay.example/"];
    assert_eq!(routes(nothing, urls).await, urls);
}

#[test]
fn the_environment_names_proxies() {
    let test = "proxies::the_environment_names_proxies";
    let set = [
        ("HTTPS_PROXY", "http://user:secret@secure.example:1"),
        ("http_proxy", "plain.example:2"),
        ("no_proxy", "direct.example"),
    ];
    in_a_process_of_its_own(test, &set, &VARIABLES, async || {
        let urls = [
            "https://relay.example/",
            "http://relay.example/",
            "https://a.direct.example/",
            "http://localhost/",
        ];
        let asked = [
            "http://secure.example:1/",
            "http://plain.example:2/",
            "https://a.direct.example/",
            "http://localhost/",
        ];
        assert_eq!(routes(Proxy::from_env(), urls).await, asked);
        assert_eq!(routes(Proxy::default(), urls).await, asked);
        assert_eq!(routes(Proxy::none(), urls).await, urls);
        let other = Proxy::all("https://other.example").unwrap();
        assert_eq!(
            routes(other, ["http://a.direct.example/"]).await,
            ["https://other.example/"]
        );
    });
}

#[test]
fn all_proxy_applies_to_schemes_without_their_own_proxy() {
    let test = "proxies::all_proxy_applies_to_schemes_without_their_own_proxy";
    let set = [
        ("ALL_PROXY", "http://all.example"),
        ("https_proxy", "http://secure.example"),
        ("NO_PROXY", "198.51.100.0/24"),
    ];
    in_a_process_of_its_own(test, &set, &VARIABLES, async || {
        let urls = [
            "https://relay.example/",
            "http://relay.example/",
            "http://198.51.100.200/",
        ];
        let asked = [
            "http://secure.example/",
            "http://all.example/",
            "http://198.51.100.200/",
        ];
        assert_eq!(routes(Proxy::from_env(), urls).await, asked);
    });
}

#[test]
fn a_socks_proxy_is_an_error_and_is_not_bypassed() {
    let test = "proxies::a_socks_proxy_is_an_error_and_is_not_bypassed";
    let set = [("ALL_PROXY", "socks5://user:secret@socks.example")];
    in_a_process_of_its_own(test, &set, &VARIABLES, async || {
        let (transport, asked) = nowhere(Proxy::from_env());

        let error = post(&transport, "https://relay.example/")
            .await
            .unwrap_err();

        assert!(!error.maybe_sent());
        let problem =
            "ALL_PROXY names a socks proxy, and only http and https proxies are supported";
        assert!(chain(&error).ends_with(problem), "{}", chain(&error));
        assert!(asked.lock().unwrap().is_empty());
    });
}

pub(crate) const VARIABLES: [&str; 9] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "REQUEST_METHOD",
];

#[test]
fn the_url_of_a_proxy_is_never_shown() {
    let shown: [&dyn fmt::Debug; 4] = [
        &Proxy::from_env(),
        &Proxy::none(),
        &Proxy::all("http://user:secret@proxy.example").unwrap(),
        &HttpTransport::builder().proxy(Proxy::all("http://user:secret@proxy.example").unwrap()),
    ];
    for shown in shown {
        let shown = format!("{shown:?}");
        assert!(shown.contains("Proxy("));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
