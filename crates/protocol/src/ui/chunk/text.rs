use std::{
    borrow::Cow,
    fmt,
    hash::{Hash, Hasher},
};

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{RawJson, json};

/// A string of a chunk. It can hold everything that a JSON string can.
///
/// JSON may contain half of a surrogate pair (`"\ud83d"`), which a Rust string cannot hold. It occurs if a server cuts text into
/// deltas between UTF-16 code units: the other half arrives with the next delta. Such an ill-formed string is kept and encoded
/// unchanged. A [`Joiner`](crate::ui::Joiner) joins the halves.
///
/// ```
/// use twentyfirst_protocol::ui::Text;
///
/// let text = Text::from("grüezi");
/// assert_eq!(text.as_str(), Some("grüezi"));
/// assert_eq!(text, "grüezi");
///
/// let half = Text::from_code_units(&[0xd83d]);
/// assert_eq!(half.as_str(), None);
/// assert_eq!(half.to_string_lossy(), "\u{fffd}");
/// ```
#[derive(Clone)]
pub struct Text<'a>(Repr<'a>);

#[derive(Clone)]
enum Repr<'a> {
    Borrowed(&'a str),
    Owned(String),
    /// The content of the JSON string, with its escapes. It occurs rarely, so it is never borrowed.
    IllFormed(Box<str>),
}

impl<'a> Text<'a> {
    /// Returns the string, unless it is ill-formed.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Repr::Borrowed(text) => Some(text),
            Repr::Owned(text) => Some(text),
            Repr::IllFormed(_) => None,
        }
    }

    /// Returns whether the string contains no lone surrogate.
    pub fn is_well_formed(&self) -> bool {
        self.as_str().is_some()
    }

    /// Returns the string with U+FFFD in place of each lone surrogate.
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Borrowed(text) => Cow::Borrowed(text),
            Repr::Owned(text) => Cow::Borrowed(text),
            Repr::IllFormed(raw) => Cow::Owned(String::from_utf16_lossy(&code_units(raw))),
        }
    }

    /// Returns the string as UTF-16 code units, including lone surrogates.
    pub fn to_code_units(&self) -> Vec<u16> {
        match &self.0 {
            Repr::Borrowed(text) => text.encode_utf16().collect(),
            Repr::Owned(text) => text.encode_utf16().collect(),
            Repr::IllFormed(raw) => code_units(raw),
        }
    }

    /// Creates a string from UTF-16 code units. It is ill-formed if they contain a lone surrogate.
    pub fn from_code_units(units: &[u16]) -> Text<'static> {
        if let Ok(text) = String::from_utf16(units) {
            return Text(Repr::Owned(text));
        }
        let mut raw = String::with_capacity(units.len() + 5);
        for decoded in char::decode_utf16(units.iter().copied()) {
            match decoded {
                Ok(char) => escape(char.encode_utf8(&mut [0; 4]), &mut raw),
                Err(lone) => raw.push_str(&format!("\\u{:04x}", lone.unpaired_surrogate())),
            }
        }
        Text(Repr::IllFormed(raw.into()))
    }

    /// Returns the string without borrows.
    pub fn into_owned(self) -> Text<'static> {
        Text(match self.0 {
            Repr::Borrowed(text) => Repr::Owned(text.to_owned()),
            Repr::Owned(text) => Repr::Owned(text),
            Repr::IllFormed(raw) => Repr::IllFormed(raw),
        })
    }

    /// Returns the string with U+FFFD in place of each lone surrogate. Copies nothing if it is owned and well-formed.
    pub fn into_string_lossy(self) -> String {
        match self.0 {
            Repr::Owned(text) => text,
            _ => self.to_string_lossy().into_owned(),
        }
    }

    /// Returns the number of bytes that the string takes when it is owned.
    pub(crate) fn stored_len(&self) -> usize {
        match &self.0 {
            Repr::Borrowed(text) => text.len(),
            Repr::Owned(text) => text.len(),
            Repr::IllFormed(raw) => raw.len(),
        }
    }

    /// Returns the number of allocated bytes.
    pub(crate) fn capacity(&self) -> usize {
        match &self.0 {
            Repr::Borrowed(_) => 0,
            Repr::Owned(text) => text.capacity(),
            Repr::IllFormed(raw) => raw.len(),
        }
    }

    /// Returns the rest of a string that begins with `prefix`.
    pub(crate) fn strip_prefix(&self, prefix: &str) -> Option<Self> {
        match &self.0 {
            Repr::Borrowed(text) => text
                .strip_prefix(prefix)
                .map(|rest| Self(Repr::Borrowed(rest))),
            Repr::Owned(text) => text
                .strip_prefix(prefix)
                .map(|rest| Self(Repr::Owned(rest.to_owned()))),
            Repr::IllFormed(raw) => {
                let units = code_units(raw);
                let prefix: Vec<u16> = prefix.encode_utf16().collect();
                units
                    .strip_prefix(prefix.as_slice())
                    .map(Self::from_code_units)
            }
        }
    }

    /// Returns `prefix` followed by the string.
    pub(crate) fn prefixed(&self, prefix: &str) -> Text<'static> {
        if let Some(text) = self.as_str() {
            return format!("{prefix}{text}").into();
        }
        let mut units: Vec<u16> = prefix.encode_utf16().collect();
        units.extend(self.to_code_units());
        Text::from_code_units(&units)
    }

    /// Reads the content of a valid JSON string: the text between the quotes.
    pub(crate) fn from_json_string(raw: &'a str) -> Self {
        if !raw.contains('\\') {
            return Self(Repr::Borrowed(raw));
        }
        let mut text = String::with_capacity(raw.len());
        if unescape(raw, &mut text) {
            // An escape may be six times as long as its character, so the reserved capacity may be too large.
            text.shrink_to_fit();
            Self(Repr::Owned(text))
        } else {
            Self(Repr::IllFormed(raw.into()))
        }
    }

    /// Appends the string as JSON, with quotes.
    pub(crate) fn write_json(&self, out: &mut String) {
        out.push('"');
        match &self.0 {
            Repr::Borrowed(text) => escape(text, out),
            Repr::Owned(text) => escape(text, out),
            Repr::IllFormed(raw) => out.push_str(raw),
        }
        out.push('"');
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Repr::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Text<'a> {
    fn from(text: &'a String) -> Self {
        Self(Repr::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Repr::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self(Repr::Borrowed(text)),
            Cow::Owned(text) => Self(Repr::Owned(text)),
        }
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self(Repr::Borrowed(""))
    }
}

