use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use twentyfirst_protocol::threads::Usage;
use twentyfirst_transport::Runtime;

use super::budgets::{Erased, call};
use super::{Payer, RunCost};
use crate::backend::on_error::OnError;
use crate::error::Error;

/// The delays before a budget is called again: the first one, doubling up to the longest.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The time after which calling a budget is given up.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// The cost of a run, to be delivered to the budgets.
#[derive(Clone)]
pub(in crate::backend) struct Bill {
    budgets: Vec<Arc<dyn Erased>>,
    runtime: Arc<dyn Runtime>,
    on_error: OnError,
    run: String,
    payer: Payer,
}

/// Completes when each budget has accepted the cost, or has failed once. After a failure a task goes on retrying, even if this is
/// dropped.
pub(in crate::backend) type Delivery = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Bill {
    pub(super) fn new(
        budgets: Vec<Arc<dyn Erased>>,
        runtime: &Arc<dyn Runtime>,
        on_error: &OnError,
        run: &str,
        payer: Payer,
    ) -> Self {
        Self {
            budgets,
            runtime: Arc::clone(runtime),
            on_error: on_error.clone(),
            run: run.to_owned(),
            payer,
        }
    }

    /// Returns the runtime on which the budgets are called.
    pub(in crate::backend) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// Delivers the cost of the run to each budget.
    pub(in crate::backend) fn deliver(self, usage: Usage) -> Delivery {
        let cost = RunCost::new(self.run, self.payer, usage);
        let mut first_results = Vec::new();
        for budget in self.budgets {
            let (sender, first) = oneshot::channel();
            first_results.push(first);
            let (runtime, on_error) = (Arc::clone(&self.runtime), self.on_error.clone());
            let delivery = deliver_to(budget, runtime, on_error, cost.clone(), sender);
            // A task for each budget: one that hangs must not delay the others.
            self.runtime.spawn(Box::pin(delivery));
        }
        Box::pin(async move {
            for first in first_results {
                // An error means that the task is gone, so there is nothing left to wait for.
                let _ = first.await;
            }
        })
    }
}

async fn deliver_to(
    budget: Arc<dyn Erased>,
    runtime: Arc<dyn Runtime>,
    on_error: OnError,
    cost: RunCost,
    first: oneshot::Sender<()>,
) {
    let mut first = Some(first);
    let mut pause = PAUSE;
    let begun = runtime.now();
    loop {
        let result = call(&runtime, async { budget.spent(&cost).await }).await;
        let cause = match result.unwrap_or_else(|failed| Err(failed.into())) {
            Ok(()) => return,
            Err(cause) => cause,
        };
        let is_last = runtime.now().saturating_duration_since(begun) >= LONGEST;
        // The first failure and the last one are reported, and not every retry in between.
        if let Some(first) = first.take() {
            on_error.report(&Error::budget_unavailable("charged", cause));
            // Fails only if nobody waits any more. The retries go on all the same.
            let _ = first.send(());
        } else if is_last {
            on_error.report(&Error::budget_unavailable("charged", cause));
        }
        if is_last {
            return;
        }
        runtime.sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
