//! Certificates that are not the operating system's.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::InvalidSetting;

/// Certificates of authorities that are trusted beside those of the operating system: a company's own, or the one of a
/// proxy that opens TLS.
///
/// ```no_run
/// use twentyfirst_transport::{HttpTransport, RootCertificates};
///
/// let roots = RootCertificates::from_pem(&std::fs::read("company-ca.pem")?)?;
/// let transport = HttpTransport::builder().root_certificates(roots).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct RootCertificates {
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

impl RootCertificates {
    /// Reads every certificate in a PEM file.
    ///
    /// # Errors
    /// Where there is none, or one that cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidSetting> {
        let certificates = read_certificates(pem, "the root certificates are not PEM")?;
        if certificates.is_empty() {
            return Err(InvalidSetting::new("there is no root certificate"));
        }
        Self::new(certificates)
    }

    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn from_der(der: &[u8]) -> Result<Self, InvalidSetting> {
        Self::new(vec![CertificateDer::from(der.to_vec())])
    }

    fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, InvalidSetting> {
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(certificate.clone()).map_err(|error| {
                InvalidSetting::because("a root certificate cannot be read", error)
            })?;
        }
        Ok(Self { certificates })
    }
}

/// A certificate with its key, which is shown to servers that ask who is there.
///
/// ```no_run
/// use twentyfirst_transport::{ClientCertificate, HttpTransport};
///
/// let certificate =
///     ClientCertificate::from_pem(&std::fs::read("client.pem")?, &std::fs::read("client.key")?)?;
/// let transport = HttpTransport::builder().client_certificate(certificate).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ClientCertificate {
    pub(super) certified_key: Arc<CertifiedKey>,
}

impl ClientCertificate {
    /// Reads a PEM file with the certificate, followed by those between it and its root, and one with its key
    /// (PKCS#8, PKCS#1 or SEC1, not encrypted). Both may be the same file.
    ///
    /// # Errors
    /// Where either is missing or cannot be read, or the key is not that of the first certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, InvalidSetting> {
        let chain = read_certificates(chain, "the client certificate is not PEM")?;
        // Its error may show a line of the file.
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| InvalidSetting::new("there is no private key in PEM"))?;
        Self::new(chain, key)
    }

    /// Takes the certificate, followed by those between it and its root, and its key (PKCS#8, PKCS#1 or SEC1, not
    /// encrypted), each in DER.
    ///
    /// # Errors
    /// Where either is missing or cannot be read, or the key is not that of the first certificate.
    pub fn from_der<'c>(
        chain: impl IntoIterator<Item = &'c [u8]>,
        key: &[u8],
    ) -> Result<Self, InvalidSetting> {
        let chain = chain
            .into_iter()
            .map(|der| CertificateDer::from(der.to_vec()))
            .collect();
        let key = PrivateKeyDer::try_from(key.to_vec())
            .map_err(|_| InvalidSetting::new("the private key cannot be read"))?;
        Self::new(chain, key)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, InvalidSetting> {
        if chain.is_empty() {
            return Err(InvalidSetting::new("there is no client certificate"));
        }
        CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map(|certified_key| Self {
                certified_key: Arc::new(certified_key),
            })
            .map_err(|error| {
                InvalidSetting::because(
                    "the client certificate and its key cannot be used together",
                    error,
                )
            })
    }
}

fn read_certificates(
    pem: &[u8],
    otherwise: &'static str,
) -> Result<Vec<CertificateDer<'static>>, InvalidSetting> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| InvalidSetting::new(otherwise))
}

impl fmt::Debug for RootCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootCertificates({})", self.certificates.len())
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}
