use std::fmt;
use std::pin::Pin;

use twentyfirst_protocol::run_log::TurnOrder;
use twentyfirst_protocol::runs::{Outcome, RunRef, StartRun, Started};
use twentyfirst_protocol::ui::{Chunk, UiMessage};

use crate::backend::Refusal;

/// The run that a [`ChatRequest`](super::ChatRequest) is about, and who is told of it.
///
/// A [`StartRun`] is one, too: take this where you want to [keep what was created](Self::on_started) or [see the
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
    /// The run of a session: `session.run(turn.messages)`.
    pub fn new(start: StartRun) -> Self {
        Self {
            start,
            owner: String::new(),
            order: TurnOrder::default(),
            on_started: None,
            observer: None,
        }
    }

    /// Sets who the chat belongs to: the id of a user, of a team, ….
    ///
    /// Browsers choose the ids of chats, so those of different owners can be the same: they are told apart by this. Without it, a chat that
    /// is answering refuses the message of whoever else uses its id, and a run is resumed and ended only by requests for which you give its
    /// thread, which is once [`on_started`](Self::on_started) has stored it.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }

    /// Sets what happens where the chat is answering: by default, [the message is refused](TurnOrder::Refuse) with 409.
    ///
    /// A message that waits gets its response at once: a chunk `data-queued`, `{"position": 1}` where it is the next, which is transient,
    /// so that the AI SDK hands it to `onData`; then nothing but comments until its turn comes; and then its answer. It stands in the
    /// [log](super::ChatHandler::run_log), with what it asks, so it is started by another instance if this one ends, and whoever loads the page meanwhile
    /// [sees it](super::ChatHandler::open_turns). `DELETE …/{run id}/stream` takes it back. Of the turn before it, it gets the
    /// sandbox and the thread, unless its own run names some: so the first messages of a new chat that come at once make one sandbox.
    ///
    /// Where [another instance starts it](super::ChatHandler::run_log), [`on_started`](Self::on_started) and
    /// [`observe`](Self::observe) are not called, as they belong to this request. [Without a log](super::ChatHandler::without_log) nothing can wait: the relay refuses, or
    /// [`look_first`](StartRun::look_first) does.
    pub fn turn_order(mut self, order: TurnOrder) -> Self {
        self.order = order;
        self
    }

    /// Does this when the run has started, before the first byte is passed on. It is the moment to store
    /// [`Started`] to continue the conversation: its `run.session()`: a first message makes a sandbox and a thread, which are known from here on.
    ///
    /// It is also where the user's turn is stored, if you keep turns of your own: in the function that decides, one that is refused afterwards would
    /// stay.
    ///
    /// With it, starting the run does not end when the browser leaves meanwhile; so what was created, and costs, is never
    /// lost. Where it refuses, the browser gets the refusal, and the run goes on without a reader and without an observer.
    ///
    /// It is not called where a run is resumed or ended.
    pub fn on_started<F, Fut>(mut self, on_started: F) -> Self
    where
        F: FnOnce(Started) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.on_started = Some(Box::new(move |started| Box::pin(on_started(started))));
        self
    }

    /// Shows the answer to this closure: its chunks, and in the end the message and what the run came to.
    ///
    /// It is called where the answer is recorded or passed on, so it should return soon; what takes time belongs into a task of its own.
    /// To show the end, the answer is assembled, which takes memory: as much as it is long, up to 256 MiB. Where the answer is silent for
    /// long, or ends without telling how, the relay is asked, as for a [`Run`](crate::Run).
    ///
    /// It sees all of the answer, whether browsers stay or leave, as long as this instance reads it: where another takes over, which is
    /// the exception, it is [told so](Observed::Left). The closure belongs to the request that has started the run, so the instance that
    /// takes over has none: what a run has cost is told to a [budget](super::ChatHandler::budget) by whichever instance reads its end, and is
    /// read from the stored messages ([`Session::hydrate`](crate::Session::hydrate)), as `web_chat` does.
    /// [Without a log](super::ChatHandler::without_log) it sees what the browser that has sent the message reads, and is told so when that
    /// leaves.
    pub fn observe(mut self, observer: impl FnMut(Observed<'_>) + Send + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }
}

impl ChatRun {
    /// Where the run that is under way takes place, if there is a thread for one.
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

/// What an [observer](ChatRun::observe) sees.
#[derive(Debug)]
#[non_exhaustive]
pub enum Observed<'a> {
    /// The next chunk. Surrogate halves that were cut apart are joined.
    Chunk(&'a Chunk<'static>),
    /// The run is over. This is the last.
    #[non_exhaustive]
    End {
        /// The message that counts.
        message: &'a UiMessage,
        /// What the run came to: how it ended, what it used and cost.
        outcome: &'a Outcome,
    },
    /// This instance reads no more: another has taken over, or, without a log, the browser has left. The run itself goes on, costs, and is stored. This is the last.
    #[non_exhaustive]
    Left {
        /// The message as far as it was seen.
        message: &'a UiMessage,
    },
}
