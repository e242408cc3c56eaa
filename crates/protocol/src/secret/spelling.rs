//! The spellings of a text: unchanged, and escaped as in JSON, URLs, HTML and the output of programs.

use std::collections::BTreeSet;

/// The deepest nesting of escapes that is undone, such as a URL in HTML within JSON.
const DEPTH: u8 = 3;

/// The limit of the meanings of a text that one search follows: a run of backslashes has thousands of them.
const MEANINGS: usize = 64;

/// The meanings that are added to the limit for each byte of the secret that was found.
const MEANINGS_A_BYTE: usize = 8;

/// A range of bytes, read as text that may be escaped.
#[derive(Clone, Copy)]
pub(super) struct Spelling<'a> {
    text: &'a [u8],
    /// Whether it is the content of a JSON string, in which a backslash always begins an escape.
    is_json: bool,
}

/// The match of a secret from a start position.
#[derive(Clone, Copy, Default)]
pub(super) struct Found {
    /// The number of matched bytes of the secret.
    pub(super) matched: usize,
    /// The end of the match in the text.
    pub(super) end: usize,
    /// The number of matched bytes of the secret at the end of the text, if the match reached it.
    pub(super) at_end: Option<usize>,
}

/// A character, or a byte of one, and its end in the text.
#[derive(Clone, Copy, PartialEq)]
struct Unit {
    bytes: [u8; 4],
    length: usize,
    end: usize,
}

/// The result of decoding an escape.
enum Escape {
    Decoded(Unit),
    Invalid,
    /// The text ends within the escape.
    Cut,
}

impl<'a> Spelling<'a> {
    pub(super) fn of_text(text: &'a [u8]) -> Self {
        let is_json = false;
        Self { text, is_json }
    }

    pub(super) fn of_json_string(text: &'a [u8]) -> Self {
        let is_json = true;
        Self { text, is_json }
    }

    /// Returns the next position after `at` at which a mask may begin. In a JSON string, that is never within an escape.
    pub(super) fn next(&self, at: usize) -> usize {
        if self.text.get(at) != Some(&b'\\') || !self.is_json {
            return at + 1;
        }
        self.read(at, 0).map_or(at + 1, |unit| unit.end)
    }

    /// Returns the first bytes of the characters that can be read at `at`: a secret found there begins with one of them.
    pub(super) fn firsts(&self, at: usize) -> impl Iterator<Item = u8> {
        let byte = self.text.get(at).copied();
        let deepest = if byte.is_some_and(is_special) {
            DEPTH
        } else {
            0
        };
        let blank = (byte == Some(b'+')).then_some(b' ');
        let units = (0..=deepest).filter_map(move |depth| self.read(at, depth));
        units.map(|unit| unit.bytes[0]).chain(blank)
    }

    /// Returns how much of `secret` can be read at `at`, with each of its characters in any spelling.
    pub(super) fn find(&self, at: usize, secret: &str) -> Found {
        let bytes = secret.as_bytes();
        let mut found = Found {
            end: at,
            ..Found::default()
        };
        // The readings still to be followed: the matched bytes, and the position in the text. Each is followed once.
        let mut open = vec![(0, at)];
        let mut seen = BTreeSet::new();
        while let Some((mut matched, mut at)) = open.pop() {
            loop {
                if secret.is_char_boundary(matched) && (matched, at) > (found.matched, found.end) {
                    (found.matched, found.end) = (matched, at);
                }
                let Some(&wanted) = bytes.get(matched) else {
                    break;
                };
                let Some(&byte) = self.text.get(at) else {
                    found.at_end = found.at_end.max(Some(matched));
                    break;
                };
                if !is_special(byte) {
                    // Nearly all bytes: they have one meaning, which needs no bookkeeping.
                    if byte != wanted {
                        break;
                    }
                    (matched, at) = (matched + 1, at + 1);
                    continue;
                }
                // The text has several meanings here. Follow all of them.
                if seen.len() > MEANINGS + MEANINGS_A_BYTE * found.matched
                    || !seen.insert((matched, at))
                {
                    break;
                }
                for depth in 0..=DEPTH {
                    match self.read(at, depth) {
                        // The text ends within an escape, which could become the next byte of the secret.
                        None => found.at_end = found.at_end.max(Some(matched)),
                        Some(unit) => {
                            if let Some(length) = unit.begins(&bytes[matched..]) {
                                open.push((matched + length, unit.end));
                            }
                        }
                    }
                }
                break;
            }
        }
        found
    }

