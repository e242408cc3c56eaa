use percent_encoding::percent_decode_str;

use super::BodyError;
use super::json_body::{id_of, members, text, text_of};
use crate::SandboxId;
use crate::ui::Text;

/// The body that a page sends to list or create threads: the sandbox, and the name of a new thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadBody {
    /// The sandbox, as claimed by the page. Any client can send any id.
    pub sandbox_id: Option<SandboxId>,
    /// The name of the thread to create.
    pub name: Option<String>,
}

impl ThreadBody {
    /// Reads a body: `{"sandboxId"?, "name"?}`.
    ///
    /// # Errors
    /// The body is not a JSON object, a member is not a string, or the sandbox id is invalid.
    pub fn read(body: impl Into<Vec<u8>>) -> Result<Self, BodyError> {
        let text = text(body.into());
        let [sandbox_id, name] = members(&text, ["sandboxId", "name"])?;
        Ok(Self {
            sandbox_id: id_of("sandboxId", sandbox_id)?
                .map(SandboxId::new)
                .transpose()?,
            // JavaScript cuts text by UTF-16 units, so a shortened name may end with half a character.
            name: text_of("name", name)?.map(|name| Text::into_string_lossy(name.into_owned())),
        })
    }

    /// Reads a query, such as `sandboxId=sb_1`, like `URLSearchParams`: the first value of a name counts.
    ///
    /// # Errors
    /// The sandbox id is not UTF-8, or is invalid.
    pub fn of_query(query: &str) -> Result<Self, BodyError> {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            let decoded = percent_decode_str(&text).decode_utf8();
            decoded.map(String::from).map_err(|_| BodyError::NotUtf8)
        };
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if decode(key).is_ok_and(|key| key == "sandboxId") {
                return Ok(Self {
                    sandbox_id: Some(SandboxId::new(decode(value)?)?),
                    name: None,
                });
            }
        }
        Ok(Self::default())
    }
}