/// Compares code units, so different escapes of one string are equal.
impl PartialEq<Text<'_>> for Text<'_> {
    fn eq(&self, other: &Text<'_>) -> bool {
        match (&self.0, &other.0) {
            (Repr::IllFormed(one), Repr::IllFormed(two)) => {
                one == two || code_units(one) == code_units(two)
            }
            _ => self.as_str() == other.as_str(),
        }
    }
}

impl Eq for Text<'_> {}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.as_str() {
            Some(text) => text.hash(state),
            // Equal strings can have different escapes, so hash the code units.
            None => self.to_code_units().hash(state),
        }
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(other)
    }
}

/// Prints the string in quotes: as `str` does if it is well-formed, and with JSON's escapes otherwise.
impl fmt::Debug for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::IllFormed(raw) => write!(formatter, "\"{raw}\""),
            _ => fmt::Debug::fmt(&self.to_string_lossy(), formatter),
        }
    }
}

/// Prints U+FFFD in place of each lone surrogate.
impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_string_lossy(), formatter)
    }
}

/// Writes a string. An ill-formed one is written as raw JSON, which only `serde_json`'s serializers to text can do.
impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) => serializer.serialize_str(text),
            None => {
                let mut json = String::new();
                self.write_json(&mut json);
                RawJson::from_valid(json).serialize(serializer)
            }
        }
    }
}

/// Reads a string. Lone surrogates can only be read by `serde_json`, from text.
impl<'de> Deserialize<'de> for Text<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Asked for a string, `serde_json` refuses lone surrogates. Asked for bytes, it returns them as WTF-8.
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text<'static>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text::from(text).into_owned())
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Text::from(text))
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        if let Ok(text) = str::from_utf8(bytes) {
            return Ok(Text::from(text).into_owned());
        }
        let units = wtf_8(bytes).ok_or_else(|| E::custom("a string is not WTF-8"))?;
        Ok(Text::from_code_units(&units))
    }
}

/// Returns the code units of WTF-8, which is UTF-8 that may contain half surrogate pairs.
fn wtf_8(bytes: &[u8]) -> Option<Vec<u16>> {
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let valid = match str::from_utf8(rest) {
            Ok(text) => {
                units.extend(text.encode_utf16());
                return Some(units);
            }
            Err(error) => error.valid_up_to(),
        };
        let (text, after) = rest.split_at_checked(valid)?;
        units.extend(str::from_utf8(text).ok()?.encode_utf16());
        let [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, after @ ..] = after else {
            return None;
        };
        units.push(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f));
        rest = after;
    }
}

