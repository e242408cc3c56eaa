//! TLS, with certificates of the test's own. Where the operating system's roots are is in the environment, which a
//! test cannot change for itself: each of these runs once more, in a process of its own.

use std::future::ready;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use twentyfirst_transport::{Body, Error, HttpTransport, Transport as _};

use crate::clock::Clock;
use crate::pieces::Pieces;
use crate::server::Server;
use crate::{chain, soon};

#[test]
fn a_machine_without_root_certificates_gets_an_error_for_https_only() {
    let test = "tls::a_machine_without_root_certificates_gets_an_error_for_https_only";
    in_a_process_of_its_own(test, async |_no_roots| {
        let transport = HttpTransport::new();
        let get = |url: &str| transport.send(Request::get(url).body(Body::empty()).unwrap());

        let error = get("https://127.0.0.1:9/").await.unwrap_err();
        assert!(!error.maybe_sent());
        assert!(error.is_connect());
        let chain = chain(&error);
        assert!(chain.contains("No CA certificates"), "{chain}");

        let plain = Server::start(|connection| connection.answer_all("plain")).await;
        assert!(get(&plain.url("/")).await.is_ok());
    });
}

#[test]
fn certificates_appear_while_the_program_runs() {
    let test = "tls::certificates_appear_while_the_program_runs";
    in_a_process_of_its_own(test, async |roots| {
        let transport = HttpTransport::new();
        let authority = Authority::new();
        let server = SecureServer::start(&authority, &[], echo).await;
        assert!(server.post(&transport).await.is_err());

        authority.write_roots(roots);

        assert!(server.post(&transport).await.is_ok());
    });
}

#[test]
fn the_version_is_agreed_in_the_handshake() {
    let test = "tls::the_version_is_agreed_in_the_handshake";
    in_a_process_of_its_own(test, async |roots| {
        let authority = Authority::new();
        authority.write_roots(roots);
        let transport = HttpTransport::new();
        for (offered, version) in [
            (&["h2", "http/1.1"][..], Version::HTTP_2),
            (&["http/1.1"], Version::HTTP_11),
            (&[], Version::HTTP_11),
        ] {
            let server = SecureServer::start(&authority, offered, echo).await;

            let answer = server.post(&transport).await.unwrap();

            assert_eq!(answer.version(), version, "{offered:?}");
            let body = answer.into_body().collect_up_to(100).await.unwrap();
            assert_eq!(body, "question");
        }
    });
}

#[test]
fn a_stream_outlives_the_idle_time_of_its_connection_and_its_transport() {
    let test = "tls::a_stream_outlives_the_idle_time_of_its_connection_and_its_transport";
    in_a_process_of_its_own(test, async |roots| {
        let authority = Authority::new();
        authority.write_roots(roots);
        for offered in ["h2", "http/1.1"] {
            let clock = Clock::new();
            let transport = HttpTransport::builder().runtime(clock.clone()).build();
            let server = SecureServer::start(&authority, &[offered], echo).await;
            let (pieces, body) = Pieces::new();
            let request = Request::post(&server.url).body(Body::wrap(body)).unwrap();

            pieces.send(Ok("before")).unwrap();
            let mut answer = soon(transport.send(request)).await.unwrap().into_body();
            let before = soon(answer.frame()).await.unwrap().unwrap();
            assert_eq!(before.into_data().unwrap(), "before", "{offered}");
            if offered == "h2" {
                // A connection that can be shared waits in the pool while it is in use.
                clock.pass_for_a_sleeper(Duration::from_secs(60)).await;
            }
            drop(transport);
            tokio::time::sleep(Duration::from_millis(5)).await;

            pieces.send(Ok("after")).unwrap();
            drop(pieces);
            let after = soon(answer.collect_up_to(100)).await.unwrap();
            assert_eq!(after, "after", "{offered}");
        }
    });
}

#[test]
fn a_server_that_is_not_trusted_receives_nothing() {
    let test = "tls::a_server_that_is_not_trusted_receives_nothing";
    in_a_process_of_its_own(test, async |roots| {
        Authority::new().write_roots(roots);
        let stranger = Authority::new();
        let server = SecureServer::start(&stranger, &["h2"], async |_| {
            unreachable!("the handshake cannot succeed")
        })
        .await;

        let error = server.post(&HttpTransport::new()).await.unwrap_err();

        assert!(!error.maybe_sent());
        assert!(error.is_connect());
        let chain = chain(&error);
        assert!(chain.contains("invalid peer certificate"), "{chain}");
    });
}

#[test]
fn a_secure_connection_closed_before_the_answer_may_have_sent_the_request() {
    let test = "tls::a_secure_connection_closed_before_the_answer_may_have_sent_the_request";
    in_a_process_of_its_own(test, async |roots| {
        let authority = Authority::new();
        authority.write_roots(roots);
        for offered in ["h2", "http/1.1"] {
            let server = SecureServer::start(&authority, &[offered], async |mut stream| {
                let mut received = Vec::new();
                while !received.ends_with(b"question") {
                    assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0);
                }
            })
            .await;

            let error = server.post(&HttpTransport::new()).await.unwrap_err();

            assert!(error.maybe_sent(), "{offered}: {}", chain(&error));
            assert!(!error.is_connect());
        }
    });
}

/// Runs `story` in a process whose root certificates are in the file that it is given, which does not exist yet.
fn in_a_process_of_its_own(test: &str, story: impl AsyncFnOnce(&Path)) {
    if let Some(roots) = std::env::var_os("TRANSPORT_TEST_ROOTS") {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(story(Path::new(&roots)));
        return;
    }
    let name = format!("{}-{}.pem", test.replace(':', "-"), std::process::id());
    let roots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("TRANSPORT_TEST_ROOTS", &roots)
        .env("SSL_CERT_FILE", &roots)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    // Not every story writes them.
    let _ = std::fs::remove_file(&roots);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("1 passed"), "{stdout}");
    assert!(output.status.success(), "{stdout}");
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    fn write_roots(&self, file: &Path) {
        std::fs::write(file, self.issuer.pem()).unwrap();
    }

    /// TLS for a server at 127.0.0.1 that speaks these protocols.
    fn server_config(&self, protocols: &[&str]) -> rustls::ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([String::from("127.0.0.1")])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config =
            rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.into()], key)
                .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| Vec::from(*name)).collect();
        config
    }
}

struct SecureServer {
    url: String,
}

impl SecureServer {
    async fn start<F, Fut>(authority: &Authority, protocols: &[&str], serve: F) -> Self
    where
        F: Fn(TlsStream<TcpStream>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(authority.server_config(protocols)));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    tokio::spawn(serve(stream));
                }
            }
        });
        Self { url }
    }

    async fn post(&self, transport: &HttpTransport) -> Result<Response<Body>, Error> {
        let request = Request::post(&self.url).body("question".into()).unwrap();
        transport.send(request).await
    }
}

/// Answers with what was asked, in the version that was agreed.
async fn echo(stream: TlsStream<TcpStream>) {
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(|request: Request<Incoming>| {
        ready(Ok::<_, Error>(Response::new(request.into_body())))
    });
    let stream = TokioIo::new(stream);
    // It ends with an error when the client leaves.
    let _ = if h2 {
        http2::Builder::new(TokioExecutor::new())
            .serve_connection(stream, service)
            .await
    } else {
        http1::Builder::new()
            .serve_connection(stream, service)
            .await
    };
}
