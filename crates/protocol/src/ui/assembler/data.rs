use super::change::Change;
use super::error::AssembleError;
use super::machine::{Assembler, own, own_raw};
use crate::ui::chunk::Data;
use crate::ui::held::{OwnedSize, owned_raw};
use crate::ui::{DataPart, Members, Part};

impl Assembler {
    /// Adds data of the application, or replaces the data with the same name and id.
    pub(super) fn data<'c>(&mut self, chunk: &'c Data<'_>) -> Result<Change<'c>, AssembleError> {
        if chunk.transient == Some(true) {
            return Ok(Change::Transient(chunk));
        }
        let existing = chunk
            .id
            .as_ref()
            .and_then(|id| self.index.data(&chunk.name, id));
        if let Some(at) = existing {
            self.fits(chunk.data.as_ref().map_or(0, owned_raw))?;
            if let Some(Part::Data(part)) = self.message.parts.get_mut(at) {
                part.data = chunk.data.as_ref().map(own_raw);
            }
            self.weigh(at);
            return Ok(self.changed(at));
        }
        let id = chunk.id.as_ref();
        let index = id.map_or(0, |id| self.index.data_growth(&chunk.name, id));
        self.fits_parts(1, chunk.owned_size() + index)?;
        let mut part = DataPart {
            name: own(&chunk.name),
            id: chunk.id.as_ref().map(own),
            data: chunk.data.as_ref().map(own_raw),
            other: Members::new(),
        };
        let members = chunk.other.len() + usize::from(chunk.transient.is_some());
        part.other.reserve(members);
        if let Some(transient) = chunk.transient {
            part.other
                .insert("transient", serde_json::Value::from(transient).into());
        }
        for (name, value) in &chunk.other {
            part.other.push(own(name), own_raw(value));
        }
        Ok(self.add(Part::Data(part)))
    }
}
