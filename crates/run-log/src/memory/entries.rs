use bytes::Bytes;
use lz4_flex::block;
use twentyfirst_protocol::run_log::Position;

/// How many entries stand by themselves, until they are packed.
const OPEN: usize = 64;

/// How many bytes are packed at most. A larger entry stands by itself.
const PACK: usize = 64 * 1024;

/// How many entries there is room for at first.
const FIRST_SLOTS: usize = 4;

/// What an allocation takes beside its bytes, and what counts the readers of the bytes.
const ALLOCATION: usize = 64;

/// What a slot in the list of open entries takes.
const SLOT: usize = size_of::<(Position, Bytes)>();

/// The entries of a log, in their order. Old ones are packed and compressed: else short ones, such as a delta that came by itself, would
/// take more for their places and headers than for what they say.
#[derive(Default)]
pub(super) struct Entries {
    packs: Vec<Pack>,
    /// The newest.
    open: Vec<(Position, Bytes)>,
    taken: usize,
}

/// Entries of one epoch, one behind the other.
struct Pack {
    first: Position,
    /// How far behind the first each stands, and where its bytes end.
    places: Box<[(u32, u32)]>,
    packed: Packed,
}

enum Packed {
    /// Too large, or no smaller when compressed: readers share it.
    Plain(Bytes),
    /// By LZ4: readers take copies.
    Compressed(Box<[u8]>),
}

impl Entries {
    /// Returns what they take: an upper bound.
    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    /// Returns what another entry would take more, at most.
    pub(super) fn cost(&self, entry: &Bytes) -> usize {
        // Packs of one entry each take more than their entries, which is so where every entry is of another epoch.
        let packs = match self.open.len() + 1 < OPEN {
            true => 0,
            false => (OPEN + self.packs.len() / 4) * size_of::<Pack>() + OPEN * PLACE,
        };
        self.growth() * SLOT + entry.len() + ALLOCATION + packs
    }

    pub(super) fn last(&self) -> Option<(Position, Bytes)> {
        let packed = || self.packs.last().and_then(|pack| pack.iter().last());
        self.open.last().cloned().or_else(packed)
    }

    pub(super) fn last_position(&self) -> Option<Position> {
        let packed = || self.packs.last().map(Pack::last);
        self.open.last().map(|(at, _)| *at).or_else(packed)
    }

    pub(super) fn get(&self, at: Position) -> Option<Bytes> {
        let found = self.open.binary_search_by_key(&at, |(at, _)| *at);
        if let Ok(index) = found {
            return Some(self.open[index].1.clone());
        }
        let index = self.packs.partition_point(|pack| pack.last() < at);
        let mut entries = self.packs.get(index)?.iter();
        entries.find(|(it, _)| *it == at).map(|(_, entry)| entry)
    }

    /// Returns up to `limit` entries above a position.
    pub(super) fn above(&self, after: Position, limit: usize) -> Vec<(Position, Bytes)> {
        let packs = &self.packs[self.packs.partition_point(|pack| pack.last() <= after)..];
        let packed = packs.iter().flat_map(Pack::iter);
        let start = self.open.partition_point(|(at, _)| *at <= after);
        packed
            .skip_while(|(at, _)| *at <= after)
            .chain(self.open[start..].iter().cloned())
            .take(limit)
            .collect()
    }

    /// Appends an entry, above all others.
    pub(super) fn push(&mut self, at: Position, entry: &Bytes) {
        let before = self.open.capacity();
        self.open.reserve_exact(self.growth().max(1));
        self.taken += (self.open.capacity() - before) * SLOT + entry.len() + ALLOCATION;
        // A copy: the bytes may be a small part of a large buffer, which they would keep.
        self.open.push((at, Bytes::copy_from_slice(entry)));
        if self.open.len() == OPEN {
            self.pack();
        }
    }

    /// How many slots the list of open entries gets more, if another comes.
    fn growth(&self) -> usize {
        match self.open.len() == self.open.capacity() {
            true => self.open.capacity().max(FIRST_SLOTS),
            false => 0,
        }
    }

