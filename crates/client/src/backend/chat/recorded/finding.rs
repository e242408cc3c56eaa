use std::sync::{Arc, OnceLock};

use http::request::Parts;
use twentyfirst_protocol::run_log::{Entry, Found, LogId, Logged, Position, Reader};
use twentyfirst_protocol::runs::RunRef;

use super::Recorded;
use crate::backend::Refusal;
use crate::backend::chat::chat_request::ChatRequest;
use crate::backend::chat::chat_run::ChatRun;
use crate::backend::decide::Decide;

/// The id in the path of a request: that of a chat, or that of a run.
///
/// The log is read only when the chat is asked for, because the request is authorized first.
#[derive(Clone)]
pub(in crate::backend::chat) struct Named {
    id: String,
    /// The logs in which a run's chat is found.
    recorded: Option<Recorded>,
    /// The owner and the chat of the run, if the id is that of a run. Empty until it was looked up.
    of_run: Arc<OnceLock<Option<(String, String)>>>,
}

impl Named {
    pub(in crate::backend::chat) fn new(id: String, recorded: Option<&Recorded>) -> Self {
        Self {
            id,
            recorded: recorded.cloned(),
            of_run: Arc::default(),
        }
    }

    /// Returns the chat.
    pub(in crate::backend::chat) async fn chat(&self) -> &str {
        self.of_run().await.map_or(&self.id, |(_, chat)| chat)
    }

    async fn of_run(&self) -> Option<&(String, String)> {
        // The user's function may have asked already; then the store is not read again.
        if let Some(known) = self.of_run.get() {
            return known.as_ref();
        }
        let found = match &self.recorded {
            Some(recorded) => recorded.chat_of_run(&self.id).await,
            None => None,
        };
        self.of_run.get_or_init(|| found).as_ref()
    }
}

/// The target of a request whose path has the id of a chat or a run.
pub(in crate::backend::chat) struct Sought {
    /// The run in the logs, if the caller may see it.
    pub(in crate::backend::chat) logged: Option<LoggedRun>,
    /// The run at the relay, if it has a thread.
    pub(in crate::backend::chat) run: Option<RunRef>,
}

/// A run that was found in the logs.
pub(in crate::backend::chat) struct LoggedRun {
    pub(super) id: String,
    /// Its last entry, and the position of that entry.
    pub(super) last: Logged,
    pub(super) at: Position,
}

impl Recorded {
    /// Finds the target of a request whose path has the id of a chat or a run.
    pub(in crate::backend::chat) async fn find(
        &self,
        decide: &Decide<ChatRequest, ChatRun>,
        head: Parts,
        id: String,
    ) -> Result<Sought, Refusal> {
        let named = Named::new(id, Some(self));
        let request = ChatRequest::of_run(head, named.clone());
        let decided = decide.ask(request).await?;
        let logged = match named.of_run().await {
            // An id of a run is no permission: without this check anyone who has seen an id could read the answer.
            Some((owner, _)) if *owner != decided.owner => None,
            Some(_) => self.logged(&named.id).await,
            None => self.current(&decided.owner, &named.id).await,
        };
        let run = decided.place();
        let may_see = match (&logged, &run) {
            (None, _) => false,
            (Some(logged), Some(place)) => match self.run_ref(logged).await {
                // The browser chooses the id of the chat, so only the thread shows that the answer is from this conversation.
                Some(run) => run.sandbox_id == place.sandbox_id && run.thread_id == place.thread_id,
                None => !decided.owner.is_empty(),
            },
            // Without a thread, only the owner shows that the run is the caller's.
            (Some(_), None) => !decided.owner.is_empty(),
        };
        Ok(Sought {
            logged: logged.filter(|_| may_see),
            run,
        })
    }

    /// Returns the current run of a chat, if there is a log of it.
    pub(super) async fn current(&self, owner: &str, chat: &str) -> Option<LoggedRun> {
        let turns = self.open_turns(owner, chat).await;
        // Not the last turn: that one may still wait, and a page that is loaded shows the answer that is being given.
        self.logged(&turns.current()?.run).await
    }

    /// Returns a run, if there is a log of it.
    pub(super) async fn logged(&self, id: &str) -> Option<LoggedRun> {
        let (Found::Some((at, last)), _) = self.logs.last(&LogId::run(id)).await else {
            return None;
        };
        let last = Logged::decode(&last).ok()?;
        let id = id.to_owned();
        Some(LoggedRun { id, last, at })
    }

    /// Returns the owner and the chat of a run, if the id is that of a run.
    async fn chat_of_run(&self, id: &str) -> Option<(String, String)> {
        // Saves a read of the store for every id of a chat.
        if !id.starts_with("run-") {
            return None;
        }
        let reader = self.read_head(id).await?;
        let claim = reader.claim()?;
        Some((claim.owner.clone(), claim.chat.clone()))
    }

    /// Returns the reference of a run, if its log has its start.
    pub(super) async fn run_ref(&self, run: &LoggedRun) -> Option<RunRef> {
        let here = self.logs.here().get(&LogId::run(&run.id)).cloned();
        if let Some(run) = here.and_then(|handle| handle.run()) {
            return Some(run);
        }
        self.read_head(&run.id).await?.run().cloned()
    }

    /// Reads a log up to the start of its run, if it has one.
    async fn read_head(&self, id: &str) -> Option<Reader> {
        // A run that is recorded without the store is found only here.
        let here = self.head(id, true).await;
        if here.as_ref().is_some_and(|head| head.run().is_some()) {
            return here;
        }
        self.head(id, false).await.or(here)
    }

    async fn head(&self, id: &str, is_here: bool) -> Option<Reader> {
        let log = LogId::run(id);
        let (mut entries, mut head, mut after) = (Vec::new(), None, Position::START);
        // A run that takes long to start writes a beat every few seconds before.
        while head
            .as_ref()
            .is_none_or(|head: &Reader| head.run().is_none())
        {
            let found = match is_here {
                true => self.logs.page_here(&log, after).await,
                false => self.logs.page(&log, after).await.0,
            };
            match found {
                Found::Some(page) if !page.is_empty() => entries.extend(page),
                // The run has not started yet, or the store fails. What was read so far may tell the chat.
                _ => break,
            }
            // A glance cannot be continued, so each one begins at the first entry.
            let reader = Reader::glance(entries.iter().cloned()).ok()?;
            after = reader.at();
            head = Some(reader);
        }
        head
    }

    /// Returns the number of chunks in the log of a run, and whether the log has overflowed.
    pub(super) async fn count(&self, id: &str) -> (u64, bool) {
        let (mut after, mut total, mut has_overflowed) = (Position::START, 0, false);
        // All pages, because the last entry alone does not tell whether there was an overflow before it.
        while let (Found::Some(entries), _) = self.logs.page(&LogId::run(id), after).await {
            let Some((last, _)) = entries.last() else {
                break;
            };
            after = *last;
            for (_, entry) in &entries {
                match Logged::decode(entry) {
                    Ok(logged) if !matches!(logged.entry, Entry::Claim(_)) => {
                        has_overflowed |= matches!(logged.entry, Entry::Overflow);
                        total = logged.chunks_after().max(total);
                    }
                    // A claim counts no chunks, and an entry that cannot be read tells nothing.
                    _ => {}
                }
            }
        }
        (total, has_overflowed)
    }
}