/// Appends the content of a valid JSON string without its escapes. Returns `false` if it has a lone surrogate.
pub(crate) fn unescape(raw: &str, out: &mut String) -> bool {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        let (unit, after) = escaped_unit(escape);
        rest = after;
        match char::from_u32(u32::from(unit)) {
            Some(char) => out.push(char),
            None => {
                if !rest.starts_with('\\') {
                    return false;
                }
                let (second, after) = escaped_unit(rest);
                let Some(Ok(char)) = char::decode_utf16([unit, second]).next() else {
                    return false;
                };
                out.push(char);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    true
}

fn code_units(raw: &str) -> Vec<u16> {
    let mut units = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at(at);
        units.extend(plain.encode_utf16());
        let (unit, after) = escaped_unit(escape);
        units.push(unit);
        rest = after;
    }
    units.extend(rest.encode_utf16());
    units
}

/// Reads one escape of a valid JSON string. Returns the code unit and the text after it.
fn escaped_unit(escape: &str) -> (u16, &str) {
    let kind = escape.as_bytes().get(1).copied().unwrap_or_default();
    let (unit, length) = match kind {
        b'b' => (0x08, 2),
        b'f' => (0x0c, 2),
        b'n' => (0x0a, 2),
        b'r' => (0x0d, 2),
        b't' => (0x09, 2),
        b'u' => {
            let digits = escape.get(2..6).unwrap_or_default();
            (u16::from_str_radix(digits, 16).unwrap_or_default(), 6)
        }
        other => (u16::from(other), 2),
    };
    (unit, escape.get(length..).unwrap_or_default())
}

/// Appends `text` as the content of a JSON string, with the escapes of `JSON.stringify`.
fn escape(text: &str, out: &mut String) {
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(json::plain_prefix(rest.as_bytes()));
        out.push_str(plain);
        let Some(&byte) = special.as_bytes().first() else {
            return;
        };
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => out.push_str(&format!("\\u{control:04x}")),
        }
        rest = special.get(1..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(raw: &str) -> Text<'_> {
        Text::from_json_string(raw)
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(
            read(r#"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z"#),
            "a\"\\/\u{8}\u{c}\n\r\té😀z"
        );
    }

    #[test]
    fn lone_surrogates_are_kept_unchanged() {
        for (raw, units, lossy) in [
            (r"\uD83d", &[0xd83d][..], "\u{fffd}"),
            (r"a\ude00\n", &[0x61, 0xde00, 0x0a][..], "a\u{fffd}\n"),
            (
                r"\ud83d\ud83d\ude00",
                &[0xd83d, 0xd83d, 0xde00][..],
                "\u{fffd}😀",
            ),
            (r"\ud83dx", &[0xd83d, 0x78][..], "\u{fffd}x"),
            (r"\ud83d\n", &[0xd83d, 0x0a][..], "\u{fffd}\n"),
        ] {
            let text = read(raw);
            assert_eq!(text.as_str(), None);
            assert_eq!(text.to_code_units(), units);
            assert_eq!(text.to_string_lossy(), lossy);
            assert_eq!(text, Text::from_code_units(units));
            let mut json = String::new();
            text.write_json(&mut json);
            assert_eq!(json, format!("\"{raw}\""));
        }
        assert_ne!(read(r"\ud83d"), read(r"\ud83e"));
        assert_ne!(read(r"\ud83d"), Text::from("\u{fffd}"));
    }

    proptest! {
        #[test]
        fn code_units_give_the_string_back(units in proptest::collection::vec(prop_oneof![0xd7f0u16..0xe010, 0u16..0x80], 0..12)) {
            let text = Text::from_code_units(&units);
            prop_assert_eq!(text.to_code_units(), units);
            let mut json = String::new();
            text.write_json(&mut json);
            prop_assert_eq!(json::validate(&json), Ok(()));
            prop_assert_eq!(&read(&json[1..json.len() - 1]), &text);
            prop_assert_eq!(&serde_json::from_str::<Text<'static>>(&json).unwrap(), &text);
            prop_assert_eq!(serde_json::from_reader::<_, Text<'static>>(json.as_bytes()).unwrap(), text);
        }

        #[test]
        fn strings_are_written_as_serde_json_writes_them(text in any::<String>()) {
            let mut json = String::new();
            Text::from(&text).write_json(&mut json);
            prop_assert_eq!(json, serde_json::to_string(&text).unwrap());
        }
    }
}
