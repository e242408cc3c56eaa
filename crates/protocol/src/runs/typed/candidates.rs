//! Finds the places in an answer where a JSON value may be.

use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::Value;

/// The most fences that are examined, from the end of the answer. Nested fences are read again for each fence around them.
const MOST_FENCES: usize = 64;

/// The most bytes that are read for brackets that do not begin JSON, as a multiple of the answer's length. Without this limit, an
/// answer of brackets alone would take quadratic time.
const MOST_WORK: usize = 16;

/// The content of a fenced code block.
pub(super) struct Fence<'a> {
    /// The first word after the fence, in lower case.
    pub(super) language: String,
    pub(super) content: &'a str,
}

impl Fence<'_> {
    pub(super) fn is_json(&self) -> bool {
        self.language.starts_with("json")
    }

    /// Returns whether the fence names no language.
    pub(super) fn is_plain(&self) -> bool {
        self.language.is_empty()
    }
}

struct Opened {
    mark: u8,
    length: usize,
    language: String,
    begin: usize,
}

/// Finds the fenced code blocks, in the order in which they end.
///
/// The rules are those of CommonMark, with two differences for the habits of agents. A fence with a language opens a block even
/// within another block, since agents put a report with JSON in it into a block of its own with fences of the same length. And an
/// unclosed block ends with the answer, so that the problem of an answer that was cut off is reported as such.
pub(super) fn fences(text: &str) -> Vec<Fence<'_>> {
    let mut open: Vec<Opened> = Vec::new();
    let mut fences = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        let trimmed = line.trim();
        let Some(mark) = trimmed.bytes().next().filter(|byte| b"`~".contains(byte)) else {
            continue;
        };
        let length = trimmed.bytes().take_while(|byte| *byte == mark).count();
        let info = trimmed.get(length..).unwrap_or_default().trim();
        // Backticks after backticks are inline code.
        if length < 3 || (mark == b'`' && info.contains('`')) {
            continue;
        }
        let closes = |opened: &Opened| opened.mark == mark && length >= opened.length;
        if info.is_empty() && open.last().is_some_and(closes) {
            let Opened {
                language,
                begin: from,
                ..
            } = open.remove(open.len() - 1);
            let content = text.get(from..begin).unwrap_or_default();
            fences.push(Fence { language, content });
        } else if !info.is_empty() || open.is_empty() {
            let language = info.split(|char: char| char.is_whitespace() || char == '{');
            open.push(Opened {
                mark,
                length,
                language: language.take(1).collect::<String>().to_lowercase(),
                begin: at,
            });
        }
    }
    if let Some(Opened {
        language, begin, ..
    }) = open.pop()
    {
        let content = text.get(begin..).unwrap_or_default();
        fences.push(Fence { language, content });
    }
    fences.drain(..fences.len().saturating_sub(MOST_FENCES));
    fences
}

/// The objects and arrays in a text.
#[derive(Default)]
pub(super) struct InText<'a> {
    /// The ones that are valid JSON, without nested ones.
    pub(super) values: Vec<&'a str>,
    /// The invalid one that could be read furthest: its text from the bracket on, and the number of bytes that could be read.
    pub(super) broken: Option<(&'a str, usize)>,
}

/// Finds the objects and arrays.
pub(super) fn in_text(text: &str) -> InText<'_> {
    let mut found = InText::default();
    let mut work = text.len().saturating_mul(MOST_WORK);
    let mut at = 0;
    while let Some(begin) = next_bracket(text, at) {
        let rest = text.get(begin..).unwrap_or_default();
        match length_of_value(rest) {
            Ok(length) => {
                found.values.extend(rest.get(..length));
                at = begin + length;
            }
            Err(read) => {
                if found.broken.is_none_or(|(_, most)| read > most) {
                    found.broken = Some((rest, read));
                }
                let Some(left) = work.checked_sub(read) else {
                    break;
                };
                work = left;
                at = begin + 1;
            }
        }
    }
    found
}

fn next_bracket(text: &str, from: usize) -> Option<usize> {
    let rest: Range<usize> = from..text.len();
    let bytes = text.as_bytes().get(rest)?;
    Some(from + memchr::memchr2(b'{', b'[', bytes)?)
}

/// Returns the length of the JSON value at the start of a text. The error is the length that could be read.
fn length_of_value(text: &str) -> Result<usize, usize> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => Ok(values.byte_offset()),
        Some(Err(error)) => Err(offset(text, &error)),
        None => Err(0),
    }
}

/// Returns the position of an error in bytes, since `serde_json` reports the line and the column.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let before = error.line().saturating_sub(2);
    let line = match error.line() {
        0 | 1 => 0,
        _ => memchr::memchr_iter(b'\n', text.as_bytes())
            .nth(before)
            .map_or(0, |end| end + 1),
    };
    line + error.column()
}

/// Checks that a text is one JSON value. The error is more precise: when `serde_json` skips a value, it does not report a
/// trailing comma.
pub(super) fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<Value>(text).map(drop)
}
