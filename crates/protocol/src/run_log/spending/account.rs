use std::time::{Duration, SystemTime};

use super::Cost;
use crate::Timestamp;

/// An account for spending: an owner of chats, or a chat.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Account {
    /// An owner, over all of its chats.
    Owner(String),
    /// A chat. Chats of different owners are different chats.
    #[non_exhaustive]
    Chat {
        /// Its owner.
        owner: String,
        /// Its id.
        chat: String,
    },
}

impl Account {
    /// Returns the account of an owner.
    pub fn owner(owner: impl Into<String>) -> Self {
        Self::Owner(owner.into())
    }

    /// Returns the account of a chat.
    pub fn chat(owner: impl Into<String>, chat: impl Into<String>) -> Self {
        Self::Chat {
            owner: owner.into(),
            chat: chat.into(),
        }
    }

    /// Returns the accounts in which a run of this chat counts: the chat, and its owner if it has one.
    #[must_use]
    pub fn of_run(owner: &str, chat: &str) -> Vec<Self> {
        let mut accounts = vec![Self::chat(owner, chat)];
        if !owner.is_empty() {
            accounts.push(Self::owner(owner));
        }
        accounts
    }
}

/// The period over which spending is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Period {
    /// A day of UTC.
    Day,
    /// A month of UTC.
    #[default]
    Month,
    /// All time. The total is forgotten when nothing was spent for 400 days.
    Ever,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Period {
    /// Returns the name of the period at `now`: `2026-02-26`, `2026-02` or `ever`.
    #[must_use]
    pub fn name_at(self, now: SystemTime) -> String {
        let moment = Timestamp::from(now);
        let length = match self {
            Self::Day => "2026-02-26".len(),
            Self::Month => "2026-02".len(),
            Self::Ever => return self.as_str().to_owned(),
        };
        moment.as_str().chars().take(length).collect()
    }

    /// Returns the day on which the next period begins, as in `2026-03-01`, at 00:00 UTC.
    #[must_use]
    pub fn next_begins(self, now: SystemTime) -> Option<String> {
        let this = self.name_at(now);
        let mut day = now;
        match self {
            Self::Ever => return None,
            Self::Day => day += DAY,
            Self::Month => {
                while self.name_at(day) == this && day < now + 31 * DAY {
                    day += DAY;
                }
            }
        }
        Some(Self::Day.name_at(day))
    }

    /// Returns the period as one word: `day`, `month` or `ever`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Ever => "ever",
        }
    }

    /// Returns the time for which a log of this period is kept after its last entry: to the end of the period, and as long as a
    /// run may be reported again.
    pub(super) const fn ttl(self) -> Duration {
        let days = match self {
            Self::Day => 1,
            Self::Month => 31,
            Self::Ever => 400,
        };
        Duration::from_secs(days * DAY.as_secs() + Cost::TTL.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        let moment: Timestamp = serde_json::from_value(text.into()).unwrap();
        moment.to_system_time().unwrap()
    }

    #[test]
    fn a_period_has_a_name_and_a_next_one() {
        for (moment, day, month) in [
            ("2026-02-26T23:59:59.999Z", "2026-02-27", "2026-03-01"),
            ("2026-02-28T00:00:00Z", "2026-03-01", "2026-03-01"),
            ("2026-12-31T12:00:00Z", "2027-01-01", "2027-01-01"),
            ("2028-01-01T00:00:00Z", "2028-01-02", "2028-02-01"),
        ] {
            let now = at(moment);
            assert_eq!(Period::Day.name_at(now), moment[..10]);
            assert_eq!(Period::Month.name_at(now), moment[..7]);
            assert_eq!(Period::Day.next_begins(now).as_deref(), Some(day));
            assert_eq!(Period::Month.next_begins(now).as_deref(), Some(month));
        }
        let now = at("2026-02-26T00:00:00Z");
        assert_eq!(Period::Ever.name_at(now), "ever");
        assert_eq!(Period::Ever.next_begins(now), None);
    }
}
