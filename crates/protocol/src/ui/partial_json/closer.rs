use crate::ui::held::allocation;

/// Finds the position at which a truncated document has to be cut, and the text that closes it there.
///
/// It is not a JSON parser, and its result need not be JSON. It makes the same mistakes as the AI SDK, so that there is a value
/// exactly if the AI SDK has one. For example, it takes the escaped quote in the key `"a\"b"` for the end of the key.
#[derive(Clone, Debug)]
pub(super) struct Closer {
    stack: Vec<State>,
    /// The number of bytes before the last position at which the document can be closed.
    kept: usize,
    /// The start of the current word: `true`, `false` or `null`.
    word_start: usize,
    /// The number of hexadecimal digits of an escape so far.
    hex_digits: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Root,
    Finished,
    String,
    Escape,
    UnicodeEscape,
    Word,
    Number,
    ObjectStart,
    ObjectKey,
    ObjectAfterKey,
    ObjectBeforeValue,
    ObjectAfterValue,
    ObjectAfterComma,
    ArrayStart,
    ArrayAfterValue,
    ArrayAfterComma,
}

impl Default for Closer {
    fn default() -> Self {
        Self {
            stack: vec![State::Root],
            kept: 0,
            word_start: 0,
            hex_digits: 0,
        }
    }
}

