use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ui::held::{Held, allocation};
use crate::ui::{RawJson, Text};

/// Members of a JSON object that its type does not name, or whose values do not fit their type (`"title": null`).
///
/// They keep their order and are written back unchanged. If a name repeats, the last value counts, as in JavaScript.
#[derive(Clone, Default, PartialEq)]
pub struct Members {
    list: Vec<(Text<'static>, RawJson<'static>)>,
}

impl Members {
    /// Creates an empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the value of a member.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawJson<'static>> {
        let (_, value) = self.list.iter().rev().find(|(key, _)| key == name)?;
        Some(value)
    }

    /// Sets a member, in its old place if it exists.
    pub fn insert(&mut self, name: impl Into<Text<'static>>, value: RawJson<'static>) {
        let name = name.into();
        match self.list.iter_mut().rfind(|(key, _)| *key == name) {
            Some((_, old)) => *old = value,
            None => self.list.push((name, value)),
        }
    }

    /// Appends a member, even if its name exists already.
    pub(crate) fn push(&mut self, name: Text<'static>, value: RawJson<'static>) {
        self.list.push((name, value));
    }

    /// Reserves capacity for exactly this many members.
    pub(crate) fn reserve(&mut self, members: usize) {
        self.list.reserve_exact(members);
    }

    /// Removes a member and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<RawJson<'static>> {
        let last = self.list.iter().rposition(|(key, _)| key == name)?;
        let (_, value) = self.list.remove(last);
        self.list.retain(|(key, _)| key != name);
        Some(value)
    }

    /// Returns all members in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Text<'static>, &RawJson<'static>)> {
        self.list.iter().map(|(name, value)| (name, value))
    }

    /// Returns whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Reads a JSON object; `None` if the value is not one.
    pub(crate) fn from_json(raw: &str) -> Option<Self> {
        raw.trim_start()
            .starts_with('{')
            .then(|| serde_json::from_str(raw).ok())
            .flatten()
    }

    /// Removes and returns a member if its value fits; otherwise it stays.
    pub(in crate::ui) fn take<T: Member>(&mut self, name: &str) -> Option<T> {
        let value = T::read(self.get(name)?)?;
        self.list.retain(|(key, _)| key != name);
        Some(value)
    }

    /// Removes and returns members as strings if all of them are strings; otherwise all stay.
    pub(super) fn take_texts<const N: usize>(
        &mut self,
        names: [&str; N],
    ) -> Option<[Text<'static>; N]> {
        let mut texts = [const { None }; N];
        for (name, text) in names.iter().zip(&mut texts) {
            *text = Some(Text::read(self.get(name)?)?);
        }
        self.list
            .retain(|(key, _)| !names.iter().any(|name| key == name));
        Some(texts.map(Option::unwrap_or_default))
    }
}

impl Held for Members {
    fn held(&self) -> usize {
        let members = self.list.iter();
        let values: usize = members
            .map(|(name, value)| name.held() + value.held())
            .sum();
        allocation(self.list.capacity() * size_of::<(Text<'_>, RawJson<'_>)>()) + values
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.list.iter().map(|(name, value)| (name, value)))
            .finish()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some(name) = map.next_key()? {
                    members.push(name, map.next_value()?);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// Reads a valid JSON value as a string; `None` for any other kind of value.
fn read_text(raw: &str) -> Option<Text<'static>> {
    let raw = raw.trim_ascii().strip_prefix('"')?.strip_suffix('"')?;
    Some(Text::from_json_string(raw).into_owned())
}

/// The type of a member's value.
pub(in crate::ui) trait Member: Sized {
    /// Reads a JSON value; `None` if it does not fit the type.
    fn read(raw: &RawJson<'static>) -> Option<Self>;
}

impl Member for Text<'static> {
    fn read(raw: &RawJson<'static>) -> Option<Self> {
        read_text(raw.get())
    }
}

impl Member for bool {
    fn read(raw: &RawJson<'static>) -> Option<Self> {
        raw.deserialize().ok()
    }
}

/// An object with fields of its own, and other members that are written after them.
pub(in crate::ui) trait Object {
    fn write_fields<M: SerializeMap>(&self, fields: &mut FieldWriter<M>) -> Result<(), M::Error>;

    fn other(&self) -> &Members;
}

/// Writes an object. A field takes precedence over another member of the same name.
pub(in crate::ui) fn write_object<S: Serializer>(
    object: &impl Object,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let other = object.other();
    if other.iter().all(|(name, _)| name.is_well_formed()) {
        return write_members(object, serializer.serialize_map(None)?);
    }
    // `serde` can only write names that are Rust strings, so write this object as raw JSON.
    write_members(object, JsonText::default())
        .map_err(S::Error::custom)?
        .serialize(serializer)
}

fn write_members<M: SerializeMap>(object: &impl Object, map: M) -> Result<M::Ok, M::Error> {
    let mut fields = FieldWriter {
        map,
        written: Vec::new(),
    };
    object.write_fields(&mut fields)?;
    let FieldWriter { mut map, written } = fields;
    for (name, value) in object.other().iter() {
        if !written.iter().any(|field| name == field) {
            map.serialize_entry(name, value)?;
        }
    }
    map.end()
}

/// The fields of an object while it is written.
pub(in crate::ui) struct FieldWriter<M> {
    map: M,
    written: Vec<&'static str>,
}

impl<M: SerializeMap> FieldWriter<M> {
    pub(in crate::ui) fn field(
        &mut self,
        name: &'static str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), M::Error> {
        self.written.push(name);
        self.map.serialize_entry(name, value)
    }

    pub(in crate::ui) fn optional(
        &mut self,
        name: &'static str,
        value: Option<&impl Serialize>,
    ) -> Result<(), M::Error> {
        match value {
            Some(value) => self.field(name, value),
            None => Ok(()),
        }
    }
}

/// Writes a map as the text of a JSON object, whose names may contain half a surrogate pair.
#[derive(Default)]
struct JsonText {
    text: String,
}

impl SerializeMap for JsonText {
    type Ok = RawJson<'static>;
    type Error = serde_json::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> serde_json::Result<()> {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        self.text.push_str(&serde_json::to_string(name)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> serde_json::Result<()> {
        self.text.push(':');
        self.text.push_str(&serde_json::to_string(value)?);
        Ok(())
    }

    fn end(mut self) -> serde_json::Result<Self::Ok> {
        self.text
            .push_str(if self.text.is_empty() { "{}" } else { "}" });
        Ok(RawJson::from_valid(self.text))
    }
}
