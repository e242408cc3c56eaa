use std::collections::BTreeMap;

use crate::ui::Text;
use crate::ui::held::{allocation, entry, first_node};

/// A map whose keys are strings of chunks, well-formed or not.
///
/// The maps are trees because a tree grows node by node. A hash map that doubles has two tables for a moment, and is half empty
/// afterwards, which would count against the memory limit.
#[derive(Clone, Debug)]
pub(super) struct ByText<T> {
    // Two maps, so that a well-formed key is found without being converted.
    well_formed: BTreeMap<Box<str>, T>,
    ill_formed: BTreeMap<Box<[u16]>, T>,
    /// The memory of the keys in bytes.
    keys: usize,
}

impl<T> Default for ByText<T> {
    fn default() -> Self {
        Self {
            well_formed: BTreeMap::new(),
            ill_formed: BTreeMap::new(),
            keys: 0,
        }
    }
}

impl<T> ByText<T> {
    const ENTRY_SIZE: usize = size_of::<Box<str>>() + size_of::<T>();

    pub(super) fn get(&self, key: &Text<'_>) -> Option<&T> {
        match key.as_str() {
            Some(key) => self.well_formed.get(key),
            None => self.ill_formed.get(&*key.to_code_units()),
        }
    }

    pub(super) fn get_mut(&mut self, key: &Text<'_>) -> Option<&mut T> {
        match key.as_str() {
            Some(key) => self.well_formed.get_mut(key),
            None => self.ill_formed.get_mut(&*key.to_code_units()),
        }
    }

    pub(super) fn insert(&mut self, key: &Text<'_>, value: T) -> Option<T> {
        let size = key_size(key);
        let old = match key.as_str() {
            Some(key) => self.well_formed.insert(key.into(), value),
            None => self.ill_formed.insert(key.to_code_units().into(), value),
        };
        if old.is_none() {
            self.keys += size;
        }
        old
    }

    pub(super) fn remove(&mut self, key: &Text<'_>) -> Option<T> {
        let old = match key.as_str() {
            Some(key) => self.well_formed.remove(key),
            None => self.ill_formed.remove(&*key.to_code_units()),
        }?;
        self.keys -= key_size(key);
        // An empty map may keep a node, which `held` does not count, so replace the map.
        if self.well_formed.is_empty() {
            self.well_formed = BTreeMap::new();
        }
        if self.ill_formed.is_empty() {
            self.ill_formed = BTreeMap::new();
        }
        Some(old)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Text<'static>, &T)> {
        let well_formed = self.well_formed.iter();
        let well_formed = well_formed.map(|(key, value)| (Text::from(String::from(&**key)), value));
        let ill_formed = self.ill_formed.iter();
        well_formed.chain(ill_formed.map(|(key, value)| (Text::from_code_units(key), value)))
    }

    /// Returns the keys and values without copying a key.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (Text<'static>, T)> {
        let well_formed = self.well_formed.into_iter();
        let well_formed = well_formed.map(|(key, value)| (Text::from(String::from(key)), value));
        let ill_formed = self.ill_formed.into_iter();
        well_formed.chain(ill_formed.map(|(key, value)| (Text::from_code_units(&key), value)))
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = T> {
        self.well_formed
            .into_values()
            .chain(self.ill_formed.into_values())
    }

    pub(super) fn len(&self) -> usize {
        self.well_formed.len() + self.ill_formed.len()
    }

    /// Returns the memory of the map in bytes, without the memory that its values own.
    pub(super) fn held(&self) -> usize {
        let first = |is_empty: bool| match is_empty {
            true => 0,
            false => first_node(Self::ENTRY_SIZE),
        };
        let entries = self.len() * entry(Self::ENTRY_SIZE);
        entries + self.keys + first(self.well_formed.is_empty()) + first(self.ill_formed.is_empty())
    }

    /// Returns an upper bound for the additional memory of another key.
    pub(super) fn growth(&self, key: &Text<'_>) -> usize {
        let is_empty = match key.is_well_formed() {
            true => self.well_formed.is_empty(),
            false => self.ill_formed.is_empty(),
        };
        let first = if is_empty {
            first_node(Self::ENTRY_SIZE)
        } else {
            0
        };
        // The code units exist twice while the key is created.
        first + entry(Self::ENTRY_SIZE) + allocation(4 * key.stored_len())
    }
}

impl<T: Default> ByText<T> {
    pub(super) fn entry(&mut self, key: &Text<'_>) -> &mut T {
        // Searched twice, because the map's own `entry` does not report whether the key is new.
        if self.get(key).is_none() {
            self.keys += key_size(key);
        }
        match key.as_str() {
            Some(key) => self.well_formed.entry(key.into()).or_default(),
            None => self
                .ill_formed
                .entry(key.to_code_units().into())
                .or_default(),
        }
    }
}

fn key_size(key: &Text<'_>) -> usize {
    allocation(match key.as_str() {
        Some(key) => key.len(),
        None => 2 * key.to_code_units().len(),
    })
}
