use crate::ui::chunk::plain_prefix;
use crate::ui::held::allocation;

/// The grammar of JSON, byte by byte. It knows whether a text can still become a document, whether it is one, and how to close
/// it.
#[derive(Clone, Debug, Default)]
pub(super) struct Grammar {
    state: State,
    /// The open containers.
    containers: Vec<Container>,
    /// The number of bytes read.
    read: usize,
    /// The number of bytes before the last position at which the text can be closed.
    kept: usize,
    /// The start of the current key, after its quote.
    key_start: usize,
    is_odd: bool,
    has_suspicious_key: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    BeforeValue,
    /// Before the first value of an array.
    BeforeFirstValue,
    /// Before the first key of an object.
    BeforeFirstKey,
    BeforeKey,
    AfterKey,
    AfterValue,
    Key(Str),
    String(Str),
    Number(Num),
    Word(&'static [u8]),
    /// No continuation of the text is JSON.
    Broken,
}

/// The position in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Str {
    Plain,
    Escape,
    /// In a `\u` escape, with this many hexadecimal digits to follow.
    Unicode(u8),
}

/// The position in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Num {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl Grammar {
    /// Reads on, up to `end`. Everything before was read by earlier calls.
    pub(super) fn read(&mut self, text: &str, end: usize) {
        let bytes = text.as_bytes();
        let bytes = bytes.get(..end).unwrap_or(bytes);
        while let Some(&byte) = bytes.get(self.read) {
            match self.state {
                State::String(Str::Plain) => {
                    // A string can be closed anywhere but within an escape.
                    self.skip_plain(bytes);
                    self.kept = self.read;
                    match bytes.get(self.read) {
                        None => return,
                        Some(b'"') => {
                            self.kept = self.read + 1;
                            self.state = State::AfterValue;
                        }
                        Some(b'\\') => self.state = State::String(Str::Escape),
                        Some(_) => self.breaks(),
                    }
                }
                State::Key(Str::Plain) => {
                    // Not kept, because a key cannot be closed without its value.
                    self.skip_plain(bytes);
                    match bytes.get(self.read) {
                        None => return,
                        Some(b'"') => {
                            self.end_key(bytes);
                            self.state = State::AfterKey;
                        }
                        Some(b'\\') => self.state = State::Key(Str::Escape),
                        Some(_) => self.breaks(),
                    }
                }
                State::String(place) => match place.after(byte) {
                    Some(Str::Plain) => {
                        self.kept = self.read + 1;
                        self.state = State::String(Str::Plain);
                    }
                    Some(place) => self.state = State::String(place),
                    None => self.breaks(),
                },
                State::Key(place) => match place.after(byte) {
                    Some(after) => {
                        // The AI SDK takes this quote for the end of the key.
                        self.is_odd |= (place, byte) == (Str::Escape, b'"');
                        self.state = State::Key(after);
                    }
                    None => self.breaks(),
                },
                State::Number(place) => self.number_byte(byte, place),
                State::Word(rest) => match rest.split_first() {
                    Some((&expected, rest)) if expected == byte => {
                        self.kept = self.read + 1;
                        self.state = if rest.is_empty() {
                            State::AfterValue
                        } else {
                            State::Word(rest)
                        };
                    }
                    _ => self.breaks(),
                },
                State::Broken => {
                    self.read = bytes.len();
                    return;
                }
                _ => self.structural_byte(byte),
            }
            self.read += 1;
        }
    }

    /// Returns whether the text is a complete document.
    pub(super) fn is_complete(&self) -> bool {
        let value_ended = match self.state {
            State::AfterValue => true,
            State::Number(place) => place.may_end(),
            _ => false,
        };
        value_ended && self.containers.is_empty()
    }

    /// Returns whether the text may have a key that the AI SDK refuses.
    pub(super) fn has_suspicious_key(&self) -> bool {
        self.has_suspicious_key
    }

    /// Returns whether the AI SDK may read the text differently: invalid JSON, and some valid JSON.
    pub(super) fn is_odd(&self) -> bool {
        self.is_odd
    }

    /// Returns the number of bytes that are kept when the text is closed.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// Returns the number of open containers.
    pub(super) fn depth(&self) -> usize {
        self.containers.len()
    }

    /// Returns the memory for the open containers, in bytes.
    pub(super) fn held(&self) -> usize {
        allocation(self.containers.capacity() * size_of::<Container>())
    }

    /// Appends the text that closes the kept bytes.
    pub(super) fn close(&self, out: &mut String) {
        match self.state {
            State::String(_) => out.push('"'),
            State::Word(rest) => out.push_str(str::from_utf8(rest).unwrap_or_default()),
            _ => {}
        }
        let closing = self
            .containers
            .iter()
            .rev()
            .map(|container| match container {
                Container::Object => '}',
                Container::Array => ']',
            });
        out.extend(closing);
    }

    fn breaks(&mut self) {
        self.state = State::Broken;
        // The AI SDK reads on at an error, and may still close the text. Only the closer knows how.
        self.is_odd = true;
    }

    fn skip_plain(&mut self, bytes: &[u8]) {
        self.read += plain_prefix(bytes.get(self.read..).unwrap_or_default());
    }

    fn end_key(&mut self, bytes: &[u8]) {
        let key = bytes.get(self.key_start..self.read).unwrap_or_default();
        // Any letter of the forbidden names may be written as an escape.
        self.has_suspicious_key |=
            matches!(key, b"__proto__" | b"constructor") || key.contains(&b'\\');
    }

    fn structural_byte(&mut self, byte: u8) {
        match (self.state, byte) {
            (_, b' ' | b'\n' | b'\r' | b'\t') => {}
            // Not kept: a document that ends here is closed before the comma.
            (State::AfterValue, b',') => match self.containers.last() {
                Some(Container::Object) => self.state = State::BeforeKey,
                Some(Container::Array) => self.state = State::BeforeValue,
                None => self.breaks(),
            },
            (State::BeforeFirstKey | State::BeforeKey, b'"') => {
                self.key_start = self.read + 1;
                self.state = State::Key(Str::Plain);
            }
            (State::AfterKey, b':') => self.state = State::BeforeValue,
            (State::BeforeFirstKey | State::AfterValue, b'}') => {
                self.close_container(Container::Object);
            }
            (State::BeforeFirstValue | State::AfterValue, b']') => {
                self.close_container(Container::Array);
            }
            (State::BeforeValue | State::BeforeFirstValue, _) => self.begin_value(byte),
            _ => self.breaks(),
        }
    }

    fn begin_value(&mut self, byte: u8) {
        self.state = match byte {
            b'"' => State::String(Str::Plain),
            b'{' => {
                self.containers.push(Container::Object);
                State::BeforeFirstKey
            }
            b'[' => {
                self.containers.push(Container::Array);
                State::BeforeFirstValue
            }
            b'-' => {
                // Not kept, because a minus alone is not a number.
                self.state = State::Number(Num::Minus);
                return;
            }
            b'0' => State::Number(Num::Zero),
            b'1'..=b'9' => State::Number(Num::Integer),
            // A word is kept from its first letter on, because the rest of it is known.
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            _ => return self.breaks(),
        };
        self.kept = self.read + 1;
    }

    fn close_container(&mut self, container: Container) {
        if self.containers.pop() == Some(container) {
            self.kept = self.read + 1;
            self.state = State::AfterValue;
        } else {
            self.breaks();
        }
    }

    fn number_byte(&mut self, byte: u8, place: Num) {
        let next = match (place, byte) {
            (Num::Minus, b'0') => Num::Zero,
            (Num::Minus | Num::Integer, b'0'..=b'9') => Num::Integer,
            (Num::Zero | Num::Integer, b'.') => Num::Point,
            (Num::Point | Num::Fraction, b'0'..=b'9') => Num::Fraction,
            (Num::Zero | Num::Integer | Num::Fraction, b'e' | b'E') => Num::Exponent,
            (Num::Exponent, b'-') => Num::ExponentSign,
            (Num::Exponent, b'+') => {
                // The AI SDK takes `+` for the end of the number.
                self.is_odd = true;
                Num::ExponentSign
            }
            (Num::Exponent | Num::ExponentSign | Num::ExponentDigits, b'0'..=b'9') => {
                Num::ExponentDigits
            }
            // A number has no end of its own: the byte after it belongs to the structure.
            _ if place.may_end() => {
                self.state = State::AfterValue;
                return self.structural_byte(byte);
            }
            _ => return self.breaks(),
        };
        // A number cannot end with a point, an exponent or a sign, so only digits are kept.
        if byte.is_ascii_digit() {
            self.kept = self.read + 1;
        }
        self.state = State::Number(next);
    }
}

impl Str {
    /// Returns the position in the string after a byte of an escape.
    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                Some(Self::Plain)
            }
            (Self::Escape, b'u') => Some(Self::Unicode(4)),
            (Self::Unicode(1), byte) if byte.is_ascii_hexdigit() => Some(Self::Plain),
            (Self::Unicode(left), byte) if byte.is_ascii_hexdigit() => {
                Some(Self::Unicode(left - 1))
            }
            _ => None,
        }
    }
}

impl Num {
    fn may_end(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits
        )
    }
}
