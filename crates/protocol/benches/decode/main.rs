//! The speed from bytes to chunks, compared with the usual alternatives. All pipelines take turns over the same loads, so that
//! the ratios hold even if the machine is busy. `BENCHMARKS.md` explains the figures.
//!
//! ```text
//! cargo bench -p twentyfirst-protocol --bench decode
//! ```

mod floor;
#[path = "../loads/mod.rs"]
mod loads;
mod peers;

use std::time::{Duration, Instant};

use bytes::Bytes;
use loads::Load;
use twentyfirst_protocol::{sse, ui};

/// The number of runs of each pipeline over each load. Medians count. The median of a ratio is that of the ratios in each round,
/// so that a machine that is busy for a while slows both sides.
const ROUNDS: usize = 15;

/// A pipeline from bytes to chunks. Returns the number of events and of bytes in their deltas, to show that it has read
/// everything.
type Pipeline = fn(Vec<Bytes>) -> (usize, usize);

const PIPELINES: [(&str, Pipeline); 6] = [
    ("ui::Decoder", ui_decoder),
    ("sse::Decoder + Chunk::decode", two_steps),
    (
        "sse-stream + borrowed struct",
        peers::sse_stream_and_borrowed_struct,
    ),
    (
        "sse-stream + tagged enum",
        peers::sse_stream_and_tagged_enum,
    ),
    (
        "eventsource-stream + tagged enum",
        peers::eventsource_stream_and_tagged_enum,
    ),
    ("lines + Chunk::decode, no more", floor::lines_and_chunks),
];

const BORROWED: usize = 2;
const TAGGED: usize = 3;
const FLOOR: usize = 5;
/// The index after the pipelines.
const IGNORED: usize = 6;

fn main() {
    let [text, input, outputs] = [
        loads::text(),
        loads::tool_input(1 << 20),
        loads::tool_outputs(),
    ];
    let [t, i, b, small] = [
        (&text, text.in_large_pieces(), "16 KB"),
        (&input, input.in_large_pieces(), "16 KB"),
        (&outputs, outputs.in_large_pieces(), "16 KB"),
        (&text, text.in_small_pieces(), "1 to 64 B"),
    ]
    .map(|(load, pieces, shape)| measure(load, &pieces, shape));

    println!("ui::Decoder is faster than the peer by");
    for (what, times, peer, goal) in [
        ("T, sse-stream + tagged enum", &t, TAGGED, 3.0),
        ("I, sse-stream + tagged enum", &i, TAGGED, 3.0),
        ("B, sse-stream + borrowed struct", &b, BORROWED, 1.0),
        ("T, serde_json IgnoredAny", &t, IGNORED, 1.0),
        ("I, serde_json IgnoredAny", &i, IGNORED, 1.0),
        ("B, serde_json IgnoredAny", &b, IGNORED, 1.0),
        (
            "T in pieces of 1 to 64 B, sse-stream + tagged enum",
            &small,
            TAGGED,
            3.0,
        ),
    ] {
        let ratio = ratio(&times[peer], &times[0]);
        let verdict = if ratio >= goal { "reached" } else { "MISSED" };
        println!("  {ratio:5.2} × {what} (goal {goal} ×: {verdict})");
    }
    let ratio = ratio(&small[TAGGED], &small[FLOOR]);
    println!("lines + Chunk::decode is faster than the last of these by {ratio:.2} ×");
}

/// Runs everything over a load and prints a row for each. Returns the times of each.
fn measure(load: &Load, pieces: &[Bytes], shape: &str) -> Vec<Vec<Duration>> {
    let megabytes = load.stream.len() as f64 / 1e6;
    println!(
        "{}: {megabytes:.1} MB, {} events of {} B, in pieces of {shape}",
        load.name,
        load.events,
        load.stream.len() / load.events
    );
    let stream = str::from_utf8(&load.stream).expect("the load is text");
    let data: Vec<&str> = stream
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: {").map(|_| &event[6..]))
        .collect();
    let names = PIPELINES.iter().map(|(name, _)| *name).chain([
        "serde_json IgnoredAny, only JSON",
        "copying the pieces, no events",
    ]);
    let mut times = vec![Vec::with_capacity(ROUNDS); PIPELINES.len() + 2];
    for _ in 0..ROUNDS {
        for ((name, pipeline), times) in PIPELINES.iter().zip(&mut times) {
            let (time, read) = timed(*pipeline, pieces.to_vec());
            assert_eq!(
                read,
                (load.events, load.text),
                "{name} has not read everything"
            );
            times.push(time);
        }
        let (time, read) = timed(peers::ignored_any, &data[..]);
        assert_eq!(read, (load.events, 0));
        times[IGNORED].push(time);
        let (time, copied) = timed(floor::copies, pieces.to_vec());
        assert_eq!(copied, (pieces.len(), load.stream.len()));
        times[IGNORED + 1].push(time);
    }
    for (name, times) in names.zip(&times) {
        let median = median(times.clone());
        let rate = megabytes / median.as_secs_f64();
        let each = median.as_nanos() / load.events as u128;
        println!("  {name:34} {rate:7.0} MB/s {each:9} ns an event");
    }
    println!();
    times
}

fn timed<I, O>(run: impl Fn(I) -> O, input: I) -> (Duration, O) {
    let start = Instant::now();
    let output = run(input);
    (start.elapsed(), output)
}

/// Returns how much slower one is than the other: the median of the ratios in each round.
fn ratio(slow: &[Duration], fast: &[Duration]) -> f64 {
    let ratios = slow.iter().zip(fast);
    let mut ratios: Vec<f64> = ratios
        .map(|(slow, fast)| slow.as_secs_f64() / fast.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ui_decoder(pieces: Vec<Bytes>) -> (usize, usize) {
    let mut decoder = ui::Decoder::new();
    let mut read = (0, 0);
    for piece in pieces {
        decoder.push(piece);
        while let Some(chunk) = decoder.next_chunk() {
            count(&chunk.expect("the load has only chunks"), &mut read);
        }
    }
    read
}

fn two_steps(pieces: Vec<Bytes>) -> (usize, usize) {
    let mut decoder = sse::Decoder::new();
    let mut read = (0, 0);
    for piece in pieces {
        decoder.push(piece);
        while let Some(event) = decoder.next_event() {
            let data = event.expect("the load is within the limits").data;
            if data != "[DONE]" {
                count(
                    &ui::Chunk::decode(&data).expect("the load has only chunks"),
                    &mut read,
                );
            }
        }
    }
    read
}

fn count(chunk: &ui::Chunk<'_>, (events, text): &mut (usize, usize)) {
    *events += 1;
    *text += match chunk {
        ui::Chunk::TextDelta(chunk) => chunk.delta.as_str().map_or(0, str::len),
        ui::Chunk::ToolInputDelta(chunk) => chunk.input_text_delta.as_str().map_or(0, str::len),
        _ => 0,
    };
}
