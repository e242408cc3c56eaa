//! TLS: trust, negotiation, and the bytes sent before the server is authenticated.

#[cfg(target_os = "linux")]
use std::path::Path;
use std::time::Duration;

use http::{Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use twentyfirst_transport::{
    Body, ClientCertificate, Error, HttpTransport, HttpTransportBuilder, RootCertificates,
    Transport as _,
};

use crate::clock::Clock;
use crate::pieces::Pieces;
#[cfg(target_os = "linux")]
use crate::process::in_a_process_of_its_own;
use crate::secure::{Authority, SecureServer, echo};
#[cfg(target_os = "linux")]
use crate::server::Server;
use crate::{chain, soon};

fn trusting(authority: &Authority) -> HttpTransportBuilder {
    HttpTransport::builder().root_certificates(authority.roots())
}

// On other systems the environment cannot name the file of the roots.
#[cfg(target_os = "linux")]
#[test]
fn a_machine_without_root_certificates_gets_an_error_for_https_only() {
    let test = "tls::a_machine_without_root_certificates_gets_an_error_for_https_only";
    in_a_process_with_roots(test, async |_no_roots| {
        let transport = HttpTransport::new().unwrap();
        let get = |url: &str| transport.send(Request::get(url).body(Body::empty()).unwrap());

        let error = get("https://127.0.0.1:9/").await.unwrap_err();
        assert!(!error.maybe_sent());
        assert!(error.is_connect());
        let chain = chain(&error);
        assert!(
            chain.ends_with("SSL_CERT_FILE names a file that does not exist"),
            "{chain}"
        );

        let plain = Server::start(|connection| connection.respond_to_all("plain")).await;
        assert!(get(&plain.url("/")).await.is_ok());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn certificates_appear_while_the_program_runs() {
    let test = "tls::certificates_appear_while_the_program_runs";
    in_a_process_with_roots(test, async |roots| {
        let transport = HttpTransport::new().unwrap();
        let authority = Authority::new();
        let server = SecureServer::start(authority.server_config(&[]), echo).await;
        assert!(server.post(&transport).await.is_err());

        std::fs::write(roots, authority.pem()).unwrap();

        assert!(server.post(&transport).await.is_ok());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_of_roots_is_read_whole_or_refused_with_its_line() {
    let test = "tls::a_file_of_roots_is_read_whole_or_refused_with_its_line";
    in_a_process_with_roots(test, async |roots| {
        let authority = Authority::new();
        let server = SecureServer::start(authority.server_config(&[]), echo).await;
        let post = async |pem: String| {
            std::fs::write(roots, pem).unwrap();
            let result = server.post(&HttpTransport::new().unwrap()).await;
            result.map(drop).map_err(|error| chain(&error))
        };
        let pem = authority.pem();
        // The verifier itself would skip both.
        assert_eq!(post(format!("\u{feff}{pem}")).await, Ok(()));
        let older = pem.replace("CERTIFICATE", "X509 CERTIFICATE");
        assert_eq!(post(older).await, Ok(()));
        let trusted = pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
        let other = Authority::new().pem();
        let line = other.lines().count() + 1;
        let problem = format!("SSL_CERT_FILE names a file that cannot be read: line {line}: ");
        let error = post(format!("{other}{trusted}")).await.unwrap_err();
        assert!(error.contains(&problem), "{error}");
        let error = post(String::new()).await.unwrap_err();
        assert!(
            error.ends_with("SSL_CERT_FILE names a file without certificates in PEM"),
            "{error}"
        );
        // With the program's own roots the file may be missing.
        std::fs::remove_file(roots).unwrap();
        assert!(
            server
                .post(&trusting(&authority).build().unwrap())
                .await
                .is_ok()
        );
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_empty_variable_for_the_file_of_roots_is_reported() {
    let test = "tls::an_empty_variable_for_the_file_of_roots_is_reported";
    let set = [("SSL_CERT_FILE", "")];
    in_a_process_of_its_own(test, &set, &["SSL_CERT_DIR"], async || {
        let get = Request::get("https://127.0.0.1:9/").body(Body::empty());
        let transport = HttpTransport::new().unwrap();
        let error = transport.send(get.unwrap()).await.unwrap_err();
        let chain = chain(&error);
        assert!(chain.contains("SSL_CERT_FILE is empty"), "{chain}");
    });
}

#[tokio::test]
async fn the_version_is_negotiated_in_the_handshake() {
    let authority = Authority::new();
    let transport = trusting(&authority).build().unwrap();
    for (offered, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let server = SecureServer::start(authority.server_config(offered), echo).await;

        let response = server.post(&transport).await.unwrap();

        assert_eq!(response.version(), version, "{offered:?}");
        let body = response.into_body().collect_up_to(100).await.unwrap();
        assert_eq!(body, "question");
    }
}

#[tokio::test]
async fn a_stream_outlives_the_idle_time_of_its_connection_and_its_transport() {
    let authority = Authority::new();
    for offered in ["h2", "http/1.1"] {
        let clock = Clock::new();
        let transport = trusting(&authority).runtime(clock.clone()).build().unwrap();
        let server = SecureServer::start(authority.server_config(&[offered]), echo).await;
        let (pieces, body) = Pieces::new();
        let request = Request::post(&server.url).body(Body::wrap(body)).unwrap();

        pieces.send(Ok("before")).unwrap();
        let mut response = soon(transport.send(request)).await.unwrap().into_body();
        let before = soon(response.frame()).await.unwrap().unwrap();
        assert_eq!(before.into_data().unwrap(), "before", "{offered}");
        if offered == "h2" {
            // A shared connection stays in the pool while it is used.
            clock.pass_for_a_sleeper(Duration::from_secs(60)).await;
        }
        drop(transport);
        tokio::time::sleep(Duration::from_millis(5)).await;

        pieces.send(Ok("after")).unwrap();
        drop(pieces);
        let after = soon(response.collect_up_to(100)).await.unwrap();
        assert_eq!(after, "after", "{offered}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_receives_nothing() {
    let stranger = Authority::new();
    let server = SecureServer::start(stranger.server_config(&["h2"]), async |_| {
        unreachable!("the handshake cannot succeed")
    })
    .await;
    let transport = trusting(&Authority::new()).build().unwrap();

    let error = server.post(&transport).await.unwrap_err();

    assert!(!error.maybe_sent());
    assert!(error.is_connect());
    let chain = chain(&error);
    assert!(chain.contains("invalid peer certificate"), "{chain}");
}

#[tokio::test]
async fn a_secure_connection_closed_before_the_response_may_have_sent_the_request() {
    let authority = Authority::new();
    for offered in ["h2", "http/1.1"] {
        let config = authority.server_config(&[offered]);
        let server = SecureServer::start(config, async |mut stream| {
            let mut received = Vec::new();
            while !received.ends_with(b"question") {
                assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0);
            }
        })
        .await;

        let error = server
            .post(&trusting(&authority).build().unwrap())
            .await
            .unwrap_err();

        assert!(error.maybe_sent(), "{offered}: {}", chain(&error));
        assert!(!error.is_connect());
    }
}

#[tokio::test]
async fn several_authorities_are_trusted_in_pem_or_der() {
    let (first, second) = (Authority::new(), Authority::new());
    let both = format!("{}{}", first.pem(), second.pem());
    let in_one_file = RootCertificates::from_pem(both.as_bytes()).unwrap();
    let der = RootCertificates::from_der(&first.der()).unwrap();
    for transport in [
        HttpTransport::builder()
            .root_certificates(in_one_file)
            .build()
            .unwrap(),
        HttpTransport::builder()
            .root_certificates(der)
            .root_certificates(second.roots())
            .build()
            .unwrap(),
    ] {
        for authority in [&first, &second] {
            let server = SecureServer::start(authority.server_config(&[]), echo).await;
            assert!(server.post(&transport).await.is_ok());
        }
    }
}

#[tokio::test]
async fn a_server_may_require_a_client_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let config = authority.server_config_for(&clients, &["h2"]);
    let server = SecureServer::start(config, echo).await;
    let (certificate, key) = clients.issue();

    for client in [
        ClientCertificate::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()),
        ClientCertificate::from_der([&**certificate.der()], key.serialized_der()),
    ] {
        let known = trusting(&authority)
            .client_certificate(client.unwrap())
            .build()
            .unwrap();
        assert!(server.post(&known).await.is_ok());
    }

    // In TLS 1.3 the server refuses after the client's handshake is complete, when the request may have been sent.
    let unknown = trusting(&authority).build().unwrap();
    let error = server.post(&unknown).await.unwrap_err();
    assert!(
        chain(&error).contains("CertificateRequired"),
        "{}",
        chain(&error)
    );
}

#[test]
fn certificates_that_cannot_be_used_are_refused_and_not_shown() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue();
    let (_, another_key) = authority.issue();
    let certificate = certificate.pem();
    let secret = key.serialize_pem();
    let broken = secret.replace("-----END", "-----FIN");

    let client = |certificate: &str, key: &str| {
        ClientCertificate::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap_err()
    };
    for (error, problem) in [
        (
            RootCertificates::from_der(b"not a certificate").unwrap_err(),
            "the root certificate cannot be read",
        ),
        (client("", &secret), "there is no client certificate"),
        (
            client(&certificate, &certificate),
            "no private key found in the PEM data",
        ),
        (
            client(&certificate, &broken),
            "the private key cannot be read: line 5: this is not base64",
        ),
        (
            client(&certificate, &another_key.serialize_pem()),
            "the client certificate and its key cannot be used together",
        ),
        (
            ClientCertificate::from_der([], key.serialized_der()).unwrap_err(),
            "there is no client certificate",
        ),
        (
            ClientCertificate::from_der([], b"not a key").unwrap_err(),
            "the private key cannot be read",
        ),
    ] {
        assert_eq!(error.to_string(), problem);
        let shown = format!("{error:?} {:?}", std::error::Error::source(&error));
        for line in secret.lines() {
            assert!(!shown.contains(line), "{shown}");
        }
    }
}

mod pings {
    use super::*;

    /// A server that responds to no ping, and stops reading at the first one if it `vanishes`; it responds to `/probe`.
    async fn silent_server(authority: &Authority, vanishes: bool) -> (SecureServer, Questions) {
        let (asked, questions) = mpsc::unbounded_channel();
        let config = authority.server_config(&["h2"]);
        let server = SecureServer::start(config, move |stream| {
            let asked = asked.clone();
            async move {
                let (question, mut questions) = mpsc::unbounded_channel();
                let service = service_fn(move |request: Request<Incoming>| {
                    let question = question.clone();
                    async move {
                        if request.uri().path() != "/probe" {
                            question.send(()).unwrap();
                            std::future::pending::<()>().await;
                        }
                        Ok::<_, Error>(Response::new(Body::empty()))
                    }
                });
                let connection = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                let mut connection = Box::pin(connection);
                tokio::select! {
                    _ = &mut connection => unreachable!("the first ping gets no response"),
                    _ = questions.recv() => asked.send(()).unwrap(),
                }
                if vanishes {
                    std::future::pending::<()>().await;
                }
                // It ends with an error when the client leaves.
                let _ = connection.await;
            }
        })
        .await;
        (server, questions)
    }

    type Questions = mpsc::UnboundedReceiver<()>;

    #[tokio::test]
    async fn detect_that_a_server_has_vanished() {
        let authority = Authority::new();
        let (server, mut asked) = silent_server(&authority, true).await;
        let clock = Clock::new();
        let transport = trusting(&authority)
            .http2_keep_alive(Duration::from_secs(20))
            .runtime(clock.clone())
            .build()
            .unwrap();
        let request = Request::post(&server.url)
            .body(Body::from("question"))
            .unwrap();

        let mut call = tokio::spawn(transport.send(request));
        soon(asked.recv()).await.unwrap();
        let result = soon(async {
            loop {
                clock.pass_for_a_sleeper(Duration::from_secs(20)).await;
                let news = tokio::time::timeout(Duration::from_millis(5), &mut call).await;
                if let Ok(result) = news {
                    return result.unwrap();
                }
            }
        })
        .await;

        let error = result.unwrap_err();
        assert!(error.maybe_sent());
        assert!(chain(&error).contains("keep-alive timed out"));
    }

    #[tokio::test]
    async fn are_acknowledged_by_a_slow_server() {
        let authority = Authority::new();
        let (server, mut asked) = silent_server(&authority, false).await;
        let clock = Clock::new();
        let transport = trusting(&authority)
            .http2_keep_alive(Duration::from_secs(20))
            .runtime(clock.clone())
            .build()
            .unwrap();
        let request = Request::post(&server.url)
            .body(Body::from("question"))
            .unwrap();

        let call = tokio::spawn(transport.send(request));
        soon(asked.recv()).await.unwrap();
        for _ in 0..5 {
            clock.pass_for_a_sleeper(Duration::from_secs(20)).await;
            // Meanwhile the ping and its response have passed, too.
            for _ in 0..3 {
                let probe = Request::get(format!("{}probe", server.url))
                    .body(Body::empty())
                    .unwrap();
                soon(transport.send(probe)).await.unwrap();
            }
        }
        assert!(!call.is_finished());
    }
}

/// Runs `story` in a process that reads its root certificates from the given file, which does not exist yet.
#[cfg(target_os = "linux")]
pub(crate) fn in_a_process_with_roots(test: &str, story: impl AsyncFnOnce(&Path)) {
    let name = format!("{}-{}.pem", test.replace(':', "-"), std::process::id());
    let roots = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let set = [("SSL_CERT_FILE", roots.to_str().unwrap())];
    in_a_process_of_its_own(test, &set, &["SSL_CERT_DIR"], async || {
        let roots = std::env::var_os("SSL_CERT_FILE").unwrap();
        story(Path::new(&roots)).await;
    });
    // Not every story writes the file.
    let _ = std::fs::remove_file(&roots);
}
