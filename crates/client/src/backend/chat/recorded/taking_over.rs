use std::sync::atomic::Ordering;
use std::time::Duration;

use twentyfirst_protocol::run_log::{Entry, Found, Position, Reader, Recording};

use super::Recorded;
use super::finding::LoggedRun;
use super::keeper::Keeper;
use super::logs::PAGE;

impl Recorded {
    /// Goes on with a run that nobody seems to record any more.
    pub(super) fn take_over(&self, id: &str, reader: &Reader, after: Position) {
        if let Some(claim) = reader.claim() {
            self.take_over_of(id, &claim.owner, &claim.chat, after);
        }
    }

    fn take_over_of(&self, id: &str, owner: &str, chat: &str, after: Position) {
        if self.is_draining.load(Ordering::Relaxed) {
            return;
        }
        let recording = Recording::new(id, &*self.instance).of_chat(owner, chat);
        if let Some(keeper) = Keeper::take_over(self.clone(), recording, after) {
            keeper.spawn();
        }
    }

    /// Looks whether the run that this chat waits for is still recorded, and goes on with it if not: no browser may be there to see.
    pub(super) fn watch(&self, waiting: &Recording) {
        let (this, waiting) = (self.clone(), waiting.clone());
        self.client.shared().runtime.spawn(Box::pin(async move {
            this.watch_to_its_end(&waiting).await;
        }));
    }

    async fn watch_to_its_end(&self, waiting: &Recording) {
        let (owner, chat) = (&waiting.owner, &waiting.chat);
        let Some(LoggedRun { id, last, at }) = self.current(owner, chat).await else {
            return;
        };
        if self.logs.is_here(&id) || !self.logs.enter_watch(&id) {
            return;
        }
        if self.is_silent(&id, &last.entry, at).await {
            self.take_over_of(&id, owner, chat, at);
        }
        self.logs.leave_watch(&id);
    }

    /// Whether nothing comes behind this entry of a run for so long that somebody should take over.
    async fn is_silent(&self, id: &str, last: &Entry, at: Position) -> bool {
        let mut silence = match last {
            Entry::End(_) => return false,
            Entry::Release => Reader::SILENCE,
            _ => Duration::ZERO,
        };
        while silence < Reader::SILENCE {
            let reading = self
                .logs
                .clone()
                .read(id.to_owned(), at, PAGE, Reader::WAIT);
            match reading.await {
                Found::Some(entries) if entries.is_empty() => silence += Reader::WAIT,
                _ => return false,
            }
        }
        true
    }
}
