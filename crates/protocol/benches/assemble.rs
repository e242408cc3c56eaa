//! The speed from the chunks of a large tool input to a message, compared with one parse of that input. `BENCHMARKS.md` explains
//! the figures.
//!
//! ```text
//! cargo bench -p twentyfirst-protocol --bench assemble
//! ```

#[expect(dead_code, reason = "not every bench measures every load")]
#[path = "loads/mod.rs"]
mod loads;

use std::time::{Duration, Instant};

use bytes::Bytes;
use twentyfirst_protocol::ui::{Assembler, Chunk, Decoder, Part, UiMessage};

/// The megabytes of each load that each pipeline reads, in as many rounds; the median counts.
const MEGABYTES: usize = 160;

/// The longest time of assembling, as a multiple of one parse.
const GOAL: f64 = 2.5;

const START: &str =
    "data: {\"type\":\"tool-input-start\",\"toolCallId\":\"toolu_1\",\"toolName\":\"write\"}\n\n";

fn main() {
    let mut each = Vec::new();
    for megabytes in [1, 4, 16] {
        each.push(measure(megabytes));
    }
    let [small, .., large] = &each[..] else {
        unreachable!("there are three loads")
    };
    println!(
        "A megabyte of a large input takes {:.2} × the time of one of a small input.",
        large / small
    );
}

/// Runs all pipelines over one tool input and prints a row for each. Returns the time of assembling for a megabyte.
fn measure(megabytes: usize) -> f64 {
    let load = loads::tool_input(megabytes << 20);
    let mut pieces = vec![Bytes::from(START)];
    pieces.extend(load.in_large_pieces());
    let chunks = decode(&pieces);
    let whole: String = chunks.iter().filter_map(delta).collect();
    println!(
        "I: a tool input of {megabytes} MB in {} deltas",
        chunks.len() - 1
    );

    let pipelines: [(&str, &dyn Fn()); 4] = [
        ("serde_json parse of the input", &|| {
            let value: serde_json::Value = serde_json::from_str(&whole).expect("the input is JSON");
            assert!(value.is_object());
        }),
        ("assembling chunks", &|| check(assemble(&chunks), &whole)),
        ("decoding and assembling bytes", &|| {
            check(read(&pieces), &whole);
        }),
        ("assembling, looking 100 times", &|| {
            check(look(&chunks), &whole);
        }),
    ];
    let mut times = vec![Vec::new(); pipelines.len()];
    for _ in 0..MEGABYTES / megabytes {
        for ((_, pipeline), times) in pipelines.iter().zip(&mut times) {
            let start = Instant::now();
            pipeline();
            times.push(start.elapsed());
        }
    }
    let medians: Vec<Duration> = times.into_iter().map(median).collect();
    let ratio = |median: Duration| median.as_secs_f64() / medians[0].as_secs_f64();
    for ((name, _), &median) in pipelines.iter().zip(&medians) {
        println!(
            "  {name:32} {:9.2} ms {:6.2} × the parse",
            median.as_secs_f64() * 1e3,
            ratio(median)
        );
    }
    let verdict = if ratio(medians[2]) <= GOAL {
        "reached"
    } else {
        "MISSED"
    };
    println!("  bytes to message: goal {GOAL} × the parse: {verdict}\n");
    medians[2].as_secs_f64() / megabytes as f64
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn decode(pieces: &[Bytes]) -> Vec<Chunk<'static>> {
    let mut decoder = Decoder::new();
    let mut chunks = Vec::new();
    for piece in pieces {
        decoder.push(piece.clone());
        while let Some(chunk) = decoder.next_chunk() {
            chunks.push(chunk.expect("the load has only chunks").into_owned());
        }
    }
    chunks
}

fn delta<'c>(chunk: &'c Chunk<'_>) -> Option<&'c str> {
    match chunk {
        Chunk::ToolInputDelta(chunk) => chunk.input_text_delta.as_str(),
        _ => None,
    }
}

fn assemble(chunks: &[Chunk<'_>]) -> UiMessage {
    let mut assembler = Assembler::new();
    for chunk in chunks {
        assembler.apply(chunk).expect("the load is a message");
    }
    assembler.into_message()
}

/// Looks at the message now and then, as a program that shows it would.
fn look(chunks: &[Chunk<'_>]) -> UiMessage {
    let mut assembler = Assembler::new();
    for some in chunks.chunks(chunks.len() / 100 + 1) {
        for chunk in some {
            assembler.apply(chunk).expect("the load is a message");
        }
        assert_eq!(assembler.message().parts.len(), 1);
    }
    assembler.into_message()
}

fn read(pieces: &[Bytes]) -> UiMessage {
    let mut decoder = Decoder::new();
    let mut assembler = Assembler::new();
    for piece in pieces {
        decoder.push(piece.clone());
        while let Some(chunk) = decoder.next_chunk() {
            let chunk = chunk.expect("the load has only chunks");
            assembler.apply(&chunk).expect("the load is a message");
        }
    }
    assembler.into_message()
}

/// Checks that the message has the whole input.
fn check(message: UiMessage, whole: &str) {
    let [Part::Tool(part)] = &message.parts[..] else {
        panic!("the load is one tool call")
    };
    assert_eq!(
        part.input.as_ref().map(|input| input.get().len()),
        Some(whole.len())
    );
}
