//! A JSON scanner that validates in one pass without copying.
//!
//! It accepts what `JSON.parse` accepts: RFC 8259 without limits on depth or on the size of numbers, and strings with lone
//! surrogate escapes. The same pass finds the keys that the AI SDK refuses (see [`JsonError::ForbiddenKey`]).

use std::{borrow::Cow, ops::Range};

use super::Text;
use crate::scan;

/// The reason why a text is not accepted as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// The grammar is broken at this byte.
    Syntax(usize),
    /// A key `__proto__`, or a key `prototype` in the object under a key `constructor`.
    ForbiddenKey,
}

/// The members of one JSON object, in their order. The object is validated up to the last member that was returned.
pub(crate) struct MemberReader<'a> {
    text: &'a str,
    stops: Stops<'a>,
    at: usize,
    state: State,
}

enum State {
    BeforeFirst,
    AfterMember,
    Ended,
}

impl<'a> MemberReader<'a> {
    /// Begins to read a document; `None` if it does not begin as an object.
    pub(crate) fn of(document: &'a str) -> Option<Self> {
        let at = skip_whitespace(document.as_bytes(), 0);
        (document.as_bytes().get(at) == Some(&b'{')).then(|| Self {
            text: document,
            stops: Stops::new(document.as_bytes(), 0),
            at: at + 1,
            state: State::BeforeFirst,
        })
    }

    /// Returns the next key and the text of its value; `None` after the last one, when the whole document has been validated.
    pub(crate) fn next(&mut self) -> Result<Option<(Text<'a>, &'a str)>, JsonError> {
        let bytes = self.text.as_bytes();
        let mut at = skip_whitespace(bytes, self.at);
        match (&self.state, bytes.get(at)) {
            (State::Ended, _) => return Ok(None),
            (State::BeforeFirst | State::AfterMember, Some(b'}')) => {
                self.state = State::Ended;
                end_of_document(bytes, at + 1)?;
                return Ok(None);
            }
            (State::BeforeFirst, _) => {}
            (State::AfterMember, Some(b',')) => at = skip_whitespace(bytes, at + 1),
            (State::AfterMember, _) => return Err(JsonError::Syntax(at)),
        }
        self.state = State::AfterMember;
        let key = read_key(&mut self.stops, at)?;
        let name = key.text(self.text);
        // This object is the document, so it is not under a `constructor`: only this key is forbidden here.
        if name == "__proto__" {
            return Err(JsonError::ForbiddenKey);
        }
        let under_constructor = name == "constructor";
        let value = value(self.text, &mut self.stops, key.value_at, under_constructor)?;
        self.at = key.value_at + value.len();
        Ok(Some((name, value)))
    }
}

/// Checks that `document` is a single JSON value, with optional whitespace around it.
pub(crate) fn validate(document: &str) -> Result<(), JsonError> {
    let start = skip_whitespace(document.as_bytes(), 0);
    let mut stops = Stops::new(document.as_bytes(), 0);
    let value = value(document, &mut stops, start, false)?;
    end_of_document(document.as_bytes(), start + value.len())
}

/// Returns the elements of an already validated JSON array; `None` if the value is not an array.
pub(crate) fn elements(array: &str) -> Option<impl Iterator<Item = &str>> {
    let bytes = array.as_bytes();
    let mut stops = Stops::new(bytes, 0);
    let mut at = skip_whitespace(bytes, 0) + 1;
    (bytes.get(at - 1) == Some(&b'[')).then_some(std::iter::from_fn(move || {
        at = skip_whitespace(bytes, at);
        if bytes.get(at) == Some(&b',') {
            at = skip_whitespace(bytes, at + 1);
        }
        let element = value(array, &mut stops, at, false).ok()?;
        at += element.len();
        Some(element)
    }))
}

/// Returns an already validated JSON value without whitespace between its tokens. Borrows it if there is none.
///
/// Nothing else changes: numbers, escapes, and the order of members stay as written.
pub(crate) fn compact(value: &str) -> Cow<'_, str> {
    let bytes = value.as_bytes();
    let mut stops = Stops::new(bytes, 0);
    let mut end = next_whitespace(&mut stops, 0);
    if end == bytes.len() {
        return Cow::Borrowed(value);
    }
    let mut compact = String::with_capacity(bytes.len());
    let mut start = 0;
    loop {
        compact.push_str(value.get(start..end).unwrap_or_default());
        if end == bytes.len() {
            return Cow::Owned(compact);
        }
        start = skip_whitespace(bytes, end);
        end = next_whitespace(&mut stops, start);
    }
}

