use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Result;
use crate::load::{Load, now, parse_delta};

/// The figures that a process measures of itself while it reads streams.
pub(crate) struct Meter {
    load: Load,
    opened: AtomicUsize,
    ended: AtomicUsize,
    taken: AtomicUsize,
    /// Microseconds, one for each delta. All there from the beginning, so that they do not count as memory of streams.
    latencies: Box<[AtomicU32]>,
    before: Usage,
}

/// One stream's deltas.
pub(crate) struct Deltas<'a> {
    meter: &'a Meter,
    next: u32,
}

/// Memory in KiB, processor time in seconds.
#[derive(Clone, Copy)]
struct Usage {
    memory: u64,
    peak: u64,
    processor: f64,
}

/// The figures, as the script that prints the table takes them.
pub(crate) struct Report {
    before: Usage,
    flowing: u64,
    after: Usage,
    latencies: Vec<u32>,
}

impl Meter {
    /// Measures how it is without a stream.
    pub(crate) fn start(load: Load) -> Result<Self> {
        let deltas = load.streams * load.deltas as usize;
        let latencies = (0..deltas).map(|_| AtomicU32::new(u32::MAX)).collect();
        Ok(Self {
            load,
            opened: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            latencies,
            before: Usage::now()?,
        })
    }

    /// A stream is open.
    pub(crate) fn open(&self) -> Deltas<'_> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Deltas {
            meter: self,
            next: 0,
        }
    }

    /// Waits for all readers, and measures while all streams flow.
    ///
    /// # Errors
    /// The first error of a reader.
    pub(crate) async fn finish(&self, mut readers: JoinSet<Result<()>>) -> Result<Report> {
        let mut samples = Vec::new();
        loop {
            tokio::select! {
                reader = readers.join_next() => match reader {
                    Some(reader) => reader??,
                    None => break,
                },
                () = sleep(Duration::from_millis(250)) => {
                    let opened = self.opened.load(Ordering::Relaxed);
                    let taken = self.taken.load(Ordering::Relaxed);
                    let ended = self.ended.load(Ordering::Relaxed);
                    // From the second delta on.
                    if opened == self.load.streams && taken > self.load.streams && ended == 0 {
                        samples.push(Usage::now()?.memory);
                    }
                }
            }
        }
        if samples.is_empty() {
            return Err("the streams never flowed all at once".into());
        }
        let mut latencies: Vec<u32> = self
            .latencies
            .iter()
            .map(|latency| latency.load(Ordering::Relaxed))
            .collect();
        latencies.sort_unstable();
        Ok(Report {
            before: self.before,
            flowing: samples.iter().sum::<u64>() / samples.len() as u64,
            after: Usage::now()?,
            latencies,
        })
    }
}

impl Deltas<'_> {
    /// Takes the next delta of the stream.
    pub(crate) fn take(&mut self, delta: &str) -> Result<()> {
        let now = now();
        let (number, written) = parse_delta(delta)?;
        if number != self.next {
            return Err(format!("delta {number} came in place of {}", self.next).into());
        }
        self.next += 1;
        let meter = self.meter;
        let place = meter.taken.fetch_add(1, Ordering::Relaxed);
        let slot = meter.latencies.get(place).ok_or("too many deltas")?;
        // A clock that is set back shows as 0.
        slot.store(now.saturating_sub(written) as u32, Ordering::Relaxed);
        Ok(())
    }

    /// The stream has ended; `closed` tells whether as it should.
    pub(crate) fn end(self, closed: bool) -> Result<()> {
        self.meter.ended.fetch_add(1, Ordering::Relaxed);
        if self.next == self.meter.load.deltas && closed {
            Ok(())
        } else {
            Err(format!("a stream ended after {} deltas", self.next).into())
        }
    }
}

impl Usage {
    fn now() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_ascii_whitespace().next());
            Ok(number.ok_or("no such line in /proc/self/status")?.parse()?)
        };
        let stat = fs::read_to_string("/proc/self/stat")?;
        // After the name, which may hold anything: user time and system time are the 12th and 13th, in 1/100 s.
        let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
        let mut times = fields.split_ascii_whitespace().skip(11);
        let mut time = || -> Result<f64> { Ok(times.next().ok_or("no time")?.parse()?) };
        Ok(Self {
            memory: field("VmRSS:")?,
            peak: field("VmHWM:")?,
            processor: (time()? + time()?) / 100.0,
        })
    }
}

impl Report {
    /// In milliseconds; 1 is the greatest.
    fn latency(&self, share: f64) -> f64 {
        let place = (self.latencies.len() - 1) as f64 * share;
        f64::from(self.latencies[place.round() as usize]) / 1000.0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {:.3} {:.3} {:.3} {:.2}",
            self.before.memory,
            self.flowing,
            self.after.peak,
            self.latency(0.5),
            self.latency(0.99),
            self.latency(1.0),
            self.after.processor - self.before.processor
        )
    }
}
