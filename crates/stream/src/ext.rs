use http_body::Body;

use crate::{SseEvents, UiChunks, UiMessages};

/// Methods that read a body as a stream. Every [`Body`] has them.
pub trait BodyStreamExt: Body {
    /// Reads this body as an event stream (`text/event-stream`).
    fn sse_events(self) -> SseEvents<Self>
    where
        Self: Sized,
    {
        SseEvents::new(self)
    }

    /// Reads this body as the chunks of a UI message stream.
    fn ui_chunks(self) -> UiChunks<Self>
    where
        Self: Sized,
    {
        UiChunks::new(self)
    }

    /// Reads this body as a UI message that grows with each item.
    fn ui_messages(self) -> UiMessages<Self>
    where
        Self: Sized,
    {
        UiMessages::new(self)
    }
}

impl<B: Body> BodyStreamExt for B {}
