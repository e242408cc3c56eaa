use std::time::{Duration, Instant};

use super::subject::{Boxed, Checked, PATIENCE, Subject, all, done, ensure, equal, pause};
use crate::{Page, Position, ReadError, RunLog};

type Places = Vec<(u64, u64)>;
/// The position to read after, the limit, and the expected positions.
type Case<'a> = ((u64, u64), usize, &'a [(u64, u64)]);

/// The time by which a wait may end early, since stores count in whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(5);

fn positions(page: &Page) -> Places {
    let position = |(at, _): &(Position, _)| (at.epoch, at.seq);
    page.entries.iter().map(position).collect()
}

pub(super) async fn pages_begin_behind_a_position_and_end_at_the_limit(
    s: Subject<'_, impl RunLog>,
) -> Checked {
    let id = s.id(1);
    let places = [(1, 0), (1, 1), (1, 5), (2, 0), (2, 1)];
    for at in places {
        done("appending", s.create(&id, at, "x").await)?;
    }
    let cases: [Case<'_>; 10] = [
        ((0, 0), 100, &places),
        ((0, 0), 2, &places[..2]),
        ((0, 0), 0, &places[..1]),
        ((1, 0), 2, &places[1..3]),
        ((1, 1), usize::MAX, &places[2..]),
        ((1, 3), 1, &places[2..3]),
        ((1, u64::MAX), 1, &places[3..4]),
        ((2, 0), 1, &places[4..]),
        ((2, 1), 10, &[]),
        ((u64::MAX, u64::MAX), 10, &[]),
    ];
    for (after, limit, expected) in cases {
        // If there are entries, a read with a wait returns the same page as one without.
        let wait = match expected.is_empty() {
            true => vec![Duration::ZERO],
            false => vec![Duration::ZERO, PATIENCE],
        };
        for wait in wait {
            let from = Position::new(after.0, after.1);
            let page = done("reading", s.log.read(&id, from, limit, wait).await)?;
            let what = format!("up to {limit} entries after {after:?}");
            equal(&what, &positions(&page), &expected.to_vec())?;
        }
    }
    Ok(())
}

pub(super) async fn a_missing_log_is_reported_at_once(s: Subject<'_, impl RunLog>) -> Checked {
    for wait in [Duration::ZERO, PATIENCE] {
        let start = Instant::now();
        let read = s.log.read(&s.id(1), Position::START, 1, wait).await;
        ensure(matches!(read, Err(ReadError::Missing)), || {
            format!("Missing expected, but it is {read:?}")
        })?;
        ensure(start.elapsed() < PATIENCE / 3, || {
            format!("it took {:?}", start.elapsed())
        })?;
    }
    Ok(())
}

pub(super) async fn the_last_entry_is_read_alone(s: Subject<'_, impl RunLog>) -> Checked {
    let id = s.id(1);
    equal(
        "the last entry of a missing log",
        &done("reading", s.log.last(&id).await)?,
        &None,
    )?;
    for (at, entry) in [((1, 0), "a"), ((1, 1), "b"), ((4, 0), "")] {
        done("appending", s.create(&id, at, entry).await)?;
        let last = done("reading", s.log.last(&id).await)?;
        let expected = Some((Position::new(at.0, at.1), entry.into()));
        equal("the last entry", &last, &expected)?;
    }
    Ok(())
}

pub(super) async fn a_waiting_read_is_woken_by_an_append(s: Subject<'_, impl RunLog>) -> Checked {
    let id = &s.id(1);
    done("creating", s.create(id, (1, 0), "a").await)?;
    let s = &s;
    for seq in 1..=5 {
        let start = Instant::now();
        let mut both: Vec<Boxed<'_, Result<Page, String>>> = Vec::new();
        for limit in [1, 10] {
            both.push(Box::pin(async move {
                let after = Position::new(1, seq - 1);
                let read = s.log.read(id, after, limit, PATIENCE).await;
                done("reading", read)
            }));
        }
        both.push(Box::pin(async move {
            s.sleep(Duration::from_millis(10 * seq)).await?;
            done("appending", s.append(id, (1, seq), "b").await)?;
            Ok(Page::new(vec![(Position::new(1, seq), "b".into())]))
        }));
        let pages = all(both).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        for page in &pages {
            equal("the page of a waiting read", page, &pages[2])?;
        }
        ensure(start.elapsed() < PATIENCE / 3, || {
            format!("the append was noticed after {:?}", start.elapsed())
        })?;
    }
    Ok(())
}

