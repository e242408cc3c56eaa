use std::cmp::Reverse;

use super::{ThreadStatus, ThreadSummary};
use crate::ThreadId;

/// The target of resuming and cancelling in a sandbox, as seen from one of its threads.
///
/// Requests to resume or cancel name a sandbox and reach the most recently created thread that streams
/// ([`ResumeStream`](crate::runs::ResumeStream), [`CancelStream`](crate::runs::CancelStream)). So list the threads first. After a
/// stream was opened, list them again before anything is taken from it, since a newer run may have begun in between.
///
/// ```
/// use twentyfirst_protocol::ThreadId;
/// use twentyfirst_protocol::threads::{StreamTarget, ThreadStatus, ThreadSummary};
///
/// let ours = ThreadId::new("thr_1")?;
/// let newer = ThreadSummary::new(ThreadId::new("thr_2")?, ThreadStatus::Streaming);
/// let threads = [newer, ThreadSummary::new(ours.clone(), ThreadStatus::Streaming)];
/// let target = StreamTarget::of(&threads, &ours);
/// assert_eq!(target.status(), Some(&ThreadStatus::Streaming));
/// assert!(!target.is_ours(), "the newer one is meant");
/// # Ok::<(), twentyfirst_protocol::InvalidRequest>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTarget {
    thread_id: ThreadId,
    status: Option<ThreadStatus>,
    newest: Option<ThreadId>,
    /// The threads that were created after ours.
    newer: Vec<ThreadSummary>,
}

impl StreamTarget {
    /// Returns the target in this list, as seen from this thread.
    pub fn of(threads: &[ThreadSummary], thread_id: &ThreadId) -> Self {
        // The list should be sorted newest first. If every thread has a date, the dates decide instead; otherwise the order
        // counts.
        let mut threads: Vec<&ThreadSummary> = threads.iter().collect();
        let created = |thread: &ThreadSummary| thread.created_at.as_ref()?.to_system_time();
        if threads.iter().all(|thread| created(thread).is_some()) {
            threads.sort_by_key(|thread| Reverse(created(thread)));
        }
        let ours = threads.iter().position(|thread| thread.id == *thread_id);
        let is_streaming = |thread: &&&ThreadSummary| thread.status == ThreadStatus::Streaming;
        let newest = threads.iter().find(is_streaming);
        let newer = threads.iter().take(ours.unwrap_or_default());
        Self {
            thread_id: thread_id.clone(),
            newest: newest.map(|thread| thread.id.clone()),
            newer: newer.map(|thread| (*thread).clone()).collect(),
            status: ours
                .and_then(|ours| threads.get(ours))
                .map(|thread| thread.status.clone()),
        }
    }

    /// Returns the state of our thread; `None` if it is not in the list.
    pub fn status(&self) -> Option<&ThreadStatus> {
        self.status.as_ref()
    }

    /// Returns the thread that resuming and cancelling reach, if any thread streams.
    pub fn newest(&self) -> Option<&ThreadId> {
        self.newest.as_ref()
    }

    /// Returns whether resuming and cancelling reach our thread.
    pub fn is_ours(&self) -> bool {
        self.newest.as_ref() == Some(&self.thread_id)
    }

    /// Returns whether a stream that was opened between two lists is ours. `before` is the first list, in which our thread was
    /// the target; this is the second. The stream is ours if no newer thread has changed or appeared, and no other thread is the
    /// target now.
    pub fn is_still_ours(&self, before: &Self) -> bool {
        self.newer == before.newer && (self.newest.is_none() || self.is_ours())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(id: &str, status: &str, created: &str) -> ThreadSummary {
        let thread = serde_json::json!({ "id": id, "status": status, "createdAt": created });
        serde_json::from_value(thread).unwrap()
    }

    fn streams(threads: &[ThreadSummary]) -> StreamTarget {
        StreamTarget::of(threads, &ThreadId::new("ours").unwrap())
    }

    #[test]
    fn the_newest_streaming_thread_is_the_target_in_any_order() {
        let newest = |threads: &[ThreadSummary]| streams(threads).newest().map(ToString::to_string);
        let old = thread("old", "streaming", "2026-01-01T00:00:00Z");
        let new = thread("new", "streaming", "2026-01-02T00:00:00Z");
        let over = thread("over", "completed", "2026-01-03T00:00:00Z");
        let undated = thread("undated", "streaming", "");
        assert_eq!(
            newest(&[over.clone(), new.clone(), old.clone()]).unwrap(),
            "new"
        );
        assert_eq!(newest(&[old, new, over.clone()]).unwrap(), "new");
        // Without dates, the order counts.
        let other = thread("other", "streaming", "");
        assert_eq!(newest(&[undated, other]).unwrap(), "undated");
        assert_eq!(newest(&[over]), None);
    }

    #[test]
    fn a_newer_run_in_between_makes_a_stream_doubtful_even_if_it_has_ended() {
        let ours = thread("ours", "streaming", "2026-01-01T00:00:00Z");
        let idle = thread("newer", "idle", "2026-01-02T00:00:00Z");
        let before = streams(&[idle.clone(), ours.clone()]);
        assert!(before.is_ours() && before.is_still_ours(&before));
        let over = thread("ours", "completed", "2026-01-01T00:00:00Z");
        assert!(streams(&[idle, over]).is_still_ours(&before));
        for status in ["streaming", "completed"] {
            let newer = thread("newer", status, "2026-01-02T00:00:00Z");
            assert!(!streams(&[newer, ours.clone()]).is_still_ours(&before));
        }
    }
}
