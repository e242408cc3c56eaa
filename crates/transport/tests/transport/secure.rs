//! A TLS server on loopback, with the test's own certificates.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use twentyfirst_transport::{Body, Error, RootCertificates, Transport};

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    pub(crate) fn roots(&self) -> RootCertificates {
        RootCertificates::from_pem(self.pem().as_bytes()).unwrap()
    }

    /// A certificate and its key, for 127.0.0.1 and two names that do not resolve.
    pub(crate) fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1", "relay.example", "other.example"].map(String::from);
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "test");
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    /// Returns TLS settings for a server that speaks these protocols.
    pub(crate) fn server_config(&self, protocols: &[&str]) -> rustls::ServerConfig {
        self.config(protocols, None)
    }

    /// Returns TLS settings for a server that requires a certificate of `clients`.
    pub(crate) fn server_config_for(
        &self,
        clients: &Self,
        protocols: &[&str],
    ) -> rustls::ServerConfig {
        self.config(protocols, Some(clients))
    }

    fn config(&self, protocols: &[&str], clients: Option<&Self>) -> rustls::ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(clients.issuer.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (certificate, key) = self.issue();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder
            .with_single_cert(vec![certificate.into()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| Vec::from(*name)).collect();
        config
    }
}

pub(crate) struct SecureServer {
    pub(crate) address: SocketAddr,
    pub(crate) url: String,
}

impl SecureServer {
    pub(crate) async fn start<F, Fut>(config: rustls::ServerConfig, serve: F) -> Self
    where
        F: Fn(TlsStream<TcpStream>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("https://{address}/");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    tokio::spawn(serve(stream));
                }
            }
        });
        Self { address, url }
    }

    pub(crate) async fn post(&self, transport: &impl Transport) -> Result<Response<Body>, Error> {
        let request = Request::post(&self.url).body("question".into()).unwrap();
        transport.send(request).await
    }
}

/// Responds with the request, in the negotiated version.
pub(crate) async fn echo(stream: TlsStream<TcpStream>) {
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
