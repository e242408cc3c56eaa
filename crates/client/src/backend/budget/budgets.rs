use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use twentyfirst_transport::Runtime;

use super::{Bill, Budget, BudgetError, Payer, RunCost};
use crate::backend::Refusal;
use crate::backend::catch_panic::catch_panic;
use crate::backend::on_error::OnError;
use crate::backend::stored::Cause;
use crate::backend::within::within;
use crate::error::Error;

/// The time limit of a call of a budget.
const LONGEST_CALL: Duration = Duration::from_secs(5);

/// The budgets of a handler.
#[derive(Clone, Default)]
pub(in crate::backend) struct Budgets {
    budgets: Vec<Arc<dyn Erased>>,
    is_required: bool,
}

impl Budgets {
    pub(in crate::backend) fn add(&mut self, budget: impl Budget) {
        self.budgets.push(Arc::new(budget));
    }

    pub(in crate::backend) fn require(&mut self) {
        self.is_required = true;
    }

    /// Checks whether a turn may begin.
    pub(in crate::backend) async fn check(
        &self,
        runtime: &Arc<dyn Runtime>,
        on_error: &OnError,
        payer: &Payer,
    ) -> Result<(), Refusal> {
        for budget in &self.budgets {
            let checked = call(runtime, async { budget.check(payer).await }).await;
            match checked.unwrap_or_else(|failed| Err(BudgetError::unavailable(failed))) {
                Ok(()) => {}
                Err(BudgetError::Refused(refusal)) => return Err(refusal),
                Err(BudgetError::Unavailable(cause)) => {
                    on_error.report(&Error::budget_unavailable("checked", cause));
                    // By default a budget that is down does not take the whole chat down.
                    if self.is_required {
                        return Err(Refusal::new(
                            StatusCode::SERVICE_UNAVAILABLE,
                            "the budget is unavailable, try again",
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Creates the bill of a run, if there are budgets.
    pub(in crate::backend) fn bill(
        &self,
        runtime: &Arc<dyn Runtime>,
        on_error: &OnError,
        run: &str,
        payer: Payer,
    ) -> Option<Bill> {
        let budgets = self.budgets.clone();
        (!budgets.is_empty()).then(|| Bill::new(budgets, runtime, on_error, run, payer))
    }
}

type Boxed<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// [`Budget`] with boxed futures, so that it can be a trait object.
pub(super) trait Erased: Send + Sync {
    fn check<'a>(&'a self, payer: &'a Payer) -> Boxed<'a, (), BudgetError>;

    fn spent<'a>(&'a self, cost: &'a RunCost) -> Boxed<'a, (), Cause>;
}

impl<B: Budget> Erased for B {
    fn check<'a>(&'a self, payer: &'a Payer) -> Boxed<'a, (), BudgetError> {
        Box::pin(Budget::check(self, payer))
    }

    fn spent<'a>(&'a self, cost: &'a RunCost) -> Boxed<'a, (), Cause> {
        Box::pin(Budget::spent(self, cost))
    }
}

/// Calls a budget, for at most the time limit. `work` calls it when it is polled, so that a panic before its first await is
/// caught, too.
pub(super) async fn call<T>(
    runtime: &Arc<dyn Runtime>,
    work: impl Future<Output = T>,
) -> Result<T, NoResult> {
    match within(runtime, LONGEST_CALL, catch_panic(work)).await {
        Some(result) => result.ok_or(NoResult::Panicked),
        None => Err(NoResult::TimedOut),
    }
}

/// The error for a budget that returned nothing.
#[derive(Debug)]
pub(super) enum NoResult {
    TimedOut,
    Panicked,
}

impl fmt::Display for NoResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => write!(f, "the budget did not respond within {LONGEST_CALL:?}"),
            Self::Panicked => f.write_str("the budget panicked"),
        }
    }
}

impl StdError for NoResult {}
