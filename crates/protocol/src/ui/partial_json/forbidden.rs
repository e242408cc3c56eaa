use std::collections::BTreeSet;

use crate::ui::Text;

/// Returns whether a value contains a key that the AI SDK refuses: `__proto__`, or `prototype` in the object under `constructor`.
///
/// If a member repeats, only its last value counts: a forbidden key in an earlier value is ignored. `json` must be valid.
///
/// Takes 9 bytes of memory for each container that is open at once, and at most about 100 KiB beyond that.
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
            // Every byte of a number or a word counts as the end of a value. Several ends have the same effect as one.
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

/// A value that was read.
#[derive(Clone, Copy, Debug, Default)]
struct Value {
    is_forbidden: bool,
    has_prototype: bool,
}

/// The open arrays and objects.
struct Open<'a> {
    json: &'a str,
    /// The flags of each container.
    containers: Vec<u8>,
    /// The positions of the opening quotes of the keys whose values are being read.
    keys: Vec<usize>,
    /// The members of open objects whose latest values contain a forbidden key: the depth of the object, and the member's key.
    forbidden: BTreeSet<(usize, Vec<u16>)>,
    /// The total length of those keys.
    forbidden_units: usize,
}

/// The flag of a container whose last key has no value yet.
const KEY: u8 = 1;
/// The flag of a container with a forbidden key that no later member can replace.
const FORBIDDEN: u8 = 2;
/// The flag of an object whose member `constructor` has a member `prototype`.
const CONSTRUCTOR: u8 = 4;
/// The flag of an object with a member `prototype`.
const PROTOTYPE: u8 = 8;

impl Open<'_> {
    /// Returns whether there are more forbidden members that could still be replaced than in any honest document. Such a document
    /// counts as forbidden, so that the list stays short.
    fn holds_too_many(&self) -> bool {
        self.forbidden.len() > 1_000 || self.forbidden_units > 16 * 1024
    }

    fn begin_member(&mut self, key: usize) {
        if let Some(flags) = self.containers.last_mut() {
            *flags |= KEY;
            self.keys.push(key);
        }
    }

    /// Records the end of a value in the innermost container.
    fn add(&mut self, value: Value) {
        let depth = self.containers.len();
        let Some(flags) = self.containers.last_mut() else {
            return;
        };
        if *flags & KEY == 0 {
            // An element of an array, which nothing can replace.
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
            // A later `constructor` replaces an earlier one, so the flag may go again.
            Some("constructor") if value.has_prototype => *flags |= CONSTRUCTOR,
            Some("constructor") => *flags &= !CONSTRUCTOR,
            _ => {}
        }
        // A later member of the same key may replace this value, so remember the key instead of setting a flag.
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
        // The members of this container can no longer be replaced.
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

/// Returns the largest number of containers that are open at once.
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

/// Returns the content of the string whose opening quote is at `start`.
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
