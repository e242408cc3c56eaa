use bytes::Bytes;

use super::subject::{Checked, Subject, done, ensure, equal, fenced};
use crate::{AppendError, LogId, Position, RunLog};

pub(super) async fn entries_are_read_in_the_order_of_their_positions(
    s: Subject<'_, impl RunLog>,
) -> Checked {
    let id = s.id(1);
    done("creating", s.create(&id, (1, 0), "a").await)?;
    for (at, entry) in [((1, 1), "b"), ((1, 9), "c"), ((1, 10), "d"), ((12, 0), "e")] {
        done("appending", s.append(&id, at, entry).await)?;
    }
    let all = [
        ((1, 0), "a"),
        ((1, 1), "b"),
        ((1, 9), "c"),
        ((1, 10), "d"),
        ((12, 0), "e"),
    ];
    s.expect(&id, &all).await
}

pub(super) async fn equal_or_smaller_positions_are_refused(s: Subject<'_, impl RunLog>) -> Checked {
    let id = s.id(1);
    done("creating", s.create(&id, (2, 5), "a").await)?;
    for at in [(2, 5), (2, 4), (2, 0), (1, 900), (0, 1), (0, 0)] {
        fenced(&format!("append at {at:?}"), &s.append(&id, at, "b").await)?;
        fenced(&format!("create at {at:?}"), &s.create(&id, at, "b").await)?;
    }
    s.expect(&id, &[((2, 5), "a")]).await
}

pub(super) async fn a_repeated_append_succeeds_and_changes_nothing(
    s: Subject<'_, impl RunLog>,
) -> Checked {
    let id = s.id(1);
    done("creating", s.create(&id, (1, 0), "a").await)?;
    done("appending", s.append(&id, (1, 1), "b").await)?;
    done("repeating the last", s.append(&id, (1, 1), "b").await)?;
    done("repeating the first", s.create(&id, (1, 0), "a").await)?;
    done("claiming", s.append(&id, (2, 0), "c").await)?;
    // The entry is in the log, so a repetition succeeds even after a claim: the writer may have lost the first reply.
    done("repeating what is fenced", s.append(&id, (1, 1), "b").await)?;
    fenced("another entry there", &s.append(&id, (1, 1), "B").await)?;
    fenced("a longer entry there", &s.append(&id, (1, 1), "bb").await)?;
    fenced("a shorter entry there", &s.append(&id, (1, 1), "").await)?;
    s.expect(&id, &[((1, 0), "a"), ((1, 1), "b"), ((2, 0), "c")])
        .await
}

pub(super) async fn a_log_is_created_only_on_request(s: Subject<'_, impl RunLog>) -> Checked {
    let id = s.id(1);
    let missing = s.append(&id, (1, 0), "a").await;
    ensure(matches!(missing, Err(AppendError::Missing)), || {
        format!("append to no log: Missing expected, but it is {missing:?}")
    })?;
    let last = done("reading", s.log.last(&id).await)?;
    equal("the last entry of no log", &last, &None)?;
    done("creating", s.create(&id, (3, 1), "b").await)?;
    done("creating what is there", s.create(&id, (3, 2), "c").await)?;
    s.expect(&id, &[((3, 1), "b"), ((3, 2), "c")]).await
}

pub(super) async fn positions_reach_from_the_first_to_the_last(
    s: Subject<'_, impl RunLog>,
) -> Checked {
    let id = s.id(1);
    fenced("create at the start", &s.create(&id, (0, 0), "a").await)?;
    let max = u64::MAX;
    let places = [(0, 1), (0, max), (1, 0), (max, 0), (max, max)];
    for at in places {
        done(&format!("append at {at:?}"), s.create(&id, at, "a").await)?;
    }
    done("repeating the last", s.append(&id, (max, max), "a").await)?;
    fenced("another at the last", &s.append(&id, (max, max), "b").await)?;
    s.expect(&id, &places.map(|at| (at, "a"))).await
}

pub(super) async fn entries_are_any_bytes_up_to_a_mebibyte(s: Subject<'_, impl RunLog>) -> Checked {
    let id = s.id(1);
    let every_byte: Vec<u8> = (0..=255).collect();
    let large = |first: u8| -> Vec<u8> {
        let byte = |index: usize| (index.wrapping_mul(31) >> 3) as u8 ^ first;
        (0..1 << 20).map(byte).collect()
    };
    let entries: Vec<(Position, Bytes)> = [Vec::new(), every_byte, large(0), large(1), large(2)]
        .into_iter()
        .zip(1..)
        .map(|(entry, epoch)| (Position::new(epoch, 0), Bytes::from(entry)))
        .collect();
    for (at, entry) in &entries {
        let at = (at.epoch, at.seq);
        done("appending", s.create(&id, at, entry.clone()).await)?;
        done("repeating", s.append(&id, at, entry.clone()).await)?;
    }
    let page = done("reading", s.read(&id).await)?;
    ensure(page.entries == entries, || {
        let lengths: Vec<_> = page.entries.iter().map(|(at, it)| (at, it.len())).collect();
        format!("entries came back changed, with these lengths: {lengths:?}")
    })
}

pub(super) async fn logs_of_odd_names_are_kept_apart(s: Subject<'_, impl RunLog>) -> Checked {
    let long = "x".repeat(4096);
    let names = [
        "", " ", "/", "stop", "*", "?", "[a]", "{a}", "a\r\nb", "\0", "%00", "é", "e\u{301}", "€",
        "..", "-", "~", "'\"", &long,
    ];
    let unique = s.id("").to_string();
    let mut ids = Vec::new();
    for name in names {
        ids.push(LogId::run(&format!("{unique}{name}")));
        ids.push(LogId::stop(&format!("{unique}{name}")));
        ids.push(LogId::chat(&unique, name));
        ids.push(LogId::chat(name, &unique));
    }
    for (id, epoch) in ids.iter().zip(1..) {
        done("creating", s.create(id, (epoch, 0), id.to_string()).await)?;
    }
    for (id, epoch) in ids.iter().zip(1..) {
        s.expect(id, &[((epoch, 0), id.as_str())]).await?;
    }
    Ok(())
}