    fn pack(&mut self) {
        let before = self.packs.capacity();
        let mut rest = self.open.as_slice();
        while !rest.is_empty() {
            let (pack, length) = Pack::of(rest);
            let unpacked: usize = rest[..length].iter().map(|(_, it)| it.len()).sum();
            self.taken -= unpacked + length * ALLOCATION;
            self.taken += pack.taken();
            if self.packs.len() == self.packs.capacity() {
                // Not twice as many: this is room that stays empty.
                let more = (self.packs.len() / 4).max(FIRST_SLOTS);
                self.packs.reserve_exact(more);
            }
            self.packs.push(pack);
            rest = &rest[length..];
        }
        self.taken += (self.packs.capacity() - before) * size_of::<Pack>();
        self.open.clear();
    }
}

/// What a place takes.
const PLACE: usize = size_of::<(u32, u32)>() + ALLOCATION;

impl Pack {
    /// Packs the first of these entries, of which there is one at least, and says how many.
    fn of(entries: &[(Position, Bytes)]) -> (Self, usize) {
        let first = entries[0].0;
        let mut places = Vec::with_capacity(entries.len());
        let mut size = 0;
        for (at, entry) in entries {
            size += entry.len();
            let place = (
                u32::try_from(at.seq.wrapping_sub(first.seq)),
                u32::try_from(size),
            );
            match place {
                (Ok(behind), Ok(end)) if at.epoch == first.epoch && size <= PACK => {
                    places.push((behind, end));
                }
                _ => break,
            }
        }
        if places.len() <= 1 {
            // Its end is not looked at: its bytes are all.
            let pack = Self {
                first,
                places: [(0, 0)].into(),
                packed: Packed::Plain(entries[0].1.clone()),
            };
            return (pack, 1);
        }
        let length = places.len();
        let bytes: Vec<_> = entries[..length]
            .iter()
            .map(|(_, it)| it.as_ref())
            .collect();
        let pack = Self {
            first,
            places: places.into(),
            packed: Packed::of(bytes.concat()),
        };
        (pack, length)
    }

    fn taken(&self) -> usize {
        self.places.len() * size_of::<(u32, u32)>() + self.packed.taken() + 2 * ALLOCATION
    }

    fn bytes(&self) -> Bytes {
        let end = self.places.last().map_or(0, |(_, end)| *end as usize);
        self.packed.bytes(end)
    }

    fn at(&self, behind: u32) -> Position {
        Position::new(self.first.epoch, self.first.seq + u64::from(behind))
    }

    fn last(&self) -> Position {
        self.places
            .last()
            .map_or(self.first, |(behind, _)| self.at(*behind))
    }

    fn iter(&self) -> impl Iterator<Item = (Position, Bytes)> + '_ {
        let bytes = self.bytes();
        let is_one = self.places.len() == 1;
        let mut start = 0;
        self.places.iter().map(move |(behind, end)| {
            let end = if is_one { bytes.len() } else { *end as usize };
            let entry = bytes.slice(start..end);
            start = end;
            (self.at(*behind), entry)
        })
    }
}

impl Packed {
    fn of(bytes: Vec<u8>) -> Self {
        let compressed = block::compress(&bytes);
        // A little less is not worth the time that readers take.
        match compressed.len() < bytes.len() / 8 * 7 {
            true => Self::Compressed(compressed.into()),
            false => Self::Plain(bytes.into()),
        }
    }

    fn taken(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Compressed(compressed) => compressed.len(),
        }
    }

    /// The bytes, which are so many.
    fn bytes(&self, length: usize) -> Bytes {
        match self {
            Self::Plain(bytes) => bytes.clone(),
            Self::Compressed(compressed) => match block::decompress(compressed, length) {
                Ok(bytes) => bytes.into(),
                Err(error) => unreachable!("what was compressed here is not: {error}"),
            },
        }
    }
}
