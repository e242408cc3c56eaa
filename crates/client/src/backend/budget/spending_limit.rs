use std::fmt;
use std::future::pending;
use std::time::{Duration, SystemTime};

use twentyfirst_protocol::run_log::{
    Account, Cost, Counted, Counting, CountingEnd, CountingStep, LogId, Period, Spent, Usd,
};
use twentyfirst_run_log::{AnyRunLog, MemoryLog, RunLog};

use super::{Budget, BudgetError, Payer, RunCost};
use crate::backend::Refusal;
use crate::backend::refusal::over_budget;
use crate::backend::stored::{self, Cause};
use crate::error::Error;

/// The most bytes that spending takes in memory.
const MEMORY: usize = 64 << 20;

/// The most entries that are read at once.
const PAGE: usize = 1000;

/// A [`Budget`] in US dollars for each user or each chat: per day, per month, or without a period. It also returns what each has
/// spent.
///
/// ```
/// use twentyfirst_client::backend::{ChatHandler, Period, SpendingLimit};
/// use twentyfirst_client::run_log::RunLog;
///
/// # async fn example(chats: ChatHandler, log: impl RunLog + Clone) -> Result<(), twentyfirst_client::Error> {
/// let spending = SpendingLimit::in_run_log(log.clone(), Period::Month).per_owner(20.0);
/// let chats = chats.run_log(log).budget(spending.clone());
///
/// let spent = spending.spent_by("user-1").await?;
/// println!("{} runs, {}, {} tokens", spent.runs, spent.cost, spent.total_tokens);
/// # Ok(())
/// # }
/// ```
///
/// Without a limit it only counts. A handler can have several budgets, for example to limit a day and a month.
///
/// # What counts
/// A run counts once it is over, if its usage is known: for its chat and for its [owner](super::super::ChatRun::owner), in the
/// UTC period in which it ended. A chat without an owner is subject to both limits. Runs under way do not count yet, so they can
/// exceed a limit by their cost; [`max_budget_usd`](crate::RunOptions::max_budget_usd) limits each of them.
///
/// As soon as the limit is reached, turns are refused with 402: `{"error": "budget exceeded: 20.03 USD of 20 USD spent this
/// month; it resets on 2026-03-01 (UTC)"}`.
#[derive(Clone)]
pub struct SpendingLimit {
    store: AnyRunLog,
    period: Period,
    per_owner: Option<Usd>,
    per_chat: Option<Usd>,
}

impl SpendingLimit {
    /// Counts in the memory of this process, in at most 64 MiB, for a single instance. The counts are lost when the process ends.
    #[must_use]
    pub fn in_memory(period: Period) -> Self {
        // No reader waits for new entries in this log, so it needs no timer.
        let store = MemoryLog::new(|_: Duration| pending()).with_limit(MEMORY);
        Self::in_run_log(store, period)
    }

    /// Counts in a store that all instances share, such as that of the [run log](super::super::ChatHandler::run_log).
    ///
    /// It takes about 200 bytes per run for the chat, and the same for the owner. Counts of a day or a month are kept until 72 h
    /// after the period, counts without a period until 400 days after the last spending. Entries that the store loses no longer
    /// count.
    #[must_use]
    pub fn in_run_log(store: impl RunLog, period: Period) -> Self {
        Self {
            store: AnyRunLog::new(store),
            period,
            per_owner: None,
            per_chat: None,
        }
    }

    /// Limits the spending of each owner over all of its chats, in US dollars. With 0 or less, no turn begins.
    #[must_use]
    pub fn per_owner(mut self, dollars: f64) -> Self {
        self.per_owner = Some(Usd::from_dollars(dollars));
        self
    }

    /// Limits the spending of each chat, in US dollars. With 0 or less, no turn begins.
    #[must_use]
    pub fn per_chat(mut self, dollars: f64) -> Self {
        self.per_chat = Some(Usd::from_dollars(dollars));
        self
    }

    /// Returns the spending of an owner in the current period.
    ///
    /// # Errors
    /// [`Error::is_budget_unavailable`] if the store failed, or its entry cannot be read.
    pub async fn spent_by(&self, owner: &str) -> Result<Spent, Error> {
        let account = Account::owner(owner);
        let spent = self.spent_from(&account, SystemTime::now()).await;
        spent.map_err(unavailable)
    }

    /// Returns the spending of a chat of this owner in the current period.
    ///
    /// # Errors
    /// The same as for [`spent_by`](Self::spent_by).
    pub async fn spent_in(&self, owner: &str, chat: &str) -> Result<Spent, Error> {
        let account = Account::chat(owner, chat);
        let spent = self.spent_from(&account, SystemTime::now()).await;
        spent.map_err(unavailable)
    }

