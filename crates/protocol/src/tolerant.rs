//! Tolerant reading of JSON. The relay may differ from its documents, and long error bodies are cut.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::{Map, Value};

use crate::ui::PartialJson;

/// The depth at which mending drops a container. It is below the 127 levels that `serde_json` reads.
const DEEPEST: usize = 100;

/// Reads JSON, [mending](mend) it if it is slightly invalid.
///
/// # Errors
/// The error of the original text.
pub(crate) fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(json)
        .or_else(|error| serde_json::from_str(&mend(json)).map_err(|_| error))
}

/// Reads the object at the beginning of a text. If the text is cut, reads what can be read of its members.
pub(crate) fn object(json: &[u8]) -> Option<Map<String, Value>> {
    if let Ok(members) = serde_json::from_slice(json) {
        return Some(members);
    }
    let mended = mend(json);
    // A value may have something else after it.
    if let Some(Ok(members)) = serde_json::Deserializer::from_str(&mended)
        .into_iter()
        .next()
    {
        return Some(members);
    }
    if !mended.trim_start().starts_with('{') {
        return None;
    }
    // The text may be cut.
    let closed = PartialJson::from(mended.as_str()).value()?;
    serde_json::from_str(closed.get()).ok()
}

/// Reads a member. The default replaces `null` and unreadable values.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).unwrap_or_default())
}

/// Reads a count; `None` if it is not one. JavaScript has only doubles, so `120`, `120.0` and `1.2e2` are the same number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, as it should"
)]
pub(crate) fn count<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let count = value.as_u64().or_else(|| {
        value
            .as_f64()
            .filter(|count| *count >= 0.0)
            .map(|count| count as u64)
    });
    Ok(count.and_then(|count| T::try_from(count).ok()))
}

/// Reads a whole number in any notation.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, as it should"
)]
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    f64::deserialize(deserializer).map(|number| number as i32)
}

/// Reads pairs of text. `null` is an empty map. A value that is not text becomes its JSON, so that an update does not lose it.
pub(crate) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let pairs = Option::<Map<String, Value>>::deserialize(deserializer)?;
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(pairs
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect())
}

/// Reads a list. `null` and values that are not a list become an empty one.
pub(crate) fn list<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(elements(value).unwrap_or_default())
}

/// Reads a list without its unreadable elements, as [`List`] does. A value that is not a list is an error.
pub(crate) fn elements<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    List::deserialize(deserializer).map(|List(elements)| elements)
}

/// A list without its unreadable elements: one of them must not hide the others.
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Vec::<Value>::deserialize(deserializer)?;
        let read = values
            .into_iter()
            .filter_map(|value| T::deserialize(value).ok());
        Ok(Self(read.collect()))
    }
}

/// Repairs details that JSON parsers refuse: a byte order mark, bytes that are not UTF-8, control characters, half a surrogate
/// pair, an unknown escape, a number outside the range of a double. Containers that are nested too deep become `null`.
///
/// Other errors stay in the text. A truncated text stays truncated, but never ends within an escape.
fn mend(json: &[u8]) -> String {
    let text = String::from_utf8_lossy(json);
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut mended = String::with_capacity(rest.len());
    let mut depth = 0_usize;
    // The start of the container that is nested too deep.
    let mut too_deep = 0;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '"' => string(rest, &mut mended),
            '-' | '0'..='9' => number(rest, &mut mended),
            '{' | '[' => {
                depth += 1;
                if depth == DEEPEST {
                    too_deep = mended.len();
                }
                mended.push(next);
                1
            }
            '}' | ']' => {
                mended.push(next);
                if depth == DEEPEST {
                    mended.truncate(too_deep);
                    mended.push_str("null");
                }
                depth = depth.saturating_sub(1);
                1
            }
            next => {
                mended.push(if next.is_control() { ' ' } else { next });
                next.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    if depth >= DEEPEST {
        mended.truncate(too_deep);
    }
    mended
}

/// Mends the number at the beginning of `text`, and returns its length. A number outside the range of a double becomes a string.
fn number(text: &str, mended: &mut String) -> usize {
    let end = text
        .find(|next: char| !matches!(next, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
        .unwrap_or(text.len());
    let number = text.get(..end).unwrap_or_default();
    if number.parse().is_ok_and(f64::is_infinite) {
        mended.extend(["\"", number, "\""]);
    } else {
        mended.push_str(number);
    }
    end
}

/// Mends the string at the beginning of `text`, and returns its length.
fn string(text: &str, mended: &mut String) -> usize {
    mended.push('"');
    let mut at = 1;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let plain = rest
            .find(|next: char| matches!(next, '"' | '\\') || next < ' ')
            .unwrap_or(rest.len());
        let (plain, special) = rest.split_at(plain);
        mended.push_str(plain);
        at += plain.len();
        at += match special.as_bytes() {
            [] => 0,
            [b'"', ..] => {
                mended.push('"');
                return at + 1;
            }
            [b'\\', ..] => escape(special, mended),
            [control, ..] => {
                mended.push_str(&format!("\\u{control:04x}"));
                1
            }
        };
    }
    at
}

/// Mends the escape at the beginning of `text`, and returns its length. An unknown escape becomes a backslash, and one that the
/// end of the text cuts is dropped.
fn escape(text: &str, mended: &mut String) -> usize {
    if let Some(first) = code_unit(text) {
        let second = text.get(6..).and_then(code_unit);
        let pair = [first, second.unwrap_or_default()];
        let (length, whole) = match first {
            0xd800..=0xdbff => (12, String::from_utf16(&pair).is_ok()),
            0xdc00..=0xdfff => (6, false),
            _ => (6, true),
        };
        if whole {
            mended.push_str(text.get(..length).unwrap_or_default());
            return length;
        }
        mended.push('\u{fffd}');
        return 6;
    }
    match text.as_bytes() {
        [
            _,
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
            ..,
        ] => {
            mended.push_str(text.get(..2).unwrap_or_default());
            2
        }
        [_] => 1,
        [_, b'u', digits @ ..] if digits.len() < 4 && digits.iter().all(u8::is_ascii_hexdigit) => {
            text.len()
        }
        _ => {
            mended.push_str("\\\\");
            1
        }
    }
}

/// Returns the code unit of the `\uXXXX` escape at the beginning of `text`, if there is one.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let all = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| all)
}
