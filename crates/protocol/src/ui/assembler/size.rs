/// Returns the capacity to which a buffer grows so that at least so many elements fit: double, or less if there is no `room` for
/// that. While it grows, the old buffer exists beside the new one. `None` if there is no room for an eighth more, so that
/// appending in small pieces never takes quadratic time.
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
