use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use twentyfirst_protocol::files::WrittenFile;
use twentyfirst_protocol::flow::{ExchangeError, ExchangeErrorKind, Sent};
use twentyfirst_protocol::processes::ProcessError;
use twentyfirst_protocol::retry::{GiveUp, Prospect};
use twentyfirst_protocol::runs::typed::{Answered, NoValue};
use twentyfirst_protocol::runs::{
    CancelError, Created, Lost, LostReason, OtherAgent, RunEnd, StartError, StartErrorKind,
};
use twentyfirst_protocol::sandboxes::PreviewError;
use twentyfirst_protocol::ui::{AssembleError, DecodeError};
use twentyfirst_protocol::{
    ApiError, ApiKey, ErrorCode, InvalidRequest, InvalidResponse, ResponseError, ThreadId, shown,
};
use twentyfirst_transport::{InvalidSetting, Timeout};

use crate::credentials::TokenError;
use crate::relay::Relay;
use crate::transfer::TransferError;

/// Why a call or a run failed.
///
/// Ask it what you need to know: [`status`](Self::status) and [`code`](Self::code) of the answer,
/// [`maybe_sent`](Self::maybe_sent) where there is none, [`created`](Self::created) for what exists, and costs, all the
/// same. `Display` is one clause; the causes beneath are in [`source`](StdError::source). No key, token or
/// environment value is ever shown.
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

/// In the order of a call's life.
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
    /// Of this thread.
    OtherRun(ThreadId),
    RunStarting,
    MessageTooLong(AssembleError),
    /// The last of the answers says why.
    NoValue,
    NotReplayable(Option<Box<dyn StdError + Send + Sync>>),
    Budget {
        /// What was to be done with it, in one word.
        to_be: &'static str,
        cause: Box<dyn StdError + Send + Sync>,
    },
    NotSupervised(Option<Box<dyn StdError + Send + Sync>>),
    /// Of this run.
    EndNotTold(String, Option<Box<dyn StdError + Send + Sync>>),
    OpenRunsUnknown(Box<dyn StdError + Send + Sync>),
    Process(ProcessError),
    NoPreview(PreviewError),
    Transfer(TransferError),
}

impl Error {
    /// The status of the answer, where there is one.
    pub fn status(&self) -> Option<StatusCode> {
        match &self.inner.kind {
            Kind::Response(error) => Some(error.status()),
            _ => None,
        }
    }

    /// What the relay calls the error, where it says.
    pub fn code(&self) -> Option<&ErrorCode> {
        self.api_error()?.code()
    }

    /// The relay's answer, if it was one that says no: with its message, its extra members and its body's beginning.
    pub fn api_error(&self) -> Option<&ApiError> {
        match &self.inner.kind {
            Kind::Response(ResponseError::Api(error)) => Some(error),
            _ => None,
        }
    }

    /// The relay's answer, if it has a status of success and is not understood: with what does not fit, and its body's
    /// beginning.
    pub fn invalid_response(&self) -> Option<&InvalidResponse> {
        match &self.inner.kind {
            Kind::Response(ResponseError::InvalidResponse(error)) => Some(error),
            _ => None,
        }
    }

    /// The rule that a request broke, if it was not sent because of it.
    pub fn invalid_request(&self) -> Option<&InvalidRequest> {
        match &self.inner.kind {
            Kind::InvalidRequest(error) => Some(error),
            _ => None,
        }
    }

    /// The setting of the transport that cannot be used, if the client was not made because of it: a proxy that the
    /// environment names.
    pub fn invalid_setting(&self) -> Option<&InvalidSetting> {
        match &self.inner.kind {
            Kind::InvalidSetting(error) => Some(error),
            _ => None,
        }
    }

    /// Whether an answer goes on, but cannot be replayed elsewhere: the store of the run log has failed, or what stands there cannot
    /// be read. The cause is in [`source`](StdError::source).
    pub fn is_not_replayable(&self) -> bool {
        matches!(self.inner.kind, Kind::NotReplayable(_))
    }

