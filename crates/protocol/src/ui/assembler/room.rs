use super::error::AssembleError;
use super::machine::Assembler;
use crate::ui::Part;
use crate::ui::held::{Held, allocation};

/// The memory of an assembler, and its limit.
impl Assembler {
    /// Returns the memory of the assembler in bytes, to which the [limit](Self::with_limit) applies. It includes the memory that
    /// the next call of [`message`](Self::message) will take. Takes constant time.
    #[must_use]
    pub fn size(&self) -> usize {
        // A clone has no spare capacity, so it has none yet for the steps that are not visible.
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

    /// Returns the remaining bytes within the limit.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.size())
    }

    pub(super) fn too_large(&self) -> AssembleError {
        AssembleError::TooLarge { limit: self.limit }
    }

    /// Checks that this many more bytes fit.
    pub(super) fn fits(&self, more: usize) -> Result<(), AssembleError> {
        if self.size().saturating_add(more) > self.limit {
            return Err(self.too_large());
        }
        Ok(())
    }

    /// Checks that this many more parts fit, with this many more bytes, and reserves capacity for the parts. It also reserves
    /// capacity for the steps that are not visible yet, which come before them.
    pub(super) fn fits_parts(&mut self, parts: usize, more: usize) -> Result<(), AssembleError> {
        self.fits(more)?;
        let length = self.message.parts.len();
        let needed = length + self.pending_steps + parts;
        let capacity = self.message.parts.capacity().min(self.sizes.capacity());
        if needed > capacity {
            let room = self.room() - more;
            // Most messages are one step with one text, so begin with room for both.
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

    /// Measures a part that is not a tool call's.
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

/// Returns the memory of a list of parts and a list of sizes with these capacities.
fn places(parts: usize, sizes: usize) -> usize {
    allocation(parts * size_of::<Part>()) + allocation(sizes * size_of::<usize>())
}

/// Returns the capacity to which a buffer grows so that `needed` elements fit: double or, if there is no `room` for that, an eighth
/// more. `room` is for the new buffer alone, because the old one still exists while it grows.
///
/// Returns `None` if there is no room for an eighth more. Growing by less would make appending in small pieces take quadratic time.
pub(super) fn grown(
    capacity: usize,
    needed: usize,
    room: usize,
    takes: impl Fn(usize) -> usize,
) -> Option<usize> {
    [2 * capacity, capacity + capacity / 8]
        .map(|capacity| capacity.max(needed))
        .into_iter()
        .find(|&capacity| takes(capacity) <= room)
}
