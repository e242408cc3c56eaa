use http::request::Parts;

use crate::backend::Refusal;

/// From which chunk on a browser wants a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::chat) enum Cursor {
    /// From this one on; the first is 0.
    From(u64),
    /// From the one behind this on: what a reader of events asks for that comes back by itself.
    Behind(u64),
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
        let last = last.to_str().ok().and_then(number);
        let last = last.filter(|last| *last < u64::MAX);
        last.map(Self::Behind).ok_or_else(|| {
            Refusal::bad_request("`Last-Event-ID` is not the id of an event of this stream")
        })
    }

    fn index(text: &str) -> Option<Self> {
        match text.strip_prefix('-') {
            Some(text) => number(text).map(Self::Last),
            None => number(text).map(Self::From),
        }
    }

    pub(super) fn is_from_end(self) -> bool {
        matches!(self, Self::Last(_))
    }

    /// The first chunk, of a log that has so many.
    pub(super) fn first(self, total: u64) -> u64 {
        match self {
            Self::From(first) => first,
            Self::Behind(last) => last.saturating_add(1),
            Self::Last(count) => total.saturating_sub(count),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
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
        assert_eq!(cursor("", Some("41")), Some(Cursor::Behind(41)));
        assert_eq!(cursor("?startIndex=7", Some("41")), Some(Cursor::From(7)));
        for wrong in [
            "?startIndex=",
            "?startIndex=x",
            "?startIndex=+1",
            "?startIndex=--1",
            "?startIndex=1.5",
        ] {
            assert_eq!(cursor(wrong, None), None, "{wrong}");
        }
        for wrong in ["", "x", "-1", "18446744073709551615"] {
            assert_eq!(cursor("", Some(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn the_last_chunks_of_a_short_log_are_all() {
        assert_eq!(Cursor::Last(10).first(25), 15);
        assert_eq!(Cursor::Last(10).first(4), 0);
        assert_eq!(Cursor::From(3).first(1), 3);
    }
}
