//! Entries of one log, packed and compressed.
//!
//! ```text
//!   push ─► open: up to 64 entries or 64 KiB, of one epoch ─► full ─► Pack: Plain, or Compressed by LZ4
//!
//!   above(after) = packs above it, decompressed ++ a copy of the open entries
//! ```
//!
//! The store keeps its memory limit by asking `cost` before each `push`, so `cost` must never be less than `push` then takes. Both use
//! the same `growth`, and a property below checks the rule.

use std::mem;

use bytes::Bytes;
use lz4_flex::block;
use twentyfirst_protocol::run_log::Position;

/// The number of entries at which a pack is full.
const PACK_ENTRIES: usize = 64;

/// The most bytes in a pack. A larger entry has a pack of its own.
const PACK_BYTES: usize = 64 * 1024;

/// The initial capacity of the list of packs.
const FIRST_PACKS: usize = 4;

/// The least bytes and places by which the open pack grows.
const MORE_BYTES: usize = 128;
const MORE_PLACES: usize = 4;

/// The overhead of one allocation and of the reference count of [`Bytes`], as an upper bound.
const ALLOCATION: usize = 64;

/// An entry's distance from the first position of its pack, and the end of its bytes.
type Place = (u32, u32);

/// The entries of a log, in order.
///
/// Entries share buffers, and old ones are compressed. A `Bytes` for each would cost more than the content of a short entry, such as
/// a single delta.
#[derive(Default)]
pub(super) struct Entries {
    packs: Vec<Pack>,
    /// The bytes that the packs take, without the list itself.
    packed: usize,
    open: Open,
}

/// The newest entries, of one epoch: the pack that is being filled.
struct Open {
    first: Position,
    places: Vec<Place>,
    bytes: Vec<u8>,
}

/// A finished pack: entries of one epoch in one buffer.
struct Pack {
    first: Position,
    places: Box<[Place]>,
    packed: Packed,
}

enum Packed {
    /// A single entry, or bytes that do not compress well. Readers share the buffer.
    Plain(Bytes),
    /// LZ4. Every read decompresses into a buffer of its own.
    Compressed(Box<[u8]>),
}

impl Entries {
    /// Returns the bytes that the entries take, as an upper bound.
    pub(super) const fn taken(&self) -> usize {
        self.packs.capacity() * size_of::<Pack>() + self.packed + self.open.taken()
    }

    /// Returns the bytes that another entry would add, as an upper bound.
    pub(super) fn cost(&self, at: Position, entry: &[u8]) -> usize {
        let begins_another = !self.open.has_room_for(at, entry);
        let is_last = self.open.places.len() + 1 == PACK_ENTRIES;
        // `push` then finishes a pack, and the list of packs may have to grow for it. The pack itself takes no more than it did open.
        let list = match (begins_another || is_last) && self.packs.len() == self.packs.capacity() {
            true => self.more_packs() * size_of::<Pack>(),
            false => 0,
        };
        list + match begins_another {
            true => Open::EMPTY.cost(entry),
            false => self.open.cost(entry),
        }
    }

    pub(super) fn last(&self) -> Option<(Position, Bytes)> {
        let packed = || self.packs.last().and_then(|pack| pack.iter().last());
        let last = self.open.places.len().saturating_sub(1);
        self.open.from(last).last().or_else(packed)
    }

    pub(super) fn last_position(&self) -> Option<Position> {
        let packed = || self.packs.last().map(Pack::last);
        self.open.last().or_else(packed)
    }

    pub(super) fn get(&self, at: Position) -> Option<Bytes> {
        let index = self.packs.partition_point(|pack| pack.last() < at);
        let found = match self.packs.get(index) {
            Some(pack) => pack.iter().find(|(it, _)| *it == at),
            None => self.open.from(self.open.place(|it| it < at)).next(),
        };
        found.filter(|(it, _)| *it == at).map(|(_, entry)| entry)
    }

    /// Returns up to `limit` entries above a position.
    pub(super) fn above(&self, after: Position, limit: usize) -> Vec<(Position, Bytes)> {
        let packs = &self.packs[self.packs.partition_point(|pack| pack.last() <= after)..];
        let packed = packs.iter().flat_map(Pack::iter);
        let mut above: Vec<_> = packed
            .skip_while(|(at, _)| *at <= after)
            .take(limit)
            .collect();
        if above.len() < limit {
            let open = self.open.from(self.open.place(|at| at <= after));
            above.extend(open.take(limit - above.len()));
        }
        above
    }