    /// Whether a [budget](crate::backend::Budget) could not be asked, or not be told what a run has cost. The cause is in
    /// [`source`](StdError::source).
    pub fn is_budget_unavailable(&self) -> bool {
        matches!(self.inner.kind, Kind::Budget { .. })
    }

    /// Whether runs go on that no other instance finds should this one end: the store of the run log has failed. The cause is in
    /// [`source`](StdError::source).
    pub fn is_not_supervised(&self) -> bool {
        matches!(self.inner.kind, Kind::NotSupervised(_))
    }

    /// The id of a run whose end [`ChatHandler::on_end`](crate::backend::ChatHandler::on_end) could not be told: it failed, as
    /// [`source`](StdError::source) says, or has panicked. It is called again.
    pub fn end_not_told(&self) -> Option<&str> {
        match &self.inner.kind {
            Kind::EndNotTold(run, _) => Some(run),
            _ => None,
        }
    }

    /// Whether something that the request names is not there: a 404, or a file that was to be read and does not exist, for which the relay has a
    /// 500. See [`ApiError::is_not_found`] for the rule.
    pub fn is_not_found(&self) -> bool {
        match self.api_error() {
            Some(error) => error.is_not_found(),
            None => self.status() == Some(StatusCode::NOT_FOUND),
        }
    }

    /// Whether the same call can succeed when it is made again later: there was no response in time or no connection, or the relay has
    /// responded with a status that passes and no code that stays. See [`Prospect`] for the table.
    ///
    /// It does not say that making it again is safe: where [`maybe_sent`](Self::maybe_sent) is `true`, the call may have had its effect. The
    /// client has already tried again where that was safe, [`attempts`](Self::attempts) times. A run that failed, was cancelled or is lost
    /// is not retryable: it is another run that would be started.
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

    /// Whether an agent gave no value of the type that was asked for, and none when it was asked again: see
    /// [`answers`](Self::answers) for what it said.
    pub fn is_no_value(&self) -> bool {
        matches!(self.inner.kind, Kind::NoValue)
    }

    /// Returns the runs that were made for a [value](crate::Typed) before the call failed, the first one first: what they said, used and
    /// cost. Empty for other calls.
    pub fn answers(&self) -> &[Answered] {
        &self.inner.answers
    }

