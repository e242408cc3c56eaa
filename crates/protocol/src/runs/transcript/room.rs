//! What lists and tables take in memory.

use std::collections::HashMap;

/// What has places for entries.
pub(super) trait Places {
    /// What its places take, in bytes, without what the entries in them hold.
    fn places(&self) -> usize;

    /// What it takes more while another entry comes: one that is full moves to another of twice its size.
    fn growth(&self) -> usize;
}

impl<T> Places for Vec<T> {
    fn places(&self) -> usize {
        self.capacity() * size_of::<T>()
    }

    fn growth(&self) -> usize {
        match self.len() < self.capacity() {
            true => 0,
            false => (2 * self.capacity()).max(4) * size_of::<T>(),
        }
    }
}

impl<K, V> Places for HashMap<K, V> {
    fn places(&self) -> usize {
        table::<(K, V)>(self.capacity())
    }

    fn growth(&self) -> usize {
        match self.len() < self.capacity() {
            true => 0,
            false => table::<(K, V)>(2 * self.capacity().max(2)),
        }
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
