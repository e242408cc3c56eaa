use std::borrow::Cow;

use bytes::Bytes;

use super::EncodeError;

/// One event of an event stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The event's name; `None` means the standard's default, `message`.
    pub event: Option<Cow<'a, str>>,
    /// The data, with its lines joined by line feeds.
    pub data: Cow<'a, str>,
    /// The last event id: the id of this event or, if it has none, of the last event before it that had one. `None` if no event had
    /// one; empty if an event has reset it.
    pub id: Option<Cow<'a, str>>,
}

impl<'a> Event<'a> {
    /// Creates an event with data, and without name and id.
    pub fn new(data: impl Into<Cow<'a, str>>) -> Self {
        Self {
            event: None,
            data: data.into(),
            id: None,
        }
    }

    /// Sets the event's name. Decoders ignore an empty one.
    #[must_use]
    pub fn event(mut self, event: impl Into<Cow<'a, str>>) -> Self {
        self.event = Some(event.into());
        self
    }

    /// Sets the event's id. It applies to later events until one sets another; an empty id resets it.
    #[must_use]
    pub fn id(mut self, id: impl Into<Cow<'a, str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Returns the event without borrows.
    pub fn into_owned(self) -> Event<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Event {
            event: self.event.map(own),
            data: own(self.data),
            id: self.id.map(own),
        }
    }

    /// Encodes the event as bytes of an event stream.
    ///
    /// A decoder returns the same event, with two exceptions: all line breaks in the data become line feeds, and an event without
    /// an id has the last id of the events before it.
    ///
    /// # Errors
    /// The name or the id contains a line break, or the id a NUL.
    ///
    /// ```
    /// use twentyfirst_protocol::sse::Event;
    ///
    /// assert_eq!(Event::new("one\ntwo").event("tick").encode()?, "event: tick\ndata: one\ndata: two\n\n");
    /// # Ok::<(), twentyfirst_protocol::sse::EncodeError>(())
    /// ```
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut out = String::with_capacity(self.data.len() + 8);
        if let Some(event) = &self.event {
            if event.contains(['\r', '\n']) {
                return Err(EncodeError::Name);
            }
            field("event: ", event, &mut out);
        }
        if let Some(id) = &self.id {
            if id.contains(['\r', '\n', '\0']) {
                return Err(EncodeError::Id);
            }
            field("id: ", id, &mut out);
        }
        lines("data: ", &self.data, &mut out);
        out.push('\n');
        Ok(out.into())
    }
}

/// Encodes a comment as bytes of an event stream. Clients ignore it; servers send it to keep a connection alive.
///
/// ```
/// use twentyfirst_protocol::sse::encode_comment;
///
/// assert_eq!(encode_comment("still here"), ": still here\n\n");
/// ```
pub fn encode_comment(comment: &str) -> Bytes {
    let mut out = String::with_capacity(comment.len() + 4);
    lines(": ", comment, &mut out);
    out.push('\n');
    out.into()
}

/// Writes each line of `text` as a field of its own, for all three line ends of the format.
fn lines(name: &str, text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(end) = rest.find(['\r', '\n']) {
        let (line, ended) = rest.split_at(end);
        field(name, line, out);
        rest = ended
            .strip_prefix("\r\n")
            .or_else(|| ended.get(1..))
            .unwrap_or_default();
    }
    field(name, rest, out);
}

fn field(name: &str, value: &str, out: &mut String) {
    out.extend([name, value, "\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_break_begins_a_new_line() {
        assert_eq!(
            Event::new("a\rb\r\nc\n\nd\n").encode().unwrap(),
            "data: a\ndata: b\ndata: c\ndata: \ndata: d\ndata: \n\n"
        );
        assert_eq!(encode_comment("a\nb"), ": a\n: b\n\n");
    }

    #[test]
    fn names_and_ids_are_on_one_line() {
        assert_eq!(
            Event::new("").event("a\nb").encode(),
            Err(EncodeError::Name)
        );
        assert_eq!(Event::new("").id("a\rb").encode(), Err(EncodeError::Id));
        assert_eq!(Event::new("").id("a\0b").encode(), Err(EncodeError::Id));
    }
}