    /// Whether the relay does not accept the key or token: it answered 401 or 403.
    ///
    /// A token URL that refuses to give a token is something else: [`TokenError::status`] tells its status.
    pub fn is_unauthorized(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        )
    }

    /// Whether the relay takes no more requests for now: 429. [`retry_after`](Self::retry_after) tells for how long, where the relay said so.
    pub fn is_rate_limited(&self) -> bool {
        self.status() == Some(StatusCode::TOO_MANY_REQUESTS)
    }

    /// Whether it is the relay's 409: the thing exists already, or is in a state that forbids this.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT)
    }

    /// Whether there was no connection to the relay.
    pub fn is_connect(&self) -> bool {
        self.transport_error()
            .is_some_and(twentyfirst_transport::Error::is_connect)
    }

    /// Why there was no token to send the request with, where the client gets tokens from somewhere: see
    /// [`token_url`](crate::AgentClientBuilder::token_url).
    pub fn token_error(&self) -> Option<&TokenError> {
        self.transport_error()?.source()?.downcast_ref()
    }

    /// Whether a time limit struck: a timeout of an exchange, the deadline of the call, one of the limits of following a run, that of
    /// waiting for a port, or one of the relay's, which are 408 (as `command_timeout` of a command) and 504.
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

    /// Which timeout struck, and how long it was; `None` for the deadline of the call, which is none of an exchange.
    pub fn timeout(&self) -> Option<Timeout> {
        self.transport_error()?.timeout()
    }

    /// Whether the answer, or the message of a run, was longer than the client holds in memory.
    pub fn is_answer_limit(&self) -> bool {
        matches!(self.inner.kind, Kind::MessageTooLong(_))
            || self
                .transport_error()
                .is_some_and(twentyfirst_transport::Error::is_body_limit)
    }

    /// Whether a run was not started because its thread is streaming: see
    /// [`StartRun::look_first`](crate::StartRun::look_first).
    pub fn is_thread_streaming(&self) -> bool {
        matches!(self.inner.kind, Kind::ThreadStreaming)
    }

    /// The sandbox and both agents, if a run was not started because the sandbox belongs to another agent: see
    /// [`StartRun::look_first`](crate::StartRun::look_first).
    pub fn other_agent(&self) -> Option<&OtherAgent> {
        match &self.inner.kind {
            Kind::OtherAgent(other) => Some(other),
            _ => None,
        }
    }

    /// Whether a run ended by an error that the relay reported within its stream.
    pub fn is_run_failed(&self) -> bool {
        matches!(self.inner.kind, Kind::RunFailed(_))
    }

    /// Whether a run was cancelled.
    pub fn is_run_cancelled(&self) -> bool {
        matches!(self.inner.kind, Kind::RunCancelled)
    }

    /// Whether it is not known what became of a run. It may go on, and cost; [`lost`](Self::lost) tells why and where.
    pub fn is_run_lost(&self) -> bool {
        self.lost().is_some()
    }

    /// Why it is not known what became of a run, and where it is.
    pub fn lost(&self) -> Option<&Lost> {
        match &self.inner.kind {
            Kind::RunLost(lost) => Some(lost),
            _ => None,
        }
    }

    /// The thread whose run would have been ended instead of the one that was to be cancelled.
    pub fn other_run(&self) -> Option<&ThreadId> {
        match &self.inner.kind {
            Kind::OtherRun(thread_id) => Some(thread_id),
            _ => None,
        }
    }

    /// Why a call about a [spawned process](crate::Process) has no result, where no exchange failed: it is gone, there is none of this
    /// id, it takes no input.
    pub fn process_error(&self) -> Option<&ProcessError> {
        match &self.inner.kind {
            Kind::Process(error) => Some(error),
            _ => None,
        }
    }

    /// Why the address of a port in a sandbox is not known.
    pub fn preview_error(&self) -> Option<&PreviewError> {
        match &self.inner.kind {
            Kind::NoPreview(error) => Some(error),
            _ => None,
        }
    }

    /// How long the relay asks to wait before another try, counted from its response; where it names a moment, and not what
    /// time it has itself, from now.
    pub fn retry_after(&self) -> Option<Duration> {
        Some(self.api_error()?.retry_after()?.delay(SystemTime::now()))
    }

    /// Whether the request, in any of its attempts, may have reached the relay. Where this is `false`, it surely had no effect.
    pub fn maybe_sent(&self) -> bool {
        self.inner.sent == Sent::Maybe
    }

    /// How often the request that failed was tried.
    pub fn attempts(&self) -> u32 {
        self.inner.attempts
    }

    /// Why it was not tried again, where that had to be decided.
    pub fn give_up(&self) -> Option<GiveUp> {
        self.inner.give_up
    }

    /// What exists because of the call although it failed: a new sandbox, a new thread. It costs until it is deleted,
    /// and can be used.
    pub fn created(&self) -> &Created {
        &self.inner.created
    }

    /// The files that were surely written before the request that failed, where many are written in several requests.
    pub fn written(&self) -> &[WrittenFile] {
        &self.inner.written
    }

    /// What is wrong with a file or a directory on this machine, or in the archive of a sandbox, if a
    /// [transfer](crate::transfer) failed because of it.
    pub fn transfer_error(&self) -> Option<&TransferError> {
        match &self.inner.kind {
            Kind::Transfer(error) => Some(error),
            _ => None,
        }
    }

    /// The same of a call that also wrote these.
    pub(crate) fn after_writing(mut self, written: Vec<WrittenFile>) -> Self {
        if !written.is_empty() {
            self.inner.sent = Sent::Maybe;
        }
        self.inner.written = written;
        self
    }

    /// The same of a call that had sent nothing.
    pub(crate) fn not_sent(mut self) -> Self {
        self.inner.sent = Sent::No;
        self
    }

    pub(crate) fn run_failed(text: String) -> Self {
        Kind::RunFailed(RunEnd::Failed(text)).into()
    }

    /// No value in the last of these answers.
    pub(crate) fn no_value() -> Self {
        Kind::NoValue.into()
    }

    /// The same for a call that has made these runs, and this before.
    pub(crate) fn with_answers(mut self, created: Created, answers: Vec<Answered>) -> Self {
        if self.inner.created.is_empty() {
            self.inner.created = created;
        }
        self.inner.answers = answers;
        self
    }

    fn problem(&self) -> Option<&NoValue> {
        self.inner.answers.last()?.problem.as_ref()
    }

    pub(crate) fn run_cancelled() -> Self {
        Kind::RunCancelled.into()
    }

    pub(crate) fn run_lost(lost: Lost) -> Self {
        Kind::RunLost(lost).into()
    }

    /// A stream that ended without a word of how its message ends.
    pub(crate) fn stream_unfinished() -> Self {
        Kind::StreamUnfinished.into()
    }

    /// The same with the client's key or token masked, should the relay repeat it.
    pub(crate) fn redacted(self, relay: &Relay) -> Self {
        let inner = *self.inner;
        let kind = match inner.kind {
            Kind::Response(error) => {
                let secrets = relay.secrets();
                let secrets: Vec<&str> = secrets.iter().map(ApiKey::expose).collect();
                Kind::Response(error.redacted(&secrets))
            }
            kind => kind,
        };
        Self {
            inner: Box::new(Inner { kind, ..inner }),
        }
    }

    pub(crate) fn message_too_long(error: AssembleError) -> Self {
        Kind::MessageTooLong(error).into()
    }

    /// An answer whose log has failed.
    pub(crate) fn not_replayable(cause: Option<Box<dyn StdError + Send + Sync>>) -> Self {
        Kind::NotReplayable(cause).into()
    }

    /// A budget that could not be `asked`, or not be `told`.
    pub(crate) fn budget_unavailable(
        to_be: &'static str,
        cause: Box<dyn StdError + Send + Sync>,
    ) -> Self {
        Kind::Budget { to_be, cause }.into()
    }

    /// Runs that no other instance finds.
    pub(crate) fn not_supervised(cause: Option<Box<dyn StdError + Send + Sync>>) -> Self {
        Kind::NotSupervised(cause).into()
    }

    /// A run whose end could not be told; without a cause, because the function that is told of it has panicked.
    pub(crate) fn new_end_not_told(
        run: &str,
        cause: Option<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Kind::EndNotTold(run.to_owned(), cause).into()
    }

    /// A store that does not tell which runs are open.
    pub(crate) fn open_runs_unknown(cause: Box<dyn StdError + Send + Sync>) -> Self {
        Kind::OpenRunsUnknown(cause).into()
    }

    fn transport_error(&self) -> Option<&twentyfirst_transport::Error> {
        match &self.inner.kind {
            Kind::Transport(error) => Some(error),
            _ => None,
        }
    }
}

