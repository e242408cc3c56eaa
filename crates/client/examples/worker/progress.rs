//! How far the queue is, in one line.

use std::io::{IsTerminal, Write};

/// How many characters the bar is long.
const LENGTH: usize = 30;

/// A line of the terminal that is written anew; elsewhere, such as in a file, a line for each change.
#[derive(Default)]
pub(super) struct Progress {
    shown: String,
}

impl Progress {
    pub(super) fn show(&mut self, done: usize, under_way: usize, waiting: usize, cost: f64) {
        let all = (done + under_way + waiting).max(1);
        let full = LENGTH * done / all;
        let begun = (LENGTH * (done + under_way)).div_ceil(all).max(full) - full;
        let empty = LENGTH - full - begun;
        let bar = "█".repeat(full) + &"▒".repeat(begun) + &"░".repeat(empty);
        let line =
            format!("{bar} {done} done, {under_way} under way, {waiting} waiting, ${cost:.4}");
        if line == self.shown {
            return;
        }
        let mut out = std::io::stdout().lock();
        // Nobody may be there to see it.
        let _ = match out.is_terminal() {
            true => write!(out, "\r{line}\u{1b}[K"),
            false => writeln!(out, "{line}"),
        };
        let _ = out.flush();
        self.shown = line;
    }

    pub(super) fn end(&self) {
        if std::io::stdout().is_terminal() {
            println!();
        }
    }
}
