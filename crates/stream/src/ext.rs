use http_body::Body;

use crate::{SseEvents, UiChunks, UiMessages};

/// Reads a body as a stream. Every [`Body`] has these methods.
pub trait BodyStreamExt: Body {
    /// The events of this body, which is an event stream (`text/event-stream`).
    fn sse_events(self) -> SseEvents<Self>
    where
        Self: Sized,
    {
        SseEvents::new(self)
    }

    /// The chunks of this body, which is a UI message stream.
    fn ui_chunks(self) -> UiChunks<Self>
    where
        Self: Sized,
    {
        UiChunks::new(self)
    }

    /// The message that the chunks of this body describe, again and again as it grows.
    fn ui_messages(self) -> UiMessages<Self>
    where
        Self: Sized,
    {
        UiMessages::new(self)
    }
}

impl<B: Body> BodyStreamExt for B {}
