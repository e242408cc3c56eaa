use std::fs;

use twentyfirst_client::backend::ChatHandler;
use twentyfirst_client::run_log::MemoryLog;
use twentyfirst_client::transport::Body;

use crate::replays::{SHAPES, record};
use crate::{Result, browser, ticking};

/// The memory that a run may take beside its bytes.
const GOAL: f64 = 1.3;

/// The number of browsers that replay each run at once.
const BROWSERS: usize = 20;

/// Measures what runs that can be replayed take, and what browsers take that are in the middle of a replay and read no further.
pub(crate) async fn measure(runs: usize, deltas: u64) -> Result<()> {
    println!("\nMemory of {runs} runs of {deltas} deltas in memory");
    println!(
        "{:>8} {:>10} {:>11} {:>6} {:>20}",
        "an entry", "bytes, MiB", "memory, MiB", "×", "KiB a replay"
    );
    let client = ticking::client(1, 0, tokio::time::Instant::now())?;
    // It stays, so that nothing that is freed is used again.
    let mut kept = Vec::new();
    for shape in SHAPES {
        let log = MemoryLog::new(tokio::time::sleep).with_limit(1 << 30);
        let before = resident()?;
        let mut bytes = 0;
        for run in 0..runs {
            let chat = browser::chat("sb", &format!("th-memory-{shape}-{run}"));
            bytes += record(&log, &chat, deltas, shape).await?;
        }
        let recorded = resident()?;
        let chats = browser::chats(&client).run_log(log.clone());
        let mut replays = Vec::new();
        for browser in 0..BROWSERS * runs {
            let chat = browser::chat("sb", &format!("th-memory-{shape}-{}", browser % runs));
            replays.push(begin(&chats, &chat).await?);
        }
        let replayed = resident()?;
        let taken = recorded - before;
        let ratio = taken as f64 * 1024.0 / bytes as f64;
        let reached = ["missed", "reached"][usize::from(ratio < GOAL)];
        println!(
            "{shape:8} {:10.1} {:11.1} {ratio:6.2} {:20.1} (goal {GOAL} ×: {reached})",
            bytes as f64 / 1024.0 / 1024.0,
            taken as f64 / 1024.0,
            (replayed - recorded) as f64 / replays.len() as f64
        );
        kept.push((log, replays));
    }
    Ok(())
}

/// A replay whose browser has taken one piece.
async fn begin(chats: &ChatHandler, chat: &str) -> Result<Body> {
    let mut body = browser::body(chats.handle(browser::resume(chat, None)).await)?;
    browser::piece(&mut body).await?.ok_or("nothing came")?;
    Ok(body)
}

/// The resident memory, in KiB.
fn resident() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    Ok(number.ok_or("no VmRSS in /proc/self/status")?.parse()?)
}