    /// Appends an entry, above all others.
    pub(super) fn push(&mut self, at: Position, entry: &[u8]) {
        if !self.open.has_room_for(at, entry) {
            self.pack();
        }
        self.open.push(at, entry);
        if self.open.places.len() == PACK_ENTRIES {
            self.pack();
        }
    }

    fn pack(&mut self) {
        let pack = Pack::of(mem::take(&mut self.open));
        self.packed += pack.taken();
        if self.packs.len() == self.packs.capacity() {
            self.packs.reserve_exact(self.more_packs());
        }
        self.packs.push(pack);
    }

    /// Returns by how many packs the list grows. Doubling, as `Vec` does, would leave up to half of the list empty in a log that has ended.
    fn more_packs(&self) -> usize {
        (self.packs.len() / 4).max(FIRST_PACKS)
    }
}

/// Returns by how much a buffer's capacity has to grow for `more` elements.
const fn growth(length: usize, capacity: usize, more: usize, least: usize) -> usize {
    if capacity - length >= more {
        return 0;
    }
    // The first element may be the only one, as in the log of a chat: it gets no spare room.
    let (quarter, least) = match capacity {
        0 => (0, 0),
        _ => (capacity / 4, least),
    };
    let spare = if quarter > least { quarter } else { least };
    if spare > more { spare } else { more }
}

impl Default for Open {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Open {
    const EMPTY: Self = Self {
        first: Position::START,
        places: Vec::new(),
        bytes: Vec::new(),
    };

    const fn taken(&self) -> usize {
        match self.places.capacity() {
            0 => 0,
            places => places * size_of::<Place>() + self.bytes.capacity() + 2 * ALLOCATION,
        }
    }

    /// Returns the bytes that another entry would add.
    const fn cost(&self, entry: &[u8]) -> usize {
        let (places, bytes) = self.growth(entry);
        let allocations = match self.places.capacity() {
            0 => 2 * ALLOCATION,
            _ => 0,
        };
        places * size_of::<Place>() + bytes + allocations
    }

    /// Returns by how many places and bytes the capacity has to grow for this entry.
    const fn growth(&self, entry: &[u8]) -> (usize, usize) {
        let (places, bytes) = (&self.places, &self.bytes);
        (
            growth(places.len(), places.capacity(), 1, MORE_PLACES),
            growth(bytes.len(), bytes.capacity(), entry.len(), MORE_BYTES),
        )
    }

    /// Returns whether the entry fits into this pack. An empty pack takes any entry.
    fn has_room_for(&self, at: Position, entry: &[u8]) -> bool {
        // A place holds only the distance from the first position of the pack, in 32 bits.
        let is_near = || u32::try_from(at.seq.wrapping_sub(self.first.seq)).is_ok();
        let fits = || self.bytes.len() + entry.len() <= PACK_BYTES;
        self.places.is_empty() || (at.epoch == self.first.epoch && is_near() && fits())
    }

    fn push(&mut self, at: Position, entry: &[u8]) {
        if self.places.is_empty() {
            self.first = at;
        }
        let (places, bytes) = self.growth(entry);
        self.places.reserve_exact(places);
        self.bytes.reserve_exact(bytes);
        // Copied, because `entry` may be a small slice that would keep a large buffer alive.
        self.bytes.extend_from_slice(entry);
        let behind = u32::try_from(at.seq - self.first.seq).unwrap_or(u32::MAX);
        // An entry beyond 4 GiB is alone in its pack, and the end of the last entry is never read.
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.places.push((behind, end));
    }

    fn last(&self) -> Option<Position> {
        let last = self.places.last();
        last.map(|(behind, _)| position(self.first, *behind))
    }

    /// Returns the index of the first entry for which `is_before` is false.
    fn place(&self, is_before: impl Fn(Position) -> bool) -> usize {
        self.places
            .partition_point(|(behind, _)| is_before(position(self.first, *behind)))
    }

    /// Returns a copy of the entries from `index` on. They share one new buffer.
    fn from(&self, index: usize) -> impl Iterator<Item = (Position, Bytes)> + '_ {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.places[before].1 as usize,
        };
        let places = &self.places[index..];
        let bytes = match places {
            [] => Bytes::new(),
            _ => Bytes::copy_from_slice(&self.bytes[start..]),
        };
        entries(self.first, places, start, bytes)
    }
}

fn position(first: Position, behind: u32) -> Position {
    Position::new(first.epoch, first.seq + u64::from(behind))
}

