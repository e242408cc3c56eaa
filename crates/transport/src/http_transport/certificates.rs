//! Certificates that are not the operating system's.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::pem::{self, Unreadable};
use crate::invalid_setting::InvalidSetting;

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
    /// Reads every certificate in a PEM file: blocks of `CERTIFICATE`, or `X509 CERTIFICATE` as older programs say, with
    /// any text between them, byte order marks and any line breaks.
    ///
    /// # Errors
    /// Names the first line that cannot be read: a certificate that is none, a block that does not end, and every other
    /// block, such as a private key or the `TRUSTED CERTIFICATE` of OpenSSL. Nothing is left out in silence: a file without
    /// a certificate is an error.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidSetting> {
        let certificates = read_roots(pem).map_err(|error| {
            InvalidSetting::new(format!("the root certificates cannot be read: {error}"))
        })?;
        if certificates.is_empty() {
            return Err(InvalidSetting::new(
                "there is no root certificate in PEM: no line is -----BEGIN CERTIFICATE-----",
            ));
        }
        Ok(Self { certificates })
    }

    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn from_der(der: &[u8]) -> Result<Self, InvalidSetting> {
        let certificate = CertificateDer::from(der.to_vec());
        check_root(&certificate).map_err(|error| {
            InvalidSetting::because("the root certificate cannot be read", error)
        })?;
        Ok(Self {
            certificates: vec![certificate],
        })
    }
}

/// Reads the root certificates of a PEM file, which holds nothing else.
pub(super) fn read_roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unreadable> {
    pem::blocks(pem)?
        .iter()
        .map(|block| {
            let certificate = block.certificate()?.ok_or_else(|| {
                block.fail("this block is a private key, or belongs to one, and not a certificate")
            })?;
            match check_root(&certificate) {
                Ok(()) => Ok(certificate),
                Err(_) => Err(block.fail("the certificate that begins here cannot be read")),
            }
        })
        .collect()
}

pub(super) fn check_root(certificate: &CertificateDer<'static>) -> Result<(), rustls::Error> {
    RootCertStore::empty().add(certificate.clone())
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
    /// (PKCS#8, PKCS#1 or SEC1, not encrypted). Both may be the same file: of the first the keys are passed over, of the
    /// second the certificates.
    ///
    /// # Errors
    /// Where either is missing, a line of them cannot be read (see [`RootCertificates::from_pem`]), there is more than one
    /// key, or the key is not that of the first certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, InvalidSetting> {
        let of_chain = |error: Unreadable| {
            InvalidSetting::new(format!("the client certificate cannot be read: {error}"))
        };
        let chain = pem::blocks(chain)
            .and_then(|blocks| {
                blocks
                    .iter()
                    .filter_map(|block| block.certificate().transpose())
                    .collect()
            })
            .map_err(of_chain)?;
        let of_key = |error: Unreadable| {
            InvalidSetting::new(format!("the private key cannot be read: {error}"))
        };
        let mut found = None;
        for block in pem::blocks(key).map_err(of_key)? {
            if let Some(key) = block.key().map_err(of_key)?
                && found.replace(key).is_some()
            {
                return Err(of_key(block.fail("this is a second private key")));
            }
        }
        let key = found.ok_or_else(|| InvalidSetting::new("there is no private key in PEM"))?;
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