pub(super) async fn a_wait_ends_with_an_empty_page(s: Subject<'_, impl RunLog>) -> Checked {
    let id = s.id(1);
    done("creating", s.create(&id, (1, 0), "a").await)?;
    for milliseconds in [0, 1, 50, 300] {
        let wait = Duration::from_millis(milliseconds);
        let start = Instant::now();
        let page = s.log.read(&id, Position::new(1, 0), 1, wait).await;
        let took = start.elapsed();
        equal("the page", &done("reading", page)?, &Page::default())?;
        ensure(took + ROUNDING >= wait, || {
            format!("a wait of {wait:?} took {took:?}")
        })?;
        ensure(took < wait + PATIENCE / 3, || {
            format!("a wait of {wait:?} took {took:?}")
        })?;
    }
    Ok(())
}

pub(super) async fn a_dropped_read_loses_nothing(s: Subject<'_, impl RunLog>) -> Checked {
    let id = s.id(1);
    done("creating", s.create(&id, (1, 0), "a").await)?;
    let mut places = vec![(1, 0)];
    for seq in 1..=10 {
        let after = Position::new(1, seq - 1);
        let dropped: Boxed<'_, ()> = Box::pin(async {
            let _ = s.log.read(&id, after, 1, PATIENCE).await;
        });
        // Some reads are dropped at once, some while they wait.
        let turns: Boxed<'_, ()> = Box::pin(pause(seq * seq * 20));
        first(dropped, turns).await;
        done("appending", s.append(&id, (1, seq), "b").await)?;
        let next = done("reading", s.log.read(&id, after, 5, PATIENCE).await)?;
        equal("the next", &positions(&next), &vec![(1, seq)])?;
        places.push((1, seq));
    }
    let page = done("reading", s.read(&id).await)?;
    equal("all entries", &positions(&page), &places)
}

/// Runs two futures until one of them is ready, and drops both.
async fn first(mut a: Boxed<'_, ()>, mut b: Boxed<'_, ()>) {
    std::future::poll_fn(|context| {
        if a.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        b.as_mut().poll(context)
    })
    .await;
}

pub(super) async fn all_readers_see_the_same(s: Subject<'_, impl RunLog>) -> Checked {
    const ENTRIES: u64 = 200;
    let id = &s.id(1);
    done("creating", s.create(id, (1, 0), "0").await)?;
    let s = &s;
    let mut tasks: Vec<Boxed<'_, Result<Places, String>>> = Vec::new();
    tasks.push(Box::pin(async move {
        for seq in 1..=ENTRIES {
            done("appending", s.append(id, (1, seq), seq.to_string()).await)?;
            pause(seq % 7).await;
        }
        Ok((0..=ENTRIES).map(|seq| (1, seq)).collect())
    }));
    for limit in 1..=16 {
        tasks.push(Box::pin(async move {
            let mut seen = Vec::new();
            let mut after = Position::START;
            while after.seq < ENTRIES {
                let read = s.log.read(id, after, limit, PATIENCE).await;
                let page = done("reading", read)?;
                let (last, _) = page.entries.last().ok_or("a wait ended without an entry")?;
                after = *last;
                seen.extend(positions(&page));
            }
            Ok(seen)
        }));
    }
    let seen = all(tasks)
        .await
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    for reader in &seen[1..] {
        equal("the entries that a reader saw", reader, &seen[0])?;
    }
    Ok(())
}
