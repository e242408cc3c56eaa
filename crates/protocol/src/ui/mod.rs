//! The UI message stream of the AI SDK: chunks, and the messages that they build.
