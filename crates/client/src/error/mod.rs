//! The error of a call or a run: its details here, its text in `display`, and where it comes from in `convert`.

mod convert;
mod display;

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use twentyfirst_protocol::files::WrittenFile;
use twentyfirst_protocol::flow::Sent;
use twentyfirst_protocol::processes::ProcessError;
use twentyfirst_protocol::retry::{GiveUp, Prospect};
use twentyfirst_protocol::run_log::EntryError;
use twentyfirst_protocol::runs::typed::{Answered, NoValue};
use twentyfirst_protocol::runs::{Created, Lost, LostReason, OtherAgent, RunEnd};
use twentyfirst_protocol::sandboxes::PreviewError;
use twentyfirst_protocol::ui::{AssembleError, DecodeError};
use twentyfirst_protocol::{
    ApiError, ErrorCode, InvalidRequest, InvalidResponse, ResponseError, ThreadId,
};
use twentyfirst_transport::{InvalidSetting, Timeout};

use crate::credentials::TokenError;
use crate::transfer::TransferError;

/// The error of a call or a run.
///
/// Its methods return the details: [`status`](Self::status) and [`code`](Self::code) of an error response,
/// [`maybe_sent`](Self::maybe_sent) if there was no response, and [`created`](Self::created) for what exists, and costs money, in
/// spite of the error. `Display` is one clause; the causes are in [`source`](StdError::source). No key, token or environment
/// value is ever shown.
#[derive(Debug)]
pub struct Error {
    /// Boxed, so that results stay small.
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    created: Created,
    written: Vec<WrittenFile>,
    attempts: u32,
    sent: Sent,
    give_up: Option<GiveUp>,
    answers: Vec<Answered>,
}

/// The kinds of errors, in the order of a call's life.
#[derive(Debug)]
enum Kind {
    InvalidRequest(InvalidRequest),
    InvalidSetting(InvalidSetting),
    Transport(twentyfirst_transport::Error),
    /// A failure that another transport or flow reports.
    Other(Box<dyn StdError + Send + Sync>),
    Deadline(Duration),
    ThreadStreaming,
    OtherAgent(OtherAgent),
    Response(ResponseError),
    NotAChunk(DecodeError),
    RunFailed(RunEnd),
    RunCancelled,
    RunLost(Lost),
    StreamUnfinished,
    /// The thread of the other run.
    OtherRun(ThreadId),
    RunStarting,
    MessageTooLong(AssembleError),
    /// The last of the answers has the reason.
    NoValue,
    NotReplayable(Option<Box<dyn StdError + Send + Sync>>),
    ChatUnreadable(EntryError),
    Budget {
        /// The failed action, as a participle.
        action: &'static str,
        cause: Box<dyn StdError + Send + Sync>,
    },
    NotSupervised(Option<Box<dyn StdError + Send + Sync>>),
    /// The id of the run.
    OnEndFailed(String, Option<Box<dyn StdError + Send + Sync>>),
    OpenRunsUnknown(Box<dyn StdError + Send + Sync>),
    Process(ProcessError),
    NoPreview(PreviewError),
    Transfer(TransferError),
}

impl Error {
    /// Returns the status of the response, if there is one.
    pub fn status(&self) -> Option<StatusCode> {
        match &self.inner.kind {
            Kind::Response(error) => Some(error.status()),
            _ => None,
        }
    }

    /// Returns the relay's code for the error, if the response has one.
    pub fn code(&self) -> Option<&ErrorCode> {
        self.api_error()?.code()
    }

    /// Returns the relay's error response, if there was one: its message, its extra members and the beginning of its body.
    pub fn api_error(&self) -> Option<&ApiError> {
        match &self.inner.kind {
            Kind::Response(ResponseError::Api(error)) => Some(error),
            _ => None,
        }
    }

    /// Returns the details of a response that has a success status but cannot be decoded, with the beginning of its body.
    pub fn invalid_response(&self) -> Option<&InvalidResponse> {
        match &self.inner.kind {
            Kind::Response(ResponseError::InvalidResponse(error)) => Some(error),
            _ => None,
        }
    }

