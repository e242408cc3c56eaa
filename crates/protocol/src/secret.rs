use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Text that must not be shown: a token, a password, the value of an environment variable.
///
/// `Debug` prints `***`, there is no `Display`, and errors made from an answer show `***` where the relay repeats it.
/// Serializing gives the text itself, since that is how it travels.
///
/// ```
/// use twentyfirst_protocol::Secret;
///
/// let token = Secret::from("ghp_x");
/// assert_eq!(format!("{token:?}"), "***");
/// assert_eq!(token.expose(), "ghp_x");
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text. Whoever calls this takes care that it is not shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The values in a request that must not be shown or written: an extension of every request that an operation makes.
#[derive(Debug, Clone, Default)]
pub struct Secrets(pub(crate) Vec<Secret>);

impl Secrets {
    /// The values.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter()
    }
}

const MASK: &str = "***";

/// Stands behind text that was cut off.
pub(crate) const CUT: char = '…';

/// Shorter values are left alone: masking every `1` of a message because of `DEBUG=1` protects nothing.
const SHORTEST: usize = 3;

/// `text` with every occurrence of `secrets` masked: as they are, as they stand in JSON and as they stand in a URL.
/// The end of `text` is masked too where it may be the beginning of a secret that was cut off.
pub(crate) fn redact(text: &str, secrets: &[&str]) -> String {
    let mut forms: Vec<String> = Vec::new();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
        forms.push((*secret).to_owned());
        if let Ok(quoted) = serde_json::to_string(secret) {
            forms.push(quoted[1..quoted.len() - 1].to_owned());
        }
        forms
            .push(percent_encoding::utf8_percent_encode(secret, crate::route::SEGMENT).to_string());
    }
    // The longest first, so that a secret which contains another is masked whole.
    forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    forms.dedup();

    let mut masked = text.to_owned();
    for form in &forms {
        if masked.contains(form.as_str()) {
            masked = masked.replace(form.as_str(), MASK);
        }
    }
    let mark = masked.strip_suffix(CUT).map(str::len);
    masked.truncate(mark.unwrap_or(masked.len()));
    let cut = forms.iter().filter_map(|form| cut_off(&masked, form)).min();
    if let Some(cut) = cut {
        masked.truncate(cut);
        masked.push_str(MASK);
    }
    if mark.is_some() {
        masked.push(CUT);
    }
    masked
}

/// Where `text` ends in a beginning of `secret` that is long enough to tell something.
fn cut_off(text: &str, secret: &str) -> Option<usize> {
    const TELLING: usize = 6;
    let from = text.len().saturating_sub(secret.len());
    (from..text.len().saturating_sub(TELLING - 1))
        .filter(|start| text.is_char_boundary(*start))
        .find(|start| secret.starts_with(&text[*start..]))
}

/// User and password in a URL: RFC 3986, section 3.2.1. `git@host:path` is no URL and holds no secret.
pub(crate) fn user_info(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority
        .rsplit_once('@')
        .map(|(user_info, _)| user_info)
        .filter(|user_info| !user_info.is_empty())
}

/// `url` as it may be shown.
pub(crate) fn mask_user_info(url: &str) -> Cow<'_, str> {
    match user_info(url) {
        Some(user_info) => Cow::Owned(url.replacen(user_info, MASK, 1)),
        None => Cow::Borrowed(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let secrets = ["p\"w/d", "abc", "1"];
        let text = r#"p"w/d and "p\"w/d" and p%22w%2Fd and abcabc but 1"#;
        assert_eq!(
            redact(text, &secrets),
            r#"*** and "***" and *** and ****** but 1"#
        );
    }

    #[test]
    fn a_secret_cut_off_at_the_end_is_masked() {
        assert_eq!(
            redact("token: 21st_sk_ab", &["21st_sk_abcdef"]),
            "token: ***"
        );
        assert_eq!(
            redact("token: 21st_sk_ab…", &["21st_sk_abcdef"]),
            "token: ***…"
        );
        assert_eq!(redact("the end", &["endless_secret"]), "the end");
    }

    #[test]
    fn a_secret_that_contains_another_is_masked_whole() {
        assert_eq!(
            redact("x secret-long y", &["secret", "secret-long"]),
            "x *** y"
        );
    }
}
