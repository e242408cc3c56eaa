use std::collections::HashMap;

use crate::ui::Text;

/// Whether a value holds a key that the AI SDK refuses: `__proto__`, or `prototype` in the object under `constructor`.
///
/// A member that stands twice has only its later value, and what the earlier one held does not count. `json` must be valid.
pub(super) fn has_forbidden_key(json: &str) -> bool {
    let mut open: Vec<Container> = Vec::new();
    let mut at = 0;
    while let Some(byte) = json.as_bytes().get(at) {
        let mut ended = None;
        match byte {
            b'{' | b'[' => open.push(Container::default()),
            b'}' | b']' => ended = open.pop().map(Container::end),
            b'"' => {
                let string = string_at(json, at);
                at += string.len() + 1;
                let rest = json.get(at + 1..).unwrap_or_default();
                if rest.trim_ascii_start().starts_with(':') {
                    if let Some(object) = open.last_mut() {
                        object.key = Some(Text::from_json_string(string).to_code_units());
                    }
                } else {
                    ended = Some(Value::default());
                }
            }
            b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {}
            // Each byte of a number or a word ends a value, which is as good as once.
            _ => ended = Some(Value::default()),
        }
        at += 1;
        if let Some(value) = ended {
            match open.last_mut() {
                Some(container) => container.add(value),
                None => return value.is_forbidden,
            }
        }
    }
    false
}

/// What matters of a value that has been read.
#[derive(Clone, Copy, Debug, Default)]
struct Value {
    is_forbidden: bool,
    has_prototype: bool,
}

/// An open array or object.
#[derive(Debug, Default)]
struct Container {
    /// The key whose value comes next.
    key: Option<Vec<u16>>,
    members: HashMap<Vec<u16>, Value>,
    has_forbidden_element: bool,
}

impl Container {
    fn add(&mut self, value: Value) {
        match self.key.take() {
            Some(key) => {
                self.members.insert(key, value);
            }
            None => self.has_forbidden_element |= value.is_forbidden,
        }
    }

    fn end(self) -> Value {
        let member = |name: &str| {
            let name: Vec<u16> = name.encode_utf16().collect();
            self.members.get(&name)
        };
        Value {
            is_forbidden: self.has_forbidden_element
                || member("__proto__").is_some()
                || member("constructor").is_some_and(|value| value.has_prototype)
                || self.members.values().any(|value| value.is_forbidden),
            has_prototype: member("prototype").is_some(),
        }
    }
}

/// The contents of the string whose opening quote is at `start`.
fn string_at(json: &str, start: usize) -> &str {
    let bytes = json.as_bytes();
    let mut end = start + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    json.get(start + 1..end).unwrap_or_default()
}
