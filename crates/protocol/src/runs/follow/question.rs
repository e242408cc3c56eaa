use bytes::Bytes;
use http::response::Parts;

use super::FollowRun;
use crate::Operation;
use crate::error::InvalidRequest;
use crate::flow::{Exchange, Failure, Slot};
use crate::options::CallOptions;
use crate::threads::{GetThread, ListThreads, Thread, ThreadSummary};

/// What is asked of the relay beside the stream.
#[derive(Debug)]
pub(super) struct Question {
    kind: Kind,
    pub(super) exchange: Exchange,
    answer: Option<Answer>,
}

#[derive(Debug)]
enum Kind {
    /// Which threads stream: short, whatever was said in them.
    Threads(ListThreads),
    Thread(GetThread),
}

#[derive(Debug)]
pub(super) enum Answer {
    Threads(Vec<ThreadSummary>),
    Thread(Box<Thread>),
}

impl Question {
    pub(super) fn threads(
        run: &FollowRun,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        let list = ListThreads::new(&run.sandbox_id);
        Ok(Self {
            exchange: Exchange::new(&list, Slot::Exchange, options, seed)?,
            kind: Kind::Threads(list),
            answer: None,
        })
    }

    pub(super) fn thread(
        run: &FollowRun,
        options: &CallOptions,
        seed: u64,
    ) -> Result<Self, InvalidRequest> {
        let get = GetThread::new(&run.sandbox_id, &run.thread_id);
        Ok(Self {
            exchange: Exchange::new(&get, Slot::Exchange, options, seed)?,
            kind: Kind::Thread(get),
            answer: None,
        })
    }

    pub(super) fn handle_answer(&mut self, head: &Parts, body: &Bytes) {
        let answer = match &self.kind {
            Kind::Threads(list) => list.decode(head, body).map(Answer::Threads),
            Kind::Thread(get) => get
                .decode(head, body)
                .map(|thread| Answer::Thread(Box::new(thread))),
        };
        match answer {
            Ok(answer) => self.answer = Some(answer),
            Err(error) => self.exchange.handle(error),
        }
    }

    pub(super) fn handle_failure(&mut self, failure: Failure) {
        self.exchange.handle(failure);
    }

    pub(super) fn take_answer(&mut self) -> Option<Answer> {
        self.answer.take()
    }
}
