use std::time::{Duration, Instant};

use super::subject::{Checked, KEEP, PATIENCE, Subject, done, ensure, equal};
use crate::{AppendError, Keep, Position, ReadError, RunLog};

const SHORT: Duration = Duration::from_secs(1);

pub(super) async fn a_log_expires_and_is_never_recreated(s: Subject<'_, impl RunLog>) -> Checked {
    let id = s.id(1);
    let claim = Position::new(7, 0);
    let keep = Keep::existing(SHORT);
    let append = |at, keep| s.log.append(&id, at, "a".into(), keep);
    let start = Instant::now();
    done("creating", append(claim, keep.or_create()).await)?;

    // A read that waits when the log expires returns well before the end of its wait.
    loop {
        match s.log.read(&id, claim, 1, PATIENCE).await {
            Err(ReadError::Missing) => break,
            Ok(page) if page.is_empty() => {}
            other => return Err(format!("Missing expected, but it is {other:?}")),
        }
        ensure(start.elapsed() < PATIENCE, || {
            "a log that expired is still there".to_owned()
        })?;
    }
    let took = start.elapsed();
    ensure(took >= SHORT / 2, || format!("it expired after {took:?}"))?;
    ensure(took < PATIENCE / 2, || format!("it expired after {took:?}"))?;

    equal(
        "the last entry",
        &done("reading", s.log.last(&id).await)?,
        &None,
    )?;
    for at in [claim, claim.next(), claim.next_claim()] {
        let append = append(at, KEEP).await;
        ensure(matches!(append, Err(AppendError::Missing)), || {
            format!("append at {at}: Missing expected, but it is {append:?}")
        })?;
    }
    let read = s.read(&id).await;
    ensure(matches!(read, Err(ReadError::Missing)), || {
        format!("Missing expected, but it is {read:?}")
    })
}

pub(super) async fn each_append_renews_the_time_to_live(s: Subject<'_, impl RunLog>) -> Checked {
    let keep = Keep::existing(SHORT);
    // A machine under load may sleep through the time to live. Such an attempt does not count.
    for attempt in 0..10 {
        let id = s.id(attempt);
        let mut at = Position::new(1, 0);
        let append = |at, keep| s.log.append(&id, at, "a".into(), keep);
        let start = Instant::now();
        let mut before = start;
        done("creating", append(at, keep.or_create()).await)?;
        let mut appended = Ok(());
        let mut slow = false;
        while appended.is_ok() && !slow && start.elapsed() < SHORT * 2 {
            s.sleep(SHORT / 4).await?;
            at = at.next();
            slow = before.elapsed() > SHORT * 3 / 4;
            before = Instant::now();
            appended = append(at, keep).await;
            slow |= before.elapsed() > SHORT / 8;
        }
        if !slow {
            done("appending to a log that is written", appended)?;
            let page = done("reading", s.read(&id).await)?;
            let (is, expected) = (page.entries.len() as u64, at.seq + 1);
            return equal("how many entries there are", &is, &expected);
        }
    }
    Err("10 attempts were too slow to check the time to live: run on an idle machine".to_owned())
}
