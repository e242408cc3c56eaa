//! The queue of a chat: its open turns, and waiting for the end of a run.

use twentyfirst_protocol::run_log::{OpenTurns, OpenTurnsStep, Watch, WatchStep};
use twentyfirst_protocol::runs::StartRun;

use super::Recorded;
use super::logs::PAGE;
use crate::backend::chat::open_turn::OpenTurn;

impl Recorded {
    /// Returns the turns of a chat that are not over.
    pub(super) async fn open_turns(&self, owner: &str, chat: &str) -> OpenTurns {
        let mut turns = OpenTurns::of(owner, chat);
        loop {
            match turns.poll() {
                OpenTurnsStep::Last(log) => turns.handle_last(self.logs.last(&log).await.0),
                OpenTurnsStep::Read(log, after) => {
                    turns.handle_page(self.logs.page(&log, after).await.0);
                }
                _ => return turns,
            }
        }
    }

    /// Returns the open turns in the form for applications.
    pub(in crate::backend::chat) async fn open(&self, owner: &str, chat: &str) -> Vec<OpenTurn> {
        let turns = self.open_turns(owner, chat).await;
        let turns = turns.turns().map(|turn| {
            // Without a request that can be read, the turn is listed all the same: it is open, and blocks the chat.
            let ask = turn.ask.as_ref();
            let start = ask.and_then(|ask| ask.deserialize::<StartRun>().ok());
            OpenTurn {
                id: turn.run.clone(),
                is_queued: turn.waits,
                messages: start.map(|start| start.messages).unwrap_or_default(),
            }
        });
        turns.collect()
    }

    /// Waits until a run is over, and takes it over if it is recorded by nobody.
    pub(super) async fn wait_for(&self, id: &str, owner: &str, chat: &str) {
        let runtime = &self.client.relay().runtime;
        let mut watch = Watch::of(id);
        loop {
            match watch.poll(runtime.now()) {
                WatchStep::Last => watch.handle_last(self.logs.last(watch.log()).await.0),
                WatchStep::Read { after, wait } => {
                    let log = watch.log().clone();
                    let found = self.logs.clone().read(log, after, PAGE, wait).await;
                    watch.handle_page(found, runtime.now());
                }
                // The run before may be recorded by an instance that is gone. Without a browser that reads it, nobody else
                // would notice.
                WatchStep::TakeOver { after } => self.take_over_of(id, owner, chat, after),
                WatchStep::Wait(pause) => runtime.sleep(pause).await,
                _ => return,
            }
        }
    }
}
