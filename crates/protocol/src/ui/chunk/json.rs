//! A JSON scanner that validates as it walks and copies nothing.
//!
//! It accepts what `JSON.parse` accepts: RFC 8259 without limits on depth or on the size of numbers, and strings with lone
//! surrogate escapes. In the same pass it looks for the keys that the AI SDK refuses (see [`JsonError::ForbiddenKey`]).

use super::Text;

/// Why a text is not JSON that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// The grammar is broken at this byte.
    Syntax(usize),
    /// A key `__proto__`, or a key `prototype` in the object under a key `constructor`.
    ForbiddenKey,
}

/// The members of one JSON object, in their order. The object is validated as far as it has been walked.
pub(crate) struct Members<'a> {
    scanner: Scanner<'a>,
    state: State,
}

enum State {
    BeforeFirst,
    AfterMember,
    Ended,
}

impl<'a> Members<'a> {
    /// Begins to walk a document that has to be an object; `None` if it begins as something else.
    pub(crate) fn of(document: &'a str) -> Option<Self> {
        let mut scanner = Scanner::new(document);
        scanner.skip_whitespace();
        scanner.take(b'{').then_some(Self {
            scanner,
            state: State::BeforeFirst,
        })
    }

    /// The next key and the text of its value; `None` after the last one, when the whole document has proved valid.
    pub(crate) fn next(&mut self) -> Result<Option<(Text<'a>, &'a str)>, JsonError> {
        let scanner = &mut self.scanner;
        scanner.skip_whitespace();
        match self.state {
            State::Ended => return Ok(None),
            State::BeforeFirst | State::AfterMember if scanner.take(b'}') => {
                self.state = State::Ended;
                scanner.end_of_document()?;
                return Ok(None);
            }
            State::BeforeFirst => {}
            State::AfterMember => {
                scanner.expect(b',')?;
                scanner.skip_whitespace();
            }
        }
        self.state = State::AfterMember;
        let key = scanner.key()?;
        if is_key(key, "__proto__") {
            return Err(JsonError::ForbiddenKey);
        }
        let value = scanner.value(is_key(key, "constructor"))?;
        Ok(Some((Text::from_json_string(key), value)))
    }
}

/// Checks that `document` is one JSON value, and nothing else beside whitespace.
pub(crate) fn validate(document: &str) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(document);
    scanner.skip_whitespace();
    scanner.value(false)?;
    scanner.end_of_document()
}

/// The elements of a JSON array that has been validated before; `None` if it is not an array.
pub(crate) fn elements(array: &str) -> Option<impl Iterator<Item = &str>> {
    let mut scanner = Scanner::new(array);
    scanner.skip_whitespace();
    if !scanner.take(b'[') {
        return None;
    }
    Some(std::iter::from_fn(move || {
        scanner.skip_whitespace();
        scanner.take(b',');
        scanner.skip_whitespace();
        scanner.value(false).ok()
    }))
}

/// How many bytes at the beginning of `bytes` may stand in a JSON string as they are: no quote, backslash or control.
pub(crate) fn plain_prefix(bytes: &[u8]) -> usize {
    const BLOCK: usize = 32;
    let mut rest = bytes;
    // Short strings are the rule: look at eight bytes at a time first, and at whole blocks (which the compiler turns into
    // vector instructions) only when the string goes on.
    for _ in 0..4 {
        let Some((word, after)) = rest.split_first_chunk::<8>() else {
            return bytes.len() - rest.len() + plain_tail(rest);
        };
        let marks = special_marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return bytes.len() - rest.len() + marks.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
        if block
            .iter()
            .fold(false, |found, &byte| found | is_special(byte))
        {
            break;
        }
        rest = after;
    }
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let marks = special_marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return bytes.len() - rest.len() + marks.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    bytes.len() - rest.len() + plain_tail(rest)
}

fn plain_tail(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&byte| is_special(byte))
        .unwrap_or(bytes.len())
}

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// Sets the high bit of every byte of `word` that is a quote, a backslash or a control; only the lowest mark is exact.
fn special_marks(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero_in(word ^ (ONES * b'"' as u64));
    let backslash = zero_in(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

/// Whether the contents of a JSON string, escapes included, spell `name`.
fn is_key(raw: &str, name: &str) -> bool {
    raw == name || (raw.contains('\\') && Text::from_json_string(raw).as_str() == Some(name))
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    fn error(&self) -> JsonError {
        JsonError::Syntax(self.at)
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn end_of_document(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    /// A key with its colon; gives what stands between the quotes.
    fn key(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at + 1;
        self.string()?;
        let key = self.text.get(start..self.at - 1).unwrap_or_default();
        self.skip_whitespace();
        self.expect(b':')?;
        Ok(key)
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.expect(b'"')?;
        loop {
            self.at += plain_prefix(self.rest());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.error()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.rest() {
            [
                _,
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                ..,
            ] => {
                self.at += 2;
                Ok(())
            }
            [_, b'u', a, b, c, d, ..]
                if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                self.at += 6;
                Ok(())
            }
            _ => Err(self.error()),
        }
    }

    /// Skips one value and gives its text. `under_constructor` says that its key was `constructor`.
    fn value(&mut self, under_constructor: bool) -> Result<&'a str, JsonError> {
        self.skip_whitespace();
        let start = self.at;
        let mut under_constructor = under_constructor;
        let mut frames = Frames::default();
        loop {
            self.skip_whitespace();
            // A value begins here.
            let mut ended = true;
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(b'{') => {
                    self.at += 1;
                    self.skip_whitespace();
                    if !self.take(b'}') {
                        frames.push(if under_constructor {
                            Frame::Constructor
                        } else {
                            Frame::Object
                        });
                        under_constructor = self.checked_key(frames.last())?;
                        ended = false;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    self.skip_whitespace();
                    if !self.take(b']') {
                        frames.push(Frame::Array);
                        under_constructor = false;
                        ended = false;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return Err(self.error()),
            }
            // A value has ended: close what ends with it, up to the next comma.
            while ended {
                let Some(frame) = frames.last() else {
                    return Ok(self.text.get(start..self.at).unwrap_or_default());
                };
                self.skip_whitespace();
                if self.take(b',') {
                    self.skip_whitespace();
                    under_constructor = match frame {
                        Frame::Array => false,
                        Frame::Object | Frame::Constructor => self.checked_key(Some(frame))?,
                    };
                    ended = false;
                } else {
                    self.expect(if frame == Frame::Array { b']' } else { b'}' })?;
                    frames.pop();
                }
            }
        }
    }

    /// A key inside `frame`; whether it is `constructor`.
    fn checked_key(&mut self, frame: Option<Frame>) -> Result<bool, JsonError> {
        let key = self.key()?;
        if is_key(key, "__proto__")
            || (frame == Some(Frame::Constructor) && is_key(key, "prototype"))
        {
            return Err(JsonError::ForbiddenKey);
        }
        Ok(is_key(key, "constructor"))
    }

    fn number(&mut self) -> Result<(), JsonError> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), JsonError> {
        if self.rest().starts_with(literal) {
            self.at += literal.len();
            Ok(())
        } else {
            Err(self.error())
        }
    }
}

/// What a value stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    Array,
    Object,
    /// An object that is the value of a key `constructor`.
    Constructor,
}

/// The open containers, two bits each: as deep as the document goes, without a call of ourselves for each, and without an
/// allocation for the first 32.
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
    fn takes_what_json_parse_takes() {
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
    fn finds_forbidden_keys_however_they_are_spelled() {
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
    fn finds_the_first_special_byte_wherever_it_stands() {
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
