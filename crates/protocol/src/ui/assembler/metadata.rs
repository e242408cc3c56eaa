use std::collections::HashMap;

use super::error::AssembleError;
use crate::ui::{RawJson, Text};

/// A message's metadata, into which more can be merged without writing all of it again each time.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    state: State,
    size: usize,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Absent,
    /// As it came: nothing has been merged into it.
    Raw(Box<str>),
    Merged(Object),
}

#[derive(Clone, Debug)]
enum Value {
    Object(Object),
    /// Anything else, as it came.
    Other(Box<str>),
}

/// The members of an object, by their names as JSON strings.
#[derive(Clone, Debug, Default)]
struct Object {
    members: Vec<(Box<str>, Value)>,
    places: HashMap<Box<str>, usize>,
}

impl Metadata {
    pub(super) const MAX_DEPTH: usize = 512;

    pub(super) fn of(metadata: Option<&RawJson<'_>>) -> Self {
        let metadata = metadata.filter(|metadata| !metadata.is_null());
        metadata.map_or_else(Self::default, |metadata| Self {
            state: State::Raw(metadata.get().into()),
            size: metadata.get().len(),
        })
    }

    /// Merges as the AI SDK does: objects member by member, everything else is replaced. May take `room` bytes more.
    pub(super) fn merge(&mut self, from: &RawJson<'_>, room: Room) -> Result<(), AssembleError> {
        let opened = match &self.state {
            State::Absent => {
                room.take(from.get().len())?;
                *self = Self::of(Some(from));
                return Ok(());
            }
            State::Raw(text) => Some(spread(text)?),
            State::Merged(_) => None,
        };
        let from = spread(from.get())?;
        let merges = from.members.iter().any(|(name, _)| !is_skipped(name));
        if merges && matches!(&self.state, State::Raw(text) if !text.starts_with(['{', '['])) {
            return Err(AssembleError::MetadataNotAnObject);
        }
        let size = opened.as_ref().map_or(self.size, Object::size) + from.size();
        room.take(size - self.size.min(size))?;
        if let Some(opened) = opened {
            self.state = State::Merged(opened);
        }
        let mut dropped = 0;
        if let State::Merged(into) = &mut self.state {
            for (name, value) in from.members {
                dropped += into.merge(name, value);
            }
        }
        self.size = size.saturating_sub(dropped);
        Ok(())
    }

    /// The bytes that are held, about.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn to_json(&self) -> Option<RawJson<'static>> {
        match &self.state {
            State::Absent => None,
            State::Raw(text) => Some(RawJson::from_valid(text.to_string())),
            State::Merged(object) => {
                let mut out = String::new();
                object.write(&mut out);
                Some(RawJson::from_valid(out))
            }
        }
    }
}

/// How much more an assembler may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) bytes: usize,
    pub(super) limit: usize,
}

impl Room {
    fn take(self, bytes: usize) -> Result<(), AssembleError> {
        if bytes > self.bytes {
            return Err(AssembleError::TooLarge { limit: self.limit });
        }
        Ok(())
    }
}

impl Value {
    fn size(&self) -> usize {
        match self {
            Self::Other(text) => text.len(),
            Self::Object(object) => object.size(),
        }
    }
}

impl Object {
    fn size(&self) -> usize {
        let sizes = self.members.iter();
        sizes
            .map(|(name, value)| Self::member_size(name) + value.size())
            .sum()
    }

    /// What a member takes beside its value: its name twice, and its places.
    fn member_size(name: &str) -> usize {
        2 * name.len() + 2 * size_of::<(Box<str>, Value)>()
    }

    fn set(&mut self, name: Box<str>, value: Value) {
        let place = self.places.get(&name).copied();
        match place.and_then(|place| self.members.get_mut(place)) {
            Some((_, old)) => *old = value,
            None => {
                self.places.insert(name.clone(), self.members.len());
                self.members.push((name, value));
            }
        }
    }

    /// Merges a member. Gives the size of what was dropped, of the new value and of the old.
    fn merge(&mut self, name: Box<str>, value: Value) -> usize {
        let mut dropped = Self::member_size(&name);
        if is_skipped(&name) {
            return dropped + value.size();
        }
        let place = self.places.get(&name).copied();
        match (place.and_then(|place| self.members.get_mut(place)), value) {
            (Some((_, Value::Object(old))), Value::Object(value)) => {
                for (name, value) in value.members {
                    dropped += old.merge(name, value);
                }
                dropped
            }
            (Some((_, old)), value) => {
                dropped += old.size();
                *old = value;
                dropped
            }
            (None, value) => {
                self.set(name, value);
                0
            }
        }
    }

    fn write(&self, out: &mut String) {
        out.push('{');
        for (index, (name, value)) in self.members.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(name);
            out.push(':');
            match value {
                Value::Other(text) => out.push_str(text),
                Value::Object(object) => object.write(out),
            }
        }
        out.push('}');
    }
}

/// A value as an object, as `{...value}` makes one in JavaScript: of an array its elements by their places, of a string its UTF-16
/// code units.
fn spread(json: &str) -> Result<Object, AssembleError> {
    const MOST_ELEMENTS: usize = 65_536;

    let mut elements: Vec<Box<str>> = Vec::new();
    let mut reader = Reader { text: json, at: 0 };
    reader.skip_whitespace();
    match reader.peek() {
        Some(b'{') => return reader.object(0),
        Some(b'[') => {
            let array = RawJson::from_valid(json);
            let array: Vec<RawJson<'static>> = array.deserialize().unwrap_or_default();
            elements.extend(array.iter().map(|element| Box::from(element.get())));
        }
        Some(b'"') => {
            let string = json.trim_ascii();
            let string = string.get(1..string.len() - 1).unwrap_or_default();
            for unit in Text::from_json_string(string).to_code_units() {
                let mut element = String::new();
                Text::from_code_units(&[unit]).write_json(&mut element);
                elements.push(element.into());
            }
        }
        _ => {}
    }
    if elements.len() > MOST_ELEMENTS {
        return Err(AssembleError::MetadataNotAnObject);
    }
    let mut object = Object::default();
    for (place, element) in elements.into_iter().enumerate() {
        object.set(format!("\"{place}\"").into(), read(&element)?);
    }
    Ok(object)
}

fn read(json: &str) -> Result<Value, AssembleError> {
    let mut reader = Reader { text: json, at: 0 };
    reader.skip_whitespace();
    reader.value(0)
}

/// Keys that JavaScript gives a meaning, and that the AI SDK does not merge.
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

    /// Skips a string, or any other value that is not an object.
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

/// A name as a JSON string, always with the same escapes.
fn canonical(name: &str) -> Box<str> {
    let mut name = Text::from_json_string(name);
    if !name.is_well_formed() {
        name = Text::from_code_units(&name.to_code_units());
    }
    let mut out = String::new();
    name.write_json(&mut out);
    out.into()
}
