//! The progress of a program, in one line.

use std::io::{IsTerminal, Write};

/// The length of the bar, in characters.
const LENGTH: usize = 30;

/// In a terminal, a line that is overwritten. Elsewhere, such as in a file, a new line after every `every` jobs.
pub(crate) struct Progress {
    every: usize,
    shown: Option<usize>,
}

impl Progress {
    pub(crate) fn every(every: usize) -> Self {
        Self { every, shown: None }
    }

    pub(crate) fn show(&mut self, done: usize, under_way: usize, waiting: usize, cost: f64) {
        let all = (done + under_way + waiting).max(1);
        let full = LENGTH * done / all;
        let begun = (LENGTH * (done + under_way)).div_ceil(all).max(full) - full;
        let empty = LENGTH - full - begun;
        let bar = "█".repeat(full) + &"▒".repeat(begun) + &"░".repeat(empty);
        let line =
            format!("{bar} {done} done, {under_way} under way, {waiting} waiting, ${cost:.4}");
        let mut out = std::io::stdout().lock();
        // Standard output may be closed: the work goes on.
        let _ = if out.is_terminal() {
            let end = if done == all { "\n" } else { "" };
            write!(out, "\r{line}\u{1b}[K{end}")
        } else if self
            .shown
            .is_none_or(|shown| done >= shown + self.every || done == all && done > shown)
        {
            self.shown = Some(done);
            writeln!(out, "{line}")
        } else {
            Ok(())
        };
        let _ = out.flush();
    }
}
