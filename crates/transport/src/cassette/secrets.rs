//! What must not be written.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem::Finder;

/// What passes, shown to a hook that says which values in it are secret.
///
/// It is shown twice: first the request alone, whose secrets are hidden in it and in its answer, so that a request
/// looks the same when it is played; then together with its answer, whose secrets are hidden in the answer.
#[non_exhaustive]
pub struct Content<'a> {
    /// The request's head, with the extensions that whoever made it put there.
    pub request: &'a http::request::Parts,
    /// The request's body, as far as it was sent.
    pub request_body: &'a [u8],
    /// The answer's body, as far as it was read; `None` as long as only the request is looked at.
    pub answer_body: Option<&'a [u8]>,
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("request_body", &self.request_body.len())
            .field("answer_body", &self.answer_body.map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}

/// A hook of the user's.
pub(super) type Hook = Arc<dyn Fn(&Content<'_>) -> Vec<String> + Send + Sync>;

/// Values to hide.
#[derive(Default)]
pub(super) struct Secrets {
    /// The longest first, because one may begin with another.
    finders: Vec<Finder<'static>>,
}

const MASK: &str = "***";

impl Secrets {
    pub(super) fn add(&mut self, values: Vec<String>) {
        for value in values.into_iter().filter(|value| !value.is_empty()) {
            if let Ok(json) = serde_json::to_string(&value) {
                self.add_needle(json.trim_matches('"'));
            }
            self.add_needle(&value);
        }
        self.finders
            .sort_by_key(|finder| std::cmp::Reverse(finder.needle().len()));
    }

    fn add_needle(&mut self, needle: &str) {
        if !needle.is_empty() {
            self.finders.push(Finder::new(needle).into_owned());
        }
    }

    pub(super) fn hide_in_text(&self, text: &str) -> String {
        let hidden = self.hide(&[Bytes::copy_from_slice(text.as_bytes())]);
        String::from_utf8_lossy(&hidden.concat()).into_owned()
    }

    /// Hides the values wherever they stand in all pieces together; the mask is in the piece where the value began.
    pub(super) fn hide(&self, pieces: &[Bytes]) -> Vec<Vec<u8>> {
        let all = pieces.concat();
        let mut hidden = Vec::with_capacity(pieces.len());
        let mut matches = Matches {
            secrets: self,
            all: &all,
        };
        let mut next = matches.after(0);
        let mut position = 0;
        let mut end = 0;
        for piece in pieces {
            end += piece.len();
            let mut out = Vec::with_capacity(piece.len());
            while let Some((start, length)) = next
                && start < end
            {
                out.extend_from_slice(all.get(position..start).unwrap_or_default());
                out.extend_from_slice(MASK.as_bytes());
                position = start + length;
                next = matches.after(position);
            }
            out.extend_from_slice(all.get(position..end).unwrap_or_default());
            position = position.max(end);
            hidden.push(out);
        }
        hidden
    }
}

struct Matches<'a> {
    secrets: &'a Secrets,
    all: &'a [u8],
}

impl Matches<'_> {
    /// Where the next value begins, and its length.
    fn after(&mut self, position: usize) -> Option<(usize, usize)> {
        let rest = self.all.get(position..)?;
        // Of two that begin at the same place the first in the list wins, which is the longer one.
        self.secrets
            .finders
            .iter()
            .filter_map(|finder| Some((position + finder.find(rest)?, finder.needle().len())))
            .min_by_key(|&(start, _)| start)
    }
}

/// Whether a header says who somebody is.
pub(super) fn is_secret_header(name: &http::HeaderName, value: &http::HeaderValue) -> bool {
    const WORDS: [&str; 8] = [
        "auth",
        "cookie",
        "credential",
        "key",
        "passw",
        "secret",
        "session",
        "token",
    ];
    value.is_sensitive() || WORDS.iter().any(|word| name.as_str().contains(word))
}
