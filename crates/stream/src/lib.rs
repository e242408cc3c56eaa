//! Turns any [`http_body::Body`] into the events, chunks and messages of an agent run.
