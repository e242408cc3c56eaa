use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem;
use std::ops::{Deref, Range};
use std::time::Duration;

use bytes::Bytes;

use super::{Event, Limits, SseError, UnfinishedEvent};
use crate::scan::{line_end, utf_8};

/// Decodes an event stream while its bytes arrive.
///
/// [`push`](Self::push) the pieces of the body as they arrive, cut anywhere, and call [`next_event`](Self::next_event) until it
/// returns `None`. After the end of the body, [`finish`](Self::finish) reports whether it ended inside an event. The events never
/// depend on how the bytes were cut.
///
/// The work for each byte is a small constant. Data on one line within one piece is borrowed from that piece. Only data of several
/// lines, and data that the end of a piece cuts, is copied.
///
/// ```text
///  push ─► queue ─► piece ─┬─ whole line ──────────► end_of_line ─┬─ data ──────────────► a range of `piece`, or `data_buffer`
///                          └─ cut line ─► `line` ─►               ├─ event, id, retry ──► their fields
///                                                                 └─ blank ─► end_of_event ─► an event, lent to the caller
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    limits: Limits,
    /// The current piece.
    piece: Bytes,
    /// The position in `piece` from which it is still to be read.
    at: usize,
    /// The pieces after it.
    queue: VecDeque<Bytes>,
    /// The number of bytes of the stream that have been in `piece`, for [`Limits::total`].
    taken: u64,
    /// Whether the stream continues after `piece`, but beyond [`Limits::total`].
    over_total: bool,

    /// The beginning of a line whose end has not arrived.
    line: Buffer,
    /// Whether the last line ended with a carriage return. A line feed after it belongs to the same line end.
    after_carriage_return: bool,
    /// Whether the first line has ended. Only that line may begin with a byte order mark.
    begun: bool,

    data: Data,
    /// The data of [`Data::InBuffer`].
    data_buffer: Buffer,
    /// The name of the event so far. Empty if it has none.
    name: String,
    /// The id of the event so far. It becomes `last_event_id` at the blank line, and not before: an unfinished event has no effect.
    new_id: Option<String>,
    /// Whether the event in the fields above is complete and lent to the caller. The next call clears them.
    lent: bool,

    last_event_id: Option<String>,
    retry: Option<Duration>,
    /// Whether a limit was exceeded. Everything is ignored then, until `finish`.
    failed: bool,
    #[cfg(test)]
    scanned: usize,
}

/// The data of the event so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Data {
    #[default]
    None,
    /// One line, in the current piece.
    InPiece(Range<usize>),
    /// In `data_buffer`, from this byte: a cut line is moved there with its field name before it.
    InBuffer(usize),
}

/// The place of a line.
enum Line {
    InPiece(Range<usize>),
    InBuffer,
}

impl Decoder {
    /// Creates a decoder at the beginning of a stream, with the default [`Limits`].
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// Creates a decoder at the beginning of a stream.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Adds the next piece of the body. Then call [`next_event`](Self::next_event) until it returns `None`.
    pub fn push(&mut self, piece: impl Into<Bytes>) {
        if self.failed {
            return;
        }
        self.forget_lent_event();
        if self.piece.is_empty() && self.queue.is_empty() && !self.over_total {
            // The usual case: everything before was read, so the piece need not pass through the queue.
            self.take(piece.into());
        } else {
            self.queue.push_back(piece.into());
        }
    }

