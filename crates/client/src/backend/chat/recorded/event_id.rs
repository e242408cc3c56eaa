use bytes::BytesMut;

/// The ids of the events of a run. They consist of a tag for the run and the number of the chunk, as in `1f2e3d4c-57`.
///
/// An `EventSource` sends the last id to the URL of its chat when it reconnects. By then another run may be the current one of
/// the chat, so the id must show its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventIds([u8; Self::TAG]);

impl EventIds {
    /// The number of hex digits of the tag. It is small because the tag is in every event: two runs of a chat have the same tag
    /// once in 2³² times.
    const TAG: usize = 8;

    /// Creates the ids for a run. Only hex digits of the run's id are used, so that no other character can get into the stream.
    pub(super) fn of_run(run: &str) -> Self {
        // An id with fewer digits leaves zeros.
        let mut tag = [b'0'; Self::TAG];
        let digits = run.bytes().filter(u8::is_ascii_hexdigit);
        for (to, digit) in tag.iter_mut().zip(digits) {
            *to = digit;
        }
        Self(tag)
    }

    /// Returns the index of the chunk with this id, or `None` if the id is not one of this run.
    pub(super) fn index(self, id: &str) -> Option<u64> {
        let (tag, index) = id.split_once('-')?;
        if tag.as_bytes() != self.0 {
            return None;
        }
        number(index)
    }

    /// Writes the id of a chunk.
    pub(super) fn write(self, index: u64, to: &mut BytesMut) {
        to.extend_from_slice(&self.0);
        to.extend_from_slice(b"-");
        to.extend_from_slice(digits(index, &mut [0; 20]));
    }
}

/// Parses a number that consists of digits only, without a sign.
pub(super) fn number(text: &str) -> Option<u64> {
    // `parse` alone would accept a `+`.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Formats a number without allocating, since this happens for each event. `u64::MAX` has 20 digits.
fn digits(mut number: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut at = room.len();
    for digit in room.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        at -= 1;
        if number == 0 {
            break;
        }
    }
    room.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(run: &str, index: u64) -> String {
        let mut id = BytesMut::new();
        EventIds::of_run(run).write(index, &mut id);
        String::from_utf8(id.to_vec()).unwrap()
    }

    #[test]
    fn an_id_begins_with_the_first_digits_of_its_run() {
        assert_eq!(id("run-1f2e3d4c5b6a7988", 57), "1f2e3d4c-57");
        assert_eq!(id("run-1", 0), "10000000-0");
        assert_eq!(id("a\nü: x", u64::MAX), "a0000000-18446744073709551615");
    }

    proptest! {
        #[test]
        fn a_run_finds_its_chunk_by_the_id_and_another_does_not(
            tag in any::<u32>(), rest in any::<u64>(), other in any::<u32>(), index in any::<u64>(),
        ) {
            let of = |tag: u32| format!("run-{tag:08x}{rest:016x}");
            let id = id(&of(tag), index);
            prop_assert_eq!(EventIds::of_run(&of(tag)).index(&id), Some(index));
            if other != tag {
                prop_assert_eq!(EventIds::of_run(&of(other)).index(&id), None);
            }
        }

        #[test]
        fn whatever_the_run_is_called_the_id_is_one_line_of_a_few_characters(run in any::<String>(), index in any::<u64>()) {
            let id = id(&run, index);
            prop_assert!(id.len() <= 29);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'));
            prop_assert_eq!(EventIds::of_run(&run).index(&id), Some(index));
        }
    }
}
