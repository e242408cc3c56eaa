//! The memory of a process.

pub(crate) const MIB: usize = 1024 * 1024;

/// Returns a figure of this process, in bytes.
fn figure(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().split_ascii_whitespace().next().unwrap();
    number.parse::<usize>().unwrap() * 1024
}

/// The growth of this process since the measurement began.
pub(crate) struct Growth {
    before: usize,
}

impl Growth {
    pub(crate) fn begin() -> Self {
        Self {
            before: figure("VmRSS:"),
        }
    }

    /// Returns the peak so far, in bytes.
    pub(crate) fn peak(&self) -> usize {
        figure("VmHWM:").saturating_sub(self.before)
    }
}

/// Prints the memory of an attack, and whether it is within 1.25 × the limit.
pub(crate) fn check(name: &str, limit: usize, peak: usize, further: &str) {
    println!(
        "{name:44} {:7.1} MiB, {:.2} × the limit{further}",
        peak as f64 / MIB as f64,
        peak as f64 / limit as f64,
    );
    assert!(peak <= limit + limit / 4, "{name} takes {peak} bytes");
}
