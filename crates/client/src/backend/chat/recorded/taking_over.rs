use std::sync::atomic::Ordering;

use twentyfirst_protocol::run_log::register::Obligation;
use twentyfirst_protocol::run_log::{Found, LogId, Position, Reader, ReaderStep, Recording};

use super::Recorded;
use super::finding::LoggedRun;
use super::keeper::Keeper;
use super::logs::PAGE;

impl Recorded {
    /// Takes over a run that seems to be recorded by nobody.
    pub(super) fn take_over(&self, id: &str, reader: &Reader, after: Position) {
        if let Some(claim) = reader.claim() {
            self.take_over_of(id, &claim.owner, &claim.chat, after);
        }
    }

    pub(super) fn take_over_of(&self, id: &str, owner: &str, chat: &str, after: Position) {
        // An instance that is drained releases its runs, and must not collect new ones.
        if self.is_draining.load(Ordering::Relaxed) || self.logs.is_here(id) {
            return;
        }
        // A duty takes it over by itself. It does not know of this attempt, and would take its claim for that of another instance.
        if self.has_duty(id) {
            return;
        }
        // Without room nothing happens; a reader asks again.
        let Some(seat) = self.supervision.room().take() else {
            return;
        };
        let obligation = Obligation::new(id, owner, chat);
        let recording = Recording::new(id, &*self.instance).of_chat(owner, chat);
        let this = self.clone();
        self.client.relay().runtime.spawn(Box::pin(async move {
            let run = recording.run.clone();
            // Register the obligation before the claim: the claim fences off the instance that recorded the run, which then drops
            // its own.
            if this.answer_for(obligation).await {
                if let Some(keeper) = Keeper::take_over(this.clone(), recording, after, seat) {
                    keeper.await;
                }
            } else if !this.logs.is_here(&run) {
                this.close(&run);
            }
        }));
    }

    /// Checks whether the run that this chat waits for is still recorded, and takes it over if not. There may be no browser that
    /// would notice.
    pub(super) fn watch(&self, waiting: &Recording) {
        let (this, waiting) = (self.clone(), waiting.clone());
        self.client.relay().runtime.spawn(Box::pin(async move {
            this.watch_to_its_end(&waiting).await;
        }));
    }

    async fn watch_to_its_end(&self, waiting: &Recording) {
        let (owner, chat) = (&waiting.owner, &waiting.chat);
        let Some(run) = self.current(owner, chat).await else {
            return;
        };
        // One check at a time is enough, however many messages are refused meanwhile.
        if self.logs.is_here(&run.id) || !self.logs.enter_watch(&run.id) {
            return;
        }
        if let Some(after) = self.silent_behind(&run).await {
            self.take_over_of(&run.id, owner, chat, after);
        }
        self.logs.leave_watch(&run.id);
    }

    /// Returns the position at which a run should be taken over. `None` as soon as it makes progress or ends.
    async fn silent_behind(&self, run: &LoggedRun) -> Option<Position> {
        let mut reader = Reader::behind(run.at, &run.last);
        let runtime = &self.client.relay().runtime;
        loop {
            match reader.poll(runtime.now()) {
                ReaderStep::Read { after, wait } => {
                    let log = LogId::run(&run.id);
                    let found = self.logs.clone().read(log, after, PAGE, wait).await;
                    let Found::Some(entries) = found else {
                        return None;
                    };
                    if !entries.is_empty() {
                        return None;
                    }
                    reader.handle_page(entries, runtime.now());
                }
                ReaderStep::TakeOver { after } => return Some(after),
                _ => return None,
            }
        }
    }
}
