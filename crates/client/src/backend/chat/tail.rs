/// The last bytes of an event stream.
#[derive(Default)]
pub(super) struct Tail {
    bytes: [u8; Self::LENGTH],
    length: usize,
}

impl Tail {
    /// Enough bytes to tell whether an event ends here, and whether it is the last one.
    const LENGTH: usize = 16;

    pub(super) fn push(&mut self, data: &[u8]) {
        // Pieces may be shorter than an ending, so earlier bytes stay in front of the new ones.
        let new = &data[data.len().saturating_sub(Self::LENGTH)..];
        let kept = self.length.min(Self::LENGTH - new.len());
        self.bytes.copy_within(self.length - kept..self.length, 0);
        self.length = kept + new.len();
        self.bytes[kept..self.length].copy_from_slice(new);
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Whether an event has begun and not ended. Events end with an empty line.
    pub(super) fn is_within_event(&self) -> bool {
        const ENDS: [&[u8]; 5] = [b"\n\n", b"\r\r", b"\n\r\n", b"\n\r", b"\r\r\n"];
        let bytes = self.bytes();
        !bytes.is_empty() && !ENDS.iter().any(|end| bytes.ends_with(end))
    }

    /// Whether `[DONE]` was the last event. No JSON ends like that.
    pub(super) fn is_done(&self) -> bool {
        !self.is_within_event() && self.bytes().trim_ascii_end().ends_with(b"[DONE]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(pieces: &[&str]) -> Tail {
        let mut tail = Tail::default();
        for piece in pieces {
            tail.push(piece.as_bytes());
        }
        tail
    }

    #[test]
    fn events_end_with_an_empty_line_however_it_is_cut() {
        for end in ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\r\r\n"] {
            let event = format!("data: {{\"type\":\"start-step\"}}{end}");
            for at in 0..=event.len() {
                let (left, right) = event.split_at(at);
                assert!(!tail(&[left, right]).is_within_event(), "{end:?} at {at}");
            }
        }
        assert!(!tail(&[]).is_within_event());
        for within in [
            "d",
            "data: {}",
            "data: {}\n",
            "data: {}\r\n",
            "data: {}\n\ndata",
        ] {
            assert!(tail(&[within]).is_within_event(), "{within:?}");
        }
    }

    #[test]
    fn the_last_event_is_known() {
        let long = "x".repeat(100);
        assert!(tail(&[&long, "\n\ndata: [DO", "NE]\n", "\n"]).is_done());
        assert!(tail(&["data: [DONE]\r\n\r\n"]).is_done());
        assert!(!tail(&["data: [DONE]\n"]).is_done());
        assert!(!tail(&["data: {\"type\":\"finish\"}\n\n"]).is_done());
    }
}
