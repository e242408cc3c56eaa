use std::collections::BTreeSet;
use std::str;

use super::subject::{Boxed, Checked, Random, Subject, all, done, ensure, equal, pause};
use crate::{AppendError, LogId, Position, RunLog};

pub(super) async fn one_of_many_claims_wins(s: Subject<'_, impl RunLog>) -> Checked {
    let s = &s;
    for round in 0..20 {
        let id = &s.id(round);
        let mut claims: Vec<Boxed<'_, _>> = Vec::new();
        for who in 0..64 {
            claims.push(Box::pin(async move {
                pause(who % 5).await;
                s.create(id, (1, 0), who.to_string()).await
            }));
        }
        let results = all(claims).await;
        let won: Vec<usize> = (0..64).filter(|who| results[*who].is_ok()).collect();
        equal("the number of winners", &won.len(), &1)?;
        let is_fenced = |it: &Result<(), _>| matches!(it, Ok(()) | Err(AppendError::Fenced));
        ensure(results.iter().all(is_fenced), || {
            format!("Fenced expected for the others, but they are {results:?}")
        })?;
        s.expect(id, &[((1, 0), &won[0].to_string())]).await?;
    }
    Ok(())
}

pub(super) async fn concurrent_appends_of_one_entry_store_it_once(
    s: Subject<'_, impl RunLog>,
) -> Checked {
    let s = &s;
    for round in 0..20 {
        let id = &s.id(round);
        let mut appends: Vec<Boxed<'_, _>> = Vec::new();
        for who in 0..8 {
            appends.push(Box::pin(async move {
                pause(who % 3).await;
                s.create(id, (1, 0), "the same").await
            }));
        }
        for result in all(appends).await {
            done("appending the same", result)?;
        }
        s.expect(id, &[((1, 0), "the same")]).await?;
    }
    Ok(())
}

const WRITERS: u64 = 8;

/// Checks that the numbers in the log stay in order with several writers. Each writer claims, reads the log, continues from its last
/// number, and pauses between any two steps.
pub(super) async fn writers_that_pause_never_mix(s: Subject<'_, impl RunLog>) -> Checked {
    let s = &s;
    for round in 0..12 {
        let id = &s.id(round);
        done("creating", s.create(id, (0, 1), "").await)?;
        let mut writers: Vec<Boxed<'_, _>> = Vec::new();
        for who in 0..WRITERS {
            let random = Random(round * WRITERS + who);
            writers.push(Box::pin(write(s, id, who, random)));
        }
        let written = all(writers).await;
        let written = written.into_iter().collect::<Result<Vec<_>, _>>()?;
        check_log(s, id, &written.concat()).await?;
    }
    Ok(())
}

/// Writes in turns, and returns the positions of the appends that succeeded.
async fn write(
    s: &Subject<'_, impl RunLog>,
    id: &LogId,
    who: u64,
    mut random: Random,
) -> Result<Vec<Position>, String> {
    let mut written = Vec::new();
    for _ in 0..6 {
        let last = done("reading", s.log.last(id).await)?;
        let (last, _) = last.ok_or("the log is gone")?;
        pause(random.below(40)).await;
        let claim = last.next_claim();
        if !append(s, id, claim, format!("{who} claims")).await? {
            continue;
        }
        written.push(claim);
        pause(random.below(40)).await;
        let page = done("reading", s.read(id).await)?;
        let first = numbers(&page.entries).count();
        let mut at = claim;
        for next in first..first + random.below(12) as usize {
            pause(random.below(40)).await;
            at = at.next();
            if !append(s, id, at, format!("{who} {next}")).await? {
                break;
            }
            written.push(at);
        }
    }
    Ok(written)
}

/// Appends an entry, and returns whether it succeeded: false if it was fenced.
async fn append(
    s: &Subject<'_, impl RunLog>,
    id: &LogId,
    at: Position,
    entry: String,
) -> Result<bool, String> {
    match s.append(id, (at.epoch, at.seq), entry).await {
        Ok(()) => Ok(true),
        Err(AppendError::Fenced) => Ok(false),
        Err(error) => Err(format!("appending failed: {error:?}")),
    }
}

fn numbers<B: AsRef<[u8]>>(entries: &[(Position, B)]) -> impl Iterator<Item = usize> {
    let number = |(_, entry): &(_, B)| {
        let (_, number) = str::from_utf8(entry.as_ref()).ok()?.split_once(' ')?;
        number.parse().ok()
    };
    entries.iter().filter_map(number)
}

async fn check_log(
    s: &Subject<'_, impl RunLog>,
    id: &LogId,
    written: &[Position],
) -> Result<(), String> {
    let page = done("reading", s.read(id).await)?;
    let grow = page.entries.is_sorted_by(|(a, _), (b, _)| a < b);
    ensure(grow, || format!("positions do not grow: {page:?}"))?;
    let in_order = numbers(&page.entries).eq(0..numbers(&page.entries).count());
    ensure(in_order, || format!("numbers are out of order: {page:?}"))?;
    let there: BTreeSet<Position> = page.entries.iter().map(|(at, _)| *at).collect();
    let mut succeeded: BTreeSet<Position> = written.iter().copied().collect();
    succeeded.insert(Position::new(0, 1));
    equal(
        "the number of appends that succeeded",
        &written.len(),
        &(succeeded.len() - 1),
    )?;
    equal("the appends that succeeded", &there, &succeeded)
}