/// Returns whether an already validated JSON value contains a number that is too large for a double.
pub(crate) fn has_number_beyond_double(value: &str) -> bool {
    let bytes = value.as_bytes();
    let mut stops = Stops::new(bytes, 0);
    let mut at = 0;
    loop {
        at = match bytes.get(at) {
            Some(b'"') => end_of_string(&mut stops, at + 1).map_or(bytes.len(), |(end, _)| end),
            Some(b'-' | b'0'..=b'9') => {
                let end = end_of_number(bytes, at).unwrap_or(bytes.len());
                let number = value.get(at..end).unwrap_or_default();
                if number.parse().is_ok_and(f64::is_infinite) {
                    return true;
                }
                end
            }
            Some(_) => at + 1,
            None => return false,
        };
    }
}

/// Returns the position of the next whitespace outside of strings, or the end.
fn next_whitespace(stops: &mut Stops<'_>, mut at: usize) -> usize {
    let bytes = stops.bytes;
    loop {
        at = match bytes.get(at) {
            Some(b'"') => end_of_string(stops, at + 1).map_or(bytes.len(), |(end, _)| end),
            Some(b' ' | b'\n' | b'\r' | b'\t') | None => return at,
            Some(_) => at + 1,
        };
    }
}

/// Returns the length of the prefix of `bytes` that a JSON string can contain unescaped: no quote, backslash or control character.
///
/// It is for a single string. [`Stops`] is faster for many strings of one text.
#[inline]
pub(crate) fn plain_prefix(bytes: &[u8]) -> usize {
    // As in `is_stop`.
    scan::first(bytes, |word| {
        scan::below(word ^ scan::all(0x02), 0x21) | scan::below(word ^ scan::all(b'\\'), 1)
    })
    .unwrap_or(bytes.len())
}

/// Finds the stops of a text: the quotes, backslashes and control characters, at which a plain stretch of a JSON string ends.
///
/// It scans one block at a time and remembers all stops in it. Strings and the stretches between escapes are short, so one block
/// usually covers several of them.
#[derive(Clone, Copy)]
pub(crate) struct Stops<'a> {
    bytes: &'a [u8],
    /// The start of the block.
    block: usize,
    /// A bit for each byte of the block that is a stop.
    bits: u64,
    /// The bits of the next block. They are computed one block ahead, so that they are ready when they are needed.
    next_bits: u64,
}

impl<'a> Stops<'a> {
    const BLOCK: usize = 64;

    /// Starts a scan at `at`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            block: at,
            bits: stops_at(bytes, at),
            next_bits: stops_at(bytes, at + Self::BLOCK),
        }
    }

    /// Returns the first stop at or after `at`, which must not be before the last requested position. The end of the text is a
    /// stop.
    #[inline]
    pub(crate) fn next(&mut self, at: usize) -> usize {
        let before = at.saturating_sub(self.block);
        if before < Self::BLOCK {
            let bits = self.bits >> before;
            if bits != 0 {
                return at + bits.trailing_zeros() as usize;
            }
        }
        self.next_in_later_block(at)
    }

    #[inline(never)]
    fn next_in_later_block(&mut self, at: usize) -> usize {
        loop {
            self.block += Self::BLOCK;
            self.bits = self.next_bits;
            self.next_bits = stops_at(self.bytes, self.block + Self::BLOCK);
            let before = at.saturating_sub(self.block);
            if before >= Self::BLOCK {
                continue;
            }
            let bits = self.bits >> before;
            if bits != 0 {
                return self.block + before + bits.trailing_zeros() as usize;
            }
        }
    }
}

/// Returns the stops of the block at `at`. Positions beyond the end are stops.
#[inline]
fn stops_at(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(block) => stops_in(block),
        None => {
            let mut block = [0; Stops::BLOCK];
            block
                .iter_mut()
                .zip(rest)
                .for_each(|(byte, from)| *byte = *from);
            stops_in(&block)
        }
    }
}

