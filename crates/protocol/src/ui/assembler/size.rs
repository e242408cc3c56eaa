use crate::ui::held::allocation;

/// The capacity that a buffer of elements of this size grows to, so that at least so many fit: double, or less where there is no `room`
/// for that. While it grows, the old buffer is there beside the new one. `None` if there is no room for an eighth more, so that
/// appending little by little never takes time that grows with the square.
pub(super) fn grown(capacity: usize, needed: usize, size: usize, room: usize) -> Option<usize> {
    let fits = |capacity: &usize| {
        capacity
            .checked_mul(size)
            .is_some_and(|bytes| allocation(bytes) <= room)
    };
    [2 * capacity, capacity + capacity / 8]
        .map(|capacity| capacity.max(needed))
        .into_iter()
        .find(fits)
}