    /// Returns the rule that the request broke, if it was not sent because of it.
    pub fn invalid_request(&self) -> Option<&InvalidRequest> {
        match &self.inner.kind {
            Kind::InvalidRequest(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the invalid setting of the transport, if the client was not created because of it: a proxy named by the
    /// environment.
    pub fn invalid_setting(&self) -> Option<&InvalidSetting> {
        match &self.inner.kind {
            Kind::InvalidSetting(error) => Some(error),
            _ => None,
        }
    }

    /// Whether an answer goes on but cannot be replayed elsewhere: the store of the run log failed, or its contents cannot be
    /// read. The cause is in [`source`](StdError::source).
    pub fn is_not_replayable(&self) -> bool {
        matches!(self.inner.kind, Kind::NotReplayable(_))
    }

    /// Whether a message was refused because the run log of its chat contains an entry that cannot be read, perhaps of a newer
    /// version. The cause is in [`source`](StdError::source).
    pub fn is_chat_unreadable(&self) -> bool {
        matches!(self.inner.kind, Kind::ChatUnreadable(_))
    }

    /// Whether a [budget](crate::backend::Budget) could not be checked, or could not record the cost of a run. The cause is in
    /// [`source`](StdError::source).
    pub fn is_budget_unavailable(&self) -> bool {
        matches!(self.inner.kind, Kind::Budget { .. })
    }

    /// Whether runs go on that no other instance would find if this one ended: the store of the run log failed. The cause is in
    /// [`source`](StdError::source).
    pub fn is_not_supervised(&self) -> bool {
        matches!(self.inner.kind, Kind::NotSupervised(_))
    }

    /// Returns the id of a run for which [`ChatHandler::on_end`](crate::backend::ChatHandler::on_end) failed or panicked. Its
    /// error is in [`source`](StdError::source). The function is called again.
    pub fn on_end_failed(&self) -> Option<&str> {
        match &self.inner.kind {
            Kind::OnEndFailed(run, _) => Some(run),
            _ => None,
        }
    }

    /// Whether something that the request names does not exist: a 404, or the relay's 500 for reading a missing file. See
    /// [`ApiError::is_not_found`] for the rule.
    pub fn is_not_found(&self) -> bool {
        match self.api_error() {
            Some(error) => error.is_not_found(),
            None => self.status() == Some(StatusCode::NOT_FOUND),
        }
    }

    /// Whether the same call may succeed later: no response arrived in time, there was no connection, or the relay responded with
    /// a temporary status and no permanent code. See [`Prospect`] for the table.
    ///
    /// It does not say that repeating the call is safe: if [`maybe_sent`](Self::maybe_sent) is `true`, it may have taken effect.
    /// The client has already retried where that was safe; see [`attempts`](Self::attempts). A run that failed, was cancelled or
    /// is lost is not retryable, because repeating the call would start another run.
    pub fn is_retryable(&self) -> bool {
        match &self.inner.kind {
            Kind::Response(ResponseError::Api(error)) => {
                Prospect::of_response(error) == Prospect::Improves
            }
            Kind::Transport(error) => {
                !error.is_body_limit() && !self.token_error().is_some_and(TokenError::is_permanent)
            }
            Kind::Deadline(_) | Kind::RunStarting | Kind::Other(_) => true,
            _ => false,
        }
    }

    /// Whether an agent gave no value of the requested type, not even when it was asked again. See [`answers`](Self::answers) for
    /// its texts.
    pub fn is_no_value(&self) -> bool {
        matches!(self.inner.kind, Kind::NoValue)
    }

    /// Returns the runs that were made for a [value](crate::Typed) before the call failed, first to last: their texts, usage and
    /// cost. Empty for other calls.
    pub fn answers(&self) -> &[Answered] {
        &self.inner.answers
    }

    /// Whether the relay rejected the key or token, with 401 or 403.
    ///
    /// A token URL that refuses to give a token is a different error: see [`TokenError::status`].
    pub fn is_unauthorized(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        )
    }

    /// Whether the relay limits the rate of requests: 429. [`retry_after`](Self::retry_after) returns the delay, if the relay
    /// named one.
    pub fn is_rate_limited(&self) -> bool {
        self.status() == Some(StatusCode::TOO_MANY_REQUESTS)
    }

    /// Whether the relay responded with 409: the resource exists already, or its state does not allow the call.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT)
    }

    /// Whether no connection to the relay could be made.
    pub fn is_connect(&self) -> bool {
        self.transport_error()
            .is_some_and(twentyfirst_transport::Error::is_connect)
    }

    /// Returns the reason why there was no token for the request, for a client that fetches its tokens: see
    /// [`token_url`](crate::AgentClientBuilder::token_url).
    pub fn token_error(&self) -> Option<&TokenError> {
        self.transport_error()?.source()?.downcast_ref()
    }

    /// Whether a time limit was exceeded: a timeout of an exchange, the deadline of the call, a limit of following a run or of
    /// waiting for a port, or one of the relay's limits, which are 408 (such as `command_timeout` of a command) and 504.
    pub fn is_timeout(&self) -> bool {
        let deadline =
            |lost: &Lost| matches!(lost.reason, LostReason::Deadline | LostReason::Silence);
        let closed = matches!(self.process_error(), Some(ProcessError::PortClosed { .. }));
        let is_of_relay = |status| {
            matches!(
                status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT
            )
        };
        matches!(self.inner.kind, Kind::Deadline(_) | Kind::RunStarting)
            || closed
            || self.status().is_some_and(is_of_relay)
            || self.lost().is_some_and(deadline)
            || self.token_error().is_some_and(TokenError::is_timeout)
            || self
                .transport_error()
                .is_some_and(twentyfirst_transport::Error::is_timeout)
    }

    /// Returns the timeout of an exchange that was exceeded, and its length. `None` for the deadline of the call.
    pub fn timeout(&self) -> Option<Timeout> {
        self.transport_error()?.timeout()
    }

    /// Whether the response, or the message of a run, exceeded the client's memory limit.
    pub fn is_response_limit(&self) -> bool {
        matches!(self.inner.kind, Kind::MessageTooLong(_))
            || self
                .transport_error()
                .is_some_and(twentyfirst_transport::Error::is_body_limit)
    }

    /// Whether a run was not started because its thread is already streaming: see
    /// [`StartRun::look_first`](crate::StartRun::look_first).
    pub fn is_thread_streaming(&self) -> bool {
        matches!(self.inner.kind, Kind::ThreadStreaming)
    }

    /// Returns the sandbox and both agents, if a run was not started because the sandbox belongs to another agent: see
    /// [`StartRun::look_first`](crate::StartRun::look_first).
    pub fn other_agent(&self) -> Option<&OtherAgent> {
        match &self.inner.kind {
            Kind::OtherAgent(other) => Some(other),
            _ => None,
        }
    }

    /// Whether a run ended with an error that the relay reported within its stream.
    pub fn is_run_failed(&self) -> bool {
        matches!(self.inner.kind, Kind::RunFailed(_))
    }

    /// Whether a run was cancelled.
    pub fn is_run_cancelled(&self) -> bool {
        matches!(self.inner.kind, Kind::RunCancelled)
    }

    /// Whether the end of a run is unknown. It may go on and cost money; [`lost`](Self::lost) has the reason and the ids.
    pub fn is_run_lost(&self) -> bool {
        self.lost().is_some()
    }

    /// Returns the reason why the end of a run is unknown, and the ids of the run.
    pub fn lost(&self) -> Option<&Lost> {
        match &self.inner.kind {
            Kind::RunLost(lost) => Some(lost),
            _ => None,
        }
    }

    /// Returns the thread whose run would have been cancelled instead of the requested one.
    pub fn other_run(&self) -> Option<&ThreadId> {
        match &self.inner.kind {
            Kind::OtherRun(thread_id) => Some(thread_id),
            _ => None,
        }
    }

    /// Returns the reason why a call on a [spawned process](crate::Process) has no result although no exchange failed: the
    /// process is gone, there is none with this id, or it takes no input.
    pub fn process_error(&self) -> Option<&ProcessError> {
        match &self.inner.kind {
            Kind::Process(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the reason why the URL of a port in a sandbox is unknown.
    pub fn preview_error(&self) -> Option<&PreviewError> {
        match &self.inner.kind {
            Kind::NoPreview(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the delay that the relay asked for before another attempt, counted from its response. If it named a date without
    /// its own time, the delay counts from now.
    pub fn retry_after(&self) -> Option<Duration> {
        Some(self.api_error()?.retry_after()?.delay(SystemTime::now()))
    }

    /// Whether the request may have reached the relay in any of its attempts. If `false`, it certainly had no effect.
    pub fn maybe_sent(&self) -> bool {
        self.inner.sent == Sent::Maybe
    }

    /// Returns the number of attempts at the failed request.
    pub fn attempts(&self) -> u32 {
        self.inner.attempts
    }

    /// Returns the reason why the request was not retried, if a retry was considered.
    pub fn give_up(&self) -> Option<GiveUp> {
        self.inner.give_up
    }

    /// Returns the sandbox and the thread that were created before the call failed. They can be used, and cost money until they
    /// are deleted.
    pub fn created(&self) -> &Created {
        &self.inner.created
    }

    /// Returns the files that were certainly written before the failed request, when files are written in several requests.
    pub fn written(&self) -> &[WrittenFile] {
        &self.inner.written
    }

    /// Returns the problem with a file or directory on this machine, or with the archive of a sandbox, if a
    /// [transfer](crate::transfer) failed because of it.
    pub fn transfer_error(&self) -> Option<&TransferError> {
        match &self.inner.kind {
            Kind::Transfer(error) => Some(error),
            _ => None,
        }
    }

    fn problem(&self) -> Option<&NoValue> {
        self.inner.answers.last()?.problem.as_ref()
    }

    fn transport_error(&self) -> Option<&twentyfirst_transport::Error> {
        match &self.inner.kind {
            Kind::Transport(error) => Some(error),
            _ => None,
        }
    }
}

impl Kind {
    /// Returns whether a request may have arrived, for errors without an exchange that knows better.
    fn sent(&self) -> Sent {
        match self {
            Self::InvalidRequest(_)
            | Self::InvalidSetting(_)
            | Self::Deadline(_)
            | Self::ThreadStreaming
            | Self::OpenRunsUnknown(_)
            | Self::ChatUnreadable(_)
            | Self::Budget { .. }
            | Self::OtherAgent(_) => Sent::No,
            Self::Transport(error) if !error.maybe_sent() => Sent::No,
            Self::Transport(_)
            | Self::Other(_)
            | Self::Response(_)
            | Self::NotAChunk(_)
            | Self::RunFailed(_)
            | Self::RunCancelled
            | Self::RunLost(_)
            | Self::StreamUnfinished
            | Self::OtherRun(_)
            | Self::RunStarting
            | Self::MessageTooLong(_)
            | Self::NoValue
            | Self::NotReplayable(_)
            | Self::NotSupervised(_)
            | Self::Process(_)
            | Self::NoPreview(_)
            | Self::OnEndFailed(..)
            | Self::Transfer(_) => Sent::Maybe,
        }
    }
}
