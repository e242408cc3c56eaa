/// The limits of a [`Decoder`](super::Decoder). Each is the largest accepted number of bytes.
///
/// The defaults are far above the needs of an honest stream, and keep a broken or hostile server from filling the memory.
///
/// Besides the pieces that are pushed but not read yet, a decoder holds at most six times the larger of `line` and `event`: the
/// unfinished line, the unfinished data, a second buffer while one of them grows, the event's name, its id, and the last id. Names
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
    /// The limit of one line, without its line end. Default: 16 MiB and 64 bytes, so that one line can hold the data of any event.
    pub line: usize,
    /// The limit of the data of one event, with its lines joined. Default: 16 MiB.
    pub event: usize,
    /// The limit of the whole stream. Default: 4 GiB.
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
