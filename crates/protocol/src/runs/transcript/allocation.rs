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
        grown(self.len() + entries, self.capacity(), smallest::<T>()) * size_of::<T>()
    }
}

impl Allocation for String {
    fn allocated(&self) -> usize {
        self.capacity()
    }

    fn growth(&self, bytes: usize) -> usize {
        grown(self.len() + bytes, self.capacity(), smallest::<u8>())
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

/// Returns the smallest capacity that a `Vec` or a `String` allocates when it grows.
fn smallest<T>() -> usize {
    match size_of::<T>() {
        1 => 8,
        ..=1024 => 4,
        _ => 1,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Adds entries, and checks that what was allocated is what was counted before.
    fn add<C: Allocation>(collection: &mut C, count: usize, add: impl FnOnce(&mut C)) {
        let (before, growth) = (collection.allocated(), collection.growth(count));
        add(collection);
        let after = collection.allocated();
        assert_eq!(growth, if after == before { 0 } else { after });
    }

    #[test]
    fn the_first_byte_of_a_text_allocates_eight() {
        let mut text = String::new();
        add(&mut text, 1, |text| text.push('x'));
        assert_eq!(text.allocated(), 8);
    }

    proptest! {
        #[test]
        fn growth_is_counted_before_it_happens(counts in prop::collection::vec(0_usize..40, 0..20)) {
            let (mut text, mut bytes) = (String::new(), Vec::<u8>::new());
            let (mut texts, mut large) = (Vec::<String>::new(), Vec::<[u64; 200]>::new());
            let (mut map, mut next) = (HashMap::<u64, String>::new(), 0..);
            for count in counts {
                add(&mut text, count, |text| text.push_str(&"x".repeat(count)));
                add(&mut bytes, count, |bytes| bytes.extend_from_slice(&vec![0; count]));
                add(&mut texts, count, |texts| texts.resize(texts.len() + count, String::new()));
                add(&mut large, count, |large| large.resize(large.len() + count, [0; 200]));
                add(&mut map, 1, |map| {
                    map.insert(next.next().unwrap_or_default(), String::new());
                });
            }
        }
    }
}
