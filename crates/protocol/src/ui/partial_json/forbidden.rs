use std::collections::BTreeSet;

use crate::ui::Text;

/// Whether a value holds a key that the AI SDK refuses: `__proto__`, or `prototype` in the object under `constructor`.
///
/// A member that stands twice has only its later value, and what the earlier one held does not count. `json` must be valid.
///
/// It takes 9 bytes for each container that is open at once, and no more than some 100 KiB beside.
pub(super) fn has_forbidden_key(json: &str) -> bool {
    let depth = depth(json);
    let mut open = Open {
        json,
        containers: Vec::with_capacity(depth),
        keys: Vec::with_capacity(depth),
        forbidden: BTreeSet::new(),
        forbidden_units: 0,
    };
    let mut at = 0;
    while let Some(byte) = json.as_bytes().get(at) {
        let mut ended = None;
        match byte {
            b'{' | b'[' => open.containers.push(0),
            b'}' | b']' => ended = Some(open.end_container()),
            b'"' => {
                let string = string_at(json, at);
                let start = at;
                at += string.len() + 1;
                let rest = json.get(at + 1..).unwrap_or_default();
                if rest.trim_ascii_start().starts_with(':') {
                    open.begin_member(start);
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
            if open.containers.is_empty() {
                return value.is_forbidden;
            }
            open.add(value);
            if open.holds_too_many() {
                return true;
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

/// The arrays and objects that are open.
struct Open<'a> {
    json: &'a str,
    /// What is known of each, as flags.
    containers: Vec<u8>,
    /// Where the keys begin whose values come next, each with its quote.
    keys: Vec<usize>,
    /// The members of open objects whose latest values are forbidden: the depth of the object, and the key.
    forbidden: BTreeSet<(usize, Vec<u16>)>,
    /// How long those keys are.
    forbidden_units: usize,
}

/// A key has come, and its value not yet.
const KEY: u8 = 1;
/// It has a member or an element that cannot be taken back and is forbidden.
const FORBIDDEN: u8 = 2;
/// Its member `constructor` has a member `prototype`.
const CONSTRUCTOR: u8 = 4;
/// It has a member `prototype`.
const PROTOTYPE: u8 = 8;

impl Open<'_> {
    /// Whether what is forbidden, and may be taken back, is more than any honest document has. It counts as forbidden.
    fn holds_too_many(&self) -> bool {
        self.forbidden.len() > 1_000 || self.forbidden_units > 16 * 1024
    }

    fn begin_member(&mut self, key: usize) {
        if let Some(flags) = self.containers.last_mut() {
            *flags |= KEY;
            self.keys.push(key);
        }
    }

    /// A value has ended inside of the innermost container.
    fn add(&mut self, value: Value) {
        let depth = self.containers.len();
        let Some(flags) = self.containers.last_mut() else {
            return;
        };
        if *flags & KEY == 0 {
            if value.is_forbidden {
                *flags |= FORBIDDEN;
            }
            return;
        }
        *flags &= !KEY;
        let key = self.keys.pop().unwrap_or_default();
        let key = Text::from_json_string(string_at(self.json, key));
        match key.as_str() {
            Some("__proto__") => *flags |= FORBIDDEN,
            Some("prototype") => *flags |= PROTOTYPE,
            Some("constructor") if value.has_prototype => *flags |= CONSTRUCTOR,
            Some("constructor") => *flags &= !CONSTRUCTOR,
            _ => {}
        }
        if value.is_forbidden {
            let key = key.to_code_units();
            let units = key.len();
            if self.forbidden.insert((depth, key)) {
                self.forbidden_units += units;
            }
        } else if !self.forbidden.is_empty() {
            let key = key.to_code_units();
            let units = key.len();
            if self.forbidden.remove(&(depth, key)) {
                self.forbidden_units -= units;
            }
        }
    }

    fn end_container(&mut self) -> Value {
        let depth = self.containers.len();
        let flags = self.containers.pop().unwrap_or_default();
        let mut is_forbidden = flags & (FORBIDDEN | CONSTRUCTOR) != 0;
        while self.forbidden.last().is_some_and(|last| last.0 == depth) {
            is_forbidden = true;
            if let Some((_, key)) = self.forbidden.pop_last() {
                self.forbidden_units -= key.len();
            }
        }
        Value {
            is_forbidden,
            has_prototype: flags & PROTOTYPE != 0,
        }
    }
}

/// How many containers are open at once, at most.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    while let Some(byte) = json.as_bytes().get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at += string_at(json, at).len() + 1,
            _ => {}
        }
        deepest = deepest.max(depth);
        at += 1;
    }
    deepest
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