    /// Reads the character at `at`, undoing up to `depth` nested escapes; `None` if the text ends within it.
    fn read(&self, at: usize, depth: u8) -> Option<Unit> {
        let byte = *self.text.get(at)?;
        let plain = Unit::byte(byte, at + 1);
        // The escapes of a JSON string are undone first.
        let below = match depth.checked_sub(1) {
            Some(below) => self.read(at, below)?,
            None if self.is_json && byte == b'\\' => {
                return match self.backslash(at + 1, None) {
                    Escape::Decoded(unit) => Some(unit),
                    Escape::Invalid => Some(plain),
                    Escape::Cut => None,
                };
            }
            None => return Some(plain),
        };
        let depth = Some(depth - 1);
        let escape = match below.as_ascii() {
            Some(b'\\') => self.backslash(below.end, depth),
            Some(b'%') => self.percent(below.end, depth),
            Some(b'&') => self.entity(below.end, depth),
            _ => Escape::Invalid,
        };
        match escape {
            Escape::Decoded(unit) => Some(unit),
            Escape::Invalid => Some(below),
            Escape::Cut => None,
        }
    }

    /// Reads one character of an escape. It may be escaped itself, `depth` times; without a `depth` it is read as it is.
    fn ascii(&self, at: usize, depth: Option<u8>) -> Result<(u8, usize), Escape> {
        let unit = match depth {
            Some(depth) => self.read(at, depth),
            None => self.text.get(at).map(|byte| Unit::byte(*byte, at + 1)),
        };
        let unit = unit.ok_or(Escape::Cut)?;
        let byte = unit.as_ascii().ok_or(Escape::Invalid)?;
        Ok((byte, unit.end))
    }

    /// Reads this number of hexadecimal digits.
    fn hex(&self, mut at: usize, digits: u8, depth: Option<u8>) -> Result<(u32, usize), Escape> {
        let mut number = 0;
        for _ in 0..digits {
            let (byte, end) = self.ascii(at, depth)?;
            let digit = char::from(byte).to_digit(16).ok_or(Escape::Invalid)?;
            (number, at) = (number * 16 + digit, end);
        }
        Ok((number, at))
    }

    /// Reads a character by its number, with digits of this radix, which `until` ends.
    fn number(&self, mut at: usize, radix: u32, until: u8, depth: Option<u8>) -> Escape {
        let mut number = 0;
        for _ in 0..8 {
            let (byte, end) = match self.ascii(at, depth) {
                Ok(read) => read,
                Err(escape) => return escape,
            };
            at = end;
            if byte == until {
                return char::from_u32(number).map_or(Escape::Invalid, |char| {
                    Escape::Decoded(Unit::char(char, at))
                });
            }
            match char::from(byte).to_digit(radix) {
                Some(digit) if number <= 0x10_FFFF => number = number * radix + digit,
                _ => return Escape::Invalid,
            }
        }
        Escape::Invalid
    }

