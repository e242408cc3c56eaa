//! TLS with the operating system's roots and the user's additional ones.

use std::sync::{Arc, OnceLock};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use crate::error::BoxError;
use crate::http_transport::certificates::{ClientCertificate, RootCertificates};
use crate::http_transport::environment_roots;

/// The settings, and the TLS configuration made from them on first use: only then are the operating system's
/// roots read, because a machine may have none.
#[derive(Default)]
pub(in crate::http_transport) struct Tls {
    roots: RootCertificates,
    client: Option<ClientCertificate>,
    server_config: OnceLock<Arc<ClientConfig>>,
    proxy_config: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    pub(in crate::http_transport) fn new(
        roots: RootCertificates,
        client: Option<ClientCertificate>,
    ) -> Self {
        Self {
            roots,
            client,
            ..Self::default()
        }
    }

    /// Returns the handshake with the server, which negotiates the HTTP version.
    pub(super) fn for_server(&self) -> Result<Handshake, BoxError> {
        let config = get_or_try_init(&self.server_config, || {
            let mut config = self.config(self.client.as_ref())?;
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Ok(config)
        })?;
        Ok(Handshake(config.into()))
    }

    /// Returns the handshake with a proxy. It shows no client certificate, which is for the server. It offers no protocol, so that the
    /// proxy speaks HTTP/1.1.
    pub(super) fn for_proxy(&self) -> Result<Handshake, BoxError> {
        let config = get_or_try_init(&self.proxy_config, || self.config(None))?;
        Ok(Handshake(config.into()))
    }

    fn config(&self, client: Option<&ClientCertificate>) -> Result<ClientConfig, BoxError> {
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let roots = &self.roots.certificates;
        let named = environment_roots::read(!roots.is_empty())?;
        let roots = roots.iter().cloned().chain(named);
        let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        Ok(match client {
            Some(client) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(
                Arc::clone(&client.certified_key),
            ))),
            None => config.with_no_client_auth(),
        })
    }
}

/// Initializes a cell. Failures are not cached: the certificates may be available the next time.
fn get_or_try_init(
    cell: &OnceLock<Arc<ClientConfig>>,
    make: impl FnOnce() -> Result<ClientConfig, BoxError>,
) -> Result<Arc<ClientConfig>, BoxError> {
    if let Some(config) = cell.get() {
        return Ok(Arc::clone(config));
    }
    // Two threads may make it at once. Both then use the one that was stored first.
    let config = Arc::new(make()?);
    Ok(Arc::clone(cell.get_or_init(|| config)))
}

/// A TLS handshake that is ready to start.
pub(super) struct Handshake(TlsConnector);

impl Handshake {
    pub(super) async fn with(
        self,
        peer: &Uri,
        connection: Connection,
    ) -> Result<Connection, BoxError> {
        let host = peer.host().unwrap_or_default();
        // `ServerName` takes IPv6 addresses without brackets.
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let name = ServerName::try_from(host.to_owned())?;
        let stream = self.0.connect(name, TokioIo::new(connection)).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let connection = Connection::new(TokioIo::new(stream));
        Ok(if http2 {
            connection.http2()
        } else {
            connection
        })
    }
}
