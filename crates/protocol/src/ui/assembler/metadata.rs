use std::collections::BTreeMap;

use super::error::AssembleError;
use crate::ui::chunk::elements;
use crate::ui::held::{allocation, entry, first_node, owned_raw};
use crate::ui::{RawJson, Text};

/// The metadata of a message, in a form into which more can be merged without rewriting all of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    state: State,
    size: Size,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Absent,
    /// The JSON as it arrived: nothing has been merged into it.
    Raw(Box<str>),
    Merged(Object),
}

#[derive(Clone, Debug)]
enum Value {
    Object(Object),
    /// The JSON of any other value.
    Other(Box<str>),
}

/// The members of an object, by their names as JSON strings.
#[derive(Clone, Debug, Default)]
struct Object {
    members: BTreeMap<Box<str>, Member>,
}

#[derive(Clone, Debug)]
struct Member {
    /// The number of members before it, as members keep their order.
    place: usize,
    value: Value,
}

/// The size of metadata.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// The allocated bytes.
    held: usize,
    /// The length as JSON.
    json: usize,
}

impl Size {
    fn add(&mut self, other: Self) {
        self.held += other.held;
        self.json += other.json;
    }

    fn subtract(&mut self, other: Self) {
        self.held -= other.held;
        self.json -= other.json;
    }
}

impl Metadata {
    pub(super) const MAX_DEPTH: usize = 512;

    pub(super) fn of(metadata: Option<&RawJson<'_>>) -> Self {
        let metadata = metadata.filter(|metadata| !metadata.is_null());
        metadata.map_or_else(Self::default, |metadata| Self {
            state: State::Raw(metadata.get().into()),
            size: Size {
                held: owned_raw(metadata),
                json: metadata.get().len(),
            },
        })
    }

    /// Merges as the AI SDK does: objects member by member; any other value is replaced. May allocate at most `room` more bytes.
    pub(super) fn merge(&mut self, from: &RawJson<'_>, room: Room) -> Result<(), AssembleError> {
        let from = from.get();
        let opened = match &self.state {
            State::Absent => {
                // The metadata is also shown, so its JSON counts too.
                room.check(2 * allocation(from.len()))?;
                *self = Self::of(Some(&RawJson::from_valid(from)));
                return Ok(());
            }
            State::Raw(text) => Some(text),
            State::Merged(_) => None,
        };
        let read = opened.map_or(0, |text| size_read(text));
        room.check(read + size_read(from) + allocation(from.len()))?;
        // Read both before anything changes, because an error must leave the metadata unchanged.
        let opened = opened.map(|text| spread(text)).transpose()?;
        let from = spread(from)?;
        // As in the AI SDK, merging nothing into a string or a number is not an error.
        let merges = from.members.keys().any(|name| !is_skipped(name));
        if merges && matches!(&self.state, State::Raw(text) if !text.starts_with(['{', '['])) {
            return Err(AssembleError::MetadataNotAnObject);
        }
        if let Some(opened) = opened {
            self.size = opened.size();
            self.state = State::Merged(opened);
        }
        if let State::Merged(into) = &mut self.state {
            into.merge(from, &mut self.size);
        }
        Ok(())
    }

    /// Returns the memory in bytes of both forms: the one for merging, and the JSON in the message.
    pub(super) fn size(&self) -> usize {
        self.size.held + allocation(self.size.json)
    }

    pub(super) fn to_json(&self) -> Option<RawJson<'static>> {
        match &self.state {
            State::Absent => None,
            State::Raw(text) => Some(RawJson::from_valid(text.to_string())),
            State::Merged(object) => {
                let mut out = String::with_capacity(self.size.json);
                object.write(&mut out);
                Some(RawJson::from_valid(out))
            }
        }
    }
}

/// The additional memory that an assembler may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) bytes: usize,
    pub(super) limit: usize,
}

