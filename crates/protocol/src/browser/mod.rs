//! What browsers send to a server of yours that speaks to the relay for them: the bodies of its routes.
//!
//! | body | sent by |
//! |---|---|
//! | [`ChatBody`] | `useChat` of the AI SDK, with its `DefaultChatTransport` |
//! | [`TokenBody`] | `createAgentChat` of `@21st-sdk/react` |
//! | [`ThreadBody`] | pages that create threads |
//!
//! They are read as `request.json()` of browsers, Node and Next.js reads them: a byte order mark is passed over, bytes that are not UTF-8
//! become U+FFFD, nesting and numbers have no limit but the body's, strings may hold half a surrogate pair, and of members of one name
//! the last counts. Unlike there, a key that JavaScript gives a meaning is refused, since chunks and messages may not have it.

mod chat_body;
mod error;
mod json_body;
mod thread_body;
mod token_body;

pub use chat_body::{ChatBody, ChatHistory, ChatLimits};
pub use error::BodyError;
pub use thread_body::ThreadBody;
pub use token_body::TokenBody;
