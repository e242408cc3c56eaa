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

/// What an entry of a `BTreeMap` with entries of this size takes at most, in bytes, wherever it stands.
///
/// A node has room for 11 entries and at least 5, and above the lowest nodes there are others with 12 pointers each.
pub(super) const fn entry(size: usize) -> usize {
    size * 11 / 4 + 16
}

/// What a `BTreeMap` takes beside its entries as soon as it has one: the first node.
pub(super) const fn first_node(size: usize) -> usize {
    allocation(size * 11 + 16)
}