impl Room {
    fn check(self, bytes: usize) -> Result<(), AssembleError> {
        if bytes > self.bytes {
            return Err(AssembleError::TooLarge { limit: self.limit });
        }
        Ok(())
    }
}

impl Value {
    fn size(&self) -> Size {
        match self {
            Self::Other(text) => Size {
                held: allocation(text.len()),
                json: text.len(),
            },
            Self::Object(object) => object.size(),
        }
    }
}

impl Object {
    const MEMBER_SIZE: usize = size_of::<Box<str>>() + size_of::<Member>();

    /// The memory that the first member adds to an object.
    const FIRST_NODE: usize = first_node(Self::MEMBER_SIZE);

    /// The memory of each member without its name and value, including its entry in the list that sorts members for writing.
    const MEMBER: usize = entry(Self::MEMBER_SIZE) + size_of::<(usize, usize)>();

    fn size(&self) -> Size {
        let mut size = Size {
            held: 0,
            json: "{}".len(),
        };
        if !self.members.is_empty() {
            size.held += Self::FIRST_NODE;
        }
        for (name, member) in &self.members {
            size.add(Self::name_size(name));
            size.add(member.value.size());
        }
        size
    }

    /// Returns the memory of a member without its value.
    fn name_size(name: &str) -> Size {
        Size {
            held: Self::MEMBER + allocation(name.len()),
            json: name.len() + ":,".len(),
        }
    }

    fn set(&mut self, name: Box<str>, value: Value) {
        let place = self.members.len();
        // A repeated name has its first place and its last value, as in JavaScript.
        match self.members.get_mut(&name) {
            Some(member) => member.value = value,
            None => {
                self.members.insert(name, Member { place, value });
            }
        }
    }

    /// Merges the members of another object, and updates the total size.
    fn merge(&mut self, from: Self, size: &mut Size) {
        for (name, value) in from.into_members() {
            if is_skipped(&name) {
                continue;
            }
            match (self.members.get_mut(&name), value) {
                // `MAX_DEPTH` limits this recursion, and every other one here.
                (Some(member), value) => match (&mut member.value, value) {
                    (Value::Object(old), Value::Object(value)) => old.merge(value, size),
                    (old, value) => {
                        size.add(value.size());
                        size.subtract(old.size());
                        *old = value;
                    }
                },
                (None, value) => {
                    if self.members.is_empty() {
                        size.held += Self::FIRST_NODE;
                    }
                    size.add(Self::name_size(&name));
                    size.add(value.size());
                    self.set(name, value);
                }
            }
        }
    }

    /// Returns the members in their order.
    fn into_members(self) -> impl Iterator<Item = (Box<str>, Value)> {
        let mut members: Vec<_> = self.members.into_iter().collect();
        members.sort_unstable_by_key(|(_, member)| member.place);
        let members = members.into_iter();
        members.map(|(name, member)| (name, member.value))
    }

    fn write(&self, out: &mut String) {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_unstable_by_key(|(_, member)| member.place);
        out.push('{');
        for (index, (name, member)) in members.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(name);
            out.push(':');
            match &member.value {
                Value::Other(text) => out.push_str(text),
                Value::Object(object) => object.write(out),
            }
        }
        out.push('}');
    }
}

/// Returns an upper bound for the memory of an object read from this JSON, including the temporary memory to merge it.
fn size_read(json: &str) -> usize {
    // Counts the bytes in strings, too, which only makes the bound larger.
    let count = |byte| memchr::memchr_iter(byte, json.as_bytes()).count();
    let (members, objects) = match json.trim_ascii_start().as_bytes().first() {
        Some(b'{') => (count(b':'), count(b'{')),
        Some(b'[') => {
            let elements = (count(b',') + 1).min(MOST_ELEMENTS + 1);
            (elements + count(b':'), 1 + count(b'{'))
        }
        Some(b'"') => (json.len().min(MOST_ELEMENTS + 1), 1),
        _ => return 0,
    };
    // The name and the value are allocated separately, and all members of an object are listed once.
    let member = Object::MEMBER + Object::MEMBER_SIZE + 2 * allocation(1);
    members * member + objects * Object::FIRST_NODE + json.len()
}

