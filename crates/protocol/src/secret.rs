use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use memchr::memmem::Finder;
use percent_encoding::{AsciiSet, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::route::SEGMENT;

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

/// So many bytes of a long secret are enough to be masked, wherever they stand: what repeats a secret may cut it off.
const TELLING: usize = 12;

/// The last bytes of a text are masked where they may be the beginning of a secret, from so many on.
const TELLING_AT_END: usize = 6;

/// Masks secrets in text, in every form in which they may be repeated.
pub(crate) struct Redactor {
    /// The longest first, so that a secret which contains another is masked whole.
    forms: Vec<Form>,
}

struct Form {
    text: String,
    /// Finds the secret, or of a long one as much as tells.
    finder: Finder<'static>,
}

impl Redactor {
    pub(crate) fn new(secrets: &[&str]) -> Self {
        let mut forms = BTreeSet::new();
        for secret in secrets {
            // Programs print what has lines one by one.
            let lines = secret.lines().filter(|line| line.len() >= TELLING);
            for text in std::iter::once(*secret).chain(lines) {
                forms.insert(text.to_owned());
                // As it stands in JSON, in what Rust prints, and in URLs by two customs.
                for quoted in [
                    serde_json::to_string(text).unwrap_or_default(),
                    format!("{text:?}"),
                ] {
                    forms.extend(
                        quoted
                            .get(1..quoted.len().saturating_sub(1))
                            .map(str::to_owned),
                    );
                }
                for set in [SEGMENT, COMPONENT] {
                    let encoded = utf8_percent_encode(text, set).to_string();
                    forms.insert(lower_case_escapes(&encoded));
                    forms.insert(encoded);
                }
            }
        }
        let mut forms: Vec<Form> = forms
            .into_iter()
            .filter(|form| form.len() >= SHORTEST)
            .map(Form::new)
            .collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.text.len()));
        Self { forms }
    }

    /// `text` with every secret, and every telling beginning of one, masked.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for form in &self.forms {
            if let Some(text) = form.mask(&masked) {
                masked = text;
            }
        }
        let mark = masked.strip_suffix(CUT).map(str::len);
        masked.truncate(mark.unwrap_or(masked.len()));
        if let Some(cut) = self
            .forms
            .iter()
            .filter_map(|form| form.begins_at_end(&masked))
            .min()
        {
            masked.truncate(cut);
            masked.push_str(MASK);
        }
        if mark.is_some() {
            masked.push(CUT);
        }
        masked
    }

    /// The same for everything in a JSON value. A number that is a secret becomes text.
    pub(crate) fn redact_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redact(&text)),
            Value::Number(number)
                if self
                    .forms
                    .iter()
                    .any(|form| form.text == number.to_string()) =>
            {
                MASK.into()
            }
            Value::Array(values) => values
                .into_iter()
                .map(|value| self.redact_value(value))
                .collect(),
            Value::Object(members) => Value::Object(self.redact_members(members)),
            other => other,
        }
    }

    pub(crate) fn redact_members(&self, members: Map<String, Value>) -> Map<String, Value> {
        members
            .into_iter()
            .map(|(name, value)| (self.redact(&name), self.redact_value(value)))
            .collect()
    }
}

impl Form {
    fn new(text: String) -> Self {
        let telling = if text.len() > TELLING {
            text.floor_char_boundary(TELLING)
        } else {
            text.len()
        };
        let finder = Finder::new(&text[..telling]).into_owned();
        Self { text, finder }
    }

    /// `text` with this form masked, if it is there.
    fn mask(&self, text: &str) -> Option<String> {
        let mut masked = String::new();
        let mut rest = text;
        while let Some(at) = self.finder.find(rest.as_bytes()) {
            let found = &rest[at..];
            let common = found
                .char_indices()
                .zip(self.text.chars())
                .take_while(|((_, a), b)| a == b);
            let length = common
                .last()
                .map_or(0, |((at, char), _)| at + char.len_utf8());
            masked.push_str(&rest[..at]);
            masked.push_str(MASK);
            rest = &found[length..];
        }
        (rest.len() < text.len()).then(|| masked + rest)
    }

    /// Where `text` ends in a beginning of this form that is long enough to tell something.
    fn begins_at_end(&self, text: &str) -> Option<usize> {
        let from = text.len().saturating_sub(self.text.len());
        (from..text.len().saturating_sub(TELLING_AT_END - 1))
            .filter(|start| text.is_char_boundary(*start))
            .find(|start| self.text.starts_with(&text[*start..]))
    }
}

/// What `encodeURIComponent` of JavaScript encodes.
const COMPONENT: &AsciiSet = &SEGMENT
    .remove(b'!')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*');

/// The same with `%2f` for `%2F`.
fn lower_case_escapes(encoded: &str) -> String {
    let mut lower = String::with_capacity(encoded.len());
    let mut digits = 0;
    for char in encoded.chars() {
        lower.push(if digits > 0 {
            char.to_ascii_lowercase()
        } else {
            char
        });
        digits = if char == '%' {
            2_u8
        } else {
            digits.saturating_sub(1)
        };
    }
    lower
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

    fn redact(text: &str, secrets: &[&str]) -> String {
        Redactor::new(secrets).redact(text)
    }

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let secrets = ["p\"w/d(", "abc", "1"];
        let text = r#"p"w/d( and "p\"w/d(" and p%22w%2Fd%28 and p%22w%2fd( and abcabc but 1"#;
        assert_eq!(
            redact(text, &secrets),
            r#"*** and "***" and *** and *** and ****** but 1"#
        );
        assert_eq!(redact("got \\u{1b}[3m", &["\u{1b}[3m"]), "got ***");
        assert_eq!(
            redact(
                "line: MIIEvQIBADANBg",
                &["-----BEGIN KEY-----\nMIIEvQIBADANBg\n"]
            ),
            "line: ***"
        );
        assert_eq!(
            Redactor::new(&["8675309"]).redact_value(8_675_309.into()),
            "***"
        );
    }

    #[test]
    fn a_secret_that_was_cut_off_is_masked() {
        let key = ["21st_sk_abcdefghijkl"];
        assert_eq!(redact("token: 21st_sk_ab", &key), "token: ***");
        assert_eq!(redact("token: 21st_sk_ab…", &key), "token: ***…");
        assert_eq!(
            redact("key '21st_sk_abcdef...' is unknown", &key),
            "key '***...' is unknown"
        );
        assert_eq!(redact("use a key (21st_sk_)", &key), "use a key (21st_sk_)");
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
