//! JSON that is carried rather than read: raw values, and strings that need not be well-formed.

use std::borrow::Cow;
use std::fmt;

use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON value kept as the text it came in.
///
/// Nothing is read into a number or a map before somebody asks for it, so that numbers of any size and the order of members survive.
/// Two values are equal when their texts are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawJson<'a>(Cow<'a, str>);

impl<'a> RawJson<'a> {
    /// Takes a text that is one JSON value.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Result<Self, serde_json::Error> {
        let text = text.into();
        serde_json::from_str::<&RawValue>(&text)?;
        Ok(Self(text))
    }

    /// The JSON text.
    #[must_use]
    pub fn get(&self) -> &str {
        &self.0
    }

    /// Reads the value as a type of yours.
    ///
    /// # Errors
    /// If the value does not fit the type.
    pub fn deserialize<'de, T: Deserialize<'de>>(&'de self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// The same value, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> RawJson<'static> {
        RawJson(Cow::Owned(self.0.into_owned()))
    }

    /// Takes text that is known to be one JSON value.
    pub(crate) fn from_valid(text: impl Into<Cow<'a, str>>) -> Self {
        Self(text.into())
    }
}

impl RawJson<'static> {
    /// Writes a value of yours as JSON.
    ///
    /// # Errors
    /// If the value cannot be written as JSON, a map with keys that are not strings for instance.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|text| Self(Cow::Owned(text)))
    }
}

impl From<serde_json::Value> for RawJson<'static> {
    fn from(value: serde_json::Value) -> Self {
        Self(Cow::Owned(value.to_string()))
    }
}

impl fmt::Debug for RawJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RawJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0)
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}

/// A JSON string, which may hold half a surrogate pair.
///
/// It reads as a `str` in which such a half is U+FFFD, and it is written back as it came.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text<'a> {
    text: Cow<'a, str>,
    /// The JSON string as it came, quotes included, if it is not well-formed.
    ill_formed: Option<Box<str>>,
}

impl Text<'_> {
    /// The string, unless it is ill-formed.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.ill_formed.is_none().then_some(&*self.text)
    }

    /// The string with U+FFFD in place of each lone surrogate.
    #[must_use]
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.text)
    }

    /// Whether the string is well-formed Unicode, so that [`as_str`](Self::as_str) is all of it.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.ill_formed.is_none()
    }

    /// The same text, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Text<'static> {
        Text {
            text: Cow::Owned(self.text.into_owned()),
            ill_formed: self.ill_formed,
        }
    }

    /// Reads the contents of a valid JSON string: what stands between the quotes.
    pub(crate) fn from_json_string(raw: &str) -> Text<'static> {
        let quoted = format!("\"{raw}\"");
        match serde_json::from_str::<String>(&quoted) {
            Ok(text) => Text::from(text),
            Err(_) => Text {
                text: Cow::Owned(decode_lossy(&quoted)),
                ill_formed: Some(raw.into()),
            },
        }
    }

    /// Appends the string as JSON, quotes included.
    pub(crate) fn write_json(&self, out: &mut String) {
        match &self.ill_formed {
            Some(raw) => {
                out.push('"');
                out.push_str(raw);
                out.push('"');
            }
            None => out.push_str(&serde_json::Value::from(&*self.text).to_string()),
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ill_formed {
            Some(raw) => write!(f, "\"{raw}\""),
            None => fmt::Debug::fmt(&self.text, f),
        }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            ill_formed: None,
        }
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self {
            text: Cow::Owned(text),
            ill_formed: None,
        }
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.ill_formed.is_none() && self.text == other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.ill_formed {
            Some(raw) => RawJson::from_valid(format!("\"{raw}\"")).serialize(serializer),
            None => serializer.serialize_str(&self.text),
        }
    }
}

/// Decodes a valid JSON string, with U+FFFD for each half of a surrogate pair that stands alone.
fn decode_lossy(raw: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut chars = raw.chars().skip(1).peekable();
    while let Some(char) = chars.next() {
        let unit = match char {
            '"' => break,
            '\\' => match chars.next() {
                Some('b') => 0x08,
                Some('f') => 0x0c,
                Some('n') => 0x0a,
                Some('r') => 0x0d,
                Some('t') => 0x09,
                Some('u') => (0..4)
                    .filter_map(|_| chars.next()?.to_digit(16))
                    .fold(0, |unit, digit| {
                        (unit << 4) | u16::try_from(digit).unwrap_or(0)
                    }),
                Some(other) => u16::try_from(u32::from(other)).unwrap_or(0xfffd),
                None => break,
            },
            other => {
                units.extend_from_slice(other.encode_utf16(&mut [0; 2]));
                continue;
            }
        };
        units.push(unit);
    }
    String::from_utf16_lossy(&units)
}
