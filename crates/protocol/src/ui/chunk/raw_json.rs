use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

use super::{ChunkError, json};

/// A JSON value, kept as its original text: an input, an output, data or metadata.
///
/// The text is valid JSON, but it is parsed only on demand ([`deserialize`](Self::deserialize)). [`get`](Self::get) returns it
/// unchanged, with its line breaks. Serialization, alone or within a chunk or a message, writes it on one line: without whitespace
/// between its tokens, and with every digit, escape and member unchanged.
///
/// Two values are equal if their texts differ only in whitespace between tokens: `{"a":1}` equals `{ "a": 1 }`, but `1.0` does not
/// equal `1`. To compare by meaning, compare the results of [`deserialize`](Self::deserialize).
///
/// ```
/// use twentyfirst_protocol::ui::RawJson;
///
/// let raw = RawJson::parse(r#"{"city":"Bern"}"#)?;
/// assert_eq!(raw.get(), r#"{"city":"Bern"}"#);
/// let value: serde_json::Value = raw.deserialize()?;
/// assert_eq!(value["city"], "Bern");
/// assert_eq!(RawJson::from(value), raw);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RawJson<'a>(Cow<'a, str>);

impl<'a> RawJson<'a> {
    /// Validates a text as one JSON value, with optional whitespace around it.
    ///
    /// # Errors
    /// The text is not JSON, or has a key that chunks may not have ([`ChunkError::ForbiddenKey`]).
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Result<Self, ChunkError> {
        let text = text.into();
        json::validate(&text)?;
        Ok(Self(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_ascii()),
            Cow::Owned(text) if text.trim_ascii().len() < text.len() => {
                text.trim_ascii().to_owned().into()
            }
            Cow::Owned(text) => Cow::Owned(text),
        }))
    }

    /// Returns the original text.
    pub fn get(&self) -> &str {
        &self.0
    }

    /// Deserializes the value.
    ///
    /// # Errors
    /// The value is not of this type. `serde_json` also refuses some valid JSON: nesting deeper than 127 levels, numbers beyond a
    /// double, and lone surrogates in strings.
    pub fn deserialize<'de, T: Deserialize<'de>>(&'de self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }

    /// Returns whether the value is `null`.
    pub fn is_null(&self) -> bool {
        self.0 == "null"
    }

    /// Returns the value without borrows.
    pub fn into_owned(self) -> RawJson<'static> {
        RawJson(Cow::Owned(self.0.into_owned()))
    }

    /// Returns the number of allocated bytes.
    pub(crate) fn capacity(&self) -> usize {
        match &self.0 {
            Cow::Borrowed(_) => 0,
            Cow::Owned(text) => text.capacity(),
        }
    }

    /// Wraps a text that is known to be one JSON value.
    pub(crate) fn from_valid(text: impl Into<Cow<'a, str>>) -> Self {
        Self(text.into())
    }

    /// Returns the text on one line. Borrows it if it has no whitespace to drop.
    pub(crate) fn compact(&self) -> Cow<'_, str> {
        json::compact(&self.0)
    }
}

impl RawJson<'static> {
    /// Serializes a value as JSON.
    ///
    /// # Errors
    /// `serde_json` cannot write the value: a map has keys that are not strings, or `Serialize` fails.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Self> {
        serde_json::to_string(value).map(Self::from_valid)
    }
}

impl From<serde_json::Value> for RawJson<'_> {
    fn from(value: serde_json::Value) -> Self {
        Self::from_valid(value.to_string())
    }
}

impl From<&serde_json::Value> for RawJson<'_> {
    fn from(value: &serde_json::Value) -> Self {
        Self::from_valid(value.to_string())
    }
}

impl<'a> From<&'a RawValue> for RawJson<'a> {
    fn from(value: &'a RawValue) -> Self {
        Self::from_valid(value.get())
    }
}

/// Ignores whitespace between tokens.
impl PartialEq<RawJson<'_>> for RawJson<'_> {
    fn eq(&self, other: &RawJson<'_>) -> bool {
        self.0 == other.0 || self.compact() == other.compact()
    }
}

impl Eq for RawJson<'_> {}

/// Prints the value on one line.
impl fmt::Debug for RawJson<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.compact())
    }
}

/// Prints the value on one line.
impl fmt::Display for RawJson<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.compact())
    }
}

/// Writes the value on one line. Only `serde_json`'s serializers to text can write raw JSON.
impl Serialize for RawJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.compact();
        let raw: &RawValue = serde_json::from_str(&text).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Reads a value. This works only with `serde_json`, and not within an internally tagged or untagged enum: `serde` buffers the
/// members of such an enum, and raw JSON cannot be buffered.
impl<'de> Deserialize<'de> for RawJson<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self::from_valid(String::from(Box::<str>::from(raw))))
    }
}
