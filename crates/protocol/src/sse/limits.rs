/// How much a [`Decoder`](super::Decoder) takes before it gives up. Each limit is the largest number of bytes that is still taken.
///
/// The defaults are far above what an honest stream needs; they keep a broken or hostile server from filling the memory. Beside the
/// pieces that were pushed and not read yet, a decoder takes at most four times `line` and twice `event`: for the line and the data that
/// have not ended, one of them moving to a larger buffer, and for the event's name, its id and the last id, which are lines each. Names
/// and ids that are not UTF-8 may take three times as much.
///
/// ```
/// use twentyfirst_protocol::sse::{Decoder, Limits, SseError};
///
/// let mut limits = Limits::default();
/// limits.event = 3;
/// let mut decoder = Decoder::with_limits(limits);
/// decoder.push("data: abc\n\ndata: abcd\n\n");
/// assert!(decoder.next_event().is_some_and(|event| event.is_ok()));
/// assert_eq!(decoder.next_event(), Some(Err(SseError::EventTooLong { limit: 3 })));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// One line without its end. 16 MiB and 64 bytes by default, so that one line holds the data of any event.
    pub line: usize,
    /// The data of one event, its lines joined. 16 MiB by default.
    pub event: usize,
    /// All of the stream. 4 GiB by default.
    pub total: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const EVENT: usize = 16 << 20;
        Self {
            line: EVENT + 64,
            event: EVENT,
            total: 4 << 30,
        }
    }
}
