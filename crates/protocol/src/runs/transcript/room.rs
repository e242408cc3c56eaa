//! What lists and tables take in memory.

use std::collections::HashMap;

/// What has places for entries.
pub(super) trait Places {
    /// What its places take, in bytes, without what the entries in them hold.
    fn places(&self) -> usize;

    /// What it takes more while so many entries come: one that is full moves to another of twice its size.
    fn growth(&self, entries: usize) -> usize;
}

impl<T> Places for Vec<T> {
    fn places(&self) -> usize {
        self.capacity() * size_of::<T>()
    }

    fn growth(&self, entries: usize) -> usize {
        grown(self.len() + entries, self.capacity(), 4) * size_of::<T>()
    }
}

impl Places for String {
    fn places(&self) -> usize {
        self.capacity()
    }

    fn growth(&self, bytes: usize) -> usize {
        grown(self.len() + bytes, self.capacity(), 0)
    }
}

impl<K, V> Places for HashMap<K, V> {
    fn places(&self) -> usize {
        table::<(K, V)>(self.capacity())
    }

    fn growth(&self, entries: usize) -> usize {
        table::<(K, V)>(grown(self.len() + entries, self.capacity(), 4))
    }
}

/// How many places there are anew, if there are not enough.
fn grown(needed: usize, places: usize, first: usize) -> usize {
    match needed <= places {
        true => 0,
        false => needed.max(2 * places).max(first),
    }
}

/// A table has an eighth more places than it uses, and a byte beside each.
fn table<T>(capacity: usize) -> usize {
    let places = (capacity + capacity / 7).next_power_of_two();
    match capacity {
        0 => 0,
        _ => places * (size_of::<T>() + 1),
    }
}