/// The maximum number of elements of an array, or of code units of a string, that are spread into an object.
const MOST_ELEMENTS: usize = 65_536;

/// Converts a value to an object, as `{...value}` does in JavaScript. The members of an array are its elements by index, those of
/// a string its UTF-16 code units, and any other value has none.
fn spread(json: &str) -> Result<Object, AssembleError> {
    let mut object = Object::default();
    let mut add = |element: &str| {
        let place = object.members.len();
        if place == MOST_ELEMENTS {
            return Err(AssembleError::MetadataNotAnObject);
        }
        object.set(format!("\"{place}\"").into(), read(element)?);
        Ok(())
    };
    let mut reader = Reader { text: json, at: 0 };
    reader.skip_whitespace();
    match reader.peek() {
        Some(b'{') => return reader.object(0),
        Some(b'[') => {
            for element in elements(json).into_iter().flatten() {
                add(element)?;
            }
        }
        Some(b'"') => {
            let string = json.trim_ascii();
            let string = string.get(1..string.len() - 1).unwrap_or_default();
            // A code unit has at most six bytes.
            if string.len() > 6 * MOST_ELEMENTS {
                return Err(AssembleError::MetadataNotAnObject);
            }
            for unit in Text::from_json_string(string).to_code_units() {
                let mut element = String::new();
                Text::from_code_units(&[unit]).write_json(&mut element);
                add(&element)?;
            }
        }
        _ => {}
    }
    Ok(object)
}

fn read(json: &str) -> Result<Value, AssembleError> {
    let mut reader = Reader { text: json, at: 0 };
    reader.skip_whitespace();
    reader.value(0)
}

/// Returns whether a key has a special meaning in JavaScript, so that the AI SDK does not merge it.
fn is_skipped(name: &str) -> bool {
    matches!(name, "\"__proto__\"" | "\"constructor\"" | "\"prototype\"")
}

/// Reads JSON that is known to be valid.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, AssembleError> {
        if self.peek() == Some(b'{') {
            return self.object(depth).map(Value::Object);
        }
        Ok(Value::Other(self.skip_value().into()))
    }

    fn object(&mut self, depth: usize) -> Result<Object, AssembleError> {
        if depth >= Metadata::MAX_DEPTH {
            return Err(AssembleError::MetadataTooDeep);
        }
        let mut object = Object::default();
        self.at += 1;
        loop {
            self.skip_whitespace();
            match self.peek() {
                Some(b'"') => {
                    let name = self.skip_value();
                    let name = name.get(1..name.len() - 1).unwrap_or_default();
                    self.skip_whitespace();
                    self.at += 1; // the colon
                    self.skip_whitespace();
                    let value = self.value(depth + 1)?;
                    object.set(canonical(name), value);
                }
                Some(b',') => self.at += 1,
                _ => {
                    self.at += 1; // the brace
                    return Ok(object);
                }
            }
        }
    }

    /// Returns the text of a value that is not an object, and moves behind it.
    fn skip_value(&mut self) -> &'a str {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.skip_string(),
                b'[' | b'{' => {
                    depth += 1;
                    self.at += 1;
                }
                b']' | b'}' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => break,
                _ => {
                    // A number or a word has no end of its own, so read on to the byte after it.
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                break;
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += match byte {
                b'"' => {
                    self.at += 1;
                    return;
                }
                b'\\' => 2,
                _ => 1,
            };
        }
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// Returns a name as a JSON string with canonical escapes, so that equal names are equal keys.
fn canonical(name: &str) -> Box<str> {
    let mut name = Text::from_json_string(name);
    if !name.is_well_formed() {
        name = Text::from_code_units(&name.to_code_units());
    }
    let mut out = String::new();
    name.write_json(&mut out);
    out.into()
}
