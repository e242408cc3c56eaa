use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Chunk;

/// The data of the event that ends a UI message stream.
pub(super) const DONE: &str = "[DONE]";

impl Chunk<'_> {
    /// Encodes the chunk as an event of a UI message stream, ready to be sent.
    ///
    /// ```
    /// use twentyfirst_protocol::ui::Chunk;
    ///
    /// assert_eq!(Chunk::StartStep.encode_event(), "data: {\"type\":\"start-step\"}\n\n");
    /// ```
    pub fn encode_event(&self) -> Bytes {
        let mut event = String::from("data: ");
        self.encode_into(&mut event);
        event.push_str("\n\n");
        event.into()
    }
}

/// Encodes the event that ends a UI message stream: `[DONE]`.
pub fn encode_done() -> Bytes {
    Bytes::from_static(b"data: [DONE]\n\n")
}

/// Returns the headers of a response whose body is a UI message stream.
///
/// They give the content type and the version of the protocol, and ask proxies not to cache or buffer the events. They are the AI
/// SDK's headers without `connection`, which does not describe the content.
pub fn response_headers() -> HeaderMap {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (
            HeaderName::from_static("x-vercel-ai-ui-message-stream"),
            "v1",
        ),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    HEADERS
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse;
    use crate::ui::{RawJson, chunk::MessageMetadata};

    #[test]
    fn pretty_json_stays_one_line() {
        let pretty = RawJson::parse("{\r\n  \"a\": 1\n}").unwrap();
        let chunk = Chunk::from(MessageMetadata::new().message_metadata(pretty));
        let event = chunk.encode_event();
        assert_eq!(
            event,
            "data: {\"type\":\"message-metadata\",\"messageMetadata\":{\"a\":1}}\n\n"
        );
    }

    #[test]
    fn the_last_event_is_an_event() {
        let mut decoder = sse::Decoder::new();
        decoder.push(encode_done());
        assert_eq!(decoder.next_event(), Some(Ok(sse::Event::new(DONE))));
    }
}
