use std::fmt;
use std::str::FromStr;

/// A position in a log. Entries are appended above all others, so positions grow. A claim begins a new epoch and fences the
/// writers of older ones: the store refuses their appends from then on.
///
/// Its text form is `epoch-seq`, like the ids of Redis streams.
///
/// ```
/// use twentyfirst_protocol::run_log::Position;
///
/// let at = Position::new(2, 7);
/// assert!(at > Position::new(1, 900));
/// assert_eq!("2-7".parse(), Ok(at));
/// ```
///
/// Deliberately exhaustive: a store writes both numbers, and would lose a third.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the claim: the fencing token.
    pub epoch: u64,
    /// The number of the entry in its epoch. The claim itself is 0.
    pub seq: u64,
}

impl Position {
    /// The position before every entry.
    pub const START: Self = Self::new(0, 0);

    /// Creates the position of an entry.
    #[must_use]
    pub const fn new(epoch: u64, seq: u64) -> Self {
        Self { epoch, seq }
    }

    /// Returns the position of the claim after this epoch.
    #[must_use]
    pub const fn next_claim(self) -> Self {
        Self::new(self.epoch.saturating_add(1), 0)
    }

    /// Returns the next position of the same epoch.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.epoch, self.seq.saturating_add(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().map_err(|_| NotAPosition),
            false => Err(NotAPosition),
        };
        let (epoch, seq) = text.split_once('-').ok_or(NotAPosition)?;
        Ok(Self::new(number(epoch)?, number(seq)?))
    }
}

/// The error for a text that is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position of a log: two numbers with `-` between them are expected")]
#[non_exhaustive]
pub struct NotAPosition;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_and_nothing_else_is_one() {
        for at in [
            Position::START,
            Position::new(1, 0),
            Position::new(u64::MAX, u64::MAX),
        ] {
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        for text in [
            "",
            "1",
            "-",
            "1-",
            "-1",
            "+1-0",
            "1-0-0",
            "1-18446744073709551616",
            " 1-0",
        ] {
            assert_eq!(text.parse::<Position>(), Err(NotAPosition), "{text:?}");
        }
    }

    #[test]
    fn a_claim_is_above_its_epoch() {
        let at = Position::new(3, u64::MAX);
        assert!(at.next_claim() > at && at.next_claim() < at.next_claim().next());
    }
}
