use super::error::AssembleError;
use super::machine::Assembler;
use super::size::grown;
use crate::ui::Part;
use crate::ui::held::{Held, allocation};

/// What an assembler takes, and whether more fits.
impl Assembler {
    /// How much memory the assembler takes now, in bytes, with what the next look at the message takes: what its
    /// [limit](Self::with_limit) limits. It takes no time to say.
    #[must_use]
    pub fn size(&self) -> usize {
        // A clone has no places yet for the steps that do not show.
        let needed = self.message.parts.len() + self.pending_steps;
        let parts = self.message.parts.capacity().max(needed);
        let sizes = self.sizes.capacity().max(needed);
        places(parts, sizes)
            + self.parts_size
            + self.index.held()
            + self.texts.held()
            + self.reasonings.held()
            + self.calls.held()
            + self.metadata.size()
            + self.message.id.held()
            + self.other_size
    }

    /// How many bytes more it may take.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.size())
    }

    pub(super) fn too_large(&self) -> AssembleError {
        AssembleError::TooLarge { limit: self.limit }
    }

    /// Whether so many bytes more fit.
    pub(super) fn fits(&self, more: usize) -> Result<(), AssembleError> {
        if self.size().saturating_add(more) > self.limit {
            return Err(self.too_large());
        }
        Ok(())
    }

    /// Whether so many parts more fit, after the steps that do not show yet, and so many bytes more. Then there are places for them.
    pub(super) fn fits_parts(&mut self, parts: usize, more: usize) -> Result<(), AssembleError> {
        self.fits(more)?;
        let length = self.message.parts.len();
        let needed = length + self.pending_steps + parts;
        let capacity = self.message.parts.capacity().min(self.sizes.capacity());
        if needed > capacity {
            let room = self.room() - more;
            // A step and its text, which is all that most messages have.
            let needed = needed.max(2);
            let capacity = grown(capacity, needed, room, |capacity| {
                places(capacity, capacity)
            });
            let capacity = capacity.ok_or_else(|| self.too_large())?;
            self.message.parts.reserve_exact(capacity - length);
            self.sizes.reserve_exact(capacity - length);
        }
        Ok(())
    }

    /// Weighs a part that is not a tool call's.
    pub(super) fn weigh(&mut self, at: usize) {
        if let Some(part) = self.message.parts.get(at) {
            self.resize(at, part.held());
        }
    }

    pub(super) fn resize(&mut self, at: usize, size: usize) {
        if let Some(old) = self.sizes.get_mut(at) {
            self.parts_size = self.parts_size - *old + size;
            *old = size;
        }
    }
}

/// What places for so many parts take, and for so many of their sizes.
fn places(parts: usize, sizes: usize) -> usize {
    allocation(parts * size_of::<Part>()) + allocation(sizes * size_of::<usize>())
}
