//! Root certificates from the environment, which replace the operating system's.

use std::ffi::OsString;
use std::{fs, io};

use rustls::pki_types::CertificateDer;

use super::certificates::check_root;
use super::pem;
use crate::invalid_setting::InvalidSetting;

const VARIABLE: &str = "SSL_CERT_FILE";

/// Reads the file named by `SSL_CERT_FILE`. The verifier reads it as well, but skips what it cannot parse; here that is an error.
///
/// If there are other roots, the file may be missing: some set the variable only to keep programs from using the system's roots.
pub(super) fn read(there_are_others: bool) -> Result<Vec<CertificateDer<'static>>, InvalidSetting> {
    match std::env::var_os(VARIABLE) {
        Some(path) if is_read_here() => match read_file(path) {
            Err(Problem::NoCertificates(_)) if there_are_others => Ok(Vec::new()),
            Err(Problem::NoCertificates(problem)) => {
                Err(InvalidSetting::new(format!("{VARIABLE} {problem}")))
            }
            Err(Problem::Unreadable(problem)) => Err(InvalidSetting::new(format!(
                "{VARIABLE} names a file that cannot be read: {problem}"
            ))),
            Ok(certificates) => Ok(certificates),
        },
        _ => Ok(Vec::new()),
    }
}

/// Returns whether the verifier reads the variable on this platform. On others the operating system verifies.
const fn is_read_here() -> bool {
    cfg!(all(
        unix,
        not(target_os = "android"),
        not(target_vendor = "apple")
    ))
}

enum Problem {
    NoCertificates(String),
    Unreadable(String),
}

fn read_file(path: OsString) -> Result<Vec<CertificateDer<'static>>, Problem> {
    if path.is_empty() {
        let problem =
            "is empty, and hides the system's certificates: unset it, or let it name a file";
        return Err(Problem::NoCertificates(problem.to_owned()));
    }
    let file = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Problem::NoCertificates("names a file that does not exist".to_owned())
        }
        _ => Problem::Unreadable(error.to_string()),
    })?;
    let certificates = pem::blocks(&file)
        .and_then(|blocks| {
            blocks
                .iter()
                .map(pem::Block::certificate)
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(|error| Problem::Unreadable(error.to_string()))?;
    // Large bundles, like the system's own, may contain roots that rustls does not accept.
    let usable: Vec<_> = certificates
        .into_iter()
        .flatten()
        .filter(|certificate| check_root(certificate).is_ok())
        .collect();
    if usable.is_empty() {
        return Err(Problem::NoCertificates(
            "names a file without certificates in PEM".to_owned(),
        ));
    }
    Ok(usable)
}
