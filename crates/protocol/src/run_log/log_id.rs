use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Account, Period};

/// The name of a log in a store.
///
/// It consists of letters, digits, `-`, `.`, `_`, `~`, `%` and `/`, whatever ids it contains. Its length is that of the ids, or
/// up to three times that if they need escaping. Different ids give different names. Clones share the name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(Arc<str>);

/// Everything but RFC 3986's unreserved characters, so that ids contain no separators and nothing that a store could misread.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl LogId {
    /// Returns the name of a chat's log, with one entry for each turn. Chats of different owners are different chats.
    #[must_use]
    pub fn chat(owner: &str, chat: &str) -> Self {
        Self(format!("chat/{}/{}", escaped(owner), escaped(chat)).into())
    }

    /// Returns the name of a run's log, which contains its answer.
    #[must_use]
    pub fn run(run: &str) -> Self {
        Self(format!("run/{}", escaped(run)).into())
    }

    /// Returns the name of the log that says if a run should stop.
    #[must_use]
    pub fn stop(run: &str) -> Self {
        Self(format!("run/{}/stop", escaped(run)).into())
    }

    /// Returns the name of the log of an account's spending in the period at `now`, with one entry for each counted run.
    #[must_use]
    pub fn spent(account: &Account, period: Period, now: SystemTime) -> Self {
        let period = period.name_at(now);
        let name = match account {
            Account::Owner(owner) => format!("spent/owner/{}/{period}", escaped(owner)),
            Account::Chat { owner, chat } => {
                format!("spent/chat/{}/{}/{period}", escaped(owner), escaped(chat))
            }
        };
        Self(name.into())
    }

    /// Returns the name of the log with the cost of a run, for counting in periods of this kind.
    #[must_use]
    pub fn cost(run: &str, period: Period) -> Self {
        Self(format!("run/{}/cost/{}", escaped(run), period.as_str()).into())
    }

    /// Returns the name of a register: the runs that an instance is responsible for.
    #[must_use]
    pub fn register(register: &str) -> Self {
        Self(format!("register/{}", escaped(register)).into())
    }

    /// Returns the name of the roster of a day: the registers that were written then. Days are counted from 1970, in UTC.
    #[must_use]
    pub fn roster(day: u64) -> Self {
        Self(format!("roster/{day}").into())
    }

    /// Returns the name as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn escaped(id: &str) -> impl fmt::Display {
    utf8_percent_encode(id, ESCAPED)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn different_ids_name_different_logs(a in any::<[String; 2]>(), b in any::<[String; 2]>()) {
            let chat = |[owner, chat]: &[String; 2]| LogId::chat(owner, chat);
            prop_assert_eq!(chat(&a) == chat(&b), a == b);
            let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%/".contains(&byte);
            prop_assert!(chat(&a).as_str().bytes().all(safe));
            prop_assert_ne!(LogId::run(&a[0]), LogId::stop(&b[0]));
            let spent = |account| LogId::spent(&account, Period::Day, SystemTime::UNIX_EPOCH);
            let spent_in = |[owner, chat]: &[String; 2]| spent(Account::chat(owner, chat));
            prop_assert_eq!(spent_in(&a) == spent_in(&b), a == b);
            prop_assert!(spent_in(&a).as_str().bytes().all(safe));
            prop_assert_ne!(spent(Account::owner(&a[0])), spent_in(&b));
        }
    }

    #[test]
    fn a_separator_in_an_id_separates_nothing() {
        assert_ne!(LogId::chat("a/b", "c"), LogId::chat("a", "b/c"));
        assert_eq!(LogId::run("r/stop").as_str(), "run/r%2Fstop");
    }
}
