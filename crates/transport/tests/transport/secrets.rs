//! Searches everything that is printed, logged and recorded for secrets.

use std::fmt::{Debug, Write as _};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use twentyfirst_transport::{
    Body, ClientCertificate, Error, HttpTransport, Proxy, SharedTransport, StageTimeouts,
    TokioRuntime, Transport, WithTimeouts,
};

use crate::chain;
use crate::process::in_a_process_of_its_own;
use crate::secure::{Authority, SecureServer, echo};
use crate::server::Server;

const SECRETS: [&str; 6] = [
    "key-secret",
    "query-secret",
    "asked-secret",
    "served-secret",
    "proxy-secret",
    // user:proxy-secret
    "dXNlcjpwcm94eS1zZWNyZXQ=",
];

/// All text that was shown.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<String>>);

impl Shown {
    fn debug(&self, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{value:?} {value:#?}").unwrap();
    }

    fn error(&self, error: &Error) {
        self.debug(error);
        self.0.lock().unwrap().push_str(&chain(error));
    }
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.lock().unwrap().push_str(&text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn request(url: &str, timeouts: StageTimeouts) -> Request<Body> {
    Request::post(format!("{url}v1/things?token=query-secret"))
        // Not marked as sensitive, but still never shown.
        .header("authorization", "Bearer key-secret")
        .extension(timeouts)
        .body(r#"{"password":"asked-secret"}"#.into())
        .unwrap()
}

/// Shows every text of an exchange.
async fn exchange(shown: &Shown, transport: &(impl Transport + Debug), url: &str) {
    let mut timeouts = StageTimeouts::default();
    timeouts.send = Some(Duration::from_secs(5));
    timeouts.head = Some(Duration::from_millis(300));
    timeouts.read = Some(Duration::from_millis(300));
    timeouts.total = Some(Duration::from_secs(5));
    shown.debug(transport);
    shown.debug(&timeouts);
    let call = transport.send(request(url, timeouts));
    shown.debug(&call);
    match call.await {
        Ok(response) => {
            let body: Response<Body> = response;
            let body = body.into_body();
            shown.debug(&body);
            let collect = body.collect_up_to(1_000);
            shown.debug(&collect);
            match collect.await {
                Ok(bytes) => shown.debug(&Body::from(bytes).read_beginning(10).await),
                Err(error) => shown.error(&error),
            }
        }
        Err(error) => shown.error(&error),
    }
}

#[test]
fn nothing_secret_is_shown_or_logged() {
    // Subscribers of other tests decide whether anything is logged at all.
    let test = "secrets::nothing_secret_is_shown_or_logged";
    in_a_process_of_its_own(test, &[], &[], show_everything);
}

async fn show_everything() {
    let shown = Shown::default();
    let writer = shown.clone();
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _guard = tracing_subscriber::registry()
        .with(layer)
        .with(LevelFilter::TRACE)
        .set_default();

    let authority = Authority::new();
    let (certificate, key) = authority.issue();
    let key = key.serialize_pem();
    let client = ClientCertificate::from_pem(certificate.pem().as_bytes(), key.as_bytes()).unwrap();
    let builder = |proxy: Proxy| {
        shown.debug(&proxy);
        let builder = HttpTransport::builder()
            .root_certificates(authority.roots())
            .client_certificate(client.clone())
            .proxy(proxy);
        shown.debug(&builder);
        layered(builder.build().unwrap(), &shown)
    };
    shown.debug(&client);
    let direct = builder(Proxy::none());

    // HTTP/2 and HTTP/1.1 over TLS, with a server that requires a client certificate.
    for offered in ["h2", "http/1.1"] {
        let config = authority.server_config_for(&authority, &[offered]);
        let server = SecureServer::start(config, echo).await;
        exchange(&shown, &direct, &server.url).await;
    }
    // A server that is not trusted.
    let config = Authority::new().server_config(&[]);
    let stranger = SecureServer::start(config, echo).await;
    exchange(&shown, &direct, &stranger.url).await;

    // Responses that arrive, arrive incomplete, break off, are invalid, or redirect.
    for response in [
        "HTTP/1.1 200 OK\r\nset-cookie: served-secret\r\ncontent-length: 13\r\n\r\nserved-secret",
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nserved-secret",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nserved-secret\r\n",
        "HTTP/1.1 200 OK\r\nserved-secret\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: /served-secret\r\ncontent-length: 0\r\n\r\n",
        "served-secret\r\n\r\n",
        "",
    ] {
        for closes in [true, false] {
            let server = Server::start(move |mut connection| async move {
                connection.read_head().await.unwrap();
                connection.write(response).await;
                if !closes {
                    connection.read_to_end().await;
                }
            })
            .await;
            exchange(&shown, &direct, &server.url("/")).await;
        }
    }

    // Proxies that tunnel, that refuse, and that read the request.
    let config = authority.server_config(&["h2"]);
    let server = SecureServer::start(config, echo).await;
    for (response, url) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "https://relay.example/"),
        (
            "HTTP/1.1 407 served-secret\r\nproxy-authenticate: Basic\r\n\r\n",
            "https://relay.example/",
        ),
        ("served-secret\r\n\r\n", "https://relay.example/"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nserved-secret",
            "http://relay.example/",
        ),
    ] {
        let proxy = Server::start(move |mut connection| async move {
            connection.read_head().await.unwrap();
            connection.write(response).await;
            connection.tunnel_to(server.address).await;
        })
        .await;
        let proxy = proxy.url("").replace("//", "//user:proxy-secret@");
        let through = builder(Proxy::all(&proxy).unwrap());
        exchange(&shown, &through, url).await;
    }
    // No server at all.
    let nowhere = builder(Proxy::all("http://user:proxy-secret@127.0.0.1:9").unwrap());
    exchange(&shown, &nowhere, "https://relay.example/").await;

    let shown = shown.0.lock().unwrap();
    // The subscriber has seen something.
    for heard in [
        "hyper_util::client",
        "h2::codec",
        "no response within 300ms",
    ] {
        assert!(shown.contains(heard), "{heard}");
    }
    for secret in SECRETS.into_iter().chain(key.lines()) {
        if let Some(place) = shown.find(secret) {
            let around = shown[..place].char_indices().rev().nth(300);
            let around = around.map_or(0, |(at, _)| at);
            panic!(
                "{secret} is shown: {}",
                &shown[around..place + secret.len()]
            );
        }
    }
}

/// All wrappers of this crate around the transport.
fn layered(transport: HttpTransport, cassette: &Shown) -> SharedTransport {
    let transport = WithTimeouts::new(transport, TokioRuntime);
    #[cfg(not(feature = "cassette"))]
    let _ = cassette;
    #[cfg(feature = "cassette")]
    let transport = {
        use twentyfirst_transport::cassette::{Masking, Recorder};
        // All bodies, headers and paths.
        let masking = |text: &[u8]| vec![(0..text.len(), "***")];
        Recorder::new(transport, cassette.clone(), move |_| Masking::new(masking))
    };
    #[cfg(feature = "tracing")]
    let transport = twentyfirst_transport::WithTracing::new(transport);
    SharedTransport::new(transport)
}
