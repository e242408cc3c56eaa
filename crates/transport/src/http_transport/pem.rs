//! Reads the blocks of a PEM file (RFC 7468) and skips none silently.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A block and the number of its first line, from 1.
pub(super) struct Block<'p> {
    label: &'p str,
    line: usize,
    base64: String,
}

/// A line that cannot be parsed, and the reason. The line's text is never shown, because it may belong to a key.
#[derive(Debug)]
pub(super) struct Unreadable {
    line: usize,
    problem: &'static str,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for Unreadable {}

/// Reads the blocks of a file. Text between them is allowed, as in the RFC.
///
/// Accepts the usual changes by editors and shells: byte order marks, any line breaks, blanks around lines.
pub(super) fn blocks(pem: &[u8]) -> Result<Vec<Block<'_>>, Unreadable> {
    if pem.starts_with(&[0xff, 0xfe]) || pem.starts_with(&[0xfe, 0xff]) {
        return Err(Unreadable {
            line: 1,
            problem: "the file is UTF-16; save it as UTF-8",
        });
    }
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (index, line) in lines(pem).enumerate() {
        let number = index + 1;
        let fail = |problem| {
            Err(Unreadable {
                line: number,
                problem,
            })
        };
        // Text between blocks may be in any encoding.
        let line = std::str::from_utf8(line).unwrap_or("\u{fffd}");
        let line = line.trim_matches(|next: char| next.is_whitespace() || next == '\u{feff}');
        match (boundary(line), &mut open) {
            (Boundary::Begin(label), None) => {
                open = Some(Block {
                    label,
                    line: number,
                    base64: String::new(),
                });
            }
            (Boundary::Begin(_), Some(_)) => {
                return fail("a block begins here before the previous one has ended");
            }
            (Boundary::End(label), Some(block)) if block.label == label => {
                blocks.extend(open.take());
            }
            (Boundary::End(_), Some(_)) => {
                return fail("this END line does not match the BEGIN line");
            }
            (Boundary::End(_), None) => return fail("this END line has no BEGIN line"),
            (Boundary::Malformed, _) => {
                return fail(
                    "this is neither a BEGIN nor an END line: each stands alone on a line, with five hyphens on both \
                     sides",
                );
            }
            (Boundary::None, None) => {}
            (Boundary::None, Some(block)) => {
                if line.contains(':') {
                    return fail(
                        "the block has headers, as encrypted keys do: headers are not supported",
                    );
                }
                let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
                if !line.bytes().all(is_base64) {
                    return fail("this is not base64");
                }
                block.base64.push_str(line);
            }
        }
    }
    match open {
        Some(block) => Err(Unreadable {
            line: block.line,
            problem: "the block that begins here does not end",
        }),
        None => Ok(blocks),
    }
}

/// Returns the lines of a file with any line breaks.
fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == b'\n').flat_map(|line| {
        line.strip_suffix(b"\r")
            .unwrap_or(line)
            .split(|byte| *byte == b'\r')
    })
}

enum Boundary<'p> {
    Begin(&'p str),
    End(&'p str),
    /// A line that was probably meant as a boundary.
    Malformed,
    None,
}

fn boundary(line: &str) -> Boundary<'_> {
    let inner = line
        .strip_prefix("-----")
        .and_then(|line| line.strip_suffix("-----"))
        // Two boundaries in one line are malformed.
        .filter(|inner| !inner.contains("--"));
    match inner.and_then(|inner| inner.split_once(' ')) {
        Some(("BEGIN", label)) => return Boundary::Begin(label.trim()),
        Some(("END", label)) => return Boundary::End(label.trim()),
        _ => {}
    }
    if resembles_boundary(line) {
        Boundary::Malformed
    } else {
        Boundary::None
    }
}

/// Returns whether a line was probably meant to begin or end a block: it has too few or other hyphens, blanks between them, or more
/// text.
fn resembles_boundary(line: &str) -> bool {
    let is_hyphen = |next: char| {
        matches!(
            next,
            '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fffd}'
        )
    };
    let upper = line.to_uppercase();
    let inner = upper.trim_matches(|next: char| is_hyphen(next) || next.is_whitespace());
    let is_word = ["BEGIN ", "END "]
        .iter()
        .any(|word| inner.starts_with(word));
    let is_label = ["CERTIFICATE", "KEY"]
        .iter()
        .any(|label| inner.ends_with(label));
    upper.contains("--BEGIN ") || upper.contains("--END ") || (is_word && is_label)
}

impl<'p> Block<'p> {
    /// Returns the block's certificate; `None` if the block is a private key, or the parameters before one.
    pub(super) fn certificate(&self) -> Result<Option<CertificateDer<'static>>, Unreadable> {
        match self.label {
            // Older names for the same (RFC 7468, section 5.1).
            "CERTIFICATE" | "X509 CERTIFICATE" | "X.509 CERTIFICATE" => {
                let normal = self.normal("CERTIFICATE");
                CertificateDer::from_pem_slice(normal.as_bytes())
                    .map(Some)
                    .map_err(|_| self.fail("the block that begins here is not base64"))
            }
            // It restricts the uses for which the certificate is trusted, and rustls could not keep the restriction.
            "TRUSTED CERTIFICATE" => Err(self.fail(
                "OpenSSL's TRUSTED CERTIFICATE is not supported; convert it with `openssl x509 -in FILE`",
            )),
            _ if self.belongs_to_key() => Ok(None),
            _ => Err(self.fail("this block is neither a certificate nor a private key")),
        }
    }

    /// Returns the block's unencrypted private key; `None` if the block is a certificate, or the parameters of a key.
    pub(super) fn key(&self) -> Result<Option<PrivateKeyDer<'static>>, Unreadable> {
        match self.label {
            "ENCRYPTED PRIVATE KEY" => {
                Err(self.fail("the key is encrypted; decrypt it with `openssl pkey`"))
            }
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                PrivateKeyDer::from_pem_slice(self.normal(self.label).as_bytes())
                    .map(Some)
                    .map_err(|_| self.fail("the block that begins here is not base64"))
            }
            _ => self.certificate().map(|_| None),
        }
    }

    fn belongs_to_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY") || self.label == "EC PARAMETERS"
    }

    fn normal(&self, label: &str) -> String {
        let base64 = &self.base64;
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
    }

    pub(super) fn fail(&self, problem: &'static str) -> Unreadable {
        Unreadable {
            line: self.line,
            problem,
        }
    }
}