/// Returns the entries at `places`, sliced out of `bytes`, which begin at offset `from` of the pack.
fn entries(
    first: Position,
    places: &[Place],
    from: usize,
    bytes: Bytes,
) -> impl Iterator<Item = (Position, Bytes)> + '_ {
    let last = places.len().saturating_sub(1);
    let mut start = 0;
    places
        .iter()
        .enumerate()
        .map(move |(index, (behind, end))| {
            let end = match index == last {
                true => bytes.len(),
                false => *end as usize - from,
            };
            let entry = bytes.slice(start..end);
            start = end;
            (position(first, *behind), entry)
        })
}

impl Pack {
    fn of(open: Open) -> Self {
        Self {
            first: open.first,
            packed: match open.places.len() {
                1 => Packed::Plain(plain(open.bytes)),
                _ => Packed::of(open.bytes),
            },
            places: open.places.into(),
        }
    }

    fn taken(&self) -> usize {
        self.places.len() * size_of::<Place>() + self.packed.taken() + 2 * ALLOCATION
    }

    fn last(&self) -> Position {
        let last = self.places.last();
        last.map_or(self.first, |(behind, _)| position(self.first, *behind))
    }

    fn iter(&self) -> impl Iterator<Item = (Position, Bytes)> + '_ {
        let length = self.places.last().map_or(0, |(_, end)| *end as usize);
        entries(self.first, &self.places, 0, self.packed.bytes(length))
    }
}

/// Freezes the bytes without spare capacity.
fn plain(bytes: Vec<u8>) -> Bytes {
    Bytes::from(bytes.into_boxed_slice())
}

impl Packed {
    fn of(bytes: Vec<u8>) -> Self {
        let compressed = block::compress(&bytes);
        // Saving less than an eighth is not worth the decompression at every read.
        match compressed.len() < bytes.len() / 8 * 7 {
            true => Self::Compressed(compressed.into()),
            false => Self::Plain(plain(bytes)),
        }
    }

    fn taken(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Compressed(compressed) => compressed.len(),
        }
    }

    /// Returns the bytes, `length` of them when decompressed.
    fn bytes(&self, length: usize) -> Bytes {
        match self {
            Self::Plain(bytes) => bytes.clone(),
            Self::Compressed(compressed) => match block::decompress(compressed, length) {
                Ok(bytes) => bytes.into(),
                Err(error) => {
                    unreachable!("a pack that this module compressed does not decompress: {error}")
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Yields for an entry: whether it begins a later epoch, its distance from the entry before, and its length.
    fn follows() -> impl Strategy<Value = (bool, u64, usize)> {
        let behind =
            prop_oneof![20 => Just(1_u64), 1 => 2..5_u64, 1 => Just(u64::from(u32::MAX) + 2)];
        let length =
            prop_oneof![20 => 0..300_usize, 2 => 15_000..17_000_usize, 1 => 65_000..70_000_usize];
        (prop::bool::weighted(0.05), behind, length)
    }

    proptest! {
        #[test]
        fn entries_are_read_as_they_were_appended(
            steps in prop::collection::vec(follows(), 1..200),
            limit in 1..100_usize,
        ) {
            let mut entries = Entries::default();
            let mut all: Vec<(Position, Bytes)> = Vec::new();
            let mut at = Position::new(1, 0);
            for (index, (is_later, behind, length)) in steps.into_iter().enumerate() {
                at = match is_later {
                    true => Position::new(at.epoch + 1, behind - 1),
                    false => Position::new(at.epoch, at.seq + behind),
                };
                let entry = Bytes::from(vec![index as u8; length]);
                let (before, cost) = (entries.taken(), entries.cost(at, &entry));
                entries.push(at, &entry);
                prop_assert!(entries.taken() <= before + cost, "{} > {before} + {cost}", entries.taken());
                all.push((at, entry));
                prop_assert_eq!(entries.last(), all.last().cloned());
                prop_assert_eq!(entries.last_position(), Some(at));
            }
            prop_assert_eq!(entries.get(Position::START), None);
            prop_assert_eq!(entries.get(at.next()), None);
            for (index, (at, entry)) in all.iter().enumerate() {
                prop_assert_eq!(entries.get(*at), Some(entry.clone()));
                let above = &all[index + 1..];
                prop_assert_eq!(entries.above(*at, limit), above[..limit.min(above.len())].to_vec());
            }
            prop_assert_eq!(entries.above(Position::START, usize::MAX), all);
        }
    }
}