    /// Returns the usage and cost of a run by its id, as in `x-workflow-run-id`. It is kept for 72 h. To store costs in your
    /// database, use [`Budget::spent`] or [`ChatRun::observe`](super::super::ChatRun::observe).
    ///
    /// # Errors
    /// The same as for [`spent_by`](Self::spent_by).
    pub async fn spent_on(&self, run: &str) -> Result<Option<Spent>, Error> {
        let last = self.store.last(&LogId::cost(run, self.period)).await;
        let Some((_, entry)) = last.map_err(|error| unavailable(error.into()))? else {
            return Ok(None);
        };
        let cost = Cost::decode(&entry);
        let cost = cost.map_err(|error| unavailable(error.into()))?;
        Ok(Some(cost.spent))
    }

    async fn spent_from(&self, account: &Account, now: SystemTime) -> Result<Spent, Cause> {
        let log = LogId::spent(account, self.period, now);
        match self.store.last(&log).await? {
            Some((_, entry)) => Ok(Counted::decode(&entry)?.total),
            None => Ok(Spent::default()),
        }
    }

    /// Returns the accounts that a turn of a chat is checked against, with their limits.
    fn limits(&self, payer: &Payer) -> Vec<(&'static str, Account, Usd)> {
        let Payer { owner, chat } = payer;
        let of_chat = Account::chat(owner, chat);
        // Without an owner, both limits are for the chat: chats of nobody must not use up each other's budget.
        let of_owner = match owner.is_empty() {
            true => of_chat.clone(),
            false => Account::owner(owner),
        };
        let owner = self.per_owner.map(|limit| ("budget", of_owner, limit));
        let chat = self.per_chat.map(|limit| ("chat budget", of_chat, limit));
        owner.into_iter().chain(chat).collect()
    }

    fn exceeded(&self, budget: &str, spent: Usd, limit: Usd, now: SystemTime) -> Refusal {
        let when = match self.period {
            Period::Day => " today",
            Period::Month => " this month",
            _ => "",
        };
        let anew = self.period.next_begins(now);
        let anew = anew.map(|day| format!("; it resets on {day} (UTC)"));
        Refusal::payment_required(format!(
            "{}{when}{}",
            over_budget(&format!("{budget} exceeded"), spent, limit),
            anew.unwrap_or_default()
        ))
    }

    async fn count(&self, mut counting: Counting) -> Result<(), Cause> {
        let store = &self.store;
        // The last failure of the store is the cause if counting fails. The machine itself sees only that there was one.
        let mut cause = None;
        loop {
            match counting.poll() {
                CountingStep::Last(log) => {
                    let (found, failed) = stored::last(store.last(&log).await);
                    cause = failed.or(cause);
                    counting.handle_last(found);
                }
                CountingStep::Read(log, after) => {
                    let reading = store.read(&log, after, PAGE, Duration::ZERO);
                    let (page, failed) = stored::page(reading.await);
                    cause = failed.or(cause);
                    counting.handle_page(page);
                }
                CountingStep::Append(log, append) => {
                    let appending = store.append(&log, append.at, append.entry, append.keep);
                    let (appended, failed) = stored::appended(appending.await);
                    cause = failed.or(cause);
                    counting.handle_append(appended);
                }
                CountingStep::Over(CountingEnd::Counted) => return Ok(()),
                CountingStep::Over(CountingEnd::Unreadable(error)) => return Err(error.into()),
                _ => {
                    return Err(cause
                        .unwrap_or_else(|| "the store lost the entries of this account".into()));
                }
            }
        }
    }
}

impl Budget for SpendingLimit {
    async fn check(&self, payer: &Payer) -> Result<(), BudgetError> {
        let now = SystemTime::now();
        for (budget, account, limit) in self.limits(payer) {
            let spent = self.spent_from(&account, now).await;
            let spent = spent.map_err(BudgetError::Unavailable)?.cost;
            // Reaching the limit is enough, so that a limit of 0 allows nothing.
            if spent >= limit {
                return Err(self.exceeded(budget, spent, limit, now).into());
            }
        }
        Ok(())
    }

    async fn spent(&self, cost: &RunCost) -> Result<(), Cause> {
        let Some(spent) = Spent::by_run(&cost.usage) else {
            // Nothing is known of the usage, so there is nothing to count, and an error would only be retried.
            return Ok(());
        };
        let Payer { owner, chat } = &cost.payer;
        let now = SystemTime::now();
        self.count(Counting::new(
            &cost.run,
            owner,
            chat,
            spent,
            self.period,
            now,
        ))
        .await
    }
}

fn unavailable(cause: Cause) -> Error {
    Error::budget_unavailable("checked", cause)
}

impl fmt::Debug for SpendingLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpendingLimit")
            .field("period", &self.period)
            .field("per_owner", &self.per_owner)
            .field("per_chat", &self.per_chat)
            .finish_non_exhaustive()
    }
}
