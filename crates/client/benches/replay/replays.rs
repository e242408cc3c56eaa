use std::time::Instant;

use twentyfirst_client::backend::ChatHandler;
use twentyfirst_client::protocol::run_log::{
    Claim, Ended, Entry, Keep, LogId, Logged, Position, Turn,
};
use twentyfirst_client::protocol::runs::RunRef;
use twentyfirst_client::run_log::{MemoryLog, RedisLog, RunLog};
use twentyfirst_client::{SandboxId, ThreadId};

use crate::browser::{self, Events};
use crate::{Result, at, milliseconds, ticking};

/// The longest time for the replay of an answer over Redis, in milliseconds.
const GOAL: f64 = 50.0;

/// The number of chunks in an entry: if each came alone, and if they came fast.
pub(crate) const SHAPES: [u64; 2] = [1, 16];

/// Measures how long a handler takes to replay an answer of so many deltas.
pub(crate) async fn measure(redis: Option<&str>, deltas: u64, rounds: usize) -> Result<()> {
    println!("\nReplay of an answer of {deltas} deltas, ms, {rounds} rounds");
    println!("{:18} {:>9} {:>7} {:>7}", "", "an entry", "median", "most");
    let memory = MemoryLog::new(tokio::time::sleep).with_limit(1 << 30);
    replay("in memory", memory, deltas, rounds).await?;
    if let Some(redis) = redis {
        replay("Redis", RedisLog::connect(redis).await?, deltas, rounds).await?;
    }
    Ok(())
}

async fn replay<L: RunLog + Clone>(name: &str, log: L, deltas: u64, rounds: usize) -> Result<()> {
    let client = ticking::client(1, 0, tokio::time::Instant::now())?;
    let chats = browser::chats(&client).run_log(log.clone());
    for shape in SHAPES {
        let chat = browser::chat("sb", &format!("th-replay-{shape}"));
        record(&log, &chat, deltas, shape).await?;
        let mut times = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            let text = read(&chats, &chat).await?;
            times.push(start.elapsed());
            check(&text, deltas)?;
        }
        times.sort_unstable();
        let (median, most) = (milliseconds(at(&times, 0.5)), milliseconds(at(&times, 1.0)));
        let goal = match name {
            "Redis" if median < GOAL => " (goal 50: reached)",
            "Redis" => " (goal 50: missed)",
            _ => "",
        };
        println!("{name:18} {shape:9} {median:7.2} {most:7.2}{goal}");
    }
    Ok(())
}

/// Writes an answer as a recorder does, with so many chunks an entry, and gives the bytes of its chunks.
pub(crate) async fn record(
    log: &impl RunLog,
    chat: &str,
    deltas: u64,
    shape: u64,
) -> Result<usize> {
    let keep = Keep::existing(std::time::Duration::from_secs(600)).or_create();
    let (sandbox, thread) = chat.split_once('_').ok_or("no such chat")?;
    let run = format!("run-{chat}");
    let (place, id) = (Position::START.next_claim(), LogId::run(&run));
    let turn = Logged::new(0, Entry::Turn(Turn::new(&run))).encode();
    log.append(&LogId::chat("user", chat), place, turn, keep.over())
        .await?;

    let mut lines = vec![
        "{\"type\":\"start\",\"messageId\":\"m1\"}".to_owned(),
        "{\"type\":\"text-start\",\"id\":\"t\"}".to_owned(),
    ];
    // As long as a few words, of letters by chance: the worst for what compresses.
    let delta = |number| {
        let letters = letters(number);
        format!("{{\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"{number:05} {letters} \"}}")
    };
    lines.extend((0..deltas).map(delta));
    lines.push("{\"type\":\"text-end\",\"id\":\"t\"}".to_owned());
    lines.push("{\"type\":\"finish\"}".to_owned());
    let total = lines.len() as u64;
    let started = RunRef::new("ticker", SandboxId::new(sandbox)?, ThreadId::new(thread)?);
    let mut entries = vec![
        Logged::new(0, Entry::Claim(Claim::new("bench", "user", chat))).encode(),
        Logged::new(0, Entry::Started(started)).encode(),
    ];
    let (mut before, mut bytes) = (0, 0);
    for block in lines.chunks(shape as usize) {
        let text = block.join("\n") + "\n";
        bytes += text.len();
        entries.push(format!("21st/1 data {before}\n{text}").into());
        before += block.len() as u64;
    }
    entries.push(Logged::new(total, Entry::End(Ended::new("completed"))).encode());
    let mut at = place;
    for entry in entries {
        log.append(&id, at, entry, keep.over()).await?;
        at = at.next();
    }
    Ok(bytes)
}

/// Letters that look like chance (splitmix64).
fn letters(number: u64) -> String {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let letter = |place| char::from(b'a' + (mixed / 26_u64.pow(place) % 26) as u8);
    (0..9).map(letter).collect()
}

/// The whole answer as a browser gets it.
async fn read(chats: &ChatHandler, chat: &str) -> Result<Vec<u8>> {
    let mut body = browser::body(chats.handle(browser::resume(chat, None)).await)?;
    let mut text = Vec::new();
    while let Some(piece) = browser::piece(&mut body).await? {
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

fn check(text: &[u8], deltas: u64) -> Result<()> {
    let mut next = 0;
    let mut is_done = false;
    // In pieces: the events are taken from the front.
    let mut events = Events::default();
    for piece in text.chunks(4096) {
        for event in events.push(piece)? {
            is_done |= event.is_done();
            if let Some(delta) = event.delta()? {
                let number = delta.split(' ').next().unwrap_or_default();
                if number.parse::<u64>()? != next {
                    return Err(format!("{number} comes for {next}").into());
                }
                next += 1;
            }
        }
    }
    match next == deltas && is_done {
        true => Ok(()),
        false => Err(format!("the replay ended after {next} deltas").into()),
    }
}
