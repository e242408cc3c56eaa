/// The grammar of JSON, byte by byte: whether a text can still become a document, and whether it is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Grammar {
    state: State,
    /// The open containers.
    containers: Vec<Container>,
    /// How many bytes have been read.
    read: usize,
    key_start: usize,
    suspicious_key: bool,
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

/// Where in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Str {
    Plain,
    Escape,
    /// So many hexadecimal digits have to come.
    Unicode(u8),
}

/// Where in a number.
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
    /// Reads the text up to `end`, from where it was read before.
    pub(super) fn read(&mut self, text: &str, end: usize) {
        let bytes = text.as_bytes();
        let bytes = bytes.get(..end).unwrap_or(bytes);
        while let Some(&byte) = bytes.get(self.read) {
            match self.state {
                State::Broken => {
                    self.read = bytes.len();
                    return;
                }
                State::String(Str::Plain) | State::Key(Str::Plain) => {
                    let rest = bytes.get(self.read..).unwrap_or_default();
                    let plain = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    if plain == 0 {
                        self.string_byte(bytes, byte, Str::Plain);
                        self.read += 1;
                        continue;
                    }
                    let run = rest.get(..plain).unwrap_or_default();
                    if run.iter().fold(false, |found, &byte| found | (byte < 0x20)) {
                        self.state = State::Broken;
                    }
                    self.read += plain;
                    continue;
                }
                State::String(place) | State::Key(place) => self.string_byte(bytes, byte, place),
                State::Number(place) => self.number_byte(byte, place),
                State::Word(rest) => {
                    self.state = match rest.split_first() {
                        Some((&expected, [])) if expected == byte => State::AfterValue,
                        Some((&expected, rest)) if expected == byte => State::Word(rest),
                        _ => State::Broken,
                    };
                }
                _ => self.structural_byte(byte),
            }
            self.read += 1;
        }
    }

    /// Whether what was read is a document.
    pub(super) fn is_complete(&self) -> bool {
        let value_ended = match self.state {
            State::AfterValue => true,
            State::Number(place) => place.may_end(),
            _ => false,
        };
        value_ended && self.containers.is_empty()
    }

    /// Whether there is a key that may be one of those that the AI SDK refuses.
    pub(super) fn has_suspicious_key(&self) -> bool {
        self.suspicious_key
    }

    fn structural_byte(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (state, b' ' | b'\n' | b'\r' | b'\t') => state,
            (State::BeforeValue | State::BeforeFirstValue, b'"') => State::String(Str::Plain),
            (State::BeforeValue | State::BeforeFirstValue, b'{') => {
                self.containers.push(Container::Object);
                State::BeforeFirstKey
            }
            (State::BeforeValue | State::BeforeFirstValue, b'[') => {
                self.containers.push(Container::Array);
                State::BeforeFirstValue
            }
            (State::BeforeValue | State::BeforeFirstValue, b'-') => State::Number(Num::Minus),
            (State::BeforeValue | State::BeforeFirstValue, b'0') => State::Number(Num::Zero),
            (State::BeforeValue | State::BeforeFirstValue, b'1'..=b'9') => {
                State::Number(Num::Integer)
            }
            (State::BeforeValue | State::BeforeFirstValue, b't') => State::Word(b"rue"),
            (State::BeforeValue | State::BeforeFirstValue, b'f') => State::Word(b"alse"),
            (State::BeforeValue | State::BeforeFirstValue, b'n') => State::Word(b"ull"),
            (State::BeforeFirstKey | State::BeforeKey, b'"') => {
                self.key_start = self.read + 1;
                State::Key(Str::Plain)
            }
            (State::AfterKey, b':') => State::BeforeValue,
            (State::BeforeFirstKey, b'}') => self.close(Container::Object),
            (State::BeforeFirstValue, b']') => self.close(Container::Array),
            (State::AfterValue, b'}') => self.close(Container::Object),
            (State::AfterValue, b']') => self.close(Container::Array),
            (State::AfterValue, b',') => match self.containers.last() {
                Some(Container::Object) => State::BeforeKey,
                Some(Container::Array) => State::BeforeValue,
                None => State::Broken,
            },
            _ => State::Broken,
        };
    }

    fn close(&mut self, container: Container) -> State {
        if self.containers.pop() == Some(container) {
            State::AfterValue
        } else {
            State::Broken
        }
    }

    fn string_byte(&mut self, bytes: &[u8], byte: u8, place: Str) {
        let next = match (place, byte) {
            (Str::Plain, b'"') => None,
            (Str::Plain, b'\\') => Some(Str::Escape),
            (Str::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                Some(Str::Plain)
            }
            (Str::Escape, b'u') => Some(Str::Unicode(4)),
            (Str::Unicode(1), byte) if byte.is_ascii_hexdigit() => Some(Str::Plain),
            (Str::Unicode(left), byte) if byte.is_ascii_hexdigit() => Some(Str::Unicode(left - 1)),
            _ => {
                self.state = State::Broken;
                return;
            }
        };
        let is_key = matches!(self.state, State::Key(_));
        self.state = match next {
            Some(next) if is_key => State::Key(next),
            Some(next) => State::String(next),
            None if is_key => {
                let key = bytes.get(self.key_start..self.read).unwrap_or_default();
                // Any letter of the forbidden names may be written as an escape.
                self.suspicious_key |=
                    matches!(key, b"__proto__" | b"constructor") || key.contains(&b'\\');
                State::AfterKey
            }
            None => State::AfterValue,
        };
    }

    fn number_byte(&mut self, byte: u8, place: Num) {
        let next = match (place, byte) {
            (Num::Minus, b'0') => Num::Zero,
            (Num::Minus | Num::Integer, b'0'..=b'9') => Num::Integer,
            (Num::Zero | Num::Integer, b'.') => Num::Point,
            (Num::Point | Num::Fraction, b'0'..=b'9') => Num::Fraction,
            (Num::Zero | Num::Integer | Num::Fraction, b'e' | b'E') => Num::Exponent,
            (Num::Exponent, b'+' | b'-') => Num::ExponentSign,
            (Num::Exponent | Num::ExponentSign | Num::ExponentDigits, b'0'..=b'9') => {
                Num::ExponentDigits
            }
            _ if place.may_end() => {
                self.state = State::AfterValue;
                return self.structural_byte(byte);
            }
            _ => {
                self.state = State::Broken;
                return;
            }
        };
        self.state = State::Number(next);
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
