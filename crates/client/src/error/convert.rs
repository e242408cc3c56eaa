use std::error::Error as StdError;

use twentyfirst_protocol::files::WrittenFile;
use twentyfirst_protocol::flow::{ExchangeError, ExchangeErrorKind, Sent};
use twentyfirst_protocol::processes::ProcessError;
use twentyfirst_protocol::run_log::EntryError;
use twentyfirst_protocol::runs::typed::Answered;
use twentyfirst_protocol::runs::{CancelError, Created, Lost, RunEnd, StartError, StartErrorKind};
use twentyfirst_protocol::sandboxes::PreviewError;
use twentyfirst_protocol::ui::{AssembleError, DecodeError};
use twentyfirst_protocol::{ApiKey, InvalidRequest, ResponseError};
use twentyfirst_transport::InvalidSetting;

use super::{Error, Inner, Kind};
use crate::relay::Relay;
use crate::transfer::TransferError;

impl Error {
    /// Adds the files that the call wrote before it failed.
    pub(crate) fn after_writing(mut self, written: Vec<WrittenFile>) -> Self {
        if !written.is_empty() {
            self.inner.sent = Sent::Maybe;
        }
        self.inner.written = written;
        self
    }

    /// Marks the error as one of a call that had sent nothing.
    pub(crate) fn not_sent(mut self) -> Self {
        self.inner.sent = Sent::No;
        self
    }

    pub(crate) fn run_failed(text: String) -> Self {
        Kind::RunFailed(RunEnd::Failed(text)).into()
    }

    /// Creates the error for a run whose last answer holds no value.
    pub(crate) fn no_value() -> Self {
        Kind::NoValue.into()
    }

    /// Adds what the call created, and the runs that it made, before it failed.
    pub(crate) fn with_answers(mut self, created: Created, answers: Vec<Answered>) -> Self {
        if self.inner.created.is_empty() {
            self.inner.created = created;
        }
        self.inner.answers = answers;
        self
    }

    pub(crate) fn run_cancelled() -> Self {
        Kind::RunCancelled.into()
    }

    pub(crate) fn run_lost(lost: Lost) -> Self {
        Kind::RunLost(lost).into()
    }

    /// Creates the error for a stream that ended before its message did.
    pub(crate) fn stream_unfinished() -> Self {
        Kind::StreamUnfinished.into()
    }

    /// Masks the client's key or token, in case the relay repeats it.
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

    /// Creates the error for an answer whose log failed.
    pub(crate) fn not_replayable(cause: Option<Box<dyn StdError + Send + Sync>>) -> Self {
        Kind::NotReplayable(cause).into()
    }

    /// Creates the error for a message that was refused because the log of its chat cannot be read.
    pub(crate) fn chat_unreadable(error: EntryError) -> Self {
        Kind::ChatUnreadable(error).into()
    }

    /// Creates the error for a budget that could not be used. `action` is a participle: the budget could not be `checked`.
    pub(crate) fn budget_unavailable(
        action: &'static str,
        cause: Box<dyn StdError + Send + Sync>,
    ) -> Self {
        Kind::Budget { action, cause }.into()
    }

    /// Creates the error for runs that no other instance would find.
    pub(crate) fn not_supervised(cause: Option<Box<dyn StdError + Send + Sync>>) -> Self {
        Kind::NotSupervised(cause).into()
    }

    /// Creates the error for a run whose `on_end` function failed or, without a cause, panicked.
    pub(crate) fn new_on_end_failed(
        run: &str,
        cause: Option<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Kind::OnEndFailed(run.to_owned(), cause).into()
    }

    /// Creates the error for a store that cannot list the open runs.
    pub(crate) fn open_runs_unknown(cause: Box<dyn StdError + Send + Sync>) -> Self {
        Kind::OpenRunsUnknown(cause).into()
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
            ExchangeErrorKind::Failure(failure) => of_failure(failure.into_source()),
            other => Kind::Other(other.into()),
        };
        let mut error = Self::from(kind);
        error.inner.attempts = attempts;
        error.inner.give_up = give_up;
        error.inner.sent = sent;
        error
    }
}

/// Converts the cause of a failure that a driver has reported to a flow.
fn of_failure(source: Box<dyn StdError + Send + Sync>) -> Kind {
    let source = match source.downcast() {
        Ok(error) => return Kind::Transport(*error),
        Err(source) => source,
    };
    match source.downcast() {
        // The request does not fit behind the base URL, which only the driver knows.
        Ok(error) => Kind::InvalidRequest(*error),
        Err(source) => Kind::Other(source),
    }
}
