use std::fmt;
use std::pin::Pin;

use twentyfirst_protocol::run_log::TurnOrder;
use twentyfirst_protocol::runs::{Outcome, RunRef, StartRun, Started};
use twentyfirst_protocol::ui::{Chunk, UiMessage};

use crate::backend::Refusal;

/// The run for a [`ChatRequest`](super::ChatRequest), with its callbacks.
///
/// You can also return a [`StartRun`]. Use this type to [store the created ids](Self::on_started) or to [observe the
/// answer](Self::observe).
#[must_use]
pub struct ChatRun {
    pub(super) start: StartRun,
    pub(super) owner: String,
    pub(super) order: TurnOrder,
    pub(super) on_started: Option<OnStarted>,
    pub(super) observer: Option<Observer>,
}

pub(super) type OnStarted = Box<dyn FnOnce(Started) -> Stored + Send>;
type Stored = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;
pub(super) type Observer = Box<dyn FnMut(Observed<'_>) + Send>;

impl ChatRun {
    /// Creates a chat run from the run of a session: `session.run(turn.messages)`.
    pub fn new(start: StartRun) -> Self {
        Self {
            start,
            owner: String::new(),
            order: TurnOrder::default(),
            on_started: None,
            observer: None,
        }
    }

    /// Sets the owner of the chat, such as the id of a user or a team.
    ///
    /// Browsers choose the ids of chats, so different owners may use the same id. The owner tells these chats apart. Without it,
    /// a chat that is answering refuses a message from any other user of its id. A run can then be resumed and cancelled only by
    /// requests for which you return its thread, that is, once [`on_started`](Self::on_started) has stored it.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }

    /// Sets what happens if the chat is already answering. By default [the message is refused](TurnOrder::Refuse) with 409.
    ///
    /// A message that waits gets its response at once. It begins with a chunk `data-queued`, with `{"position": 1}` if it is
    /// next. The chunk is transient, so the AI SDK passes it to `onData`. Then only comments follow until it is the message's
    /// turn, and then its answer. The message is stored in the [log](super::ChatHandler::run_log) with its content. So another
    /// instance starts it if this one ends, and a page that is loaded in the meantime [sees it](super::ChatHandler::open_turns).
    /// `DELETE …/{run id}/stream` withdraws it. It uses the sandbox and the thread of the turn before it, unless its own run
    /// names some: so the first messages of a new chat create one sandbox even if they arrive at the same time.
    ///
    /// If [another instance starts it](super::ChatHandler::run_log), [`on_started`](Self::on_started) and
    /// [`observe`](Self::observe) are not called, as they belong to this request. [Without a
    /// log](super::ChatHandler::without_log) messages cannot wait: the relay refuses them, or
    /// [`look_first`](StartRun::look_first) does.
    pub fn turn_order(mut self, order: TurnOrder) -> Self {
        self.order = order;
        self
    }

    /// Sets a function that is called when the run has started, before the first byte is passed on. Store the session there
    /// (`started.run.session()`) to continue the conversation: a first message creates a sandbox and a thread, and their ids are
    /// known only now.
    ///
    /// If you keep your own copy of the turns, store the user's turn here, too. If you stored it in the function that decides, it
    /// would remain even if the run is refused afterwards.
    ///
    /// With this function, the start is completed even if the browser leaves in the meantime, so that no sandbox that costs money
    /// is lost. If the function refuses, the browser gets the refusal, and the run goes on without readers and without an
    /// observer.
    ///
    /// The function is not called for a run that is resumed or cancelled.
    pub fn on_started<F, Fut>(mut self, on_started: F) -> Self
    where
        F: FnOnce(Started) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.on_started = Some(Box::new(move |started| Box::pin(on_started(started))));
        self
    }

    /// Sets a closure that observes the answer: its chunks, and finally the message and the outcome of the run.
    ///
    /// It is called where the answer is recorded or passed on, so it should return quickly; start a task for slow work. To report
    /// the end, the answer is assembled in memory, up to 256 MiB. If the answer is silent for long, or ends without saying how,
    /// the relay is asked, as for a [`Run`](crate::Run).
    ///
    /// The closure sees the whole answer while this instance reads it, whether browsers stay or leave. If another instance takes
    /// over, which is rare, it is [notified](Observed::Left). It belongs to the request that started the run, so the instance
    /// that takes over has none. For the cost of a run, which the instance that reads its end reports, set a
    /// [budget](super::ChatHandler::budget). The messages can be read from the relay
    /// ([`Session::hydrate`](crate::Session::hydrate)), as `web_chat` does. [Without a log](super::ChatHandler::without_log) the
    /// closure sees what the browser that sent the message reads, and is notified when that browser leaves.
    pub fn observe(mut self, observer: impl FnMut(Observed<'_>) + Send + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }
}

impl ChatRun {
    /// Returns the reference of the run under way, if the run names a sandbox and a thread.
    pub(super) fn place(&self) -> Option<RunRef> {
        let start = &self.start;
        let (sandbox, thread) = (start.sandbox_id.as_ref()?, start.thread_id.as_ref()?);
        Some(RunRef::new(start.agent.clone(), sandbox, thread))
    }
}

impl From<StartRun> for ChatRun {
    fn from(start: StartRun) -> Self {
        Self::new(start)
    }
}

impl fmt::Debug for ChatRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatRun")
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

/// An event for an [observer](ChatRun::observe).
#[derive(Debug)]
#[non_exhaustive]
pub enum Observed<'a> {
    /// The next chunk. Surrogate halves that were cut apart are joined.
    Chunk(&'a Chunk<'static>),
    /// The run is over. This is the last event.
    #[non_exhaustive]
    End {
        /// The final message.
        message: &'a UiMessage,
        /// The outcome of the run: its end, usage and cost.
        outcome: &'a Outcome,
    },
    /// This instance stops reading: another has taken over or, without a log, the browser has left. The run itself goes on, costs
    /// money, and is stored. This is the last event.
    #[non_exhaustive]
    Left {
        /// The message as far as it was read.
        message: &'a UiMessage,
    },
}
