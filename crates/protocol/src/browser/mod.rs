//! The bodies that browsers send to a server of yours, which calls the relay for them.
//!
//! | body | sent by |
//! |---|---|
//! | [`ChatBody`] | `useChat` of the AI SDK, with its `DefaultChatTransport` |
//! | [`TokenBody`] | `createAgentChat` of `@21st-sdk/react` |
//! | [`ThreadBody`] | pages that create threads |
//!
//! Bodies are read like `request.json()` of browsers, Node and Next.js: a byte order mark is skipped, bytes that are not UTF-8
//! become U+FFFD, nesting and numbers are only limited by the size of the body, strings may contain half a surrogate pair, and
//! the last member of a name counts. Unlike there, a key with a special meaning in JavaScript is refused, since chunks and
//! messages may not have it.

mod chat_body;
mod error;
mod json_body;
mod thread_body;
mod token_body;

pub use chat_body::{ChatBody, ChatHistory, ChatLimits};
pub use error::BodyError;
pub use thread_body::ThreadBody;
pub use token_body::TokenBody;
