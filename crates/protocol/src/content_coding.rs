//! Whether the bytes of a response are its content: RFC 9110, section 8.4.

use http::{HeaderMap, header};

/// What is the matter with a response whose bytes are not its content: it has a coding, which nothing here undoes.
///
/// `identity` is no coding. Nor is `none`, which the relay says of its streams.
pub(crate) fn unreadable(headers: &HeaderMap) -> Option<String> {
    let codings: Vec<_> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|coding| String::from_utf8_lossy(coding).trim().to_ascii_lowercase())
        .filter(|coding| !matches!(coding.as_str(), "" | "identity" | "none"))
        .collect();
    (!codings.is_empty()).then(|| {
        let codings = codings.join(", ");
        format!("its content-encoding is {codings}, and only identity was asked for")
    })
}
