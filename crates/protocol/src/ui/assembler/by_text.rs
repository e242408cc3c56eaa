use std::collections::HashMap;

use crate::ui::Text;

/// A map whose keys are strings of chunks, well-formed or not.
#[derive(Clone, Debug)]
pub(super) struct ByText<T> {
    well_formed: HashMap<String, T>,
    ill_formed: HashMap<Vec<u16>, T>,
}

impl<T> Default for ByText<T> {
    fn default() -> Self {
        Self {
            well_formed: HashMap::new(),
            ill_formed: HashMap::new(),
        }
    }
}

impl<T> ByText<T> {
    pub(super) fn get(&self, key: &Text<'_>) -> Option<&T> {
        match key.as_str() {
            Some(key) => self.well_formed.get(key),
            None => self.ill_formed.get(&key.to_code_units()),
        }
    }

    pub(super) fn get_mut(&mut self, key: &Text<'_>) -> Option<&mut T> {
        match key.as_str() {
            Some(key) => self.well_formed.get_mut(key),
            None => self.ill_formed.get_mut(&key.to_code_units()),
        }
    }

    pub(super) fn insert(&mut self, key: &Text<'_>, value: T) -> Option<T> {
        match key.as_str() {
            Some(key) => self.well_formed.insert(key.to_owned(), value),
            None => self.ill_formed.insert(key.to_code_units(), value),
        }
    }

    pub(super) fn remove(&mut self, key: &Text<'_>) -> Option<T> {
        match key.as_str() {
            Some(key) => self.well_formed.remove(key),
            None => self.ill_formed.remove(&key.to_code_units()),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Text<'static>, &T)> {
        let well_formed = self.well_formed.iter();
        let well_formed = well_formed.map(|(key, value)| (Text::from(key.clone()), value));
        let ill_formed = self.ill_formed.iter();
        well_formed.chain(ill_formed.map(|(key, value)| (Text::from_code_units(key), value)))
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = T> {
        self.well_formed
            .into_values()
            .chain(self.ill_formed.into_values())
    }
}

impl<T: Default> ByText<T> {
    pub(super) fn entry(&mut self, key: &Text<'_>) -> &mut T {
        match key.as_str() {
            Some(key) => self.well_formed.entry(key.to_owned()).or_default(),
            None => self.ill_formed.entry(key.to_code_units()).or_default(),
        }
    }
}
