use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;

use super::NoValue;
use super::candidates::{check, fences, in_text};

/// The longest answer that is searched, in bytes. A model writes far less in one turn.
pub(super) const LONGEST: usize = 8 * 1024 * 1024;

/// Reads a value out of an answer: of nothing but JSON, of fenced code, or of JSON within other text.
///
/// It looks in this order, and takes the first that fits the type:
///
/// 1. the whole answer;
/// 2. fenced code whose language is JSON, the last of them first: an agent thinks aloud and ends with what counts;
/// 3. other fenced code, the last first;
/// 4. objects and arrays in the text, the last first.
///
/// A mark of the byte order before it is passed over. Nothing is mended: a comma too many is an error, since an agent that is told of it does better than
/// a guess.
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
/// If nothing fits, or the answer is longer than 8 MiB. Of several candidates the error is about the one that most probably was meant.
pub fn read_json<T: DeserializeOwned>(answer: &str) -> Result<T, NoValue> {
    read(answer, Shape::Any)
}

/// What the schema says of the outermost value. `serde` reads structs also from arrays, and a `[1]` in the text is mostly a footnote.
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
        // What is not even JSON has an error that says more.
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
    // Nothing in fences was meant, so that the longest in the text was.
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

/// Whether behind a bracket comes what an object or an array may begin with: other brackets are prose or code.
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

/// What is wrong with the candidate that most probably was meant: the first of those that were.
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

    /// What is not even JSON says more than a small value beside it, which does not fit.
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