    /// Reads `\n`, `\/`, `\u0026`, `\u{26}` or `\x26`, as in JSON, JavaScript, Rust and Python.
    fn backslash(&self, at: usize, depth: Option<u8>) -> Escape {
        let read = || {
            let (byte, end) = self.ascii(at, depth)?;
            let char = match byte {
                b'"' | b'\\' | b'/' | b'\'' => byte,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'0' if depth.is_some() => 0,
                b'x' if depth.is_some() => {
                    let (number, end) = self.hex(end, 2, depth)?;
                    let byte = u8::try_from(number).map_err(|_| Escape::Invalid)?;
                    return Ok(Unit::byte(byte, end));
                }
                b'u' => {
                    if depth.is_some()
                        && let Ok((b'{', end)) = self.ascii(end, depth)
                    {
                        return Err(self.number(end, 16, b'}', depth));
                    }
                    let (first, end) = self.hex(end, 4, depth)?;
                    if !(0xD800..0xDC00).contains(&first) {
                        // Half a surrogate pair is not a character. Its escape still counts as one unit.
                        let char = char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
                        return Ok(Unit::char(char, end));
                    }
                    let half = Unit::char(char::REPLACEMENT_CHARACTER, end);
                    let second = || {
                        let (b'\\', at) = self.ascii(end, depth)? else {
                            return Err(Escape::Invalid);
                        };
                        let (b'u', at) = self.ascii(at, depth)? else {
                            return Err(Escape::Invalid);
                        };
                        self.hex(at, 4, depth)
                    };
                    return match second() {
                        Ok((second @ 0xDC00..0xE000, end)) => {
                            let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                            Ok(char::from_u32(code).map_or(half, |char| Unit::char(char, end)))
                        }
                        Err(Escape::Cut) => Err(Escape::Cut),
                        _ => Ok(half),
                    };
                }
                _ => return Err(Escape::Invalid),
            };
            Ok(Unit::byte(char, end))
        };
        match read() {
            Ok(unit) => Escape::Decoded(unit),
            Err(escape) => escape,
        }
    }

    /// Reads `%26`.
    fn percent(&self, at: usize, depth: Option<u8>) -> Escape {
        match self.hex(at, 2, depth) {
            Ok((number, end)) => u8::try_from(number).map_or(Escape::Invalid, |byte| {
                Escape::Decoded(Unit::byte(byte, end))
            }),
            Err(escape) => escape,
        }
    }

    /// Reads `&amp;`, `&#38;` or `&#x26;`: the named entities that servers write in HTML, and any character by its number.
    fn entity(&self, at: usize, depth: Option<u8>) -> Escape {
        const NAMES: [(&[u8], char); 6] = [
            (b"amp", '&'),
            (b"lt", '<'),
            (b"gt", '>'),
            (b"quot", '"'),
            (b"apos", '\''),
            (b"nbsp", '\u{a0}'),
        ];
        let mut name = Vec::with_capacity(4);
        let mut at = at;
        loop {
            let (byte, end) = match self.ascii(at, depth) {
                Ok(read) => read,
                Err(escape) => return escape,
            };
            at = end;
            match byte {
                b';' => {
                    let named = NAMES.iter().find(|(given, _)| *given == name);
                    return named.map_or(Escape::Invalid, |(_, char)| {
                        Escape::Decoded(Unit::char(*char, at))
                    });
                }
                b'#' if name.is_empty() => {
                    return match self.ascii(at, depth) {
                        Ok((b'x' | b'X', end)) => self.number(end, 16, b';', depth),
                        Ok(_) => self.number(at, 10, b';', depth),
                        Err(escape) => escape,
                    };
                }
                byte if name.len() < 4 && byte.is_ascii_lowercase() => name.push(byte),
                _ => return Escape::Invalid,
            }
        }
    }
}

/// Returns whether this byte can stand for another, or begin an escape.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'\\' | b'%' | b'&' | b'+')
}

impl Unit {
    fn byte(byte: u8, end: usize) -> Self {
        Self {
            bytes: [byte, 0, 0, 0],
            length: 1,
            end,
        }
    }

    fn char(char: char, end: usize) -> Self {
        let mut bytes = [0; 4];
        let length = char.encode_utf8(&mut bytes).len();
        Self { bytes, length, end }
    }

    fn as_ascii(&self) -> Option<u8> {
        (self.length == 1 && self.bytes[0].is_ascii()).then_some(self.bytes[0])
    }

    /// Returns the length of this unit if `rest` begins with it. `+` also means a space, as in HTML forms.
    fn begins(&self, rest: &[u8]) -> Option<usize> {
        let bytes = &self.bytes[..self.length];
        let blank = bytes == b"+" && rest.first() == Some(&b' ');
        (blank || rest.starts_with(bytes)).then_some(self.length)
    }
}
