use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use twentyfirst_protocol::threads::Usage;
use twentyfirst_transport::Runtime;

use super::budgets::{Erased, LONGEST_CALL, Silent};
use super::{Payer, RunCost};
use crate::backend::on_error::OnError;
use crate::backend::within::within;
use crate::error::Error;

/// How long to wait before a budget is told again: at first, and at most.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long it is tried to tell a budget.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// Who is to be told what a run has cost.
#[derive(Clone)]
pub(in crate::backend) struct Bill {
    budgets: Vec<Arc<dyn Erased>>,
    runtime: Arc<dyn Runtime>,
    on_error: OnError,
    run: String,
    payer: Payer,
}

/// Ready when each budget was told, or could not be at once. Then it is tried further, also where this is dropped.
pub(in crate::backend) type Telling = Pin<Box<dyn Future<Output = ()> + Send>>;

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

    /// The runtime on which budgets are told.
    pub(in crate::backend) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// Tells each budget what the run has cost.
    pub(in crate::backend) fn tell(self, usage: Usage) -> Telling {
        let cost = RunCost::new(self.run, self.payer, usage);
        let mut told = Vec::new();
        for budget in self.budgets {
            let (tell, first) = oneshot::channel();
            told.push(first);
            let (runtime, on_error) = (Arc::clone(&self.runtime), self.on_error.clone());
            let telling = until_told(budget, runtime, on_error, cost.clone(), tell);
            self.runtime.spawn(Box::pin(telling));
        }
        Box::pin(async move {
            for first in told {
                // Where the task has failed, it says nothing.
                let _ = first.await;
            }
        })
    }
}

async fn until_told(
    budget: Arc<dyn Erased>,
    runtime: Arc<dyn Runtime>,
    on_error: OnError,
    cost: RunCost,
    tell: oneshot::Sender<()>,
) {
    let mut tell = Some(tell);
    let mut pause = PAUSE;
    let begun = runtime.now();
    loop {
        let told = within(&runtime, LONGEST_CALL, budget.spent(&cost)).await;
        let cause = match told.unwrap_or_else(|| Err(Silent.into())) {
            Ok(()) => return,
            Err(cause) => cause,
        };
        let is_last = runtime.now().saturating_duration_since(begun) >= LONGEST;
        if let Some(tell) = tell.take() {
            on_error.show(&Error::budget_unavailable("charged", cause));
            // Where nobody waits, it is tried all the same.
            let _ = tell.send(());
        } else if is_last {
            on_error.show(&Error::budget_unavailable("charged", cause));
        }
        if is_last {
            return;
        }
        runtime.sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
