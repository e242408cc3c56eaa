//! Certificates in addition to the operating system's.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::pem::{self, Unreadable};
use crate::invalid_setting::InvalidSetting;

/// Certificates of authorities that are trusted in addition to the operating system's: a company's own, or that of a
/// proxy that intercepts TLS.
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
    /// Reads every certificate in a PEM file: the blocks `CERTIFICATE`, or `X509 CERTIFICATE` from older programs. Text between blocks,
    /// byte order marks and all kinds of line breaks are allowed.
    ///
    /// # Errors
    /// If the file has no certificate, an invalid certificate, an unfinished block or a block of another kind, such as a private key or
    /// OpenSSL's `TRUSTED CERTIFICATE`. The error names the first bad line. Nothing is skipped silently.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidSetting> {
        let certificates = read_roots(pem).map_err(|error| {
            InvalidSetting::new(format!("the root certificates cannot be read: {error}"))
        })?;
        if certificates.is_empty() {
            return Err(InvalidSetting::new(
                "no root certificate found in the PEM data: no line is -----BEGIN CERTIFICATE-----",
            ));
        }
        Ok(Self { certificates })
    }

    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// If it cannot be parsed.
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

/// Reads the root certificates of a PEM file that contains no other blocks.
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

/// A certificate with its key, for servers that authenticate clients.
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
    /// Reads the certificate and its intermediates from the PEM file `chain`, and its key
    /// (PKCS#8, PKCS#1 or SEC1, not encrypted) from `key`. Both may be the same file: keys in `chain` and
    /// certificates in `key` are ignored.
    ///
    /// # Errors
    /// If either is missing, a line cannot be parsed (see [`RootCertificates::from_pem`]), there is more than one
    /// key, or the key does not belong to the first certificate.
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
        let key =
            found.ok_or_else(|| InvalidSetting::new("no private key found in the PEM data"))?;
        Self::new(chain, key)
    }

    /// Takes the certificate, followed by its intermediates, and its key (PKCS#8, PKCS#1 or SEC1, not
    /// encrypted), each in DER.
    ///
    /// # Errors
    /// If either is missing or cannot be parsed, or the key does not belong to the first certificate.
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
