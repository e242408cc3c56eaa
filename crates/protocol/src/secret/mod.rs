mod redactor;
mod spelling;
mod structure;

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tolerant;

pub(crate) use self::redactor::CUT;
pub use self::redactor::Redactor;

/// A text that must not be shown: a token, a password, the value of an environment variable.
///
/// `Debug` prints `***`, and there is no `Display`. An error made from a response shows `***` where the relay repeats the secret.
/// Serializing writes the text itself, because requests carry it.
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
    /// Returns the text. Do not show or log it.
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

const MASK: &str = "***";

/// The values of a request that must not be shown or recorded. Every request of an operation carries them as an extension.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// Returns the values.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter()
    }

    /// Adds the credentials in the value of a header such as `authorization`, `cookie` or `set-cookie`: the whole value, the
    /// credential after a scheme, the user and password of `Basic`, and the value of each cookie.
    pub fn add_header(&mut self, value: &str) {
        self.add_if_long(value);
        let pairs = value
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        for (name, value) in pairs {
            if !COOKIE_ATTRIBUTES.contains(&name.to_ascii_lowercase().as_str()) {
                self.add_if_long(value.trim_matches('"'));
            }
        }
        let Some((scheme, credential)) = value.trim().split_once(' ') else {
            return;
        };
        let credential = credential.trim();
        self.add(credential);
        if scheme.eq_ignore_ascii_case("basic")
            && let Ok(decoded) = BASE64_STANDARD.decode(credential)
            && let Ok(user_info) = String::from_utf8(decoded)
        {
            self.add_user_info(&user_info);
        }
    }

    /// Adds the values in the query of a URL, and its user and password.
    pub fn add_url(&mut self, url: &str) {
        if let Some(user_info) = user_info(url) {
            self.add_user_info(user_info);
        }
        for value in query_values(url) {
            self.add_decoded(value);
        }
    }

    /// Adds the tokens and passwords in JSON: the values of members with well-known names, at any depth, and all values in
    /// `envs`. Truncated JSON is read up to its end.
    pub fn add_json(&mut self, json: &[u8]) {
        if let Ok(value) = tolerant::from_slice(json) {
            self.add_value(&value);
        } else if let Some(members) = tolerant::object(json) {
            self.add_value(&Value::Object(members));
        }
    }

    fn add_value(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.add_value(value)),
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::String(text) if NAMES.contains(&name.as_str()) => {
                            self.add_if_long(text);
                        }
                        Value::Object(envs) if name == "envs" => {
                            let values = envs.values().filter_map(Value::as_str);
                            values.for_each(|value| self.add(value));
                        }
                        value => self.add_value(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn add_user_info(&mut self, user_info: &str) {
        self.add_decoded(user_info);
        // A token can be the user or the password. A short user, such as `git`, is not a secret.
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        if user.len() >= 8 {
            self.add_decoded(user);
        }
        self.add_decoded(password);
    }

    /// Adds a text as it is, and without its percent-encoding.
    fn add_decoded(&mut self, encoded: &str) {
        self.add(encoded);
        if let Ok(decoded) = percent_decode_str(encoded).decode_utf8()
            && decoded != encoded
        {
            self.add(&decoded);
        }
    }

    /// Adds a text of at least 6 bytes. A shorter one is more often a common word than a token.
    fn add_if_long(&mut self, text: &str) {
        if text.len() >= 6 {
            self.add(text);
        }
    }

    fn add(&mut self, text: &str) {
        if !text.is_empty() {
            self.0.push(text.into());
        }
    }
}

impl<T: Into<Secret>> FromIterator<T> for Secrets {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self(values.into_iter().map(Into::into).collect())
    }
}

/// The attributes of `set-cookie`, which are not part of the cookie: RFC 6265, section 5.2.
const COOKIE_ATTRIBUTES: [&str; 5] = ["domain", "expires", "max-age", "path", "samesite"];

/// The names of members that hold tokens and passwords.
const NAMES: [&str; 12] = [
    "access_token",
    "accessToken",
    "api_key",
    "apiKey",
    "client_secret",
    "clientSecret",
    "id_token",
    "password",
    "refresh_token",
    "refreshToken",
    "secret",
    "token",
];

/// Returns the user and password of a URL (RFC 3986, section 3.2.1). `git@host:path` is not a URL and holds no secret.
pub(crate) fn user_info(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority
        .rsplit_once('@')
        .map(|(user_info, _)| user_info)
        .filter(|user_info| !user_info.is_empty())
}

/// Returns the values in the query of a URL. A parameter without a name is a value as a whole.
fn query_values(url: &str) -> impl Iterator<Item = &str> {
    let (_, query) = url.split_once('?').unwrap_or_default();
    let query = query.split('#').next().unwrap_or_default();
    let value = |pair: &'_ str| pair.find('=').map_or(0, |at| at + 1);
    query.split('&').map(move |pair| &pair[value(pair)..])
}

/// Masks the user, password, query and fragment of `url`, so that it may be shown.
pub(crate) fn mask_url(url: &str) -> Cow<'_, str> {
    let (shown, query) = match url.find(['?', '#']) {
        Some(at) => (&url[..at], "?***"),
        None => (url, ""),
    };
    match user_info(url).and_then(|user_info| shown.split_once("://").zip(Some(user_info))) {
        Some(((scheme, rest), user_info)) => Cow::Owned(format!(
            "{scheme}://{MASK}{}{query}",
            &rest[user_info.len()..]
        )),
        None if query.is_empty() => Cow::Borrowed(url),
        None => Cow::Owned(format!("{shown}{query}")),
    }
}
