//! The memory that collections take.

use std::collections::HashMap;

/// A collection that allocates room for entries.
pub(super) trait Allocation {
    /// Returns the bytes that are allocated, without what the entries own.
    fn allocated(&self) -> usize;

    /// Returns the bytes that adding so many entries allocates. A full collection moves to an allocation of twice its size.
    fn growth(&self, entries: usize) -> usize;
}

impl<T> Allocation for Vec<T> {
    fn allocated(&self) -> usize {
        self.capacity() * size_of::<T>()
    }

    fn growth(&self, entries: usize) -> usize {
        grown(self.len() + entries, self.capacity(), 4) * size_of::<T>()
    }
}

impl Allocation for String {
    fn allocated(&self) -> usize {
        self.capacity()
    }

    fn growth(&self, bytes: usize) -> usize {
        grown(self.len() + bytes, self.capacity(), 0)
    }
}

impl<K, V> Allocation for HashMap<K, V> {
    fn allocated(&self) -> usize {
        table::<(K, V)>(self.capacity())
    }

    fn growth(&self, entries: usize) -> usize {
        table::<(K, V)>(grown(self.len() + entries, self.capacity(), 4))
    }
}

/// Returns the new capacity, or 0 if the old one is enough.
fn grown(needed: usize, places: usize, first: usize) -> usize {
    match needed <= places {
        true => 0,
        false => needed.max(2 * places).max(first),
    }
}

/// Returns the size of a hash table: it has an eighth more buckets than it uses, and a control byte for each.
fn table<T>(capacity: usize) -> usize {
    let places = (capacity + capacity / 7).next_power_of_two();
    match capacity {
        0 => 0,
        _ => places * (size_of::<T>() + 1),
    }
}
