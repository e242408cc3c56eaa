use twentyfirst_protocol::run_log::{LateTurn, LateTurnStep, LogId, Recording};

use super::Recorded;

impl Recorded {
    /// Enters a turn as the last one of its chat as soon as the store responds again.
    pub(super) fn take_turn_late(&self, recording: &Recording) {
        let chat = LogId::chat(&recording.owner, &recording.chat);
        self.logs.enter_late(chat.clone(), &recording.run);
        let (this, recording) = (self.clone(), recording.clone());
        self.client.relay().runtime.spawn(Box::pin(async move {
            let run = recording.run.clone();
            this.take_turn_late_of(&chat, recording).await;
            this.logs.leave_late(&chat, &run);
        }));
    }

    async fn take_turn_late_of(&self, chat: &LogId, recording: Recording) {
        let run = recording.run.clone();
        let mut turn = LateTurn::new(recording);
        // Give up when the run cannot be read here any more, or a later turn was taken here.
        while self.logs.is_late(chat, &run) {
            let Some(handle) = self.logs.here().get(&LogId::run(&run)).cloned() else {
                return;
            };
            match turn.poll(handle.is_over()) {
                LateTurnStep::Last(log) => turn.handle_last(self.logs.stored_last(&log).await.0),
                LateTurnStep::Append(log, append) => {
                    turn.handle_append(self.logs.clone().append(log, append).await.0);
                }
                LateTurnStep::Wait(pause) => self.client.relay().runtime.sleep(pause).await,
                // There is no other step.
                _ => return,
            }
        }
    }
}
