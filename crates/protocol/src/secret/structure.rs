//! Separates the values in a text from the format around them.

use std::ops::Range;

/// A value in a text, which may contain a secret. The text between the values belongs to the format and is never masked.
#[derive(Debug, PartialEq)]
pub(super) struct Span {
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Text of no known format.
    Text,
    /// The content of a JSON string.
    String {
        /// Whether its closing quote is missing.
        is_open: bool,
    },
    /// A JSON number.
    Number,
}

/// Returns the values in a text: the strings and numbers of JSON, and the data of an event stream. Any other text is one value.
///
/// JSON is recognised by its tokens alone, so everything that [a tolerant reader](crate::tolerant) reads is JSON here, too.
pub(super) fn spans(text: &[u8]) -> Vec<Span> {
    json(text, 0..text.len())
        .or_else(|| event_stream(text))
        .unwrap_or_else(|| vec![Span::text(0..text.len())])
}

/// The length of the longest word of a format. The longest of the UI message stream is `tool-output-available`.
const LONGEST_WORD: usize = 24;

/// The members whose values are words of the format, such as `text-delta`, and determine how the rest is read.
const WORDS: [&[u8]; 4] = [b"type", b"role", b"state", b"status"];

/// Returns the strings and numbers of JSON, which may be cut; `None` if the text is not JSON.
fn json(text: &[u8], range: Range<usize>) -> Option<Vec<Span>> {
    let mut spans: Vec<Span> = Vec::new();
    let mut at = range.start;
    if text.get(range.clone())?.starts_with("\u{feff}".as_bytes()) {
        at += 3;
    }
    let mut depth = 0_usize;
    let mut value_may_come = true;
    // The name of the current member.
    let mut name = 0..0;
    // The string just read: a colon after it makes it a name.
    let mut last_string: Option<Range<usize>> = None;
    while at < range.end {
        let byte = text[at];
        let string = last_string.take_if(|_| byte > b' ');
        match byte {
            0..=b' ' | 0x7F => {}
            b'{' | b'[' if value_may_come => depth += 1,
            // Either bracket closes either container: what counts is where values are, not whether the JSON is valid.
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                name = 0..0;
                // Several JSON values may follow each other.
                value_may_come = depth == 0;
                at += 1;
                continue;
            }
            b',' | b':' if depth > 0 => {
                name = 0..0;
                if let (b':', Some(string)) = (byte, string) {
                    if is_word(&text[string.clone()]) {
                        spans.pop_if(|span| span.range == string);
                    }
                    name = string;
                }
                value_may_come = true;
            }
            b'"' if value_may_come => {
                let string = string_at(text, at + 1..range.end);
                let is_open = string.end == range.end;
                at = string.end;
                let is_word_of_format =
                    WORDS.contains(&&text[name.clone()]) && is_word(&text[string.clone()]);
                if !is_word_of_format {
                    spans.push(Span {
                        range: string.clone(),
                        kind: Kind::String { is_open },
                    });
                }
                last_string = Some(string);
                value_may_come = false;
            }
            _ if value_may_come => {
                let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let length = text[at..range.end]
                    .iter()
                    .take_while(|byte| is_token(byte))
                    .count();
                let token = at..at + length;
                let written = std::str::from_utf8(&text[token.clone()]).ok()?;
                // Unless it is the whole text: then a beginning such as `t` is more likely a word than a cut literal.
                let is_cut = token.end == range.end && range.start < at;
                let is_literal =
                    |literal: &str| literal == written || is_cut && literal.starts_with(written);
                let is_number = written
                    .starts_with(|first: char| first == '-' || first.is_ascii_digit())
                    && (is_cut || written.parse::<f64>().is_ok());
                if is_number {
                    spans.push(Span {
                        range: token.clone(),
                        kind: Kind::Number,
                    });
                } else if length == 0 || !["true", "false", "null"].into_iter().any(is_literal) {
                    return None;
                }
                at = token.end;
                value_may_come = false;
                continue;
            }
            _ => return None,
        }
        if matches!(byte, b'{' | b'[') {
            name = 0..0;
        }
        at += 1;
    }
    Some(spans)
}

/// Returns the content of the string that begins here, up to its closing quote or the end of the range.
fn string_at(text: &[u8], range: Range<usize>) -> Range<usize> {
    let mut at = range.start;
    while at < range.end {
        match text[at] {
            b'"' => return range.start..at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    range
}

/// Returns whether this may be a word of a format. Showing such a word where the format has one reveals no secret.
fn is_word(text: &[u8]) -> bool {
    text.len() <= LONGEST_WORD
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(byte))
}

/// Returns the values of an event stream; `None` if a line is not a field of one. The last line may be cut.
fn event_stream(text: &[u8]) -> Option<Vec<Span>> {
    const FIELDS: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    let mut spans = Vec::new();
    let mut start = 0;
    if text.starts_with("\u{feff}".as_bytes()) {
        start = 3;
    }
    let mut found = false;
    while start < text.len() {
        let rest = &text[start..];
        let length = rest.iter().position(|byte| b"\r\n".contains(byte));
        let end = start + length.unwrap_or(rest.len());
        let line = &text[start..end];
        let field = FIELDS.iter().find(|field| line.starts_with(field));
        match field {
            Some(field) => {
                found = true;
                let value = start + field.len()..end;
                match json(text, value.clone()) {
                    Some(values) if **field == *b"data:" => spans.extend(values),
                    _ => spans.push(Span::text(value)),
                }
            }
            None if line.is_empty() => {}
            None if length.is_none() && FIELDS.iter().any(|field| field.starts_with(line)) => {}
            None => return None,
        }
        start = end + 1;
    }
    found.then_some(spans)
}

impl Span {
    fn text(range: Range<usize>) -> Self {
        let kind = Kind::Text;
        Self { range, kind }
    }
}
