//! Masks secrets in recordings.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, request};

/// An exchange, passed to the function that chooses its [`Masking`].
///
/// The function is called twice: first with the request alone, to mask what is written of the request; then with its response too,
/// to mask what is written of the response.
#[non_exhaustive]
pub struct Content<'a> {
    /// The request's head, with its extensions.
    pub request: &'a request::Parts,
    /// The request's body, as far as it was sent.
    pub request_body: &'a [u8],
    /// The response's headers and its body, as far as it was read; `None` in the first call.
    pub response: Option<(&'a HeaderMap, &'a [u8])>,
}

impl Content<'_> {
    /// Returns the values of the headers that are never written, of request and response. A body may repeat them.
    pub fn secret_headers(&self) -> impl Iterator<Item = &HeaderValue> {
        let response = self.response.into_iter().flat_map(|(headers, _)| headers);
        let all = self.request.headers.iter().chain(response);
        all.filter(|(name, value)| is_secret_header(name, value))
            .map(|(_, value)| value)
    }
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("request_body", &self.request_body.len())
            .field("response_body", &self.response.map(|(_, body)| body.len()))
            .finish_non_exhaustive()
    }
}

/// Replaces the parts of a text that must not be written: see [`Recorder::new`](super::Recorder::new).
pub struct Masking(Box<Find>);

type Find = dyn Fn(&[u8]) -> Vec<(Range<usize>, &'static str)> + Send + Sync;

impl Masking {
    /// Creates a masking from a function. For a path, a header's value or a body, `find` returns the ranges to mask in order, each with
    /// its replacement.
    pub fn new(
        find: impl Fn(&[u8]) -> Vec<(Range<usize>, &'static str)> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(find))
    }

    /// Creates a masking that changes nothing.
    pub fn none() -> Self {
        Self::new(|_| Vec::new())
    }

    pub(super) fn mask_text(&self, text: &str) -> String {
        let masked = self.mask(&[Bytes::copy_from_slice(text.as_bytes())]);
        String::from_utf8_lossy(&masked.concat()).into_owned()
    }

    /// Masks all pieces as one text. The replacement of a range goes into the piece where the range begins.
    pub(super) fn mask(&self, pieces: &[Bytes]) -> Vec<Vec<u8>> {
        // A secret may be cut between two pieces, so no piece can be searched alone.
        let all = pieces.concat();
        let mut places = (self.0)(&all).into_iter().peekable();
        let mut masked = Vec::with_capacity(pieces.len());
        let mut position = 0;
        let mut end = 0;
        for piece in pieces {
            end += piece.len();
            let mut out = Vec::with_capacity(piece.len());
            while let Some((place, mask)) = places.next_if(|(place, _)| place.start < end) {
                out.extend_from_slice(all.get(position..place.start).unwrap_or_default());
                out.extend_from_slice(mask.as_bytes());
                position = place.end.max(position);
            }
            out.extend_from_slice(all.get(position..end).unwrap_or_default());
            position = position.max(end);
            masked.push(out);
        }
        masked
    }
}

impl fmt::Debug for Masking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masking").finish_non_exhaustive()
    }
}

/// A function that chooses how to mask an exchange.
pub(super) type Hook = Arc<dyn Fn(&Content<'_>) -> Masking + Send + Sync>;

/// Returns whether a header may hold credentials.
pub(super) fn is_secret_header(name: &HeaderName, value: &HeaderValue) -> bool {
    const WORDS: [&str; 10] = [
        "auth",
        "cookie",
        "credential",
        "jwt",
        "key",
        "passw",
        "secret",
        "session",
        "signature",
        "token",
    ];
    value.is_sensitive() || WORDS.iter().any(|word| name.as_str().contains(word))
}