/// Returns a bit for each byte that is a stop, in a form that the compiler vectorises.
#[inline]
fn stops_in(bytes: &[u8; Stops::BLOCK]) -> u64 {
    // The highest byte of the product of eight bytes that are 0 or 1 has a bit for each.
    const COLLECT: u64 = 0x0102_0408_1020_4080;
    let mut stops = [0; Stops::BLOCK];
    for (stop, byte) in stops.iter_mut().zip(bytes) {
        *stop = u8::from(is_stop(*byte));
    }
    let (words, _) = stops.as_chunks::<8>();
    words.iter().rev().fold(0, |bits, word| {
        bits << 8 | u64::from_le_bytes(*word).wrapping_mul(COLLECT) >> 56
    })
}

#[inline]
fn is_stop(byte: u8) -> bool {
    // With its second bit flipped, a quote (0x22) is the byte after the control characters, which stay below it. `||` in place of
    // `|` would compile to branches.
    (byte ^ 0x02 <= 0x20) | (byte == b'\\')
}

/// A key, and the start of its value.
struct Key {
    /// The bytes between the quotes.
    raw: Range<usize>,
    has_escapes: bool,
    value_at: usize,
}

impl Key {
    /// Returns whether the key may be one of those with a special meaning in JavaScript, by its length. Nearly all keys have
    /// another one.
    #[inline]
    fn may_be_special(&self) -> bool {
        self.has_escapes || matches!(self.raw.len(), 9 | 11)
    }

    fn text<'a>(&self, text: &'a str) -> Text<'a> {
        let raw = text.get(self.raw.clone()).unwrap_or_default();
        if self.has_escapes {
            Text::from_json_string(raw)
        } else {
            Text::from(raw)
        }
    }
}

