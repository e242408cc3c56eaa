use http::response::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize, Serializer};

use super::{Messages, RunOptions};
use crate::error::{InvalidRequest, InvalidResponse, Problem, ResponseError};
use crate::open::open_enum;
use crate::operation::{Head, StreamingOperation, decode_no_stream, decode_with};
use crate::{Endpoint, Route, SandboxId, ThreadId, Timeouts, VaultId, content_coding, tolerant};

/// A request that sends messages to an agent in an existing sandbox, and starts a run.
///
/// Most users want [`StartRun`](super::StartRun), which creates what is missing. Three properties of the relay to know:
///
/// - If this agent has no sandbox with that id, the relay **creates** one under it, even if another agent has such a sandbox:
///   then two paid machines exist under one id. [`StartRun::look_first`](super::StartRun::look_first) checks this first.
/// - Without a thread, the relay takes the sandbox's newest.
/// - A second call on a thread that is streaming is accepted and corrupts its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct SendMessages {
    /// The slug of the agent.
    pub agent: String,
    /// The conversation, with the next turn at its end. The whole request is limited to 10 MiB, images included; a longer one is
    /// rejected before it is sent.
    pub messages: Messages,
    /// The sandbox, which must belong to this agent.
    pub sandbox_id: SandboxId,
    /// The thread. Default: the sandbox's newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    /// The name of the thread that the relay creates if the sandbox has none. Default: [named after the
    /// turn](crate::threads::name_after).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The mode of the run. By default the answer is streamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The vaults with the credentials for this run. Duplicates are not sent.
    #[serde(
        default,
        serialize_with = "without_duplicates",
        skip_serializing_if = "Option::is_none"
    )]
    pub vault_ids: Option<Vec<VaultId>>,
    /// The id of the user whose vault is used. With a token it must be the token's `endUserId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_user_id: Option<String>,
    /// The settings of the agent that this run overrides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<RunOptions>,
}

impl SendMessages {
    /// Creates a request to this agent in this sandbox.
    pub fn new(
        agent: impl Into<String>,
        sandbox_id: impl Into<SandboxId>,
        messages: impl Into<Messages>,
    ) -> Self {
        Self {
            agent: agent.into(),
            messages: messages.into(),
            sandbox_id: sandbox_id.into(),
            thread_id: None,
            name: None,
            mode: None,
            vault_ids: None,
            external_user_id: None,
            options: None,
        }
    }

    /// Sets the thread of the sandbox.
    pub fn thread_id(mut self, thread_id: impl Into<ThreadId>) -> Self {
        self.thread_id = Some(thread_id.into());
        self
    }

    /// Sets the name of the thread that the relay creates if the sandbox has none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the mode of the run.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Sets the vaults with the credentials for this run. Each is sent once, in this order.
    pub fn vault_ids(mut self, vault_ids: impl IntoIterator<Item = VaultId>) -> Self {
        self.vault_ids = Some(vault_ids.into_iter().collect());
        self
    }

    /// Sets the id of the user whose vault is used.
    pub fn external_user_id(mut self, user_id: impl Into<String>) -> Self {
        self.external_user_id = Some(user_id.into());
        self
    }

    /// Sets the settings of the agent that this run overrides.
    pub fn options(mut self, options: RunOptions) -> Self {
        self.options = Some(options);
        self
    }
}

fn without_duplicates<S: Serializer>(
    vault_ids: &Option<Vec<VaultId>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut unique: Vec<&VaultId> = Vec::new();
    for vault_id in vault_ids.iter().flatten() {
        if !unique.contains(&vault_id) {
            unique.push(vault_id);
        }
    }
    unique.serialize(serializer)
}

impl Endpoint for SendMessages {
    const ROUTE: Route = Route::post("/v1/chat/{agent}");

    fn timeouts(&self) -> Timeouts {
        Timeouts::stream()
    }

    fn validate(&self) -> Result<(), InvalidRequest> {
        if self.agent.is_empty() {
            return Err(InvalidRequest::new("agent", Problem::Empty));
        }
        self.messages.validate()?;
        self.options.as_ref().map_or(Ok(()), RunOptions::validate)
    }
}

impl StreamingOperation for SendMessages {
    type Output = SendResponse;

    fn decode_head(&self, head: &Parts) -> Head<SendResponse> {
        match (head.status, self.mode) {
            // Relays without this mode stream the answer. The run has started, which is all that was requested.
            (StatusCode::OK, Some(Mode::Background)) if is_event_stream(&head.headers) => {
                Head::Open(SendResponse::Background(BackgroundRun {
                    thread_id: self.thread_id.clone(),
                    sandbox_id: self.sandbox_id.clone(),
                    status: RunStatus::Running,
                }))
            }
            (StatusCode::OK, None) if is_readable_event_stream(&head.headers) => {
                Head::Open(SendResponse::Streaming)
            }
            _ => Head::Read,
        }
    }

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<SendResponse, ResponseError> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Response {
            #[serde(default, deserialize_with = "tolerant::or_default")]
            thread_id: Option<ThreadId>,
            #[serde(default, deserialize_with = "tolerant::or_default")]
            sandbox_id: Option<SandboxId>,
            #[serde(default, deserialize_with = "tolerant::or_default")]
            status: RunStatus,
        }

        if head.status == StatusCode::OK {
            return Err(decode_no_stream(self, head, body, NOT_AN_EVENT_STREAM));
        }
        decode_with(self, head, body, |body| {
            // The run has started, so fields that the response omits keep their requested values.
            let Response {
                thread_id,
                sandbox_id,
                status,
            } = match tolerant::from_slice(body) {
                Ok(response) => response,
                // The same holds if the body is missing or cut off. A cut body is not parsed for ids: half an id would be another
                // one.
                Err(_) if head.status == StatusCode::ACCEPTED && may_be_cut(body) => {
                    Response::default()
                }
                Err(error) => return Err(InvalidResponse::new(head, error, body)),
            };
            Ok(SendResponse::Background(BackgroundRun {
                thread_id: thread_id.or_else(|| self.thread_id.clone()),
                sandbox_id: sandbox_id.unwrap_or_else(|| self.sandbox_id.clone()),
                status,
            }))
        })
    }
}

/// Returns whether this may be the beginning of a JSON object.
fn may_be_cut(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start(), [] | [b'{', ..])
}

pub(super) const NOT_AN_EVENT_STREAM: &str = "the content is not an event stream";

/// Returns whether the body is an event stream that is not compressed.
pub(super) fn is_readable_event_stream(headers: &HeaderMap) -> bool {
    is_event_stream(headers) && content_coding::unreadable(headers).is_none()
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("text/event-stream"))
}

/// The relay's response to messages.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendResponse {
    /// The run has started, and the body is its stream.
    Streaming,
    /// The run has started in the background.
    Background(BackgroundRun),
}

/// The way in which the answer is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Mode {
    /// The answer is only stored; the call returns when the run has started.
    Background,
}

/// A run in the background.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BackgroundRun {
    /// The thread of the run. It is unknown only if the relay chose the thread and did not name it.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub thread_id: Option<ThreadId>,
    /// The sandbox of the run.
    pub sandbox_id: SandboxId,
    /// The state of the run.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub status: RunStatus,
}

impl BackgroundRun {
    /// Creates a run that has started.
    pub fn running(sandbox_id: SandboxId, thread_id: ThreadId) -> Self {
        Self {
            thread_id: Some(thread_id),
            sandbox_id,
            status: RunStatus::Running,
        }
    }
}

open_enum! {
    /// The state of a background run. The list is open: other values are carried as `Other`.
    RunStatus {
        /// The run has started.
        Running = "running",
    }
}
