/// The limits of a [`Decoder`](super::Decoder). Each is the largest accepted number of bytes.
///
/// The defaults are far above the needs of an honest stream and keep a broken or hostile server from filling the memory. Beside
/// the pieces that were pushed and not read yet, a decoder holds at most four times `line` and twice `event`: the line and the
/// data that have not ended, one of them while it moves to a larger buffer, and the event's name, its id and the last id, one
/// line each. Names and ids that are not UTF-8 may take three times as much.
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
    /// One line without its end. Default: 16 MiB and 64 bytes, so that one line holds the data of any event.
    pub line: usize,
    /// The data of one event, its lines joined. Default: 16 MiB.
    pub event: usize,
    /// The whole stream. Default: 4 GiB.
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
