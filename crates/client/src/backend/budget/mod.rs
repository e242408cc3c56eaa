//! What may be spent, and what was.

mod bill;
mod budgets;
mod spending_limit;

use std::error::Error as StdError;
use std::fmt;

use twentyfirst_protocol::threads::Usage;

use super::Refusal;

pub(super) use self::bill::{Bill, Telling};
pub(super) use self::budgets::Budgets;
pub use self::spending_limit::SpendingLimit;
pub use twentyfirst_protocol::run_log::{Period, Spent, Usd};

/// Decides whether a turn may cost something, and is told what each run has cost: for
/// [`ChatHandler::budget`](super::ChatHandler::budget).
///
/// [`SpendingLimit`] is one: so many dollars for each user or chat. This one counts in a database of its own:
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
///         // A run may be told of more than once: its id is the key.
///         self.0.charge(&cost.payer.owner, &cost.run, dollars).await?;
///         Ok(())
///     }
/// }
/// ```
pub trait Budget: Send + Sync + 'static {
    /// Decides whether a turn may begin. Called before anything is started, and again when a turn that has
    /// [waited](super::ChatRun::turn_order) is about to start.
    ///
    /// # Errors
    /// [`BudgetError::Refused`] with what the browser gets; [`BudgetError::Unavailable`] where it cannot be told.
    ///
    /// # Cancel safety
    /// The future is dropped where the browser leaves, and after 5 s, which counts as unavailable.
    fn check(&self, payer: &Payer) -> impl Future<Output = Result<(), BudgetError>> + Send;

    /// Takes what a run has used and cost, when it is over. Called at least once for each run that comes to its end here, before its
    /// end stands in the log: so where an instance dies meanwhile, the one that takes over calls it again. [`RunCost::run`] tells
    /// repetitions.
    ///
    /// # Errors
    /// Any cause. Then it is called again after pauses that grow, for 10 min.
    ///
    /// # Cancel safety
    /// The future is dropped after 5 s, which counts as a failure.
    fn spent(
        &self,
        cost: &RunCost,
    ) -> impl Future<Output = Result<(), Box<dyn StdError + Send + Sync>>> + Send;
}

/// Whose turn it is, and who pays for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payer {
    /// The [owner](super::ChatRun::owner) of the chat; empty where none is named.
    pub owner: String,
    /// The id of the chat. The browser has chosen it.
    pub chat: String,
}

impl Payer {
    /// The owner of a chat.
    pub fn new(owner: impl Into<String>, chat: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            chat: chat.into(),
        }
    }
}

/// What a run has used and cost.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunCost {
    /// The id of the run, as in `x-workflow-run-id`. It tells repetitions.
    pub run: String,
    /// Who pays.
    pub payer: Payer,
    /// What it has used and cost, as far as it is known: of a run that is lost or was cancelled, perhaps nothing is.
    pub usage: Usage,
}

impl RunCost {
    /// What this run has used and cost.
    pub fn new(run: impl Into<String>, payer: Payer, usage: Usage) -> Self {
        Self {
            run: run.into(),
            payer,
            usage,
        }
    }
}

/// Why a [`Budget`] lets no turn begin.
#[derive(Debug)]
#[non_exhaustive]
pub enum BudgetError {
    /// The turn is refused: the browser gets this.
    Refused(Refusal),
    /// The budget cannot be told. The turn begins all the same, unless [a budget is
    /// required](super::ChatHandler::require_budget), and [`on_error`](super::ChatHandler::on_error) sees why.
    Unavailable(Box<dyn StdError + Send + Sync>),
}

impl BudgetError {
    /// The budget cannot be told, for this cause.
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
