use percent_encoding::percent_decode_str;
use twentyfirst_protocol::browser::BodyError;

use crate::backend::Refusal;

/// Returns the path before `/stream` at the end of a path, which may have a trailing slash.
pub(super) fn stream_of(path: &str) -> Option<&str> {
    path.strip_suffix('/')
        .unwrap_or(path)
        .strip_suffix("/stream")
}

/// Returns the id in `/…/{id}/stream`.
pub(super) fn chat_id(path: &str) -> Result<Option<String>, Refusal> {
    let Some(chat) = stream_of(path) else {
        return Ok(None);
    };
    match chat.rsplit('/').next() {
        None | Some("") => Err(Refusal::bad_request("the chat has no `id`")),
        Some(id) => percent_decode_str(id)
            .decode_utf8()
            .map(|id| Some(id.into_owned()))
            .map_err(|_| BodyError::NotUtf8.into()),
    }
}
