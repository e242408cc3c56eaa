//! Budgets: what a turn may cost, and what runs have cost.
//!
//! ```text
//!   turn ─► Budgets::check ─┬─ refused ─────────────────────► refusal
//!                           └─ allowed, or unavailable and not required ─► run
//!                                                                           │ over
//!      the end is written to the log ◄── accepted, or failed once ◄── Bill ─┘
//!                                                     └─ retried for 10 min in a task
//! ```

mod bill;
mod budgets;
mod spending_limit;

use std::error::Error as StdError;
use std::fmt;

use twentyfirst_protocol::threads::Usage;

use super::Refusal;

pub(super) use self::bill::{Bill, Delivery};
pub(super) use self::budgets::Budgets;
pub use self::spending_limit::SpendingLimit;
pub use twentyfirst_protocol::run_log::{Period, Spent, Usd};

/// Decides whether a turn may begin, and records the cost of each run. Pass it to
/// [`ChatHandler::budget`](super::ChatHandler::budget).
///
/// [`SpendingLimit`] implements it with a limit in US dollars for each user or chat. This one counts in its own database:
///
/// ```
/// use std::error::Error;
///
/// use twentyfirst_client::backend::{Budget, BudgetError, Payer, Refusal, RunCost};
/// # #[derive(Clone)]
/// # struct Database;
/// # impl Database {
/// #     async fn credit(&self, user: &str) -> Result<f64, std::io::Error> { Ok(0.0) }
/// #     async fn charge(&self, user: &str, run: &str, dollars: f64) -> Result<(), std::io::Error> { Ok(()) }
/// # }
///
/// struct Credits(Database);
///
/// impl Budget for Credits {
///     async fn check(&self, payer: &Payer) -> Result<(), BudgetError> {
///         let credit = self.0.credit(&payer.owner).await;
///         match credit.map_err(BudgetError::unavailable)? {
///             credit if credit > 0.0 => Ok(()),
///             _ => Err(Refusal::payment_required("please buy more credits").into()),
///         }
///     }
///
///     async fn spent(&self, cost: &RunCost) -> Result<(), Box<dyn Error + Send + Sync>> {
///         let dollars = cost.usage.total_cost_usd.unwrap_or_default();
///         // The cost of a run may be reported more than once: its id is the key.
///         self.0.charge(&cost.payer.owner, &cost.run, dollars).await?;
///         Ok(())
///     }
/// }
/// ```
pub trait Budget: Send + Sync + 'static {
    /// Decides whether a turn may begin. It is called before anything is started, and again when a turn that has
    /// [waited](super::ChatRun::turn_order) is about to start.
    ///
    /// # Errors
    /// [`BudgetError::Refused`] with the response for the browser; [`BudgetError::Unavailable`] if the budget is unknown. A
    /// panic counts as unavailable.
    ///
    /// # Cancel safety
    /// The future is dropped if the browser leaves, and after 5 s, which counts as unavailable.
    fn check(&self, payer: &Payer) -> impl Future<Output = Result<(), BudgetError>> + Send;

    /// Records the usage and cost of a run that is over. The instance that reads the end of the run calls it before it writes the
    /// end to the log. If it dies in between, the instance that takes over calls this again. Use [`RunCost::run`] to recognize
    /// repetitions.
    ///
    /// # Errors
    /// Any error. The call is repeated after growing delays, for 10 min, and so is one that panics.
    ///
    /// # Cancel safety
    /// The future is dropped after 5 s, which counts as a failure.
    fn spent(
        &self,
        cost: &RunCost,
    ) -> impl Future<Output = Result<(), Box<dyn StdError + Send + Sync>>> + Send;
}

/// The user and the chat that a turn is charged to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payer {
    /// The [owner](super::ChatRun::owner) of the chat. Empty if none is set.
    pub owner: String,
    /// The id of the chat, chosen by the browser.
    pub chat: String,
}

impl Payer {
    /// Creates a payer from the owner of a chat and the chat.
    pub fn new(owner: impl Into<String>, chat: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            chat: chat.into(),
        }
    }
}

/// The usage and cost of a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunCost {
    /// The id of the run, as in `x-workflow-run-id`. Use it to recognize repetitions.
    pub run: String,
    /// The user and the chat to charge.
    pub payer: Payer,
    /// The usage and cost, as far as known. For a run that was lost or cancelled, possibly nothing is known.
    pub usage: Usage,
}

impl RunCost {
    /// Creates the cost of a run.
    pub fn new(run: impl Into<String>, payer: Payer, usage: Usage) -> Self {
        Self {
            run: run.into(),
            payer,
            usage,
        }
    }
}

/// The reason why a [`Budget`] did not allow a turn.
#[derive(Debug)]
#[non_exhaustive]
pub enum BudgetError {
    /// The turn is refused with this response.
    Refused(Refusal),
    /// The budget is unknown. The turn begins all the same, unless [a budget is required](super::ChatHandler::require_budget).
    /// [`on_error`](super::ChatHandler::on_error) is called with the cause.
    Unavailable(Box<dyn StdError + Send + Sync>),
}

impl BudgetError {
    /// Creates the error for a budget that is unknown because of `cause`.
    pub fn unavailable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into())
    }
}

impl From<Refusal> for BudgetError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unavailable(_) => f.write_str("the budget is not available"),
        }
    }
}

impl StdError for BudgetError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::Unavailable(cause) => Some(&**cause),
        }
    }
}
