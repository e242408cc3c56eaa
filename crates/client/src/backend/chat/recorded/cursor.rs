use http::request::Parts;

use super::event_id::{EventIds, number};
use crate::backend::Refusal;

/// The first chunk of a run that a browser wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend::chat) enum Cursor {
    /// This chunk; the first has the index 0.
    From(u64),
    /// The chunk after the event with this id, for readers that reconnect by themselves. The start, if the id is not one of the
    /// run.
    After(String),
    /// The last chunks, of this number.
    Last(u64),
}

impl Cursor {
    /// Reads the cursor from a request: `startIndex` in the query, or else `Last-Event-ID`, or else the start.
    pub(in crate::backend::chat) fn of(head: &Parts) -> Result<Self, Refusal> {
        let query = head.uri.query().unwrap_or_default();
        let start = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("startIndex="));
        // A page asks for an index on purpose, while an `EventSource` adds the header by itself. So the index wins.
        if let Some(start) = start {
            return Self::index(start)
                .ok_or_else(|| Refusal::bad_request("`startIndex` is not an integer"));
        }
        let Some(last) = head.headers.get("last-event-id") else {
            return Ok(Self::From(0));
        };
        // This header comes from readers that reconnect by themselves. A 400 would end them for good, so any value is accepted.
        let last = last.to_str().unwrap_or_default();
        Ok(Self::After(last.to_owned()))
    }

    fn index(text: &str) -> Option<Self> {
        match text.strip_prefix('-') {
            Some(text) => number(text).map(Self::Last),
            None => number(text).map(Self::From),
        }
    }

    pub(super) fn is_from_end(&self) -> bool {
        matches!(self, Self::Last(_))
    }

    pub(super) fn is_after(&self) -> bool {
        matches!(self, Self::After(_))
    }

    /// Returns the index of the first chunk, for a run whose log has `total` chunks.
    pub(super) fn first(&self, run: &str, total: u64) -> u64 {
        match self {
            Self::From(first) => *first,
            Self::After(id) => {
                let last = EventIds::of_run(run).index(id);
                last.map_or(0, |last| last.saturating_add(1))
            }
            // A log with fewer chunks is sent whole.
            Self::Last(count) => total.saturating_sub(*count),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn cursor(query: &str, last: Option<&str>) -> Option<Cursor> {
        let mut request = Request::get(format!("/api/chat/c/stream{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        Cursor::of(&head).ok()
    }

    #[test]
    fn a_browser_says_where_it_goes_on() {
        assert_eq!(cursor("", None), Some(Cursor::From(0)));
        assert_eq!(cursor("?startIndex=7", None), Some(Cursor::From(7)));
        assert_eq!(cursor("?a=b&startIndex=-10", None), Some(Cursor::Last(10)));
        let after = Cursor::After("1f2e3d4c-41".to_owned());
        assert_eq!(cursor("", Some("1f2e3d4c-41")), Some(after));
        assert_eq!(
            cursor("?startIndex=7", Some("1f2e3d4c-41")),
            Some(Cursor::From(7))
        );
        for wrong in [
            "?startIndex=",
            "?startIndex=x",
            "?startIndex=+1",
            "?startIndex=--1",
            "?startIndex=1.5",
        ] {
            assert_eq!(cursor(wrong, None), None, "{wrong}");
        }
    }

    #[test]
    fn an_event_of_another_run_means_the_start() {
        let after = |id: &str| Cursor::After(id.to_owned()).first("run-1f2e3d4c5b6a", 25);
        assert_eq!(after("1f2e3d4c-41"), 42);
        assert_eq!(after("1f2e3d4c-18446744073709551615"), u64::MAX);
        for other in ["5b6a1f2e-41", "41", "1f2e3d4c-", "1f2e3d4c-x", ""] {
            assert_eq!(after(other), 0, "{other:?}");
        }
    }

    #[test]
    fn the_last_chunks_of_a_short_log_are_all() {
        assert_eq!(Cursor::Last(10).first("run-1", 25), 15);
        assert_eq!(Cursor::Last(10).first("run-1", 4), 0);
        assert_eq!(Cursor::From(3).first("run-1", 1), 3);
    }
}
