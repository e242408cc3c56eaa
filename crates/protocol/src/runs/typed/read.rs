use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;

use super::NoValue;
use super::candidates::{check, fences, in_text};

/// The size limit of an answer, in bytes. A model writes far less in one turn.
pub(super) const LONGEST: usize = 8 * 1024 * 1024;

/// Reads a value from an answer that is JSON, or that contains JSON in fenced code or within other text.
///
/// The candidates are tried in this order, and the first that matches the type is returned:
///
/// 1. the whole answer;
/// 2. fenced code whose language is JSON, last first: agents think aloud and end with the result;
/// 3. other fenced code, last first;
/// 4. objects and arrays in the text, last first.
///
/// A byte order mark at the start is skipped. Nothing is repaired: a trailing comma is an error, since telling the agent about it
/// works better than guessing.
///
/// ```
/// use twentyfirst_protocol::runs::typed::read_json;
///
/// let answer = "I found two.\n\n```json\n{\"bugs\": 2}\n```\n";
/// let bugs: std::collections::BTreeMap<String, u32> = read_json(answer)?;
/// assert_eq!(bugs["bugs"], 2);
/// # Ok::<(), twentyfirst_protocol::runs::typed::NoValue>(())
/// ```
///
/// # Errors
/// Returns an error if nothing matches, or if the answer is longer than 8 MiB. With several candidates, the error describes the
/// most likely one.
pub fn read_json<T: DeserializeOwned>(answer: &str) -> Result<T, NoValue> {
    read(answer, Shape::Any)
}

/// The type of the outermost value according to the schema. `serde` also reads structs from arrays, and a `[1]` in the text is
/// mostly a footnote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
    Any,
}

impl Shape {
    pub(super) fn of(schema: &Value) -> Self {
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => Self::Object,
            Some("array") => Self::Array,
            _ => Self::Any,
        }
    }

    fn fits(self, json: &str) -> Result<(), serde_json::Error> {
        let (bracket, name) = match self {
            Self::Object => ('{', "an object"),
            Self::Array => ('[', "an array"),
            Self::Any => return Ok(()),
        };
        if json.starts_with(bracket) {
            return Ok(());
        }
        // For invalid JSON, the parser's error is more helpful.
        check(json)?;
        Err(serde_json::Error::custom(format!(
            "the outermost value has to be {name}"
        )))
    }
}

pub(super) fn read<T: DeserializeOwned>(answer: &str, shape: Shape) -> Result<T, NoValue> {
    if answer.len() > LONGEST {
        return Err(NoValue::TooLong {
            length: answer.len(),
            limit: LONGEST,
        });
    }
    let whole = trimmed(answer);
    let mut problem = Problem::default();
    match parse(whole, shape) {
        Ok(value) => return Ok(value),
        Err(error) => {
            // An answer in prose was not meant as JSON, so its syntax error says nothing.
            let is_json = error.is_data();
            problem.note(error, is_json);
        }
    }
    let fences = fences(whole);
    let of_json = || fences.iter().rev().filter(|fence| fence.is_json());
    let others = || fences.iter().rev().filter(|fence| !fence.is_json());
    for fence in of_json().chain(others()) {
        let json = trimmed(fence.content);
        let is_meant = fence.is_json() || (fence.is_plain() && json.starts_with(['{', '[']));
        match parse(json, shape) {
            Ok(value) => return Ok(value),
            Err(error) => problem.note(error, is_meant),
        }
    }
    let in_text = in_text(whole);
    // No fence held the value, so the longest candidate in the text is the most likely one.
    let longest = in_text.values.iter().map(|json| json.len()).max();
    for json in in_text.values.iter().rev() {
        match parse(json, shape) {
            Ok(value) => return Ok(value),
            // Empty brackets are placeholders.
            Err(error) => problem.note(error, Some(json.len()) == longest && json.len() > 2),
        }
    }
    if let Some((broken, read)) = in_text.broken
        && longest.is_none_or(|longest| read > longest)
        && begins_as_value(broken)
        && let Err(error) = check(broken)
    {
        problem.prefer(error);
    }
    Err(problem.into_no_value())
}

/// Returns whether the bracket is followed by what can begin an object or an array. Other brackets are prose or code.
fn begins_as_value(broken: &str) -> bool {
    let mut chars = broken.chars();
    let bracket = chars.next();
    let next = chars.find(|char| !char.is_whitespace());
    match bracket {
        Some('{') => next == Some('"'),
        _ => next.is_some_and(|next| "{[\"".contains(next) || next.is_ascii_digit()),
    }
}

fn trimmed(text: &str) -> &str {
    text.trim().trim_start_matches('\u{feff}').trim()
}

fn parse<T: DeserializeOwned>(json: &str, shape: Shape) -> Result<T, serde_json::Error> {
    shape.fits(json)?;
    serde_json::from_str(json)
}

/// The error of the most likely candidate, which is the first likely one.
#[derive(Default)]
struct Problem {
    of_meant: Option<serde_json::Error>,
}

impl Problem {
    fn note(&mut self, error: serde_json::Error, is_meant: bool) {
        if is_meant && self.of_meant.is_none() {
            self.of_meant = Some(error);
        }
    }

    /// Prefers the error of invalid JSON over that of a small value beside it that does not match the type.
    fn prefer(&mut self, error: serde_json::Error) {
        if self
            .of_meant
            .as_ref()
            .is_none_or(serde_json::Error::is_data)
        {
            self.of_meant = Some(error);
        }
    }

    fn into_no_value(self) -> NoValue {
        self.of_meant.map_or(NoValue::NoJson, NoValue::new)
    }
}
