use http::request::Parts;

use super::event_id::{EventIds, number};
use crate::backend::Refusal;

/// From which chunk on a browser wants a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend::chat) enum Cursor {
    /// From this one on; the first is 0.
    From(u64),
    /// From the one behind the event with this id on: what a reader of events asks for that comes back by itself. From the start if it is
    /// no event of the run.
    Behind(String),
    /// The last so many.
    Last(u64),
}

impl Cursor {
    /// What a request says: `startIndex` in the query, or else behind the event of `Last-Event-ID`; the start where it says nothing.
    pub(in crate::backend::chat) fn of(head: &Parts) -> Result<Self, Refusal> {
        let query = head.uri.query().unwrap_or_default();
        let start = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("startIndex="));
        if let Some(start) = start {
            return Self::index(start)
                .ok_or_else(|| Refusal::bad_request("`startIndex` is not an integer"));
        }
        let Some(last) = head.headers.get("last-event-id") else {
            return Ok(Self::From(0));
        };
        // Whoever sends it is a reader that connects again by itself, which 400 would end for good.
        let last = last.to_str().unwrap_or_default();
        Ok(Self::Behind(last.to_owned()))
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

    pub(super) fn is_behind(&self) -> bool {
        matches!(self, Self::Behind(_))
    }

    /// The first chunk, of a run whose log has so many.
    pub(super) fn first(&self, run: &str, total: u64) -> u64 {
        match self {
            Self::From(first) => *first,
            Self::Behind(id) => {
                let last = EventIds::of_run(run).index(id);
                last.map_or(0, |last| last.saturating_add(1))
            }
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
        let behind = Cursor::Behind("1f2e3d4c-41".to_owned());
        assert_eq!(cursor("", Some("1f2e3d4c-41")), Some(behind));
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
        let behind = |id: &str| Cursor::Behind(id.to_owned()).first("run-1f2e3d4c5b6a", 25);
        assert_eq!(behind("1f2e3d4c-41"), 42);
        assert_eq!(behind("1f2e3d4c-18446744073709551615"), u64::MAX);
        for other in ["5b6a1f2e-41", "41", "1f2e3d4c-", "1f2e3d4c-x", ""] {
            assert_eq!(behind(other), 0, "{other:?}");
        }
    }

    #[test]
    fn the_last_chunks_of_a_short_log_are_all() {
        assert_eq!(Cursor::Last(10).first("run-1", 25), 15);
        assert_eq!(Cursor::Last(10).first("run-1", 4), 0);
        assert_eq!(Cursor::From(3).first("run-1", 1), 3);
    }
}
