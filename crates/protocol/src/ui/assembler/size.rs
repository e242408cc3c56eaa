/// The capacity that a buffer grows to, so that at least so many elements fit: double, or less where there is no `room` for what that
/// takes. While it grows, the old buffer is there beside the new one. `None` if there is no room for an eighth more, so that appending
/// little by little never takes time that grows with the square.
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