    /// Returns the next event; `None` if more bytes are needed.
    ///
    /// # Errors
    /// The stream exceeds the [`Limits`]. It cannot be decoded further: there are no more events, and pushed bytes are ignored,
    /// until [`finish`](Self::finish) resets the decoder for another stream.
    pub fn next_event(&mut self) -> Option<Result<Event<'_>, SseError>> {
        match self.advance()? {
            Ok(()) => Some(Ok(self.event())),
            Err(error) => Some(Err(error)),
        }
    }

    /// Ends the body, and resets the decoder for the next one.
    ///
    /// Call it after [`next_event`](Self::next_event) has returned `None`: events that were not taken before are lost.
    /// [`last_event_id`](Self::last_event_id) and [`retry`](Self::retry) are kept, because they are meant for the next
    /// connection.
    ///
    /// # Errors
    /// The stream ended inside an event, which is dropped, as the standard says. No error after one from
    /// [`next_event`](Self::next_event).
    pub fn finish(&mut self) -> Result<(), UnfinishedEvent> {
        self.forget_lent_event();
        let unread = self.piece.len() - self.at + self.queue.iter().map(Bytes::len).sum::<usize>();
        // A comment is not part of an event, so a stream may end within one.
        let line = if self.line.first() == Some(&b':') {
            0
        } else {
            self.line.len()
        };
        let bytes = self.data_bytes().len()
            + self.name.len()
            + self.new_id.as_ref().map_or(0, String::len)
            + line
            + unread;
        let unfinished = bytes > 0 || self.data != Data::None || self.new_id.is_some();
        self.reset();
        if unfinished {
            Err(UnfinishedEvent { bytes })
        } else {
            Ok(())
        }
    }

    /// Returns the id of the last event that had one. A client sends it as `last-event-id` when it reconnects.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// Returns the time that the server asks clients to wait before they reconnect, if it has sent one.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Reads up to the end of the next event. Until the next call, [`data_bytes`](Self::data_bytes) and [`event`](Self::event)
    /// are those of that event.
    pub(crate) fn advance(&mut self) -> Option<Result<(), SseError>> {
        if self.failed {
            return None;
        }
        self.forget_lent_event();
        let found = self.find_event();
        if let Some(Err(_)) = found {
            // Release everything that is held: it is never read after an error.
            self.reset();
            self.failed = true;
        }
        found
    }

    /// Returns the unread bytes after `data: `, if the piece goes on with the first data line of an event.
    ///
    /// For a reader that finds the end of the data itself, such as the end of a JSON value: it need not search for the line end
    /// first. It then calls [`skip_event`](Self::skip_event).
    pub(crate) fn peek_data(&mut self) -> Option<&[u8]> {
        self.forget_lent_event();
        let rest = self.piece.get(self.at..).unwrap_or_default();
        // Neither within a line that an earlier piece began, nor after the first data line of an event.
        if self.line.is_empty() && self.data == Data::None {
            rest.strip_prefix(DATA)
        } else {
            None
        }
    }

    /// Ends the event that [`peek_data`](Self::peek_data) showed, with data of this length, as [`advance`](Self::advance) would.
    ///
    /// Returns `false`, and changes nothing, if two line feeds do not follow the data in this piece, or a limit is exceeded.
    pub(crate) fn skip_event(&mut self, length: usize) -> bool {
        let start = self.at + DATA.len();
        let end = start + length;
        let skipped = self.piece.get(end..end + 2) == Some(b"\n\n")
            && length <= self.limits.event
            && length + DATA.len() <= self.limits.line;
        if skipped {
            self.begun = true;
            self.after_carriage_return = false;
            self.at = end + 2;
            self.data = Data::InPiece(start..end);
            self.end_of_event();
        }
        skipped
    }

    /// Returns the data of the event that was found.
    pub(crate) fn data_bytes(&self) -> &[u8] {
        match &self.data {
            Data::None => None,
            Data::InPiece(range) => self.piece.get(range.clone()),
            Data::InBuffer(start) => self.data_buffer.get(*start..),
        }
        .unwrap_or_default()
    }

    fn event(&self) -> Event<'_> {
        Event {
            event: (!self.name.is_empty()).then_some(Cow::Borrowed(&*self.name)),
            data: match utf_8(self.data_bytes()) {
                Some(data) => Cow::Borrowed(data),
                None => String::from_utf8_lossy(self.data_bytes()),
            },
            id: self.last_event_id.as_deref().map(Cow::Borrowed),
        }
    }

    /// Returns to the beginning of a stream, and keeps the values for the next connection.
    fn reset(&mut self) {
        *self = Self {
            limits: self.limits,
            last_event_id: self.last_event_id.take(),
            retry: self.retry,
            ..Self::default()
        };
    }

    fn forget_lent_event(&mut self) {
        if mem::take(&mut self.lent) {
            if let Data::InBuffer(_) = self.data {
                // Use the memory of this data for the next cut line, because it is still in the processor's cache.
                mem::swap(&mut self.line, &mut self.data_buffer);
                self.line.clear();
            }
            self.data = Data::None;
            self.name.clear();
        }
    }

    fn find_event(&mut self) -> Option<Result<(), SseError>> {
        loop {
            let rest = self.piece.get(self.at..).unwrap_or_default();
            let Some(&first) = rest.first() else {
                // Only now, after all bytes within the limit were read.
                if self.over_total {
                    return Some(Err(SseError::StreamTooLong {
                        limit: self.limits.total,
                    }));
                }
                if !self.piece.is_empty() {
                    // Release the piece as soon as it is read: the reader of the body can reuse its memory only then.
                    self.move_data_to_buffer();
                    self.piece = Bytes::new();
                    self.at = 0;
                }
                let piece = self.queue.pop_front()?;
                self.take(piece);
                continue;
            };
            // A line feed after a carriage return belongs to the same line end, even if a new piece begins between them.
            if mem::take(&mut self.after_carriage_return) && first == b'\n' {
                self.at += 1;
                continue;
            }
            let end = match first {
                b'\n' | b'\r' => Some(0),
                _ => line_end(rest),
            };
            let length = end.unwrap_or(rest.len());
            #[cfg(test)]
            {
                self.scanned += length + 1;
            }
            // Check before the bytes are copied, so that a line beyond the limit never takes memory.
            if self.line.len() + length > self.limits.line {
                return Some(Err(SseError::LineTooLong {
                    limit: self.limits.line,
                }));
            }
            let start = self.at;
            // Only a line that a piece cuts is copied. A whole line is read in its piece.
            if end.is_none() || !self.line.is_empty() {
                let line = rest.get(..length).unwrap_or_default();
                self.line.append(line, self.limits.line);
            }
            if end.is_none() {
                self.at += length;
                continue;
            }
            self.at += length + 1;
            self.after_carriage_return = rest.get(length) == Some(&b'\r');
            let line = if self.line.is_empty() {
                Line::InPiece(start..start + length)
            } else {
                Line::InBuffer
            };
            match self.end_of_line(line) {
                Ok(false) => {}
                Ok(true) => return Some(Ok(())),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Decoder {
    /// Continues with a piece, after the one before it has been read and released.
    #[inline]
    fn take(&mut self, piece: Bytes) {
        self.piece = piece;
        let left = self.limits.total - self.taken;
        // Read the bytes within the limit before the error, so that the events do not depend on how the bytes were cut.
        if self.piece.len() as u64 > left {
            self.piece.truncate(left as usize);
            self.over_total = true;
        }
        self.taken += self.piece.len() as u64;
    }

    /// Processes a line by the rules of the standard. Returns whether it completes an event.
    fn end_of_line(&mut self, line: Line) -> Result<bool, SseError> {
        let mut bytes = match &line {
            Line::InPiece(range) => self.piece.get(range.clone()).unwrap_or_default(),
            Line::InBuffer => &self.line,
        };
        // Not before the first line is whole, because a piece may end within the mark.
        if !mem::replace(&mut self.begun, true) {
            bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        }
        let completes = match split_field(bytes) {
            (Field::Data, value) => {
                let length = value.len();
                self.end_of_data_line(line, length)?;
                false
            }
            (Field::Event, value) => {
                let name = String::from_utf8_lossy(value);
                self.name.clear();
                // Exactly, because `push_str` alone may reserve twice the length of a line.
                self.name.reserve_exact(name.len());
                self.name.push_str(&name);
                false
            }
            (Field::Id, value) => {
                // The standard ignores an id that contains a NUL.
                if memchr::memchr(0, value).is_none() {
                    self.new_id = Some(String::from_utf8_lossy(value).into_owned());
                }
                false
            }
            (Field::Retry, value) => {
                // Any other value leaves the time unchanged, by the standard.
                if let Some(retry) = milliseconds(value) {
                    self.retry = Some(retry);
                }
                false
            }
            (Field::Ignored, _) => false,
            (Field::None, _) => self.end_of_event(),
        };
        self.line.clear();
        Ok(completes)
    }

    /// Adds the last `length` bytes of a data line, its value, to the data of the event.
    fn end_of_data_line(&mut self, line: Line, length: usize) -> Result<(), SseError> {
        let before = match &self.data {
            Data::None => 0,
            Data::InPiece(range) => range.len() + 1,
            Data::InBuffer(start) => self.data_buffer.len() - start + 1,
        };
        if before + length > self.limits.event {
            return Err(SseError::EventTooLong {
                limit: self.limits.event,
            });
        }
        match (&self.data, line) {
            (Data::None, Line::InPiece(line)) => {
                // Nearly all events are a single line, which is lent from the piece without a copy.
                self.data = Data::InPiece(line.end - length..line.end);
            }
            (Data::None, Line::InBuffer) => {
                // Swap the buffers instead of copying the value.
                mem::swap(&mut self.line, &mut self.data_buffer);
                self.data = Data::InBuffer(self.data_buffer.len() - length);
            }
            (Data::InPiece(_) | Data::InBuffer(_), line) => {
                self.move_data_to_buffer();
                let value = match line {
                    Line::InPiece(line) => self.piece.get(line.end - length..line.end),
                    Line::InBuffer => self.line.get(self.line.len() - length..),
                };
                let event = self.limits.event;
                self.data_buffer.append(b"\n", event);
                self.data_buffer.append(value.unwrap_or_default(), event);
            }
        }
        Ok(())
    }

    fn move_data_to_buffer(&mut self) {
        if let Data::InPiece(range) = &self.data {
            self.data_buffer.clear();
            let data = self.piece.get(range.clone()).unwrap_or_default();
            self.data_buffer.append(data, self.limits.event);
            self.data = Data::InBuffer(0);
        }
    }

    /// Processes a blank line by the rules of the standard. Returns whether there is an event for the caller.
    fn end_of_event(&mut self) -> bool {
        // An id counts even if the event has no data and is not dispatched (HTML standard, section 9.2.6).
        if let Some(id) = self.new_id.take() {
            self.last_event_id = Some(id);
        }
        if self.data == Data::None {
            // By the standard, such an event is not dispatched, and its name does not apply to the next one.
            self.name.clear();
            return false;
        }
        self.lent = true;
        true
    }
}

/// The beginning of nearly all events.
const DATA: &[u8] = b"data: ";

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

enum Field {
    Data,
    Event,
    Id,
    Retry,
    /// A comment, or a field that is not in the standard.
    Ignored,
    /// The line is blank.
    None,
}

/// Splits a line into its field and value.
fn split_field(line: &[u8]) -> (Field, &[u8]) {
    if let Some(value) = line.strip_prefix(DATA) {
        return (Field::Data, value);
    }
    if line.is_empty() {
        return (Field::None, line);
    }
    let (name, value) = match memchr::memchr(b':', line) {
        Some(colon) => line.split_at(colon),
        None => (line, &[][..]),
    };
    let value = value.strip_prefix(b":").unwrap_or(value);
    let value = value.strip_prefix(b" ").unwrap_or(value);
    let field = match name {
        b"data" => Field::Data,
        b"event" => Field::Event,
        b"id" => Field::Id,
        b"retry" => Field::Retry,
        _ => Field::Ignored,
    };
    (field, value)
}

/// Parses a number of milliseconds; `None` if the value is not only digits. A number beyond `u64::MAX` becomes `u64::MAX`.
fn milliseconds(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = value.iter().fold(0u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Some(Duration::from_millis(number))
}

/// Bytes that are copied from pieces.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    #[cfg(test)]
    copied: usize,
}

impl Buffer {
    /// Appends bytes. A buffer that is too small doubles, but only up to `most` unless the bytes need more.
    fn append(&mut self, bytes: &[u8], most: usize) {
        let needed = self.bytes.len() + bytes.len();
        #[cfg(test)]
        let grows = needed > self.bytes.capacity();
        if needed > self.bytes.capacity() {
            let capacity = (2 * self.bytes.capacity()).min(most).max(needed);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        #[cfg(test)]
        {
            self.copied += bytes.len() + if grows { self.bytes.len() } else { 0 };
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn clear(&mut self) {
        self.bytes.clear();
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `stream` in pieces. Returns the bytes scanned and copied for each of its bytes, and the number of events.
    fn work(stream: &[u8], piece: usize) -> (f64, f64, usize) {
        let mut decoder = Decoder::new();
        let mut events = 0;
        for piece in stream.chunks(piece) {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(event) = decoder.next_event() {
                event.unwrap();
                events += 1;
            }
        }
        let scanned = decoder.scanned;
        let copied = decoder.line.copied + decoder.data_buffer.copied;
        decoder.finish().unwrap();
        let per_byte = |work: usize| work as f64 / stream.len() as f64;
        (per_byte(scanned), per_byte(copied), events)
    }

    #[test]
    fn the_work_for_each_byte_is_a_small_constant() {
        let large = format!("data: {}\n\n", "x".repeat(16 << 20));
        let (scanned, copied, events) = work(large.as_bytes(), 1 << 10);
        assert_eq!(events, 1);
        assert!((0.9..1.1).contains(&scanned), "{scanned}");
        // The data itself, and the bytes that the buffer moves as it doubles.
        assert!((0.9..3.1).contains(&copied), "{copied}");

        for (name, stream, events) in [
            (
                "many lines",
                "data: one line of many\n".repeat(10_000) + "\n",
                1,
            ),
            ("many events", "data: {\"a\":1}\n\n".repeat(10_000), 10_000),
            ("comments", ": still here\n\n".repeat(10_000), 0),
            (
                "all fields",
                "event: e\r\nid: 7\r\ndata: x\r\n\r\n".repeat(5_000),
                5_000,
            ),
        ] {
            for piece in [1, 7, 1 << 10, 16 << 10, usize::MAX] {
                let (scanned, copied, seen) = work(stream.as_bytes(), piece);
                assert_eq!(seen, events, "{name} in {piece}");
                assert!(
                    (0.5..=2.1).contains(&scanned),
                    "{name} in {piece}: {scanned}"
                );
                assert!(copied <= 3.1, "{name} in {piece}: {copied}");
            }
        }
    }

    #[test]
    fn a_name_never_reserves_more_than_its_line() {
        let mut decoder = Decoder::new();
        for length in [1_000, 1_001] {
            decoder.push(format!("event: {}\n", "n".repeat(length)));
            assert!(decoder.next_event().is_none());
            assert_eq!(decoder.name.len(), length);
            assert!(decoder.name.capacity() <= 1_001);
        }
    }

    #[test]
    fn an_event_in_one_piece_is_not_copied() {
        let (_, copied, events) = work("data: {\"a\":1}\n\n".repeat(100).as_bytes(), usize::MAX);
        assert_eq!((copied, events), (0.0, 100));
    }
}