impl Closer {
    /// Reads the text from `start` to its end. The text before `start` was read already.
    pub(super) fn read(&mut self, text: &str, start: usize) {
        let bytes = text.as_bytes();
        let mut at = start;
        while let Some(&byte) = bytes.get(at) {
            match self.state() {
                State::Finished => return,
                State::String => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let plain = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    if plain > 0 {
                        at += plain;
                        self.kept = at;
                        continue;
                    }
                    if byte == b'"' {
                        self.stack.pop();
                        self.kept = at + 1;
                    } else {
                        self.stack.push(State::Escape);
                    }
                }
                _ if byte.is_ascii() => self.read_byte(bytes, byte, at),
                _ => {
                    // The AI SDK reads UTF-16 code units, so it reads a character of four bytes twice.
                    let length = if byte < 0xe0 {
                        2
                    } else if byte < 0xf0 {
                        3
                    } else {
                        4
                    };
                    at += length - 1;
                    self.read_byte(bytes, byte, at);
                    if length == 4 {
                        self.read_byte(bytes, byte, at);
                    }
                }
            }
            at += 1;
        }
    }

    /// Returns the number of bytes that are kept when the text is closed.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// Returns an upper bound for the number of bytes that close the text.
    pub(super) fn depth(&self) -> usize {
        self.stack.len() + 4
    }

    /// Returns the memory for open containers, in bytes.
    pub(super) fn held(&self) -> usize {
        allocation(self.stack.capacity() * size_of::<State>())
    }

    /// Appends the text that closes the kept bytes of `text`.
    pub(super) fn close(&self, text: &str, out: &mut String) {
        for state in self.stack.iter().rev() {
            match state {
                State::String => out.push('"'),
                State::ObjectStart
                | State::ObjectKey
                | State::ObjectAfterKey
                | State::ObjectBeforeValue
                | State::ObjectAfterValue
                | State::ObjectAfterComma => out.push('}'),
                State::ArrayStart | State::ArrayAfterValue | State::ArrayAfterComma => {
                    out.push(']');
                }
                State::Word => {
                    let begun = text.get(self.word_start..).unwrap_or_default();
                    let rest = ["true", "false", "null"]
                        .iter()
                        .find_map(|word| word.strip_prefix(begun));
                    out.push_str(rest.unwrap_or_default());
                }
                State::Root
                | State::Finished
                | State::Escape
                | State::UnicodeEscape
                | State::Number => {}
            }
        }
    }

    fn state(&self) -> State {
        self.stack.last().copied().unwrap_or(State::Finished)
    }

    fn become_state(&mut self, state: State) {
        self.stack.pop();
        self.stack.push(state);
    }

    fn read_byte(&mut self, bytes: &[u8], byte: u8, at: usize) {
        match (self.state(), byte) {
            (State::Root, _) => self.value_start(byte, at, State::Finished),

            (State::ObjectStart | State::ObjectAfterComma, b'"') => {
                self.become_state(State::ObjectKey);
            }
            (State::ObjectStart, b'}') => self.end_container(at),
            (State::ObjectKey, b'"') => self.become_state(State::ObjectAfterKey),
            (State::ObjectAfterKey, b':') => self.become_state(State::ObjectBeforeValue),
            (State::ObjectBeforeValue, _) => {
                self.value_start(byte, at, State::ObjectAfterValue);
            }
            (State::ObjectAfterValue, _) => self.after_value(byte, at),

            (State::ArrayStart, b']') => self.end_container(at),
            (State::ArrayStart | State::ArrayAfterComma, _) => {
                self.value_start(byte, at, State::ArrayAfterValue);
            }
            (State::ArrayAfterValue, b',' | b']') => self.after_value(byte, at),
            // The AI SDK keeps any other byte here. If it is not whitespace, the result is not JSON, and there is no value.
            (State::ArrayAfterValue, _) => self.kept = at + 1,

            (State::Escape, b'u') => {
                self.hex_digits = 0;
                self.become_state(State::UnicodeEscape);
            }
            (State::Escape, _) => self.end_container(at),
            (State::UnicodeEscape, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.hex_digits += 1;
                if self.hex_digits == 4 {
                    self.end_container(at);
                }
            }

            (State::String, _) | (State::Number, b'0'..=b'9') => self.kept = at + 1,
            // A number cannot end with one of these, so they are kept only with the digit after them.
            (State::Number, b'e' | b'E' | b'-' | b'.') => {}
            (State::Number, _) => {
                self.stack.pop();
                match (self.state(), byte) {
                    (State::ArrayAfterValue, b',' | b']')
                    | (State::ObjectAfterValue, b',' | b'}') => self.after_value(byte, at),
                    _ => {}
                }
            }

            (State::Word, _) => {
                let word = bytes.get(self.word_start..=at).unwrap_or_default();
                let begins = |whole: &str| whole.as_bytes().starts_with(word);
                if ["true", "false", "null"].into_iter().any(begins) {
                    self.kept = at + 1;
                } else {
                    self.stack.pop();
                    self.after_value(byte, at);
                }
            }

            (
                State::ObjectStart
                | State::ObjectKey
                | State::ObjectAfterKey
                | State::ObjectAfterComma
                | State::UnicodeEscape
                | State::Finished,
                _,
            ) => {}
        }
    }

    fn value_start(&mut self, byte: u8, at: usize, after: State) {
        let state = match byte {
            b'"' => State::String,
            b't' | b'f' | b'n' => {
                self.word_start = at;
                State::Word
            }
            b'-' | b'0'..=b'9' => State::Number,
            b'{' => State::ObjectStart,
            b'[' => State::ArrayStart,
            _ => return,
        };
        // A minus is not a number yet. Everything else that begins a value can be closed at once.
        if byte != b'-' {
            self.kept = at + 1;
        }
        // The state after the value lies under the state of the value, and returns when that one is popped.
        self.become_state(after);
        self.stack.push(state);
    }

    /// Reads a byte that may follow a value in an object or an array.
    fn after_value(&mut self, byte: u8, at: usize) {
        match (self.state(), byte) {
            (State::ObjectAfterValue, b',') => self.become_state(State::ObjectAfterComma),
            (State::ArrayAfterValue, b',') => self.become_state(State::ArrayAfterComma),
            (State::ObjectAfterValue, b'}') | (State::ArrayAfterValue, b']') => {
                self.end_container(at);
            }
            _ => {}
        }
    }

    /// Ends an object, an array or an escape with this byte.
    fn end_container(&mut self, at: usize) {
        self.stack.pop();
        self.kept = at + 1;
    }
}