impl Kind {
    /// Whether a request may have arrived, where no exchange tells.
    fn sent(&self) -> Sent {
        match self {
            Self::InvalidRequest(_)
            | Self::InvalidSetting(_)
            | Self::Deadline(_)
            | Self::ThreadStreaming
            | Self::OpenRunsUnknown(_)
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
            | Self::EndNotTold(..)
            | Self::Transfer(_) => Sent::Maybe,
        }
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        let sent = kind.sent();
        Self {
            inner: Box::new(Inner {
                kind,
                created: Created::default(),
                written: Vec::new(),
                attempts: 1,
                sent,
                give_up: None,
                answers: Vec::new(),
            }),
        }
    }
}

impl From<InvalidRequest> for Error {
    fn from(error: InvalidRequest) -> Self {
        Kind::InvalidRequest(error).into()
    }
}

impl From<TransferError> for Error {
    fn from(error: TransferError) -> Self {
        Kind::Transfer(error).into()
    }
}

impl From<InvalidSetting> for Error {
    fn from(error: InvalidSetting) -> Self {
        Kind::InvalidSetting(error).into()
    }
}

impl From<twentyfirst_transport::Error> for Error {
    fn from(error: twentyfirst_transport::Error) -> Self {
        Kind::Transport(error).into()
    }
}

