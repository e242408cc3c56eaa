use super::{Run, RunResult};

pub(super) async fn echo(run: Run) -> RunResult {
    run.say(run.text()).await;
    run.count_words().await;
    Ok(())
}