#[inline]
fn skip_whitespace(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

fn end_of_document(bytes: &[u8], at: usize) -> Result<(), JsonError> {
    let at = skip_whitespace(bytes, at);
    if at == bytes.len() {
        Ok(())
    } else {
        Err(JsonError::Syntax(at))
    }
}

/// Reads a key and its colon.
#[inline]
fn read_key(stops: &mut Stops<'_>, at: usize) -> Result<Key, JsonError> {
    let bytes = stops.bytes;
    if bytes.get(at) != Some(&b'"') {
        return Err(JsonError::Syntax(at));
    }
    let (end, has_escapes) = end_of_string(stops, at + 1)?;
    let colon = skip_whitespace(bytes, end);
    if bytes.get(colon) != Some(&b':') {
        return Err(JsonError::Syntax(colon));
    }
    Ok(Key {
        raw: at + 1..end - 1,
        has_escapes,
        value_at: skip_whitespace(bytes, colon + 1),
    })
}

/// Returns the position after the string whose opening quote is before `at`, and whether the string has escapes.
#[inline]
fn end_of_string(stops: &mut Stops<'_>, at: usize) -> Result<(usize, bool), JsonError> {
    let mut at = stops.next(at);
    if stops.bytes.get(at) == Some(&b'"') {
        return Ok((at + 1, false));
    }
    loop {
        at += match stops.bytes.get(at..).unwrap_or_default() {
            [b'"', ..] => return Ok((at + 1, true)),
            [b'\\', escaped, rest @ ..] => {
                length_of_escape(*escaped, rest).ok_or(JsonError::Syntax(at))?
            }
            _ => return Err(JsonError::Syntax(at)),
        };
        at = stops.next(at);
    }
}

#[inline]
fn length_of_escape(escaped: u8, rest: &[u8]) -> Option<usize> {
    /// A bit for each byte that is a whole escape after a backslash. (`matches!` would compile to a jump that is hard to predict.)
    const ALONE: u128 = 1 << b'"'
        | 1 << b'\\'
        | 1 << b'/'
        | 1 << b'b'
        | 1 << b'f'
        | 1 << b'n'
        | 1 << b'r'
        | 1 << b't';
    if escaped < 128 && ALONE >> escaped & 1 == 1 {
        return Some(2);
    }
    let digits = rest.first_chunk::<4>()?;
    (escaped == b'u' && digits.iter().all(u8::is_ascii_hexdigit)).then_some(6)
}

/// Returns the text of the value that begins at `start`. `under_constructor` says that its key was `constructor`.
fn value<'a>(
    text: &'a str,
    stops_of_caller: &mut Stops<'_>,
    start: usize,
    mut under_constructor: bool,
) -> Result<&'a str, JsonError> {
    let bytes = text.as_bytes();
    let mut stops = *stops_of_caller;
    let mut frames = Frames::default();
    let mut at = start;
    let mut is_key_next = false;
    loop {
        if is_key_next {
            let key = read_key(&mut stops, at)?;
            at = key.value_at;
            // For any other key, `under_constructor` is `false` already.
            if key.may_be_special() {
                let name = key.text(text);
                let in_constructor = frames.last() == Some(Frame::Constructor);
                if name == "__proto__" || (in_constructor && name == "prototype") {
                    return Err(JsonError::ForbiddenKey);
                }
                under_constructor = name == "constructor";
            }
        }
        // A value begins here.
        at = match bytes.get(at) {
            Some(b'"') => end_of_string(&mut stops, at + 1)?.0,
            Some(b'{') => {
                at = skip_whitespace(bytes, at + 1);
                if bytes.get(at) == Some(&b'}') {
                    at + 1
                } else {
                    frames.push(if under_constructor {
                        Frame::Constructor
                    } else {
                        Frame::Object
                    });
                    (is_key_next, under_constructor) = (true, false);
                    continue;
                }
            }
            Some(b'[') => {
                at = skip_whitespace(bytes, at + 1);
                if bytes.get(at) == Some(&b']') {
                    at + 1
                } else {
                    frames.push(Frame::Array);
                    (is_key_next, under_constructor) = (false, false);
                    continue;
                }
            }
            Some(b'-' | b'0'..=b'9') => end_of_number(bytes, at)?,
            Some(b't') => end_of_literal(bytes, at, b"true")?,
            Some(b'f') => end_of_literal(bytes, at, b"false")?,
            Some(b'n') => end_of_literal(bytes, at, b"null")?,
            _ => return Err(JsonError::Syntax(at)),
        };
        // A value has ended: close the containers that end with it, up to the next comma.
        loop {
            let Some(frame) = frames.last() else {
                *stops_of_caller = stops;
                return Ok(text.get(start..at).unwrap_or_default());
            };
            at = skip_whitespace(bytes, at);
            let (is_object, close) = match frame {
                Frame::Array => (false, b']'),
                Frame::Object | Frame::Constructor => (true, b'}'),
            };
            match bytes.get(at) {
                Some(b',') => {
                    at = skip_whitespace(bytes, at + 1);
                    (is_key_next, under_constructor) = (is_object, false);
                    break;
                }
                Some(byte) if *byte == close => at += 1,
                _ => return Err(JsonError::Syntax(at)),
            }
            frames.pop();
        }
    }
}

fn end_of_number(bytes: &[u8], mut at: usize) -> Result<usize, JsonError> {
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => end_of_digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = end_of_digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        at = end_of_digits(bytes, at)?;
    }
    Ok(at)
}

fn end_of_digits(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut at = start;
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    if at > start {
        Ok(at)
    } else {
        Err(JsonError::Syntax(at))
    }
}

fn end_of_literal(bytes: &[u8], at: usize, literal: &[u8]) -> Result<usize, JsonError> {
    let end = at + literal.len();
    if bytes.get(at..end) == Some(literal) {
        Ok(end)
    } else {
        Err(JsonError::Syntax(at))
    }
}

/// The container of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    Array,
    Object,
    /// An object that is the value of a key `constructor`.
    Constructor,
}

/// The open containers, two bits each. They may be nested without limit: there is no recursion, and no allocation for the first
/// 32.
#[derive(Default)]
struct Frames {
    depth: usize,
    bits: u64,
    full: Vec<u64>,
}

impl Frames {
    const PER_WORD: usize = 32;

    fn push(&mut self, frame: Frame) {
        if self.depth > 0 && self.depth.is_multiple_of(Self::PER_WORD) {
            self.full.push(self.bits);
        }
        self.bits = self.bits << 2 | frame as u64;
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.bits >>= 2;
        if self.depth > 0 && self.depth.is_multiple_of(Self::PER_WORD) {
            self.bits = self.full.pop().unwrap_or_default();
        }
    }