impl From<ResponseError> for Error {
    fn from(error: ResponseError) -> Self {
        Kind::Response(error).into()
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Kind::NotAChunk(error).into()
    }
}

impl From<CancelError> for Error {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::AnotherRun {
                thread_id, sent, ..
            } => {
                let mut error = Self::from(Kind::OtherRun(thread_id));
                error.inner.sent = sent;
                error
            }
            CancelError::Exchange(error) => error.into(),
            CancelError::Starting => Kind::RunStarting.into(),
            other => Kind::Other(other.into()).into(),
        }
    }
}

impl From<ProcessError> for Error {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Exchange(error) => error.into(),
            error => Kind::Process(error).into(),
        }
    }
}

impl From<PreviewError> for Error {
    fn from(error: PreviewError) -> Self {
        Kind::NoPreview(error).into()
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        let created = error.created;
        let mut error = match error.kind {
            StartErrorKind::Exchange { source, .. } => Self::from(*source),
            StartErrorKind::ThreadStreaming => Kind::ThreadStreaming.into(),
            StartErrorKind::OtherAgent(other) => Kind::OtherAgent(other).into(),
            other => Kind::Other(other.into()).into(),
        };
        error.inner.created = created;
        error
    }
}

impl From<ExchangeError> for Error {
    fn from(error: ExchangeError) -> Self {
        let (attempts, sent, give_up) = (error.attempts(), error.sent(), error.give_up());
        let kind = match error.into_kind() {
            ExchangeErrorKind::InvalidRequest(error) => Kind::InvalidRequest(error),
            ExchangeErrorKind::Response(error) => Kind::Response(error),
            ExchangeErrorKind::Deadline { deadline, .. } => Kind::Deadline(deadline),
            ExchangeErrorKind::Failure(failure) => match failure.into_source().downcast() {
                Ok(error) => Kind::Transport(*error),
                Err(source) => Kind::Other(source),
            },
            other => Kind::Other(other.into()),
        };
        let mut error = Self::from(kind);
        error.inner.attempts = attempts;
        error.inner.give_up = give_up;
        error.inner.sent = sent;
        error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner.kind {
            Kind::InvalidRequest(error) => write!(f, "the request is invalid: {error}")?,
            Kind::InvalidSetting(error) => write!(f, "the client cannot be made: {error}")?,
            Kind::Transport(_) if self.token_error().is_some() => {
                f.write_str("there is no token to send the request with")?;
            }
            Kind::Transport(error) => error.fmt(f)?,
            Kind::Other(_) if !self.maybe_sent() => f.write_str("the request could not be sent")?,
            Kind::Other(_) => f.write_str("there is no answer")?,
            Kind::Deadline(deadline) => write!(f, "the deadline of {deadline:?} is over")?,
            Kind::ThreadStreaming => f.write_str("the thread is already streaming")?,
            Kind::OtherAgent(other) => other.fmt(f)?,
            Kind::Response(error) => error.fmt(f)?,
            Kind::NotAChunk(_) => f.write_str("an event of the stream is not a chunk")?,
            Kind::RunFailed(end) => write!(f, "the run {end}")?,
            Kind::RunCancelled => f.write_str("the run was cancelled")?,
            Kind::RunLost(lost) => lost.fmt(f)?,
            Kind::StreamUnfinished => {
                f.write_str(
                    "the stream ended before its message: neither `finish` nor `[DONE]` came",
                )?;
            }
            Kind::OtherRun(thread_id) => {
                write!(
                    f,
                    "cancelling would end the run of thread {}",
                    shown(thread_id.as_str())
                )?;
            }
            Kind::RunStarting => {
                f.write_str("the run was still starting when the time for cancelling it was over")?;
            }
            Kind::MessageTooLong(_) => {
                f.write_str("the message is longer than is held in memory")?;
            }
            Kind::NoValue => {
                f.write_str("the agent gave no value of the type that was asked for, and none when it was asked again")?;
                if let Some(problem) = self.problem() {
                    write!(f, ": {problem}")?;
                }
            }
            Kind::NotReplayable(_) => {
                f.write_str("the answer goes on, but other instances cannot replay it")?;
            }
            Kind::Budget { to_be, .. } => write!(f, "the budget could not be {to_be}")?,
            Kind::NotSupervised(_) => f.write_str(
                "runs go on, but other instances would not find them should this one end",
            )?,
            Kind::EndNotTold(run, cause) => {
                let what = match cause {
                    Some(_) => "failed",
                    None => "panicked",
                };
                write!(f, "on_end {what} for {}, and is called again", shown(run))?;
            }
            Kind::Transfer(error) => error.fmt(f)?,
            Kind::OpenRunsUnknown(_) => {
                f.write_str("the store of the run log does not tell which runs are open")?;
            }
            Kind::Process(error) => error.fmt(f)?,
            Kind::NoPreview(error) => error.fmt(f)?,
        }
        if let Some(GiveUp::RetryAfterTooLong(delay)) = self.inner.give_up {
            write!(f, " (it asks to wait for {} s)", delay.as_secs_f64())?;
        }
        if let Some(last) = self.inner.written.last() {
            let (count, last) = (self.inner.written.len(), shown(&last.path));
            write!(
                f,
                " (files written before: {count}, the last of them {last})"
            )?;
        }
        match (
            &self.inner.created.sandbox_id,
            &self.inner.created.thread_id,
        ) {
            (Some(sandbox), None) => {
                write!(f, " (sandbox {} was created)", shown(sandbox.as_str()))
            }
            (Some(sandbox), Some(thread)) => write!(
                f,
                " (sandbox {} with thread {} was created)",
                shown(sandbox.as_str()),
                shown(thread.as_str())
            ),
            (None, Some(thread)) => write!(f, " (thread {} was created)", shown(thread.as_str())),
            (None, None) => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner.kind {
            // These are shown by `Display` as they are; their own sources come next.
            Kind::InvalidSetting(error) => error.source(),
            Kind::Transport(error) => error.source(),
            Kind::Transfer(error) => error.source(),
            Kind::RunLost(lost) => lost.source(),
            Kind::NotAChunk(error) => Some(error),
            Kind::NoValue => self.problem()?.source(),
            Kind::Other(source) => Some(&**source),
            Kind::MessageTooLong(error) => Some(error),
            Kind::NotReplayable(Some(cause))
            | Kind::NotSupervised(Some(cause))
            | Kind::EndNotTold(_, Some(cause))
            | Kind::OpenRunsUnknown(cause)
            | Kind::Budget { cause, .. } => Some(&**cause),
            Kind::NotReplayable(None)
            | Kind::NotSupervised(None)
            | Kind::EndNotTold(_, None)
            | Kind::InvalidRequest(_)
            | Kind::Deadline(_)
            | Kind::ThreadStreaming
            | Kind::OtherAgent(_)
            | Kind::Response(_)
            | Kind::RunFailed(_)
            | Kind::RunCancelled
            | Kind::StreamUnfinished
            | Kind::OtherRun(_)
            | Kind::Process(_)
            | Kind::NoPreview(_)
            | Kind::RunStarting => None,
        }
    }
}
