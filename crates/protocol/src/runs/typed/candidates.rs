//! Where in an answer a JSON value may be.

use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::Value;

/// The most fences that are looked at, from the end of the answer: fences that lie in each other are read again for each of them.
const MOST_FENCES: usize = 64;

/// The most bytes that are read for brackets that begin no JSON, as a multiple of the answer's length. Without it, an answer of brackets alone
/// would take time with the square of its length.
const MOST_WORK: usize = 16;

/// The content of a fenced code block.
pub(super) struct Fence<'a> {
    /// The first word behind the fence, in lower case.
    pub(super) language: String,
    pub(super) content: &'a str,
}

impl Fence<'_> {
    pub(super) fn is_json(&self) -> bool {
        self.language.starts_with("json")
    }

    /// Whether nothing tells what it holds.
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
/// As CommonMark has them, with two differences that agents need. A fence with a language opens a block also within another block: they
/// put a report with JSON in it into a block of its own, with marks of the same length. And a block that is not closed ends with
/// the answer, so that an answer that was cut is called by its name.
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
        // Backticks behind backticks are code within a line.
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

/// The objects and arrays that stand in a text.
#[derive(Default)]
pub(super) struct InText<'a> {
    /// Those that are JSON, none within another.
    pub(super) values: Vec<&'a str>,
    /// The one that is none although most of it could be read: from its bracket on, and how many bytes could.
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

/// The length of the JSON value with which a text begins; or how much of one could be read.
fn length_of_value(text: &str) -> Result<usize, usize> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => Ok(values.byte_offset()),
        Some(Err(error)) => Err(offset(text, &error)),
        None => Err(0),
    }
}

/// Where an error is, in bytes: `serde_json` tells the line and the column.
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

/// Checks that a text is one JSON value. The error is the one that says most: passing over a value, `serde_json` does not name a comma too many.
pub(super) fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<Value>(text).map(drop)
}