    fn last(&self) -> Option<Frame> {
        (self.depth > 0).then_some(match self.bits & 3 {
            0 => Frame::Array,
            1 => Frame::Object,
            _ => Frame::Constructor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_json_parse_accepts() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let mixed = format!("{}1{}", "[{\"k\":".repeat(1_000), "}]".repeat(1_000));
        for valid in [
            "null",
            " true ",
            "false",
            "0",
            "-0",
            "-1.5e+10",
            "1E400",
            "\"\"",
            r#""\ud83d""#,
            r#""\"\\\/\b\f\n\r\t\u00e9""#,
            "[]",
            "[ ]",
            "{}",
            "{ }",
            "[1,[2,{}],\"x\"]",
            r#"{"a":{"b":[1,2,{"c":null}]},"d":[]}"#,
            "\t[\n1\r]",
            r#"{"constructor":{"prototyp":1}}"#,
            r#"{"constructor":[{"prototype":1}]}"#,
            r#"{"prototype":1}"#,
            r#"{"constructor":{"a":{"prototype":1}}}"#,
            r#"["__proto__"]"#,
            &deep,
            &mixed,
        ] {
            assert_eq!(validate(valid), Ok(()), "{valid:.40}");
        }
    }

    #[test]
    fn refuses_what_json_parse_refuses() {
        for invalid in [
            "",
            " ",
            "nul",
            "nulll",
            "tru e",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "NaN",
            "'a'",
            "\"a",
            "\"\n\"",
            "\"\u{1f}\"",
            r#""\x""#,
            r#""\u12g4""#,
            r#""\u123"#,
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "{1:1}",
            "{\"a\":1]",
            "[1}",
            "1 1",
            "{} x",
            "\u{feff}{}",
            "\u{a0}1",
        ] {
            assert!(
                matches!(validate(invalid), Err(JsonError::Syntax(_))),
                "{invalid}"
            );
        }
    }

    #[test]
    fn finds_forbidden_keys_in_any_spelling() {
        for forbidden in [
            r#"{"__proto__":1}"#,
            r#"[{"a":[{"__proto__":null}]}]"#,
            r#"{"\u005f_pr\u006fto__":1}"#,
            r#"{"constructor":{"prototype":1}}"#,
            r#"{"a":{"constructor":{"x":[{}],"prototype":1}}}"#,
            r#"[{"c\u006fnstructor" : {"protot\u0079pe":{}}}]"#,
        ] {
            assert_eq!(
                validate(forbidden),
                Err(JsonError::ForbiddenKey),
                "{forbidden}"
            );
        }
    }

    #[test]
    fn drops_whitespace_between_tokens_and_nothing_else() {
        for (spread, expected) in [
            (" [ 1 ,\t-0.50E+400 , 1.0 ]\r\n", "[1,-0.50E+400,1.0]"),
            (
                "{\n \"a b\" : \" \\\" \\\\\" ,\"a b\":{ } }",
                "{\"a b\":\" \\\" \\\\\",\"a b\":{}}",
            ),
            (
                "[ \"\u{2028}\u{a0} \\ud83d\\n\" ]",
                "[\"\u{2028}\u{a0} \\ud83d\\n\"]",
            ),
        ] {
            assert_eq!(compact(spread), expected);
            assert!(matches!(compact(expected), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn finds_the_first_special_byte_anywhere() {
        for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for length in 0..100 {
                let mut bytes = vec![b' '; length];
                assert_eq!(plain_prefix(&bytes), length);
                bytes.push(special);
                bytes.extend([0x80, 0xff, b'"', b'!', b'#', 0x7f]);
                assert_eq!(plain_prefix(&bytes), length);
            }
        }
        let plain: Vec<u8> = (0x20..=0xff)
            .filter(|byte| !b"\"\\".contains(byte))
            .collect();
        assert_eq!(plain_prefix(&plain), plain.len());
    }

    #[test]
    fn remembers_containers_deeper_than_one_word() {
        let mut frames = Frames::default();
        let order = |depth: usize| [Frame::Array, Frame::Object, Frame::Constructor][depth % 3];
        (0..200).for_each(|depth| frames.push(order(depth)));
        for depth in (0..200).rev() {
            assert!(frames.last() == Some(order(depth)));
            frames.pop();
        }
        assert!(frames.last().is_none());
    }
}
