//! PEM files: the certificates that are read, and the lines that errors name.

use proptest::prelude::*;
use twentyfirst_transport::{ClientCertificate, RootCertificates};

use crate::secure::Authority;

/// Returns the number of certificates in a file, or the error.
fn roots(pem: impl AsRef<[u8]>) -> Result<String, String> {
    RootCertificates::from_pem(pem.as_ref())
        .map(|roots| format!("{roots:?}"))
        .map_err(|error| error.to_string())
}

fn refused(pem: impl AsRef<[u8]>) -> String {
    let error = roots(pem).unwrap_err();
    let reason = error.strip_prefix("the root certificates cannot be read: ");
    reason.unwrap_or(&error).to_owned()
}

const ONE: &str = "RootCertificates(1)";
const TWO: &str = "RootCertificates(2)";

#[test]
fn certificates_are_read_as_editors_and_programs_write_them() {
    let pem = Authority::new().pem();
    let other = Authority::new().pem();
    let pem = pem.trim_end();
    for (case, text) in [
        ("as it is", pem.to_owned()),
        ("a byte order mark", format!("\u{feff}{pem}")),
        ("CRLF", pem.replace('\n', "\r\n")),
        ("CR", pem.replace('\n', "\r")),
        ("blanks around lines", pem.replace('\n', " \t\n  \t")),
        ("empty lines within", pem.replace('\n', "\n\n")),
        (
            "an older name",
            pem.replace("CERTIFICATE", "X509 CERTIFICATE"),
        ),
        ("another", pem.replace("CERTIFICATE", "X.509 CERTIFICATE")),
        ("in one line of base64", {
            let mut lines = pem.lines();
            let (begin, end) = (lines.next().unwrap(), lines.next_back().unwrap());
            format!("{begin}\n{}\n{end}", lines.collect::<String>())
        }),
    ] {
        assert_eq!(roots(text).as_deref(), Ok(ONE), "{case}");
    }
    for (case, text) in [
        ("two", format!("{pem}\n{other}")),
        (
            "a byte order mark between",
            format!("{pem}\n\u{feff}{other}"),
        ),
        (
            "comments",
            format!(
                "# Our certificates, appended by end-user\n=====\n----------\nBag Attributes: KEY-1\n{pem}\n\n  \
                 X509v3 Authority Key Identifier:\n{other}\nthe end"
            ),
        ),
    ] {
        assert_eq!(roots(text).as_deref(), Ok(TWO), "{case}");
    }
    let latin = [b"# G\xfcltig\n", pem.as_bytes()].concat();
    assert_eq!(roots(latin).as_deref(), Ok(ONE), "comments in Latin-1");
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    let authority = Authority::new();
    let (_, key) = authority.issue();
    let pem = authority.pem();
    let pem = pem.trim_end();
    let lines = pem.lines().count();
    let next = lines + 1;
    let second = |text: &str| refused(format!("{pem}\n{text}"));
    let wrap = |label: &str| pem.replace("CERTIFICATE", label);
    let boundary = "this is neither a BEGIN nor an END line";

    for (error, line, problem) in [
        (
            second(&wrap("TRUSTED CERTIFICATE")),
            next,
            "OpenSSL's TRUSTED CERTIFICATE",
        ),
        (
            second(&wrap("CERTIFICATE REQUEST")),
            next,
            "this block is neither",
        ),
        (second(&wrap("X509 CRL")), next, "this block is neither"),
        (second(&wrap("PKCS7")), next, "this block is neither"),
        (
            second(&key.serialize_pem()),
            next,
            "this block is a private key",
        ),
        (
            second("-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----"),
            next,
            "this block is a private key",
        ),
        // Both on one line, as `cat` leaves them if a file does not end in a line break.
        (refused(format!("{pem}{pem}")), lines, boundary),
        (refused(pem.replace('\n', " ")), 1, boundary),
        (refused(pem.replace('\n', "\\n")), 1, boundary),
        (
            second(&pem.replacen("-----BEGIN", "----BEGIN", 1)),
            next,
            boundary,
        ),
        (
            second(&pem.replacen("-----BEGIN", "\u{2014}BEGIN", 1)),
            next,
            boundary,
        ),
        (
            second(&pem.replacen("-----BEGIN", "----- BEGIN", 1)),
            next,
            boundary,
        ),
        (
            second(&pem.replacen("-----BEGIN", "BEGIN", 1)),
            next,
            boundary,
        ),
        (second(&pem.replacen("BEGIN", "begin", 1)), next, boundary),
        (
            second(&pem.replacen("CERTIFICATE-----", "CERTIFICATE----", 1)),
            next,
            boundary,
        ),
        (
            second(&pem.replacen("CERTIFICATE-----", "CERTIFICATE----- x", 1)),
            next,
            boundary,
        ),
        (
            second("-----END CERTIFICATE-----"),
            next,
            "this END line has no BEGIN line",
        ),
        (
            refused(pem.replace("-----END CERTIFICATE-----", "")),
            1,
            "the block that begins here does not end",
        ),
        (
            refused(pem.replace("END CERTIFICATE", "END X509 CERTIFICATE")),
            lines,
            "this END line does not match the BEGIN line",
        ),
        (
            refused(format!("-----BEGIN CERTIFICATE-----\n{pem}")),
            2,
            "a block begins here before",
        ),
        (
            refused(pem.replacen('\n', "\nProc-Type: 4,ENCRYPTED\n", 1)),
            2,
            "the block has headers",
        ),
        (
            refused(pem.replacen('\n', "\n*", 1)),
            2,
            "this is not base64",
        ),
        (
            refused(pem.replacen('\n', "\n\u{fc}", 1)),
            2,
            "this is not base64",
        ),
        (
            refused(pem.replacen("\n", "\n=", 1)),
            1,
            "the block that begins here is not base64",
        ),
        (
            second("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
            next,
            "the certificate that begins here",
        ),
        (
            second("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"),
            next,
            "the certificate that begins here",
        ),
    ] {
        let expected = format!("line {line}: {problem}");
        assert!(
            error.starts_with(&expected),
            "{error:?} is not {expected:?}"
        );
    }

    let none = "no root certificate found in the PEM data";
    for nothing in [Vec::new(), b"# none yet\n".to_vec(), authority.der()] {
        assert!(refused(&nothing).starts_with(none), "{}", refused(nothing));
    }
    let utf_16: Vec<u8> = pem.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf_16 = [&[0xff, 0xfe], utf_16.as_slice()].concat();
    assert_eq!(
        refused(utf_16),
        "line 1: the file is UTF-16; save it as UTF-8"
    );
}

#[test]
fn a_client_certificate_and_its_key_may_be_in_one_file() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue();
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n";
    let read = |chain: &str, key: &str| {
        ClientCertificate::from_pem(chain.as_bytes(), key.as_bytes())
            .map(drop)
            .map_err(|error| error.to_string())
    };
    for file in [
        format!("{certificate}{key}"),
        format!("{key}{certificate}{}", authority.pem()),
        format!("\u{feff}{parameters}{key}\r\n{certificate}").replace('\n', "\r\n"),
    ] {
        assert_eq!(read(&file, &file), Ok(()));
    }
    let crl = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    for (chain, key, problem) in [
        (
            format!("{certificate}{crl}"),
            key.clone(),
            "the client certificate cannot be read: line",
        ),
        (
            certificate.clone(),
            format!("{crl}{key}"),
            "the private key cannot be read: line 1: this block is neither",
        ),
        (
            certificate.clone(),
            format!("{key}{key}"),
            "the private key cannot be read: line",
        ),
        (
            certificate.clone(),
            key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
            "the private key cannot be read: line 1: the key is encrypted",
        ),
        (
            certificate.clone(),
            key.replacen('\n', "\nProc-Type: 4,ENCRYPTED\n", 1),
            "the private key cannot be read: line 2: the block has headers",
        ),
        (
            certificate.clone(),
            key.replace('\n', " "),
            "the private key cannot be read: line 1: this is neither",
        ),
        (
            certificate,
            String::new(),
            "no private key found in the PEM data",
        ),
    ] {
        let error = read(&chain, &key).unwrap_err();
        assert!(error.starts_with(problem), "{error}");
        let secret = key.lines().nth(1).unwrap_or("no secret");
        assert!(!error.contains(secret), "{error}");
    }
}

proptest! {
    /// Whatever surrounds a certificate, it is read, or the error names a line: it is never skipped.
    #[test]
    fn a_certificate_is_never_left_out(
        before in "\\PC{0,40}(\r?\n)?",
        between in "[ \u{feff}\r\n-]{0,12}",
        after in "((\r?\n|\r)[ -~\u{feff}]{0,40}){0,3}",
        label in "(X509 |TRUSTED |)CERTIFICATE",
    ) {
        let pem = PEM.with(|pem| pem.clone());
        let second = pem.trim_end().replace("CERTIFICATE", &label);
        let text = format!("{before}{}{between}{second}{after}", pem.trim_end());
        if let Ok(read) = roots(&text) {
            prop_assert_eq!(read, TWO, "{}", text);
        }
    }

    #[test]
    fn no_file_causes_a_panic(file in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = roots(file);
    }
}

thread_local! {
    static PEM: String = Authority::new().pem();
}
